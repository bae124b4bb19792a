"""A task that is made and never yielded does nothing: the log names its line, once, and nobody else is accused."""

from __future__ import annotations

import gc
import threading
from typing import Any, Callable

import pytest

import duroxide
from harness import Engine, must, python

Flow = Callable[..., Any]
THIS = __name__.rpartition(".")[2] + ".py"


def warned(engine: Engine) -> list[str]:
    """What was said of forgotten yields, when everything has been logged."""
    for runtime in engine.runtimes:
        runtime.shutdown()
    return [
        m.partition(" was made at ")[0].partition(": ")[2] + " at " + m.partition(THIS + ":")[2].partition(" ")[0]
        for m in engine.logs.messages("duroxide", 30)
        if "never yielded" in m
    ]


def start(engine: Engine, flow: Flow, **options: Any) -> str:
    runtime = engine.runtime(**options)
    runtime.register_activity("A", lambda ctx, input: input)
    runtime.register_orchestration("W", flow)
    runtime.start()
    return engine.start("W")


def line(flow: Flow, offset: int) -> int:
    return flow.__code__.co_firstlineno + offset


def test_dropped_task_is_told_while_the_instance_goes_on(engine: Engine) -> None:
    def flow(ctx: Any, input: Any) -> Any:
        ctx.schedule_activity("A")
        yield ctx.wait_for_event("go")

    instance = start(engine, flow)
    said = engine.logs.wait_for("never yielded")
    assert said.startswith(f"instance '{instance}' of W: activity 'A' was made at ")
    assert f"{THIS}:{line(flow, 1)} and never yielded" in said
    assert f"instance_id={instance}" in said
    engine.client.raise_event(instance, "go")
    engine.output(instance)
    assert len(warned(engine)) == 1


def test_line_is_told_once_for_each_execution(engine: Engine) -> None:
    def flow(ctx: Any, input: Any) -> Any:
        for _ in range(5):
            ctx.start_orchestration("Other", "id")
            yield ctx.schedule_timer(0)
            ctx.schedule_timer(1)
        if ctx.execution_id == 1:
            yield ctx.continue_as_new()

    engine.output(start(engine, flow))
    each = [f"orchestration 'Other' at {line(flow, 2)}", f"timer at {line(flow, 4)}"]
    assert warned(engine) == each * 2


KEPT: list[Any] = []


def keeps(ctx: Any, input: Any) -> Any:
    task = ctx.schedule_activity("A")
    yield ctx.schedule_timer(0)
    return str(task)


def keeps_for_ever(ctx: Any, input: Any) -> Any:
    KEPT.append(ctx.schedule_activity("A"))
    yield ctx.schedule_timer(0)


def fails(ctx: Any, input: Any) -> Any:
    task = ctx.schedule_activity("A")
    yield ctx.schedule_timer(0)
    raise ValueError(task)


def exits(ctx: Any, input: Any) -> Any:
    task = ctx.schedule_activity("A")
    yield ctx.schedule_timer(0)
    raise SystemExit(str(task))


def continues(ctx: Any, input: Any) -> Any:
    task = ctx.schedule_activity("A")
    if ctx.execution_id == 1:
        yield ctx.continue_as_new(str(task))
    yield task


def returns_at_once(ctx: Any, input: Any) -> Any:
    task = ctx.schedule_activity("A")
    return str(task)


def in_a_cycle(ctx: Any, input: Any) -> Any:
    task = ctx.schedule_activity("A")
    KEPT.append(task)
    cycle: list[Any] = [task]
    cycle.append(cycle)
    del task
    yield ctx.schedule_timer(0)


@pytest.mark.parametrize("flow", [keeps, keeps_for_ever, fails, exits, continues, returns_at_once, in_a_cycle])
def test_task_that_is_still_there_at_the_end_is_told(memory: Engine, flow: Flow) -> None:
    memory.wait(start(memory, flow))
    KEPT.clear()
    assert warned(memory) == [f"activity 'A' at {line(flow, 1)}"]


def test_members_of_a_forgotten_all_are_told_as_one(memory: Engine) -> None:
    def flow(ctx: Any, input: Any) -> Any:
        ctx.all([ctx.schedule_activity("A"), ctx.race(ctx.schedule_timer(1), ctx.schedule_timer(2))])
        yield ctx.schedule_timer(0)

    memory.output(start(memory, flow))
    assert warned(memory) == [f"join at {line(flow, 1)}"]


