"""`async def` activities hold no thread while they wait, and everything else about activities holds for them too."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

import duroxide
from harness import WAIT_MS, Engine, eventually, must, no_new_threads, python


def fan(ctx: Any, input: Any) -> Any:
    """Runs an activity for each input, all at once."""
    name, inputs = input
    return (yield ctx.all_typed([ctx.schedule_activity(name, i) for i in inputs]))


def in_session(ctx: Any, input: Any) -> Any:
    name, inputs = input
    return (yield ctx.all_typed([ctx.schedule_activity_on_session(name, i, "s") for i in inputs]))


class Gate:
    """Something that coroutines of any loop wait for."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    async def passed(self) -> None:
        while not self.opened.is_set():
            await asyncio.sleep(0.005)


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        self.now -= 1


def test_worker_concurrency_bounds_both_kinds_together(engine: Engine) -> None:
    crowd, gate = Crowd(), Gate()

    async def later(ctx: Any, n: int) -> int:
        with crowd:
            await gate.passed()
        return n

    def now(ctx: Any, n: int) -> int:
        assert gate.opened.is_set(), "three run already"
        return n

    def both(ctx: Any, input: Any) -> Any:
        tasks = [ctx.schedule_activity("later", n) for n in range(6)]
        return (yield ctx.all_typed([*tasks, ctx.schedule_activity("now", 6)]))

    runtime = engine.runtime(worker_concurrency=3)
    runtime.register_activity("later", later)
    runtime.register_activity("now", now)
    runtime.register_orchestration("both", both)
    runtime.start()
    instance = engine.start("both")
    eventually(lambda: crowd.now == 3, "three run")
    gate.opened.set()
    assert engine.output(instance) == list(range(7))
    assert crowd.most == 3


def test_activities_of_a_session_run_one_after_another(engine: Engine) -> None:
    crowd = Crowd()

    async def work(ctx: Any, n: int) -> int:
        assert ctx.session_id == "s"
        with crowd:
            for _ in range(3):
                await asyncio.sleep(0.001)
        return n

    runtime = engine.runtime()
    runtime.register_activity("work", work)
    runtime.register_orchestration("in_session", in_session)
    runtime.start()
    assert engine.run("in_session", ["work", list(range(8))]) == list(range(8))
    assert crowd.most == 1


def test_session_goes_on_when_one_that_is_cancelled_does_not_end(engine: Engine) -> None:
    gate, begun = Gate(), threading.Event()

    async def work(ctx: Any, n: int) -> int:
        if n == 0:
            begun.set()
            while not gate.opened.is_set():
                try:
                    await gate.passed()
                except asyncio.CancelledError:
                    pass  # takes no notice
        return n

    def w(ctx: Any, input: Any) -> Any:
        yield ctx.race(ctx.schedule_activity_on_session("work", 0, "s"), ctx.wait_for_event("go"))
        return (yield ctx.schedule_activity_on_session("work", 1, "s"))

    runtime = engine.runtime(activity_cancellation_grace_ms=100)
    runtime.register_activity("work", work)
    runtime.register_orchestration("w", w)
    runtime.start()
    instance = engine.start("w")
    must(begun)
    engine.client.raise_event(instance, "go")
    assert engine.output(instance) == 1
    gate.opened.set()


def test_slot_of_one_that_takes_no_notice_of_being_cancelled_is_free_after_the_grace(engine: Engine) -> None:
    gate = Gate()

    async def work(ctx: Any, n: int) -> int:
        while n == 0 and not gate.opened.is_set():
            try:
                await gate.passed()
            except asyncio.CancelledError:
                pass
        return n

    def w(ctx: Any, input: Any) -> Any:
        yield ctx.race(ctx.schedule_activity("work", 0), ctx.schedule_timer(50))
        return (yield ctx.schedule_activity("work", 1))

    runtime = engine.runtime(worker_concurrency=1, activity_cancellation_grace_ms=100)
    runtime.register_activity("work", work)
    runtime.register_orchestration("w", w)
    runtime.start()
    assert engine.run("w") == 1
    gate.opened.set()


