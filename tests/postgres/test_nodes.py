"""Several workers on one database: who takes over from whom, and when; sessions and tags across processes."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from duroxide import TagFilter
from harness import LONG_LEASE, Engine, environment, eventually
from postgres_server import psql, quoted
from stores import Schema

LEASE_SECONDS = 10
SHORT_LEASE = {"worker_lock_timeout_ms": 1500, "worker_lock_renewal_buffer_ms": 500}


class Node:
    """A worker process."""

    def __init__(self, store: Schema, name: str, folder: pathlib.Path, **options: Any) -> None:
        self.name = name
        self.errors = folder / f"{name}-{time.monotonic_ns()}.log"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    str(pathlib.Path(__file__).with_name("node.py")),
                    str(store),
                    name,
                    json.dumps(options),
                ],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.heard("ready")

    def heard(self, line: str) -> None:
        """Wait until it says a line."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline().strip()
        assert said == line, (said, self.log())

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def log(self) -> str:
        return self.errors.read_text()

    def kill(self) -> float:
        self.process.kill()
        self.process.communicate()
        return time.monotonic()

    def end(self) -> None:
        self.process.communicate("end\n", timeout=60)
        assert self.process.returncode == 0, self.log()


Make = Callable[..., Node]


@pytest.fixture
def store(schema: Schema) -> Iterator[Engine]:
    """The store, with a client and no runtime of this process."""
    engine = Engine(schema)
    yield engine
    engine.close()


@pytest.fixture
def node(store: Engine, schema: Schema, tmp_path: pathlib.Path) -> Iterator[Make]:
    with contextlib.ExitStack() as made:

        def make(name: str, **options: Any) -> Node:
            n = Node(schema, name, tmp_path, **options)
            made.callback(n.kill)
            return n

        yield make


def rows(schema: Schema, sql: str) -> str:
    return psql(schema.url, sql.format(s=quoted(schema.name)))


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same host", "another host"])
def test_killed_worker_is_followed(store: Engine, schema: Schema, node: Make, elsewhere: bool) -> None:
    victim = node("victim", **({} if elsewhere else LONG_LEASE))
    store.start("Holds", instance="one")
    victim.heard("begun one")
    if elsewhere:
        # Another boot is another machine: nobody here can see whether its process is alive.
        rows(schema, "UPDATE {s}.duroxide_nodes SET boot = 'of another machine'")
    survivor = node("survivor")
    survivor.tell("go")
    killed = victim.kill()
    assert store.output("one") == "survivor"
    took = time.monotonic() - killed
    print(f"taken over after {took:.2f} s")
    if elsewhere:
        assert LEASE_SECONDS / 4 < took < LEASE_SECONDS + 5, "its lease is waited for, and not longer"
    survivor.end()


def test_worker_stopped_beyond_its_lease_writes_nothing_and_finds_back(
    store: Engine, schema: Schema, node: Make
) -> None:
    stopped = node("stopped", **SHORT_LEASE)
    store.start("Holds", instance="one")
    stopped.heard("begun one")
    stopped.process.send_signal(signal.SIGSTOP)
    survivor = node("survivor", **SHORT_LEASE)
    survivor.tell("go")
    assert store.output("one") == "survivor"
    history = [e.to_dict() for e in store.events("one")]
    survivor.end()

    stopped.tell("go")
    stopped.process.send_signal(signal.SIGCONT)
    eventually(lambda: "node was lost" in stopped.log(), "it finds out that it was taken for dead")
    assert store.run("Holds", instance="two") == "stopped"
    assert [e.to_dict() for e in store.events("one")] == history
    assert "Traceback" not in stopped.log()
    stopped.heard("begun two")
    stopped.end()


def test_worker_stopped_for_less_than_its_lease_goes_on(store: Engine, node: Make) -> None:
    stopped = node("stopped")
    store.start("Holds", instance="one")
    stopped.heard("begun one")
    stopped.process.send_signal(signal.SIGSTOP)
    other = node("other")
    other.tell("go")
    time.sleep(1)
    stopped.tell("go")
    stopped.process.send_signal(signal.SIGCONT)
    assert store.output("one") == "stopped"
    for n in (stopped, other):
        n.end()


def test_session_comes_back_to_its_label_after_a_crash(store: Engine, node: Make) -> None:
    first = node("first", worker_node_id="pod-1")
    assert store.run("InSession", "s") == "first"
    other = node("other", worker_node_id="pod-2")
    assert store.run("InSession", "s") == "first", "whoever has a session keeps it"
    first.kill()
    again = node("again", worker_node_id="pod-1")
    assert store.run("InSession", "s") == "again"
    assert store.run("InSession", "other") in ("again", "other")
    for n in (again, other):
        n.end()


def test_session_without_a_label_goes_to_whoever_lives(store: Engine, node: Make) -> None:
    first = node("first", **LONG_LEASE)
    assert store.run("InSession", "s") == "first"
    other = node("other")
    first.kill()
    assert store.run("InSession", "s") == "other", "that the first is dead can be seen"
    other.end()


def test_session_whose_label_does_not_come_back_is_taken_by_another(store: Engine, schema: Schema, node: Make) -> None:
    first = node("first", worker_node_id="pod-1")
    assert store.run("InSession", "s") == "first"
    other = node("other", worker_node_id="pod-2")
    first.kill()
    kept = "SELECT count(*) FROM {s}.duroxide_sessions WHERE node IS NULL AND label = 'pod-1'"
    eventually(lambda: rows(schema, kept) == "1", "it is kept for its label")
    # The moment that it is kept for goes by at once.
    rows(schema, "UPDATE {s}.duroxide_sessions SET last_used = last_used - 10000")
    assert store.run("InSession", "s") == "other"
    other.end()


def test_tags_find_their_workers_across_processes(store: Engine, node: Make) -> None:
    nodes = [
        node("plain"),
        node("gpu", worker_tag_filter=TagFilter.tags(["gpu"])),
        node("both", worker_tag_filter=TagFilter.tags(["cpu", "tpu"])),
    ]
    for _ in range(5):
        assert store.run("Tagged", ["gpu", "cpu", "tpu"]) == [
            ["plain", None],
            ["gpu", "gpu"],
            ["both", "cpu"],
            ["both", "tpu"],
        ]
    for n in nodes:
        n.end()


def test_tagged_work_waits_for_a_worker_that_takes_it(store: Engine, node: Make) -> None:
    plain = node("plain")
    store.start("Tagged", ["gpu"], instance="one")
    store.recorded("one", "ActivityCompleted")
    gpu = node("gpu", worker_tag_filter=TagFilter.tags(["gpu"]))
    assert store.output("one") == [["plain", None], ["gpu", "gpu"]]
    for n in (plain, gpu):
        n.end()


def test_twenty_processes_open_a_new_schema_at_once(schema: Schema) -> None:
    script = "import sys; from stores import open_store; open_store(sys.argv[1]).close(); print('opened')"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(schema)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(20)
    ]
    assert [p.communicate(timeout=100)[0] for p in processes] == ["opened\n"] * 20


def test_work_is_shared_by_processes(store: Engine, node: Make) -> None:
    nodes = [node(name) for name in ("a", "b", "c", "d")]
    ids = [store.start("Tagged", [], instance=f"i{n}") for n in range(200)]
    by = {store.output(i)[0][0] for i in ids}
    assert len(by) > 1
    for n in nodes:
        n.end()
