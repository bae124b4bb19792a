"""The client's calls that start, signal and cancel instances."""

from __future__ import annotations

from typing import Any, Optional

from duroxide._arguments import known_id, named
from duroxide._client_calls import ClientCalls, nothing
from duroxide._codec import Milliseconds, identifier, milliseconds, name_of, semver
from duroxide._errors import InvalidArgument
from duroxide._frames import Op
from duroxide._scheduling import Name

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
            instance_id: its id.
            name: name of the orchestration, or the registered function. Not checked: another process may have it.
            input: anything JSON takes.
            if_exists: what to do when the id is in use, running or ended: ``"ignore"`` (nothing), ``"raise"``
                (InstanceExists), ``"restart_if_ended"`` (an ended one is deleted and started afresh).
            delay_ms: how long it waits before it begins.

        Raises:
            TypeError, ValueError: the input is not JSON. Nothing was stored.
            InstanceExists: the id is in use, with ``if_exists="raise"``.
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
        """start_orchestration of one version, e.g. ``"1.0.1"``.

        Raises:
            InvalidArgument: the version is not a semantic version.
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
        """The same as start_orchestration."""
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
        """The same as start_orchestration_versioned."""
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
            "n": identifier(name_of(name, "name of the orchestration"), "name of the orchestration"),
            "v": version,
            "d": milliseconds(delay_ms, "delay_ms"),
        }
        if not isinstance(if_exists, str) or if_exists not in _IF_EXISTS:
            raise InvalidArgument(f"Invalid input: if_exists must be one of {', '.join(_IF_EXISTS)}, got {if_exists!r}")
        head["x"] = _IF_EXISTS[if_exists]
        return self._call(Op.START, head, payload, nothing)

    # Signals

    def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Raise an event. An instance that is unknown or has ended drops it."""
        payload = self._payloads.encode(data, "data of raise_event", event_name)
        return self._call(Op.RAISE_EVENT, named(instance_id, event_name, "event_name"), payload, nothing)

    def enqueue_event(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """Put a message into a queue of an instance, which may start later.

        ``data`` is encoded as JSON: what was text before (``json.dumps(x)``) arrives as text.
        """
        payload = self._payloads.encode(data, "data of enqueue_event", queue_name)
        return self._call(Op.ENQUEUE_EVENT, named(instance_id, queue_name, "queue_name"), payload, nothing)

    def raise_event_typed(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """raise_event; a str is taken for JSON already."""
        payload = self._payloads.encode_typed(data, "data of raise_event_typed", event_name)
        return self._call(Op.RAISE_EVENT, named(instance_id, event_name, "event_name"), payload, nothing)

    def enqueue_event_typed(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """enqueue_event; a str is taken for JSON already."""
        payload = self._payloads.encode_typed(data, "data of enqueue_event_typed", queue_name)
        return self._call(Op.ENQUEUE_EVENT, named(instance_id, queue_name, "queue_name"), payload, nothing)

    def cancel_instance(self, instance_id: str, reason: Optional[str] = None) -> None:
        """Ask an instance to end: it fails with ``canceled: {reason}``. Unknown or ended: nothing happens."""
        if reason is None:
            reason = ""
        elif not isinstance(reason, str):
            raise InvalidArgument(f"Invalid input: reason must be a str, got {type(reason).__name__}")
        elif "\0" in reason:
            raise InvalidArgument("Invalid input: reason must not contain NUL")
        body = self._payloads.encode_text(reason) if reason else b""
        return self._call(Op.CANCEL, {"i": known_id(instance_id)}, body, nothing)
