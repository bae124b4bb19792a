"""The coroutines that look at an instance or wait for it."""

from __future__ import annotations

from typing import Any, Optional

from duroxide._aio_calls import AioCalls, later
from duroxide._codec import Milliseconds
from duroxide._results import (
    OrchestrationResult,
)


class AioWaitingCalls(AioCalls):
    """Looks at instances and waits for them."""

    async def get_status(self, instance_id: str) -> OrchestrationResult:
        """How an instance stands; status ``"NotFound"`` for an unknown id.

        Args:
            instance_id (str): of the instance.

        Raises:
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> (await client.get_status("nobody")).status
            'NotFound'
            >>> await client.start_orchestration("approval-4", approval)
            >>> (await client.get_status("approval-4")).status
            'Running'
        """
        return await later(lambda: self._calls.get_status(instance_id))

    async def wait_for_orchestration(
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
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-9", order, 40)
            >>> await client.wait_for_orchestration("order-9")
            OrchestrationResult(status='Completed', output=40, ...)
            >>> await client.wait_for_orchestration("not started", timeout_ms=10)
            Traceback (most recent call last):
            duroxide.WaitTimeout: Operation timed out
        """
        return await later(lambda: self._calls.wait_for_orchestration(instance_id, timeout_ms))

    async def wait_for_orchestration_typed(self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
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
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-10", order, 40)
            >>> await client.wait_for_orchestration_typed("order-10")
            40
            >>> await client.start_orchestration("order-11", order, 4000)
            >>> await client.wait_for_orchestration_typed("order-11")
            Traceback (most recent call last):
            duroxide.OrchestrationError: ...ValueError: card declined...
        """
        return await later(lambda: self._calls.wait_for_orchestration_typed(instance_id, timeout_ms))

    async def wait_for_status_change(
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
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-5", approval)
            >>> seen = await client.wait_for_status_change("approval-5")
            >>> seen.custom_status, seen.custom_status_version
            ('waiting for a decision', 1)
            >>> await client.wait_for_status_change("approval-5", last_seen_version=1, timeout_ms=10) is None
            True
        """
        return await later(
            lambda: self._calls.wait_for_status_change(instance_id, last_seen_version, poll_interval_ms, timeout_ms)
        )

    async def get_kv_value(self, instance_id: str, key: str) -> Optional[str]:
        """A value that the instance set, as text; None when there is none.

        Args:
            instance_id (str): of the instance.
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: an id or key that is not valid.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-12", order, 40)
            >>> (await client.wait_for_orchestration("order-12")).output
            40
            >>> await client.get_kv_value("order-12", "charged")
            '40'
        """
        return await later(lambda: self._calls.get_kv_value(instance_id, key))

    async def get_kv_value_typed(self, instance_id: str, key: str) -> Any:
        """get_kv_value, decoded when it is JSON.

        Args:
            instance_id (str): of the instance.
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: an id or key that is not valid.
            CodecError: what is stored was made by another codec, or with another key.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-13", order, 40)
            >>> (await client.wait_for_orchestration("order-13")).output
            40
            >>> await client.get_kv_value_typed("order-13", "charged") + 2
            42
        """
        return await later(lambda: self._calls.get_kv_value_typed(instance_id, key))

    async def wait_for_kv_value(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> str:
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
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-14", order, 40)
            >>> await client.wait_for_kv_value("order-14", "charged")
            '40'
        """
        return await later(lambda: self._calls.wait_for_kv_value(instance_id, key, timeout_ms))

    async def wait_for_kv_value_typed(
        self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> Any:
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
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-15", order, 40)
            >>> await client.wait_for_kv_value_typed("order-15", "charged")
            40
        """
        return await later(lambda: self._calls.wait_for_kv_value_typed(instance_id, key, timeout_ms))
