"""The context of orchestration functions."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Callable, NoReturn, Optional, TypeVar, Union

from duroxide import _frames
from duroxide._codec import (
    MAX_NAMED_ID_BYTES,
    Milliseconds,
    encode,
    encode_typed,
    identifier,
    milliseconds,
    name_of,
    semver,
)
from duroxide._frames import Extras
from duroxide._immediate import ImmediateCalls
from duroxide._retry import retry_policy
from duroxide._tasks import ScheduledTask
from duroxide._typed import converter

__all__ = ["OrchestrationContext"]

T = TypeVar("T")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

READ_KV = "duroxide:get_kv_value"
"""Name of the activity behind get_kv_value_from_instance; every runtime has it."""

_known_names: dict[Any, bytes] = {}
_MAX_KNOWN_NAMES = 10_000


def _name(value: object, what: str) -> bytes:
    """The bytes of a name, checked once for each."""
    try:
        known = _known_names.get(value)
        if known is not None and type(value) is str:
            return known
    except TypeError:
        pass  # not hashable, so no name: the check below says so
    name = name_of(value, what).encode()
    if type(value) is str:
        if len(_known_names) >= _MAX_KNOWN_NAMES:
            _known_names.clear()
        _known_names[value] = name
    return name


class _NothingMade(list):  # type: ignore[type-arg]
    """The list of made tasks of a context without an engine: it keeps none."""

    __slots__ = ()

    def append(self, _: Any) -> None:
        pass


class OrchestrationContext(ImmediateCalls):
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
        "_made",
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

    # Activities

    def schedule_activity(
        self,
        name: Union[str, Callable[..., Any]],
        input: Any = None,
        session_id: Optional[str] = None,
        *,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[Any]:
        """Run an activity. Yields back its result.

        Args:
            name: name it is registered under, or the registered function itself.
            input: anything JSON takes.
            session_id: run it where the other activities of this session run.
            timeout_ms: fail with ActivityTimeout when one run takes longer; default: that of the runtime.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            ActivityError: the activity failed (at the yield).
        """
        extras = None
        if session_id is not None or timeout_ms is not None:
            extras = _activity_extras(session_id, timeout_ms)
        name_bytes = _name(name, "name of the activity")
        payload = b"null" if input is None else encode(input, "input of schedule_activity", name)
        return ScheduledTask(self, 0, name_bytes, payload, extras)

    def schedule_activity_on_session(
        self, name: Union[str, Callable[..., Any]], input: Any, session_id: str
    ) -> ScheduledTask[Any]:
        """Run an activity in a session: where all activities of the session run, one after another.

        Args, results and errors are those of schedule_activity.
        """
        payload = encode(input, "input of schedule_activity_on_session", name)
        extras = _on_session(session_id)
        return ScheduledTask(self, _frames.T_ACTIVITY, _name(name, "name of the activity"), payload, extras)

    def schedule_activity_with_retry(
        self, name: Union[str, Callable[..., Any]], input: Any, retry: Mapping[str, Any]
    ) -> ScheduledTask[Any]:
        """Run an activity again when it fails. Yields back the first result.

        Args:
            name: name of the activity, or the registered function.
            input: anything JSON takes.
            retry: ``max_attempts`` (default 3), ``backoff`` or ``backoff_strategy`` (``"exponential"``, the default:
                100 ms, doubled up to 30 s; ``"fixed"``: 1 s; ``"linear"``: 100 ms per attempt up to 30 s;
                ``"none"``), ``timeout_ms`` of each attempt, ``total_timeout_ms`` of all, ``initial_ms``,
                ``max_ms``, ``multiplier``, ``jitter`` (share of a pause that is drawn, 0 to 1). camelCase spellings
                are taken too.

        Raises:
            ValueError: an unknown key or value, or ``max_attempts`` below 1 (at the call).
            ActivityError, ActivityTimeout: the last attempt's failure, or time ran out (at the yield).
        """
        payload = encode(input, "input of schedule_activity_with_retry", name)
        extras = Extras(retry=retry_policy(retry))
        return ScheduledTask(self, _frames.T_ACTIVITY, _name(name, "name of the activity"), payload, extras)

    def schedule_activity_with_retry_on_session(
        self,
        name: Union[str, Callable[..., Any]],
        input: Any,
        retry: Mapping[str, Any],
        session_id: str,
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry with all attempts in one session."""
        payload = encode(input, "input of schedule_activity_with_retry_on_session", name)
        extras = _on_session(session_id)
        extras.retry = retry_policy(retry)
        return ScheduledTask(self, _frames.T_ACTIVITY, _name(name, "name of the activity"), payload, extras)

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
        return ScheduledTask(self, _frames.T_EVENT, _name(name, "name of the event"))

    def dequeue_event(self, queue_name: str) -> ScheduledTask[Any]:
        """Take the next message of a queue of this instance. Yields back its data.

        Messages wait in order until they are taken, also over continue_as_new.
        """
        return ScheduledTask(self, _frames.T_DEQUEUE, _name(queue_name, "name of the queue"))

    # Other orchestrations

    def schedule_sub_orchestration(self, name: Union[str, Callable[..., Any]], input: Any = None) -> ScheduledTask[Any]:
        """Run a child and wait for it. Yields back its output.

        Raises:
            SubOrchestrationError: the child failed (at the yield); the text is that of its failure.
            Cancelled: the child was cancelled (at the yield).
        """
        payload = encode(input, "input of schedule_sub_orchestration", name)
        return ScheduledTask(self, _frames.T_CHILD, _name(name, "name of the orchestration"), payload)

    def schedule_sub_orchestration_with_id(
        self, name: Union[str, Callable[..., Any]], instance_id: str, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration under an id of your own. An id that is in use fails the call."""
        payload = encode(input, "input of schedule_sub_orchestration_with_id", name)
        extras = Extras(instance=identifier(instance_id, "instance_id"))
        return ScheduledTask(self, _frames.T_CHILD, _name(name, "name of the orchestration"), payload, extras)

    def schedule_sub_orchestration_versioned(
        self,
        name: Union[str, Callable[..., Any]],
        version: Optional[str] = None,
        input: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version; None = the latest when the child starts."""
        payload = encode(input, "input of schedule_sub_orchestration_versioned", name)
        extras = Extras(version=None if version is None else semver(version))
        return ScheduledTask(self, _frames.T_CHILD, _name(name, "name of the orchestration"), payload, extras)

    def schedule_sub_orchestration_versioned_with_id(
        self,
        name: Union[str, Callable[..., Any]],
        version: Optional[str],
        instance_id: str,
        input: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version and under an id of your own."""
        payload = encode(input, "input of schedule_sub_orchestration_versioned_with_id", name)
        extras = Extras(
            version=None if version is None else semver(version),
            instance=identifier(instance_id, "instance_id"),
        )
        return ScheduledTask(self, _frames.T_CHILD, _name(name, "name of the orchestration"), payload, extras)

    def start_orchestration(
        self, name: Union[str, Callable[..., Any]], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """Start an orchestration that goes its own way. Yields back None; an id in use starts nothing."""
        payload = encode(input, "input of start_orchestration", name)
        extras = Extras(instance=identifier(instance_id, "instance_id"))
        return ScheduledTask(self, _frames.T_DETACHED, _name(name, "name of the orchestration"), payload, extras)

    def start_orchestration_versioned(
        self,
        name: Union[str, Callable[..., Any]],
        version: Optional[str],
        instance_id: str,
        input: Any = None,
    ) -> ScheduledTask[None]:
        """start_orchestration of one version; None = the latest."""
        payload = encode(input, "input of start_orchestration_versioned", name)
        extras = Extras(
            version=None if version is None else semver(version),
            instance=identifier(instance_id, "instance_id"),
        )
        return ScheduledTask(self, _frames.T_DETACHED, _name(name, "name of the orchestration"), payload, extras)

    def continue_as_new(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """End this execution and begin the next one with ``input`` and an empty history.

        Custom status, KV values and queued messages are kept. Code behind the yield never runs. Not a member of
        all or race.
        """
        return ScheduledTask(self, _frames.T_CONTINUE_AS_NEW, b"", encode(input, "input of continue_as_new"))

    def continue_as_new_versioned(self, input: Any, version: Optional[str] = None) -> ScheduledTask[NoReturn]:
        """continue_as_new into one version; None = the latest."""
        extras = Extras(version=None if version is None else semver(version))
        payload = encode(input, "input of continue_as_new_versioned")
        return ScheduledTask(self, _frames.T_CONTINUE_AS_NEW, b"", payload, extras)

    def get_kv_value_from_instance(self, instance_id: str, key: str) -> ScheduledTask[Optional[str]]:
        """Read a key of another instance. Yields back its value at that time, or None; recorded like an activity."""
        known = identifier(instance_id, "instance_id", MAX_NAMED_ID_BYTES)
        payload = encode([known, self._kv_key(key).decode()], "input of get_kv_value_from_instance")
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

    # Typed forms: a str input is sent as it is, anything else as JSON

    def schedule_activity_typed(
        self, name: Union[str, Callable[..., Any]], input: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_activity; a str input is taken for JSON already, the result is made a ``result_type``."""
        payload = encode_typed(input, "input of schedule_activity_typed", name)
        return ScheduledTask(
            self,
            _frames.T_ACTIVITY,
            _name(name, "name of the activity"),
            payload,
            convert=converter(result_type),
        )

    def schedule_activity_on_session_typed(
        self,
        name: Union[str, Callable[..., Any]],
        input: Any,
        session_id: str,
        result_type: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_activity_on_session; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of schedule_activity_on_session_typed", name)
        return ScheduledTask(
            self,
            _frames.T_ACTIVITY,
            _name(name, "name of the activity"),
            payload,
            _on_session(session_id),
            convert=converter(result_type),
        )

    def schedule_activity_with_retry_typed(
        self,
        name: Union[str, Callable[..., Any]],
        input: Any,
        retry: Mapping[str, Any],
        result_type: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of schedule_activity_with_retry_typed", name)
        return ScheduledTask(
            self,
            _frames.T_ACTIVITY,
            _name(name, "name of the activity"),
            payload,
            Extras(retry=retry_policy(retry)),
            convert=converter(result_type),
        )

    def schedule_activity_with_retry_on_session_typed(
        self,
        name: Union[str, Callable[..., Any]],
        input: Any,
        retry: Mapping[str, Any],
        session_id: str,
        result_type: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry_on_session; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of schedule_activity_with_retry_on_session_typed", name)
        extras = _on_session(session_id)
        extras.retry = retry_policy(retry)
        return ScheduledTask(
            self,
            _frames.T_ACTIVITY,
            _name(name, "name of the activity"),
            payload,
            extras,
            convert=converter(result_type),
        )

    def schedule_sub_orchestration_typed(
        self, name: Union[str, Callable[..., Any]], input: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of schedule_sub_orchestration_typed", name)
        return ScheduledTask(
            self,
            _frames.T_CHILD,
            _name(name, "name of the orchestration"),
            payload,
            convert=converter(result_type),
        )

    def schedule_sub_orchestration_with_id_typed(
        self,
        name: Union[str, Callable[..., Any]],
        instance_id: str,
        input: Any = None,
        result_type: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration_with_id; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of schedule_sub_orchestration_with_id_typed", name)
        return ScheduledTask(
            self,
            _frames.T_CHILD,
            _name(name, "name of the orchestration"),
            payload,
            Extras(instance=identifier(instance_id, "instance_id")),
            convert=converter(result_type),
        )

    def start_orchestration_typed(
        self, name: Union[str, Callable[..., Any]], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """start_orchestration; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of start_orchestration_typed", name)
        extras = Extras(instance=identifier(instance_id, "instance_id"))
        return ScheduledTask(self, _frames.T_DETACHED, _name(name, "name of the orchestration"), payload, extras)

    def start_orchestration_versioned_typed(
        self,
        name: Union[str, Callable[..., Any]],
        version: Optional[str],
        instance_id: str,
        input: Any = None,
    ) -> ScheduledTask[None]:
        """start_orchestration_versioned; a str input is taken for JSON already."""
        payload = encode_typed(input, "input of start_orchestration_versioned_typed", name)
        extras = Extras(
            version=None if version is None else semver(version),
            instance=identifier(instance_id, "instance_id"),
        )
        return ScheduledTask(self, _frames.T_DETACHED, _name(name, "name of the orchestration"), payload, extras)

    def wait_for_event_typed(self, name: str, result_type: Any = None) -> ScheduledTask[Any]:
        """wait_for_event whose data is made a ``result_type``."""
        return ScheduledTask(self, _frames.T_EVENT, _name(name, "name of the event"), convert=converter(result_type))

    def dequeue_event_typed(self, queue_name: str, result_type: Any = None) -> ScheduledTask[Any]:
        """dequeue_event whose data is made a ``result_type``."""
        return ScheduledTask(
            self,
            _frames.T_DEQUEUE,
            _name(queue_name, "name of the queue"),
            convert=converter(result_type),
        )

    def continue_as_new_typed(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """continue_as_new; a str input is taken for JSON already."""
        return ScheduledTask(
            self,
            _frames.T_CONTINUE_AS_NEW,
            b"",
            encode_typed(input, "input of continue_as_new_typed"),
        )


def _activity_extras(session_id: Optional[str], timeout_ms: Optional[Milliseconds]) -> Extras:
    extras = Extras()
    if session_id is not None:
        extras.session = identifier(session_id, "session_id")
    if timeout_ms is not None:
        extras.number = milliseconds(timeout_ms, "timeout_ms")
        if extras.number == 0:
            raise ValueError("timeout_ms must be more than 0")
    return extras


def _on_session(session_id: str) -> Extras:
    return Extras(session=identifier(session_id, "session_id"))


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
