"""Names and versions that nobody has: work waits, with a warning, until they exist."""

from __future__ import annotations

from typing import Any, Callable

import pytest

import duroxide
from harness import Engine


def known(runtime: duroxide.Runtime) -> None:
    runtime.register_activity("ChargeCard", lambda ctx, input: input)
    runtime.register_orchestration("Checkout", lambda ctx, input: input)

    @runtime.register_orchestration("CallsActivity")
    def calls_activity(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("ChargeCart", input))

    @runtime.register_orchestration("CallsChild")
    def calls_child(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_sub_orchestration("Chekout", input))

    @runtime.register_orchestration("CallsChildVersion")
    def calls_child_version(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_sub_orchestration_versioned("Checkout", "9.0.0", input))

    @runtime.register_orchestration("ContinuesAsVersion")
    def continues(ctx: Any, input: Any) -> Any:
        yield ctx.continue_as_new_versioned(input, "9.0.0")


def missing(runtime: duroxide.Runtime) -> None:
    """What the names above lack."""
    runtime.register_activity("ChargeCart", lambda ctx, input: input)
    runtime.register_orchestration("Chekout", lambda ctx, input: input)
    for name in ("Checkout", "ContinuesAsVersion"):
        runtime.register_orchestration_versioned(name, "9.0.0", lambda ctx, input: input)


STARTS: dict[str, Callable[[Engine], Any]] = {
    "Chekout": lambda e: e.client.start_orchestration("i", "Chekout", 5),
    "version": lambda e: e.client.start_orchestration_versioned("i", "Checkout", 5, "9.0.0"),
    "activity": lambda e: e.client.start_orchestration("i", "CallsActivity", 5),
    "child": lambda e: e.client.start_orchestration("i", "CallsChild", 5),
    "child version": lambda e: e.client.start_orchestration("i", "CallsChildVersion", 5),
    "continue-as-new": lambda e: e.client.start_orchestration("i", "ContinuesAsVersion", 5),
}

WARNED = {
    "Chekout": ["Chekout", "Checkout"],
    "version": ["Checkout", "9.0.0"],
    "activity": ["ChargeCart", "ChargeCard"],
    "child": ["Chekout", "Checkout"],
    "child version": ["Checkout", "9.0.0"],
    "continue-as-new": ["ContinuesAsVersion", "9.0.0"],
}


@pytest.mark.parametrize("kind", STARTS)
def test_unknown_name_waits_with_a_warning_and_runs_once_it_exists(memory: Engine, kind: str) -> None:
    runtime = memory.runtime()
    known(runtime)
    runtime.start()
    STARTS[kind](memory)
    words = WARNED[kind]
    memory.logs.wait_for(words[0], "duroxide.engine")
    said = " ".join(m for m in memory.logs.messages("duroxide.engine") if words[0] in m)
    for word in words:
        assert word in said
    assert memory.client.get_status("i").status == "Running"
    runtime.shutdown()

    def both(fresh: duroxide.Runtime) -> None:
        known(fresh)
        missing(fresh)

    memory.restart(runtime, both)
    assert memory.output("i") == 5


def test_unknown_name_does_not_hold_up_the_others(memory: Engine) -> None:
    runtime = memory.runtime()
    known(runtime)
    runtime.start()
    for n in range(50):
        memory.client.start_orchestration(f"nobody-{n}", "Nobody")
        memory.client.start_orchestration(f"stuck-{n}", "CallsActivity")
    for n in range(20):
        assert memory.run("Checkout", n) == n


def test_waiting_for_an_unknown_name_can_be_given_up(memory: Engine) -> None:
    runtime = memory.runtime()
    known(runtime)
    runtime.start()
    memory.client.start_orchestration("stuck", "CallsActivity")
    memory.recorded("stuck", "ActivityScheduled")
    memory.client.cancel_instance("stuck", "give up")
    assert memory.error("stuck") == "canceled: give up"
    memory.client.start_orchestration("nobody", "Nobody")
    assert memory.client.delete_instance("nobody", force=True).instances_deleted == 1
