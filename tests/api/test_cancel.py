"""Cancellation: of instances, of running activities, and what it costs."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import duroxide
from harness import LONG_LEASE, WAIT_MS, Engine, eventually, must, spawn


class Held:
    """An activity that says that it runs, and when it was told to stop."""

    def __init__(self, runtime: duroxide.Runtime) -> None:
        self.running = threading.Semaphore(0)
        self.told_at: list[float] = []
        self.release = threading.Event()
        runtime.register_activity("Held", self.run)

    def run(self, ctx: Any, input: Any) -> str:
        self.running.release()
        end = time.monotonic() + WAIT_MS / 1000
        while time.monotonic() < end and not self.release.wait(0.005):
            if ctx.is_cancelled():
                self.told_at.append(time.monotonic())
                return "late result"
        return "released"

    def begun(self) -> None:
        assert self.running.acquire(timeout=WAIT_MS / 1000)


def test_running_activity_is_told_within_a_second(engine: Engine) -> None:
    runtime = engine.runtime(**LONG_LEASE)
    held = Held(runtime)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Held")

    runtime.start()
    took = []
    for n in range(3):
        instance = engine.start("W")
        held.begun()
        asked = time.monotonic()
        engine.client.cancel_instance(instance, "stop")
        assert engine.error(instance) == "canceled: stop"
        eventually(lambda n=n: len(held.told_at) > n, "it is told")  # type: ignore[misc]
        took.append(held.told_at[n] - asked)
    assert min(took) < 1
    assert "ActivityCompleted" not in engine.kinds(instance), "its result is dropped"
    kinds = engine.kinds(instance)
    assert kinds[-1] == "OrchestrationFailed"
    assert "OrchestrationCancelRequested" in kinds


@pytest.mark.parametrize("how", ["returns", "fails", "continues", "deleted"])
def test_activity_left_running_is_told_when_its_instance_is_over(engine: Engine, how: str) -> None:
    runtime = engine.runtime(**LONG_LEASE)
    held = Held(runtime)

    def branch(ctx: Any) -> Any:
        yield ctx.wait_for_event("go")
        if how == "fails":
            raise SystemExit("a BaseException fails the instance")
        if how == "continues":
            yield ctx.continue_as_new("second")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        if input == "second":
            return "second"
        if how == "returns":
            yield ctx.race(branch(ctx), ctx.schedule_activity("Held"))
        else:
            yield ctx.all([ctx.schedule_activity("Held"), branch(ctx)])

    runtime.start()
    instance = engine.start("W")
    held.begun()
    if how == "deleted":
        engine.client.delete_instance(instance, force=True)
    else:
        engine.client.raise_event(instance, "go")
        engine.wait(instance)
    eventually(lambda: held.told_at, "it is told")


def test_queued_activity_of_a_cancelled_instance_never_runs(engine: Engine) -> None:
    runtime = engine.runtime(worker_concurrency=1)
    held = Held(runtime)
    ran: list[Any] = []
    runtime.register_activity("Never", lambda ctx, input: ran.append(input))

    @runtime.register_orchestration("Holder")
    def holder(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Held"))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Never", input)

    runtime.start()
    first = engine.start("Holder")
    held.begun()
    second = engine.start("W", 1)
    engine.recorded(second, "ActivityScheduled")
    engine.client.cancel_instance(second)
    assert engine.error(second) == "canceled: "
    held.release.set()
    assert engine.output(first) == "released"
    assert engine.run("Holder") == "released"
    assert ran == []


def test_grace_period_frees_the_slot_of_an_activity_that_does_not_listen(memory: Engine) -> None:
    runtime = memory.runtime(worker_concurrency=1, activity_cancellation_grace_ms=100)
    begun, release = threading.Event(), threading.Event()

    @runtime.register_activity("Deaf")
    def deaf(ctx: Any, input: Any) -> None:
        begun.set()
        must(release)

    runtime.register_activity("Next", lambda ctx, input: "next")

    @runtime.register_orchestration("D")
    def d(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Deaf")

    @runtime.register_orchestration("N")
    def n(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Next"))

    runtime.start()
    instance = memory.start("D")
    must(begun)
    memory.client.cancel_instance(instance)
    memory.error(instance)
    try:
        assert memory.run("N") == "next", "the slot is free again"
    finally:
        release.set()


def test_cancel_before_the_first_turn(engine: Engine) -> None:
    runtime = engine.runtime(verify_replay=0.0)  # a verification would run the code
    ran: list[int] = []

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ran.append(1)
        yield ctx.wait_for_event("never")

    instance = engine.start("W")
    engine.client.cancel_instance(instance, "early")
    runtime.start()
    assert engine.error(instance) == "canceled: early"
    assert ran == []


def test_cancel_is_idempotent_and_the_first_reason_counts(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("on")
        yield ctx.wait_for_event("never")

    instance = engine.start("W")
    for reason in ("first", "second", "third"):
        engine.client.cancel_instance(instance, reason)
    runtime.start()
    assert engine.error(instance) == "canceled: first"
    engine.client.cancel_instance(instance, "after the end")
    assert engine.error(instance) == "canceled: first"
    assert engine.kinds(instance).count("OrchestrationCancelRequested") == 1


def test_cancel_reaches_a_later_execution(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Eternal")
    def eternal(ctx: Any, n: int) -> Any:
        ctx.set_custom_status(str(n))
        yield ctx.schedule_timer(1)
        yield ctx.continue_as_new(n + 1)

    runtime.start()
    instance = engine.start("Eternal", 0)
    eventually(lambda: int(engine.client.get_status(instance).custom_status or 0) > 4)
    engine.client.cancel_instance(instance, "enough")
    assert engine.error(instance) == "canceled: enough"


def test_completed_instance_stays_completed(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    instance = engine.start("Now", 3)
    assert engine.output(instance) == 3
    engine.client.cancel_instance(instance)
    assert engine.output(instance) == 3


def test_activity_timeout_is_enforced_by_the_worker(engine: Engine) -> None:
    runtime = engine.runtime(activity_timeout_ms=20_000)
    held = Held(runtime)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Held", timeout_ms=60)
        except duroxide.ActivityTimeout as e:
            return str(e)

    runtime.start()
    instance = engine.start("W")
    assert "timed out" in engine.output(instance)
    eventually(lambda: held.told_at)
    assert "TimerCreated" not in engine.kinds(instance)


def test_cancelled_generator_is_closed_and_records_nothing(engine: Engine) -> None:
    runtime = engine.runtime()
    closed = threading.Event()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("waiting")
        try:
            yield ctx.wait_for_event("never")
        finally:
            ctx.set_custom_status("must not be recorded")
            closed.set()

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "waiting")
    engine.client.cancel_instance(instance)
    engine.error(instance)
    assert engine.client.get_status(instance).custom_status == "waiting"
    must(closed, "the generator is closed")


ELSEWHERE = """
import sys, threading
from duroxide import Runtime, RuntimeOptions
from harness import LONG_LEASE
from stores import open_store
with open_store(sys.argv[1]) as provider:
    runtime = Runtime(provider, RuntimeOptions(**LONG_LEASE))

    @runtime.register_activity("Held")
    def held(ctx, input):
        print("begun", flush=True)
        while not ctx.is_cancelled():
            threading.Event().wait(0.005)
        print("told", flush=True)

    with runtime:
        sys.stdin.readline()
"""


def test_activity_in_another_process_is_told(file_engine: Engine) -> None:
    """Its process hears nothing of the turn that cancels it: it looks at its rows from time to time."""
    engine = file_engine
    worker = spawn(ELSEWHERE, str(engine.address))
    kill = threading.Timer(WAIT_MS / 1000, worker.kill)
    kill.start()
    try:
        runtime = engine.runtime()

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            yield ctx.schedule_activity("Held")

        runtime.start()
        instance = engine.start("W")
        assert worker.stdout is not None
        assert worker.stdout.readline() == "begun\n"
        engine.client.cancel_instance(instance, "stop")
        assert engine.error(instance) == "canceled: stop"
        assert worker.stdout.readline() == "told\n"
        out, err = worker.communicate("\n", timeout=WAIT_MS / 1000)
        assert (out, worker.returncode) == ("", 0), err
    finally:
        kill.cancel()
        worker.kill()
        worker.communicate()
