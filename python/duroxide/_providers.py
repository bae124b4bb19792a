"""Providers: where instances are stored."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from duroxide._codec import Milliseconds
from duroxide._entra import PostgresEntraOptions, Tokens, connections, timeout
from duroxide._errors import InvalidArgument, ProviderError, RuntimeStateError
from duroxide._frames import Op
from duroxide._library import at_exit, library, loaded
from duroxide._other_sqlite import warn_of_other_sqlite
from duroxide._passwords import PasswordThread

__all__ = ["PostgresEntraOptions", "PostgresProvider", "SqliteProvider"]

P = TypeVar("P", bound="Provider")


class Provider:
    """What clients and runtimes are made with. Made by the class methods of its subclasses."""

    _exit_order = 2  # after the runtimes
    _made_by = "SqliteProvider.open(path)"

    _handle: int
    _described: str
    _pid: int
    _closed: bool
    _finalizer: weakref.finalize[Any, Any]

    if TYPE_CHECKING:  # what a type checker is to refuse

        def __init__(self) -> None: ...
    else:

        def __init__(self, *_: Any, **__: Any) -> None:
            raise TypeError(f"{type(self).__name__} is made by its class methods, e.g. {self._made_by}")

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
        """Close it: waits of its clients end with RuntimeStateError. Idempotent; ``with`` does it too.

        Raises:
            RuntimeStateError: a started runtime uses it; or this is a forked child of the process that opened it.

        Example:
            >>> provider = SqliteProvider.in_memory()
            >>> provider.close()
            >>> provider
            <SqliteProvider sqlite in memory (closed)>
            >>> Client(provider).get_status("order-1")
            Traceback (most recent call last):
            duroxide.RuntimeStateError: ...
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

    def __enter__(self: P) -> P:
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
    """Stores instances in a SQLite database, for one or several processes of one machine. Made by open() and
    in_memory().

    Example:
        >>> with SqliteProvider.open("app.db") as provider:
        ...     Client(provider).list_all_instances()
        []
    """

    @classmethod
    def open(cls, path: Union[str, os.PathLike[str]]) -> SqliteProvider:
        """Open a database file; it is made when missing, with its folders.

        Args:
            path (str or PathLike): a path, ``sqlite:path`` or ``sqlite:///abs/path``, the latter two with or without
                ``?mode=rwc`` behind them; ``:memory:`` is the same as in_memory().

        Raises:
            TypeError, InvalidArgument: no path, an empty one, one with NUL, or a URL with other parameters.
            ProviderError: no SQLite database, of a newer version, not writable, on a network file system.
            RuntimeStateError: this is a forked child of a process that used the package, or a subinterpreter.

        Example:
            >>> provider = SqliteProvider.open("data/app.db")
            >>> provider
            <SqliteProvider ...data/app.db>
            >>> provider.close()
        """
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError(f"path must be a str or a path object, got {type(text).__name__}")
        if text.startswith("sqlite:"):
            text, _, query = text[len("sqlite:") :].partition("?")
            for parameter in filter(None, query.split("&")):
                if parameter != "mode=rwc":
                    raise InvalidArgument(
                        f"Invalid input: path has the parameter '{parameter}': a sqlite: URL takes only mode=rwc, "
                        "which is what is done without it"
                    )
            if text.startswith("//"):
                text = text[2:]
        if not text:
            raise InvalidArgument("Invalid input: path must not be empty")
        if "\0" in text:
            raise InvalidArgument("Invalid input: path must not contain NUL")
        if text == ":memory:":
            return cls.in_memory()
        warn_of_other_sqlite(text)
        opened: SqliteProvider = cls._open(Op.OPEN_SQLITE, {"path": text, "memory": False})
        return opened

    @classmethod
    def in_memory(cls) -> SqliteProvider:
        """A database in memory, gone when it is closed. Private to this object, which several may share.

        Raises:
            ProviderError: there is no memory for it.
            RuntimeStateError: this is a forked child of a process that used the package, or a subinterpreter.

        Example:
            >>> with SqliteProvider.in_memory() as provider:
            ...     provider
            <SqliteProvider sqlite in memory>
        """
        opened: SqliteProvider = cls._open(Op.OPEN_SQLITE, {"path": ":memory:", "memory": True})
        return opened


