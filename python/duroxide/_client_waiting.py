"""The client's calls that look at an instance or wait for it."""

from __future__ import annotations

from typing import Any, Optional

from duroxide._arguments import known_id, kv_key, timeout
from duroxide._client_calls import ClientCalls
from duroxide._codec import Milliseconds, decode, milliseconds
from duroxide._errors import InvalidArgument
from duroxide._frames import Op
from duroxide._results import (
    OrchestrationResult,
)


class WaitingCalls(ClientCalls):
    """Looks at instances and waits for them."""

    def get_status(self, instance_id: str) -> OrchestrationResult:
        """How an instance stands; status ``"NotFound"`` for an unknown id."""
        return self._call(Op.STATUS, {"i": known_id(instance_id)}, b"", self._result)

    def wait_for_orchestration(
        self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> OrchestrationResult:
        """Wait until an instance is Completed or Failed. An unknown id is waited for too.

        Args:
            timeout_ms: 0 looks once, None waits for ever.

        Raises:
            WaitTimeout: ``Operation timed out``.
        """
        head = {"i": known_id(instance_id), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_END, head, b"", self._result)

    def wait_for_orchestration_typed(self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """Wait for the output itself.

        Raises:
            OrchestrationError: the instance Failed; or the subclass that fits.
            WaitTimeout: ``Operation timed out``.
        """
        head = {"i": known_id(instance_id), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_END, head, b"", self._output)

    def wait_for_status_change(
        self,
        instance_id: str,
        last_seen_version: int = 0,
        poll_interval_ms: Milliseconds = 200,
        timeout_ms: Optional[Milliseconds] = 30000,
    ) -> Optional[OrchestrationResult]:
        """Wait for a custom status newer than the one seen last.

        Args:
            last_seen_version: ``custom_status_version`` of that one; 0 = none.
            poll_interval_ms: without effect where the store tells of changes.
            timeout_ms: 0 looks once, None waits for ever.

        Returns:
            the status; None when time ran out, and at once when the instance has ended with nothing newer.
        """
        if isinstance(last_seen_version, bool) or not isinstance(last_seen_version, int):
            raise InvalidArgument(
                f"Invalid input: last_seen_version must be an int, got {type(last_seen_version).__name__}"
            )
        if not 0 <= last_seen_version < 2**63:
            raise InvalidArgument("Invalid input: last_seen_version must not be negative or above 2**63")
        milliseconds(poll_interval_ms, "poll_interval_ms")
        head = {"i": known_id(instance_id), "s": last_seen_version, "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_STATUS, head, b"", self._result_or_none)

    # Key-value store of an instance

    def get_kv_value(self, instance_id: str, key: str) -> Optional[str]:
        """A value that the instance set, as text; None when there is none."""
        head = {"i": known_id(instance_id), "k": kv_key(key)}
        return self._call(
            Op.KV_VALUE, head, b"", lambda a, b: None if a is None else self._payloads.decode_text(b.decode())
        )

    def get_kv_value_typed(self, instance_id: str, key: str) -> Any:
        """get_kv_value, decoded when it is JSON."""
        head = {"i": known_id(instance_id), "k": kv_key(key)}
        return self._call(
            Op.KV_VALUE, head, b"", lambda a, b: None if a is None else decode(self._payloads.decode_text(b.decode()))
        )

    def wait_for_kv_value(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> str:
        """Wait until a key has a value.

        Raises:
            WaitTimeout: ``Timed out waiting for value '{key}' on instance '{id}'``.
        """
        head = {"i": known_id(instance_id), "k": kv_key(key), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_KV, head, b"", lambda _, b: self._payloads.decode_text(b.decode()))

    def wait_for_kv_value_typed(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """wait_for_kv_value, decoded when it is JSON."""
        head = {"i": known_id(instance_id), "k": kv_key(key), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_KV, head, b"", lambda _, b: decode(self._payloads.decode_text(b.decode())))
