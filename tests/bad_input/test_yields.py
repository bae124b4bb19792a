"""What an orchestration yields and calls wrongly: an error at that line, and nothing lost."""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any, Callable

import pytest

import duroxide
from harness import Engine, eventually

Body = Callable[[Any], Any]


def helper(ctx: Any) -> Any:
    yield ctx.schedule_timer(0)


async def coroutine_function() -> None:
    pass


YIELDS: dict[str, Body] = {
    "None": lambda ctx: None,
    "int": lambda ctx: 5,
    "text": lambda ctx: "A",
    "dict": lambda ctx: {"type": "activity", "name": "A"},
    "list of tasks": lambda ctx: [ctx.schedule_timer(0), ctx.schedule_timer(0)],
    "generator function": lambda ctx: helper,
    "bound method": lambda ctx: ctx.schedule_timer,
    "context": lambda ctx: ctx,
    "exception": lambda ctx: ValueError("x"),
    "list iterator": lambda ctx: iter([1, 2]),
    "generator expression over ints in all": lambda ctx: ctx.all(i for i in [1, 2]),
    "int in all": lambda ctx: ctx.all([1]),
    "None in race": lambda ctx: ctx.race(ctx.schedule_timer(0), None),
    "continue_as_new in all": lambda ctx: ctx.all([ctx.continue_as_new(1)]),
    "continue_as_new in race": lambda ctx: ctx.race(ctx.continue_as_new(1)),
    "race of nothing": lambda ctx: ctx.race(),
    "all of None": lambda ctx: ctx.all(None),
    "all of a task": lambda ctx: ctx.all(ctx.schedule_timer(0)),
}


def run_bad(engine: Engine, body: Body) -> tuple[list[Any], str]:
    """What an orchestration catches around the yield, and its error when it does not."""
    runtime = engine.runtime()
    runtime.register_activity("A", lambda ctx, input: input)

    @runtime.register_orchestration("Catches")
    def catches(ctx: Any, input: Any) -> Any:
        try:
            yield body(ctx)
        except Exception as e:
            after = yield ctx.schedule_activity("A", "after")
            return [type(e).__name__, isinstance(e, (TypeError, ValueError)), str(e), after]
        return "no error"

    @runtime.register_orchestration("Fails")
    def fails(ctx: Any, input: Any) -> Any:
        yield body(ctx)

    runtime.start()
    caught = engine.run("Catches")
    return caught, engine.error(engine.start("Fails"))


@pytest.mark.parametrize("kind", YIELDS)
def test_yield_of_what_is_no_task(memory: Engine, kind: str) -> None:
    caught, error = run_bad(memory, YIELDS[kind])
    assert caught != "no error"
    name, wrong, text, after = caught
    assert wrong, name
    assert after == "after", "the generator may catch it and go on"
    assert text
    assert " at 0x" not in text, "no address: a replay must raise the same text"
    assert "test_yields.py" in error, "the uncaught error shows the line"


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("None", "None"), ("generator function", "call"), ("list of tasks", "all"), ("int", "int")],
)
def test_text_names_the_usual_slip(memory: Engine, kind: str, hint: str) -> None:
    caught, _ = run_bad(memory, YIELDS[kind])
    assert hint in caught[2]


AT_ONCE = {
    "set_custom_status": "'x'",
    "reset_custom_status": "",
    "set_kv_value": "'k', 1",
    "clear_kv_value": "'k'",
    "clear_all_kv_values": "",
    "trace_info": "'x'",
    "trace_warn": "'x'",
    "trace_error": "'x'",
    "trace_debug": "'x'",
}


@pytest.mark.parametrize("call", AT_ONCE)
def test_yield_of_a_call_that_needs_none_says_so(memory: Engine, call: str) -> None:
    code = f"""
def flow(ctx, input):
    ctx.set_custom_status("before")
    try:
        yield ctx.{call}({AT_ONCE[call]})
    except TypeError as e:
        return [str(e), (yield ctx.schedule_activity("A", "after"))]
"""
    made: dict[str, Any] = {}
    exec(compile(code, __file__, "exec"), made)
    runtime = memory.runtime()
    runtime.register_activity("A", lambda ctx, input: input)
    runtime.register_orchestration("W", made["flow"])
    runtime.start()
    text = f"what was yielded is None, not a task: ctx.{call} acts at once and needs no yield"
    assert memory.run("W") == [text, "after"]


