"""run_forever() ends when the process is asked to stop, whichever of its threads the system asks."""

from __future__ import annotations

import pathlib

import pytest

from harness import python

WORKER = """
import signal, sys, threading
from duroxide import Client, Runtime, RuntimeStateError, SqliteProvider

number, how = signal.Signals[sys.argv[1]], sys.argv[2]
before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
provider = SqliteProvider.in_memory()
client = Client(provider)
runtime = Runtime(provider)
ended = []


@runtime.register_activity
def work(ctx, input):
    begun.set()
    go.wait(20)
    ended.append(input)


@runtime.register_orchestration
def flow(ctx, input):
    yield ctx.schedule_activity(work, input)


begun, go = threading.Event(), threading.Event()
client.start_orchestration("flow-1", flow, "done")


def ask():
    begun.wait(20)  # it runs, so the handlers are there
    if how == "main":
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        signal.pthread_kill(threading.get_ident(), number)
    go.set()


threading.Thread(target=ask).start()
runtime.run_forever()
assert ended == ["done"], "what ran was waited for"
assert {n: signal.getsignal(n) for n in before} == before
assert signal.set_wakeup_fd(-1) == -1
try:
    runtime.start()
except RuntimeStateError as e:
    print("stopped:", e)
"""


@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_to_any_thread_drains_and_returns(number: str, thread: str) -> None:
    answer = python(WORKER, number, thread, timeout=40)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("stopped: ")


def test_runtime_that_is_too_old_for_its_store_does_not_wait_for_ever(tmp_path: pathlib.Path) -> None:
    """A newer version has been at the store and says that older ones must not write to it any more."""
    worker = """
import sys
from duroxide import Client, Runtime, RuntimeOptions, RuntimeStateError, SqliteProvider

provider = SqliteProvider.open(sys.argv[1])
runtime = Runtime(provider, RuntimeOptions(worker_lock_timeout_ms=1000))


@runtime.register_activity
def deploy_newer(ctx, input):
    import subprocess
    newer = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    raised = "UPDATE duroxide_meta SET value = '1000' WHERE key = 'min_writer'"
    subprocess.run([sys.executable, "-c", newer, sys.argv[1], raised], check=True)


@runtime.register_orchestration
def deploys(ctx, input):
    yield ctx.schedule_activity(deploy_newer)


Client(provider).start_orchestration("deploy-1", deploys)
try:
    runtime.run_forever()
except RuntimeStateError as e:
    print(e)
"""
    answer = python(worker, str(tmp_path / "store.db"), timeout=40)
    assert answer.returncode == 0, answer.stderr
    assert "has stopped by itself" in answer.stdout, answer.stderr
    assert "too old for its store" in answer.stderr


def test_only_the_main_thread_can_wait_for_signals() -> None:
    source = """
import threading
from duroxide import Runtime, RuntimeStateError, SqliteProvider

def other():
    try:
        Runtime(SqliteProvider.in_memory()).run_forever()
    except RuntimeStateError as e:
        print(e)

thread = threading.Thread(target=other)
thread.start()
thread.join()
"""
    answer = python(source)
    assert answer.stdout == "run_forever() waits for signals, so it runs on the main thread\n", answer.stderr
