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
        """Delete an instance with its descendants, histories and messages.

        Args:
            instance_id (str): of the instance.
            force (bool): also when it is running; default False.

        Returns:
            what was deleted.

        Raises:
            InstanceRunning: it is running.
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: an id that is not valid; or it is a child: delete its root.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("approval-8", approval)
            >>> await client.delete_instance("approval-8")
            Traceback (most recent call last):
            duroxide.InstanceRunning: ...
            >>> (await client.delete_instance("approval-8", force=True)).instances_deleted
            1
        """
        return await later(lambda: self._calls.delete_instance(instance_id, force))

    async def delete_instance_bulk(self, filter: Optional[InstanceFilter] = None) -> DeleteInstanceResult:
        """Delete the root instances that have ended and fit the filter, with their descendants.

        Args:
            filter (InstanceFilter or None): which; default None: any, at most 1,000.

        Returns:
            what was deleted.

        Raises:
            InvalidArgument: a filter of a wrong type, or with a field out of its range.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("order-21", order, 40)
            >>> (await client.wait_for_orchestration("order-21")).output
            40
            >>> (await client.delete_instance_bulk(InstanceFilter(instance_ids=["order-21"]))).instances_deleted
            1
        """
        return await later(lambda: self._calls.delete_instance_bulk(filter))

    async def prune_executions(self, instance_id: str, options: Optional[PruneOptions] = None) -> PruneResult:
        """Delete old executions of an instance. The current one stays.

        Args:
            instance_id (str): of the instance.
            options (PruneOptions or None): which executions; default None: all but the current one.

        Returns:
            what was deleted.

        Raises:
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: an id that is not valid, or options of a wrong type or out of their range.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("countdown-3", countdown, 4)
            >>> (await client.wait_for_orchestration("countdown-3")).output
            'liftoff'
            >>> (await client.prune_executions("countdown-3", PruneOptions(keep_last=2))).executions_deleted
            3
            >>> await client.list_executions("countdown-3")
            [4, 5]
        """
        return await later(lambda: self._calls.prune_executions(instance_id, options))

    async def prune_executions_bulk(
        self, filter: Optional[InstanceFilter] = None, options: Optional[PruneOptions] = None
    ) -> PruneResult:
        """Delete old executions of all instances that fit the filter, running ones too.

        Args:
            filter (InstanceFilter or None): which instances; default None: any, at most 1,000.
            options (PruneOptions or None): which executions; default None: all but the current one of each.

        Returns:
            what was deleted.

        Raises:
            InvalidArgument: a filter or options of a wrong type, or with a field out of its range.
            ProviderError: the storage failed.

        Example:
            >>> client = aio.Client(provider)
            >>> await client.start_orchestration("countdown-4", countdown, 4)
            >>> (await client.wait_for_orchestration("countdown-4")).output
            'liftoff'
            >>> await client.prune_executions_bulk(InstanceFilter(instance_ids=["countdown-4"]))
            PruneResult(instances_processed=1, executions_deleted=4, events_deleted=8)
        """
        return await later(lambda: self._calls.prune_executions_bulk(filter, options))

    async def revive_instance(self, instance_id: str) -> None:
        """Open an instance again that failed by no fault of its own code. It goes on where it stood.

        For one whose code did not fit its history (after a mended deploy), whose work was given up as poison, or that
        failed by the infrastructure. Children over whose like failure it failed are revived too. Messages that it had
        not taken when it failed are gone. An instance that runs, blocked or not, is left as it is.

        Args:
            instance_id (str): of the instance.

        Raises:
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: an id that is not valid; or it has completed, or failed by its own code or by cancellation.
            ProviderError: the storage failed.

        Example:
            >>> store = SqliteProvider.in_memory()
            >>> client = aio.Client(store)
            >>> def deploy(code):
            ...     runtime = Runtime(store)
            ...     runtime.register_orchestration("job", code)
            ...     return runtime
            >>> def job(ctx, input):
            ...     ctx.set_custom_status("waiting")
            ...     return (yield ctx.wait_for_event("go"))
            >>> with deploy(job):
            ...     await client.start_orchestration("job-1", "job")
            ...     (await client.wait_for_status_change("job-1")).custom_status
            'waiting'
            >>> with deploy(lambda ctx, input: (yield ctx.new_guid())):  # a bad deploy
            ...     await client.raise_event("job-1", "go", 1)
            ...     (await client.wait_for_orchestration("job-1")).error
            'nondeterministic: ...'
            >>> await client.revive_instance("job-1")
            >>> with deploy(job):
            ...     await client.raise_event("job-1", "go", 2)
            ...     (await client.wait_for_orchestration("job-1")).output
            2
        """
        await later(lambda: self._calls.revive_instance(instance_id))
