"""The guide's sessions, custom status, queues, activities, tracing, providers, options, client."""

from __future__ import annotations

import json
import pathlib
import threading
from typing import Any

import pytest

import duroxide
from duroxide import Client, PyRuntimeOptions, Runtime, SqliteProvider
from harness import Engine, must


def test_session_keeps_state_on_one_thread(engine: Engine) -> None:
    runtime = engine.runtime(max_sessions_per_runtime=5, session_idle_timeout_ms=60_000, worker_node_id="worker-1")
    state: dict[str, list[Any]] = {}
    idents: dict[str, set[int]] = {}

    @runtime.register_activity("Accumulate")
    def accumulate(ctx: Any, input: Any) -> Any:
        idents.setdefault(ctx.session_id, set()).add(threading.get_ident())
        state.setdefault(ctx.session_id, []).append(input)
        return list(state[ctx.session_id])

    @runtime.register_orchestration("Batch")
    def batch(ctx: Any, input: Any) -> Any:
        for item in "abc":
            yield ctx.schedule_activity_on_session("Accumulate", item, input)
        return (yield ctx.schedule_activity("Accumulate", "d", session_id=input))

    runtime.start()
    ids = [engine.start("Batch", f"s{n}") for n in range(3)]
    for instance in ids:
        assert engine.output(instance) == ["a", "b", "c", "d"]
    assert all(len(seen) == 1 for seen in idents.values()), idents