def test_shutdown_waits_for_what_runs(engine: Engine) -> None:
    gate, begun = Gate(), threading.Semaphore(0)

    async def work(ctx: Any, n: int) -> int:
        begun.release()
        await gate.passed()
        return n

    def register(runtime: duroxide.Runtime) -> None:
        runtime.register_activity("work", work)
        runtime.register_orchestration("fan", fan)

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("fan", ["work", list(range(5))])
    for _ in range(5):
        assert begun.acquire(timeout=WAIT_MS / 1000)
    drained: list[bool] = []
    stop = threading.Thread(target=lambda: drained.append(runtime.shutdown()))
    stop.start()
    gate.opened.set()
    stop.join(WAIT_MS / 1000)
    assert drained == [True]
    again = engine.runtime()
    register(again)
    again.start()
    assert engine.output(instance) == list(range(5))
    assert not begun.acquire(blocking=False), "none ran twice"


def test_shutdown_gives_back_what_does_not_end(engine: Engine) -> None:
    begun, cancelled = threading.Event(), threading.Event()
    gate = Gate()

    async def work(ctx: Any, n: int) -> int:
        begun.set()
        try:
            await gate.passed()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return n

    def register(runtime: duroxide.Runtime) -> None:
        runtime.register_activity("work", work)
        runtime.register_orchestration("fan", fan)

    before = set(threading.enumerate())
    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("fan", ["work", [1, 2]])
    must(begun)
    assert not runtime.shutdown(timeout_ms=0)
    must(cancelled, "the coroutine is cancelled")
    no_new_threads(before)
    gate.opened.set()
    again = engine.runtime()
    register(again)
    again.start()
    assert engine.output(instance) == [1, 2]


def test_no_activity_sees_the_context_variables_of_another(memory: Engine) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="clean")

    async def work(ctx: Any, n: int) -> str:
        found = variable.get()
        variable.set(f"of {n}")
        await asyncio.sleep(0)
        assert variable.get() == f"of {n}"
        return found

    def plain(ctx: Any, n: int) -> Any:
        """Gives a coroutine, which sees what was set for it."""
        variable.set("set before")
        return work(ctx, n)

    runtime = memory.runtime()
    runtime.register_activity("work", work)
    runtime.register_activity("plain", plain)
    runtime.register_orchestration("fan", fan)
    runtime.start()
    assert memory.run("fan", ["work", list(range(20))]) == ["clean"] * 20
    assert memory.run("fan", ["plain", [1, 2]]) == ["set before"] * 2


def test_coroutine_of_a_plain_function_is_cancelled_too(memory: Engine) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def w(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(ctx.schedule_activity("wait"), ctx.schedule_timer(20)))["index"]

    runtime = memory.runtime()
    runtime.register_activity("wait", lambda ctx, input: wait())
    runtime.register_orchestration("w", w)
    runtime.start()
    assert memory.run("w") == 1
    must(cancelled)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_what_a_coroutine_raises_fails_it_alone(memory: Engine, error: BaseException) -> None:
    gate = Gate()

    async def bad(ctx: Any, input: Any) -> None:
        await asyncio.sleep(0)
        raise error

    async def good(ctx: Any, input: Any) -> str:
        await gate.passed()
        return "undisturbed"

    def w(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([ctx.schedule_activity("good"), guarded(ctx)]))

    def guarded(ctx: Any) -> Any:
        try:
            yield ctx.schedule_activity("bad")
        except duroxide.ActivityError as e:
            ctx.set_custom_status("failed")
            return str(e)

    runtime = memory.runtime()
    runtime.register_activity("bad", bad)
    runtime.register_activity("good", good)
    runtime.register_orchestration("w", w)
    runtime.start()
    instance = memory.start("w")
    memory.status_is(instance, "failed")
    gate.opened.set()
    good_end, bad_end = memory.output(instance)
    assert good_end == {"ok": "undisturbed"}
    assert f"Activity 'bad' call failed: {type(error).__name__}" in bad_end["ok"]


def test_an_activity_cannot_end_the_loop_for_the_others(memory: Engine) -> None:
    async def stops(ctx: Any, input: Any) -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        return "still here"

    async def exits(ctx: Any, input: Any) -> str:
        async def task() -> None:
            raise SystemExit(3)

        done = asyncio.ensure_future(task())
        await asyncio.wait([done])
        return type(done.exception()).__name__

    async def cancels(ctx: Any, input: Any) -> str:
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        return f"{len(others)} cancelled"

    runtime = memory.runtime()
    for activity in (stops, exits, cancels):
        runtime.register_activity(activity)
    runtime.register_orchestration("fan", fan)
    runtime.start()
    assert memory.run("fan", ["stops", [1]]) == ["still here"]
    assert memory.run("fan", ["exits", [1]]) == ["SystemExit"]
    assert memory.run("fan", ["cancels", [1]]) == ["0 cancelled"]
    assert memory.run("fan", ["stops", [1]]) == ["still here"]


