"""The snapshot counts exactly, and health() tells what a person needs."""

from __future__ import annotations

import contextlib
from typing import Any

import duroxide
from harness import Engine, eventually


def test_snapshot_is_exact(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Work")
    def work(ctx: Any, input: Any) -> Any:
        if input == "fail":
            raise ValueError("x")
        return input

    @runtime.register_orchestration("Child")
    def child(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Work", input))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        if input == 0:
            yield ctx.continue_as_new(1)
        yield ctx.all([ctx.schedule_activity("Work", n) for n in range(5)])
        with contextlib.suppress(duroxide.ActivityError):
            yield ctx.schedule_activity("Work", "fail")
        yield ctx.schedule_sub_orchestration("Child", 1)
        if input == "raise":
            raise RuntimeError("the end")

    runtime.start()
    engine.run("W", 0)
    engine.error(engine.start("W", "raise"))
    snapshot = runtime.metrics_snapshot()
    assert snapshot is not None
    # two W, two children and one second execution
    assert snapshot.orch_continue_as_new == 1
    assert snapshot.suborchestration_calls == 2
    assert snapshot.orch_completions == 3
    assert snapshot.orch_failures == 1
    assert snapshot.orch_application_errors == 1
    assert snapshot.activity_success == 12
    assert snapshot.activity_app_errors == 2
    zero = "orch_infrastructure_errors orch_configuration_errors orch_poison activity_infra_errors "
    zero += "activity_config_errors activity_poison provider_errors"
    for name in zero.split():
        assert snapshot[name] == 0, name
    assert snapshot.worker_dispatcher_items_fetched == 14
    assert set(snapshot.keys()) >= {"orch_starts", *zero.split()}


def test_starts_are_counted_once_for_each_instance(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        for _ in range(4):
            yield ctx.schedule_timer(0)

    runtime.start()
    for _ in range(7):
        engine.run("W")
    snapshot = runtime.metrics_snapshot()
    assert (snapshot["orch_starts"], snapshot["orch_completions"]) == (7, 7)


def test_health(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    memory.run("Now")
    health = runtime.health()
    assert health["store_reachable"] is True
    assert health["lease_age_ms"] < 10_000
    assert (health["stuck"], health["blocked"]) == ([], [])


def test_oldest_waiting_job_is_named(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Nobody has it")

    runtime.start()
    memory.start("W")
    waiting = eventually(lambda: runtime.health()["waiting"])
    assert [w["activity"] for w in waiting] == ["Nobody has it"]
    assert memory.client.get_queue_depths().worker_queue == 1
