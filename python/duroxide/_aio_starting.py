"""The coroutines that start, signal and cancel instances."""

from __future__ import annotations

from typing import Any, Optional

from duroxide._aio_calls import AioCalls, later
from duroxide._codec import Milliseconds
from duroxide._names import Name


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
        """Start an instance of the latest version. It is durable when this returns.

        Args:
            instance_id (str): the id it gets.
            name (str or function): name of the orchestration, or the registered function. Not checked: another process
                may have it.
            input (JSON value): what the orchestration gets; default None.
            if_exists (str): what to do when the id is in use, running or ended: ``"ignore"`` (default; nothing),
                ``"raise"`` (InstanceExists), ``"restart_if_ended"`` (an ended one is deleted and started afresh).
            delay_ms (int or timedelta): how long it waits before it begins, in ms or as a timedelta; default 0.

        Raises:
            TypeError, ValueError: the input is not JSON, or a time is not valid. Nothing was stored.
            InvalidArgument: an id or name that is not valid, or an unknown ``if_exists``.
            InstanceExists: the id is in use, with ``if_exists="raise"``.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-7", "order", 40)
            >>> await client.start_orchestration("order-7", "order", 99)  # in use: nothing happens
            >>> (await client.wait_for_orchestration("order-7")).output
            40
            >>> await client.start_orchestration("order-7", "order", 99, if_exists="raise")
            Traceback (most recent call last):
            duroxide.InstanceExists: ...
        """
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
        """Start an instance of one version.

        Args:
            instance_id (str): the id it gets.
            name (str or function): name of the orchestration, or the registered function. Not checked: another process
                may have it.
            input (JSON value): what the orchestration gets.
            version (str): a semantic version, e.g. ``"1.0.1"``. The instance waits for a runtime that has it.
            if_exists (str): what to do when the id is in use, running or ended: ``"ignore"`` (default; nothing),
                ``"raise"`` (InstanceExists), ``"restart_if_ended"`` (an ended one is deleted and started afresh).
            delay_ms (int or timedelta): how long it waits before it begins, in ms or as a timedelta; default 0.

        Raises:
            TypeError, ValueError: the input is not JSON, or a time is not valid. Nothing was stored.
            InvalidArgument: an id or name that is not valid, a version that is not semantic, or an unknown
                ``if_exists``.
            InstanceExists: the id is in use, with ``if_exists="raise"``.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration_versioned("hello-1", "hello", "Ada", "1.0.0")
            >>> (await client.wait_for_orchestration("hello-1")).output
            'Hello, Ada!'
        """
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
        """The same as start_orchestration.

        Args:
            instance_id (str): the id it gets.
            name (str or function): name of the orchestration, or the registered function. Not checked: another process
                may have it.
            input (JSON value): what the orchestration gets; default None.
            if_exists (str): what to do when the id is in use, running or ended: ``"ignore"`` (default; nothing),
                ``"raise"`` (InstanceExists), ``"restart_if_ended"`` (an ended one is deleted and started afresh).
            delay_ms (int or timedelta): how long it waits before it begins, in ms or as a timedelta; default 0.

        Raises:
            TypeError, ValueError: the input is not JSON, or a time is not valid. Nothing was stored.
            InvalidArgument: an id or name that is not valid, or an unknown ``if_exists``.
            InstanceExists: the id is in use, with ``if_exists="raise"``.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration_typed("order-8", order, 12)
            >>> await client.wait_for_orchestration_typed("order-8")
            12
        """
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
        """The same as start_orchestration_versioned.

        Args:
            instance_id (str): the id it gets.
            name (str or function): name of the orchestration, or the registered function. Not checked: another process
                may have it.
            input (JSON value): what the orchestration gets.
            version (str): a semantic version, e.g. ``"1.0.1"``.
            if_exists (str): what to do when the id is in use, running or ended: ``"ignore"`` (default; nothing),
                ``"raise"`` (InstanceExists), ``"restart_if_ended"`` (an ended one is deleted and started afresh).
            delay_ms (int or timedelta): how long it waits before it begins, in ms or as a timedelta; default 0.

        Raises:
            TypeError, ValueError: the input is not JSON, or a time is not valid. Nothing was stored.
            InvalidArgument: an id or name that is not valid, a version that is not semantic, or an unknown
                ``if_exists``.
            InstanceExists: the id is in use, with ``if_exists="raise"``.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration_versioned_typed("hello-2", "hello", "Ada", "2.0.0")
            >>> await client.wait_for_orchestration_typed("hello-2")
            'Hello, Ada! Welcome back.'
        """
        await later(
            lambda: self._calls.start_orchestration_versioned_typed(
                instance_id, name, input, version, if_exists=if_exists, delay_ms=delay_ms
            )
        )

    async def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Raise an event. An instance that does not wait for it drops it; one that is unknown or has ended, with a
        warning in the log.

        Args:
            instance_id (str): of the instance.
            event_name (str): what ``ctx.wait_for_event`` named.
            data (JSON value): what the wait yields back; default None.

        Raises:
            TypeError, ValueError: the data is not JSON. Nothing was stored.
            InvalidArgument: an id or name that is not valid.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-1", approval)
            >>> (await client.wait_for_status_change("approval-1")).custom_status
            'waiting for a decision'
            >>> await client.raise_event("approval-1", "decision", {"approved": True})
            >>> (await client.wait_for_orchestration("approval-1")).output
            {'approved': True}
        """
        await later(lambda: self._calls.raise_event(instance_id, event_name, data))

    async def enqueue_event(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """Put a message into a queue of an instance, which may start later.

        Args:
            instance_id (str): of the instance.
            queue_name (str): what ``ctx.dequeue_event`` names.
            data (JSON value): what the taker gets; default None. Text that is JSON already (``json.dumps(x)``) arrives
                as text.

        Raises:
            TypeError, ValueError: the data is not JSON. Nothing was stored.
            InvalidArgument: an id or name that is not valid.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.enqueue_event("inbox-1", "mail", {"from": "Ada"})
            >>> await client.start_orchestration("inbox-1", inbox)
            >>> (await client.wait_for_orchestration("inbox-1")).output
            {'from': 'Ada'}
        """
        await later(lambda: self._calls.enqueue_event(instance_id, queue_name, data))

    async def raise_event_typed(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """The same as raise_event.

        Args:
            instance_id (str): of the instance.
            event_name (str): what ``ctx.wait_for_event`` named.
            data (JSON value): what the wait yields back; default None.

        Raises:
            TypeError, ValueError: the data is not JSON. Nothing was stored.
            InvalidArgument: an id or name that is not valid.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-2", approval)
            >>> (await client.wait_for_status_change("approval-2")).custom_status
            'waiting for a decision'
            >>> await client.raise_event_typed("approval-2", "decision", {"approved": True})
            >>> (await client.wait_for_orchestration("approval-2")).output
            {'approved': True}
        """
        await later(lambda: self._calls.raise_event_typed(instance_id, event_name, data))

    async def enqueue_event_typed(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """The same as enqueue_event.

        Args:
            instance_id (str): of the instance.
            queue_name (str): what ``ctx.dequeue_event`` names.
            data (JSON value): what the taker gets; default None.

        Raises:
            TypeError, ValueError: the data is not JSON. Nothing was stored.
            InvalidArgument: an id or name that is not valid.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.enqueue_event_typed("inbox-2", "mail", {"from": "Ada"})
            >>> await client.start_orchestration("inbox-2", inbox)
            >>> (await client.wait_for_orchestration("inbox-2")).output
            {'from': 'Ada'}
        """
        await later(lambda: self._calls.enqueue_event_typed(instance_id, queue_name, data))

    async def cancel_instance(self, instance_id: str, reason: Optional[str] = None) -> None:
        """Ask an instance to end: it fails with ``canceled: {reason}``. Unknown or ended: nothing happens.

        Args:
            instance_id (str): of the instance.
            reason (str or None): text for the error, without NUL; default None: an empty one.

        Raises:
            InvalidArgument: an id that is not valid, or a reason that is no str or contains NUL.
            TypeError, ValueError: the codec does not take the reason.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-3", approval)
            >>> await client.cancel_instance("approval-3", "the customer left")
            >>> (await client.wait_for_orchestration("approval-3")).error
            'canceled: the customer left'
        """
        await later(lambda: self._calls.cancel_instance(instance_id, reason))
