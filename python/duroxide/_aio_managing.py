"""The coroutines that delete, prune and revive."""

from __future__ import annotations

from typing import Optional

from duroxide._aio_calls import AioCalls, later
from duroxide._results import (
    DeleteInstanceResult,
    InstanceFilter,
    PruneOptions,
    PruneResult,
)


class AioManagingCalls(AioCalls):
    """Deletes, prunes and revives instances."""

    async def delete_instance(self, instance_id: str, force: bool = False) -> DeleteInstanceResult:
        """Delete an instance with its descendants, histories and messages."""
        return await later(lambda: self._calls.delete_instance(instance_id, force))

    async def delete_instance_bulk(self, filter: Optional[InstanceFilter] = None) -> DeleteInstanceResult:
        """Delete the root instances that have ended and fit the filter, with their descendants."""
        return await later(lambda: self._calls.delete_instance_bulk(filter))

    async def prune_executions(self, instance_id: str, options: Optional[PruneOptions] = None) -> PruneResult:
        """Delete old executions of an instance. The current one stays."""
        return await later(lambda: self._calls.prune_executions(instance_id, options))

    async def prune_executions_bulk(
        self, filter: Optional[InstanceFilter] = None, options: Optional[PruneOptions] = None
    ) -> PruneResult:
        """Delete old executions of all instances that fit the filter, running ones too."""
        return await later(lambda: self._calls.prune_executions_bulk(filter, options))

    async def revive_instance(self, instance_id: str) -> None:
        """Open an instance again that failed by no fault of its own code. It goes on where it stood."""
        await later(lambda: self._calls.revive_instance(instance_id))
