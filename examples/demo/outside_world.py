"""What lies outside of the workflow: a card terminal, and a log that saw everything.

Both are plain files that the demo reads at the end to check what it claims. Lines are
appended with one write each, so that several processes may write and a killed one leaves
no half line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def folder() -> Path:
    return Path(os.environ["DEMO_FOLDER"])


def append(file: Path, record: dict[str, Any]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, (json.dumps(record) + "\n").encode())
    finally:
        os.close(descriptor)


def read(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@contextmanager
def step(ctx: Any, activity: str, about: str) -> Iterator[None]:
    """Log that a run of an activity began, and how it ended, unless the process is killed first."""
    record = {"activity": activity, "about": about, "key": ctx.idempotency_key, "pid": os.getpid()}
    append(log_file(), {"what": "began", **record})
    try:
        yield
    except Exception:
        append(log_file(), {"what": "failed", **record})
        raise
    append(log_file(), {"what": "done", **record})


def log_file() -> Path:
    return folder() / "log.jsonl"


def charge(idempotency_key: str, cents: int) -> str:
    """Charge once for each key, as payment services do; gives the receipt."""
    if idempotency_key not in {charge["key"] for charge in charges()}:
        append(folder() / "charges.jsonl", {"key": idempotency_key, "cents": cents})
    return f"receipt-{cents}"


def refund(receipt: str) -> None:
    append(folder() / "refunds.jsonl", {"receipt": receipt})


def charges() -> list[dict[str, Any]]:
    return read(folder() / "charges.jsonl")


def runs() -> list[dict[str, Any]]:
    """All that activities have logged, in order."""
    return read(log_file())
