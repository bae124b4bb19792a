"""The database that the guide connects to."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pytest

from postgres_server import Server


@pytest.fixture(scope="session")
def guide_server(postgres_binaries: pathlib.Path) -> Iterator[Server]:
    """A server with the user, the password and the database of the guide."""
    with contextlib.closing(Server(postgres_binaries)) as server:
        server.sql("""CREATE ROLE "user" LOGIN PASSWORD 'pass'""")
        server.sql("""CREATE DATABASE mydb OWNER "user" """)
        server.access('host mydb "user" 127.0.0.1/32 scram-sha-256')
        yield server