def yields_later(ctx: Any, input: Any) -> Any:
    task, pair = ctx.schedule_activity("A", 1), ctx.all([ctx.schedule_activity("A", 2)])
    again = ctx.schedule_activity("A", 3)
    yield ctx.schedule_timer(0)
    seen = [(yield task), (yield pair), (yield again), (yield again)]
    won = yield ctx.race([ctx.schedule_activity("A", 4) for _ in range(3)])
    return [*seen, won["value"]]


def loses_a_race(ctx: Any, input: Any) -> Any:
    def slow(ctx: Any) -> Any:
        task = ctx.schedule_activity("A", 1)
        yield ctx.wait_for_event("never")
        yield task

    won = yield ctx.race(slow(ctx), ctx.schedule_timer(0))
    yield ctx.schedule_timer(0)
    return won["index"]


@pytest.mark.parametrize(
    ("flow", "output"),
    [(yields_later, [1, [{"ok": 2}], 3, 3, 4]), (loses_a_race, 1)],
    ids=["yields later", "loses a race"],
)
def test_task_that_was_or_would_have_been_yielded_is_not_told(engine: Engine, flow: Flow, output: Any) -> None:
    assert engine.output(start(engine, flow)) == output
    gc.collect()
    assert warned(engine) == []


@pytest.mark.parametrize("ending", ["cancel", "shutdown", "eviction", "failure of the engine"])
def test_task_that_a_muted_close_drops_is_not_told(memory: Engine, ending: str) -> None:
    def flow(ctx: Any, input: Any) -> Any:
        task = ctx.schedule_activity("A", 1)
        ctx.set_custom_status("waiting")
        try:
            yield ctx.wait_for_event("go")
            return (yield task)
        finally:
            ctx.schedule_activity("A", "while it is closed")

    instance = start(memory, flow, live_executions=1)
    memory.status_is(instance, "waiting")
    if ending == "cancel":
        memory.client.cancel_instance(instance)
        memory.error(instance)
    elif ending == "eviction":
        other = memory.start("W")
        memory.status_is(other, "waiting")
        memory.client.cancel_instance(other)
        memory.error(other)
    elif ending == "failure of the engine":
        memory.runtimes[0].shutdown()
        memory.expected_errors.append("nondeterministic")

        def changed(ctx: Any, input: Any) -> Any:
            task = ctx.schedule_activity("A", 1)
            yield ctx.schedule_timer(0)
            return (yield task)

        start(memory, changed)
        memory.client.raise_event(instance, "go")
        assert memory.error(instance).startswith("nondeterministic")
    gc.collect()
    assert warned(memory) == []


def test_forgotten_tasks_are_not_kept_alive(memory: Engine) -> None:
    def tasks() -> int:
        return sum(type(thing) is duroxide.ScheduledTask for thing in gc.get_objects())

    def flow(ctx: Any, input: Any) -> Any:
        before, most = tasks(), 0
        for n in range(2000):
            ctx.start_orchestration("Other", "id")
            if n % 500 == 499:
                most = max(most, tasks() - before)
        yield ctx.schedule_timer(0)
        return most

    assert memory.output(start(memory, flow)) <= 1
    assert len(warned(memory)) == 1


def test_task_that_dies_on_another_thread_is_told_at_the_next_step() -> None:
    """By the garbage collector, which may run anywhere."""
    engine = Engine(None)
    try:
        held: list[Any] = []
        begun = threading.Event()

        def flow(ctx: Any, input: Any) -> Any:
            task = ctx.schedule_activity("A")
            held.append([task])
            held[0].append(held[0])
            del task
            begun.set()
            yield ctx.wait_for_event("go")

        instance = start(engine, flow, verify_replay=0.0)
        must(begun)
        engine.recorded(instance, "ExternalSubscribed")
        held.clear()
        gc.collect()
        engine.client.raise_event(instance, "go")
        engine.output(instance)
        assert warned(engine) == [f"activity 'A' at {line(flow, 1)}"]
    finally:
        engine.close()


def test_tasks_that_outlive_everything_end_in_silence() -> None:
    done = python(
        """
        import sys
        from duroxide import Client, OrchestrationContext, Runtime, SqliteProvider
        kept = []
        def keep(task):
            cycle = [task]
            cycle.append(cycle)
            kept.append(cycle)
        class Dies:
            def __del__(self):
                self.task = OrchestrationContext().schedule_timer(1)
        def flow(ctx, input):
            keep(ctx.schedule_timer(1))
            yield ctx.wait_for_event("never")
        keep(OrchestrationContext().schedule_timer(1))
        sys.dies = Dies()
        provider = SqliteProvider.in_memory()
        runtime = Runtime(provider)
        runtime.register_orchestration(flow)
        runtime.start()
        client = Client(provider)
        client.start_orchestration("i", flow)
        while not client.get_waiting("i"):
            pass
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
