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
            force: also when it is running.

        Raises:
            InstanceRunning: it is running.
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: it is a child; delete its root.
        """
        head = {"i": known_id(instance_id), "f": bool(force)}
        return self._call(Op.DELETE, head, b"", lambda a, _: DeleteInstanceResult(**a))

    def delete_instance_bulk(self, filter: Optional[InstanceFilter] = None) -> DeleteInstanceResult:
        """Delete the root instances that have ended and fit the filter, with their descendants."""
        head = bulk_filter(filter)
        return self._call(Op.DELETE_BULK, head, b"", lambda a, _: DeleteInstanceResult(**a))

    def prune_executions(self, instance_id: str, options: Optional[PruneOptions] = None) -> PruneResult:
        """Delete old executions of an instance. The current one stays."""
        head = {"i": known_id(instance_id), **prune_options(options)}
        return self._call(Op.PRUNE, head, b"", lambda a, _: PruneResult(**a))

    def prune_executions_bulk(
        self, filter: Optional[InstanceFilter] = None, options: Optional[PruneOptions] = None
    ) -> PruneResult:
        """Delete old executions of all instances that fit the filter, running ones too."""
        head = {**bulk_filter(filter), **prune_options(options)}
        return self._call(Op.PRUNE_BULK, head, b"", lambda a, _: PruneResult(**a))

    def revive_instance(self, instance_id: str) -> None:
        """Open an instance again that failed by no fault of its own code. It goes on where it stood.

        For one whose code did not fit its history (after a mended deploy), whose work was given up as poison, or that
        failed by the infrastructure. Children over whose like failure it failed are revived too. Messages that it had
        not taken when it failed are gone. An instance that runs, blocked or not, is left as it is.

        Raises:
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: it has completed, or failed by its own code or by cancellation.
        """
        return self._call(Op.REVIVE, {"i": known_id(instance_id)}, b"", nothing)
