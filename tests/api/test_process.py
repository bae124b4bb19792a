"""The process around the engine: forgotten shutdowns, fork, several runtimes and processes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import threading
import time
from typing import Any

import pytest

import duroxide
from harness import WAIT_MS, Engine, must, no_new_threads, python, spawn, threads

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and fork")

FORGETFUL = """
import sys, time, threading
from duroxide import Client, Runtime, RuntimeOptions
from harness import LONG_LEASE
from stores import open_store
provider = open_store(sys.argv[1])
runtime = Runtime(provider, RuntimeOptions(**LONG_LEASE))
begun = threading.Event()

@runtime.register_activity("Work")
def work(ctx, input):
    begun.set()
    time.sleep(input)
    return "done"

@runtime.register_orchestration("W")
def workflow(ctx, input):
    return (yield ctx.schedule_activity("Work", input))

runtime.start()
Client(provider).start_orchestration("i", "W", float(sys.argv[2]))
assert begun.wait(20)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise ValueError('x')", 1)],
    ids=["end", "exit", "error"],
)
@pytest.mark.parametrize("seconds", [0.0, 0.1, 30.0])
def test_script_that_forgets_shutdown_ends_and_loses_nothing(
    file_engine: Engine, ending: str, code: int, seconds: float
) -> None:
    engine = file_engine
    script = FORGETFUL + "print(time.time(), flush=True)\n" + ending
    done = python(script, str(engine.address), str(seconds), timeout=30)
    took = time.time() - float(done.stdout)
    assert done.returncode == code, done.stderr
    assert took < 15, "an exit hook drains for at most 0.8 s; the rest is a slow machine's"
    if code == 0:
        assert "Traceback" not in done.stderr
    status = engine.client.get_status("i")
    if seconds <= 0.1:
        assert status.status in ("Running", "Completed")
    ran: list[float] = []
    runtime = engine.runtime()

    @runtime.register_activity("Work")
    def work(ctx: Any, input: float) -> str:
        ran.append(input)
        return "done"

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: float) -> Any:
        return (yield ctx.schedule_activity("Work", input))

    runtime.start()
    assert engine.output("i") == "done", "the work of the dead process is taken over without waiting for its lease"
    assert len(ran) == (1 if seconds == 30.0 else 0)


POOLED = """
import asyncio, concurrent.futures, sys, threading, time
from duroxide import Client, Runtime, SqliteProvider

provider = SqliteProvider.open(sys.argv[1])
runtime = Runtime(provider)
pool = concurrent.futures.ThreadPoolExecutor()
pool.submit(int).result()
begun, ending = threading.Event(), sys.argv[2] == "first"

def wait_for_the_end():
    begun.set()
    while ending and not concurrent.futures.thread._shutdown:
        time.sleep(0.001)

@runtime.register_activity
def plain(ctx, input):
    wait_for_the_end()
    return pool.submit(str, "pooled").result()

@runtime.register_activity
async def asynchronous(ctx, input):
    begun.set()
    while ending and not concurrent.futures.thread._shutdown:
        await asyncio.sleep(0.001)
    return await asyncio.to_thread(str, "pooled")

@runtime.register_orchestration
def flow(ctx, name):
    return (yield ctx.schedule_activity(name))

runtime.start()
client = Client(provider)
if ending:
    client.start_orchestration("flow-1", flow, sys.argv[3])
    assert begun.wait(20)
else:
    print(client.wait_for_orchestration("flow-1", 20_000))
"""


@pytest.mark.parametrize("activity", ["plain", "asynchronous"])
def test_activity_that_finds_thread_pools_gone_at_exit_is_done_again(tmp_path: pathlib.Path, activity: str) -> None:
    """The interpreter ends its thread pools before it tells anybody that the process ends."""
    path = str(tmp_path / "store.db")
    first = python(POOLED, path, "first", activity)
    assert first.returncode == 0, first.stderr
    second = python(POOLED, path, "second", activity)
    assert "status='Completed', output='pooled'" in second.stdout, second


