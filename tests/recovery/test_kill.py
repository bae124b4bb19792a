"""Workers of both modes that are killed with SIGKILL at random moments while instances of every kind run.

DUROXIDE_KILL_ROUNDS says how often (50), DUROXIDE_KILL_SEED from where. With DUROXIDE_SOAK_SECONDS
the same goes on for as long as it says.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

import duroxide
from harness import LONG_LEASE, MODES, environment, eventually

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from histories import check_history, histories
from worker import EXPECTED

ROUNDS = int(os.environ.get("DUROXIDE_KILL_ROUNDS", "50"))
SOAK = float(os.environ.get("DUROXIDE_SOAK_SECONDS", "0"))
SEED = int(os.environ.get("DUROXIDE_KILL_SEED", "20261123"))
RUNNING = 40

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")


class Harness:
    """A store, the instances on it, and one worker process at a time."""

    def __init__(self, folder: pathlib.Path, seed: int) -> None:
        self.path = folder / "store.db"
        self.log = folder / "runs.log"
        self.stderr = folder / "stderr.log"
        self.random = random.Random(seed)
        self.provider = duroxide.SqliteProvider.open(self.path)
        self.client = duroxide.Client(self.provider)
        self.started: dict[str, str] = {}
        #: (start() returned, killed, pid) of each round, in ms since the epoch
        self.rounds: list[tuple[float, float, int]] = []

    def top_up(self) -> None:
        """Start instances until RUNNING of them run."""
        ended = {i for status in ("Completed", "Failed") for i in self.client.list_instances_by_status(status)}
        open_ones = sum(1 for i in self.started if i not in ended)
        for _ in range(RUNNING - open_ones):
            name = self.random.choice(sorted(EXPECTED))
            instance = f"{name}-{len(self.started)}"
            self.client.start_orchestration(instance, name, EXPECTED[name][0])
            self.started[instance] = name
            if name == "Mail":
                for n in range(6):
                    self.client.enqueue_event(instance, "inbox", n)

    def worker(self, **options: int) -> subprocess.Popen[str]:
        with self.stderr.open("a") as stderr:
            return subprocess.Popen(
                [
                    sys.executable,
                    str(pathlib.Path(__file__).with_name("worker.py")),
                    str(self.path),
                    str(self.log),
                    json.dumps(options),
                ],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def ready(self, worker: subprocess.Popen[str]) -> float:
        assert worker.stdout is not None
        line = worker.stdout.readline()
        assert line.startswith("ready "), self.stderr.read_text()[-5000:]
        return float(line.split()[1]) * 1000

    def kill_round(self) -> None:
        self.top_up()
        worker = self.worker(**self.random.choice(list(MODES.values())))
        try:
            ready = self.ready(worker)
            try:
                worker.wait(self.random.uniform(0.05, 0.4))
                raise AssertionError("the worker ended by itself: " + self.stderr.read_text()[-5000:])
            except subprocess.TimeoutExpired:
                pass
            worker.send_signal(signal.SIGKILL)
        finally:
            worker.kill()
            worker.communicate()
        self.rounds.append((ready, time.time() * 1000, worker.pid))

    def finish(self) -> None:
        """Let one worker, that nobody kills, bring everything to its end."""
        worker = self.worker()
        try:
            self.ready(worker)
            for instance, name in self.started.items():
                result = self.client.wait_for_orchestration(instance, 60_000)
                assert result.status == "Completed", (instance, result)
                assert result.output == EXPECTED[name][1], (instance, result)
            out, _ = worker.communicate("\n", timeout=30)
            assert (out, worker.returncode) == ("bye\n", 0)
        finally:
            worker.kill()
            worker.communicate()

    def check_histories(self) -> None:
        for where, events in histories(self.client).items():
            check_history(where, events)

    def check_runs(self) -> None:
        """A body runs once, and once more for each kill that hit it: never twice in one process."""
        runs: dict[str, list[str]] = collections.defaultdict(list)
        for line in self.log.read_text().splitlines():
            key, pid = line.rsplit(" ", 1)
            runs[key].append(pid)
        assert runs
        twice = {key: pids for key, pids in runs.items() if len(set(pids)) != len(pids)}
        assert twice == {}
        completed = sum(
            e.kind in ("ActivityCompleted", "ActivityFailed")
            for events in histories(self.client).values()
            for e in events
        )
        again = sum(len(pids) - 1 for pids in runs.values())
        print(f"{completed} activities, {again} runs repeated by {len(self.rounds)} kills")
        assert len(runs) >= completed * 0.99
        assert again <= len(self.rounds) * 16, "a kill repeats what ran at that moment, not more"

    def check_take_over(self) -> None:
        """How soon after start() the first commit of work that the dead process had follows."""
        stamps = sorted(e.timestamp_ms for events in histories(self.client).values() for e in events)
        waits = []
        for (_, killed, _), (ready, until, _) in zip(self.rounds, self.rounds[1:]):
            first = next((t for t in stamps if t > killed), None)
            if first is not None and first < until:
                waits.append(max(0.0, first - ready))
        waits.sort()
        assert len(waits) > len(self.rounds) * 0.5, "most rounds got work done before their kill"
        p50, p95 = waits[len(waits) // 2], waits[int(len(waits) * 0.95)]
        print(f"take-over after start(): p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {waits[-1]:.0f} ms")
        assert p95 < 2000

    def check_store(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "duroxide", "check", str(self.path)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.provider._check() == []
        assert "nondetermin" not in self.stderr.read_text()
        assert "Traceback" not in self.stderr.read_text()

    def check_everything(self) -> None:
        self.finish()
        self.check_histories()
        self.check_runs()
        self.check_store()
        depths = self.client.get_queue_depths()
        assert (depths.orchestrator_queue, depths.worker_queue, depths.timer_queue) == (0, 0, 0)


@pytest.fixture
def harness(tmp_path: pathlib.Path) -> Any:
    made = Harness(tmp_path, SEED)
    yield made
    made.provider.close()


@pytest.mark.timeout(400)
def test_kills_at_random_moments_lose_and_repeat_nothing(harness: Harness) -> None:
    for _ in range(ROUNDS):
        harness.kill_round()
    harness.check_everything()
    harness.check_take_over()


def test_kill_while_two_workers_share_the_store(harness: Harness) -> None:
    """The survivor takes the dead one's work over at once: it does not wait for the lease."""
    workers = [harness.worker(hold=True, **LONG_LEASE)]
    try:
        harness.ready(workers[0])
        harness.client.start_orchestration("held", "Holds", 1)
        eventually(lambda: harness.log.exists() and harness.log.read_text(), "the victim holds work")
        harness.top_up()
        workers.append(harness.worker(**LONG_LEASE))
        victim, survivor = workers
        harness.ready(survivor)
        eventually(lambda: len(harness.client.list_instances_by_status("Completed")) > 3)
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        assert harness.client.wait_for_orchestration("held", 30_000).output == 1
        for instance, name in harness.started.items():
            result = harness.client.wait_for_orchestration(instance, 30_000)
            assert result.output == EXPECTED[name][1], (instance, result)
        survivor.communicate("\n", timeout=30)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    harness.check_histories()
    harness.check_store()


@pytest.mark.soak
@pytest.mark.skipif(SOAK <= 0, reason="DUROXIDE_SOAK_SECONDS is not set")
@pytest.mark.timeout(SOAK + 900)
def test_soak(tmp_path: pathlib.Path) -> None:
    end = time.monotonic() + SOAK
    seed = SEED
    while time.monotonic() < end:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = Harness(folder, seed)
        print(f"seed {seed}")
        try:
            for _ in range(20):
                made.kill_round()
            made.check_everything()
        finally:
            made.provider.close()
