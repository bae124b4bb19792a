"""What a log record of the engine looks like: as a record of Python's logging, and as a line."""

from __future__ import annotations

import datetime
import json
import logging

CONTEXT = (
    "instance_id",
    "execution_id",
    "orchestration_name",
    "orchestration_version",
    "activity_name",
    "activity_id",
    "worker_id",
    "session_id",
    "tag",
    "at",
    "service_name",
    "service_version",
)
"""Attributes that every record has, with "" where they do not apply, so that a format may name them."""

NO_CONTEXT = dict.fromkeys(CONTEXT, "")
SERVICE_NAME = "duroxide"  # the default of the option

_TAKEN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def about(message: str, fields: dict[str, str]) -> str:
    """A message of the package itself, with what it is about in front: not every format shows attributes."""
    instance, name = fields.get("instance_id"), fields.get("orchestration_name")
    if not instance:
        return message
    return f"instance '{instance}' of {name}: {message}" if name else f"instance '{instance}': {message}"


def python_record(target: str, level: int, message: str, time_ms: int, fields: dict[str, str]) -> logging.LogRecord:
    """The record for Python's logging; its fields are attributes."""
    path, _, line = fields.get("at", "").rpartition(":")
    known = line.isdecimal()
    made = logging.LogRecord(target, level, path if known else "", int(line) if known else 0, message, None, None)
    made.created = time_ms / 1000
    made.msecs = time_ms % 1000
    made.__dict__.update(NO_CONTEXT)
    for name, value in fields.items():
        if name not in _TAKEN:
            setattr(made, name, value)
    return made


def line(target: str, level: str, message: str, time_ms: int, fields: dict[str, str], form: str) -> str:
    """The record as text in one of the formats of the option log_format."""
    when = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc)
    stamp = when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"
    level = level.upper()
    rust = target.replace(".", "::")
    if form == "json":
        return json.dumps({"timestamp": stamp, "level": level, "target": rust, "message": message, "fields": fields})
    shown = " ".join(f"{k}={v}" for k, v in fields.items() if k != "service_name" or v != SERVICE_NAME)
    if form == "compact":
        return f"{stamp} {level:>5} {rust}: {message} {shown}".rstrip()
    return f"{stamp} {level:>5} {rust}: {message}" + (f"\n    {shown}" if shown else "")
