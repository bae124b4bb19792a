"""A worker that is killed: `worker.py STORE LOG [OPTIONS]`. Its activities note each run in LOG.

STORE may be away at first. OPTIONS are those of RuntimeOptions, as JSON; with "hold" its activity Hold never ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, Callable, TypeVar

import duroxide
from stores import open_store

T = TypeVar("T")


def register(runtime: duroxide.Runtime, note: Any, hold: bool = False) -> None:
    @runtime.register_activity("Hold")
    def held(ctx: Any, n: int) -> int:
        note(ctx.idempotency_key)
        if hold:
            threading.Event().wait()
        return n

    @runtime.register_orchestration("Holds")
    def holds(ctx: Any, n: int) -> Any:
        return (yield ctx.schedule_activity("Hold", n))

    @runtime.register_activity("Step")
    def step(ctx: Any, n: int) -> int:
        note(ctx.idempotency_key)
        return n + 1

    @runtime.register_activity("Slow")
    def slow(ctx: Any, n: int) -> int:
        note(ctx.idempotency_key)
        threading.Event().wait(0.03)
        return n + 1

    @runtime.register_activity("Flakey")
    def flakey(ctx: Any, n: int) -> int:
        note(ctx.idempotency_key)
        if ctx.attempt < 3:
            raise ValueError(f"attempt {ctx.attempt}")
        return n

    @runtime.register_orchestration("Sequence")
    def sequence(ctx: Any, count: int) -> Any:
        n = 0
        for i in range(count):
            n = yield ctx.schedule_activity("Slow" if i % 4 == 0 else "Step", n)
            ctx.set_custom_status(str(n))
            if i % 5 == 2:
                yield ctx.schedule_timer(20)
        return n

    @runtime.register_orchestration("Family")
    def family(ctx: Any, count: int) -> Any:
        tasks = [ctx.schedule_sub_orchestration("Sequence", 4) for _ in range(count)]
        joined = yield ctx.all([*tasks, ctx.schedule_timer(10), branch(ctx, 3)])
        return [r["ok"] for r in joined]

    def branch(ctx: Any, count: int) -> Any:
        total = 0
        for n in range(count):
            total += yield ctx.schedule_activity("Step", n)
        return total

    @runtime.register_orchestration("Mail")
    def mail(ctx: Any, state: Any) -> Any:
        got, left = state
        for _ in range(2):
            text = yield ctx.dequeue_event("inbox")
            yield ctx.schedule_activity("Step", 0)
            got.append(text)
        if left > 1:
            yield ctx.continue_as_new([got, left - 1])
        ctx.set_kv_value("count", str(len(got)))
        return got

    @runtime.register_orchestration("Races")
    def races(ctx: Any, count: int) -> Any:
        won = []
        for _ in range(count):
            result = yield ctx.race(branch(ctx, 2), ctx.wait_for_event("never"), ctx.schedule_timer(60_000))
            won.append(result["index"])
            policy = {"max_attempts": 3, "backoff": "fixed", "initial_ms": 5}
            yield ctx.schedule_activity_with_retry("Flakey", 1, policy)
        return won

    @runtime.register_orchestration("Chain")
    def chain(ctx: Any, n: int) -> Any:
        yield ctx.all([ctx.schedule_activity("Step", n), ctx.schedule_timer(5)])
        if n:
            yield ctx.continue_as_new(n - 1)
        return ctx.execution_id


#: name -> input and the output that it must have
EXPECTED: dict[str, tuple[Any, Any]] = {
    "Sequence": (12, 12),
    "Family": (3, [4, 4, 4, None, 6]),
    "Mail": ([[], 3], [0, 1, 2, 3, 4, 5]),
    "Races": (3, [0, 0, 0]),
    "Chain": (6, 7),
}


def persistently(call: Callable[[], T]) -> T:
    """Call again while the store says that this may help, for at most a minute."""
    end = time.monotonic() + 60
    while True:
        try:
            return call()
        except duroxide.ProviderError as e:
            if not e.retryable or time.monotonic() > end:
                raise
            time.sleep(0.05)


def main(store: str, log: str, options: str = "{}") -> None:
    side = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(key: str) -> None:
        os.write(side, f"{key} {os.getpid()}\n".encode())

    provider = persistently(lambda: open_store(store))

    given = json.loads(options)
    hold = given.pop("hold", False)

    def start() -> duroxide.Runtime:
        made = duroxide.Runtime(provider, duroxide.RuntimeOptions(verify_replay=1.0, **given))
        register(made, note, hold)
        made.start()
        return made

    runtime = persistently(start)
    print("ready", time.time(), flush=True)
    sys.stdin.readline()
    runtime.shutdown()
    provider.close()
    print("bye", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
