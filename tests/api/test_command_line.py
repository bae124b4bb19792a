"""`python -m duroxide` looks into a database of either kind, and makes none."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

from duroxide import Client, PostgresProvider
from harness import Engine
from stores import Schema


def command(*arguments: str) -> tuple[int, str]:
    """Exit status and output of a command."""
    answer = subprocess.run(
        [sys.executable, "-m", "duroxide", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return answer.returncode, answer.stdout


def database(engine: Engine) -> list[str]:
    place = engine.address
    return [place.url, "--schema", place.name] if isinstance(place, Schema) else [str(place)]


def test_history_and_check_of_a_database(file_engine: Engine) -> None:
    runtime = file_engine.runtime()
    runtime.register_activity("Double", lambda ctx, n: n * 2)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("doubling")
        return (yield ctx.schedule_activity("Double", input))

    runtime.start()
    file_engine.run("W", 21, "order 1")
    status, text = command("history", *database(file_engine), "order 1")
    assert (status, text.splitlines()[0]) == (0, "order 1: W 1.0.0, execution 1, Completed")
    assert "custom status: doubling" in text
    assert "ActivityScheduled" in text
    assert "test_command_line.py" in text
    assert "ActivityCompleted (of 3)  42" in text

    status, text = command("check", *database(file_engine))
    assert status == 0, text
    assert text.endswith(": 1 instances, 5 events: all invariants hold\n")

    status, text = command("history", *database(file_engine), "nobody")
    assert (status, text) == (1, "duroxide: get_instance_info: Instance nobody not found\n")


def test_a_missing_file_is_named_and_not_made(tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "missing.db"
    for arguments in (["check", str(missing)], ["history", f"sqlite:{missing}", "order-1"]):
        assert command(*arguments) == (1, f"duroxide: there is no file {missing}\n")
    assert not missing.exists()


def test_a_missing_schema_is_named_and_not_made(schema: Schema) -> None:
    for _ in range(2):
        status, text = command("check", schema.url, "--schema", schema.name)
        assert status == 1
        assert f'there are no tables of duroxide in schema "{schema.name}"' in text
    with PostgresProvider.connect_with_schema(schema.url, schema.name) as provider:
        assert Client(provider).list_all_instances() == []


def test_schema_of_a_file_is_refused(tmp_path: pathlib.Path) -> None:
    assert command("check", str(tmp_path), "--schema", "x") == (1, "duroxide: --schema is for PostgreSQL\n")
