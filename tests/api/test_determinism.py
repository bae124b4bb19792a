"""Code that no longer fits its history fails with both sides named, or blocks until it fits."""

from __future__ import annotations

import decimal
import logging
import random
from typing import Any, Callable

import pytest

import duroxide
from harness import Engine, eventually

Workflow = Callable[[Any, Any], Any]


def original(ctx: Any, input: Any) -> Any:
    first = yield ctx.schedule_activity("A", 1)
    yield ctx.wait_for_event("go")
    return first


def other_name(ctx: Any, input: Any) -> Any:
    yield ctx.schedule_activity("B", 1)
    yield ctx.wait_for_event("go")


def other_input(ctx: Any, input: Any) -> Any:
    yield ctx.schedule_activity("A", 2)
    yield ctx.wait_for_event("go")


def other_kind(ctx: Any, input: Any) -> Any:
    yield ctx.schedule_timer(1)
    yield ctx.wait_for_event("go")


def other_event(ctx: Any, input: Any) -> Any:
    yield ctx.schedule_activity("A", 1)
    yield ctx.wait_for_event("other")


def extra_call(ctx: Any, input: Any) -> Any:
    ctx.set_custom_status("new")
    yield ctx.schedule_activity("A", 1)
    yield ctx.wait_for_event("go")


def returns_early(ctx: Any, input: Any) -> Any:
    return "early"
    yield


def with_session(ctx: Any, input: Any) -> Any:
    yield ctx.schedule_activity("A", 1, session_id="s")
    yield ctx.wait_for_event("go")


CHANGED = [
    other_name,
    other_input,
    other_kind,
    other_event,
    extra_call,
    returns_early,
    with_session,
]


def register(workflow: Workflow) -> Callable[[duroxide.Runtime], None]:
    def into(runtime: duroxide.Runtime) -> None:
        for name in ("A", "B"):
            runtime.register_activity(name, lambda ctx, input: input)
        runtime.register_orchestration("W", workflow)

    return into