@posix
def test_fork_raises_a_clear_error_in_the_child() -> None:
    done = python(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from duroxide import Client, Runtime, SqliteProvider, RuntimeStateError
        provider = SqliteProvider.in_memory()
        client = Client(provider)
        runtime = Runtime(provider)
        runtime.register_orchestration("Now", lambda ctx, input: input)
        runtime.start()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            calls = {
                "status": lambda: client.get_status("x"),
                "start": lambda: client.start_orchestration("x", "Now"),
                "wait": lambda: client.wait_for_orchestration("x", 100),
                "open": lambda: SqliteProvider.in_memory(),
                "runtime": lambda: Runtime(provider).start(),
            }
            for name, call in calls.items():
                try:
                    call()
                except RuntimeStateError as e:
                    assert str(parent) in str(e) and str(os.getpid()) in str(e), str(e)
                    print(name, "refused", flush=True)
            sys.exit(5)
        _, status = os.waitpid(child, 0)
        print("child", os.WEXITSTATUS(status), flush=True)
        client.start_orchestration("y", "Now", 1)
        print("parent", client.wait_for_orchestration("y").output, flush=True)
        runtime.shutdown()
        """,
        timeout=30,
    )
    lines = done.stdout.splitlines()
    names = ("status", "start", "wait", "open", "runtime")
    assert lines[:5] == [f"{name} refused" for name in names], done
    assert lines[5:] == ["child 5", "parent 1"], done
    assert done.returncode == 0


@posix
def test_import_alone_makes_no_thread_and_may_be_forked() -> None:
    done = python(
        """
        import os, threading, duroxide
        assert threading.active_count() == 1
        if os.path.exists("/proc/self/task"):
            assert len(os.listdir("/proc/self/task")) == 1
        child = os.fork()
        provider = duroxide.SqliteProvider.in_memory()
        with duroxide.Runtime(provider) as runtime:
            pass
        if child == 0:
            os._exit(4)
        print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
        """
    )
    assert (done.stdout, done.returncode) == ("4\n", 0), done.stderr


def test_aio_is_there_without_an_import_of_its_own_and_costs_nothing_before() -> None:
    done = python(
        """
        import sys, duroxide
        assert "asyncio" not in sys.modules
        assert not hasattr(duroxide, "nothing")
        assert "asyncio" not in sys.modules
        client = duroxide.aio.Client(duroxide.SqliteProvider.in_memory())
        from duroxide import aio
        assert aio is duroxide.aio is sys.modules["duroxide.aio"]
        try:
            duroxide.nothing
        except AttributeError as e:
            print(e)
        """
    )
    assert (done.stdout, done.returncode) == ("module 'duroxide' has no attribute 'nothing'\n", 0), done.stderr


@posix
def test_subprocesses_work_beside_a_running_engine(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_activity("Run")
    def run(ctx: Any, n: int) -> str:
        return subprocess.run(["echo", str(n)], capture_output=True, text=True, check=True).stdout.strip()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return [r["ok"] for r in (yield ctx.all([ctx.schedule_activity("Run", n) for n in range(8)]))]

    runtime.start()
    assert memory.run("W") == [str(n) for n in range(8)]


def test_two_runtimes_in_one_process_share_a_store(engine: Engine) -> None:
    ran: dict[str, int] = {"one": 0, "two": 0}

    def register(runtime: duroxide.Runtime, name: str) -> None:
        @runtime.register_activity("Only " + name)
        def only(ctx: Any, input: Any) -> str:
            ran[name] += 1
            return name

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            one = yield ctx.schedule_activity("Only one")
            two = yield ctx.schedule_activity("Only two")
            return [one, two]

    for name in ("one", "two"):
        runtime = engine.runtime()
        register(runtime, name)
        runtime.start()
    ids = [engine.start("W") for _ in range(10)]
    for instance in ids:
        assert engine.output(instance) == ["one", "two"]
    assert ran == {"one": 10, "two": 10}


def test_two_stores_in_one_process_are_apart(tmp_path: pathlib.Path) -> None:
    before = threads()
    made = []
    for name in ("a", "b"):
        provider = duroxide.SqliteProvider.open(tmp_path / f"{name}.db")
        runtime = duroxide.Runtime(provider)
        runtime.register_orchestration("Name", lambda ctx, input, name=name: name)
        runtime.start()
        made.append((name, provider, runtime))
    for name, provider, _ in made:
        client = duroxide.Client(provider)
        client.start_orchestration("same id", "Name")
        assert client.wait_for_orchestration("same id", WAIT_MS).output == name
    for _, provider, runtime in made:
        runtime.shutdown()
        assert provider._check() == []
        provider.close()
    no_new_threads(before)


WORKER = """
import os, sys, threading
from duroxide import Runtime
from stores import open_store
provider = open_store(sys.argv[1])
runtime = Runtime(provider)

@runtime.register_activity("Pid")
def pid(ctx, input):
    return os.getpid()

@runtime.register_orchestration("W")
def workflow(ctx, input):
    pids = []
    for n in range(5):
        pids.append((yield ctx.schedule_activity("Pid")))
        yield ctx.schedule_timer(1)
    event = yield ctx.wait_for_event("go")
    return [pids, event]

runtime.start()
print("ready", flush=True)
sys.stdin.readline()
runtime.shutdown()
provider.close()
print("bye", flush=True)
"""


@pytest.mark.timeout(120)
def test_processes_on_one_store_share_the_work(file_engine: Engine) -> None:
    engine = file_engine
    workers = [spawn(WORKER, str(engine.address)) for _ in range(2)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        ids = [engine.start("W", None, f"w{n}") for n in range(30)]
        for instance in ids:
            engine.recorded(instance, "ExternalSubscribed")
            engine.client.raise_event(instance, "go", instance)
        pids: set[int] = set()
        for instance in ids:
            mine, event = engine.output(instance)
            assert event == instance
            pids.update(mine)
        assert pids <= {w.pid for w in workers}
        for worker in workers:
            out, err = worker.communicate("\n", timeout=30)
            assert (out, worker.returncode) == ("bye\n", 0), err
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_restart_goes_on_where_it_was(engine: Engine) -> None:
    ran: list[int] = []

    def register(runtime: duroxide.Runtime) -> None:
        @runtime.register_activity("Step")
        def step(ctx: Any, n: int) -> int:
            ran.append(n)
            return n

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            for n in range(4):
                yield ctx.schedule_activity("Step", n)
                yield ctx.wait_for_event(f"e{n}")
            return "end"

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    instance = engine.start("W")
    for n in range(4):
        engine.recorded(instance, "ExternalSubscribed", n + 1)
        runtime = engine.restart(runtime, register)
        engine.client.raise_event(instance, f"e{n}")
    assert engine.output(instance) == "end"
    assert ran == [0, 1, 2, 3], "no step runs twice"


def test_many_start_and_stop_leave_nothing_behind(memory: Engine) -> None:
    before = threads()
    fds = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    for n in range(10):
        runtime = memory.runtime()
        runtime.register_orchestration("Now", lambda ctx, input: input)
        runtime.start()
        assert memory.run("Now", n) == n
        assert runtime.shutdown() is True
        memory.runtimes.remove(runtime)
    no_new_threads(before)
    if fds is not None:
        assert len(os.listdir("/proc/self/fd")) <= fds + 4


def test_calls_from_many_threads(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Echo", input))

    runtime.start()
    wrong: list[Any] = []

    def use(k: int) -> None:
        for n in range(20):
            instance = f"{k}-{n}"
            memory.client.start_orchestration(instance, "W", instance)
            got = memory.client.wait_for_orchestration(instance, WAIT_MS)
            if got.output != instance:
                wrong.append(got)

    users = [threading.Thread(target=use, args=(k,)) for k in range(10)]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
    assert wrong == []
    assert len(memory.client.list_all_instances()) == 200


def test_blocking_waits_release_the_gil(memory: Engine) -> None:
    waiting = threading.Event()
    ended: list[Any] = []

    def wait() -> None:
        waiting.set()
        try:
            memory.client.wait_for_orchestration("nobody", 400)
        except duroxide.WaitTimeout:
            ended.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    must(waiting)
    before = time.monotonic()
    steps = 0
    while not ended and time.monotonic() - before < 10:
        steps += 1
    waiter.join()
    assert steps > 10_000, "this thread ran on while the other waited"
