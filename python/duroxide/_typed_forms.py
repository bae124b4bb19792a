"""The ``_typed`` calls of an orchestration's context: a str input is taken for JSON already, results get a type."""

from __future__ import annotations

from typing import Any, NoReturn, Optional, TypeVar, overload

from duroxide import _frames
from duroxide._frames import Extras
from duroxide._retry import RetryPolicy, retry_policy
from duroxide._scheduling import Name, Scheduling, name_bytes, on_session, other_instance
from duroxide._tasks import ScheduledTask
from duroxide._typed import converter

R = TypeVar("R")


class TypedForms(Scheduling):
    """The ``_typed`` part of an orchestration's context."""

    __slots__ = ()

    @overload
    def schedule_activity_typed(self, name: Name, input: Any = None, *, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_typed(self, name: Name, input: Any, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_typed(self, name: Name, input: Any = None, result_type: Any = None) -> ScheduledTask[Any]: ...
    def schedule_activity_typed(self, name: Name, input: Any = None, result_type: Any = None) -> ScheduledTask[Any]:
        """schedule_activity; a str input is taken for JSON already, the result is made a ``result_type``.

        Args:
            result_type: a plain type, ``list[int]`` and the like, a dataclass, TypedDict, Enum, ``datetime``, ``UUID``,
                ``Decimal``, a pydantic model, or a union of them; None: as JSON gives it.

        Raises:
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.
        """
        return self._call(
            _frames.T_ACTIVITY, name, input, "schedule_activity_typed", typed=True, result_type=result_type
        )

    @overload
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any, session_id: str, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any, session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any, session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_activity_on_session; input and result are those of schedule_activity_typed."""
        return self._call(
            _frames.T_ACTIVITY,
            name,
            input,
            "schedule_activity_on_session_typed",
            on_session(session_id),
            typed=True,
            result_type=result_type,
        )

    @overload
    def schedule_activity_with_retry_typed(
        self, name: Name, input: Any, retry: RetryPolicy, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_typed(
        self, name: Name, input: Any, retry: RetryPolicy, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_with_retry_typed(
        self, name: Name, input: Any, retry: RetryPolicy, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry; input and result are those of schedule_activity_typed."""
        return self._call(
            _frames.T_ACTIVITY,
            name,
            input,
            "schedule_activity_with_retry_typed",
            Extras(retry=retry_policy(retry)),
            typed=True,
            result_type=result_type,
        )

    @overload
    def schedule_activity_with_retry_on_session_typed(
        self, name: Name, input: Any, retry: RetryPolicy, session_id: str, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_on_session_typed(
        self, name: Name, input: Any, retry: RetryPolicy, session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_with_retry_on_session_typed(
        self, name: Name, input: Any, retry: RetryPolicy, session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry_on_session; input and result are those of schedule_activity_typed."""
        extras = on_session(session_id)
        extras.retry = retry_policy(retry)
        return self._call(
            _frames.T_ACTIVITY,
            name,
            input,
            "schedule_activity_with_retry_on_session_typed",
            extras,
            typed=True,
            result_type=result_type,
        )

    @overload
    def schedule_sub_orchestration_typed(
        self, name: Name, input: Any = None, *, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_typed(self, name: Name, input: Any, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_typed(
        self, name: Name, input: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_sub_orchestration_typed(
        self, name: Name, input: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration; input and result are those of schedule_activity_typed."""
        return self._call(
            _frames.T_CHILD, name, input, "schedule_sub_orchestration_typed", typed=True, result_type=result_type
        )

    @overload
    def schedule_sub_orchestration_with_id_typed(
        self, name: Name, instance_id: str, input: Any = None, *, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_with_id_typed(
        self, name: Name, instance_id: str, input: Any, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_with_id_typed(
        self, name: Name, instance_id: str, input: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_sub_orchestration_with_id_typed(
        self, name: Name, instance_id: str, input: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration_with_id; input and result are those of schedule_activity_typed."""
        return self._call(
            _frames.T_CHILD,
            name,
            input,
            "schedule_sub_orchestration_with_id_typed",
            other_instance(None, instance_id),
            typed=True,
            result_type=result_type,
        )

    def start_orchestration_typed(self, name: Name, instance_id: str, input: Any = None) -> ScheduledTask[None]:
        """start_orchestration; a str input is taken for JSON already."""
        extras = other_instance(None, instance_id)
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration_typed", extras, typed=True)

    def start_orchestration_versioned_typed(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """start_orchestration_versioned; a str input is taken for JSON already."""
        extras = other_instance(version, instance_id)
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration_versioned_typed", extras, typed=True)

    @overload
    def wait_for_event_typed(self, name: str, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def wait_for_event_typed(self, name: str, result_type: Any = None) -> ScheduledTask[Any]: ...
    def wait_for_event_typed(self, name: str, result_type: Any = None) -> ScheduledTask[Any]:
        """wait_for_event whose data is made a ``result_type``, as by schedule_activity_typed."""
        return ScheduledTask(
            self, _frames.T_EVENT, name_bytes(name, "name of the event"), convert=converter(result_type)
        )

    @overload
    def dequeue_event_typed(self, queue_name: str, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def dequeue_event_typed(self, queue_name: str, result_type: Any = None) -> ScheduledTask[Any]: ...
    def dequeue_event_typed(self, queue_name: str, result_type: Any = None) -> ScheduledTask[Any]:
        """dequeue_event whose data is made a ``result_type``, as by schedule_activity_typed."""
        name = name_bytes(queue_name, "name of the queue")
        return ScheduledTask(self, _frames.T_DEQUEUE, name, convert=converter(result_type))

    def continue_as_new_typed(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """continue_as_new; a str input is taken for JSON already."""
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new_typed", typed=True)