def test_stuck_loop_times_out_and_holds_nobody_else_up(memory: Engine) -> None:
    stuck, go = threading.Event(), threading.Event()

    async def blocks(ctx: Any, input: Any) -> None:
        stuck.set()
        assert go.wait(WAIT_MS / 1000)

    def plain(ctx: Any, input: Any) -> str:
        must(stuck)
        return "runs"

    def w(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("blocks", timeout_ms=100)
        except duroxide.ActivityTimeout:
            return (yield ctx.schedule_activity("plain"))

    runtime = memory.runtime()
    runtime.register_activity("blocks", blocks)
    runtime.register_activity("plain", plain)
    runtime.register_orchestration("w", w)
    runtime.start()
    assert memory.run("w") == "runs"
    go.set()


def test_context_works_until_the_coroutine_ends(memory: Engine) -> None:
    kept: list[Any] = []

    async def work(ctx: Any, n: int) -> bool:
        kept.append(ctx)
        await asyncio.sleep(0)
        ctx.trace_info(f"at work {n}")
        assert not ctx.is_cancelled()
        return bool(ctx.get_client().get_status(ctx.instance_id).status == "Running")

    runtime = memory.runtime()
    runtime.register_activity("work", work)
    runtime.register_orchestration("fan", fan)
    runtime.start()
    assert memory.run("fan", ["work", [1]]) == [True]
    memory.logs.wait_for("at work 1", "duroxide.activity")
    assert not kept[0].is_cancelled()
    with pytest.raises(duroxide.RuntimeStateError):
        kept[0].get_client()


def test_result_that_json_refuses_and_a_failure_of_the_users(memory: Engine) -> None:
    async def odd(ctx: Any, n: int) -> Any:
        if n == 0:
            return object()
        raise ValueError("of the user's")

    def w(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([ctx.schedule_activity("odd", n) for n in range(2)]))

    runtime = memory.runtime()
    runtime.register_activity("odd", odd)
    runtime.register_orchestration("w", w)
    runtime.start()
    unwritable, raised = (entry["err"] for entry in memory.run("w"))
    assert "Activity 'odd' call failed: TypeError: " in unwritable
    assert "Activity 'odd' call failed: ValueError: of the user's" in raised


def test_shutdown_by_an_activity_is_refused(memory: Engine) -> None:
    async def stop(ctx: Any, input: Any) -> str:
        try:
            runtime.shutdown()
        except duroxide.RuntimeStateError as e:
            return str(e)
        return "it waited for itself"

    runtime = memory.runtime()
    runtime.register_activity("stop", stop)
    runtime.register_orchestration("fan", fan)
    runtime.start()
    assert "call it from another thread" in memory.run("fan", ["stop", [None]])[0]


def test_process_that_ends_without_shutdown_waits_a_moment_for_coroutines(tmp_path: Any) -> None:
    script = """
        import asyncio, sys, threading, time
        from duroxide import Client, Runtime, SqliteProvider

        def open_runtime(begun, pause):
            provider = SqliteProvider.open(sys.argv[1])
            runtime = Runtime(provider)

            @runtime.register_activity("work")
            async def work(ctx, input):
                print("runs", input, flush=True)
                begun.release()
                await asyncio.sleep(pause if input else 60 * pause)
                return input

            @runtime.register_orchestration("W")
            def w(ctx, input):
                return (yield ctx.schedule_activity("work", input))

            runtime.start()
            return Client(provider), runtime

        begun = threading.Semaphore(0)
        if sys.argv[2] == "first":
            client, runtime = open_runtime(begun, 0.2)
            client.start_orchestration("short", "W", 1)
            client.start_orchestration("long", "W", 0)
            begun.acquire(), begun.acquire()
        else:
            client, runtime = open_runtime(begun, 0)
            print(*[client.wait_for_orchestration(i, 20000).output for i in ("short", "long")])
    """
    path = str(tmp_path / "store.db")
    first = python(script, path, "first")
    assert (first.returncode, first.stderr) == (0, "")
    second = python(script, path, "second")
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.split("\n") == ["runs 0", "1 0", ""], "the short one was kept, the long one is done again"
