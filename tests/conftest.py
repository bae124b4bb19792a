"""Fixtures of all tests: a store with its runtimes, in both modes, checked when the test ends."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Callable

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import MODES, Engine
from postgres_server import Dropper, Server, binaries
from stores import DATABASE_URL, Schema, new_schema

Address = Callable[[str], "pathlib.Path | Schema | None"]


@pytest.fixture(params=sorted(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    """live: generators stay in memory between turns. replayed: every turn replays from event 1."""
    return str(request.param)


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_binaries() -> Iterator[pathlib.Path]:
    """A directory with the programs of a PostgreSQL server."""
    with binaries() as bin_:
        yield bin_


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The database of all tests: a server of their own, or the one that DUROXIDE_TEST_DATABASE_URL names."""
    given = os.environ.get(DATABASE_URL)
    if given:
        yield given
        return
    with contextlib.closing(Server(request.getfixturevalue("postgres_binaries"))) as server:
        yield server.url


@pytest.fixture(scope="session")
def _dropper(database_url: str) -> Iterator[Dropper]:
    with contextlib.closing(Dropper(database_url)) as dropper:
        yield dropper


@pytest.fixture
def schema(database_url: str, _dropper: Dropper) -> Iterator[Schema]:
    """A schema of the test's own; dropped afterwards."""
    made = new_schema(database_url)
    yield made
    _dropper.drop(made.name)


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Address:
    """Gives the address of a store of a kind."""

    def of(kind: str) -> pathlib.Path | Schema | None:
        if kind != "postgres":
            return tmp_path / "store.db" if kind == "file" else None
        only = request.node.get_closest_marker("sqlite_only")
        if only is not None:
            pytest.skip(f"about SQLite: {only.args[0]}")
        made: Schema = request.getfixturevalue("schema")
        return made

    return of


@pytest.fixture
def engine(mode: str, store: str, address: Address) -> Iterator[Engine]:
    """A store with its runtimes, in both modes and on all kinds of store."""
    e = Engine(address(store), **MODES[mode])
    yield e
    e.close()


@pytest.fixture(params=["memory", "memory-replayed", "postgres"])
def memory(request: pytest.FixtureRequest, address: Address) -> Iterator[Engine]:
    """In memory in both modes, and far away in one."""
    kind, _, mode = request.param.partition("-")
    e = Engine(address(kind), **MODES[mode or "live"])
    yield e
    e.close()


@pytest.fixture(params=["file", "file-replayed", "postgres"])
def file_engine(request: pytest.FixtureRequest, address: Address) -> Iterator[Engine]:
    """On a store that outlives its processes, for what crosses processes or restarts: both modes on a file."""
    kind, _, mode = request.param.partition("-")
    e = Engine(address(kind), **MODES[mode or "live"])
    yield e
    e.close()
