"""Fixtures of all tests: a store with its runtimes, in both modes, checked when the test ends."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import MODES, Engine


@pytest.fixture(params=sorted(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    """live: generators stay in memory between turns. replayed: every turn replays from event 1."""
    return str(request.param)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(mode: str, store: str, tmp_path: pathlib.Path) -> Iterator[Engine]:
    """A store with its runtimes, in both modes and on both kinds of store."""
    e = Engine(tmp_path / "store.db" if store == "file" else None, **MODES[mode])
    yield e
    e.close()


@pytest.fixture
def memory() -> Iterator[Engine]:
    """In memory and live only: for what neither the store nor replay can change."""
    e = Engine(None)
    yield e
    e.close()


@pytest.fixture
def file_engine(tmp_path: pathlib.Path) -> Iterator[Engine]:
    """On a file and live only: for what crosses processes or restarts."""
    e = Engine(tmp_path / "store.db")
    yield e
    e.close()
