"""The context of orchestration functions."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, TypeVar, Union

from duroxide import _frames
from duroxide._codec import (
    MAX_KV_KEYS,
    MAX_KV_VALUE_BYTES,
    MAX_NAMED_ID_BYTES,
    MAX_STATUS_BYTES,
    Milliseconds,
    encode,
    encode_typed,
    identifier,
    milliseconds,
    name_of,
    semver,
    text_of,
)
from duroxide._errors import InvalidArgument, RuntimeStateError
from duroxide._frames import Extras
from duroxide._locations import place, safe_encode
from duroxide._retry import retry_policy
from duroxide._tasks import ScheduledTask
from duroxide._typed import converter

if TYPE_CHECKING:
    from duroxide._driver import Execution

__all__ = ["OrchestrationContext"]

T = TypeVar("T")
_getframe = sys._getframe
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

READ_KV = "duroxide:get_kv_value"
"""Name of the activity behind get_kv_value_from_instance; every runtime has it."""

stepping: dict[int, Execution] = {}
"""The execution that each thread is stepping now, by thread id."""

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


class OrchestrationContext:
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
        "_calls",
        "_execution",
        "_kv",
        "_made",
        "_muted",
        "_now_ms",
        "_recorded",
        "_remaining",
        "_replaying",
        "_status",
        "execution_id",
        "instance_id",
        "orchestration_name",
        "orchestration_version",
        "parent_instance_id",
    )

    def __init__(self, fields: Optional[Mapping[str, Any]] = None) -> None:
        fields = fields or {}

        def field(name: str, camel: str, default: Any) -> Any:
            return fields.get(name, fields.get(camel, default))

        self.instance_id: str = field("instance_id", "instanceId", "")
        self.execution_id: int = int(field("execution_id", "executionId", 1))
        self.orchestration_name: str = field("orchestration_name", "orchestrationName", "")
        self.orchestration_version: str = field("orchestration_version", "orchestrationVersion", "")
        self.parent_instance_id: Optional[str] = field("parent_instance_id", "parentInstanceId", None)
        self._execution: Optional[Execution] = None
        self._made: list[ScheduledTask[Any]] = _NothingMade()
        self._calls: list[bytes] = []
        self._kv: dict[str, tuple[str, int]] = {}
        self._status: Optional[str] = None
        self._now_ms = 0
        self._replaying = False
        self._remaining = 0
        self._recorded = 0
        self._muted = False

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

    # Custom status

    def set_custom_status(self, status: Any) -> None:
        """Set the status that clients see: ``str(status)``, at most 262,144 bytes in UTF-8.

        Raises:
            InvalidArgument: it is longer, or contains NUL.
        """
        text = text_of(status, "custom status")
        data = safe_encode(text)
        if len(data) > MAX_STATUS_BYTES:
            raise InvalidArgument(f"Custom status size ({len(data)} bytes) exceeds limit ({MAX_STATUS_BYTES} bytes)")
        if self._record(_frames.C_SET_STATUS, b"", data):
            self._status = data.decode()

    def reset_custom_status(self) -> None:
        """Remove the custom status."""
        if self._record(_frames.C_RESET_STATUS):
            self._status = None

    def get_custom_status(self) -> Optional[str]:
        """The custom status, or None when none is set."""
        self._check_thread()
        return self._status

    # Key-value store of the instance

    def set_kv_value(self, key: str, value: Any) -> None:
        """Set a value that clients and later executions can read: ``str(value)``, at most 65,536 bytes in UTF-8.

        Raises:
            InvalidArgument: the value is longer, there would be more than 150 keys, or one of them contains NUL.
        """
        name = self._kv_key(key)
        data = safe_encode(text_of(value, "KV value"))
        if len(data) > MAX_KV_VALUE_BYTES:
            raise InvalidArgument(
                f"KV value for key '{key}' ({len(data)} bytes) exceeds limit ({MAX_KV_VALUE_BYTES} bytes)"
            )
        if key not in self._kv and len(self._kv) >= MAX_KV_KEYS:
            raise InvalidArgument(f"KV key count ({len(self._kv) + 1}) exceeds limit ({MAX_KV_KEYS})")
        if self._record(_frames.C_SET_KV, name, data):
            self._kv[key] = (data.decode(), self._now_ms)

    def get_kv_value(self, key: str) -> Optional[str]:
        """The value of a key, or None."""
        self._kv_key(key)
        self._check_thread()
        entry = self._kv.get(key)
        return None if entry is None else entry[0]

    def get_kv_all_values(self) -> dict[str, str]:
        """All keys with their values, as a new dictionary."""
        self._check_thread()
        return {key: entry[0] for key, entry in self._kv.items()}

    def get_kv_all_keys(self) -> list[str]:
        """All keys."""
        self._check_thread()
        return list(self._kv)

    def get_kv_length(self) -> int:
        """The number of keys."""
        self._check_thread()
        return len(self._kv)

    def clear_kv_value(self, key: str) -> None:
        """Remove a key. One that does not exist is no error."""
        if self._record(_frames.C_CLEAR_KV, self._kv_key(key)):
            self._kv.pop(key, None)

    def clear_all_kv_values(self) -> None:
        """Remove all keys."""
        if self._record(_frames.C_CLEAR_ALL_KV):
            self._kv.clear()

    def prune_kv_values_updated_before(self, cutoff_ms: int) -> int:
        """Remove the keys that were last written before ``cutoff_ms`` (ms since the epoch).

        Returns:
            how many were removed.
        """
        cutoff = milliseconds(cutoff_ms, "cutoff_ms")
        old = [key for key, (_, updated) in self._kv.items() if updated < cutoff]
        removed = 0
        for key in old:
            if self._record(_frames.C_CLEAR_KV, key.encode()):
                del self._kv[key]
                removed += 1
        return removed

    # Logs

    def trace_info(self, message: Any) -> None:
        """Log a line for people. Nothing is logged again when the code is replayed."""
        self._trace("info", message)

    def trace_warn(self, message: Any) -> None:
        """Log a warning. Nothing is logged again when the code is replayed."""
        self._trace("warn", message)

    def trace_error(self, message: Any) -> None:
        """Log an error. Nothing is logged again when the code is replayed."""
        self._trace("error", message)

    def trace_debug(self, message: Any) -> None:
        """Log a detail. Nothing is logged again when the code is replayed."""
        self._trace("debug", message)

    # Below: how immediate calls reach the engine, with the next yield

    def _trace(self, level: str, message: Any) -> None:
        if self._execution is None or not self._usable():
            return
        text = message if type(message) is str else str(message)
        frame = _getframe(2)
        self._calls.append(
            _frames.immediate(
                _frames.C_TRACE,
                _frames.LEVELS[level],
                b"",
                safe_encode(text),
                place(frame.f_code, frame.f_lineno)[1],
            )
        )

    def _record(self, kind: int, key: bytes = b"", value: bytes = b"") -> bool:
        """Keep an immediate call for the engine; False when it has no effect: the code is being closed."""
        if self._execution is None:
            return True
        if not self._usable():
            return False
        frame = _getframe(2)
        at = place(frame.f_code, frame.f_lineno)[1]
        self._calls.append(_frames.immediate(kind, 0, key, value, at))
        self._recorded += 1
        return True

    def _usable(self) -> bool:
        self._check_thread()
        return not self._muted

    def _check_thread(self) -> None:
        if self._execution is not None and stepping.get(get_ident()) is not self._execution:
            raise RuntimeStateError(
                f"the context of instance '{self.instance_id}' was used outside its orchestration function: "
                "only the code that the engine is running for this instance may call it, on its own thread"
            )

    def _kv_key(self, key: object) -> bytes:
        if not isinstance(key, str):
            raise InvalidArgument(f"Invalid input: KV key must be a str, got {type(key).__name__}")
        return identifier(key, "KV key", MAX_NAMED_ID_BYTES).encode() if key else b""


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
