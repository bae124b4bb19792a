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
        """The fields by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.repr}  # type: ignore[arg-type]


@dataclass(frozen=True)
class OrchestrationResult(_Result):
    """How an instance stands.

    Attributes:
        status: ``"Running"``, ``"Completed"``, ``"Failed"``, ``"NotFound"``.
        output: what the orchestration returned; None unless Completed.
        error: text of the failure; None unless Failed.
        custom_status: the text that it set last, or None.
        custom_status_version: how often it was set or reset; 0 before the first.
        blocked: why it waits for other code (``on_nondeterminism="block"``), else None.
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
    """OrchestrationResult with the output as it is stored: JSON text."""

    status: str
    output: Optional[str] = None
    error: Optional[str] = None
    custom_status: Optional[str] = None
    custom_status_version: int = 0


@dataclass(frozen=True)
class InstanceInfo(_Result):
    """An instance.

    Attributes:
        output: text: the stored output, or that of the failure; None while it runs.
        created_at, updated_at: ms since the epoch.
        blocked: why it waits for other code (``on_nondeterminism="block"``), else None.
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
    """A page of a list. ``next_cursor`` is None on the last one."""

    items: list[InstanceInfo]
    next_cursor: Optional[str] = None


@dataclass(frozen=True)
class ExecutionInfo(_Result):
    """One execution of an instance: continue_as_new begins another one. ``completed_at`` is None while it runs."""

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
        event_id: position, from 1.
        kind: e.g. ``"ActivityScheduled"``.
        source_event_id: the event that it answers, or None.
        timestamp_ms: when it was recorded.
        data: JSON text, or None.
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
        kind: ``"activity"``, ``"timer"``, ``"event"``, ``"dequeue"``, ``"sub_orchestration"``; ``"code"`` for an
            instance that is blocked until code is deployed that fits its history.
        name: of the activity, event, queue or orchestration; the reason for ``"code"``; None for timers.
        event_id: the event that recorded it; 0 for ``"code"``.
        since: when (ms since the epoch).
        due_at: when a timer is due (ms since the epoch), else None.
        attempt: of a retry policy, from 1; None without one.
        location: ``file:line`` of the user's code that asked for it; empty when unknown.
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
    """Counts over the whole store."""

    total_instances: int
    total_executions: int
    running_instances: int
    completed_instances: int
    failed_instances: int
    total_events: int


@dataclass(frozen=True)
class SystemStats(_Result):
    """Sizes of one instance; history is that of its current execution."""

    history_event_count: int
    history_size_bytes: int
    queue_pending_count: int
    kv_user_key_count: int
    kv_total_value_bytes: int


@dataclass(frozen=True)
class QueueDepths(_Result):
    """What waits: due messages, unclaimed jobs, timers not yet due. Mail that nobody waits for is not counted."""

    orchestrator_queue: int
    worker_queue: int
    timer_queue: int


@dataclass(frozen=True)
class InstanceTree(_Result):
    """An instance with all its descendants, parents before children."""

    root_id: str
    all_ids: list[str]
    size: int


@dataclass(frozen=True)
class DeleteInstanceResult(_Result):
    """What a deletion removed."""

    instances_deleted: int
    executions_deleted: int
    events_deleted: int
    queue_messages_deleted: int


@dataclass(frozen=True)
class PruneResult(_Result):
    """What pruning removed."""

    instances_processed: int
    executions_deleted: int
    events_deleted: int


@dataclass(frozen=True)
class PruneOptions(_Result):
    """Which executions are pruned: those that fit all conditions given. The current one always stays.

    Attributes:
        keep_last: how many of the youngest stay, the current one included; None, 0 and 1 are the same.
        completed_before: only those that ended before (ms since the epoch).
    """

    keep_last: Optional[int] = None
    completed_before: Optional[int] = None


@dataclass(frozen=True)
class InstanceFilter(_Result):
    """Which instances: those that fit all conditions given.

    Attributes:
        instance_ids: only these.
        completed_before: only those that ended before (ms since the epoch).
        limit: at most so many; None = 1,000.
    """

    instance_ids: Optional[list[str]] = None
    completed_before: Optional[int] = None
    limit: Optional[int] = None


@dataclass(frozen=True)
class MetricsSnapshot(_Result):
    """What a runtime counted since it started. Also read by key: ``snapshot["orch_starts"]``."""

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
        """The names of the counters."""
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


def parse_result(value: Any) -> Any:
    """Unpack what ``ctx.all`` gives.

    A list of ``{"ok": value}`` becomes the list of values, ``{"ok": value}`` the value; anything else stays.

    Raises:
        Exception: ``{"err": text}``, alone or in the list.
    """
    if isinstance(value, list):
        return [v if isinstance(v, list) else parse_result(v) for v in value]
    if isinstance(value, dict) and len(value) == 1:
        if "ok" in value:
            return value["ok"]
        if "err" in value:
            raise Exception(value["err"])
    return value
