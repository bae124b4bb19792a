"""Tasks: what an orchestration yields."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from types import CodeType
from typing import Any, Callable, Generic, Optional, Protocol, TypeVar

from duroxide import _frames
from duroxide._codec import MAX_TAG_NAME_BYTES, identifier
from duroxide._errors import InvalidArgument

__all__ = ["ScheduledTask"]

T = TypeVar("T")
_getframe = sys._getframe

TYPE_NAMES = (
    "activity",
    "timer",
    "waitEvent",
    "dequeueEvent",
    "subOrchestration",
    "orchestration",
    "newGuid",
    "utcNow",
    "continueAsNew",
    "join",
    "select",
)


Made = tuple[CodeType, int, int, bytes, Optional[_frames.Extras]]
"""Where a task was made, and what it is: code, line, kind, name, extras."""


class Maker(Protocol):
    """What a task needs of the context that makes it."""

    _open: int  # tasks that were made, and neither yielded nor told to be dropped
    _dropped: list[Optional[Made]]  # those that were dropped without having been yielded; None: nobody is to know
    _muted: bool


def type_name(kind: int, extras: Optional[_frames.Extras]) -> str:
    """What ``task["type"]`` says."""
    name = TYPE_NAMES[kind]
    if extras is None:
        return name
    if kind == _frames.T_ACTIVITY:
        if extras.retry is not None:
            return name + ("WithRetry" if extras.session is None else "WithRetryOnSession")
        return name if extras.session is None else name + "WithSession"
    if extras.version:
        name += "Versioned"
    if kind == _frames.T_CHILD and extras.instance is not None:
        name += "WithId"
    return name


class ScheduledTask(Generic[T]):
    """Something to wait for, made by a method of the context and given to the engine by ``yield``.

    Making a task does nothing yet. The same task yielded twice is two calls. ``x = yield from task`` means the same as
    ``x = yield task`` and lets a type checker know the type of ``x``. Users do not make one by its class.

    Tasks can be read like dictionaries, ``task["type"]``, ``task["name"]``, ``task.get("sessionId")``, and are equal to
    those of the same fields.

    Example:
        >>> ctx = OrchestrationContext()  # for a unit test: no engine is behind it
        >>> task = ctx.schedule_activity(charge, 40)
        >>> task, task["type"], task["name"]
        (<ScheduledTask activity 'charge'>, 'activity', 'charge')
    """

    __slots__ = (
        "_code",
        "_convert",
        "_converts",
        "_ctx",
        "_extras",
        "_input",
        "_kind",
        "_line",
        "_members",
        "_name",
        "_used",
    )

    def __init__(
        self,
        ctx: Maker,
        kind: int,
        name: bytes = b"",
        payload: bytes = b"",
        extras: Optional[_frames.Extras] = None,
        members: Optional[list[Any]] = None,
        convert: Optional[Callable[[Any], Any]] = None,
        depth: int = 2,
    ) -> None:
        frame = _getframe(depth)  # the line in the user's code that made it
        self._ctx = ctx
        self._kind = kind
        self._name = name
        self._input = payload
        self._extras = extras
        self._members = members
        self._convert = convert
        self._converts: bool = convert is not None or (
            members is not None and any(isinstance(m, ScheduledTask) and m._converts for m in members)
        )
        self._code: CodeType = frame.f_code
        self._line: int = frame.f_lineno
        self._used = False
        ctx._open += 1

    def __del__(self) -> None:
        # On any thread and at any moment, in the middle of a call of the engine too, or while the interpreter ends: so
        # it is only noted here, and told when the execution takes its next step.
        try:
            if not self._used:
                ctx = self._ctx
                ctx._dropped.append(None if ctx._muted else self._made())
        except AttributeError:
            pass  # it was never made completely

    def with_tag(self, tag: str) -> ScheduledTask[T]:
        """Let only workers that serve ``tag`` run this activity.

        Args:
            tag (str): non-empty, at most 256 bytes in UTF-8.

        Returns:
            the task itself.

        Raises:
            InvalidArgument: not an activity, or no valid tag.

        Example:
            >>> ctx = OrchestrationContext()
            >>> ctx.schedule_activity(charge, 40).with_tag("gpu")["tag"]
            'gpu'
        """
        if self._kind != _frames.T_ACTIVITY:
            raise InvalidArgument(f"Invalid input: with_tag is for activities, not for {TYPE_NAMES[self._kind]}")
        tag = identifier(tag, "tag", 1 << 62)
        size = len(tag.encode())
        if size > MAX_TAG_NAME_BYTES:
            raise InvalidArgument(
                f"Activity '{self._name.decode()}' tag size ({size} bytes) exceeds limit ({MAX_TAG_NAME_BYTES} bytes)"
            )
        if self._extras is None:
            self._extras = _frames.Extras()
        self._extras.tag = tag
        return self

    def __iter__(self) -> Generator[Any, Any, T]:
        result: T = yield self
        return result

    def _use(self) -> None:
        """It has been yielded, or is a member of a task that is to be. Once."""
        self._used = True
        self._ctx._open -= 1

    def _made(self) -> Made:
        return self._code, self._line, self._kind, self._name, self._extras

    def to_dict(self) -> dict[str, Any]:
        """The fields that this task has, as a new dictionary.

        ``type`` tells what it is: ``activity``, ``activityWithSession``, ``activityWithRetry``,
        ``activityWithRetryOnSession``, ``timer``, ``waitEvent``, ``dequeueEvent``, ``subOrchestration`` and
        ``orchestration`` (with ``Versioned``, ``WithId`` behind it), ``newGuid``, ``utcNow``, ``continueAsNew``,
        ``join`` for all, ``select`` for race. The other keys: ``name``, ``queueName``, ``input`` (as it is stored),
        ``version``, ``instanceId``, ``sessionId``, ``tag``, ``retry``, ``delayMs``, ``timeoutMs``, ``tasks``.

        Example:
            >>> OrchestrationContext().schedule_activity(charge, 40, timeout_ms=5000).to_dict()
            {'type': 'activity', 'name': 'charge', 'input': '40', 'timeoutMs': 5000}
        """
        kind, extras = self._kind, self._extras
        fields: dict[str, Any] = {"type": type_name(kind, extras)}
        if self._members is not None:
            fields["tasks"] = list(self._members)
            return fields
        if self._name:
            fields["queueName" if kind == _frames.T_DEQUEUE else "name"] = self._name.decode()
        if extras is not None:
            if extras.version:
                fields["version"] = extras.version
            if extras.instance is not None:
                fields["instanceId"] = extras.instance
        if self._input:
            fields["input"] = self._input.decode()
        if kind == _frames.T_TIMER:
            fields["delayMs"] = 0 if extras is None else extras.number
        elif extras is not None:
            if extras.session is not None:
                fields["sessionId"] = extras.session
            if extras.tag is not None:
                fields["tag"] = extras.tag
            if extras.retry is not None:
                retry = extras.retry
                fields["retry"] = {
                    "maxAttempts": retry.max_attempts,
                    "timeoutMs": retry.timeout_ms or None,
                    "totalTimeoutMs": retry.total_timeout_ms or None,
                    "backoff": next(name for name, n in _frames.BACKOFFS.items() if n == retry.backoff),
                }
            if extras.number:
                fields["timeoutMs"] = extras.number
        return fields

    def __getitem__(self, key: str) -> Any:
        return self.to_dict()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.to_dict()

    def __len__(self) -> int:
        return len(self.to_dict())

    def get(self, key: str, default: Any = None) -> Any:
        """The field ``key``, or ``default`` when the task has none.

        Args:
            key (str): see to_dict.
            default (any): default None.

        Example:
            >>> OrchestrationContext().schedule_timer(20).get("delayMs")
            20
        """
        return self.to_dict().get(key, default)

    def keys(self) -> Iterator[str]:
        """The names of the fields that this task has.

        Example:
            >>> list(OrchestrationContext().schedule_timer(20).keys())
            ['type', 'delayMs']
        """
        return iter(self.to_dict())

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values of the fields that this task has.

        Example:
            >>> list(OrchestrationContext().schedule_timer(20).items())
            [('type', 'timer'), ('delayMs', 20)]
        """
        return iter(self.to_dict().items())

    def __eq__(self, other: object) -> bool:
        """Equal to a dictionary of the same fields; of tasks each is equal to itself alone."""
        return self.to_dict() == other if isinstance(other, dict) else NotImplemented

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        name = f" {self._name.decode()!r}" if self._name else ""
        if self._members is not None:
            call = "all" if self._kind == _frames.T_ALL else "race"
            return f"<ScheduledTask {call} of {len(self._members)}>"
        return f"<ScheduledTask {type_name(self._kind, self._extras)}{name}>"


TASK_ITERATOR_CODE = ScheduledTask.__iter__.__code__
