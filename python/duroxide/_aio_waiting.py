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
        """How an instance stands; status ``"NotFound"`` for an unknown id."""
        return await later(lambda: self._calls.get_status(instance_id))

    async def wait_for_orchestration(
        self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> OrchestrationResult:
        """Wait until an instance is Completed or Failed. An unknown id is waited for too."""
        return await later(lambda: self._calls.wait_for_orchestration(instance_id, timeout_ms))

    async def wait_for_orchestration_typed(self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """Wait for the output itself."""
        return await later(lambda: self._calls.wait_for_orchestration_typed(instance_id, timeout_ms))

    async def wait_for_status_change(
        self,
        instance_id: str,
        last_seen_version: int = 0,
        poll_interval_ms: Milliseconds = 200,
        timeout_ms: Optional[Milliseconds] = 30000,
    ) -> Optional[OrchestrationResult]:
        """Wait for a custom status newer than the one seen last."""
        return await later(
            lambda: self._calls.wait_for_status_change(instance_id, last_seen_version, poll_interval_ms, timeout_ms)
        )

    async def get_kv_value(self, instance_id: str, key: str) -> Optional[str]:
        """A value that the instance set, as text; None when there is none."""
        return await later(lambda: self._calls.get_kv_value(instance_id, key))

    async def get_kv_value_typed(self, instance_id: str, key: str) -> Any:
        """get_kv_value, decoded when it is JSON."""
        return await later(lambda: self._calls.get_kv_value_typed(instance_id, key))

    async def wait_for_kv_value(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> str:
        """Wait until a key has a value."""
        return await later(lambda: self._calls.wait_for_kv_value(instance_id, key, timeout_ms))

    async def wait_for_kv_value_typed(
        self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> Any:
        """wait_for_kv_value, decoded when it is JSON."""
        return await later(lambda: self._calls.wait_for_kv_value_typed(instance_id, key, timeout_ms))