def test_yield_of_nothing_behind_such_a_call_is_told_as_that(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def flow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("x")
        try:
            yield
        except TypeError as e:
            return str(e)

    runtime.start()
    assert memory.run("W").startswith("what was yielded is None, not a task: yield what a method of ctx gives")


CALLS: dict[str, Body] = {
    "activity name empty": lambda ctx: ctx.schedule_activity(""),
    "activity name None": lambda ctx: ctx.schedule_activity(None),
    "activity name nul": lambda ctx: ctx.schedule_activity("a\0"),
    "activity name long": lambda ctx: ctx.schedule_activity("x" * 2049),
    "activity input": lambda ctx: ctx.schedule_activity("A", object()),
    "activity session": lambda ctx: ctx.schedule_activity("A", 1, session_id=5),
    "activity session empty": lambda ctx: ctx.schedule_activity("A", 1, session_id=""),
    "on session None": lambda ctx: ctx.schedule_activity_on_session("A", 1, None),
    "activity timeout": lambda ctx: ctx.schedule_activity("A", 1, timeout_ms=-1),
    "timer negative": lambda ctx: ctx.schedule_timer(-1),
    "timer text": lambda ctx: ctx.schedule_timer("5"),
    "timer bool": lambda ctx: ctx.schedule_timer(True),
    "timer fraction": lambda ctx: ctx.schedule_timer(0.5),
    "timer nan": lambda ctx: ctx.schedule_timer(math.nan),
    "timer None": lambda ctx: ctx.schedule_timer(None),
    "timer huge": lambda ctx: ctx.schedule_timer(2**80),
    "event name": lambda ctx: ctx.wait_for_event(""),
    "event name int": lambda ctx: ctx.wait_for_event(5),
    "queue name": lambda ctx: ctx.dequeue_event(""),
    "child name": lambda ctx: ctx.schedule_sub_orchestration(""),
    "child id": lambda ctx: ctx.schedule_sub_orchestration_with_id("C", ""),
    "child id long": lambda ctx: ctx.schedule_sub_orchestration_with_id("C", "x" * 1025),
    "child input": lambda ctx: ctx.schedule_sub_orchestration("C", {1, 2}),
    "child version": lambda ctx: ctx.schedule_sub_orchestration_versioned("C", "one"),
    "detached id": lambda ctx: ctx.start_orchestration("C", ""),
    "detached input": lambda ctx: ctx.start_orchestration("C", "i", b"x"),
    "continue input": lambda ctx: ctx.continue_as_new(object()),
    "continue version": lambda ctx: ctx.continue_as_new_versioned(1, "x"),
    "tag empty": lambda ctx: ctx.schedule_activity("A").with_tag(""),
    "tag long": lambda ctx: ctx.schedule_activity("A").with_tag("x" * 257),
    "tag int": lambda ctx: ctx.schedule_activity("A").with_tag(5),
    "tag on a timer": lambda ctx: ctx.schedule_timer(1).with_tag("x"),
    "status nul": lambda ctx: ctx.set_custom_status("a\0b"),
    "kv key nul": lambda ctx: ctx.set_kv_value("a\0b", "v"),
    "kv key int": lambda ctx: ctx.set_kv_value(5, "v"),
    "kv value nul": lambda ctx: ctx.set_kv_value("k", "a\0b"),
    "kv get int": lambda ctx: ctx.get_kv_value(5),
    "prune text": lambda ctx: ctx.prune_kv_values_updated_before("x"),
    "retry no dict": lambda ctx: ctx.schedule_activity_with_retry("A", 1, 3),
    "retry zero": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"max_attempts": 0}),
    "retry text": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"max_attempts": "3"}),
    "retry key": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"max_atempts": 3}),
    "retry backoff": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"backoff": "fast"}),
    "retry both": lambda ctx: ctx.schedule_activity_with_retry(
        "A", 1, {"backoff": "none", "backoff_strategy": "fixed"}
    ),
    "retry timeout": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"timeout_ms": -5}),
    "retry total": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"total_timeout_ms": "x"}),
    "retry timeout of nothing": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"timeout_ms": 0}),
    "retry total of nothing": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"totalTimeoutMs": 0}),
    "retry typed no dict": lambda ctx: ctx.schedule_activity_with_retry_typed("A", 1, []),
    "typed without session": lambda ctx: ctx.schedule_activity_on_session_typed("A", 1),
    "retry typed without session": lambda ctx: ctx.schedule_activity_with_retry_on_session_typed("A", 1, {}),
    "retry initial": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"initial_ms": -1}),
    "retry multiplier": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"multiplier": 0}),
    "retry jitter": lambda ctx: ctx.schedule_activity_with_retry("A", 1, {"jitter": 2}),
    "other instance": lambda ctx: ctx.get_kv_value_from_instance("", "k"),
}


