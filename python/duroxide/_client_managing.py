"""The client's calls that delete, prune and revive."""

from __future__ import annotations

from typing import Optional

from duroxide._arguments import bulk_filter, known_id, prune_options
from duroxide._client_calls import ClientCalls, nothing
from duroxide._frames import Op
from duroxide._results import (
    DeleteInstanceResult,
    InstanceFilter,
    PruneOptions,
    PruneResult,
)


class ManagingCalls(ClientCalls):
    """Deletes, prunes and revives instances."""

    def delete_instance(self, instance_id: str, force: bool = False) -> DeleteInstanceResult:
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
            >>> client.start_orchestration("approval-8", approval)
            >>> client.delete_instance("approval-8")
            Traceback (most recent call last):
            duroxide.InstanceRunning: ...
            >>> client.delete_instance("approval-8", force=True).instances_deleted
            1
        """
        head = {"i": known_id(instance_id), "f": bool(force)}
        return self._call(Op.DELETE, head, b"", lambda a, _: DeleteInstanceResult(**a))

    def delete_instance_bulk(self, filter: Optional[InstanceFilter] = None) -> DeleteInstanceResult:
        """Delete the root instances that have ended and fit the filter, with their descendants.

        Args:
            filter (InstanceFilter or None): which; default None: any, at most 1,000.

        Returns:
            what was deleted.

        Raises:
            InvalidArgument: a filter of a wrong type, or with a field out of its range.
            ProviderError: the storage failed.

        Example:
            >>> client.start_orchestration("order-21", order, 40)
            >>> client.wait_for_orchestration("order-21").output
            40
            >>> client.delete_instance_bulk(InstanceFilter(instance_ids=["order-21"])).instances_deleted
            1
        """
        head = bulk_filter(filter)
        return self._call(Op.DELETE_BULK, head, b"", lambda a, _: DeleteInstanceResult(**a))

    def prune_executions(self, instance_id: str, options: Optional[PruneOptions] = None) -> PruneResult:
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
            >>> client.start_orchestration("countdown-3", countdown, 4)
            >>> client.wait_for_orchestration("countdown-3").output
            'liftoff'
            >>> client.prune_executions("countdown-3", PruneOptions(keep_last=2)).executions_deleted
            3
            >>> client.list_executions("countdown-3")
            [4, 5]
        """
        head = {"i": known_id(instance_id), **prune_options(options)}
        return self._call(Op.PRUNE, head, b"", lambda a, _: PruneResult(**a))

    def prune_executions_bulk(
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
            >>> client.start_orchestration("countdown-4", countdown, 4)
            >>> client.wait_for_orchestration("countdown-4").output
            'liftoff'
            >>> client.prune_executions_bulk(InstanceFilter(instance_ids=["countdown-4"]))
            PruneResult(instances_processed=1, executions_deleted=4, events_deleted=8)
        """
        head = {**bulk_filter(filter), **prune_options(options)}
        return self._call(Op.PRUNE_BULK, head, b"", lambda a, _: PruneResult(**a))

    def revive_instance(self, instance_id: str) -> None:
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
            >>> client = Client(store)
            >>> def deploy(code):
            ...     runtime = Runtime(store)
            ...     runtime.register_orchestration("job", code)
            ...     return runtime
            >>> def job(ctx, input):
            ...     ctx.set_custom_status("waiting")
            ...     return (yield ctx.wait_for_event("go"))
            >>> with deploy(job):
            ...     client.start_orchestration("job-1", "job")
            ...     client.wait_for_status_change("job-1").custom_status
            'waiting'
            >>> with deploy(lambda ctx, input: (yield ctx.new_guid())):  # a bad deploy
            ...     client.raise_event("job-1", "go", 1)
            ...     client.wait_for_orchestration("job-1").error
            'nondeterministic: ...'
            >>> client.revive_instance("job-1")
            >>> with deploy(job):
            ...     client.raise_event("job-1", "go", 2)
            ...     client.wait_for_orchestration("job-1").output
            2
        """
        return self._call(Op.REVIVE, {"i": known_id(instance_id)}, b"", nothing)
