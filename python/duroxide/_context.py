"""The context of orchestration functions."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from duroxide import _frames
from duroxide._codec import (
    MAX_NAMED_ID_BYTES,
    Milliseconds,
    identifier,
    milliseconds,
)
from duroxide._context_activities import ActivityCalls
from duroxide._context_orchestrations import OrchestrationCalls
from duroxide._frames import Extras
from duroxide._scheduling import name_bytes
from duroxide._tasks import ScheduledTask
from duroxide._typed_forms import TypedForms

__all__ = ["OrchestrationContext"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

READ_KV = "duroxide:get_kv_value"
"""Name of the activity behind get_kv_value_from_instance; every runtime has it."""


class _NothingMade(list):  # type: ignore[type-arg]
    """The list of made tasks of a context without an engine: it keeps none."""

    __slots__ = ()

    def append(self, _: Any) -> None:
        pass


class OrchestrationContext(ActivityCalls, OrchestrationCalls, TypedForms):
    """What an orchestration function asks the engine through.

    Methods that give a task do nothing until the task is yielded. The others act at once.

    A context made by hand, ``OrchestrationContext({"instance_id": "test-1"})``, has no engine behind it: its
    immediate calls reach nobody, so that a generator can be stepped by hand in a unit test.

    Args:
        fields: ``instance_id``, ``execution_id``, ``orchestration_name``, ``orchestration_version``; each may be
            missing.
    """

    __slots__ = (
        "__weakref__",
        "_remaining",
        "_replaying",
        "execution_id",
        "orchestration_name",
        "orchestration_version",
        "parent_instance_id",
    )

    def __init__(self, fields: Optional[Mapping[str, Any]] = None) -> None:
        fields = fields or {}

        def field(name: str, camel: str, default: Any) -> Any:
            return fields.get(name, fields.get(camel, default))

        super().__init__(field("instance_id", "instanceId", ""))
        self.execution_id: int = int(field("execution_id", "executionId", 1))
        self.orchestration_name: str = field("orchestration_name", "orchestrationName", "")
        self.orchestration_version: str = field("orchestration_version", "orchestrationVersion", "")
        self.parent_instance_id: Optional[str] = field("parent_instance_id", "parentInstanceId", None)
        self._made: list[ScheduledTask[Any]] = _NothingMade()
        self._replaying = False
        self._remaining = 0

    def __repr__(self) -> str:
        return (
            f"<OrchestrationContext {self.orchestration_name!r} of instance {self.instance_id!r}, "
            f"execution {self.execution_id}>"
        )

    # What code may know

    @property
    def is_replaying(self) -> bool:
        """Whether the code runs over what its history already holds."""
        return self._replaying and self._recorded <= self._remaining

    @property
    def current_utc(self) -> datetime.datetime:
        """The time of the last event that this code has seen, aware, in UTC. The same in every replay."""
        return _EPOCH + datetime.timedelta(milliseconds=self._now_ms)

    # Timers and messages

    def schedule_timer(self, delay_ms: Milliseconds) -> ScheduledTask[None]:
        """Wait at least ``delay_ms`` milliseconds (or a timedelta); survives restarts. Yields back None.

        Raises:
            TypeError, ValueError: no int >= 0 and no timedelta (at the call).
        """
        extras = Extras(number=milliseconds(delay_ms, "delay_ms"))
        return ScheduledTask(self, _frames.T_TIMER, b"", b"", extras)

    def wait_for_event(self, name: str) -> ScheduledTask[Any]:
        """Wait for an event that a client raises. Yields back its data.

        Events of a name are matched with the waits of that name in order.
        """
        return ScheduledTask(self, _frames.T_EVENT, name_bytes(name, "name of the event"))

    def dequeue_event(self, queue_name: str) -> ScheduledTask[Any]:
        """Take the next message of a queue of this instance. Yields back its data.

        Messages wait in order until they are taken, also over continue_as_new.
        """
        return ScheduledTask(self, _frames.T_DEQUEUE, name_bytes(queue_name, "name of the queue"))

    # Other instances

    def get_kv_value_from_instance(self, instance_id: str, key: str) -> ScheduledTask[Optional[str]]:
        """Read a key of another instance. Yields back its value at that time, or None; recorded like an activity."""
        known = identifier(instance_id, "instance_id", MAX_NAMED_ID_BYTES)
        asked = [known, self._kv_key(key).decode()]
        payload = self._payloads.encode(asked, "input of get_kv_value_from_instance")
        return ScheduledTask(self, _frames.T_ACTIVITY, READ_KV.encode(), payload)

    # Time and chance

    def utc_now(self) -> ScheduledTask[int]:
        """The time now, in ms since the epoch, recorded: the same in every replay."""
        return ScheduledTask(self, _frames.T_CLOCK)

    def new_guid(self) -> ScheduledTask[str]:
        """A random UUID (36 characters), recorded: the same in every replay."""
        return ScheduledTask(self, _frames.T_GUID)

    # Composition

    def all(self, tasks: Iterable[Any]) -> ScheduledTask[list[dict[str, Any]]]:
        """Wait for all. Yields back, in order, ``{"ok": value}`` or ``{"err": text}`` for each.

        Args:
            tasks: tasks of any kind, nested ones too, and fresh generators: branches that take steps of their own.
        """
        return ScheduledTask(self, _frames.T_ALL, members=_members(tasks, "ctx.all"))

    def race(self, *tasks: Any) -> ScheduledTask[dict[str, Any]]:
        """Wait for the first. Yields back ``{"index": its position, "value": its value}``; the others are cancelled.

        A winner that failed raises what it would raise alone.

        Args:
            tasks: one or more tasks of any kind, nested ones and generators too; or one list of them.

        Raises:
            ValueError: no task.
        """
        return ScheduledTask(self, _frames.T_RACE, members=_racers(tasks, "ctx.race"))

    def all_typed(self, tasks: Iterable[Any]) -> ScheduledTask[list[Any]]:
        """all that yields back the values themselves; a failed member stays ``{"err": text}``."""
        members = _members(tasks, "ctx.all_typed")
        return ScheduledTask(self, _frames.T_ALL, members=members, convert=_unwrap)

    def race_typed(self, *tasks: Any) -> ScheduledTask[dict[str, Any]]:
        """The same as race."""
        return ScheduledTask(self, _frames.T_RACE, members=_racers(tasks, "ctx.race_typed"))


def _members(tasks: Iterable[Any], call: str) -> list[Any]:
    if isinstance(tasks, ScheduledTask):
        raise TypeError(f"{call} takes one list of tasks: {call}([a, b])")
    try:
        members = list(tasks)
    except TypeError:
        raise TypeError(f"{call} takes one list of tasks, got {type(tasks).__name__}") from None
    for member in members:
        if isinstance(member, ScheduledTask):
            member._used = True
    return members


def _racers(tasks: tuple[Any, ...], call: str) -> list[Any]:
    if len(tasks) == 1 and isinstance(tasks[0], (list, tuple)):
        tasks = tuple(tasks[0])
    if not tasks:
        raise ValueError(f"{call} needs at least one task")
    return _members(tasks, call)


def _unwrap(results: list[dict[str, Any]]) -> list[Any]:
    return [r.get("ok", r) for r in results]
