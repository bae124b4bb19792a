"""The client's calls that read the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from duroxide._arguments import flag, known_id, moment, number
from duroxide._client_calls import ClientCalls, ids
from duroxide._codec import identifier, name_of
from duroxide._errors import InstanceNotFound, InvalidArgument
from duroxide._frames import Op
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


class ReadingCalls(ClientCalls):
    """Reads instances, histories and counts."""

    def list_all_instances(self) -> list[str]:
        """The ids of all instances, newest first."""
        return self._call(Op.INSTANCES, {"ids_only": True}, b"", ids)

    def list_instances_by_status(self, status: str) -> list[str]:
        """The ids of the instances whose current execution has this status; an unknown status: none."""
        head = {"ids_only": True, "execution_status": identifier(status, "status")}
        return self._call(Op.INSTANCES, head, b"", ids)

    def list_instances(
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
            name, version: of the orchestration.
            status: ``"Running"``, ``"Completed"`` or ``"Failed"``.
            id_prefix: what the id begins with.
            parent: id of the parent.
            created_after, created_before, updated_after, updated_before: ms since the epoch.
            blocked: True: only those that wait for code that fits their history; False: only others.
            order: ``"newest"`` or ``"oldest"`` first.
            limit: at most so many on a page, 1 to 10,000.
            cursor: ``next_cursor`` of the page before.
        """
        if status is not None and status not in ("Running", "Completed", "Failed"):
            raise InvalidArgument(f"Invalid input: status must be Running, Completed or Failed, got {status!r}")
        if order not in ("newest", "oldest"):
            raise InvalidArgument(f"Invalid input: order must be newest or oldest, got {order!r}")
        head = {
            "name": "" if name is None else name_of(name, "name of the orchestration"),
            "version": "" if version is None else identifier(version, "version"),
            "status": status or "",
            "id_prefix": "" if id_prefix is None else identifier(id_prefix, "id_prefix"),
            "parent": "" if parent is None else known_id(parent),
            "created_after": moment(created_after, "created_after"),
            "created_before": moment(created_before, "created_before"),
            "updated_after": moment(updated_after, "updated_after"),
            "updated_before": moment(updated_before, "updated_before"),
            "blocked": flag(blocked, "blocked"),
            "oldest_first": order == "oldest",
            "limit": number(limit, "limit", 1, 10_000),
            "cursor": "" if cursor is None else identifier(cursor, "cursor", 1 << 16),
        }
        return self._call(Op.INSTANCES, head, b"", self._page)

    def iter_instances(self, **filters: Any) -> Iterator[InstanceInfo]:
        """All instances that fit, page by page. Arguments are those of list_instances."""
        page = self.list_instances(**filters)
        while True:
            yield from page.items
            if page.next_cursor is None:
                return
            page = self.list_instances(**{**filters, "cursor": page.next_cursor})

    def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance.

        Raises:
            InstanceNotFound: ``get_instance_info: Instance {id} not found``.
        """
        return self._call(Op.INSTANCE, {"i": known_id(instance_id)}, b"", lambda a, _: self._info(a))

    def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """One execution of an instance.

        Raises:
            InstanceNotFound: ``get_execution_info: Execution {n} not found for instance {id}``.
        """
        wanted = number(execution_id, "execution_id")

        def find(answer: Any, _: bytes) -> ExecutionInfo:
            for execution in self._executions(answer):
                if execution.execution_id == wanted:
                    return execution
            raise InstanceNotFound(f"get_execution_info: Execution {wanted} not found for instance {instance_id}")

        return self._call(Op.EXECUTIONS, {"i": known_id(instance_id)}, b"", find)

    def list_executions(self, instance_id: str) -> list[int]:
        """The executions of an instance, ascending; none for an unknown id."""
        head = {"i": known_id(instance_id)}
        return self._call(Op.EXECUTIONS, head, b"", lambda a, b: [e["execution_id"] for e in a])

    def read_execution_history(self, instance_id: str, execution_id: int) -> list[Event]:
        """The events of one execution; none for an unknown one."""
        wanted = number(execution_id, "execution_id")
        head = {"i": known_id(instance_id), "e": wanted or -1}  # the engine takes 0 for the current one
        return self._call(Op.HISTORY, head, b"", self._events)

    def get_waiting(self, instance_id: str) -> list[Waiting]:
        """What an instance waits for, from its history: no live worker is needed. Nothing for one that has ended.

        Raises:
            InstanceNotFound: unknown id.
        """
        head = {"i": known_id(instance_id)}
        return self._call(Op.WAITING, head, b"", lambda a, _: [Waiting(**w) for w in a])

    def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """An instance with all its descendants; of an unknown id: that id alone."""
        head = {"i": known_id(instance_id)}
        return self._call(Op.TREE, head, b"", lambda ids, _: InstanceTree(instance_id, list(ids), len(ids)))

    def get_orchestration_stats(self, instance_id: str) -> Optional[SystemStats]:
        """Sizes of an instance; None for an unknown id."""
        head = {"i": known_id(instance_id)}
        return self._call(Op.INSTANCE_STATS, head, b"", lambda a, _: None if a is None else SystemStats(**a))

    def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store."""
        return self._call(Op.SYSTEM_METRICS, None, b"", lambda a, _: SystemMetrics(**a))

    def get_queue_depths(self) -> QueueDepths:
        """What waits in the store."""
        return self._call(Op.QUEUE_DEPTHS, None, b"", lambda a, _: QueueDepths(**a))
