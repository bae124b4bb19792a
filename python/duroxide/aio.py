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

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Callable, Optional, TypeVar, cast

from duroxide._client import Client as _SyncClient
from duroxide._client import Name
from duroxide._codec import Milliseconds
from duroxide._library import Library, library
from duroxide._payloads import Codec
from duroxide._providers import Provider
from duroxide._results import (
    DeleteInstanceResult,
    Event,
    ExecutionInfo,
    InstanceFilter,
    InstanceInfo,
    InstancePage,
    InstanceTree,
    OrchestrationResult,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
    SystemStats,
    Waiting,
)

__all__ = ["Client"]

T = TypeVar("T")
_TICKET = 8  # bytes
_FULL = 4096  # bytes read at once; after so many some may have been lost to a full pipe
_PAUSE = 0.02  # seconds, where the event loop cannot watch descriptors


class _Watch:
    """The pending calls of one event loop, and the pipe on which the engine tells which of them have ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: Library) -> None:
        self._loop = loop
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
                self._loop.add_reader(pipe[0], self._read)
            except NotImplementedError:
                self._library.signals.give_back(pipe)
                return -1
            self._pipe = pipe
        return self._pipe[1]

    def leave(self) -> None:
        self._users -= 1
        if self._users == 0 and self._pipe is not None:
            # No call is left that could write to it.
            self._loop.remove_reader(self._pipe[0])
            self._library.signals.give_back(self._pipe)
            self._pipe = None

    async def until_told(self, ticket: int) -> None:
        told = self._loop.create_future()
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


class _Calls(_SyncClient):
    """The client whose every method gives an awaitable of what it is said to give."""

    def _call(self, op: int, head: Any, body: bytes, give: Callable[[Any, bytes], T]) -> T:
        self._check()

        async def run() -> T:
            return give(*await _answer(op, self._handle, head, body))

        return cast(T, run())


def _later(call: Callable[[], T]) -> Awaitable[T]:
    """What a method of _Calls gives, as what it is."""
    return cast("Awaitable[T]", call())


class Client:
    """duroxide.Client as coroutines: the same methods, arguments, results and errors.

    Args:
        provider: an open provider; several clients, and runtimes, may share it.
        codec: how values are stored, see duroxide.Codec; the one that the runtimes have. None: as JSON.

    Raises:
        TypeError: something else.
        ConfigurationError: a codec with a name that cannot be stored.
    """

    def __init__(self, provider: Provider, *, codec: Optional[Codec] = None) -> None:
        self._calls = _Calls(provider, codec=codec)

    def __repr__(self) -> str:
        return f"<aio.Client of {self._calls._provider!r}>"

    async def start_orchestration(
        self,
        instance_id: str,
        name: Name,
        input: Any = None,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """Start an instance of the latest version. It is durable when this returns."""
        await _later(
            lambda: self._calls.start_orchestration(instance_id, name, input, if_exists=if_exists, delay_ms=delay_ms)
        )

    async def start_orchestration_versioned(
        self,
        instance_id: str,
        name: Name,
        input: Any,
        version: str,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """start_orchestration of one version, e.g. ``"1.0.1"``."""
        await _later(
            lambda: self._calls.start_orchestration_versioned(
                instance_id, name, input, version, if_exists=if_exists, delay_ms=delay_ms
            )
        )

    async def start_orchestration_typed(
        self,
        instance_id: str,
        name: Name,
        input: Any = None,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """The same as start_orchestration."""
        await _later(
            lambda: self._calls.start_orchestration_typed(
                instance_id, name, input, if_exists=if_exists, delay_ms=delay_ms
            )
        )

    async def start_orchestration_versioned_typed(
        self,
        instance_id: str,
        name: Name,
        input: Any,
        version: str,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """The same as start_orchestration_versioned."""
        await _later(
            lambda: self._calls.start_orchestration_versioned_typed(
                instance_id, name, input, version, if_exists=if_exists, delay_ms=delay_ms
            )
        )

    async def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Raise an event. An instance that is unknown or has ended drops it."""
        await _later(lambda: self._calls.raise_event(instance_id, event_name, data))

    async def enqueue_event(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """Put a message into a queue of an instance, which may start later."""
        await _later(lambda: self._calls.enqueue_event(instance_id, queue_name, data))

    async def raise_event_typed(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """raise_event; a str is taken for JSON already."""
        await _later(lambda: self._calls.raise_event_typed(instance_id, event_name, data))

    async def enqueue_event_typed(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """enqueue_event; a str is taken for JSON already."""
        await _later(lambda: self._calls.enqueue_event_typed(instance_id, queue_name, data))

    async def cancel_instance(self, instance_id: str, reason: Optional[str] = None) -> None:
        """Ask an instance to end: it fails with ``canceled: {reason}``. Unknown or ended: nothing happens."""
        await _later(lambda: self._calls.cancel_instance(instance_id, reason))

    async def get_status(self, instance_id: str) -> OrchestrationResult:
        """How an instance stands; status ``"NotFound"`` for an unknown id."""
        return await _later(lambda: self._calls.get_status(instance_id))

    async def wait_for_orchestration(
        self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> OrchestrationResult:
        """Wait until an instance is Completed or Failed. An unknown id is waited for too."""
        return await _later(lambda: self._calls.wait_for_orchestration(instance_id, timeout_ms))

    async def wait_for_orchestration_typed(self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """Wait for the output itself."""
        return await _later(lambda: self._calls.wait_for_orchestration_typed(instance_id, timeout_ms))

    async def wait_for_status_change(
        self,
        instance_id: str,
        last_seen_version: int = 0,
        poll_interval_ms: Milliseconds = 200,
        timeout_ms: Optional[Milliseconds] = 30000,
    ) -> Optional[OrchestrationResult]:
        """Wait for a custom status newer than the one seen last."""
        return await _later(
            lambda: self._calls.wait_for_status_change(instance_id, last_seen_version, poll_interval_ms, timeout_ms)
        )

    async def get_kv_value(self, instance_id: str, key: str) -> Optional[str]:
        """A value that the instance set, as text; None when there is none."""
        return await _later(lambda: self._calls.get_kv_value(instance_id, key))

    async def get_kv_value_typed(self, instance_id: str, key: str) -> Any:
        """get_kv_value, decoded when it is JSON."""
        return await _later(lambda: self._calls.get_kv_value_typed(instance_id, key))

    async def wait_for_kv_value(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> str:
        """Wait until a key has a value."""
        return await _later(lambda: self._calls.wait_for_kv_value(instance_id, key, timeout_ms))

    async def wait_for_kv_value_typed(
        self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> Any:
        """wait_for_kv_value, decoded when it is JSON."""
        return await _later(lambda: self._calls.wait_for_kv_value_typed(instance_id, key, timeout_ms))

    async def list_all_instances(self) -> list[str]:
        """The ids of all instances, newest first."""
        return await _later(self._calls.list_all_instances)

    async def list_instances_by_status(self, status: str) -> list[str]:
        """The ids of the instances whose current execution has this status; an unknown status: none."""
        return await _later(lambda: self._calls.list_instances_by_status(status))

    async def list_instances(
        self,
        *,
        name: Optional[Name] = None,
        version: Optional[str] = None,
        status: Optional[str] = None,
        id_prefix: Optional[str] = None,
        parent: Optional[str] = None,
        created_after: Optional[int] = None,
        created_before: Optional[int] = None,
        updated_after: Optional[int] = None,
        updated_before: Optional[int] = None,
        blocked: Optional[bool] = None,
        order: str = "newest",
        limit: int = 100,
        cursor: Optional[str] = None,
    ) -> InstancePage:
        """A page of the instances that fit all conditions given."""
        return await _later(
            lambda: self._calls.list_instances(
                name=name,
                version=version,
                status=status,
                id_prefix=id_prefix,
                parent=parent,
                created_after=created_after,
                created_before=created_before,
                updated_after=updated_after,
                updated_before=updated_before,
                blocked=blocked,
                order=order,
                limit=limit,
                cursor=cursor,
            )
        )

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance."""
        return await _later(lambda: self._calls.get_instance_info(instance_id))

    async def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """One execution of an instance."""
        return await _later(lambda: self._calls.get_execution_info(instance_id, execution_id))

    async def list_executions(self, instance_id: str) -> list[int]:
        """The executions of an instance, ascending; none for an unknown id."""
        return await _later(lambda: self._calls.list_executions(instance_id))

    async def read_execution_history(self, instance_id: str, execution_id: int) -> list[Event]:
        """The events of one execution; none for an unknown one."""
        return await _later(lambda: self._calls.read_execution_history(instance_id, execution_id))

    async def get_waiting(self, instance_id: str) -> list[Waiting]:
        """What an instance waits for, from its history: no live worker is needed. Nothing for one that has ended."""
        return await _later(lambda: self._calls.get_waiting(instance_id))

    async def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """An instance with all its descendants; of an unknown id: that id alone."""
        return await _later(lambda: self._calls.get_instance_tree(instance_id))

    async def get_orchestration_stats(self, instance_id: str) -> Optional[SystemStats]:
        """Sizes of an instance; None for an unknown id."""
        return await _later(lambda: self._calls.get_orchestration_stats(instance_id))

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store."""
        return await _later(self._calls.get_system_metrics)

    async def get_queue_depths(self) -> QueueDepths:
        """What waits in the store."""
        return await _later(self._calls.get_queue_depths)

    async def delete_instance(self, instance_id: str, force: bool = False) -> DeleteInstanceResult:
        """Delete an instance with its descendants, histories and messages."""
        return await _later(lambda: self._calls.delete_instance(instance_id, force))

    async def delete_instance_bulk(self, filter: Optional[InstanceFilter] = None) -> DeleteInstanceResult:
        """Delete the root instances that have ended and fit the filter, with their descendants."""
        return await _later(lambda: self._calls.delete_instance_bulk(filter))

    async def prune_executions(self, instance_id: str, options: Optional[PruneOptions] = None) -> PruneResult:
        """Delete old executions of an instance. The current one stays."""
        return await _later(lambda: self._calls.prune_executions(instance_id, options))

    async def prune_executions_bulk(
        self, filter: Optional[InstanceFilter] = None, options: Optional[PruneOptions] = None
    ) -> PruneResult:
        """Delete old executions of all instances that fit the filter, running ones too."""
        return await _later(lambda: self._calls.prune_executions_bulk(filter, options))

    async def revive_instance(self, instance_id: str) -> None:
        """Open an instance again that failed by no fault of its own code. It goes on where it stood."""
        await _later(lambda: self._calls.revive_instance(instance_id))

    async def iter_instances(self, **filters: Any) -> AsyncIterator[InstanceInfo]:
        """All instances that fit, page by page. Arguments are those of list_instances."""
        page = await self.list_instances(**filters)
        while True:
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            page = await self.list_instances(**{**filters, "cursor": page.next_cursor})
