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
        """How an instance stands; status ``"NotFound"`` for an unknown id.

        Args:
            instance_id (str): of the instance.

        Raises:
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.get_status("nobody").status
            'NotFound'
            >>> client.start_orchestration("approval-4", approval)
            >>> client.get_status("approval-4").status
            'Running'
        """
        return self._call(Op.STATUS, {"i": known_id(instance_id)}, b"", self._result)

    def wait_for_orchestration(
        self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> OrchestrationResult:
        """Wait until an instance is Completed or Failed. An unknown id is waited for too.

        Args:
            instance_id (str): of the instance.
            timeout_ms (int or timedelta or None): how long to wait, in ms or as a timedelta; default 30,000. 0 looks
                once, None waits for ever.

        Raises:
            WaitTimeout: ``Operation timed out``.
            TypeError, ValueError: the time is no int or timedelta, or is negative.
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-9", order, 40)
            >>> client.wait_for_orchestration("order-9")
            OrchestrationResult(status='Completed', output=40, ...)
            >>> client.wait_for_orchestration("not started", timeout_ms=10)
            Traceback (most recent call last):
            duroxide.WaitTimeout: Operation timed out
        """
        head = {"i": known_id(instance_id), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_END, head, b"", self._result)

    def wait_for_orchestration_typed(self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """Wait for the output itself.

        Args:
            instance_id (str): of the instance.
            timeout_ms (int or timedelta or None): how long to wait, in ms or as a timedelta; default 30,000. 0 looks
                once, None waits for ever.

        Raises:
            OrchestrationError: the instance Failed; the subclass that fits, see there.
            WaitTimeout: ``Operation timed out``.
            TypeError, ValueError: the time is no int or timedelta, or is negative.
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-10", order, 40)
            >>> client.wait_for_orchestration_typed("order-10")
            40
            >>> client.start_orchestration("order-11", order, 4000)
            >>> client.wait_for_orchestration_typed("order-11")
            Traceback (most recent call last):
            duroxide.OrchestrationError: ...ValueError: card declined...
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
            instance_id (str): of the instance.
            last_seen_version (int): ``custom_status_version`` of that one; 0 (default) = none.
            poll_interval_ms (int or timedelta): ms or timedelta; default 200. Without effect where the store tells of
                changes.
            timeout_ms (int or timedelta or None): how long to wait, in ms or as a timedelta; default 30,000. 0 looks
                once, None waits for ever.

        Returns:
            the status; None when time ran out, and at once when the instance has ended with nothing newer.

        Raises:
            TypeError, ValueError: the time is no int or timedelta, or is negative.
            InvalidArgument: an id that is not valid, or a version that is no int from 0 to 2**63 - 1.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("approval-5", approval)
            >>> seen = client.wait_for_status_change("approval-5")
            >>> seen.custom_status, seen.custom_status_version
            ('waiting for a decision', 1)
            >>> client.wait_for_status_change("approval-5", last_seen_version=1, timeout_ms=10) is None
            True
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
        """A value that the instance set, as text; None when there is none.

        Args:
            instance_id (str): of the instance.
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: an id or key that is not valid.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-12", order, 40)
            >>> client.wait_for_orchestration("order-12").output
            40
            >>> client.get_kv_value("order-12", "charged")
            '40'
        """
        head = {"i": known_id(instance_id), "k": kv_key(key)}
        return self._call(
            Op.KV_VALUE, head, b"", lambda a, b: None if a is None else self._payloads.decode_text(b.decode())
        )

    def get_kv_value_typed(self, instance_id: str, key: str) -> Any:
        """get_kv_value, decoded when it is JSON.

        Args:
            instance_id (str): of the instance.
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: an id or key that is not valid.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-13", order, 40)
            >>> client.wait_for_orchestration("order-13").output
            40
            >>> client.get_kv_value_typed("order-13", "charged") + 2
            42
        """
        head = {"i": known_id(instance_id), "k": kv_key(key)}
        return self._call(
            Op.KV_VALUE, head, b"", lambda a, b: None if a is None else decode(self._payloads.decode_text(b.decode()))
        )

    def wait_for_kv_value(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> str:
        """Wait until a key has a value, and give it as text.

        Args:
            instance_id (str): of the instance.
            key (str): at most 2,048 bytes in UTF-8.
            timeout_ms (int or timedelta or None): how long to wait, in ms or as a timedelta; default 30,000. 0 looks
                once, None waits for ever.

        Raises:
            WaitTimeout: ``Timed out waiting for value '{key}' on instance '{id}'``.
            TypeError, ValueError: the time is no int or timedelta, or is negative.
            InvalidArgument: an id or key that is not valid.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-14", order, 40)
            >>> client.wait_for_kv_value("order-14", "charged")
            '40'
        """
        head = {"i": known_id(instance_id), "k": kv_key(key), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_KV, head, b"", lambda _, b: self._payloads.decode_text(b.decode()))

    def wait_for_kv_value_typed(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """wait_for_kv_value, decoded when it is JSON.

        Args:
            instance_id (str): of the instance.
            key (str): at most 2,048 bytes in UTF-8.
            timeout_ms (int or timedelta or None): how long to wait, in ms or as a timedelta; default 30,000. 0 looks
                once, None waits for ever.

        Raises:
            WaitTimeout: ``Timed out waiting for value '{key}' on instance '{id}'``.
            TypeError, ValueError: the time is no int or timedelta, or is negative.
            InvalidArgument: an id or key that is not valid.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-15", order, 40)
            >>> client.wait_for_kv_value_typed("order-15", "charged")
            40
        """
        head = {"i": known_id(instance_id), "k": kv_key(key), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_KV, head, b"", lambda _, b: decode(self._payloads.decode_text(b.decode())))
