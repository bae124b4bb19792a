"""Retry policies: every key, every backoff, per-attempt and total time-outs."""

from __future__ import annotations

import datetime
import json
import threading
from typing import Any

import pytest

import duroxide
from harness import Engine


def failing(engine: Engine, fail: int) -> duroxide.Runtime:
    """A runtime with an activity that fails its first `fail` runs of an instance."""
    runtime = engine.runtime()
    runs: dict[str, int] = {}

    @runtime.register_activity("Flakey")
    def flakey(ctx: Any, input: Any) -> Any:
        runs[ctx.instance_id] = runs.get(ctx.instance_id, 0) + 1
        if runs[ctx.instance_id] <= fail:
            raise RuntimeError(f"run {runs[ctx.instance_id]}")
        return runs[ctx.instance_id]

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, policy: Any) -> Any:
        return (yield ctx.schedule_activity_with_retry("Flakey", None, policy))

    return runtime


def delays(engine: Engine, instance: str) -> list[int]:
    """How long each back-off timer was, in ms."""
    return [
        json.loads(e.data)["fireAtMs"] - e.timestamp_ms for e in engine.events(instance) if e.kind == "TimerCreated"
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"max_attempts": 4}, [100, 200, 400]),
        ({"max_attempts": 4, "backoff": "exponential"}, [100, 200, 400]),
        ({"max_attempts": 4, "backoff": "linear"}, [100, 200, 300]),
        ({"max_attempts": 4, "backoff": "none"}, []),
        ({"max_attempts": 4, "backoff_strategy": "none"}, []),
        ({"maxAttempts": 4, "backoffStrategy": "none"}, []),
        ({"max_attempts": 4, "initial_ms": 10}, [10, 20, 40]),
        ({"max_attempts": 4, "initial_ms": 10, "multiplier": 3}, [10, 30, 90]),
        ({"max_attempts": 4, "initial_ms": 10, "max_ms": 15}, [10, 15, 15]),
        ({"max_attempts": 4, "backoff": "fixed", "initial_ms": 5}, [5, 5, 5]),
        ({"max_attempts": 4, "backoff": "linear", "initial_ms": 5, "max_ms": 8}, [5, 8, 8]),
        ({"max_attempts": 4, "initial_ms": datetime.timedelta(milliseconds=10)}, [10, 20, 40]),
    ],
    ids=str,
)
def test_backoff(engine: Engine, policy: dict[str, Any], expected: list[int]) -> None:
    runtime = failing(engine, 3)

    @runtime.register_orchestration("Here")
    def here(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity_with_retry("Flakey", None, policy))

    runtime.start()
    instance = engine.start("Here")
    assert engine.output(instance) == 4
    got = delays(engine, instance)
    assert len(got) == len(expected)
    for real, wanted in zip(got, expected):
        assert abs(real - wanted) <= 5, (got, expected)


def test_fixed_backoff_is_a_second_by_default(engine: Engine) -> None:
    failing(engine, 1).start()
    instance = engine.start("W", {"max_attempts": 2, "backoff": "fixed"})
    assert engine.output(instance) == 2
    assert abs(delays(engine, instance)[0] - 1000) <= 5


def test_jitter_stays_within_its_share(engine: Engine) -> None:
    failing(engine, 3).start()
    policy = {"max_attempts": 4, "initial_ms": 40, "jitter": 0.5}
    instance = engine.start("W", policy)
    assert engine.output(instance) == 4
    for real, whole in zip(delays(engine, instance), (40, 80, 160)):
        assert whole * 0.5 - 5 <= real <= whole * 1.5 + 5


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_last_error_is_the_one_that_is_raised(engine: Engine, attempts: int) -> None:
    failing(engine, 99).start()
    instance = engine.start("W", {"max_attempts": attempts, "backoff": "none"})
    error = engine.error(instance)
    assert f"Activity 'Flakey' call failed: RuntimeError: run {attempts}" in error
    assert engine.kinds(instance).count("ActivityScheduled") == attempts


def test_default_is_three_attempts(engine: Engine) -> None:
    failing(engine, 99).start()
    instance = engine.start("W", {"backoff": "none"})
    assert "run 3" in engine.error(instance)


