"""How long work stands still when a worker is killed and another is started at once.

    python recovery.py PYTHON duroxide|dbos FOLDER KILLS

PYTHON is the interpreter of the system to measure. A worker runs a sequence of steps, gets
SIGKILL, and its successor is started in the same moment. The second step that the successor
begins proves that it has committed the first, so the time until then is an upper bound of
the time to the first commit; it is taken from the kill, so it holds the start of Python,
and from the start of the successor's runtime. Prints one line of JSON; times are in seconds.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

WORKER = Path(__file__).resolve().parent / "recovery_worker.py"
STEPS_BEFORE_KILL = 20


class Worker:
    """One worker process and the times that it reports."""

    def __init__(self, python, system, folder):
        self.process = subprocess.Popen(
            [python, str(WORKER), system, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def next(self, what):
        """The time of the next report of a kind, in ns; other lines (logs) are passed over."""
        for line in self.process.stdout:
            word, _, value = line.decode(errors="replace").strip().partition(" ")
            if word == what and value.isdigit():
                return int(value)
        sys.exit(f"the worker ended with status {self.process.wait()} before it reported {what!r}")

    def kill(self):
        killed = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        return killed


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main():
    python, system, folder, kills = *sys.argv[1:4], int(sys.argv[4])
    from_kill, from_start = [], []
    worker = Worker(python, system, folder)
    try:
        for _ in range(kills):
            for _ in range(STEPS_BEFORE_KILL):
                worker.next("step")
            killed = worker.kill()
            worker = Worker(python, system, folder)
            started = worker.next("start")
            worker.next("step")
            committed = worker.next("step")
            from_kill.append((committed - killed) / 1e9)
            from_start.append((committed - started) / 1e9)
    finally:
        worker.kill()
    figures = {
        "p50": percentile(from_start, 0.5),
        "p95": percentile(from_start, 0.95),
        "p95_from_kill": percentile(from_kill, 0.95),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
