"""Where the tests keep instances: in memory, in a file, in a schema of a database; as a text for child processes."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple, Union

from duroxide import PostgresProvider, SqliteProvider

#: The server that the suite uses instead of one that it starts.
DATABASE_URL = "DUROXIDE_TEST_DATABASE_URL"

Provider = Union[SqliteProvider, PostgresProvider]

_names = itertools.count(1)


class Schema(NamedTuple):
    """A schema of its own for one test."""

    url: str
    name: str

    def __str__(self) -> str:
        return f"{self.url}#{self.name}"


def new_schema(url: str) -> Schema:
    """A name that no other test uses; nothing is made yet."""
    return Schema(url, f"Test {os.getpid()}.{next(_names)}")


def open_store(address: object) -> Provider:
    """Open what a path or a Schema names, itself or as text; None = in memory."""
    if address is None:
        return SqliteProvider.in_memory()
    text = str(address)
    if text.startswith(("postgresql://", "postgres://")):
        url, _, name = text.rpartition("#")
        return PostgresProvider.connect_with_schema(url, name)
    return SqliteProvider.open(text)
