"""Fixtures for what is about PostgreSQL itself: a server that tests may stop, configure and break."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from postgres_server import Server


@pytest.fixture(scope="session")
def server(postgres_binaries: pathlib.Path) -> Iterator[Server]:
    """A server of these tests' own. A test that stops it starts it again."""
    with contextlib.closing(Server(postgres_binaries)) as s:
        yield s
