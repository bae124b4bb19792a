"""Many waits and many asynchronous activities at once need no thread each."""

from __future__ import annotations

import asyncio
import resource
import threading
from typing import Any

from duroxide import aio
from harness import WAIT_MS, Engine, eventually

WAITS = 10_000
ACTIVITIES = 500
#: Threads of a runtime without activities that hold one: two for turns, two for what is short.
FIRST_LANES = 4
#: A machine with much else to do takes a short activity for a long one now and then.
FEW_LANES = 16
#: Memory that one open wait may take, in bytes. It only bounds a leak.
WAIT_BYTES = 40_000


def waiter(ctx: Any, input: Any) -> Any:
    return (yield ctx.wait_for_event("go"))


def lanes() -> int:
    return sum(t.name.startswith("duroxide-lane") for t in threading.enumerate())


def memory_now() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_ten_thousand_waits_are_open_on_one_thread(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("waiter", waiter)
    runtime.start()
    eventually(lambda: lanes() == FIRST_LANES, "all lanes run")
    memory.start("waiter", instance="awaited")
    memory.recorded("awaited", "ExternalSubscribed")

    async def main() -> None:
        client = aio.Client(memory.provider)
        threads, before = threading.active_count(), memory_now()
        waits = [asyncio.ensure_future(client.wait_for_orchestration("awaited", WAIT_MS * 3)) for _ in range(WAITS)]
        for _ in range(5):  # every task has run up to its wait
            await asyncio.sleep(0)
        assert not any(w.done() for w in waits)
        print(f"{(memory_now() - before) // WAITS} bytes for each open wait")
        assert threading.active_count() == threads
        assert memory_now() - before < WAITS * WAIT_BYTES
        await client.raise_event("awaited", "go", 7)
        results = await asyncio.gather(*waits)
        assert [r.output for r in results] == [7] * WAITS
        assert threading.active_count() == threads

    asyncio.run(main())


def test_an_abandoned_wait_ends_as_asyncio_cancels(memory: Engine) -> None:
    async def main() -> None:
        client = aio.Client(memory.provider)
        wait = asyncio.ensure_future(client.wait_for_orchestration("unknown", None))
        await asyncio.sleep(0)
        wait.cancel()
        done, _ = await asyncio.wait({wait}, timeout=WAIT_MS / 1000)
        assert wait in done
        assert wait.cancelled()

    asyncio.run(main())


def test_five_hundred_asynchronous_activities_run_at_once_on_one_thread(engine: Engine) -> None:
    together: list[asyncio.Event] = []
    seen: set[int] = set()
    inside = most = 0

    async def meet(ctx: Any, n: int) -> int:
        nonlocal inside, most
        seen.add(threading.get_ident())
        if not together:
            together.append(asyncio.Event())
        inside += 1
        if inside == ACTIVITIES:
            most = lanes()
            together[0].set()
        await asyncio.wait_for(together[0].wait(), WAIT_MS / 1000)
        return n

    def gather(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([ctx.schedule_activity("meet", n) for n in range(ACTIVITIES)]))

    runtime = engine.runtime(worker_concurrency=ACTIVITIES)
    runtime.register_activity("meet", meet)
    runtime.register_orchestration("gather", gather)
    runtime.start()
    assert engine.run("gather") == [{"ok": n} for n in range(ACTIVITIES)]
    assert len(seen) == 1, "asynchronous activities ran on more than one thread"
    assert most <= FEW_LANES, "threads wait for asynchronous activities"
    assert runtime.metrics_snapshot().activity_success == ACTIVITIES