class PostgresProvider(Provider):
    """Stores instances in PostgreSQL 14 or later, for any number of processes on any number of machines.

    Each schema is a store of its own. Tables are made, and brought up to date, when it is opened. Made by connect() and
    the other class methods.

    Example:
        >>> with PostgresProvider.connect(url, schema=schema) as provider:
        ...     Client(provider).list_all_instances()
        []
    """

    _made_by = "PostgresProvider.connect(url)"

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

        Args:
            url (str): ``postgresql://user:password@host:5432/database`` with the parameters of libpq (``sslmode``,
                ``sslrootcert``, ``application_name``, several hosts, ``target_session_attrs``, ...), or a string of
                ``key=value``. What it leaves out comes from the ``PG*`` variables.
            schema (str or None): where the tables are; made when missing. Any name of at most 63 bytes; default None:
                ``public``.
            max_connections (int or None): of the pool, 1 to 10,000; default None: ``pool_max_conns`` of the url, else
                10. One more listens.
            connect_timeout_ms (int or timedelta or None): how long this call, and later each new connection, may take,
                in ms or as a timedelta; default None: ``connect_timeout`` of the url, else 10 s.
            password (function or None): called without arguments for each new connection, on a thread of its own; for
                passwords that change. Default None: that of the url.

        Raises:
            TypeError, ValueError: an argument of a wrong type, or out of its range.
            ProviderError: the database cannot be reached or used; the text says why, and never holds the password.
            RuntimeStateError: this is a forked child of a process that used the package, or a subinterpreter.

        Example:
            >>> provider = PostgresProvider.connect(url, schema=schema, max_connections=4)
            >>> Client(provider).get_queue_depths()
            QueueDepths(orchestrator_queue=0, worker_queue=0, timer_queue=0)
            >>> provider.close()
        """
        if password is not None and not callable(password):
            raise TypeError(f"password must be a callable without arguments, got {type(password).__name__}")
        head = {
            "url": _postgres_url(url),
            "schema": _schema("public" if schema is None else schema),
            "max_connections": connections(max_connections) or 0,
            "connect_timeout_ms": timeout(connect_timeout_ms, "connect_timeout_ms") or 0,
        }
        return cls._connect(head, password)

    @classmethod
    def connect_with_schema(
        cls,
        url: str,
        schema: str,
        *,
        max_connections: Optional[int] = None,
        connect_timeout_ms: Optional[Milliseconds] = None,
        password: Optional[Callable[[], str]] = None,
    ) -> PostgresProvider:
        """Connect to a database, with all tables in one schema. As connect(), which see.

        Args:
            url (str): see connect().
            schema (str): where the tables are; made when missing. Any name of at most 63 bytes.
            max_connections (int or None): of the pool, 1 to 10,000; default None: ``pool_max_conns`` of the url, else
                10. One more listens.
            connect_timeout_ms (int or timedelta or None): how long this call, and later each new connection, may take,
                in ms or as a timedelta; default None: ``connect_timeout`` of the url, else 10 s.
            password (function or None): see connect(); default None: that of the url.

        Raises:
            TypeError, ValueError: an argument of a wrong type, or out of its range.
            ProviderError: as connect().
            RuntimeStateError: this is a forked child of a process that used the package, or a subinterpreter.

        Example:
            >>> with PostgresProvider.connect_with_schema(url, schema) as provider:
            ...     Client(provider).list_all_instances()
            []
        """
        return cls.connect(
            url,
            schema=_schema(schema),
            max_connections=max_connections,
            connect_timeout_ms=connect_timeout_ms,
            password=password,
        )

    @classmethod
    def connect_with_entra(
        cls, host: str, port: int, database: str, user: str, options: Optional[PostgresEntraOptions] = None
    ) -> PostgresProvider:
        """Connect to Azure Database for PostgreSQL with Microsoft Entra tokens, over TLS, schema ``public``.

        Needs ``pip install 'duroxide[entra]'`` unless the options bring a credential. ``PGSSLMODE`` and
        ``PGSSLROOTCERT`` say how far the server's certificate is checked; without them it need only be there.

        Args:
            host (str): name of the server, e.g. ``example.postgres.database.azure.com``.
            port (int): 1 to 65535.
            database (str): its name.
            user (str): name of the role that belongs to the identity.
            options (PostgresEntraOptions or None): see PostgresEntraOptions; default None: all defaults.

        Raises:
            TypeError, ValueError: an argument of a wrong type, or out of its range.
            ProviderError: as connect(); or azure-identity is missing.
            RuntimeStateError: this is a forked child of a process that used the package, or a subinterpreter.

        Example:
            >>> options = PostgresEntraOptions(credential=credential)  # azure.identity.DefaultAzureCredential()
            >>> with PostgresProvider.connect_with_entra(host, port, database, user, options) as provider:
            ...     Client(provider).list_all_instances()
            []
        """
        return cls.connect_with_schema_and_entra(host, port, database, user, "public", options)

    @classmethod
    def connect_with_schema_and_entra(
        cls,
        host: str,
        port: int,
        database: str,
        user: str,
        schema: str,
        options: Optional[PostgresEntraOptions] = None,
    ) -> PostgresProvider:
        """As connect_with_entra(), with all tables in one schema.

        Args:
            host (str): name of the server, e.g. ``example.postgres.database.azure.com``.
            port (int): 1 to 65535.
            database (str): its name.
            user (str): name of the role that belongs to the identity.
            schema (str): where the tables are; made when missing. Any name of at most 63 bytes.
            options (PostgresEntraOptions or None): see PostgresEntraOptions; default None: all defaults.

        Raises:
            TypeError, ValueError: an argument of a wrong type, or out of its range.
            ProviderError: as connect(); or azure-identity is missing.
            RuntimeStateError: this is a forked child of a process that used the package, or a subinterpreter.

        Example:
            >>> options = PostgresEntraOptions(credential=credential, max_connections=4)
            >>> provider = PostgresProvider.connect_with_schema_and_entra(host, port, database, user, schema, options)
            >>> Client(provider).list_all_instances()
            []
            >>> provider.close()
        """
        if options is not None and not isinstance(options, PostgresEntraOptions):
            raise TypeError(f"options must be PostgresEntraOptions(...), got {type(options).__name__}")
        options = options or PostgresEntraOptions()
        if isinstance(port, bool) or not isinstance(port, int):
            raise TypeError(f"port must be an int, got {type(port).__name__}")
        if not 1 <= port <= 65535:
            raise InvalidArgument(f"Invalid input: port must be from 1 to 65535, got {port}")
        parts = {"host": host, "dbname": database, "user": user}
        quoted = " ".join(f"{k}={_quoted(v, k)}" for k, v in parts.items())
        head = {
            "url": f"{quoted} port={port} sslmode={_quoted(os.environ.get('PGSSLMODE') or 'require', 'PGSSLMODE')}",
            "schema": _schema(schema),
            "max_connections": options.max_connections or 0,
            "connect_timeout_ms": options.acquire_timeout_ms or 0,
            "acquire_timeout_ms": options.acquire_timeout_ms or 0,
        }
        return cls._connect(head, Tokens(options))

    @classmethod
    def _existing(cls, url: str, schema: Optional[str]) -> PostgresProvider:
        """connect() that makes no tables: ProviderError when there are none."""
        head = {
            "url": _postgres_url(url),
            "schema": _schema("public" if schema is None else schema),
            "must_exist": True,
        }
        return cls._connect(head, None)

    @classmethod
    def _connect(cls, head: dict[str, Any], password: Optional[Callable[[], str]]) -> PostgresProvider:
        opened: PostgresProvider
        if password is None:
            opened = cls._open(Op.OPEN_POSTGRES, head)
            return opened
        thread = PasswordThread(library(), password)
        try:
            opened = cls._open(Op.OPEN_POSTGRES, {**head, "passwords": thread.desk})
        except BaseException:
            thread.end()
            raise
        return opened


def _postgres_url(url: object) -> str:
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, got {type(url).__name__}")
    if not url.strip():
        raise InvalidArgument(
            "Invalid input: url must not be empty; 'postgresql://' takes everything from the PG* variables"
        )
    if "\0" in url:
        raise InvalidArgument("Invalid input: url must not contain NUL")
    _encodable(url, "url")
    scheme, sign, rest = url.partition("://")
    if sign and scheme not in ("postgres", "postgresql") and "=" not in scheme and "@" not in scheme:
        raise ProviderError(
            f"Failed to connect to PostgreSQL: the url begins with '{scheme}://'; it should look like "
            "postgresql://user:password@host:5432/database",
            operation="open",
        )
    if sign and scheme in ("postgres", "postgresql"):
        path = rest.partition("?")[0]
        authority = path.partition("/")[0]
        if authority.count("@") > 1 or "@" in path[len(authority) :]:
            # Read as it stands, a part of the password would be taken for a host or a database, and shown.
            raise ProviderError(
                "Failed to connect to PostgreSQL: the url cannot be read: user and password must be percent-encoded "
                "('/' as %2F, '@' as %40, '?' as %3F, '#' as %23, '%' as %25), see urllib.parse.quote",
                operation="open",
            )
    return url


def _schema(schema: object) -> str:
    if not isinstance(schema, str):
        raise TypeError(f"schema must be a str, got {type(schema).__name__}")
    if not schema:
        raise InvalidArgument("Invalid input: schema must not be empty")
    if "\0" in schema:
        raise InvalidArgument("Invalid input: schema must not contain NUL")
    size = len(_encodable(schema, "schema"))
    if size > 63:
        raise InvalidArgument(f"Invalid input: schema must have at most 63 bytes, it has {size}")
    return schema


def _encodable(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidArgument(f"Invalid input: {what} must be Unicode text without lone surrogates") from None


def _quoted(value: object, what: str) -> str:
    """A value of a connection string."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {type(value).__name__}")
    if not value:
        raise InvalidArgument(f"Invalid input: {what} must not be empty")
    if "\0" in value:
        raise InvalidArgument(f"Invalid input: {what} must not contain NUL")
    _encodable(value, what)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
