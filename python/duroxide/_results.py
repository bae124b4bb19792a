"""What clients and runtimes give back. All frozen; times are ms since the epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from duroxide._errors import OrchestrationError, failure_error

__all__ = [
    "DeleteInstanceResult",
    "Event",
    "ExecutionInfo",
    "InstanceFilter",
    "InstanceInfo",
    "InstancePage",
    "InstanceTree",
    "MetricsSnapshot",
    "OrchestrationResult",
    "OrchestrationStatus",
    "PruneOptions",
    "PruneResult",
    "QueueDepths",
    "SystemMetrics",
    "SystemStats",
    "Waiting",
    "parse_result",
]


class _Result:
    """What all results can do."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as a new dictionary.

        Example:
            >>> InstanceFilter(limit=10).to_dict()
            {'instance_ids': None, 'completed_before': None, 'limit': 10}
        """
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.repr}  # type: ignore[arg-type]


@dataclass(frozen=True)
class OrchestrationResult(_Result):
    """How an instance stands.

    Attributes:
        status (str): ``"Running"``, ``"Completed"``, ``"Failed"``, ``"NotFound"``.
        output (JSON value): what the orchestration returned; None unless Completed.
        error (str or None): text of the failure; None unless Failed.
        custom_status (str or None): the text that it set last, or None.
        custom_status_version (int): how often it was set or reset; 0 before the first.
        blocked (str or None): why it waits for other code (``on_nondeterminism="block"``), else None.

    Example:
        >>> client.start_orchestration("order-32", order, 40)
        >>> client.wait_for_orchestration("order-32")
        OrchestrationResult(status='Completed', output=40, error=None, custom_status=None, custom_status_version=0,
                            blocked=None)
    """

    status: str
    output: Any = None
    error: Optional[str] = None
    custom_status: Optional[str] = None
    custom_status_version: int = 0
    blocked: Optional[str] = None
    _failure: Optional[dict[str, Any]] = field(default=None, repr=False, compare=False)

    def raise_for_status(self) -> None:
        """Raise the failure when the instance Failed.

        Raises:
            OrchestrationError: or the subclass that fits; its text is ``error``.

        Example:
            >>> client.start_orchestration("order-33", order, 4000)
            >>> client.wait_for_orchestration("order-33").raise_for_status()
            Traceback (most recent call last):
            duroxide.OrchestrationError: ...ValueError: card declined...
            >>> client.get_status("nobody").raise_for_status()
        """
        if self.status == "Failed":
            raise self._error()

    def _error(self) -> OrchestrationError:
        f = self._failure or {}
        error = failure_error(
            f.get("kind", "orchestration"),
            self.error or "Orchestration failed",
            f.get("type", ""),
            f.get("traceback", ""),
            f.get("activity", ""),
            f.get("instance", ""),
            f.get("attempt", 1),
        )
        error.location = f.get("at", "")
        return error


@dataclass(frozen=True)
class OrchestrationStatus(_Result):
    """OrchestrationResult with the output as it is stored: JSON text. No call gives one; for code that names the class.

    Attributes:
        status (str): ``"Running"``, ``"Completed"``, ``"Failed"``, ``"NotFound"``.
        output (str or None): JSON text; None (default) unless Completed.
        error (str or None): text of the failure; None (default) unless Failed.
        custom_status (str or None): the text that it set last, or None (default).
        custom_status_version (int): how often it was set or reset; default 0.

    Example:
        >>> OrchestrationStatus("Completed", "[1, 2]")
        OrchestrationStatus(status='Completed', output='[1, 2]', error=None, custom_status=None,
                            custom_status_version=0)
    """

    status: str
    output: Optional[str] = None
    error: Optional[str] = None
    custom_status: Optional[str] = None
    custom_status_version: int = 0


@dataclass(frozen=True)
class InstanceInfo(_Result):
    """An instance.

    Attributes:
        instance_id (str): its id.
        orchestration_name, orchestration_version (str): what it runs.
        current_execution_id (int): from 1; continue_as_new begins another one.
        status (str): ``"Running"``, ``"Completed"`` or ``"Failed"``.
        output (str or None): text: the stored output, or that of the failure; None while it runs.
        created_at, updated_at (int): ms since the epoch.
        parent_instance_id (str or None): of the instance that waits for it, or None (default).
        blocked (str or None): why it waits for other code (``on_nondeterminism="block"``), else None (default).

    Example:
        >>> client.start_orchestration("order-34", order, 40)
        >>> client.wait_for_orchestration("order-34").output
        40
        >>> client.get_instance_info("order-34")
        InstanceInfo(instance_id='order-34', orchestration_name='order', orchestration_version='1.0.0',
                     current_execution_id=1, status='Completed', output='40', created_at=..., updated_at=...,
                     parent_instance_id=None, blocked=None)
    """

    instance_id: str
    orchestration_name: str
    orchestration_version: str
    current_execution_id: int
    status: str
    output: Optional[str]
    created_at: int
    updated_at: int
    parent_instance_id: Optional[str] = None
    blocked: Optional[str] = None


@dataclass(frozen=True)
class InstancePage(_Result):
    """A page of a list.

    Attributes:
        items (list[InstanceInfo]): the instances.
        next_cursor (str or None): what asks for the next page; None (default) on the last one.

    Example:
        >>> page = client.list_instances(name="nothing of this name")
        >>> page
        InstancePage(items=[], next_cursor=None)
    """

    items: list[InstanceInfo]
    next_cursor: Optional[str] = None


@dataclass(frozen=True)
class ExecutionInfo(_Result):
    """One execution of an instance: continue_as_new begins another one.

    Attributes:
        execution_id (int): which, from 1.
        status (str): ``"Running"``, ``"Completed"``, ``"Failed"`` or ``"ContinuedAsNew"``.
        output (str or None): text: the stored output, the input of the next execution, or that of the failure; None
            while it runs.
        started_at (int): ms since the epoch.
        completed_at (int or None): ms since the epoch; None while it runs.
        event_count (int): of its history.

    Example:
        >>> client.start_orchestration("order-35", order, 40)
        >>> client.wait_for_orchestration("order-35").output
        40
        >>> client.get_execution_info("order-35", 1)
        ExecutionInfo(execution_id=1, status='Completed', output='40', started_at=..., completed_at=...,
                      event_count=...)
    """

    execution_id: int
    status: str
    output: Optional[str]
    started_at: int
    completed_at: Optional[int]
    event_count: int


@dataclass(frozen=True)
class Event(_Result):
    """An event of a history.

    Attributes:
        event_id (int): position, from 1.
        kind (str): e.g. ``"ActivityScheduled"``.
        source_event_id (int or None): the event that it answers, or None.
        timestamp_ms (int): when it was recorded, in ms since the epoch.
        data (str or None): JSON text, or None.

    Example:
        >>> client.start_orchestration("order-36", order, 40)
        >>> client.wait_for_orchestration("order-36").output
        40
        >>> client.read_execution_history("order-36", 1)[2]
        Event(event_id=3, kind='ActivityCompleted', source_event_id=2, timestamp_ms=..., data=...)
    """

    event_id: int
    kind: str
    source_event_id: Optional[int]
    timestamp_ms: int
    data: Optional[str]
    _at: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class Waiting(_Result):
    """Something that an instance waits for.

    Attributes:
        kind (str): ``"activity"``, ``"timer"``, ``"event"``, ``"dequeue"``, ``"sub_orchestration"``; ``"code"`` for an
            instance that is blocked until code is deployed that fits its history.
        name (str or None): of the activity, event, queue or orchestration; the reason for ``"code"``; None for timers.
        event_id (int): the event that recorded it; 0 for ``"code"``.
        since (int): when, in ms since the epoch.
        due_at (int or None): when a timer is due, in ms since the epoch, else None.
        attempt (int or None): of a retry policy, from 1; None without one.
        location (str): ``file:line`` of the user's code that asked for it; empty when unknown.

    Example:
        >>> client.start_orchestration("approval-22", approval)
        >>> client.wait_for_status_change("approval-22").custom_status
        'waiting for a decision'
        >>> client.get_waiting("approval-22")
        [Waiting(kind='event', name='decision', event_id=3, since=..., due_at=None, attempt=None, location='...')]
    """

    kind: str
    name: Optional[str]
    event_id: int
    since: int
    due_at: Optional[int]
    attempt: Optional[int]
    location: str


@dataclass(frozen=True)
class SystemMetrics(_Result):
    """Counts over the whole store.

    Attributes:
        total_instances, total_executions (int): all of them.
        running_instances, completed_instances, failed_instances (int): by status.
        total_events (int): of all histories.

    Example:
        >>> Client(SqliteProvider.in_memory()).get_system_metrics()
        SystemMetrics(total_instances=0, total_executions=0, running_instances=0, completed_instances=0,
                      failed_instances=0, total_events=0)
    """

    total_instances: int
    total_executions: int
    running_instances: int
    completed_instances: int
    failed_instances: int
    total_events: int


@dataclass(frozen=True)
class SystemStats(_Result):
    """Sizes of one instance; history is that of its current execution.

    Attributes:
        history_event_count (int): how many events.
        history_size_bytes (int): their size as they are stored.
        queue_pending_count (int): messages in its queues that nobody has taken.
        kv_user_key_count (int): keys that it set.
        kv_total_value_bytes (int): the size of their values.

    Example:
        >>> client.start_orchestration("order-37", order, 40)
        >>> client.wait_for_orchestration("order-37").output
        40
        >>> client.get_orchestration_stats("order-37")
        SystemStats(history_event_count=..., history_size_bytes=..., queue_pending_count=0, kv_user_key_count=1,
                    kv_total_value_bytes=2)
    """

    history_event_count: int
    history_size_bytes: int
    queue_pending_count: int
    kv_user_key_count: int
    kv_total_value_bytes: int


@dataclass(frozen=True)
class QueueDepths(_Result):
    """What waits in the store. Mail that nobody waits for is not counted.

    Attributes:
        orchestrator_queue (int): messages that are due.
        worker_queue (int): jobs that no worker has taken.
        timer_queue (int): timers that are not yet due.

    Example:
        >>> Client(SqliteProvider.in_memory()).get_queue_depths()
        QueueDepths(orchestrator_queue=0, worker_queue=0, timer_queue=0)
    """

    orchestrator_queue: int
    worker_queue: int
    timer_queue: int


@dataclass(frozen=True)
class InstanceTree(_Result):
    """An instance with all its descendants, parents before children.

    Attributes:
        root_id (str): the instance that was asked for.
        all_ids (list[str]): its id and those of its descendants.
        size (int): how many.

    Example:
        >>> client.start_orchestration("order-38", order, 40)
        >>> client.get_instance_tree("order-38")
        InstanceTree(root_id='order-38', all_ids=['order-38'], size=1)
    """

    root_id: str
    all_ids: list[str]
    size: int


@dataclass(frozen=True)
class DeleteInstanceResult(_Result):
    """What a deletion removed.

    Attributes:
        instances_deleted, executions_deleted, events_deleted, queue_messages_deleted (int): how many of each.

    Example:
        >>> client.start_orchestration("order-39", order, 40)
        >>> client.wait_for_orchestration("order-39").output
        40
        >>> client.delete_instance("order-39")
        DeleteInstanceResult(instances_deleted=1, executions_deleted=1, events_deleted=..., queue_messages_deleted=...)
    """

    instances_deleted: int
    executions_deleted: int
    events_deleted: int
    queue_messages_deleted: int


@dataclass(frozen=True)
class PruneResult(_Result):
    """What pruning removed.

    Attributes:
        instances_processed (int): how many were looked at.
        executions_deleted, events_deleted (int): how many of each.

    Example:
        >>> client.start_orchestration("order-40", order, 40)
        >>> client.wait_for_orchestration("order-40").output
        40
        >>> client.prune_executions("order-40")
        PruneResult(instances_processed=1, executions_deleted=0, events_deleted=0)
    """

    instances_processed: int
    executions_deleted: int
    events_deleted: int


@dataclass(frozen=True)
class PruneOptions(_Result):
    """Which executions are pruned: those that fit all conditions given. The current one always stays.

    Attributes:
        keep_last (int or None): how many of the youngest stay, the current one included; None (default), 0 and 1 are
            the same.
        completed_before (int or None): only those that ended before, in ms since the epoch; default None: whenever.

    Example:
        >>> client.start_orchestration("countdown-10", countdown, 4)
        >>> client.wait_for_orchestration("countdown-10").output
        'liftoff'
        >>> old = PruneOptions(keep_last=2, completed_before=1_000_000_000_000)
        >>> client.prune_executions("countdown-10", old).executions_deleted
        0
    """

    keep_last: Optional[int] = None
    completed_before: Optional[int] = None


@dataclass(frozen=True)
class InstanceFilter(_Result):
    """Which instances: those that fit all conditions given.

    Attributes:
        instance_ids (list[str] or None): only these; default None: any.
        completed_before (int or None): only those that ended before, in ms since the epoch; default None: whenever.
        limit (int or None): at most so many; None (default) = 1,000.

    Example:
        >>> long_ago = 1_000_000_000_000
        >>> old = InstanceFilter(completed_before=long_ago, limit=100)
        >>> client.delete_instance_bulk(old).instances_deleted
        0
        >>> client.delete_instance_bulk(InstanceFilter(instance_ids=["nobody"])).instances_deleted
        0
    """

    instance_ids: Optional[list[str]] = None
    completed_before: Optional[int] = None
    limit: Optional[int] = None


@dataclass(frozen=True)
class MetricsSnapshot(_Result):
    """What a runtime counted since it started. Also read by key: ``snapshot["orch_starts"]``.

    Attributes:
        orch_starts (int): instances that began.
        orch_completions (int): instances that completed.
        orch_failures (int): instances that failed, for any reason.
        orch_application_errors (int): of these, by their own code.
        orch_infrastructure_errors (int): of these, by the infrastructure.
        orch_configuration_errors (int): of these, by code that is missing or does not fit the history.
        orch_poison (int): of these, given up after processes died over them.
        orch_continue_as_new (int): executions that continued as new.
        suborchestration_calls (int): children asked for.
        activity_success (int): runs of activities whose result was wanted.
        activity_app_errors (int): activities that raised.
        activity_infra_errors (int): activities that failed by the infrastructure.
        activity_config_errors (int): activities that are not registered.
        activity_poison (int): activities given up after processes died over them.
        orch_dispatcher_items_fetched (int): instances taken for a turn.
        worker_dispatcher_items_fetched (int): jobs claimed.
        provider_errors (int): calls of the storage that failed.

    Example:
        >>> run(order, 40)
        40
        >>> snapshot = runtime.metrics_snapshot()
        >>> snapshot.activity_success > 0, snapshot["activity_success"] == snapshot.activity_success
        (True, True)
        >>> snapshot
        MetricsSnapshot(orch_starts=..., orch_completions=..., orch_failures=..., orch_application_errors=...,
                        orch_infrastructure_errors=..., orch_configuration_errors=..., orch_poison=...,
                        orch_continue_as_new=..., suborchestration_calls=..., activity_success=...,
                        activity_app_errors=..., activity_infra_errors=..., activity_config_errors=...,
                        activity_poison=..., orch_dispatcher_items_fetched=..., worker_dispatcher_items_fetched=...,
                        provider_errors=...)
    """

    orch_starts: int = 0
    orch_completions: int = 0
    orch_failures: int = 0
    orch_application_errors: int = 0
    orch_infrastructure_errors: int = 0
    orch_configuration_errors: int = 0
    orch_poison: int = 0
    orch_continue_as_new: int = 0
    suborchestration_calls: int = 0
    activity_success: int = 0
    activity_app_errors: int = 0
    activity_infra_errors: int = 0
    activity_config_errors: int = 0
    activity_poison: int = 0
    orch_dispatcher_items_fetched: int = 0
    worker_dispatcher_items_fetched: int = 0
    provider_errors: int = 0

    def keys(self) -> list[str]:
        """The names of the counters.

        Example:
            >>> "orch_starts" in runtime.metrics_snapshot().keys()
            True
        """
        return [f.name for f in dataclasses.fields(self)]

    def __getitem__(self, name: str) -> int:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        value: int = getattr(self, name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self.__dataclass_fields__

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)


def parse_result(result: Any) -> Any:
    """Unpack what ``ctx.all`` gives.

    Args:
        result (JSON value): ``{"ok": value}`` becomes the value, also in a list; anything else stays, an
            ``{"err": text}`` in a list too.

    Raises:
        Exception: ``{"err": text}`` alone.

    Example:
        >>> parse_result([{"ok": 1}, {"err": "card declined"}])
        [1, {'err': 'card declined'}]
        >>> parse_result({"err": "card declined"})
        Traceback (most recent call last):
        Exception: card declined
    """
    if isinstance(result, list):
        return [member["ok"] if isinstance(member, dict) and "ok" in member else member for member in result]
    if isinstance(result, dict):
        if "ok" in result:
            return result["ok"]
        if "err" in result:
            raise Exception(result["err"])
    return result
