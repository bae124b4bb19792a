"""What errors tell: the lines of both the activity and the workflow, fields, classes."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

import duroxide
from duroxide import (
    ActivityError,
    NondeterminismError,
    OrchestrationContext,
    OrchestrationError,
    Runtime,
    SubOrchestrationError,
)
from duroxide._errors import failure_error
from harness import WAIT_MS, Engine


def workflows(runtime: Runtime) -> None:
    @runtime.register_activity("Charge")
    def charge(ctx: Any, input: Any) -> Any:
        raise ValueError("card declined")

    @runtime.register_orchestration("Uncaught")
    def uncaught(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Charge", input)

    @runtime.register_orchestration("Wrapped")
    def wrapped(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity_with_retry("Charge", input, {"max_attempts": 2, "backoff": "none"})
        except ActivityError as e:
            raise RuntimeError("no parcel today") from e

    @runtime.register_orchestration("Branches")
    def branches(ctx: Any, input: Any) -> Any:
        def branch() -> Any:
            yield ctx.schedule_activity("Charge", input)

        yield ctx.race(branch())

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_sub_orchestration("Uncaught", input)


def line_of(text: str) -> int:
    """Where this file says it."""
    with open(__file__, encoding="utf-8") as f:
        return next(n for n, line in enumerate(f, 1) if text in line)


@pytest.mark.parametrize("name", ["Uncaught", "Wrapped", "Branches", "Parent"])
def test_a_failed_instance_shows_the_lines_of_the_activity_and_of_the_workflow(engine: Engine, name: str) -> None:
    runtime = engine.runtime()
    workflows(runtime)
    runtime.start()
    error = engine.error(engine.start(name))
    activity, told, workflow = error.partition("The above was raised in activity 'Charge'")
    assert told, error
    assert re.search(rf'test_errors\.py", line {line_of("card declined")}, in charge', activity), error
    assert "ValueError: card declined" in activity
    waiting = "yield ctx.schedule_activity_with_retry" if name == "Wrapped" else "yield ctx.schedule_activity("
    assert f'test_errors.py", line {line_of(waiting)}' in workflow or name == "Branches", error
    assert "attempt 2, for which the orchestration was waiting" in error or name != "Wrapped", error
    last = (
        "RuntimeError: no parcel today"
        if name == "Wrapped"
        else "Activity 'Charge' call failed: ValueError: card declined"
    )
    assert error.endswith(last)
    assert "duroxide/_" not in error, "frames of the engine are nobody's business"


def test_errors_of_clients_carry_where_and_what(engine: Engine) -> None:
    runtime = engine.runtime()
    workflows(runtime)
    runtime.start()
    instance = engine.start("Uncaught")
    with pytest.raises(OrchestrationError) as raised:
        engine.client.wait_for_orchestration_typed(instance, WAIT_MS)
    assert raised.value.location.endswith(f"test_errors.py:{line_of('yield ctx.schedule_activity(')}")
    with pytest.raises(OrchestrationError) as again:
        engine.client.get_status(instance).raise_for_status()
    assert (str(again.value), again.value.location) == (str(raised.value), raised.value.location)


def test_errors_in_workflows_carry_type_traceback_and_attempt(engine: Engine) -> None:
    caught: list[Any] = []
    runtime = engine.runtime()
    workflows(runtime)

    @runtime.register_orchestration("Looks")
    def looks(ctx: Any, input: Any) -> Any:
        caught.clear()
        try:
            yield ctx.schedule_activity_with_retry("Charge", input, {"max_attempts": 3, "backoff": "none"})
        except ActivityError as e:
            caught.append((e.activity_name, e.original_type, e.attempt, e.original_traceback.splitlines()[-1], str(e)))
        try:
            yield ctx.schedule_sub_orchestration_with_id("Uncaught", f"{ctx.instance_id}-child", input)
        except SubOrchestrationError as e:
            caught.append(e.instance_id)
        return "looked"

    runtime.start()
    instance = engine.start("Looks")
    assert engine.output(instance) == "looked"
    assert caught == [
        (
            "Charge",
            "ValueError",
            3,
            "ValueError: card declined",
            "Activity 'Charge' call failed: ValueError: card declined",
        ),
        f"{instance}-child",
    ]


def test_nondeterminism_names_both_lines(engine: Engine) -> None:
    engine.expected_errors.append("nondeterministic")

    def first(runtime: Runtime) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            yield ctx.wait_for_event("recorded")

    def second(runtime: Runtime) -> None:
        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            yield ctx.wait_for_event("changed")

    runtime = engine.runtime()
    first(runtime)
    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    engine.restart(runtime, second)
    engine.client.raise_event(instance, "recorded")
    with pytest.raises(NondeterminismError) as raised:
        engine.client.wait_for_orchestration_typed(instance, WAIT_MS)
    for text in ('wait_for_event("recorded")', 'wait_for_event("changed")'):
        assert f"test_errors.py:{line_of('yield ctx.' + text)}" in str(raised.value)
    assert raised.value.location.endswith(
        f"test_errors.py:{line_of('yield ctx.wait_for_event(' + chr(34) + 'changed')}"
    )


def test_tasks_are_read_like_dictionaries() -> None:
    ctx = OrchestrationContext({"instance_id": "i"})
    for task, fields in [
        (ctx.schedule_activity("A", 1), {"type": "activity", "name": "A", "input": "1"}),
        (
            ctx.schedule_activity("A", 1, "s").with_tag("g"),
            {"type": "activityWithSession", "name": "A", "input": "1", "sessionId": "s", "tag": "g"},
        ),
        (
            ctx.schedule_activity_with_retry("A", 1, {"backoff": "fixed", "timeout_ms": 5}),
            {
                "type": "activityWithRetry",
                "name": "A",
                "input": "1",
                "retry": {"maxAttempts": 3, "timeoutMs": 5, "totalTimeoutMs": None, "backoff": "fixed"},
            },
        ),
        (ctx.schedule_timer(0), {"type": "timer", "delayMs": 0}),
        (ctx.wait_for_event("e"), {"type": "waitEvent", "name": "e"}),
        (ctx.dequeue_event("q"), {"type": "dequeueEvent", "queueName": "q"}),
        (ctx.schedule_sub_orchestration("C"), {"type": "subOrchestration", "name": "C", "input": "null"}),
        (
            ctx.schedule_sub_orchestration_versioned_with_id("C", "1.0.0", "id", 1),
            {
                "type": "subOrchestrationVersionedWithId",
                "name": "C",
                "version": "1.0.0",
                "instanceId": "id",
                "input": "1",
            },
        ),
        (
            ctx.start_orchestration("C", "id", 1),
            {"type": "orchestration", "name": "C", "instanceId": "id", "input": "1"},
        ),
        (
            ctx.continue_as_new_versioned(1, "1.0.0"),
            {"type": "continueAsNewVersioned", "version": "1.0.0", "input": "1"},
        ),
        (ctx.new_guid(), {"type": "newGuid"}),
        (ctx.utc_now(), {"type": "utcNow"}),
    ]:
        assert dict(task.items()) == fields
    timer = ctx.schedule_timer(1)
    assert (ctx.all([timer])["type"], ctx.race(timer)["type"]) == ("join", "select")
    assert ctx.all([timer])["tasks"] == [timer]
    assert repr(ctx.all([timer, timer])) == "<ScheduledTask all of 2>"
    assert repr(ctx.schedule_activity("A", 1)) == "<ScheduledTask activity 'A'>"


CLASSES = [
    thing
    for name in duroxide.__all__
    if isinstance(thing := getattr(duroxide, name), type) and issubclass(thing, BaseException)
]
EXAMPLES = [
    *(kind("what failed") for kind in CLASSES),
    duroxide.ProviderError("what failed", operation="open", retryable=True),
    *(
        failure_error(kind, "what failed", "ValueError", "Traceback ...", "Charge", instance, 3)
        for kind in ("activity", "timeout", "orchestration", "cancelled", "nondeterminism")
        for instance in ("", "child")
    ),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("way", ["pickle", "oldest pickle", "copy"])
def test_errors_go_to_other_processes_as_they_are(error: Exception, way: str) -> None:
    if isinstance(error, OrchestrationError):
        error.location = "shop.py:7"
    if way == "copy":
        again = copy.copy(error)
    else:
        again = pickle.loads(pickle.dumps(error, 0 if way == "oldest pickle" else pickle.HIGHEST_PROTOCOL))
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_cancelled_child_goes_to_other_processes_as_both_that_it_is() -> None:
    again = pickle.loads(pickle.dumps(failure_error("cancelled", "canceled: x", instance="child")))
    assert isinstance(again, duroxide.Cancelled)
    assert isinstance(again, SubOrchestrationError)
    assert again.instance_id == "child"
