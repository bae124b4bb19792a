"""The client: starts, signals, waits for, reads and manages instances."""

from __future__ import annotations

from typing import Optional

from duroxide._client_managing import ManagingCalls
from duroxide._client_reading import ReadingCalls
from duroxide._client_starting import StartingCalls
from duroxide._client_waiting import WaitingCalls
from duroxide._payloads import Codec, payloads_of
from duroxide._providers import Provider, told

__all__ = ["Client"]


class Client(StartingCalls, WaitingCalls, ReadingCalls, ManagingCalls):
    """Starts, signals, waits for, reads and manages the instances of a store. Needs no runtime.

    Methods may be called from any thread. They wait without the GIL, and on the main thread Ctrl-C ends them.

    Times are milliseconds (int) or timedeltas. Ids and names are non-empty str without NUL, at most 1,024 bytes in
    UTF-8 where an instance is created and 2,048 where one is named.

    Every method raises RuntimeStateError in an orchestration function, where what it gives would be different in every
    replay, in a forked child of the process that opened the provider, and when the provider was closed.

    Args:
        provider (Provider): an open provider.
        codec (Codec or None): how values are stored, see Codec; the one that the runtimes have. None (default): as
            JSON.

    Raises:
        TypeError: something else was given.
        ConfigurationError: a codec with a name that cannot be stored.

    Example:
        >>> client = Client(provider)
        >>> client
        <Client of <SqliteProvider sqlite in memory>>
        >>> client.start_orchestration("first-order", order, 40)
        >>> client.wait_for_orchestration("first-order").output
        40
    """

    def __init__(self, provider: Provider, *, codec: Optional[Codec] = None) -> None:
        if not isinstance(provider, Provider):
            raise TypeError(f"Client takes a provider, e.g. SqliteProvider.open(path), got {told(provider)}")
        self._provider = provider
        self._payloads = payloads_of(codec)
        self._handle = provider._handle

    def __repr__(self) -> str:
        return f"<Client of {self._provider!r}>"
