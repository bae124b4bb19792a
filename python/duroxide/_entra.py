"""Microsoft Entra tokens in place of database passwords (Azure Database for PostgreSQL)."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any, Optional

from duroxide._codec import Milliseconds, milliseconds
from duroxide._errors import ProviderError

__all__ = ["PostgresEntraOptions", "Tokens"]

_AUDIENCE = "https://ossrdbms-aad.database.windows.net/.default"
_BEFORE_EXPIRY_SECONDS = 300
_LEAST_GAP_SECONDS = 30


class PostgresEntraOptions:
    """How connections with Entra tokens are made.

    Args:
        audience (str or None): what the token is for; default None: that of Azure Database for PostgreSQL.
        max_connections (int or None): of the pool, 1 to 10,000; default None: 10. One more listens.
        acquire_timeout_ms (int or timedelta or None): how long connecting, and later each call of a client, may take,
            in ms or as a timedelta; default None: 10 s and 30 s.
        refresh_interval_ms (int or timedelta or None): a token is used for new connections at most so long, at least 30
            s, in ms or as a timedelta; default None: until 5 minutes before it expires.
        credential (object or None): has a method ``get_token(scope)``; default None:
            ``azure.identity.DefaultAzureCredential()``.

    Raises:
        TypeError, ValueError: an argument of a wrong type, or out of its range.

    Example:
        >>> from datetime import timedelta
        >>> options = PostgresEntraOptions(max_connections=20, refresh_interval_ms=timedelta(minutes=10))
        >>> options.audience, options.max_connections, options.refresh_interval_ms
        ('https://ossrdbms-aad.database.windows.net/.default', 20, 600000)
    """

    def __init__(
        self,
        *,
        audience: Optional[str] = None,
        max_connections: Optional[int] = None,
        acquire_timeout_ms: Optional[Milliseconds] = None,
        refresh_interval_ms: Optional[Milliseconds] = None,
        credential: Optional[Any] = None,
    ) -> None:
        if audience is not None and not isinstance(audience, str):
            raise TypeError(f"audience must be a str, got {type(audience).__name__}")
        if audience == "":
            raise ValueError("audience must not be empty")
        if credential is not None and not callable(getattr(credential, "get_token", None)):
            raise TypeError(f"credential must have a method get_token(scope), got {type(credential).__name__}")
        self.audience = audience or _AUDIENCE
        self.max_connections = connections(max_connections)
        self.acquire_timeout_ms = timeout(acquire_timeout_ms, "acquire_timeout_ms")
        self.refresh_interval_ms = timeout(refresh_interval_ms, "refresh_interval_ms")
        self._credential = credential

    def __repr__(self) -> str:
        names = ("audience", "max_connections", "acquire_timeout_ms", "refresh_interval_ms")
        return f"PostgresEntraOptions({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"


def connections(value: object) -> Optional[int]:
    """Check the bound of a pool."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_connections must be an int, got {type(value).__name__}")
    if not 1 <= value <= 10_000:
        raise ValueError(f"max_connections must be from 1 to 10000, got {value}")
    return int(value)


def timeout(value: Any, what: str) -> Optional[int]:
    """Check a length of time that must not be 0."""
    if value is None:
        return None
    ms = milliseconds(value, what)
    if ms == 0:
        raise ValueError(f"{what} must be more than 0")
    return ms


class Tokens:
    """Gives the token of the moment. Called for each new connection, from one thread at a time."""

    def __init__(self, options: PostgresEntraOptions) -> None:
        self._credential = options._credential or _default_credential()
        self._audience = options.audience
        interval = options.refresh_interval_ms
        self._longest = None if interval is None else max(interval / 1000, _LEAST_GAP_SECONDS)
        self._lock = threading.Lock()
        self._token = ""
        self._expires = 0.0
        self._fetched = 0.0

    def __call__(self) -> str:
        with self._lock:
            if not self._is_good():
                token = self._credential.get_token(self._audience)
                self._token = token.token
                self._expires = float(token.expires_on)
                self._fetched = time.monotonic()
            return self._token

    def _is_good(self) -> bool:
        if not self._token:
            return False
        age = time.monotonic() - self._fetched
        if self._longest is not None and age >= self._longest:
            return False
        left = self._expires - time.time()
        # A credential that keeps giving nearly expired tokens is not asked for each connection.
        return left > _BEFORE_EXPIRY_SECONDS or (left > _LEAST_GAP_SECONDS and age < _LEAST_GAP_SECONDS)


def _default_credential() -> Any:
    try:
        identity = importlib.import_module("azure.identity")
    except ImportError:
        raise ProviderError(
            "Failed to connect to PostgreSQL: Entra tokens need the package azure-identity; "
            "install it with: pip install 'duroxide[entra]'",
            operation="open",
        ) from None
    return identity.DefaultAzureCredential()