def test_activity_without_a_session_gets_none(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_activity("Sid", lambda ctx, input: ctx.session_id)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Sid"))

    runtime.start()
    assert engine.run("W") is None


def test_custom_status_is_seen_from_outside_and_versioned(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("one")
        yield ctx.wait_for_event("next")
        ctx.set_custom_status("two")
        yield ctx.wait_for_event("next")
        ctx.reset_custom_status()
        return ctx.get_custom_status()

    runtime.start()
    instance = engine.start("W")
    client = engine.client
    first = client.wait_for_status_change(instance, 0, 50, 10_000)
    assert (first.status, first.custom_status, first.custom_status_version) == ("Running", "one", 1)
    client.raise_event(instance, "next")
    second = client.wait_for_status_change(instance, first.custom_status_version, 50, 10_000)
    assert (second.custom_status, second.custom_status_version) == ("two", 2)
    assert client.wait_for_status_change(instance, 2, 50, 30) is None, "time-out"
    client.raise_event(instance, "next")
    assert engine.output(instance) is None
    third = client.wait_for_status_change(instance, 2, 50, 10_000)
    assert (third.status, third.custom_status, third.custom_status_version) == (
        "Completed",
        None,
        3,
    )
    assert client.wait_for_status_change(instance, 3, 50, 10_000) is None, "ended, nothing newer"


def test_queue_is_fifo_and_survives_continue_as_new(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Bot")
    def bot(ctx: Any, input: Any) -> Any:
        text = json.loads((yield ctx.dequeue_event("inbox")))["text"]
        if text == "bye":
            return input
        return (yield ctx.continue_as_new([*input, text]))

    runtime.start()
    instance = engine.start("Bot", [])
    for text in ("a", "b", "c", "bye"):
        engine.client.enqueue_event(instance, "inbox", json.dumps({"text": text}))
    assert engine.output(instance) == ["a", "b", "c"]
    assert engine.client.list_executions(instance) == [1, 2, 3, 4]


def test_retry_on_session_keeps_every_attempt_there(engine: Engine) -> None:
    runtime = engine.runtime()
    ran: list[tuple[str, int, int]] = []

    @runtime.register_activity("Gpu")
    def gpu(ctx: Any, input: Any) -> Any:
        ran.append((ctx.session_id, threading.get_ident(), ctx.attempt))
        raise RuntimeError("no")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        policy = {"max_attempts": 3, "backoff_strategy": "none"}
        return (yield ctx.schedule_activity_with_retry_on_session("Gpu", input, policy, "gpu-1"))

    runtime.start()
    engine.error(engine.start("W"))
    assert [r[2] for r in ran] == [1, 2, 3]
    assert len({r[:2] for r in ran}) == 1
    assert ran[0][0] == "gpu-1"


def test_activity_context_names_what_it_runs_for(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Who")
    def who(ctx: Any, input: Any) -> Any:
        assert ctx.worker_id
        return [
            ctx.instance_id,
            ctx.execution_id,
            ctx.orchestration_name,
            ctx.orchestration_version,
            ctx.activity_name,
            ctx.session_id,
            ctx.attempt,
            ctx.is_cancelled(),
        ]

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        here = [
            ctx.instance_id,
            ctx.execution_id,
            ctx.orchestration_name,
            ctx.orchestration_version,
        ]
        return [here, (yield ctx.schedule_activity("Who"))]

    runtime.start()
    here, there = engine.run("W", None, "me")
    assert here == ["me", 1, "W", "1.0.0"]
    assert there == [*here, "Who", None, 1, False]


def test_activity_reaches_the_client(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Trigger")
    def trigger(ctx: Any, input: Any) -> Any:
        client = ctx.get_client()
        client.start_orchestration("cleanup", "Cleanup", input)
        client.raise_event(ctx.instance_id, "triggered", "yes")
        return client.get_status("cleanup").status

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        both = yield ctx.all([ctx.wait_for_event("triggered"), ctx.schedule_activity("Trigger", 7)])
        return both

    runtime.register_orchestration("Cleanup", lambda ctx, input: input)
    runtime.start()
    event, status = engine.run("W")
    assert event == {"ok": "yes"}
    assert status["ok"] in ("Running", "Completed")
    assert engine.output("cleanup") == 7


def test_cancelled_activity_is_told(engine: Engine) -> None:
    runtime = engine.runtime()
    told = threading.Event()
    begun = threading.Event()

    @runtime.register_activity("Long")
    def long(ctx: Any, input: Any) -> None:
        begun.set()
        pause = threading.Event()
        for _ in range(2000):
            if ctx.is_cancelled():
                told.set()
                return
            pause.wait(0.01)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(ctx.schedule_activity("Long"), ctx.wait_for_event("go")))["index"]

    runtime.start()
    instance = engine.start("W")
    must(begun)
    engine.client.raise_event(instance, "go")
    assert engine.output(instance) == 1
    assert told.wait(1), "a running activity hears of it within a second"


def test_traces_are_not_repeated_by_replay(engine: Engine) -> None:
    runtime = engine.runtime(log_level="debug")

    @runtime.register_activity("Work")
    def work(ctx: Any, input: Any) -> Any:
        ctx.trace_info(f"working on {input}")
        return input

    @runtime.register_orchestration("Traced")
    def traced(ctx: Any, input: Any) -> Any:
        ctx.trace_info("begins")
        for n in range(5):
            yield ctx.schedule_activity("Work", n)
            ctx.trace_debug(f"did {n}")
        ctx.trace_warn("warns")
        ctx.trace_error("errs")

    runtime.start()
    engine.run("Traced")
    engine.logs.wait_for("errs", "duroxide.orchestration")
    said = engine.logs.messages("duroxide.orchestration")
    for text in ("begins", "did 0", "did 1", "did 2", "did 3", "did 4", "warns", "errs"):
        assert sum(text in m for m in said) == 1, (text, said)
    working = [m for m in engine.logs.messages("duroxide.activity") if "working on" in m]
    assert len(working) == 5


def test_sqlite_file_persists_and_memory_does_not(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "myapp.db"
    provider = SqliteProvider.open(str(path))
    Client(provider).start_orchestration("kept", "W", 1)
    provider.close()
    provider = SqliteProvider.open(str(path))
    assert Client(provider).get_status("kept").status == "Running"
    provider.close()
    with SqliteProvider.in_memory() as one, SqliteProvider.in_memory() as other:
        Client(one).start_orchestration("i", "W")
        assert Client(other).get_status("i").status == "NotFound"


def test_every_runtime_option_of_the_guide_is_taken() -> None:
    options = {
        "orchestration_concurrency": 4,
        "worker_concurrency": 8,
        "dispatcher_poll_interval_ms": 100,
        "log_level": "info",
        "log_format": "pretty",
        "service_name": "my-service",
        "service_version": "1.0.0",
        "max_sessions_per_runtime": 10,
        "session_idle_timeout_ms": 300_000,
        "worker_node_id": "pod-name",
    }
    made = PyRuntimeOptions(**options)
    assert {name: getattr(made, name) for name in options} == options
    assert PyRuntimeOptions is duroxide.RuntimeOptions
    defaults = PyRuntimeOptions()
    assert (defaults.orchestration_concurrency, defaults.worker_concurrency) == (4, 8)
    assert (defaults.dispatcher_poll_interval_ms, defaults.log_level) == (100, "info")
    assert (defaults.max_sessions_per_runtime, defaults.session_idle_timeout_ms) == (10, 300_000)
    with SqliteProvider.in_memory() as provider:
        Runtime(provider, made).shutdown()


def test_client_operations(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("WorkflowName")
    def workflow(ctx: Any, input: Any) -> Any:
        event = yield ctx.wait_for_event("event_name")
        mail = yield ctx.dequeue_event("queue_name")
        return [ctx.orchestration_version, input, event, mail]

    runtime.register_orchestration_versioned("WorkflowName", "1.0.2", workflow)
    runtime.start()
    client = engine.client
    client.start_orchestration("id", "WorkflowName", "in")
    client.start_orchestration_versioned("old", "WorkflowName", "in", "1.0.0")
    for instance, version in (("id", "1.0.2"), ("old", "1.0.0")):
        client.enqueue_event(instance, "queue_name", "mail")
        engine.recorded(instance, "ExternalSubscribed")
        client.raise_event(instance, "event_name", {"e": 1})
        result = client.wait_for_orchestration(instance, 30_000)
        assert result.status == "Completed"
        assert result.output == [version, "in", {"e": 1}, "mail"]
        assert (result.custom_status, result.custom_status_version) == (None, 0)
    client.start_orchestration("to cancel", "WorkflowName")
    client.cancel_instance("to cancel", "reason")
    assert engine.error("to cancel") == "canceled: reason"
    metrics = client.get_system_metrics()
    assert (metrics.total_instances, metrics.completed_instances) == (3, 2)
    assert (metrics.failed_instances, metrics.running_instances) == (1, 0)
    deleted = client.delete_instance("id", force=False)
    assert (deleted.instances_deleted, deleted.executions_deleted) == (1, 1)
    assert client.get_status("id").status == "NotFound"
    depths = client.get_queue_depths()
    assert (depths.orchestrator_queue, depths.worker_queue, depths.timer_queue) == (0, 0, 0)


def test_metrics_snapshot_by_key_and_attribute(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    assert runtime.metrics_snapshot() is None
    runtime.start()
    engine.run("Now")
    snapshot = runtime.metrics_snapshot()
    assert snapshot["orch_starts"] == snapshot.orch_starts == 1
    assert "orch_completions" in snapshot
    assert set(snapshot.keys()) >= {"activity_success", "provider_errors"}
    runtime.shutdown()
    assert runtime.metrics_snapshot() is None


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1"])
def test_versions_side_by_side(engine: Engine, version: str) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("MyWorkflow", lambda ctx, input: "v1")
    runtime.register_orchestration_versioned("MyWorkflow", "1.0.1", lambda ctx, input: "v2")
    runtime.start()
    engine.client.start_orchestration_versioned("i", "MyWorkflow", None, version)
    assert engine.output("i") == {"1.0.0": "v1", "1.0.1": "v2"}[version]
    assert engine.run("MyWorkflow") == "v2", "a new one uses the latest"
