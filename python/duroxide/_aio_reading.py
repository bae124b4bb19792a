"""The coroutines that read the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Optional

from duroxide._aio_calls import AioCalls, later
from duroxide._results import (
    Event,
    ExecutionInfo,
    InstanceInfo,
    InstancePage,
    InstanceTree,
    QueueDepths,
    SystemMetrics,
    SystemStats,
    Waiting,
)
from duroxide._scheduling import Name


class AioReadingCalls(AioCalls):
    """Reads instances, histories and counts."""

    async def list_all_instances(self) -> list[str]:
        """The ids of all instances, newest first."""
        return await later(self._calls.list_all_instances)

    async def list_instances_by_status(self, status: str) -> list[str]:
        """The ids of the instances whose current execution has this status; an unknown status: none."""
        return await later(lambda: self._calls.list_instances_by_status(status))

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
        return await later(
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

    async def iter_instances(self, **filters: Any) -> AsyncIterator[InstanceInfo]:
        """All instances that fit, page by page. Arguments are those of list_instances."""
        page = await self.list_instances(**filters)
        while True:
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            page = await self.list_instances(**{**filters, "cursor": page.next_cursor})

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance."""
        return await later(lambda: self._calls.get_instance_info(instance_id))

    async def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """One execution of an instance."""
        return await later(lambda: self._calls.get_execution_info(instance_id, execution_id))

    async def list_executions(self, instance_id: str) -> list[int]:
        """The executions of an instance, ascending; none for an unknown id."""
        return await later(lambda: self._calls.list_executions(instance_id))

    async def read_execution_history(self, instance_id: str, execution_id: int) -> list[Event]:
        """The events of one execution; none for an unknown one."""
        return await later(lambda: self._calls.read_execution_history(instance_id, execution_id))

    async def get_waiting(self, instance_id: str) -> list[Waiting]:
        """What an instance waits for, from its history: no live worker is needed. Nothing for one that has ended."""
        return await later(lambda: self._calls.get_waiting(instance_id))

    async def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """An instance with all its descendants; of an unknown id: that id alone."""
        return await later(lambda: self._calls.get_instance_tree(instance_id))

    async def get_orchestration_stats(self, instance_id: str) -> Optional[SystemStats]:
        """Sizes of an instance; None for an unknown id."""
        return await later(lambda: self._calls.get_orchestration_stats(instance_id))

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store."""
        return await later(self._calls.get_system_metrics)

    async def get_queue_depths(self) -> QueueDepths:
        """What waits in the store."""
        return await later(self._calls.get_queue_depths)
