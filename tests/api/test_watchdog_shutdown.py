"""A generator that never yields, activities that run while the engine stops, eviction."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import duroxide
from harness import Engine, eventually, must


def never_yielding(runtime: duroxide.Runtime) -> tuple[threading.Event, threading.Event]:
    entered, release = threading.Event(), threading.Event()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("Stuck")
    def stuck(ctx: Any, input: Any) -> Any:
        entered.set()
        while not release.wait(0.01):
            pass
        return "late"
        yield

    @runtime.register_orchestration("Fine")
    def fine(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Echo", input))

    return entered, release


@pytest.mark.sqlite_only("the watchdog asks no store, and its patience is 5 s")
def test_generator_that_never_yields_is_named_and_the_rest_goes_on(memory: Engine) -> None:
    memory.expected_errors.append("blocks its lane")
    runtime = memory.runtime(verify_replay=0.0)
    entered, release = never_yielding(runtime)
    runtime.start()
    try:
        memory.start("Stuck", None, "the stuck one")
        must(entered)
        before = time.monotonic()
        for n in range(20):
            assert memory.run("Fine", n) == n
        assert time.monotonic() - before < 15, "others are not held up for long"
        memory.logs.wait_for("the stuck one", "duroxide.engine")
        (lane,) = eventually(lambda: runtime.health()["stuck"])
        assert (lane["instance"], lane["name"]) == ("the stuck one", "Stuck")
        assert lane["since_ms"] >= 5000
    finally:
        release.set()
    assert memory.output("the stuck one") == "late", "a step that returns late still counts"


@pytest.mark.sqlite_only("the watchdog asks no store, and its patience is 5 s")
def test_line_that_never_yields_is_named(memory: Engine) -> None:
    memory.expected_errors.append("blocks its lane")
    runtime = memory.runtime(verify_replay=0.0)
    entered, release = never_yielding(runtime)
    runtime.start()
    try:
        memory.start("Stuck")
        must(entered)
        (lane,) = eventually(lambda: runtime.health()["stuck"])
        assert "test_watchdog_shutdown.py:" in lane["at"]
    finally:
        release.set()


def holding(runtime: duroxide.Runtime, runs: list[Any]) -> tuple[threading.Event, threading.Event]:
    begun, release = threading.Event(), threading.Event()

    @runtime.register_activity("Hold")
    def hold(ctx: Any, input: Any) -> str:
        runs.append(ctx.attempt)
        begun.set()
        must(release)
        return "held"

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Hold"))

    return begun, release


def test_shutdown_waits_for_a_running_activity_and_keeps_its_result(engine: Engine) -> None:
    runtime = engine.runtime()
    runs: list[Any] = []
    begun, release = holding(runtime, runs)
    runtime.start()
    instance = engine.start("W")
    must(begun)
    drained: list[bool] = []
    stopping = threading.Thread(target=lambda: drained.append(runtime.shutdown(20_000)))
    stopping.start()
    threading.Event().wait(0.05)
    assert drained == []
    release.set()
    stopping.join(20)
    assert drained == [True]
    assert runs == [1]
    fresh = engine.runtime()
    holding(fresh, runs)
    fresh.start()
    assert engine.output(instance) == "held"
    assert runs == [1], "its result was kept"


def test_shutdown_gives_unfinished_work_back_uncounted(engine: Engine) -> None:
    runtime = engine.runtime(max_attempts=2)
    runs: list[Any] = []
    begun, release = holding(runtime, runs)
    runtime.start()
    instance = engine.start("W")
    try:
        for _ in range(4):
            must(begun)
            before = time.monotonic()
            assert runtime.shutdown(50) is False
            assert time.monotonic() - before < 10
            engine.runtimes.remove(runtime)
            old = release
            runtime = engine.runtime(max_attempts=2)
            begun, release = holding(runtime, runs)
            runtime.start()
            must(begun)
            old.set()
        release.set()
        assert engine.output(instance) == "held"
    finally:
        release.set()
    assert runs == [1] * 5, "more often than max_attempts, and none of it was counted"


def test_shutdown_is_quick_when_idle_and_idempotent(engine: Engine) -> None:
    took = []
    for _ in range(5):
        runtime = engine.runtime()
        runtime.register_orchestration("Now", lambda ctx, input: input)
        assert runtime.start() is runtime
        engine.run("Now")
        before = time.monotonic()
        assert runtime.shutdown() is True
        took.append(time.monotonic() - before)
        assert runtime.shutdown(0) is True
    assert min(took) < 0.1, "what takes longer is a slow machine"


def test_runtime_as_a_context_manager(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    with runtime as same:
        assert same is runtime
        assert engine.run("Now", 1) == 1
    assert runtime.metrics_snapshot() is None


def test_provider_cannot_be_closed_under_a_running_runtime(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    with pytest.raises(duroxide.RuntimeStateError):
        engine.provider.close()
    assert engine.run("Now", 1) == 1


def test_finally_does_not_record_on_eviction_or_shutdown(engine: Engine) -> None:
    finals: list[str] = []

    def register(runtime: duroxide.Runtime) -> None:
        runtime.register_activity("Never", lambda ctx, input: finals.append("activity ran"))

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            try:
                got = yield ctx.wait_for_event("go")
            finally:
                finals.append("finally")
                ctx.set_custom_status("final")
                ctx.set_kv_value("k", "v")
            return got

    runtime = engine.runtime(verify_replay=0.0)
    register(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    engine.restart(runtime, register, verify_replay=0.0)
    assert engine.client.get_status(instance).custom_status is None
    assert engine.kinds(instance) == ["OrchestrationStarted", "ExternalSubscribed"]
    engine.client.raise_event(instance, "go", 1)
    assert engine.output(instance) == 1
    assert engine.client.get_status(instance).custom_status == "final"
    assert engine.client.get_kv_value(instance, "k") == "v"
    assert finals.count("activity ran") == 0


def test_small_cache_of_live_executions_evicts_and_carries_on(memory: Engine) -> None:
    runtime = memory.runtime(live_executions=3)
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        total = 0
        for n in range(3):
            total += yield ctx.schedule_activity("Echo", n)
            total += yield ctx.wait_for_event(f"e{n}")
        return total

    runtime.start()
    ids = [memory.start("W") for _ in range(12)]
    for n in range(3):
        for instance in ids:
            memory.recorded(instance, "ExternalSubscribed", n + 1)
        for instance in ids:
            memory.client.raise_event(instance, f"e{n}", 10)
    for instance in ids:
        assert memory.output(instance) == 33
    assert runtime._counters()["events_replayed"] > 0


def test_generator_closed_with_a_yield_in_finally_is_no_trouble(engine: Engine) -> None:
    runtime = engine.runtime()

    def stubborn(ctx: Any) -> Any:
        try:
            yield ctx.wait_for_event("never")
        finally:
            yield ctx.schedule_activity("Echo", "from finally")

    ran: list[Any] = []
    runtime.register_activity("Echo", lambda ctx, input: ran.append(input))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(stubborn(ctx), ctx.schedule_timer(1)))["index"]

    runtime.start()
    assert engine.run("W") == 1
    assert engine.run("W") == 1
    assert ran == []
