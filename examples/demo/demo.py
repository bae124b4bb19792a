"""An order that outlives its worker.

Starts a worker process, lets it take an order, kills it with SIGKILL in the middle of a
step, starts another, and shows the order finish. Then prints the history and checks what
it claimed; exits 1 when a claim does not hold.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import outside_world
import timeline

from duroxide import Client, SqliteProvider

HERE = Path(__file__).resolve().parent
ORDER = "order-1042"
PATIENCE_SECONDS = 20


class Worker:
    """One worker process; leaving the context ends it whatever state it is in."""

    def __init__(self, number: int, database: Path) -> None:
        environment = {**os.environ, "DEMO_WORKER": str(number)}
        command = [sys.executable, str(HERE / "worker.py"), str(database)]
        self.process = subprocess.Popen(command, env=environment)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


def say(text: str = "") -> None:
    print(text, flush=True)


def wait_for_status(client: Client, wanted: str) -> None:
    """Wait until the order reports a status; every one on the way is printed."""
    version, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        seen = client.wait_for_status_change(ORDER, version, 50, 1_000)
        if seen is None:
            continue
        version = seen.custom_status_version
        if seen.custom_status == wanted:
            return
    sys.exit(f"demo: the order did not reach {wanted!r} in {PATIENCE_SECONDS} s")


def wait_for_run(activity: str, about: str) -> None:
    """Wait until the log shows that a run of an activity has begun."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for run in outside_world.runs():
            if (run["what"], run["activity"], run["about"]) == ("began", activity, about):
                return
        time.sleep(0.01)
    sys.exit(f"demo: {activity} {about} did not begin in {PATIENCE_SECONDS} s")


def finished_steps(client: Client) -> int:
    """How many steps history records as finished, failed attempts included."""
    history = client.read_execution_history(ORDER, 1)
    return sum(event.kind in ("ActivityCompleted", "ActivityFailed") for event in history)


def check(claims: list[tuple[str, bool]]) -> bool:
    say("What this run has shown")
    for claim, holds in claims:
        say(f"  {'yes' if holds else 'NO '}  {claim}")
    return all(holds for _, holds in claims)


def began(runs: list[dict[str, Any]]) -> Counter[str]:
    """How often each step began, by the key that stays the same however often it runs."""
    return Counter(run["key"] for run in runs if run["what"] == "began")


def run(folder: Path) -> bool:
    database = folder / "orders.db"
    with SqliteProvider.open(database) as provider:
        client = Client(provider)

        say("A worker starts; an order comes in.")
        with Worker(1, database) as first:
            order = {"customer": "Ada", "items": ["tea", "cups", "kettle"], "cents": 4_250}
            client.start_orchestration(ORDER, "TakeOrder", order)
            wait_for_status(client, "cooling off")
            say("  (a durable timer runs: the customer may change her mind for a second)")
            wait_for_status(client, "waiting for approval")
            say("  (the workflow sleeps until somebody approves; we do)")
            client.raise_event(ORDER, "approval", {"approved": True, "by": "Grace"})
            wait_for_run("Pack", "cups")
            first.kill()

        say("  worker 1 | * killed with SIGKILL, in the middle of packing the cups *")
        before = outside_world.runs()
        recorded = finished_steps(client)
        status = client.get_status(ORDER)
        say()
        say("No worker runs now. The file still knows:")
        say(f"  {ORDER} is {status.status}: {status.custom_status!r}, {recorded} steps recorded")
        say()
        say("Another worker starts.")
        killed_at = time.monotonic()
        with Worker(2, database) as second:
            result = client.wait_for_orchestration(ORDER, PATIENCE_SECONDS * 1_000)
            took = time.monotonic() - killed_at
            second.stop()
        history = client.read_execution_history(ORDER, 1)

    say(f"  {ORDER} is {result.status}, {took:.1f} s later: {result.output}")
    say()
    say("The history of the order")
    for line in timeline.lines(history):
        say("  " + line)
    say()

    runs = outside_world.runs()
    ended = {run["key"] for run in before if run["what"] in ("done", "failed")}
    again = began(runs[len(before) :])
    cut_off = [key for key in began(before) if key not in ended]
    return check(
        [
            ("the order was completed by a worker that had not begun it",
             result.status == "Completed" and result.output["state"] == "shipped"),
            (f"none of the {recorded} recorded steps ran a second time",
             recorded == len(ended) and not ended & set(again)),
            ("the one step that was cut off ran again, since its result was never recorded",
             len(cut_off) == 1 and again[cut_off[0]] == 1),
            ("the customer was charged once, by the third attempt",
             len(outside_world.charges()) == 1),
        ]
    )  # fmt: skip


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="duroxide-demo-") as name:
        os.environ["DEMO_FOLDER"] = name
        return 0 if run(Path(name)) else 1


if __name__ == "__main__":
    sys.exit(main())
