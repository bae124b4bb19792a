"""Timers after stalls, positional events and the rules of who gets which."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from typing import Any

import pytest

import duroxide
import duroxide.aio
from harness import Engine


def test_timers_fire_in_order_of_due_time_after_a_stall(file_engine: Engine) -> None:
    engine = file_engine

    def register(runtime: duroxide.Runtime) -> None:
        def wait(ctx: Any, ms: int, fired: list[int]) -> Any:
            yield ctx.schedule_timer(ms)
            fired.append(ms)

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            fired: list[int] = []
            yield ctx.all([wait(ctx, ms, fired) for ms in input])
            return fired

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    order = [300, 100, 200, 50, 250]
    instance = engine.start("W", order)
    engine.recorded(instance, "TimerCreated", len(order))
    runtime.shutdown()
    pause = 0.35 - (time.time() - engine.events(instance)[0].timestamp_ms / 1000)
    if pause > 0:
        threading.Event().wait(pause)  # until all are overdue
    engine.restart(runtime, register)
    assert engine.output(instance) == sorted(order)


def test_event_that_came_before_a_due_timer_wins_after_a_stall(file_engine: Engine) -> None:
    engine = file_engine

    def register(runtime: duroxide.Runtime) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            return (yield ctx.race(ctx.schedule_timer(2_000), ctx.wait_for_event("e")))

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    due = next(e for e in engine.events(instance) if e.kind == "TimerCreated").timestamp_ms + 2_000
    runtime.shutdown()
    engine.client.raise_event(instance, "e", "first")
    assert time.time() * 1000 < due, "the machine is too slow for this test"
    threading.Event().wait(max(0.0, due / 1000 - time.time() + 0.05))
    engine.restart(runtime, register)
    assert engine.output(instance) == {"index": 1, "value": "first"}


def test_zero_and_timedelta_timers(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_timer(0)
        before = yield ctx.utc_now()
        yield ctx.schedule_timer(datetime.timedelta(milliseconds=60))
        return (yield ctx.utc_now()) - before

    runtime.start()
    assert 60 <= engine.run("W") < 5_000


def test_sequential_timers_do_not_overlap(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        for _ in range(3):
            yield ctx.schedule_timer(40)

    runtime.start()
    before = time.monotonic()
    engine.run("W")
    assert time.monotonic() - before >= 0.12


def test_losing_timer_leaves_the_store(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.race(ctx.schedule_timer(3_600_000), ctx.schedule_timer(1))
        ctx.set_custom_status("raced")
        yield ctx.wait_for_event("go")

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "raced")
    assert engine.client.get_queue_depths().timer_queue == 0
    engine.client.raise_event(instance, "go")
    engine.output(instance)


def test_event_raised_before_anybody_waits_is_lost(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("first")
        yield ctx.wait_for_event("open")
        ctx.set_custom_status("second")
        return (yield ctx.wait_for_event("e"))

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "first")
    engine.client.raise_event(instance, "e", "too early")
    engine.client.raise_event(instance, "open")
    engine.status_is(instance, "second")
    engine.client.raise_event(instance, "e", "in time")
    assert engine.output(instance) == "in time"
    assert engine.kinds(instance).count("ExternalEvent") == 3, "the lost one is kept for audit"


def test_waits_of_one_name_are_served_in_order(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        results = yield ctx.all([ctx.wait_for_event("e") for _ in range(4)])
        return [r["ok"] for r in results]

    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed", 4)
    for n in range(4):
        engine.client.raise_event(instance, "e", n)
    assert engine.output(instance) == [0, 1, 2, 3]


def test_cancelled_wait_does_not_swallow_the_next_event(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        lost = yield ctx.race(ctx.wait_for_event("e"), ctx.schedule_timer(5))
        ctx.set_custom_status("again")
        got = yield ctx.wait_for_event("e")
        return [lost["index"], got]

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "again")
    engine.client.raise_event(instance, "e", "for the second")
    assert engine.output(instance) == [1, "for the second"]


def test_event_to_ended_or_unknown_instance_is_dropped_and_blocks_nobody(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    ended = engine.start("Now", 1)
    engine.output(ended)
    for instance in (ended, "unknown"):
        engine.client.raise_event(instance, "e", 1)
        engine.client.cancel_instance(instance, "no matter")
    assert engine.client.get_status("unknown").status == "NotFound"
    assert engine.run("Now", 2) == 2
    assert engine.client.get_queue_depths().orchestrator_queue == 0


def test_events_in_one_batch_are_all_delivered(engine: Engine) -> None:
    """A wait lost to a timer, waited for again: the event in the same batch wakes the new wait."""

    def register(runtime: duroxide.Runtime) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            first = yield ctx.race(ctx.wait_for_event("tick"), ctx.wait_for_event("e"))
            second = yield ctx.wait_for_event("e")
            return [first["index"], second]

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed", 2)
    runtime.shutdown()
    engine.client.raise_event(instance, "tick")
    engine.client.raise_event(instance, "e", "same batch")
    engine.restart(runtime, register)
    assert engine.output(instance) == [0, "same batch"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["client", "aio"])
def test_typed_signals_are_stored_as_the_plain_ones(memory: Engine, asynchronous: bool) -> None:
    """Text stays text for the receiver, also when it looks like JSON."""

    def register(runtime: duroxide.Runtime) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            event = yield ctx.wait_for_event("e")
            typed = yield ctx.wait_for_event_typed("e")
            mail = yield ctx.dequeue_event("q")
            return [event, typed, mail, (yield ctx.dequeue_event_typed("q"))]

    def signal(method: str, *args: Any) -> None:
        if asynchronous:
            client: Any = duroxide.aio.Client(memory.provider)
            asyncio.run(getattr(client, method)(*args))
        else:
            getattr(memory.client, method)(*args)

    runtime = memory.runtime()
    register(runtime)
    runtime.start()
    instance = memory.start("W")
    for number in (1, 2):
        memory.recorded(instance, "ExternalSubscribed", number)
        signal("raise_event_typed", instance, "e", '{"a": 1}')
    for _ in range(2):
        signal("enqueue_event_typed", instance, "q", "7")
    assert memory.output(instance) == ['{"a": 1}', '{"a": 1}', "7", "7"]
