"""Looks into a database from the command line: ``python -m duroxide check | history | version``.

The database is a SQLite file, or a PostgreSQL database by its URL (what that leaves out comes from the PG* variables),
with ``--schema`` when it is not "public". It runs in a process of its own and may look while others use the database.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Sequence
from typing import Optional

from duroxide._client import Client
from duroxide._errors import DuroxideError
from duroxide._payloads import AsStored
from duroxide._providers import PostgresProvider, Provider, SqliteProvider
from duroxide._results import Event
from duroxide._version import __version__

_SHOWN = 100  # characters of a payload


def _open(place: str, schema: Optional[str]) -> Provider:
    """Open a database that exists: looking into a missing one is a typing error, not a wish for a new one."""
    if place.startswith(("postgresql://", "postgres://")):
        return PostgresProvider._existing(place, schema)
    if schema is not None:
        sys.exit("duroxide: --schema is for PostgreSQL")
    name = place[len("sqlite:") :] if place.startswith("sqlite:") else place
    if not os.path.exists(name):
        sys.exit(f"duroxide: there is no file {name}")
    return SqliteProvider.open(place)


def _check(place: str, schema: Optional[str]) -> int:
    with _open(place, schema) as provider:
        described = provider._described if isinstance(provider, PostgresProvider) else place
        problems = provider._check()
        metrics = Client(provider).get_system_metrics()
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problems", file=sys.stderr)
        return 1
    print(f"{described}: {metrics.total_instances} instances, {metrics.total_events} events: all invariants hold")
    return 0


def _history(place: str, schema: Optional[str], instance: str, execution: Optional[int]) -> int:
    with _open(place, schema) as provider:
        client = Client(provider)
        client._payloads = AsStored()
        info = client.get_instance_info(instance)
        number = info.current_execution_id if execution is None else execution
        details = client.get_execution_info(instance, number)
        events = client.read_execution_history(instance, number)
        status = client.get_status(instance)
    print(f"{instance}: {info.orchestration_name} {info.orchestration_version}, execution {number}, {details.status}")
    if info.parent_instance_id:
        print(f"child of {info.parent_instance_id}")
    if status.custom_status is not None:
        print(f"custom status: {_short(status.custom_status)}")
    if events:
        began = datetime.datetime.fromtimestamp(events[0].timestamp_ms / 1000).astimezone()
        print(f"began {began.isoformat(' ', 'milliseconds')}")
    print()
    for event in events:
        print(_line(event, events[0].timestamp_ms))
    return 0


def _line(event: Event, began: int) -> str:
    answers = "" if event.source_event_id is None else f" (of {event.source_event_id})"
    place = f"  at {event._at}" if event._at else ""
    seconds = (event.timestamp_ms - began) / 1000
    return f"{event.event_id:>5}  +{seconds:>10.3f} s  {event.kind}{answers}  {_told(event)}{place}".rstrip()


def _told(event: Event) -> str:
    """What an event holds, for people."""
    if event.data is None:
        return ""
    try:
        data = json.loads(event.data)
    except ValueError:
        return _short(event.data)
    if event.kind.endswith("Failed") and isinstance(data, dict):
        lines = str(data.get("message", "")).strip().splitlines()
        return _short(lines[-1] if lines else "")
    if isinstance(data, dict) and "name" in data:
        rest = {k: v for k, v in data.items() if k != "name"}
        return f"{data['name']} {_short(json.dumps(rest, ensure_ascii=False))}" if rest else str(data["name"])
    return _short(event.data)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command.

    Returns:
        the exit code: 0, 1 when a check finds problems or a command fails, 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m duroxide", description="Look into a database of duroxide.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check the invariants of a database")
    history = commands.add_parser("history", help="show what happened in an instance")
    for command in (check, history):
        command.add_argument("database", help="the file, or postgresql://user:password@host/database")
        command.add_argument("--schema", help="of a PostgreSQL database; default: public")
    history.add_argument("instance", help="id of the instance")
    history.add_argument("--execution", type=int, help="number of the execution; default: the current one")
    commands.add_parser("version", help="show the version of this package")
    given = parser.parse_args(arguments)
    try:
        if given.command == "version":
            print(f"duroxide {__version__}")
            return 0
        if given.command == "check":
            return _check(given.database, given.schema)
        return _history(given.database, given.schema, given.instance, given.execution)
    except DuroxideError as e:
        print(f"duroxide: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
