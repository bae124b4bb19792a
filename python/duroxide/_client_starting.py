"""The client's calls that start, signal and cancel instances."""

from __future__ import annotations

from typing import Any, Optional

from duroxide._arguments import known_id, named
from duroxide._client_calls import ClientCalls, event, mail, nothing
from duroxide._codec import Milliseconds, identifier, milliseconds, semver
from duroxide._errors import InvalidArgument
from duroxide._frames import Op
from duroxide._names import EVERYWHERE, Name

_IF_EXISTS = {"ignore": 0, "raise": 1, "restart_if_ended": 2}


class StartingCalls(ClientCalls):
    """Starts, signals and cancels instances."""

    def start_orchestration(
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
            >>> client.start_orchestration("order-7", "order", 40)
            >>> client.start_orchestration("order-7", "order", 99)  # in use: nothing happens
            >>> client.wait_for_orchestration("order-7").output
            40
            >>> client.start_orchestration("order-7", "order", 99, if_exists="raise")
            Traceback (most recent call last):
            duroxide.InstanceExists: ...
        """
        payload = self._payloads.encode(input, "input of start_orchestration", name)
        return self._start(instance_id, name, "", payload, if_exists, delay_ms)

    def start_orchestration_versioned(
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
            >>> client.start_orchestration_versioned("hello-1", "hello", "Ada", "1.0.0")
            >>> client.wait_for_orchestration("hello-1").output
            'Hello, Ada!'
        """
        payload = self._payloads.encode(input, "input of start_orchestration_versioned", name)
        return self._start(instance_id, name, semver(version), payload, if_exists, delay_ms)

    def start_orchestration_typed(
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
            >>> client.start_orchestration_typed("order-8", order, 12)
            >>> client.wait_for_orchestration_typed("order-8")
            12
        """
        payload = self._payloads.encode(input, "input of start_orchestration_typed", name)
        return self._start(instance_id, name, "", payload, if_exists, delay_ms)

    def start_orchestration_versioned_typed(
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
            >>> client.start_orchestration_versioned_typed("hello-2", "hello", "Ada", "2.0.0")
            >>> client.wait_for_orchestration_typed("hello-2")
            'Hello, Ada! Welcome back.'
        """
        payload = self._payloads.encode(input, "input of start_orchestration_versioned_typed", name)
        return self._start(instance_id, name, semver(version), payload, if_exists, delay_ms)

    def _start(
        self,
        instance_id: str,
        name: Name,
        version: str,
        payload: bytes,
        if_exists: str,
        delay_ms: Milliseconds,
    ) -> None:
        head: dict[str, Any] = {
            "i": identifier(instance_id, "instance_id"),
            "n": identifier(EVERYWHERE.orchestration(name), "name of the orchestration"),
            "v": version,
            "d": milliseconds(delay_ms, "delay_ms"),
        }
        if not isinstance(if_exists, str) or if_exists not in _IF_EXISTS:
            raise InvalidArgument(f"Invalid input: if_exists must be one of {', '.join(_IF_EXISTS)}, got {if_exists!r}")
        head["x"] = _IF_EXISTS[if_exists]
        return self._call(Op.START, head, payload, nothing)

    # Signals

    def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
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
            >>> client.start_orchestration("approval-1", approval)
            >>> client.wait_for_status_change("approval-1").custom_status
            'waiting for a decision'
            >>> client.raise_event("approval-1", "decision", {"approved": True})
            >>> client.wait_for_orchestration("approval-1").output
            {'approved': True}
        """
        payload = self._payloads.encode(data, "data of raise_event", event_name)
        head = named(instance_id, event_name, "event_name")
        return self._call(Op.RAISE_EVENT, head, payload, event(instance_id, event_name))

    def enqueue_event(self, instance_id: str, queue_name: str, data: Any = None) -> None:
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
            >>> client.enqueue_event("inbox-1", "mail", {"from": "Ada"})
            >>> client.start_orchestration("inbox-1", inbox)
            >>> client.wait_for_orchestration("inbox-1").output
            {'from': 'Ada'}
        """
        payload = self._payloads.encode(data, "data of enqueue_event", queue_name)
        head = named(instance_id, queue_name, "queue_name")
        return self._call(Op.ENQUEUE_EVENT, head, payload, mail(instance_id, queue_name))

    def raise_event_typed(self, instance_id: str, event_name: str, data: Any = None) -> None:
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
            >>> client.start_orchestration("approval-2", approval)
            >>> client.wait_for_status_change("approval-2").custom_status
            'waiting for a decision'
            >>> client.raise_event_typed("approval-2", "decision", {"approved": True})
            >>> client.wait_for_orchestration("approval-2").output
            {'approved': True}
        """
        payload = self._payloads.encode(data, "data of raise_event_typed", event_name)
        head = named(instance_id, event_name, "event_name")
        return self._call(Op.RAISE_EVENT, head, payload, event(instance_id, event_name))

    def enqueue_event_typed(self, instance_id: str, queue_name: str, data: Any = None) -> None:
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
            >>> client.enqueue_event_typed("inbox-2", "mail", {"from": "Ada"})
            >>> client.start_orchestration("inbox-2", inbox)
            >>> client.wait_for_orchestration("inbox-2").output
            {'from': 'Ada'}
        """
        payload = self._payloads.encode(data, "data of enqueue_event_typed", queue_name)
        head = named(instance_id, queue_name, "queue_name")
        return self._call(Op.ENQUEUE_EVENT, head, payload, mail(instance_id, queue_name))

    def cancel_instance(self, instance_id: str, reason: Optional[str] = None) -> None:
        """Ask an instance to end: it fails with ``canceled: {reason}``. Unknown or ended: nothing happens.

        Args:
            instance_id (str): of the instance.
            reason (str or None): text for the error, without NUL; default None: an empty one.

        Raises:
            InvalidArgument: an id that is not valid, or a reason that is no str or contains NUL.
            TypeError, ValueError: the codec does not take the reason.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("approval-3", approval)
            >>> client.cancel_instance("approval-3", "the customer left")
            >>> client.wait_for_orchestration("approval-3").error
            'canceled: the customer left'
        """
        if reason is None:
            reason = ""
        elif not isinstance(reason, str):
            raise InvalidArgument(f"Invalid input: reason must be a str, got {type(reason).__name__}")
        elif "\0" in reason:
            raise InvalidArgument("Invalid input: reason must not contain NUL")
        body = self._payloads.encode_text(reason) if reason else b""
        return self._call(Op.CANCEL, {"i": known_id(instance_id)}, body, nothing)
