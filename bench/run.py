"""Runs the benchmarks of all systems in one run, prints the table, writes bench/results/*.json.

Started by `make bench`. Exit status 1: a workload of ours failed, or a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
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


WORKLOADS = [
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


def command_of(system: str, python: str, workload: str, folder: str, count: int) -> list[str]:
    api = "dbos" if system == "dbos" else "duroxide"
    if workload == "recovery":
        return [sys.executable, str(HERE / "recovery.py"), python, api, folder, str(count)]
    return [python, str(HERE / f"{api}_load.py"), workload, folder, str(count)]


def run_workload(workload: Workload, system: str, python: str, full: bool) -> dict[str, Any]:
    """The median figures of all rounds of a workload under one system."""
    count = workload.ours if system == "ours" or full else workload.others
    rounds = []
    for _ in range(workload.rounds if system == "ours" else 1):
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            figures = measure(command_of(system, python, workload.name, folder, count))
        if "failed" in figures:
            return figures
        rounds.append(figures)
    merged: dict[str, Any] = {"count": count}
    for name, value in rounds[0].items():
        numeric = isinstance(value, (int, float))
        merged[name] = statistics.median(r[name] for r in rounds) if numeric else value
    return merged


def run_commit() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        return measure(["go", "run", "./bench/commit", folder, "2000"])


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
    known = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(description="Speed beside the peers, on this machine.")
    parser.add_argument("--full", action="store_true", help="the others at our counts: slow")
    parser.add_argument("--only", default=",".join(known), help=f"of {', '.join(known)}")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {', '.join(SYSTEMS)}")
    arguments = parser.parse_args()
    systems = chosen(arguments.systems, SYSTEMS, "system")
    names = chosen(arguments.only, known, "workload")

    CACHE.mkdir(parents=True, exist_ok=True)
    about = machine()
    pythons = {system: interpreter(system) for system in systems}
    print("running: bare commit", file=sys.stderr)
    results: targets.Results = {"commit": {"commit": run_commit()}}
    failed = "failed" in results["commit"]["commit"]
    for workload in WORKLOADS:
        if workload.name not in names:
            continue
        for system in systems:
            wanted = system == "ours" or arguments.full or workload.others
            if not wanted or (system == "dbos" and workload.name.startswith(("memory_", "idle"))):
                continue
            print(f"running: {workload.name} ({system})", file=sys.stderr)
            figures = run_workload(workload, system, pythons[system], arguments.full)
            results.setdefault(system, {})[workload.name] = figures
            if "failed" in figures:
                print(f"  FAILED: {figures['failed']}", file=sys.stderr)
                failed = failed or system == "ours"

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{about['when'].replace(':', '')}.json"
    file.write_text(json.dumps({"machine": about, "results": results}, indent=2) + "\n")

    print()
    print("\n".join(targets.table(results)))
    note = next((f["note"] for f in results.get("dbos", {}).values() if "note" in f), None)
    print(f"\nours: WAL, synchronous=FULL; dbos: {note or 'not run'}; peer: its defaults.")
    print(f"{about['cores']} cores, load {about['load']:.1f} at the start, {about['system']}.\n")
    for held, line in targets.verdicts(results):
        failed = failed or not held
        print(line)
    print(f"\n{file.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
