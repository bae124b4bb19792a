"""How coroutines wait for the engine: one descriptor for each event loop."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Awaitable
from typing import Any, Callable, Optional, TypeVar, cast

from duroxide._client import Client
from duroxide._library import Library, library

__all__ = ["AioCalls", "Later", "later"]

T = TypeVar("T")
_TICKET = 8  # bytes
_FULL = 4096  # bytes read at once; after so many some may have been lost to a full pipe
_PAUSE = 0.02  # seconds, where the event loop cannot watch descriptors


class _Watch:
    """The pending calls of one event loop, and the pipe on which the engine tells which of them have ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: Library) -> None:
        self._loop = weakref.ref(loop)  # the loop is the key under which this is found, and must not be kept by it
        self._library = calls
        self._pending: dict[int, asyncio.Future[None]] = {}
        self._pipe: Optional[tuple[int, int]] = None
        self._users = 0

    def enter(self) -> int:
        """The descriptor to call with; -1 when the loop cannot watch one."""
        self._users += 1
        if self._pipe is None:
            pipe = self._library.signals.take()
            try:
                asyncio.get_running_loop().add_reader(pipe[0], self._read)
            except NotImplementedError:
                self._library.signals.give_back(pipe)
                return -1
            self._pipe = pipe
        return self._pipe[1]

    def leave(self) -> None:
        self._users -= 1
        if self._users == 0 and self._pipe is not None:
            # No call is left that could write to it.
            loop = self._loop()
            if loop is not None:  # a coroutine that was never ended may be dropped after its loop
                loop.remove_reader(self._pipe[0])
            self._library.signals.give_back(self._pipe)
            self._pipe = None

    async def until_told(self, ticket: int) -> None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[ticket] = told
        try:
            await told
        finally:
            del self._pending[ticket]

    def _read(self) -> None:
        assert self._pipe is not None
        try:
            news = os.read(self._pipe[0], _FULL)
        except BlockingIOError:
            return
        if len(news) == _FULL:
            told = list(self._pending)
        else:
            told = [int.from_bytes(news[i : i + _TICKET], "little") for i in range(0, len(news), _TICKET)]
        for ticket in told:
            waiting = self._pending.get(ticket)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)


_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = weakref.WeakKeyDictionary()


def _watch(calls: Library) -> _Watch:
    loop = asyncio.get_running_loop()
    found = _watches.get(loop)
    if found is None or found._library is not calls:
        found = _watches[loop] = _Watch(loop, calls)
    return found


async def _answer(op: int, handle: int, head: Any, body: bytes) -> tuple[Any, bytes]:
    calls = library()
    watch = _watch(calls)
    fd = watch.enter()
    try:
        outcome, ticket = calls.begin(op, handle, head, body, fd)
        if ticket is None:
            return calls.finish(outcome)
        ended = False
        try:
            while not ended:
                if fd < 0:
                    await asyncio.sleep(_PAUSE)
                else:
                    await watch.until_told(ticket)
                outcome = calls.fetch(ticket)
                ended = not calls.is_pending(outcome)
        finally:
            if not ended:
                calls.cancel(ticket)
        return calls.finish(outcome)
    finally:
        watch.leave()


class Later(Client):
    """The client whose every method gives an awaitable of what it is said to give."""

    def _call(self, op: int, head: Any, body: bytes, give: Callable[[Any, bytes], T]) -> T:
        self._check()

        async def run() -> T:
            return give(*await _answer(op, self._handle, head, body))

        return cast(T, run())


def later(call: Callable[[], T]) -> Awaitable[T]:
    """What a method of Later gives, as what it is."""
    return cast("Awaitable[T]", call())


class AioCalls:
    """The client of coroutines without its methods."""

    _calls: Later
