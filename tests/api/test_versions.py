"""Versions: who runs which, what a running instance keeps, how an eternal one upgrades."""

from __future__ import annotations

from typing import Any

import pytest

import duroxide
from harness import Engine


def counting(version: str) -> Any:
    def workflow(ctx: Any, input: Any) -> Any:
        got = [version, ctx.orchestration_version]
        ctx.set_custom_status("waiting")
        event = yield ctx.wait_for_event("go")
        if event == "again":
            yield ctx.continue_as_new(version)
        return [*got, input]

    return workflow


def register(runtime: duroxide.Runtime, *versions: str) -> None:
    for version in versions:
        runtime.register_orchestration_versioned("W", version, counting(version))


def test_latest_is_by_semver_not_by_text(engine: Engine) -> None:
    runtime = engine.runtime()
    register(runtime, "1.9.0", "1.10.0")
    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "waiting")
    engine.client.raise_event(instance, "go")
    assert engine.output(instance) == ["1.10.0", "1.10.0", None]


def test_running_instance_stays_on_its_version_and_upgrades_by_continue_as_new(
    engine: Engine,
) -> None:
    runtime = engine.runtime()
    register(runtime, "1.0.0")
    runtime.start()
    for instance in ("stays", "upgrades"):
        engine.start("W", None, instance)
        engine.status_is(instance, "waiting")
    engine.restart(runtime, lambda r: register(r, "1.0.0", "1.1.0"))
    engine.client.raise_event("stays", "go")
    assert engine.output("stays") == ["1.0.0", "1.0.0", None]
    engine.client.raise_event("upgrades", "go", "again")
    engine.recorded("upgrades", "ExternalSubscribed", execution=2)
    engine.client.raise_event("upgrades", "go")
    assert engine.output("upgrades") == ["1.1.0", "1.1.0", "1.0.0"]
    info = engine.client.get_instance_info("upgrades")
    assert info.orchestration_version == "1.1.0"


def test_continue_as_new_to_a_version(engine: Engine) -> None:
    runtime = engine.runtime()

    def workflow(ctx: Any, input: Any) -> Any:
        if input is None:
            yield ctx.continue_as_new_versioned("moved", "1.0.0")
        return [ctx.orchestration_version, input]

    for version in ("1.0.0", "2.0.0", "3.0.0"):
        runtime.register_orchestration_versioned("M", version, workflow)
    runtime.start()
    assert engine.run("M") == ["1.0.0", "moved"]


def test_plain_registration_is_1_0_0(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("P", lambda ctx, input: ctx.orchestration_version)
    runtime.start()
    assert engine.run("P") == "1.0.0"
    engine.client.start_orchestration_versioned("v", "P", None, "1.0.0")
    assert engine.output("v") == "1.0.0"


def test_duplicate_start_does_not_change_the_version_of_a_running_instance(
    engine: Engine,
) -> None:
    runtime = engine.runtime()
    register(runtime, "1.0.0", "2.0.0")
    runtime.start()
    engine.client.start_orchestration_versioned("old", "W", "mine", "1.0.0")
    engine.status_is("old", "waiting")
    engine.client.start_orchestration("old", "W", "other")
    engine.client.raise_event("old", "go")
    assert engine.output("old") == ["1.0.0", "1.0.0", "mine"]


def test_instance_waits_for_a_version_that_nobody_has_yet(engine: Engine) -> None:
    runtime = engine.runtime()
    register(runtime, "1.0.0")
    runtime.start()
    engine.client.start_orchestration_versioned("new", "W", None, "2.0.0")
    engine.logs.wait_for("2.0.0")
    assert engine.client.get_status("new").status == "Running"
    engine.restart(runtime, lambda r: register(r, "1.0.0", "2.0.0"))
    engine.status_is("new", "waiting")
    engine.client.raise_event("new", "go")
    assert engine.output("new") == ["2.0.0", "2.0.0", None]


@pytest.mark.parametrize("later", ["1.0.1-alpha", "1.0.1", "1.1.0", "2.0.0-rc.1+build"])
def test_versions_take_all_of_semver(memory: Engine, later: str) -> None:
    runtime = memory.runtime()
    register(runtime, "1.0.0", later)
    runtime.start()
    instance = memory.start("W")
    memory.status_is(instance, "waiting")
    memory.client.raise_event(instance, "go")
    assert memory.output(instance)[1] == later
