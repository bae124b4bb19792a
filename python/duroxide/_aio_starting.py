"""The coroutines that start, signal and cancel instances."""

from __future__ import annotations

from typing import Any, Optional

from duroxide._aio_calls import AioCalls, later
from duroxide._codec import Milliseconds
from duroxide._scheduling import Name


class AioStartingCalls(AioCalls):
    """Starts, signals and cancels instances."""

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
        await later(
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
        await later(
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
        await later(
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
        await later(
            lambda: self._calls.start_orchestration_versioned_typed(
                instance_id, name, input, version, if_exists=if_exists, delay_ms=delay_ms
            )
        )

    async def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Raise an event. An instance that is unknown or has ended drops it."""
        await later(lambda: self._calls.raise_event(instance_id, event_name, data))

    async def enqueue_event(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """Put a message into a queue of an instance, which may start later."""
        await later(lambda: self._calls.enqueue_event(instance_id, queue_name, data))

    async def raise_event_typed(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """raise_event; a str is taken for JSON already."""
        await later(lambda: self._calls.raise_event_typed(instance_id, event_name, data))

    async def enqueue_event_typed(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """enqueue_event; a str is taken for JSON already."""
        await later(lambda: self._calls.enqueue_event_typed(instance_id, queue_name, data))

    async def cancel_instance(self, instance_id: str, reason: Optional[str] = None) -> None:
        """Ask an instance to end: it fails with ``canceled: {reason}``. Unknown or ended: nothing happens."""
        await later(lambda: self._calls.cancel_instance(instance_id, reason))
