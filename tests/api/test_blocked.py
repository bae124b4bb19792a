"""A bad deploy: what runs fails or is blocked, and goes on with mended code."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import InstanceNotFound, InvalidArgument, NondeterminismError, OrchestrationError, Runtime
from harness import WAIT_MS, Engine, eventually


def good(runtime: Runtime) -> None:
    """Charge, wait for the approval, ship."""
    runtime.register_activity("Charge", lambda ctx, x: f"charged {x}")
    runtime.register_activity("Ship", lambda ctx, x: f"shipped {x}")

    @runtime.register_orchestration("Order")
    def order(ctx: Any, input: Any) -> Any:
        charged = yield ctx.schedule_activity("Charge", input)
        ctx.set_custom_status("charged")
        approval = yield ctx.wait_for_event("approve")
        shipped = yield ctx.schedule_activity("Ship", input)
        return [charged, approval, shipped]


def bad(runtime: Runtime) -> None:
    """The deploy that swaps the steps."""
    runtime.register_activity("Charge", lambda ctx, x: f"charged {x}")
    runtime.register_activity("Ship", lambda ctx, x: f"shipped {x}")

    @runtime.register_orchestration("Order")
    def order(ctx: Any, input: Any) -> Any:
        shipped = yield ctx.schedule_activity("Ship", input)
        approval = yield ctx.wait_for_event("approve")
        charged = yield ctx.schedule_activity("Charge", input)
        return [charged, approval, shipped]


def under_bad_code(engine: Engine, instance: str = "o", **options: Any) -> Runtime:
    """An order that stands at its approval when the bad deploy comes, and the approval after it."""
    engine.expected_errors += ["instance is blocked", "nondeterministic: schedule mismatch"]
    runtime = engine.runtime()
    good(runtime)
    runtime.start()
    engine.start("Order", 7, instance)
    engine.status_is(instance, "charged")
    runtime = engine.restart(runtime, bad, **options)
    engine.client.raise_event(instance, "approve", "yes")
    return runtime


def test_a_blocked_instance_waits_visibly_and_goes_on_with_mended_code(engine: Engine) -> None:
    runtime = under_bad_code(engine, on_nondeterminism="block")
    blocked = eventually(lambda: engine.client.get_status("o").blocked, "the order is blocked")
    assert blocked.startswith("nondeterministic: schedule mismatch")
    assert "Charge" in blocked
    assert "Ship" in blocked
    status = engine.client.get_status("o")
    assert (status.status, status.error, status.custom_status) == ("Running", None, "charged")
    code = engine.client.get_waiting("o")[0]
    assert (code.kind, code.name, code.event_id) == ("code", blocked, 0)
    assert "test_blocked.py:" in code.location
    assert code.since > 0
    listed = engine.client.list_instances(blocked=True)
    assert [(i.instance_id, i.status, i.blocked) for i in listed.items] == [("o", "Running", blocked)]
    assert [i.instance_id for i in engine.client.iter_instances(blocked=False)] == []
    assert runtime.health()["blocked"] == [f"o: {blocked}"]
    engine.restart(runtime, good)
    assert engine.output("o") == ["charged 7", "yes", "shipped 7"]
    assert engine.client.get_status("o").blocked is None
    assert engine.client.list_instances(blocked=True).items == []
    assert engine.kinds("o").count("ActivityScheduled") == 2


def test_a_blocked_instance_costs_no_replays_and_hears_of_its_cancel(engine: Engine) -> None:
    runtime = under_bad_code(engine, on_nondeterminism="block", dispatcher_poll_interval_ms=1)
    eventually(lambda: engine.client.get_status("o").blocked, "the order is blocked")
    replayed = runtime._counters()["events_replayed"]
    looks = runtime.metrics_snapshot().orch_dispatcher_items_fetched  # type: ignore[union-attr]
    for n in range(3):
        engine.client.raise_event("o", "approve", n)
        eventually(lambda: runtime.metrics_snapshot().orch_dispatcher_items_fetched > looks, "a look")  # type: ignore[union-attr]
        looks = runtime.metrics_snapshot().orch_dispatcher_items_fetched  # type: ignore[union-attr]
    assert runtime._counters()["events_replayed"] == replayed
    engine.client.revive_instance("o")  # runs: nothing to do
    engine.client.cancel_instance("o", "enough")
    assert engine.error("o") == "canceled: enough"


def test_both_old_and_new_code_at_once_let_the_instance_go_on(engine: Engine) -> None:
    """In a rolling deploy the node with the old code takes what the new one cannot run."""
    under_bad_code(engine, on_nondeterminism="block")
    other = engine.runtime(on_nondeterminism="block")
    good(other)
    other.start()
    assert engine.output("o") == ["charged 7", "yes", "shipped 7"]


def test_a_failed_instance_is_revived_where_it_stood(engine: Engine) -> None:
    runtime = under_bad_code(engine)
    assert engine.error("o").startswith("nondeterministic: ")
    with pytest.raises(NondeterminismError):
        engine.client.wait_for_orchestration_typed("o", WAIT_MS)
    runtime = engine.restart(runtime, good)
    before = engine.kinds("o")
    assert before[-1] == "OrchestrationFailed"
    engine.client.revive_instance("o")
    assert engine.client.get_status("o").status == "Running"
    # The event that came while it was failing went with it.
    engine.client.raise_event("o", "approve", "yes, again")
    assert engine.output("o") == ["charged 7", "yes, again", "shipped 7"]
    assert engine.kinds("o")[: len(before) - 1] == before[:-1]
    assert runtime.metrics_snapshot().orch_completions == 1  # type: ignore[union-attr]


def test_activities_timers_and_children_under_way_are_taken_up_again(engine: Engine) -> None:
    def code(runtime: Runtime, first: str) -> None:
        runtime.register_activity("A", lambda ctx, x: x)
        runtime.register_activity("B", lambda ctx, x: x)

        @runtime.register_orchestration("Child")
        def child(ctx: Any, input: Any) -> Any:
            return (yield ctx.wait_for_event("go"))

        @runtime.register_orchestration("Parent")
        def parent(ctx: Any, input: Any) -> Any:
            yield ctx.schedule_activity(first, 0)
            ctx.set_custom_status("begun")
            slow = ctx.schedule_activity("B", "b").with_tag("elsewhere")
            timer = ctx.schedule_timer(400)
            child = ctx.schedule_sub_orchestration_with_id("Child", "child")
            return (yield ctx.all([slow, timer, child, ctx.dequeue_event("q")]))

    engine.expected_errors.append("nondeterministic: schedule mismatch")
    runtime = engine.runtime()
    code(runtime, "A")
    runtime.start()
    engine.start("Parent", None, "p")
    engine.status_is("p", "begun")
    eventually(lambda: engine.client.get_status("child").status == "Running", "the child begins")
    runtime = engine.restart(runtime, lambda r: code(r, "B"))
    engine.client.enqueue_event("p", "q", "lost with the failure")
    assert engine.error("p").startswith("nondeterministic: ")
    engine.client.raise_event("child", "go", "child's")  # it ends while its parent has failed
    assert engine.output("child") == "child's"
    engine.restart(runtime, lambda r: code(r, "A"), worker_tag_filter="any")
    engine.client.revive_instance("p")
    engine.client.enqueue_event("p", "q", "mail")
    assert engine.output("p") == [{"ok": "b"}, {"ok": None}, {"ok": "child's"}, {"ok": "mail"}]


def test_a_parent_that_failed_over_its_child_is_revived_with_it(engine: Engine) -> None:
    def code(runtime: Runtime, first: str) -> None:
        runtime.register_activity("A", lambda ctx, x: x)
        runtime.register_activity("B", lambda ctx, x: x)

        @runtime.register_orchestration("Child")
        def child(ctx: Any, input: Any) -> Any:
            yield ctx.schedule_activity(first, 0)
            ctx.set_custom_status("begun")
            return (yield ctx.wait_for_event("go"))

        @runtime.register_orchestration("Parent")
        def parent(ctx: Any, input: Any) -> Any:
            return (yield ctx.schedule_sub_orchestration_with_id("Child", "child"))

    engine.expected_errors.append("nondeterministic: schedule mismatch")
    runtime = engine.runtime()
    code(runtime, "A")
    runtime.start()
    engine.start("Parent", None, "p")
    engine.status_is("child", "begun")
    runtime = engine.restart(runtime, lambda r: code(r, "B"))
    engine.client.raise_event("child", "go", 1)
    assert "nondeterministic" in engine.error("p")
    engine.restart(runtime, lambda r: code(r, "A"))
    engine.client.revive_instance("p")
    engine.client.raise_event("child", "go", 2)
    assert engine.output("p") == 2


def test_what_failed_by_its_own_fault_or_not_at_all_is_not_revived(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Fails")
    def fails(ctx: Any, input: Any) -> Any:
        raise ValueError("its own")

    runtime.register_orchestration("Works", lambda ctx, x: x)
    runtime.start()
    with pytest.raises(InstanceNotFound, match="Instance nobody not found"):
        engine.client.revive_instance("nobody")
    failed = engine.start("Fails")
    engine.error(failed)
    with pytest.raises(InvalidArgument, match="failed by its own code"):
        engine.client.revive_instance(failed)
    works = engine.start("Works")
    engine.output(works)
    with pytest.raises(InvalidArgument, match="has not failed"):
        engine.client.revive_instance(works)
    with pytest.raises(InvalidArgument, match="blocked must be"):
        engine.client.list_instances(blocked="yes")  # type: ignore[arg-type]
    with pytest.raises(OrchestrationError, match="its own"):
        engine.client.get_status(failed).raise_for_status()
