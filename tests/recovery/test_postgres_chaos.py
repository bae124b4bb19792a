"""Workers that are killed and stopped at random, on a PostgreSQL server that is restarted all the time.

DUROXIDE_KILL_SEED says from where. With DUROXIDE_SOAK_SECONDS it goes on for as long as it says.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import pathlib
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, TypeVar

import pytest

import duroxide
from harness import environment
from postgres_server import Server
from stores import Schema, new_schema, open_store

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from histories import check_history, histories
from worker import EXPECTED

SOAK = float(os.environ.get("DUROXIDE_SOAK_SECONDS", "0"))
SEED = int(os.environ.get("DUROXIDE_KILL_SEED", "20261124"))
WORKFLOWS = 2000
WORKERS = 4
OPEN = 64  # instances at once
LEASE_SECONDS = 10.0
PATIENCE_SECONDS = 120.0  # for one instance, once nobody disturbs it any more

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

T = TypeVar("T")


class Worker:
    """One worker process at a time; a new one when it was killed."""

    def __init__(self, schema: Schema, folder: pathlib.Path) -> None:
        self._schema = schema
        self._folder = folder
        self.stopped_until = 0.0
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[str]:
        with (self._folder / "stderr.log").open("a") as stderr:
            return subprocess.Popen(
                [
                    sys.executable,
                    str(pathlib.Path(__file__).with_name("worker.py")),
                    str(self._schema),
                    str(self._folder / "runs.log"),
                ],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def kill(self) -> None:
        self.end()
        self.stopped_until = 0.0
        self.process = self._spawn()

    def stop(self, seconds: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.stopped_until = time.monotonic() + seconds

    def resume(self) -> None:
        if self.stopped_until:
            self.stopped_until = 0.0
            self.process.send_signal(signal.SIGCONT)

    def retire(self) -> None:
        out, _ = self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0
        assert out.endswith("bye\n"), out


class Drivers:
    """Clients that start instances, wait for them, and believe what they are told."""

    def __init__(self, client: duroxide.Client, seed: int) -> None:
        self.client = client
        self.errors: queue.Queue[BaseException] = queue.Queue()
        self.retried = 0
        self.finished = 0
        self.calm = threading.Event()  # nobody disturbs any more
        self.enough = threading.Event()
        self._numbers = itertools.count(1)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, name=f"driver-{n}") for n in range(OPEN)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        try:
            while not self.enough.is_set():
                with self._lock:
                    number = next(self._numbers)
                    name = self._random.choice(sorted(EXPECTED))
                self._drive(f"{name}-{number}", name)
                with self._lock:
                    self.finished += 1
        except BaseException as e:
            self.errors.put(e)
            self.enough.set()

    def _insist(self, call: Callable[[], T]) -> tuple[T, bool]:
        """Call again while that may help; whether it had to be."""
        again = False
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return call(), again
            except duroxide.ProviderError as e:
                if not e.retryable or time.monotonic() > end:
                    raise
                again = True
                with self._lock:
                    self.retried += 1
                time.sleep(0.05)

    def _drive(self, instance: str, name: str) -> None:
        given, wanted = EXPECTED[name]
        self._insist(lambda: self.client.start_orchestration(instance, name, given))
        status, _ = self._insist(lambda: self.client.get_status(instance))
        assert status.status != "NotFound", f"{instance} was started and is not there"
        uncertain = set()
        if name == "Mail":
            for n in range(len(wanted)):
                # A call that failed may have stored its message all the same: then it is there twice.
                _, again = self._insist(lambda n=n: self.client.enqueue_event(instance, "inbox", n))
                if again:
                    uncertain.add(n)
        result = self._wait(instance)
        assert result.status == "Completed", (instance, result)
        if uncertain:
            check_mail(result.output, wanted, uncertain)
        else:
            assert result.output == wanted, (instance, result)
        later, _ = self._insist(lambda: self.client.get_status(instance))
        assert (later.status, later.output) == (result.status, result.output), instance

    def _wait(self, instance: str) -> Any:
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                result, _ = self._insist(lambda: self.client.wait_for_orchestration(instance, 2000))
                return result
            except duroxide.WaitTimeout:
                status, _ = self._insist(lambda: self.client.get_status(instance))
                assert status.status != "NotFound", f"{instance} is gone"
                if not self.calm.is_set():
                    patience = time.monotonic() + PATIENCE_SECONDS
                assert time.monotonic() < patience, (
                    f"{instance} does not end: {status}",
                    self.client.get_waiting(instance),
                )

    def join(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS + 60)
        if not self.errors.empty():
            raise self.errors.get()
        assert not any(t.is_alive() for t in self.threads)


def check_mail(output: list[int], wanted: list[int], uncertain: set[int]) -> None:
    """All messages that were sent, in order; only those whose call failed may be there twice."""
    assert len(output) == len(wanted), output
    assert output == sorted(output), output
    counts = collections.Counter(output)
    assert all(count == 1 or n in uncertain for n, count in counts.items()), (output, uncertain)
    assert sorted(counts) == wanted[: len(counts)], "none is left out"


class Chaos:
    """What happens to workers and server."""

    def __init__(self, server: Server, workers: list[Worker], seed: int) -> None:
        self.server = server
        self.workers = workers
        self.random = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()

    def run(self, seconds: float, least: int, drivers: Drivers) -> None:
        """Disturb for so long, and until so many workflows have ended."""
        end = time.monotonic() + seconds
        restart = time.monotonic() + 2
        while time.monotonic() < end or (drivers.finished < WORKFLOWS and seconds > 300):
            if not drivers.errors.empty():
                return
            now = time.monotonic()
            for worker in self.workers:
                if worker.stopped_until and worker.stopped_until <= now:
                    worker.resume()
            if now >= restart:
                how = self.random.choice([signal.SIGINT, signal.SIGQUIT])
                self.server.stop(how)
                time.sleep(self.random.choice([0.0, 0.0, 0.3, 1.0]))
                self.server.start()
                self.counts["restarts " + ("fast" if how == signal.SIGINT else "immediate")] += 1
                restart = time.monotonic() + self.random.uniform(2, 6)
            self._disturb_worker()
            time.sleep(self.random.uniform(0.2, 1.0))

    def _disturb_worker(self) -> None:
        going = [w for w in self.workers if not w.stopped_until]
        if not going:
            return
        worker = self.random.choice(going)
        what = self.random.random()
        if what < 0.4:
            worker.kill()
            self.counts["kills"] += 1
        elif what < 0.6:
            worker.stop(self.random.uniform(0.1, 2))
            self.counts["short stops"] += 1
        elif what < 0.7:
            worker.stop(LEASE_SECONDS + self.random.uniform(1, 4))
            self.counts["stops beyond the lease"] += 1

    def end(self) -> None:
        for worker in self.workers:
            worker.resume()


def disturbed(server: Server, folder: pathlib.Path, seconds: float, least: int, seed: int) -> None:
    """Run workflows for a while under every kind of trouble, then check everything."""
    schema = new_schema(server.url)
    stderr = folder / "stderr.log"
    provider = open_store(schema)
    client = duroxide.Client(provider)
    workers = [Worker(schema, folder) for _ in range(WORKERS)]
    drivers = Drivers(client, seed)
    chaos = Chaos(server, workers, seed)
    try:
        chaos.run(seconds, least, drivers)
        drivers.enough.set()
        chaos.end()
        drivers.calm.set()
        drivers.join()
        for worker in workers:
            worker.retire()
    finally:
        drivers.enough.set()
        drivers.calm.set()
        for worker in workers:
            worker.end()
    said = stderr.read_text()
    assert "Traceback" not in said, said[-5000:]
    assert "nondetermin" not in said, said[-5000:]
    recorded = histories(client)
    for where, events in recorded.items():
        check_history(where, events)
    depths = client.get_queue_depths()
    assert (depths.orchestrator_queue, depths.worker_queue, depths.timer_queue) == (0, 0, 0)
    assert provider._check() == []
    provider.close()
    steps = sum(len(events) for events in recorded.values())
    counts = ", ".join(f"{n} {what}" for what, n in sorted(chaos.counts.items()))
    print(f"{drivers.finished} workflows, {steps} events, {drivers.retried} calls tried again; {counts}")
    assert drivers.finished >= seconds, "at least one a second came through"


@pytest.mark.timeout(600)
def test_a_minute_of_restarts_kills_and_stops(postgres_binaries: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with contextlib.closing(Server(postgres_binaries, durable=True)) as server:
        disturbed(server, tmp_path, 60, 0, SEED)


@pytest.mark.soak
@pytest.mark.skipif(SOAK <= 0, reason="DUROXIDE_SOAK_SECONDS is not set")
@pytest.mark.timeout(SOAK * 2 + 1800)
def test_soak_on_postgres(postgres_binaries: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """So long, and in a soak of ten minutes or more until 2,000 workflows have ended."""
    with contextlib.closing(Server(postgres_binaries, durable=True)) as server:
        disturbed(server, tmp_path, SOAK, WORKFLOWS if SOAK >= 600 else 0, SEED + 1)
