"""Providers: where instances are stored."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import Any, Callable, Optional, Union

from duroxide._codec import Milliseconds
from duroxide._errors import InvalidArgument, ProviderError, RuntimeStateError
from duroxide._frames import Op
from duroxide._library import at_exit, library, loaded

__all__ = ["PostgresProvider", "SqliteProvider"]


class Provider:
    """What clients and runtimes are made with. Made by the class methods of its subclasses."""

    _exit_order = 2  # after the runtimes

    _handle: int
    _described: str
    _pid: int
    _closed: bool
    _finalizer: weakref.finalize[Any, Any]

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is made by its class methods, e.g. SqliteProvider.open(path)")

    @classmethod
    def _open(cls, op: int, head: dict[str, Any]) -> Any:
        answer, _ = library().call(op, 0, head)
        self = cls.__new__(cls)
        self._handle = answer["handle"]
        self._described = answer["describe"]
        self._pid = os.getpid()
        self._closed = False
        self._finalizer = weakref.finalize(self, _close, self._handle, self._pid, True)
        self._finalizer.atexit = False  # type: ignore[misc]  # the exit hook closes it, behind the runtimes
        at_exit(self)
        return self

    def close(self) -> None:
        """Close it: waits of its clients end with RuntimeStateError. Idempotent.

        Raises:
            RuntimeStateError: a started runtime uses it.
        """
        if self._closed:
            return
        if self._pid != os.getpid():
            raise RuntimeStateError(
                f"this provider was opened by process {self._pid} and cannot be used in its forked child "
                f"{os.getpid()}; open another one here"
            )
        library().call(Op.CLOSE_PROVIDER, self._handle, {"force": False})
        self._closed = True
        self._finalizer.detach()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._described}{' (closed)' if self._closed else ''}>"

    def _exit(self) -> None:
        _close(self._handle, self._pid, True)

    def _check(self) -> list[str]:
        """What is wrong with the store: one text for each broken invariant. For tests."""
        found, _ = library().call(Op.CHECK, self._handle)
        return list(found)


def _close(handle: int, pid: int, force: bool) -> None:
    if pid == os.getpid() and loaded():
        library().call(Op.CLOSE_PROVIDER, handle, {"force": force})


def told(value: object) -> str:
    """What was given where a provider was wanted."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself (a type)"
    return type(value).__name__


class SqliteProvider(Provider):
    """Stores instances in a SQLite database, for one or several processes of one machine."""

    @classmethod
    def open(cls, path: Union[str, os.PathLike[str]]) -> SqliteProvider:
        """Open a database file; it is made when missing, with its folders.

        Args:
            path: a path, ``sqlite:path`` or ``sqlite:///abs/path``; ``:memory:`` is the same as in_memory().

        Raises:
            ProviderError: no SQLite database, of a newer version, not writable, on a network file system.
        """
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError(f"path must be a str or a path object, got {type(text).__name__}")
        if text.startswith("sqlite:"):
            text = text[len("sqlite:") :]
            if text.startswith("//"):
                text = text[2:]
        if not text:
            raise InvalidArgument("Invalid input: path must not be empty")
        if "\0" in text:
            raise InvalidArgument("Invalid input: path must not contain NUL")
        if text == ":memory:":
            return cls.in_memory()
        opened: SqliteProvider = cls._open(Op.OPEN_SQLITE, {"path": text, "memory": False})
        return opened

    @classmethod
    def in_memory(cls) -> SqliteProvider:
        """A database in memory, gone when it is closed. Private to this object, which several may share."""
        opened: SqliteProvider = cls._open(Op.OPEN_SQLITE, {"path": ":memory:", "memory": True})
        return opened


class PostgresProvider(Provider):
    """Stores instances in PostgreSQL. This build has no support for it yet: every way to make one raises."""

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        schema: Optional[str] = None,
        max_connections: Optional[int] = None,
        connect_timeout_ms: Optional[Milliseconds] = None,
        password: Optional[Callable[[], str]] = None,
    ) -> PostgresProvider:
        """Connect to a database.

        Raises:
            ProviderError: always, in this build.
        """
        raise ProviderError(_NO_POSTGRES, operation="connect")

    @classmethod
    def connect_with_schema(cls, url: str, schema: str) -> PostgresProvider:
        """Connect to a database, with all tables in one schema.

        Raises:
            ProviderError: always, in this build.
        """
        raise ProviderError(_NO_POSTGRES, operation="connect")


_NO_POSTGRES = (
    "Failed to connect to PostgreSQL: this build of duroxide has no PostgreSQL provider yet; use SqliteProvider"
)
