"""The context of orchestration functions."""

from __future__ import annotations

import datetime
from collections.abc import Coroutine, Generator, Iterable, Mapping, Sequence
from typing import Any, Callable, NoReturn, Optional, TypeVar, Union, overload

from duroxide import _frames
from duroxide._codec import (
    MAX_NAMED_ID_BYTES,
    Milliseconds,
    identifier,
    milliseconds,
    semver,
)
from duroxide._frames import Extras
from duroxide._retry import RetryPolicy, retry_policy
from duroxide._scheduling import Name, name_bytes, on_session, other_instance
from duroxide._tasks import ScheduledTask
from duroxide._typed_forms import TypedForms

__all__ = ["OrchestrationContext"]

I = TypeVar("I")  # noqa: E741 - an input
R = TypeVar("R")
# What a plain function may give, so that a generator function is not taken for one.
J = TypeVar("J", bound=Union[float, Sequence[Any], Mapping[str, Any], None])
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

READ_KV = "duroxide:get_kv_value"
"""Name of the activity behind get_kv_value_from_instance; every runtime has it."""


class _NothingMade(list):  # type: ignore[type-arg]
    """The list of made tasks of a context without an engine: it keeps none."""

    __slots__ = ()

    def append(self, _: Any) -> None:
        pass


class OrchestrationContext(TypedForms):
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

    # Activities

    @overload
    def schedule_activity(
        self,
        name: Callable[[Any, I], Coroutine[Any, Any, R]],
        input: I,
        session_id: Optional[str] = None,
        *,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity(
        self,
        name: Callable[[Any, I], R],
        input: I,
        session_id: Optional[str] = None,
        *,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity(
        self,
        name: Callable[[Any, None], Coroutine[Any, Any, R]],
        *,
        session_id: Optional[str] = None,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity(
        self,
        name: Callable[[Any, None], R],
        *,
        session_id: Optional[str] = None,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity(
        self,
        name: str,
        input: Any = None,
        session_id: Optional[str] = None,
        *,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[Any]: ...
    def schedule_activity(
        self,
        name: Name,
        input: Any = None,
        session_id: Optional[str] = None,
        *,
        timeout_ms: Optional[Milliseconds] = None,
    ) -> ScheduledTask[Any]:
        """Run an activity. Yields back its result.

        Args:
            name: name it is registered under, or the registered function itself: then a type checker knows the type of
                ``x = yield from ctx.schedule_activity(fn, input)``.
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
        return self._call(_frames.T_ACTIVITY, name, input, "schedule_activity", extras)

    @overload
    def schedule_activity_on_session(
        self, name: Callable[[Any, I], Coroutine[Any, Any, R]], input: I, session_id: str
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_on_session(
        self, name: Callable[[Any, I], R], input: I, session_id: str
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_on_session(self, name: str, input: Any, session_id: str) -> ScheduledTask[Any]: ...
    def schedule_activity_on_session(self, name: Name, input: Any, session_id: str) -> ScheduledTask[Any]:
        """Run an activity in a session: where all activities of the session run, one after another.

        Args, results and errors are those of schedule_activity.
        """
        return self._call(_frames.T_ACTIVITY, name, input, "schedule_activity_on_session", on_session(session_id))

    @overload
    def schedule_activity_with_retry(
        self, name: Callable[[Any, I], Coroutine[Any, Any, R]], input: I, retry: RetryPolicy
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry(
        self, name: Callable[[Any, I], R], input: I, retry: RetryPolicy
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry(self, name: str, input: Any, retry: RetryPolicy) -> ScheduledTask[Any]: ...
    def schedule_activity_with_retry(self, name: Name, input: Any, retry: RetryPolicy) -> ScheduledTask[Any]:
        """Run an activity again when it fails. Yields back the first result.

        Args:
            name: name of the activity, or the registered function.
            input: anything JSON takes.
            retry: a dictionary, see RetryPolicy: ``max_attempts`` (default 3), ``backoff`` or ``backoff_strategy``
                (``"exponential"``, the default: 100 ms, doubled up to 30 s; ``"fixed"``: 1 s; ``"linear"``: 100 ms per
                attempt up to 30 s; ``"none"``), ``timeout_ms`` of each attempt, ``total_timeout_ms`` of all,
                ``initial_ms``, ``max_ms``, ``multiplier``, ``jitter`` (share of a pause that is drawn, 0 to 1).
                camelCase spellings are taken too.

        Raises:
            ValueError: an unknown key or value, or ``max_attempts`` below 1 (at the call).
            ActivityError, ActivityTimeout: the last attempt's failure, or time ran out (at the yield).
        """
        extras = Extras(retry=retry_policy(retry))
        return self._call(_frames.T_ACTIVITY, name, input, "schedule_activity_with_retry", extras)

    @overload
    def schedule_activity_with_retry_on_session(
        self, name: Callable[[Any, I], Coroutine[Any, Any, R]], input: I, retry: RetryPolicy, session_id: str
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_on_session(
        self, name: Callable[[Any, I], R], input: I, retry: RetryPolicy, session_id: str
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_on_session(
        self, name: str, input: Any, retry: RetryPolicy, session_id: str
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_with_retry_on_session(
        self, name: Name, input: Any, retry: RetryPolicy, session_id: str
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry with all attempts in one session."""
        extras = on_session(session_id)
        extras.retry = retry_policy(retry)
        return self._call(_frames.T_ACTIVITY, name, input, "schedule_activity_with_retry_on_session", extras)

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

    # Other orchestrations

    @overload
    def schedule_sub_orchestration(
        self, name: Callable[[Any, I], Generator[Any, Any, R]], input: I
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration(self, name: Callable[[Any, I], J], input: I) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration(self, name: Callable[[Any, None], Generator[Any, Any, R]]) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration(self, name: Callable[[Any, None], J]) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration(self, name: str, input: Any = None) -> ScheduledTask[Any]: ...
    def schedule_sub_orchestration(self, name: Name, input: Any = None) -> ScheduledTask[Any]:
        """Run a child and wait for it. Yields back its output.

        Args:
            name: name of the orchestration, or the registered function.
            input: anything JSON takes.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            SubOrchestrationError: the child failed (at the yield); the text is that of its failure.
            Cancelled: the child was cancelled (at the yield).
        """
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration")

    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, I], Generator[Any, Any, R]], instance_id: str, input: I
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, I], J], instance_id: str, input: I
    ) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, None], Generator[Any, Any, R]], instance_id: str
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, None], J], instance_id: str
    ) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: str, instance_id: str, input: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_sub_orchestration_with_id(self, name: Name, instance_id: str, input: Any = None) -> ScheduledTask[Any]:
        """schedule_sub_orchestration under an id of your own. An id that is in use fails the call."""
        extras = Extras(instance=identifier(instance_id, "instance_id"))
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_with_id", extras)

    def schedule_sub_orchestration_versioned(
        self, name: Name, version: Optional[str] = None, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version; None = the latest when the child starts.

        Raises:
            InvalidArgument: the version is not a semantic version (at the call).
        """
        extras = Extras(version=None if version is None else semver(version))
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_versioned", extras)

    def schedule_sub_orchestration_versioned_with_id(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version and under an id of your own."""
        extras = other_instance(version, instance_id)
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_versioned_with_id", extras)

    def start_orchestration(self, name: Name, instance_id: str, input: Any = None) -> ScheduledTask[None]:
        """Start an orchestration that goes its own way. Yields back None; an id in use starts nothing."""
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration", other_instance(None, instance_id))

    def start_orchestration_versioned(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """start_orchestration of one version; None = the latest."""
        return self._call(
            _frames.T_DETACHED, name, input, "start_orchestration_versioned", other_instance(version, instance_id)
        )

    def continue_as_new(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """End this execution and begin the next one with ``input`` and an empty history.

        Custom status, KV values and queued messages are kept. Code behind the yield never runs. Not a member of
        all or race.
        """
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new")

    def continue_as_new_versioned(self, input: Any, version: Optional[str] = None) -> ScheduledTask[NoReturn]:
        """continue_as_new into one version; None = the latest."""
        extras = Extras(version=None if version is None else semver(version))
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new_versioned", extras)

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


def _activity_extras(session_id: Optional[str], timeout_ms: Optional[Milliseconds]) -> Extras:
    extras = Extras()
    if session_id is not None:
        extras.session = identifier(session_id, "session_id")
    if timeout_ms is not None:
        extras.number = milliseconds(timeout_ms, "timeout_ms")
        if extras.number == 0:
            raise ValueError("timeout_ms must be more than 0")
    return extras


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