def begin(engine: Engine, **options: Any) -> tuple[duroxide.Runtime, str]:
    runtime = engine.runtime(**options)
    register(original)(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    return runtime, instance


@pytest.mark.parametrize("changed", CHANGED, ids=lambda fn: fn.__name__)
def test_changed_code_fails_the_instance_and_names_both_sides(engine: Engine, changed: Workflow) -> None:
    engine.expected_errors.append("nondeterministic")
    runtime, instance = begin(engine)
    engine.restart(runtime, register(changed))
    engine.client.raise_event(instance, "go")
    error = engine.error(instance)
    assert error.startswith("nondeterministic: ")
    assert error.count("test_determinism.py:") >= (1 if changed is returns_early else 2), error
    engine.restart(engine.runtimes[0], register(original))
    again = engine.start("W")
    engine.recorded(again, "ExternalSubscribed")
    engine.client.raise_event(again, "go")
    assert engine.output(again) == 1, "the engine goes on"


def test_code_may_go_on_differently_after_the_end_of_history(engine: Engine) -> None:
    def longer(ctx: Any, input: Any) -> Any:
        first = yield ctx.schedule_activity("A", 1)
        yield ctx.wait_for_event("go")
        return [first, (yield ctx.schedule_activity("B", "new"))]

    runtime, instance = begin(engine)
    engine.restart(runtime, register(longer))
    engine.client.raise_event(instance, "go")
    assert engine.output(instance) == [1, "new"]


def test_blocked_instance_goes_on_with_code_that_fits(engine: Engine) -> None:
    engine.expected_errors.append("nondeterministic")
    runtime, instance = begin(engine, on_nondeterminism="block")
    runtime = engine.restart(runtime, register(other_name), on_nondeterminism="block")
    engine.client.raise_event(instance, "go")
    eventually(lambda: instance in str(engine.runtimes[0].health()["blocked"]))
    assert engine.client.get_status(instance).status == "Running"
    engine.restart(runtime, register(original), on_nondeterminism="block")
    assert engine.output(instance) == 1


def test_child_that_became_nondeterministic_fails_its_parent(engine: Engine) -> None:
    engine.expected_errors.append("nondeterministic")

    def into(workflow: Workflow) -> Callable[[duroxide.Runtime], None]:
        def registered(runtime: duroxide.Runtime) -> None:
            register(workflow)(runtime)

            @runtime.register_orchestration("Parent")
            def parent(ctx: Any, input: Any) -> Any:
                try:
                    yield ctx.schedule_sub_orchestration_with_id("W", "child")
                except Exception as e:
                    return f"caught {e}"

        return registered

    runtime = engine.runtime()
    into(original)(runtime)
    runtime.start()
    instance = engine.start("Parent")
    engine.recorded("child", "ExternalSubscribed")
    engine.restart(runtime, into(other_name))
    engine.client.raise_event("child", "go")
    assert engine.error("child").startswith("nondeterministic: ")
    assert "nondeterministic" in engine.error(instance), "code cannot catch it"


def test_random_in_an_orchestration_is_found_by_verification(memory: Engine) -> None:
    """In memory every live execution is replayed when it ends, so this shows in a test run."""
    memory.expected_errors.append("nondetermin")
    runtime = memory.runtime(verify_replay=1.0)
    runtime.register_activity("A", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("A", random.random())
        yield ctx.schedule_activity("A", random.random())

    runtime.start()
    instance = memory.start("W")
    result = memory.wait(instance)
    said = memory.logs.wait_for("nondetermin") if result.status == "Completed" else result.error
    assert "nondetermin" in said


def test_verification_is_quiet_about_good_code(memory: Engine) -> None:
    runtime = memory.runtime(verify_replay=1.0)
    runtime.register_activity("A", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        tasks = [ctx.schedule_activity("A", n) for n in range(5)]
        joined = yield ctx.all(tasks)
        yield ctx.race(ctx.schedule_timer(1), ctx.wait_for_event("e"))
        ctx.set_custom_status(str(joined))
        return (yield ctx.new_guid())

    runtime.start()
    for _ in range(5):
        memory.run("W")
    eventually(lambda: runtime._counters()["verified"] >= 5)
    assert memory.logs.messages("duroxide", logging.WARNING) == []


def test_is_replaying_and_context_fields(engine: Engine) -> None:
    seen: list[tuple[str, bool]] = []

    def register_it(runtime: duroxide.Runtime) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            seen.append(("start", ctx.is_replaying))
            yield ctx.wait_for_event("go")
            seen.append(("after", ctx.is_replaying))
            assert ctx.current_utc.tzinfo is not None
            return ctx.parent_instance_id

    runtime = engine.runtime(verify_replay=0.0)
    register_it(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    engine.restart(runtime, register_it, verify_replay=0.0)
    engine.client.raise_event(instance, "go")
    assert engine.output(instance) is None
    assert seen[0] == ("start", False)
    assert ("start", True) in seen[1:]
    assert [flag for where, flag in seen if where == "after"] == [False]


def test_decimal_precision_does_not_leak_between_executions(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, precision: int) -> Any:
        before = decimal.getcontext().prec
        decimal.getcontext().prec = precision
        yield ctx.wait_for_event("go")
        return [before, decimal.getcontext().prec, str(decimal.Decimal(1) / 3)]

    runtime.start()
    ids = {p: engine.start("W", p) for p in (3, 7, 12)}
    for instance in ids.values():
        engine.recorded(instance, "ExternalSubscribed")
    for instance in ids.values():
        engine.client.raise_event(instance, "go")
    for precision, instance in ids.items():
        assert engine.output(instance) == [28, precision, "0." + "3" * precision]


def test_results_are_never_shared_objects(engine: Engine) -> None:
    kept: list[Any] = []
    runtime = engine.runtime()

    @runtime.register_activity("List")
    def make(ctx: Any, input: Any) -> Any:
        kept.append(["made", input])
        return kept[-1]

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        value = yield ctx.schedule_activity("List", {"k": (1, 2)})
        value.append("changed")
        yield ctx.schedule_timer(0)
        return value

    runtime.start()
    assert engine.run("W") == ["made", {"k": [1, 2]}, "changed"]
    assert kept == [["made", {"k": [1, 2]}]]
