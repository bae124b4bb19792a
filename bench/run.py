"""Runs the benchmarks of all systems in one run, prints the table, writes bench/results/*.json.

Started by `make bench` and `make bench-postgres`. Exit status 1: a workload of ours failed, or a target was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import targets

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".cache" / "bench"
RESULTS = HERE / "results"
PACKAGES = {"peer": "duroxide==0.2.2", "dbos": "dbos>=3.4,<3.5"}
SYSTEMS = ["ours", *PACKAGES]
LIMIT_SECONDS = 1_200


class Workload(NamedTuple):
    """How often a workload runs its inner loop: ours, and the slower systems unless --full."""

    name: str
    ours: int
    others: int  # 0: too slow to wait for, only with --full
    rounds: int = 3  # runs of ours, of which the median counts


SQLITE_WORKLOADS = [
    Workload("hello", 20, 20),
    Workload("steps", 300, 60),
    Workload("open_hellos", 300, 300),
    Workload("fan_out", 1_000, 1_000),
    Workload("memory_hello", 20, 20),
    Workload("memory_steps", 300, 60),
    Workload("steps_1000", 1_000, 0, rounds=1),
    Workload("steps_10000", 10_000, 0, rounds=1),
    Workload("open_steps", 300, 0, rounds=1),
    Workload("idle", 10, 10, rounds=1),
    Workload("recovery", 20, 2, rounds=1),
]
POSTGRES_WORKLOADS = [
    Workload("hello", 50, 20),
    Workload("steps", 300, 60),
    Workload("open_hellos", 300, 300),
    Workload("fan_out", 1_000, 1_000),
    Workload("event_hop", 20, 10),
    Workload("steps_1000", 1_000, 0, rounds=1),
    Workload("steps_10000", 10_000, 0, rounds=1),
    Workload("open_steps", 300, 0, rounds=1),
    Workload("processes_1", 300, 0, rounds=1),
    Workload("processes_2", 300, 0, rounds=1),
    Workload("processes_4", 300, 0, rounds=1),
    Workload("idle", 15, 0, rounds=1),
]


class Files:
    """Each workload has a SQLite file in a folder of its own."""

    name = "sqlite"
    workloads = SQLITE_WORKLOADS

    @contextlib.contextmanager
    def place(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            yield folder

    def bare(self) -> list[str]:
        return ["go", "run", "./bench/commit", "{place}", "2000"]

    def about(self, results: targets.Results) -> str:
        note = next((f["note"] for f in results.get("dbos", {}).values() if "note" in f), None)
        return f"ours: WAL, synchronous=FULL; dbos: {note or 'not run'}; peer: its defaults."


class Databases:
    """Each workload has a database of its own on one server, which waits for the disk at each commit."""

    name = "postgres"
    workloads = POSTGRES_WORKLOADS

    def __init__(self, server: Any) -> None:
        self.server = server
        self.version = server.sql("SHOW server_version")
        self._made = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[str]:
        self._made += 1
        name = f"bench_{self._made}"
        self.server.sql(f"CREATE DATABASE {name}")
        try:
            yield self.server.url.rpartition("/")[0] + f"/{name}"
        finally:
            self.server.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def bare(self) -> list[str]:
        return ["go", "run", "./bench/pgcommit", "{place}", "2000"]

    def about(self, results: targets.Results) -> str:
        lines = [f"PostgreSQL {self.version} on this machine, its defaults (fsync and synchronous_commit on)."]
        for count in (1, 2, 4):
            figures = results.get("ours", {}).get(f"processes_{count}", {})
            if "worker_cores" in figures:
                lines.append(
                    f"{count} processes: {figures['per_second']:,.0f} steps/s; cores busy: workers "
                    f"{figures['worker_cores']:.2f}, client {figures['client_cores']:.2f}, database "
                    f"{figures['database_cores']:.2f}"
                )
        return "\n".join(lines)


@contextlib.contextmanager
def opened(store: str) -> Iterator[Any]:
    """Where the workloads keep their data."""
    if store == "sqlite":
        yield Files()
        return
    sys.path.insert(0, str(ROOT / "tests"))
    import postgres_server

    with postgres_server.binaries() as programs:
        server = postgres_server.Server(programs, durable=True)
        try:
            yield Databases(server)
        finally:
            server.close()


def interpreter(system: str) -> str:
    """The Python of a system; those of the others get an environment when they have none yet."""
    if system == "ours":
        return sys.executable
    folder = CACHE / system
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != PACKAGES[system]:
        print(f"installing {PACKAGES[system]} ...", file=sys.stderr)
        venv.EnvBuilder(with_pip=True, clear=True).create(folder)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, PACKAGES[system]], check=True)
        stamp.write_text(PACKAGES[system])
    return str(python)


def measure(command: list[str]) -> dict[str, Any]:
    """Run one workload; gives its figures, or the reason why there are none."""
    environment = {**os.environ, "RUST_LOG": "error"}
    os.sync()  # what was written before, by a compiler or another system, is not flushed during this one
    try:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {LIMIT_SECONDS} s"}
    lines = [line for line in answer.stdout.splitlines() if line.startswith("{")]
    if answer.returncode != 0 or not lines:
        text = (answer.stderr or answer.stdout).strip().splitlines()
        return {"failed": text[-1] if text else f"exit status {answer.returncode}"}
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def command_of(store: Any, system: str, python: str, workload: str, place: str, count: int) -> list[str]:
    api = "dbos" if system == "dbos" else "duroxide"
    if workload == "recovery":
        return [sys.executable, str(HERE / "recovery.py"), python, api, place, str(count)]
    if workload.startswith("processes_"):
        processes = workload.rpartition("_")[2]
        return [python, str(HERE / "processes.py"), place, processes, str(count), str(store.server.pid)]
    return [python, str(HERE / f"{api}_load.py"), workload, place, str(count)]


def run_workload(store: Any, workload: Workload, system: str, python: str, full: bool) -> dict[str, Any]:
    """The median figures of all rounds of a workload under one system."""
    count = workload.ours if system == "ours" or full else workload.others
    rounds = []
    for _ in range(workload.rounds if system == "ours" else 1):
        with store.place() as place:
            figures = measure(command_of(store, system, python, workload.name, place, count))
        if "failed" in figures:
            return figures
        rounds.append(figures)
    merged: dict[str, Any] = {"count": count}
    for name, value in rounds[0].items():
        numeric = isinstance(value, (int, float))
        merged[name] = statistics.median(r[name] for r in rounds) if numeric else value
    return merged


def run_commit(store: Any) -> dict[str, Any]:
    with store.place() as place:
        return measure([part.format(place=place) for part in store.bare()])


def machine() -> dict[str, Any]:
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def chosen(text: str, known: list[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            sys.exit(f"bench: no {what} {name!r}; there are: {', '.join(known)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed beside the peers, on this machine.")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite", help="where workflows are kept")
    parser.add_argument("--full", action="store_true", help="the others at our counts: slow")
    parser.add_argument("--only", help="some workloads, with commas between")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {', '.join(SYSTEMS)}")
    arguments = parser.parse_args()
    systems = chosen(arguments.systems, SYSTEMS, "system")
    CACHE.mkdir(parents=True, exist_ok=True)
    with opened(arguments.store) as store:
        return run(store, systems, arguments)


def run(store: Any, systems: list[str], arguments: argparse.Namespace) -> int:
    known = [workload.name for workload in store.workloads]
    names = chosen(arguments.only, known, "workload") if arguments.only else known
    about = {**machine(), "store": store.name}
    pythons = {system: interpreter(system) for system in systems}
    print("running: bare commit", file=sys.stderr)
    results: targets.Results = {"commit": {"commit": run_commit(store)}}
    failed = "failed" in results["commit"]["commit"]
    for workload in store.workloads:
        if workload.name not in names:
            continue
        for system in systems:
            wanted = system == "ours" or arguments.full or workload.others
            if system != "ours" and workload.name.startswith("processes_"):
                wanted = False
            if not wanted or (system == "dbos" and workload.name.startswith(("memory_", "idle"))):
                continue
            print(f"running: {workload.name} ({system})", file=sys.stderr)
            figures = run_workload(store, workload, system, pythons[system], arguments.full)
            results.setdefault(system, {})[workload.name] = figures
            if "failed" in figures:
                print(f"  FAILED: {figures['failed']}", file=sys.stderr)
                failed = failed or system == "ours"

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{about['when'].replace(':', '')}-{store.name}.json"
    file.write_text(json.dumps({"machine": about, "results": results}, indent=2) + "\n")

    print()
    print("\n".join(targets.table(results)))
    print(f"\n{store.about(results)}")
    print(f"{about['cores']} cores, load {about['load']:.1f} at the start, {about['system']}.\n")
    for held, line in targets.verdicts(results, targets.TARGETS[store.name]):
        failed = failed or not held
        print(line)
    print(f"\n{file.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