@pytest.mark.parametrize("kind", CALLS)
def test_call_with_a_wrong_argument(memory: Engine, kind: str) -> None:
    """It raises at the line that makes the task, before anything is recorded."""
    runtime = memory.runtime()
    runtime.register_activity("A", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            CALLS[kind](ctx)
        except (ValueError, TypeError) as e:
            said = str(e)
            assert said
            return ["refused", (yield ctx.schedule_activity("A", "after"))]
        return "taken"

    runtime.start()
    instance = memory.start("W")
    assert memory.output(instance) == ["refused", "after"]
    assert len(memory.events(instance)) == 4, "start, activity, its result, end: nothing else"


def test_task_of_another_context(memory: Engine) -> None:
    runtime = memory.runtime(verify_replay=0.0)  # what it shares is no good for a replay
    runtime.register_activity("A", lambda ctx, input: input)
    strangers: list[Any] = []

    @runtime.register_orchestration("Gives")
    def gives(ctx: Any, input: Any) -> Any:
        strangers.append(helper(ctx))
        strangers.append(ctx.schedule_timer(0))
        yield ctx.wait_for_event("end")

    @runtime.register_orchestration("Takes")
    def takes(ctx: Any, n: int) -> Any:
        try:
            yield strangers[n]
        except TypeError as e:
            return str(e)
        return "taken"

    runtime.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        giver = memory.start("Gives")
        memory.recorded(giver, "ExternalSubscribed")
        assert memory.run("Takes", 0) != "taken"
        assert memory.run("Takes", 1) != "taken"
        memory.client.raise_event(giver, "end")
        memory.output(giver)


@pytest.mark.parametrize("state", ["started", "closed", "used"])
def test_generator_that_is_not_fresh(memory: Engine, state: str) -> None:
    runtime = memory.runtime(verify_replay=0.0)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        branch = helper(ctx)
        if state == "started":
            next(branch)
        elif state == "closed":
            branch.close()
        else:
            yield branch
        try:
            yield branch
        except TypeError:
            return "refused"
        return "taken"

    runtime.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert memory.run("W") == "refused"


def test_same_generator_twice_in_one_all(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        branch = helper(ctx)
        try:
            yield ctx.all([branch, branch])
        except TypeError:
            return "refused"

    runtime.start()
    assert memory.run("W") == "refused"


def test_task_made_and_never_yielded_is_warned_of_with_its_line(memory: Engine) -> None:
    runtime = memory.runtime()
    ran: list[Any] = []
    runtime.register_activity("A", lambda ctx, input: ran.append(input))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.schedule_activity("A", "forgotten")
        yield ctx.schedule_timer(0)
        return "end"

    runtime.start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert memory.run("W") == "end"

        def said() -> bool:
            texts = memory.logs.messages() + [f"{w.message} {w.filename}" for w in caught]
            return any("never yielded" in t and "test_yields.py" in t for t in texts)

        eventually(said, "a warning with the line")
    assert ran == []


def test_context_used_from_another_thread(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        said: list[str] = []

        def use() -> None:
            try:
                ctx.set_custom_status("from elsewhere")
            except duroxide.RuntimeStateError as e:
                said.append(str(e))

        other = threading.Thread(target=use)
        other.start()
        other.join()
        yield ctx.schedule_timer(0)
        return len(said)

    runtime.start()
    instance = memory.start("W")
    assert memory.output(instance) == 1
    assert memory.client.get_status(instance).custom_status is None


def test_context_used_after_the_end(memory: Engine) -> None:
    runtime = memory.runtime()
    kept: list[Any] = []

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        kept.append(ctx)
        yield ctx.schedule_timer(0)

    runtime.start()
    memory.run("W")
    for ctx in kept:
        with pytest.raises(duroxide.RuntimeStateError):
            ctx.set_custom_status("late")


def test_blocking_client_call_inside_a_generator(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_timer(0)
        memory.client.wait_for_orchestration("other", 60_000)

    runtime.start()
    error = memory.error(memory.start("W"))
    assert "RuntimeStateError" in error
    assert "test_yields.py" in error


def test_activity_context_outside_its_activity(memory: Engine) -> None:
    runtime = memory.runtime()
    kept: list[Any] = []
    runtime.register_activity("A", lambda ctx, input: kept.append(ctx))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("A")

    runtime.start()
    memory.run("W")
    with pytest.raises(RuntimeError, match="Activity context not found"):
        kept[0].get_client()
