"""The client as coroutines, for programs that run an asyncio event loop.

::

    from duroxide import SqliteProvider, aio

    client = aio.Client(SqliteProvider.open("app.db"))
    await client.start_orchestration("hello-1", "HelloWorkflow", {"name": "World"})
    result = await client.wait_for_orchestration("hello-1")

Arguments, results and errors are those of duroxide.Client; see there for what each method takes. A wait needs no thread
of its own: the engine tells the event loop through one descriptor. A coroutine that is cancelled gives its wait up;
what had begun to be stored may still be stored.
"""

from __future__ import annotations

from typing import Optional

from duroxide._aio_calls import Later
from duroxide._aio_managing import AioManagingCalls
from duroxide._aio_reading import AioReadingCalls
from duroxide._aio_starting import AioStartingCalls
from duroxide._aio_waiting import AioWaitingCalls
from duroxide._payloads import Codec
from duroxide._providers import Provider

__all__ = ["Client"]


class Client(AioStartingCalls, AioWaitingCalls, AioReadingCalls, AioManagingCalls):
    """duroxide.Client as coroutines: the same methods, arguments, results and errors.

    Times, ids and names are those of duroxide.Client. A coroutine that is cancelled gives its wait up; what had begun
    to be stored may still be stored.

    Args:
        provider (Provider): an open provider; several clients, and runtimes, may share it.
        codec (Codec or None): how values are stored, see duroxide.Codec; the one that the runtimes have. None
            (default): as JSON.

    Raises:
        TypeError: something else was given.
        ConfigurationError: a codec with a name that cannot be stored.

    Example:
        >>> client = aio.Client(provider)
        >>> client
        <aio.Client of <SqliteProvider sqlite in memory>>
        >>> await client.start_orchestration("first-order", order, 40)
        >>> (await client.wait_for_orchestration("first-order")).output
        40
    """

    def __init__(self, provider: Provider, *, codec: Optional[Codec] = None) -> None:
        self._calls = Later(provider, codec=codec)

    def __repr__(self) -> str:
        return f"<aio.Client of {self._calls._provider!r}>"
