"""The snapshot counts exactly, and health() tells what a person needs."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import duroxide
from harness import Engine, eventually, must


def counted(runtime: duroxide.Runtime, completions: int, failures: int = 0) -> Any:
    """The snapshot once all ends are counted: a waiting client may hear of an end a moment earlier."""

    def all_of_them() -> Any:
        s = runtime.metrics_snapshot()
        return s if s.orch_completions >= completions and s.orch_failures >= failures else None

    return eventually(all_of_them, f"{completions} completions and {failures} failures counted")


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
    snapshot = counted(runtime, completions=3, failures=1)
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
    snapshot = counted(runtime, completions=7)
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


def test_work_that_nobody_knows_is_listed(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Nobody has it")

    runtime.start()
    memory.start("W")
    (waiting,) = eventually(lambda: runtime.health()["waiting"])
    assert (waiting["activity"], waiting["tag"]) == ("Nobody has it", "")
    instance = memory.start("Nor this")
    (blocked,) = eventually(lambda: runtime.health()["blocked"])
    assert instance in blocked
    assert "Nor this" in blocked
    assert memory.client.get_queue_depths().worker_queue == 1


def test_oldest_waiting_job_is_named(memory: Engine) -> None:
    runtime = memory.runtime(worker_concurrency=1)
    begun, release = threading.Event(), threading.Event()

    @runtime.register_activity("Hold")
    def hold(ctx: Any, input: Any) -> None:
        begun.set()
        must(release)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.all([ctx.schedule_activity("Hold", n) for n in range(3)])

    runtime.start()
    instance = memory.start("W")
    try:
        must(begun)
        waiting = eventually(lambda: runtime.health()["waiting"])
        assert [(w["activity"], w["tag"]) for w in waiting] == [("Hold", "")]
    finally:
        release.set()
    memory.output(instance)


def test_job_with_a_tag_that_nobody_serves_is_named(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Train", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Train").with_tag("gpu")

    runtime.start()
    memory.start("W")
    waiting = eventually(lambda: runtime.health()["waiting"])
    assert [(w["activity"], w["tag"]) for w in waiting] == [("Train", "gpu")]
