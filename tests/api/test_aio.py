"""The client as coroutines: the same results and errors, and no thread for each wait."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from typing import Any

import pytest

import duroxide
from duroxide import aio
from harness import WAIT_MS, Engine


def register(runtime: duroxide.Runtime) -> None:
    @runtime.register_orchestration("Event")
    def event(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("waiting")
        return [input, (yield ctx.wait_for_event("go"))]


def test_same_methods_results_and_errors(engine: Engine) -> None:
    runtime = engine.runtime()
    register(runtime)
    runtime.start()

    async def use() -> Any:
        client = aio.Client(engine.provider)
        await client.start_orchestration("i", "Event", 1)
        status = await client.wait_for_status_change("i", 0, 50, WAIT_MS)
        assert status.custom_status == "waiting"
        assert await client.wait_for_status_change("i", 1, 10, 20) is None
        with pytest.raises(duroxide.WaitTimeout):
            await client.wait_for_orchestration("i", 20)
        with pytest.raises(duroxide.InvalidArgument):
            await client.start_orchestration("", "Event")
        with pytest.raises(duroxide.InstanceNotFound):
            await client.get_instance_info("nobody")
        await client.raise_event("i", "go", 2)
        result = await client.wait_for_orchestration("i", WAIT_MS)
        assert result == await client.get_status("i")
        return result.output

    assert asyncio.run(use()) == [1, 2]


def test_a_thousand_waits_need_no_thread_each(memory: Engine) -> None:
    runtime = memory.runtime()
    register(runtime)
    runtime.start()

    async def use() -> list[Any]:
        client = aio.Client(memory.provider)
        ids = [f"i{n}" for n in range(1000)]
        for instance in ids:
            memory.client.start_orchestration(instance, "Event", instance)
        waits = [asyncio.ensure_future(client.wait_for_orchestration(i, WAIT_MS * 2)) for i in ids]
        await asyncio.sleep(0.2)
        assert threading.active_count() < 100
        for instance in ids:
            await client.wait_for_status_change(instance, 0, 50, WAIT_MS)
            await client.raise_event(instance, "go")
        return [r.output for r in await asyncio.gather(*waits)]

    assert asyncio.run(use()) == [[f"i{n}", None] for n in range(1000)]


def test_cancelled_wait_is_given_up(memory: Engine) -> None:
    async def use() -> float:
        client = aio.Client(memory.provider)
        before = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.wait_for_orchestration("nobody", 60_000), 0.1)
        return time.monotonic() - before

    assert asyncio.run(use()) < 5


def test_event_loops_are_not_kept(memory: Engine) -> None:
    loops: list[Any] = []

    async def use() -> None:
        client = aio.Client(memory.provider)
        loops.append(weakref.ref(asyncio.get_running_loop()))
        with pytest.raises(duroxide.WaitTimeout):
            await client.wait_for_orchestration("nobody", 1)

    for _ in range(3):
        asyncio.run(use())
    gc.collect()
    assert [loop() for loop in loops] == [None, None, None]


def test_wait_that_outlives_its_loop_is_given_up(memory: Engine) -> None:
    client = aio.Client(memory.provider)
    loop = asyncio.new_event_loop()
    wait = client.wait_for_orchestration("nobody", None)
    task = loop.create_task(wait)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert not task.done()
    loop.close()
    there = weakref.ref(loop)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task, loop
    wait.close()
    gc.collect()
    assert there() is None
    assert asyncio.run(client.get_status("nobody")).status == "NotFound"
