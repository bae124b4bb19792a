"""Ctrl-C: in waits, in calls as they begin, in start() and in shutdown()."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

import duroxide
from duroxide._frames import Op
from duroxide._library import library
from harness import WAIT_MS, Engine, spawn

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

WAITS = {
    "wait_for_orchestration": 'client.wait_for_orchestration("i", 60000)',
    "without a bound": 'client.wait_for_orchestration("i", None)',
    "wait_for_status_change": 'client.wait_for_status_change("i", 5, 50, 60000)',
    "wait_for_kv_value": 'client.wait_for_kv_value("i", "k", 60000)',
    "shutdown": "runtime.shutdown(60000)",
}
ROUNDS = 3


@posix
@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_ctrl_c_ends_a_wait(call: str) -> None:
    child = spawn(
        f"""
        import sys, threading, time
        from duroxide import Client, Runtime, SqliteProvider
        provider = SqliteProvider.in_memory()
        client = Client(provider)
        runtime = Runtime(provider)
        begun, release = threading.Event(), threading.Event()

        @runtime.register_activity("Hold")
        def hold(ctx, input):
            begun.set()
            release.wait(30)

        @runtime.register_orchestration("W")
        def workflow(ctx, input):
            yield ctx.schedule_activity("Hold")

        runtime.start()
        client.start_orchestration("i", "W")
        assert begun.wait(20)
        for _ in range({ROUNDS}):
            try:
                print("ready", flush=True)
                {call}
            except KeyboardInterrupt:
                print("interrupted", time.time(), flush=True)
        release.set()
        runtime.shutdown()
        print("ended", flush=True)
        """
    )
    assert child.stdout is not None
    try:
        took = []
        for _ in range(ROUNDS):
            assert child.stdout.readline() == "ready\n"
            threading.Event().wait(0.2)  # let the main thread come to its wait
            sent = time.time()
            child.send_signal(signal.SIGINT)
            word, at = child.stdout.readline().split()
            assert word == "interrupted"
            took.append(float(at) - sent)
        assert min(took) < 0.2, "what takes longer is a slow machine"
        out, err = child.communicate(timeout=30)
        assert (out, child.returncode) == ("ended\n", 0), err
    finally:
        child.kill()
        child.communicate()


@posix
def test_wait_does_not_spin_after_news_that_nobody_read(memory: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = library()
    pipe = calls.signals.take()
    for _ in range(1000):
        os.write(pipe[1], b"8 bytes.")  # as many waits of an event loop do that end when it has given them up
    calls.signals.give_back(pipe)
    looks, fetch = [0], calls._fetch

    def counting(*args: Any) -> int:
        looks[0] += 1
        return int(fetch(*args))

    monkeypatch.setattr(calls, "_fetch", counting)
    with pytest.raises(duroxide.WaitTimeout):
        memory.client.wait_for_orchestration("nobody", 400)
    assert looks[0] < 10
    pipe = calls.signals.take()
    os.write(pipe[1], b"8 bytes.")  # of a call that was given up, while the next one waits already
    calls.signals._free.append(pipe)
    looks[0] = 0
    with pytest.raises(duroxide.WaitTimeout):
        memory.client.wait_for_orchestration("nobody", 400)
    assert looks[0] < 10


@posix
def test_wait_that_is_interrupted_as_it_begins_is_given_up(memory: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("W", lambda ctx, input: 1)
    calls = library()
    call = calls._call

    def interrupted(*args: Any) -> int:
        call(*args)
        raise KeyboardInterrupt  # where Python acts on a signal that came while the thread was in the engine

    monkeypatch.setattr(calls, "_call", interrupted)
    with pytest.raises(KeyboardInterrupt):
        memory.client.wait_for_orchestration("i", None)
    monkeypatch.undo()
    pipe = calls.signals.take()  # the one that the wait had
    try:
        runtime.start()
        memory.client.start_orchestration("i", "W")
        assert memory.client.wait_for_orchestration("i", WAIT_MS).output == 1
        runtime.shutdown()
        with pytest.raises(BlockingIOError):
            os.read(pipe[0], 8)
    finally:
        calls.signals.give_back(pipe)


@posix
def test_runtime_whose_start_is_interrupted_takes_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = duroxide.SqliteProvider.in_memory()
    client = duroxide.Client(provider)

    def make() -> duroxide.Runtime:
        runtime = duroxide.Runtime(provider)
        runtime.register_orchestration("W", lambda ctx, input: 1)
        return runtime

    calls = library()
    call = calls._call

    def interrupted(op: int, *args: Any) -> int:
        outcome = int(call(op, *args))
        if op == Op.START_RUNTIME:
            raise KeyboardInterrupt
        return outcome

    monkeypatch.setattr(calls, "_call", interrupted)
    runtime = make()
    with pytest.raises(KeyboardInterrupt):
        runtime.start()
    monkeypatch.undo()
    with pytest.raises(duroxide.RuntimeStateError):
        runtime.start()
    assert runtime.shutdown() is True
    client.start_orchestration("i", "W")
    with make():
        assert client.wait_for_orchestration("i", WAIT_MS).output == 1
    provider.close()  # no runtime is left on it


@posix
def test_script_that_was_interrupted_in_shutdown_ends_soon() -> None:
    child = spawn(
        """
        import threading
        from duroxide import Client, Runtime, SqliteProvider
        provider = SqliteProvider.in_memory()
        runtime = Runtime(provider)
        begun = threading.Event()

        @runtime.register_activity
        def hold(ctx, input):
            begun.set()
            threading.Event().wait(60)

        @runtime.register_orchestration
        def flow(ctx, input):
            yield ctx.schedule_activity(hold)

        runtime.start()
        Client(provider).start_orchestration("i", flow)
        assert begun.wait(20)
        print("ready", flush=True)
        runtime.shutdown(600_000)
        """
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        threading.Event().wait(0.2)  # let the main thread come to its wait
        child.send_signal(signal.SIGINT)
        child.wait(20)  # the exit hook drains for at most 0.8 s; the rest is a slow machine's
    finally:
        child.kill()
        child.communicate()
