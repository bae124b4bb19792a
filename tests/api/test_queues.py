"""Queues: FIFO, durable, never losing a message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import Engine


def test_ten_thousand_messages_arrive_in_order(memory: Engine) -> None:
    count = 10_000
    runtime = memory.runtime()

    @runtime.register_orchestration("Drain")
    def drain(ctx: Any, input: Any) -> Any:
        got = []
        for _ in range(1000):
            got.append((yield ctx.dequeue_event("q")))
        assert got == list(range(input, input + 1000))
        if input + 1000 < count:
            yield ctx.continue_as_new(input + 1000)
        return "all"

    memory.start("Drain", 0, "d")
    for n in range(count):
        memory.client.enqueue_event("d", "q", n)
    runtime.start()
    assert memory.output("d") == "all"
    assert memory.client.list_executions("d") == list(range(1, 11))
    stats = memory.client.get_orchestration_stats("d")
    assert stats.queue_pending_count == 0


@pytest.mark.parametrize("count", [1, 150, 1500])
def test_messages_wait_over_continue_as_new(engine: Engine, count: int) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        if input < 3:
            yield ctx.continue_as_new(input + 1)
        got = []
        for _ in range(count):
            got.append((yield ctx.dequeue_event("q")))
        return got == list(range(count))

    engine.start("W", 0, "w")
    for n in range(count):
        engine.client.enqueue_event("w", "q", n)
    runtime.start()
    assert engine.output("w") is True


def test_messages_sent_before_the_start_are_kept(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return [(yield ctx.dequeue_event("q")), (yield ctx.dequeue_event("q"))]

    runtime.start()
    engine.client.enqueue_event("later", "q", "one")
    engine.client.enqueue_event("later", "q", "two")
    assert engine.client.get_status("later").status == "NotFound"
    assert engine.run("W", None, "later") == ["one", "two"]


def test_lost_race_keeps_the_message(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        lost = yield ctx.race(ctx.dequeue_event("q"), ctx.schedule_timer(5))
        ctx.set_custom_status("lost")
        return [lost["index"], (yield ctx.dequeue_event("q"))]

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "lost")
    engine.client.enqueue_event(instance, "q", "mail")
    assert engine.output(instance) == [1, "mail"]


def test_lost_race_and_new_dequeue_in_one_batch(engine: Engine) -> None:
    def register(runtime: Any) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            lost = yield ctx.race(ctx.wait_for_event("e"), ctx.dequeue_event("q"))
            return [lost["index"], (yield ctx.dequeue_event("q")), (yield ctx.dequeue_event("q"))]

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "QueueSubscribed")
    runtime.shutdown()
    engine.client.raise_event(instance, "e")
    engine.client.enqueue_event(instance, "q", 1)
    engine.client.enqueue_event(instance, "q", 2)
    engine.restart(runtime, register)
    assert engine.output(instance) == [0, 1, 2]


def test_queues_are_independent_of_each_other_and_of_events(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        event = yield ctx.wait_for_event("same")
        second = yield ctx.dequeue_event("b")
        first = yield ctx.dequeue_event("a")
        mail = yield ctx.dequeue_event("same")
        return [event, second, first, mail]

    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    engine.client.enqueue_event(instance, "same", "mail")
    engine.client.enqueue_event(instance, "a", "A")
    engine.client.enqueue_event(instance, "b", "B")
    engine.client.raise_event(instance, "same", "event")
    assert engine.output(instance) == ["event", "B", "A", "mail"]


def test_values_arrive_as_sent_without_double_encoding(engine: Engine) -> None:
    runtime = engine.runtime()
    values = [{"a": 1}, "plain", json.dumps({"a": 1}), None, 0, [], "", "ünï ✓", "[1"]

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        got = []
        for _ in values:
            got.append((yield ctx.dequeue_event("q")))
        return got

    runtime.start()
    instance = engine.start("W")
    for value in values:
        engine.client.enqueue_event(instance, "q", value)
    assert engine.output(instance) == values


def test_parallel_dequeues_share_in_order(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return [r["ok"] for r in (yield ctx.all([ctx.dequeue_event("q") for _ in range(5)]))]

    runtime.start()
    instance = engine.start("W")
    for n in range(5):
        engine.client.enqueue_event(instance, "q", n)
    assert engine.output(instance) == [0, 1, 2, 3, 4]


def test_mail_for_an_ended_instance_is_discarded(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.dequeue_event("q"))

    runtime.start()
    instance = engine.start("W")
    for n in range(3):
        engine.client.enqueue_event(instance, "q", n)
    assert engine.output(instance) == 0
    engine.client.enqueue_event(instance, "q", "late")
    assert engine.client.get_orchestration_stats(instance).queue_pending_count == 0


def test_mail_that_nobody_waits_for_causes_no_turns(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.wait_for_event("e"))

    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    for n in range(50):
        engine.client.enqueue_event(instance, "q", n)
    depths = engine.client.get_queue_depths()
    assert depths.orchestrator_queue == 0, "mail that nobody waits for is not counted"
    assert engine.client.get_orchestration_stats(instance).queue_pending_count == 50
    engine.client.raise_event(instance, "e", 1)
    assert engine.output(instance) == 1
    assert runtime._counters()["turns"] <= 4
