"""`async def` activities are cancelled as asyncio cancels when nobody wants them any more."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import duroxide
from harness import Engine, must


class Sleeper:
    """An activity that would sleep for a minute, and what became of it."""

    def __init__(self, runtime: duroxide.Runtime) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.tidied = threading.Event()

        @runtime.register_activity("Sleep")
        async def sleep(ctx: Any, input: Any) -> None:
            self.begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            finally:
                await asyncio.sleep(0)  # awaits still work while it tidies up
                self.tidied.set()

    def must_end(self) -> None:
        must(self.begun, "the activity begins")
        must(self.cancelled, "CancelledError")
        must(self.tidied, "the end of its finally block")


def test_loser_of_a_race(engine: Engine) -> None:
    runtime = engine.runtime()
    sleeper = Sleeper(runtime)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        winner = yield ctx.race(ctx.schedule_activity("Sleep"), ctx.wait_for_event("go"))
        return winner["index"]

    runtime.start()
    instance = engine.start("W")
    must(sleeper.begun)
    engine.client.raise_event(instance, "go")
    assert engine.output(instance) == 1
    sleeper.must_end()


def test_out_of_time(engine: Engine) -> None:
    runtime = engine.runtime()
    sleeper = Sleeper(runtime)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Sleep", timeout_ms=100)
        except duroxide.ActivityTimeout as e:
            return str(e)

    runtime.start()
    assert engine.run("W") == "timeout: activity timed out"
    sleeper.must_end()


def test_cancelled_instance(engine: Engine) -> None:
    runtime = engine.runtime()
    sleeper = Sleeper(runtime)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Sleep")

    runtime.start()
    instance = engine.start("W")
    must(sleeper.begun)
    engine.client.cancel_instance(instance, "enough")
    assert engine.error(instance) == "canceled: enough"
    sleeper.must_end()
    assert runtime.shutdown(), "its slot is free again"


def test_one_is_cancelled_and_its_neighbours_go_on(engine: Engine) -> None:
    """Also: who catches the cancellation and goes on is not cancelled again, and its result is dropped."""
    runtime = engine.runtime()
    caught, ended, go = threading.Event(), threading.Event(), threading.Event()

    @runtime.register_activity("Stubborn")
    async def stubborn(ctx: Any, input: Any) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            assert ctx.is_cancelled()
            caught.set()
        for _ in range(10):
            await asyncio.sleep(0.02)
        ended.set()
        return "nobody asks"

    @runtime.register_activity("Neighbour")
    async def neighbour(ctx: Any, input: Any) -> str:
        while not go.is_set():
            await asyncio.sleep(0.01)
        return "undisturbed"

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        lost = ctx.race(ctx.schedule_activity("Stubborn"), ctx.schedule_timer(100))
        return (yield ctx.all_typed([lost, ctx.schedule_activity("Neighbour")]))

    runtime.start()
    instance = engine.start("W")
    must(caught)
    must(ended)
    go.set()
    assert engine.output(instance) == [{"index": 1, "value": None}, "undisturbed"]