def test_non_retryable_error_stops_at_once(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Fatal")
    def fatal(ctx: Any, input: Any) -> Any:
        raise duroxide.NonRetryableError("no use")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity_with_retry("Fatal", None, {"max_attempts": 5})

    runtime.start()
    instance = engine.start("W")
    assert "no use" in engine.error(instance)
    assert engine.kinds(instance).count("ActivityScheduled") == 1


def blocking(engine: Engine) -> tuple[duroxide.Runtime, list[bool], list[bool]]:
    """A runtime with an activity that only ends when it is cancelled; notes of its beginnings and of its ends."""
    runtime = engine.runtime()
    begun: list[bool] = []
    cancelled: list[bool] = []

    @runtime.register_activity("Blocks")
    def blocks(ctx: Any, input: Any) -> None:
        begun.append(True)
        pause = threading.Event()
        for _ in range(2000):
            if ctx.is_cancelled():
                cancelled.append(True)
                return
            pause.wait(0.01)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, policy: Any) -> Any:
        try:
            yield ctx.schedule_activity_with_retry("Blocks", None, policy)
        except duroxide.ActivityTimeout as e:
            return [str(e), isinstance(e, TimeoutError), isinstance(e, duroxide.ActivityError)]

    return runtime, begun, cancelled


def test_attempt_timeout_fails_without_another_attempt(engine: Engine) -> None:
    runtime, begun, cancelled = blocking(engine)
    runtime.start()
    instance = engine.start("W", {"max_attempts": 3, "timeout_ms": 300})
    assert engine.output(instance) == ["timeout: activity timed out", True, True]
    assert engine.kinds(instance).count("ActivityScheduled") == 1
    runtime.shutdown()
    assert cancelled == begun == [True]


def test_total_timeout_bounds_all_attempts(engine: Engine) -> None:
    runtime, begun, cancelled = blocking(engine)
    runtime.start()
    policy = {"max_attempts": 50, "timeout_ms": 100, "total_timeout_ms": 600, "backoff": "none"}
    instance = engine.start("W", policy)
    assert engine.output(instance) == ["timeout: activity timed out", True, True]
    attempts = engine.kinds(instance).count("ActivityScheduled")
    assert 2 <= attempts <= 7, "timed-out attempts are repeated until the total is over"
    runtime.shutdown()
    assert len(cancelled) == len(begun) >= 1


def test_total_timeout_ends_a_backoff(engine: Engine) -> None:
    failing(engine, 99).start()
    policy = {"max_attempts": 5, "initial_ms": 60_000, "max_ms": 60_000, "total_timeout_ms": 100}
    instance = engine.start("W", policy)
    assert "timeout: activity timed out" in engine.error(instance)
    assert engine.client.get_queue_depths().timer_queue == 0


def test_attempt_numbers_and_keys(engine: Engine) -> None:
    runtime = engine.runtime()
    seen: list[tuple[int, str, str]] = []

    @runtime.register_activity("Keys")
    def keys(ctx: Any, input: Any) -> Any:
        seen.append((ctx.attempt, ctx.idempotency_key, ctx.retry_key))
        raise ValueError("again")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            policy = {"max_attempts": 3, "backoff": "none"}
            yield ctx.schedule_activity_with_retry("Keys", None, policy)
        except duroxide.ActivityError as e:
            return e.attempt

    runtime.start()
    assert engine.run("W") == 3
    assert [a for a, _, _ in seen] == [1, 2, 3]
    assert len({key for _, key, _ in seen}) == 3, "each attempt has its own key"
    assert len({key for _, _, key in seen}) == 1, "the retry key is one over all attempts"


def test_retry_inside_all_and_race(engine: Engine) -> None:
    runtime = failing(engine, 2)

    @runtime.register_orchestration("Both")
    def both(ctx: Any, input: Any) -> Any:
        policy = {"max_attempts": 5, "initial_ms": 1}
        retrying = ctx.schedule_activity_with_retry("Flakey", None, policy)
        joined = yield ctx.all([retrying, ctx.schedule_timer(1)])
        again = ctx.schedule_activity_with_retry("Flakey", None, policy)
        raced = yield ctx.race(again, ctx.schedule_timer(60_000))
        return [joined, raced]

    runtime.start()
    assert engine.run("Both") == [[{"ok": 3}, {"ok": None}], {"index": 0, "value": 4}]


def test_restart_in_the_middle_of_a_policy(file_engine: Engine) -> None:
    engine = file_engine
    runs: list[int] = []

    def register(runtime: duroxide.Runtime) -> None:
        @runtime.register_activity("Flakey")
        def flakey(ctx: Any, input: Any) -> Any:
            runs.append(ctx.attempt)
            if len(runs) < 3:
                raise RuntimeError("again")
            return len(runs)

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            policy = {"max_attempts": 3, "backoff": "fixed", "initial_ms": 200}
            return (yield ctx.schedule_activity_with_retry("Flakey", None, policy))

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "TimerCreated")
    engine.restart(runtime, register)
    assert engine.output(instance) == 3
    assert runs == [1, 2, 3]
