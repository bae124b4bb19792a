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
from duroxide._names import EVERYWHERE, name_bytes
from duroxide._tasks import Made, ScheduledTask
from duroxide._typed_forms import TypedForms

__all__ = ["OrchestrationContext"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

READ_KV = "__duroxide_syscall:get_kv_value"
"""Name of the activity behind get_kv_value_from_instance; every runtime has it."""


class _NothingKept(list):  # type: ignore[type-arg]
    """The list of dropped tasks of a context without an engine: nobody is told of them."""

    __slots__ = ()

    def append(self, _: Any) -> None:
        pass


class OrchestrationContext(ActivityCalls, OrchestrationCalls, TypedForms):
    """What an orchestration function asks the engine through.

    Methods that give a task do nothing until the task is yielded. All others act at once. All others raise
    RuntimeStateError outside the orchestration's own code, and on another thread.

    A context made by hand, ``OrchestrationContext({"instance_id": "test-1"})``, has no engine behind it: its immediate
    calls reach nobody, so that a generator can be stepped by hand in a unit test.

    Args:
        fields (dict or None): ``instance_id``, ``execution_id``, ``orchestration_name``, ``orchestration_version``,
            ``parent_instance_id``; each may be missing. Default None: all are.

    Attributes:
        instance_id (str): of this instance.
        execution_id (int): of this execution, from 1; continue_as_new begins another one.
        orchestration_name, orchestration_version (str): what runs.
        parent_instance_id (str or None): of the instance that waits for this one, or None.

    Example:
        >>> def flow(ctx, input):
        ...     yield ctx.schedule_timer(1)
        ...     return [ctx.orchestration_name, ctx.orchestration_version, ctx.execution_id, ctx.parent_instance_id]
        >>> run(flow)
        ['any_workflow', '1.0.0', 1, None]
        >>> steps = approval(OrchestrationContext({"instance_id": "test-1"}), None)  # in a unit test
        >>> next(steps)
        <ScheduledTask waitEvent 'decision'>
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
        self._open = 0
        self._dropped: list[Optional[Made]] = _NothingKept()
        self._names = EVERYWHERE
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
        """Whether the code runs over what its history already holds (bool). For what is not to be done twice; prefer
        activities.

        Example:
            >>> def flow(ctx, input):
            ...     yield ctx.schedule_timer(1)
            ...     return ctx.is_replaying
            >>> run(flow)
            False
        """
        return bool(self._replaying) and self._recorded <= self._remaining

    @property
    def current_utc(self) -> datetime.datetime:
        """The time of the last event that this code has seen, an aware ``datetime`` in UTC. The same in every replay.

        Example:
            >>> def flow(ctx, input):
            ...     asked = ctx.current_utc
            ...     yield ctx.schedule_timer(20)
            ...     return (ctx.current_utc - asked).total_seconds() >= 0.02
            >>> run(flow)
            True
        """
        return _EPOCH + datetime.timedelta(milliseconds=self._now_ms)

    # Timers and messages

    def schedule_timer(self, delay_ms: Milliseconds) -> ScheduledTask[None]:
        """Wait for a time; survives restarts. Yields back None.

        Args:
            delay_ms (int or timedelta): how long at least, in ms or as a timedelta.

        Raises:
            TypeError, ValueError: no int >= 0 and no timedelta (at the call).

        Example:
            >>> from datetime import timedelta
            >>> def flow(ctx, input):
            ...     yield ctx.schedule_timer(10)
            ...     yield ctx.schedule_timer(timedelta(milliseconds=10))
            ...     return "waited"
            >>> run(flow)
            'waited'
        """
        extras = Extras(number=milliseconds(delay_ms, "delay_ms"))
        return ScheduledTask(self, _frames.T_TIMER, b"", b"", extras)

    def wait_for_event(self, name: str) -> ScheduledTask[Any]:
        """Wait for an event that a client raises. Yields back its data.

        Events of a name are matched with the waits of that name in order. One that comes while nobody waits is dropped.

        Args:
            name (str): what ``client.raise_event`` names.

        Raises:
            InvalidArgument: a name that is not valid (at the call).

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_custom_status("waiting")
            ...     return (yield ctx.wait_for_event("go"))
            >>> id = start(flow)
            >>> client.wait_for_status_change(id).custom_status
            'waiting'
            >>> client.raise_event(id, "go", {"speed": 3})
            >>> client.wait_for_orchestration(id).output
            {'speed': 3}
        """
        return ScheduledTask(self, _frames.T_EVENT, name_bytes(name, "name of the event"))

    def dequeue_event(self, queue_name: str) -> ScheduledTask[Any]:
        """Take the next message of a queue of this instance. Yields back its data.

        Messages wait in order until they are taken, also over continue_as_new.

        Args:
            queue_name (str): what ``client.enqueue_event`` names.

        Raises:
            InvalidArgument: a name that is not valid (at the call).

        Example:
            >>> def flow(ctx, input):
            ...     first = yield ctx.dequeue_event("mail")
            ...     second = yield ctx.dequeue_event("mail")
            ...     return [first, second]
            >>> id = start(flow)
            >>> client.enqueue_event(id, "mail", "one")
            >>> client.enqueue_event(id, "mail", "two")
            >>> client.wait_for_orchestration(id).output
            ['one', 'two']
        """
        return ScheduledTask(self, _frames.T_DEQUEUE, name_bytes(queue_name, "name of the queue"))

    # Other instances

    def get_kv_value_from_instance(self, instance_id: str, key: str) -> ScheduledTask[Optional[str]]:
        """Read a key of another instance. Yields back its value at that time, or None; recorded like an activity.

        Args:
            instance_id (str): of the other instance.
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: an id or key that is not valid (at the call).
            TypeError, ValueError: the codec does not take them (at the call).
            ActivityError: the value cannot be read (at the yield).

        Example:
            >>> def flow(ctx, amount):
            ...     child = f"{ctx.instance_id}-order"
            ...     yield ctx.schedule_sub_orchestration_with_id(order, child, amount)
            ...     return (yield ctx.get_kv_value_from_instance(child, "charged"))
            >>> run(flow, 10)
            '10'
        """
        known = identifier(instance_id, "instance_id", MAX_NAMED_ID_BYTES)
        asked = [known, self._kv_key(key).decode()]
        payload = self._payloads.encode(asked, "input of get_kv_value_from_instance")
        return ScheduledTask(self, _frames.T_ACTIVITY, READ_KV.encode(), payload)

    # Time and chance

    def utc_now(self) -> ScheduledTask[int]:
        """The time now, in ms since the epoch (int), recorded: the same in every replay.

        Example:
            >>> def flow(ctx, input):
            ...     now = yield ctx.utc_now()
            ...     return now > 1_600_000_000_000
            >>> run(flow)
            True
        """
        return ScheduledTask(self, _frames.T_CLOCK)

    def new_guid(self) -> ScheduledTask[str]:
        """A random UUID (str of 36 characters), recorded: the same in every replay.

        Example:
            >>> def flow(ctx, input):
            ...     return (yield ctx.new_guid())
            >>> len(run(flow))
            36
        """
        return ScheduledTask(self, _frames.T_GUID)

    # Composition

    def all(self, tasks: Iterable[Any]) -> ScheduledTask[list[dict[str, Any]]]:
        """Wait for all. Yields back, in order, ``{"ok": value}`` or ``{"err": text}`` for each.

        Args:
            tasks (list): tasks of any kind, nested ones too, and fresh generators: branches that take steps of their
                own.

        Raises:
            TypeError: no list of tasks (at the call), or a member that is no task (at the yield).

        Example:
            >>> def flow(ctx, input):
            ...     return (yield ctx.all([ctx.schedule_activity(charge, amount) for amount in (10, 4000)]))
            >>> run(flow)
            [{'ok': {'charged': 10}}, {'err': "Activity 'charge' call failed: ValueError: card declined"}]
        """
        return ScheduledTask(self, _frames.T_ALL, members=_members(tasks, "ctx.all"))

    def race(self, *tasks: Any) -> ScheduledTask[dict[str, Any]]:
        """Wait for the first. Yields back ``{"index": its position, "value": its value}``; the others are cancelled.

        A winner that failed raises what it would raise alone.

        Args:
            *tasks (ScheduledTask or generator): one or more tasks of any kind, nested ones and generators too; or one
                list of them.

        Raises:
            ValueError: no task (at the call).
            TypeError: a member that is no task (at the yield).

        Example:
            >>> def flow(ctx, input):
            ...     return (yield ctx.race(ctx.wait_for_event("answer"), ctx.schedule_timer(10)))
            >>> run(flow)
            {'index': 1, 'value': None}
        """
        return ScheduledTask(self, _frames.T_RACE, members=_racers(tasks, "ctx.race"))

    def all_typed(self, tasks: Iterable[Any]) -> ScheduledTask[list[Any]]:
        """all that yields back the values themselves; a failed member stays ``{"err": text}``.

        Args:
            tasks (list): tasks of any kind, nested ones too, and fresh generators: branches that take steps of their
                own.

        Raises:
            TypeError: no list of tasks (at the call), or a member that is no task (at the yield).

        Example:
            >>> def flow(ctx, input):
            ...     return (yield ctx.all_typed([ctx.schedule_activity(greet, name) for name in ("Ada", "Grace")]))
            >>> run(flow)
            ['Hello, Ada!', 'Hello, Grace!']
        """
        members = _members(tasks, "ctx.all_typed")
        return ScheduledTask(self, _frames.T_ALL, members=members, convert=_unwrap)

    def race_typed(self, *tasks: Any) -> ScheduledTask[dict[str, Any]]:
        """The same as race.

        Args:
            *tasks (ScheduledTask or generator): one or more tasks of any kind, nested ones and generators too; or one
                list of them.

        Raises:
            ValueError: no task (at the call).
            TypeError: a member that is no task (at the yield).

        Example:
            >>> def flow(ctx, input):
            ...     first = yield ctx.race_typed([ctx.schedule_activity(greet, "Ada"), ctx.schedule_timer(60_000)])
            ...     return first["value"]
            >>> run(flow)
            'Hello, Ada!'
        """
        return ScheduledTask(self, _frames.T_RACE, members=_racers(tasks, "ctx.race_typed"))


def _members(tasks: Iterable[Any], call: str) -> list[Any]:
    if isinstance(tasks, ScheduledTask):
        raise TypeError(f"{call} takes one list of tasks: {call}([a, b])")
    try:
        members = list(tasks)
    except TypeError:
        raise TypeError(f"{call} takes one list of tasks, got {type(tasks).__name__}") from None
    for member in members:
        if isinstance(member, ScheduledTask) and not member._used:
            member._use()
    return members


def _racers(tasks: tuple[Any, ...], call: str) -> list[Any]:
    if len(tasks) == 1 and isinstance(tasks[0], (list, tuple)):
        tasks = tuple(tasks[0])
    if not tasks:
        raise ValueError(f"{call} needs at least one task")
    return _members(tasks, call)


def _unwrap(results: list[dict[str, Any]]) -> list[Any]:
    return [r.get("ok", r) for r in results]
