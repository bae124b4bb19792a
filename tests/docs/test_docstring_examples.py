"""The examples in docstrings run and give what they say, with live executions and without."""

from __future__ import annotations

import logging
import pathlib
import subprocess
import sys
import time
import types
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from docstring_examples import Example, program, sections
from duroxide import PostgresProvider, SqliteProvider, _runtime
from harness import MODES
from postgres_server import psql_program, quoted
from public_docs import public
from stores import new_schema

LOGGERS = ("duroxide.orchestration", "duroxide.activity")  # of which the program takes the records


def examples() -> list[Any]:
    found: dict[int, Any] = {}
    for name in public():
        if name.kind in ("class", "callable", "field") and name.thing is not None:
            text = sections(name.thing).get("Example")
            if text:
                found.setdefault(id(name.thing), pytest.param(Example(name.path, text), id=name.path))
    return list(found.values())


@pytest.fixture(scope="module", params=sorted(MODES))
def programs(request: pytest.FixtureRequest) -> Iterator[dict[bool, dict[str, Any]]]:
    """The program for all examples; another one for those of coroutines, which start instances of the same ids."""
    made = {is_async: program(MODES[request.param]) for is_async in (False, True)}
    yield made
    for names in made.values():
        names["runtime"].shutdown()
        names["provider"].close()
    for logger in map(logging.getLogger, LOGGERS):
        logger.setLevel(logging.NOTSET)
        logger.handlers.clear()


class _Credential:
    """Gives tokens as azure.identity.DefaultAzureCredential() does, for a server that takes any."""

    def get_token(self, scope: str) -> Any:
        return types.SimpleNamespace(token="a token", expires_on=time.time() + 3600)


@pytest.fixture
def server(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What the examples of PostgreSQL take from their server. Their schemas are dropped afterwards."""
    monkeypatch.setenv("PGSSLMODE", "disable")
    schema = new_schema(database_url).name
    parts = urllib.parse.urlsplit(database_url)
    psql = [psql_program(), "-X", "-q", database_url, "-c"]
    if "connect_with_entra" in request.node.name:  # which makes its tables in the schema public
        subprocess.run([*psql, f"CREATE DATABASE {quoted(schema)}"], check=True)
        parts = parts._replace(path=f"/{schema}")
    yield {
        "url": database_url,
        "schema": schema,
        "host": parts.hostname,
        "port": parts.port,
        "database": parts.path[1:],
        "user": parts.username,
        "credential": _Credential(),
    }
    if parts.path == f"/{schema}":
        subprocess.run([*psql, f"DROP DATABASE {quoted(schema)} WITH (FORCE)"], check=True)
    request.getfixturevalue("_dropper").drop(schema)


# About the whole process: what happens before its first runtime, and its signals.
ALONE = ("duroxide.init_tracing", "duroxide.Runtime.run_forever")


@pytest.mark.parametrize("example", [e for e in examples() if e.values[0].name in ALONE])
def test_example_gives_what_it_says_in_a_process_of_its_own(example: Example, tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "from docstring_examples import Example\n"
        "names = {}\n"
        "exec('from duroxide import *', names)\n"
        "Example(sys.argv[2], sys.stdin.read()).run(names)\n"
        "print('ran')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, repr(sys.path), example.name],
        cwd=tmp_path,
        input=example.text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout[-4:]) == (0, "ran\n"), done.stdout


@pytest.mark.parametrize("example", [e for e in examples() if e.values[0].name not in ALONE])
def test_example_gives_what_it_says(
    example: Example,
    programs: dict[bool, dict[str, Any]],
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    running = set(_runtime._running)
    names = programs[example.name.startswith("duroxide.aio.")]
    own = dict(names)
    if "PostgresProvider" in example.name:
        own.update(request.getfixturevalue("server"))
    try:
        example.run(own)
        assert set(_runtime._running) == running, "a runtime is left running"
    finally:
        for left in set(_runtime._running) - running:
            left.shutdown()
        for name, value in own.items():
            if isinstance(value, (SqliteProvider, PostgresProvider)) and value is not names.get(name):
                value.close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (">>> 1 + 1\n3\n", AssertionError),
        (">>> 1 + 1\n", AssertionError),
        (">>> x = 1\n1\n", AssertionError),
        (">>> {}['a']\n", KeyError),
        (">>> {}['a']\nTraceback (most recent call last):\nKeyError: 'b'\n", AssertionError),
        (">>> 1 + 1\nTraceback (most recent call last):\nKeyError: 'a'\n", AssertionError),
        (">>> import asyncio\n>>> await asyncio.sleep(0, 1)\n2\n", AssertionError),
        (">>> async def f():\n...     raise KeyError('a')\n>>> await f()\n", KeyError),
    ],
)
def test_an_example_that_does_not_is_found_out(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Example("wrong", text).run({})


def test_examples_are_found() -> None:
    names = {example.values[0].name for example in examples()}
    assert {"duroxide.Client.start_orchestration", "duroxide.aio.Client.get_status", "duroxide.WaitTimeout"} <= names
    assert len(names) > 200
