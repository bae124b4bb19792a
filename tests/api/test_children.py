"""Sub-orchestrations and detached starts: links, failures, cancellation, ids in use."""

from __future__ import annotations

import json
from typing import Any

import duroxide
from harness import Engine


def test_child_that_continues_as_new_reports_to_its_parent(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Child")
    def child(ctx: Any, n: int) -> Any:
        yield ctx.schedule_timer(1)
        if n:
            yield ctx.continue_as_new(n - 1)
        return [ctx.instance_id, ctx.execution_id, ctx.parent_instance_id]

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_sub_orchestration("Child", 3))

    runtime.start()
    assert engine.run("Parent", None, "p") == ["p::sub::2", 4, "p"]


def test_parent_in_a_later_execution_hears_of_its_child(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Child", lambda ctx, input: input * 2)

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, n: int) -> Any:
        doubled = yield ctx.schedule_sub_orchestration("Child", n)
        if n < 4:
            yield ctx.continue_as_new(n + 1)
        return doubled

    runtime.start()
    instance = engine.start("Parent", 1)
    assert engine.output(instance) == 8
    assert engine.client.list_executions(instance) == [1, 2, 3, 4]


def test_cancel_goes_from_parent_to_all_descendants(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Leaf")
    def leaf(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_event("never")

    @runtime.register_orchestration("Middle")
    def middle(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_sub_orchestration_with_id("Leaf", f"leaf-{input}")

    @runtime.register_orchestration("Root")
    def root(ctx: Any, input: Any) -> Any:
        yield ctx.all([ctx.schedule_sub_orchestration_with_id("Middle", f"middle-{n}", n) for n in range(3)])

    runtime.start()
    engine.start("Root", None, "root")
    for n in range(3):
        engine.status_is(f"leaf-{n}", "waiting")
    assert set(engine.client.get_instance_tree("root").all_ids) == {
        "root",
        *(f"{kind}-{n}" for kind in ("middle", "leaf") for n in range(3)),
    }
    engine.client.cancel_instance("root", "enough")
    assert engine.error("root") == "canceled: enough"
    for n in range(3):
        assert engine.error(f"middle-{n}") == "canceled: parent canceled"
        assert engine.error(f"leaf-{n}") == "canceled: parent canceled"


def test_directly_cancelled_child_is_an_error_in_its_parent(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Child")
    def child(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_event("never")

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_sub_orchestration_with_id("Child", "the-child")
        except duroxide.Cancelled as e:
            return str(e)

    runtime.start()
    instance = engine.start("Parent")
    engine.status_is("the-child", "waiting")
    engine.client.cancel_instance("the-child", "by hand")
    assert engine.output(instance) == "canceled: by hand"


def test_losing_child_is_cancelled(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Child")
    def child(ctx: Any, input: Any) -> Any:
        yield ctx.wait_for_event("never")

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        won = yield ctx.race(
            ctx.schedule_sub_orchestration_with_id("Child", "named"),
            ctx.schedule_sub_orchestration("Child"),
            ctx.schedule_timer(20),
        )
        return won["index"]

    runtime.start()
    instance = engine.start("Parent")
    assert engine.output(instance) == 2
    assert engine.error("named").startswith("canceled: parent dropped")
    assert engine.error(f"{instance}::sub::3").startswith("canceled: parent dropped")
    assert engine.kinds(instance).count("SubOrchestrationCancelRequested") == 2


def test_child_id_in_use_fails_at_once(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)

    @runtime.register_orchestration("Waiting")
    def waiting(ctx: Any, input: Any) -> Any:
        return (yield ctx.wait_for_event("go"))

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_sub_orchestration_with_id("Now", input)
        except duroxide.SubOrchestrationError as e:
            return str(e)

    runtime.start()
    engine.run("Now", 1, "ended")
    engine.start("Waiting", None, "running")
    engine.recorded("running", "ExternalSubscribed")
    for taken in ("ended", "running"):
        assert "already exists" in engine.run("Parent", taken)
    assert engine.client.get_instance_info("running").parent_instance_id is None
    engine.client.raise_event("running", "go", 5)
    assert engine.output("running") == 5, "the one that had the id is not touched"


def test_child_failure_carries_its_text(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Boom")
    def boom(ctx: Any, input: Any) -> Any:
        raise ValueError("deep down")

    @runtime.register_orchestration("Grandchild")
    def grandchild(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Boom")

    @runtime.register_orchestration("Child")
    def child(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_sub_orchestration("Grandchild")

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_sub_orchestration("Child")

    runtime.start()
    instance = engine.start("Parent")
    text = "Activity 'Boom' call failed: ValueError: deep down"
    assert text in engine.error(instance)
    assert text in engine.error(f"{instance}::sub::2")
    assert text in engine.error(f"{instance}::sub::2::sub::2")


def test_child_runs_the_version_that_was_asked_for(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Child", lambda ctx, input: "1.0.0")
    runtime.register_orchestration_versioned("Child", "2.0.0", lambda ctx, input: "2.0.0")

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        return [
            (yield ctx.schedule_sub_orchestration("Child")),
            (yield ctx.schedule_sub_orchestration_versioned("Child", "1.0.0")),
            (yield ctx.schedule_sub_orchestration_versioned("Child", None)),
            (yield ctx.schedule_sub_orchestration_versioned_with_id("Child", "1.0.0", "c4", None)),
            (yield ctx.start_orchestration_versioned("Child", "1.0.0", "d5", None)),
        ]

    runtime.start()
    assert engine.run("Parent") == ["2.0.0", "1.0.0", "2.0.0", "1.0.0", None]
    assert engine.output("d5") == "1.0.0"


def test_detached_start_is_sent_even_when_the_turn_ends_the_instance(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Other", lambda ctx, input: input)

    @runtime.register_orchestration("Ends")
    def ends(ctx: Any, how: str) -> Any:
        yield ctx.start_orchestration("Other", f"other-{how}", how)
        if how == "fails":
            raise ValueError("after the start")
        if how == "continues" and ctx.execution_id == 1:
            yield ctx.continue_as_new(how)
        return how

    runtime.start()
    for how in ("returns", "fails", "continues"):
        engine.wait(engine.start("Ends", how))
        assert engine.output(f"other-{how}") == how


def test_detached_start_of_an_id_in_use_changes_nothing(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Other", lambda ctx, input: input)

    @runtime.register_orchestration("Starter")
    def starter(ctx: Any, input: Any) -> Any:
        yield ctx.start_orchestration("Other", "taken", 2)
        return "on"

    runtime.start()
    assert engine.run("Other", 1, "taken") == 1
    assert engine.run("Starter") == "on"
    assert engine.output("taken") == 1


def test_many_children_fan_out(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Add")
    def add(ctx: Any, n: int) -> int:
        return n + 1

    @runtime.register_orchestration("Child")
    def child(ctx: Any, n: int) -> Any:
        return (yield ctx.schedule_activity("Add", n))

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, count: int) -> Any:
        tasks = [ctx.schedule_sub_orchestration("Child", n) for n in range(count)]
        return [r["ok"] for r in (yield ctx.all(tasks))]

    runtime.start()
    instance = engine.start("Parent", 60)
    assert engine.output(instance) == list(range(1, 61))
    assert engine.client.get_instance_tree(instance).size == 61


def test_history_names_the_child(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Child", lambda ctx, input: input)

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_sub_orchestration_with_id("Child", "kept", {"a": 1}))

    runtime.start()
    engine.run("Parent", None, "p")
    events = engine.events("p")
    scheduled = next(e for e in events if e.kind == "SubOrchestrationScheduled")
    data = json.loads(scheduled.data)
    assert (data["name"], data["instance"]) == ("Child", "kept")
    completed = next(e for e in events if e.kind == "SubOrchestrationCompleted")
    assert completed.source_event_id == scheduled.event_id
    assert json.loads(completed.data) == {"a": 1}
