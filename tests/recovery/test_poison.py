"""Work that kills its process each time is given up after max_attempts; healthy work is not."""

from __future__ import annotations

import os
from typing import Callable

import pytest

import duroxide
from harness import python
from stores import open_store

pytestmark = pytest.mark.skipif(os.name != "posix", reason="exit codes of killed processes")

WORKER = """
import os, signal, sys, threading
from duroxide import Client, Runtime, RuntimeOptions
from stores import open_store
provider = open_store(sys.argv[1])
runtime = Runtime(provider, RuntimeOptions(max_attempts=3, log_level="error"))

@runtime.register_activity("Deadly")
def deadly(ctx, input):
    os.kill(os.getpid(), signal.SIGKILL)

@runtime.register_activity("Healthy")
def healthy(ctx, input):
    threading.Event().wait(0.02)
    return input

@runtime.register_orchestration("DiesInActivity")
def dies_in_activity(ctx, input):
    try:
        yield ctx.schedule_activity("Deadly")
    except Exception as e:
        return "poison cannot be caught"

@runtime.register_orchestration("DiesInTurn")
def dies_in_turn(ctx, input):
    yield ctx.schedule_activity("Healthy", 1)
    os.kill(os.getpid(), signal.SIGKILL)

@runtime.register_orchestration("Parent")
def parent(ctx, input):
    yield ctx.schedule_sub_orchestration_with_id("DiesInTurn", "child")

@runtime.register_orchestration("Fine")
def fine(ctx, input):
    total = 0
    for n in range(20):
        total += yield ctx.schedule_activity("Healthy", 1)
    return total

runtime.start()
client = Client(provider)
for name in sys.argv[2:]:
    client.wait_for_orchestration(name, 20000)
runtime.shutdown()
provider.close()
"""


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, address: Callable[[str], object]) -> object:
    """The address of a store that outlives its processes."""
    return address(request.param)


def deaths_until_all_ended(place: object, ids: list[str], most: int) -> int:
    """Run workers one after another until one of them lives to see all instances ended."""
    for deaths in range(most + 1):
        done = python(WORKER, str(place), *ids, timeout=60)
        if done.returncode == 0:
            return deaths
        assert done.returncode == -9, done.stderr
    raise AssertionError(f"not given up after {most} deaths")


def test_deadly_activity_is_given_up_and_the_healthy_go_on(place: object) -> None:
    with open_store(place) as provider:
        client = duroxide.Client(provider)
        fine = [f"fine-{n}" for n in range(30)]
        for instance in fine[:15]:
            client.start_orchestration(instance, "Fine")
        client.start_orchestration("deadly", "DiesInActivity")
        for instance in fine[15:]:
            client.start_orchestration(instance, "Fine")
        deaths = deaths_until_all_ended(place, [*fine, "deadly"], 8)
        assert deaths >= 3, "an attempt that was not written is not counted; written ones all are"
        failed = client.get_status("deadly")
        assert failed.status == "Failed"
        assert failed.error.startswith("poison: activity Deadly#"), failed.error
        for instance in fine:
            assert client.get_status(instance).output == 20, "nobody else is poisoned"
        assert provider._check() == []


def test_deadly_turn_is_given_up_and_its_parent_told(place: object) -> None:
    with open_store(place) as provider:
        client = duroxide.Client(provider)
        client.start_orchestration("parent", "Parent")
        client.start_orchestration("fine", "Fine")
        deaths_until_all_ended(place, ["fine", "parent", "child"], 8)
        child = client.get_status("child")
        assert child.error.startswith("poison: orchestration child exceeded"), child.error
        assert "poison" in client.get_status("parent").error
        assert client.get_status("fine").output == 20
        assert provider._check() == []
