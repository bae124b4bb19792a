"""The coroutines that read the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Optional

from duroxide._aio_calls import AioCalls, later
from duroxide._names import Name
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


class AioReadingCalls(AioCalls):
    """Reads instances, histories and counts."""

    async def list_all_instances(self) -> list[str]:
        """The ids of all instances, newest first.

        Raises:
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-16", order, 40)
            >>> "order-16" in await client.list_all_instances()
            True
        """
        return await later(self._calls.list_all_instances)

    async def list_instances_by_status(self, status: str) -> list[str]:
        """The ids of the instances whose current execution has this status, newest first.

        Args:
            status (str): ``"Running"``, ``"Completed"`` or ``"Failed"``; of an unknown one there are none.

        Raises:
            InvalidArgument: no str, or an empty one.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-6", approval)
            >>> "approval-6" in await client.list_instances_by_status("Running")
            True
            >>> "approval-6" in await client.list_instances_by_status("Failed")
            False
        """
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
        """A page of the instances that fit all conditions given.

        Args:
            name (str or function or None): name of the orchestration, or the registered function; default None: any.
            version (str or None): of the orchestration; default None: any.
            status (str or None): ``"Running"``, ``"Completed"`` or ``"Failed"``; default None: any.
            id_prefix (str or None): what the id begins with; default None: anything.
            parent (str or None): id of the parent; default None: any, or none.
            created_after, created_before, updated_after, updated_before (int or None): ms since the epoch; default
                None: any time.
            blocked (bool or None): True: only those that wait for code that fits their history; False: only others;
                None (default): all.
            order (str): ``"newest"`` (default) or ``"oldest"`` first.
            limit (int): at most so many on a page, 1 to 10,000; default 100.
            cursor (str or None): ``next_cursor`` of the page before; default None: the first page.

        Raises:
            InvalidArgument: a condition of a wrong type or out of its range.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> for n in range(3):
            ...     await client.start_orchestration(f"batch-{n}", order, n)
            >>> page = await client.list_instances(id_prefix="batch-", order="oldest", limit=2)
            >>> [info.instance_id for info in page.items]
            ['batch-0', 'batch-1']
            >>> rest = await client.list_instances(id_prefix="batch-", order="oldest", limit=2, cursor=page.next_cursor)
            >>> [info.instance_id for info in rest.items], rest.next_cursor
            (['batch-2'], None)
        """
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
        """All instances that fit, read page by page.

        Args:
            **filters (keywords): those of list_instances; ``limit`` is then the size of a page.

        Raises:
            InvalidArgument: a condition of a wrong type or out of its range, at the first step.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> for n in range(3):
            ...     await client.start_orchestration(f"many-{n}", order, n)
            >>> [info.instance_id async for info in client.iter_instances(id_prefix="many-", order="oldest", limit=2)]
            ['many-0', 'many-1', 'many-2']
        """
        page = await self.list_instances(**filters)
        while True:
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            page = await self.list_instances(**{**filters, "cursor": page.next_cursor})

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance.

        Args:
            instance_id (str): of the instance.

        Raises:
            InstanceNotFound: ``get_instance_info: Instance {id} not found``.
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-17", order, 40)
            >>> (await client.get_instance_info("order-17")).orchestration_name
            'order'
            >>> await client.get_instance_info("nobody")
            Traceback (most recent call last):
            duroxide.InstanceNotFound: get_instance_info: Instance nobody not found
        """
        return await later(lambda: self._calls.get_instance_info(instance_id))

    async def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """One execution of an instance: continue_as_new begins another one.

        Args:
            instance_id (str): of the instance.
            execution_id (int): which, from 1.

        Raises:
            InstanceNotFound: ``get_execution_info: Execution {n} not found for instance {id}``.
            InvalidArgument: an id that is not valid, or an execution that is no int from 0 on.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("countdown-1", countdown, 2)
            >>> (await client.wait_for_orchestration("countdown-1")).output
            'liftoff'
            >>> (await client.get_execution_info("countdown-1", 1)).status
            'ContinuedAsNew'
        """
        return await later(lambda: self._calls.get_execution_info(instance_id, execution_id))

    async def list_executions(self, instance_id: str) -> list[int]:
        """The numbers of the executions of an instance, ascending; none for an unknown id.

        Args:
            instance_id (str): of the instance.

        Raises:
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("countdown-2", countdown, 2)
            >>> (await client.wait_for_orchestration("countdown-2")).output
            'liftoff'
            >>> await client.list_executions("countdown-2")
            [1, 2, 3]
        """
        return await later(lambda: self._calls.list_executions(instance_id))

    async def read_execution_history(self, instance_id: str, execution_id: int) -> list[Event]:
        """The events of one execution; none for an unknown one.

        Args:
            instance_id (str): of the instance.
            execution_id (int): which, from 1.

        Raises:
            InvalidArgument: an id that is not valid, or an execution that is no int from 0 on.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-18", order, 40)
            >>> (await client.wait_for_orchestration("order-18")).output
            40
            >>> for event in await client.read_execution_history("order-18", 1):
            ...     print(event.event_id, event.kind)
            1 OrchestrationStarted
            2 ActivityScheduled
            3 ActivityCompleted
            ...
        """
        return await later(lambda: self._calls.read_execution_history(instance_id, execution_id))

    async def get_waiting(self, instance_id: str) -> list[Waiting]:
        """What an instance waits for, from its history: no live worker is needed. Nothing for one that has ended.

        Args:
            instance_id (str): of the instance.

        Raises:
            InstanceNotFound: unknown id.
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-7", approval)
            >>> (await client.wait_for_status_change("approval-7")).custom_status
            'waiting for a decision'
            >>> [(w.kind, w.name) for w in await client.get_waiting("approval-7")]
            [('event', 'decision')]
        """
        return await later(lambda: self._calls.get_waiting(instance_id))

    async def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """An instance with all its descendants; of an unknown id: that id alone.

        Args:
            instance_id (str): of the instance.

        Raises:
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> def parent(ctx, input):
            ...     return (yield ctx.schedule_sub_orchestration_with_id(order, "order-19", 40))
            >>> id = start(parent)
            >>> (await client.wait_for_orchestration(id)).output
            40
            >>> (await client.get_instance_tree(id)).all_ids == [id, "order-19"]
            True
        """
        return await later(lambda: self._calls.get_instance_tree(instance_id))

    async def get_orchestration_stats(self, instance_id: str) -> Optional[SystemStats]:
        """Sizes of an instance; None for an unknown id.

        Args:
            instance_id (str): of the instance.

        Raises:
            InvalidArgument: an id that is empty, too long, contains NUL or is no str.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-20", order, 40)
            >>> (await client.wait_for_orchestration("order-20")).output
            40
            >>> (await client.get_orchestration_stats("order-20")).kv_user_key_count
            1
        """
        return await later(lambda: self._calls.get_orchestration_stats(instance_id))

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store.

        Raises:
            ProviderError: the storage failed.

        Example:
            >>> empty = aio.Client(SqliteProvider.in_memory())
            >>> await empty.start_orchestration("order-1", "order", 40)
            >>> metrics = await empty.get_system_metrics()
            >>> metrics.total_instances, metrics.completed_instances
            (1, 0)
        """
        return await later(self._calls.get_system_metrics)

    async def get_queue_depths(self) -> QueueDepths:
        """What waits in the store.

        Raises:
            ProviderError: the storage failed.

        Example:
            >>> empty = aio.Client(SqliteProvider.in_memory())
            >>> await empty.start_orchestration("order-1", "order", 40)
            >>> await empty.get_queue_depths()
            QueueDepths(orchestrator_queue=1, worker_queue=0, timer_queue=0)
        """
        return await later(self._calls.get_queue_depths)
