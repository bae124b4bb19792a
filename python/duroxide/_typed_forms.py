"""The ``_typed`` calls of an orchestration's context: a str input is taken for JSON already, results get a type."""

from __future__ import annotations

from typing import Any, NoReturn, Optional, TypeVar, overload

from duroxide import _frames
from duroxide._frames import Extras
from duroxide._names import Name, name_bytes
from duroxide._retry import RetryPolicy, retry_policy
from duroxide._scheduling import Scheduling, on_session, other_instance
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
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets, or the JSON text of it; default None.
            result_type (type or None): a plain type, ``list[int]`` and the like, a dataclass, TypedDict, Enum,
                ``datetime``, ``UUID``, ``Decimal``, a pydantic model, or a union of them; default None: as JSON gives
                it.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name that is not valid, or a function that is not registered (at the call).
            ActivityError: the activity failed (at the yield).
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> from dataclasses import dataclass
            >>> @dataclass
            ... class Receipt:
            ...     charged: int
            >>> def flow(ctx, amount):
            ...     receipt = yield ctx.schedule_activity_typed(charge, amount, result_type=Receipt)
            ...     return receipt.charged
            >>> run(flow, 40)
            40
        """
        return self._call(
            _frames.T_ACTIVITY, name, input, "schedule_activity_typed", typed=True, result_type=result_type
        )

    @overload
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any = None, *, session_id: str, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any, session_id: str, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any = None, *, session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    @overload
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any, session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_on_session_typed(
        self, name: Name, input: Any = None, session_id: Any = None, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_activity_on_session; a str input is taken for JSON already, the result is made a ``result_type``.

        Args:
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets, or the JSON text of it; default None.
            session_id (str): of the session, at most 1,024 bytes in UTF-8; default None: refused.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or session id that is not valid, or a function that is not registered (at the call).
            ActivityError: the activity failed (at the yield).
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> def flow(ctx, amount):
            ...     return (yield ctx.schedule_activity_on_session_typed(charge, amount, "session-3", dict[str, int]))
            >>> run(flow, 40)
            {'charged': 40}
        """
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
        self, name: Name, input: Any = None, retry: Optional[RetryPolicy] = None, *, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_typed(
        self, name: Name, input: Any, retry: Optional[RetryPolicy], result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_typed(
        self, name: Name, input: Any = None, retry: Optional[RetryPolicy] = None, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_with_retry_typed(
        self, name: Name, input: Any = None, retry: Optional[RetryPolicy] = None, result_type: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry; a str input is taken for JSON already, the result is made a ``result_type``.

        Args:
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets, or the JSON text of it; default None.
            retry (RetryPolicy or None): a dictionary, see RetryPolicy; default None: all defaults.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            TypeError, ValueError: the input is not JSON, or ``retry`` is refused, see RetryPolicy (at the call).
            InvalidArgument: a name that is not valid, or a function that is not registered (at the call).
            ActivityError, ActivityTimeout: the last attempt's failure, or time ran out (at the yield).
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> def flow(ctx, name):
            ...     return (yield ctx.schedule_activity_with_retry_typed(greet, f'"{name}"', {"max_attempts": 2}, str))
            >>> run(flow, "Ada")
            'Hello, Ada!'
        """
        return self._call(
            _frames.T_ACTIVITY,
            name,
            input,
            "schedule_activity_with_retry_typed",
            Extras(retry=retry_policy({} if retry is None else retry)),
            typed=True,
            result_type=result_type,
        )

    @overload
    def schedule_activity_with_retry_on_session_typed(
        self,
        name: Name,
        input: Any = None,
        retry: Optional[RetryPolicy] = None,
        *,
        session_id: str,
        result_type: type[R],
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_on_session_typed(
        self, name: Name, input: Any, retry: Optional[RetryPolicy], session_id: str, result_type: type[R]
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_activity_with_retry_on_session_typed(
        self,
        name: Name,
        input: Any = None,
        retry: Optional[RetryPolicy] = None,
        *,
        session_id: str,
        result_type: Any = None,
    ) -> ScheduledTask[Any]: ...
    @overload
    def schedule_activity_with_retry_on_session_typed(
        self, name: Name, input: Any, retry: Optional[RetryPolicy], session_id: str, result_type: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_activity_with_retry_on_session_typed(
        self,
        name: Name,
        input: Any = None,
        retry: Optional[RetryPolicy] = None,
        session_id: Any = None,
        result_type: Any = None,
    ) -> ScheduledTask[Any]:
        """schedule_activity_with_retry_on_session; a str input is taken for JSON already, the result is made a
        ``result_type``.

        Args:
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets, or the JSON text of it; default None.
            retry (RetryPolicy or None): a dictionary, see RetryPolicy; default None: all defaults.
            session_id (str): of the session, at most 1,024 bytes in UTF-8; default None: refused.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            TypeError, ValueError: the input is not JSON, or ``retry`` is refused, see RetryPolicy (at the call).
            InvalidArgument: a name or session id that is not valid, or a function that is not registered (at the call).
            ActivityError, ActivityTimeout: the last attempt's failure, or time ran out (at the yield).
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> def flow(ctx, amount):
            ...     policy = {"max_attempts": 2}
            ...     task = ctx.schedule_activity_with_retry_on_session_typed(charge, amount, policy, "session-4", dict)
            ...     return (yield task)
            >>> run(flow, 40)
            {'charged': 40}
        """
        extras = on_session(session_id)
        extras.retry = retry_policy({} if retry is None else retry)
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
        """schedule_sub_orchestration; a str input is taken for JSON already, the output is made a ``result_type``.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            input (JSON value): what it gets, or the JSON text of it; default None.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name that is not valid, or a function that is not registered (at the call).
            SubOrchestrationError: the child failed (at the yield); the text is that of its failure.
            Cancelled: the child was cancelled (at the yield).
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> def flow(ctx, amount):
            ...     return (yield ctx.schedule_sub_orchestration_typed(order, "40", int)) + amount
            >>> run(flow, 2)
            42
        """
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
        """schedule_sub_orchestration_with_id; a str input is taken for JSON already, the output is made a
        ``result_type``.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets, or the JSON text of it; default None.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a function that is not registered (at the call).
            SubOrchestrationError: the child failed, or the id is in use (at the yield).
            Cancelled: the child was cancelled (at the yield).
            TypeError: the result is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> def flow(ctx, amount):
            ...     child = f"{ctx.instance_id}-order"
            ...     return (yield ctx.schedule_sub_orchestration_with_id_typed(order, child, amount, int))
            >>> run(flow, 40)
            40
        """
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
        """start_orchestration; a str input is taken for JSON already.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets, or the JSON text of it; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a function that is not registered (at the call).

        Example:
            >>> def flow(ctx, input):
            ...     yield ctx.start_orchestration_typed(order, "detached-3", "40")
            >>> run(flow)
            >>> client.wait_for_orchestration("detached-3").output
            40
        """
        extras = other_instance(None, instance_id)
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration_typed", extras, typed=True)

    def start_orchestration_versioned_typed(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """start_orchestration_versioned; a str input is taken for JSON already.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            version (str or None): a semantic version; None: the latest when it starts.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets, or the JSON text of it; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a version that is not semantic (at the call).

        Example:
            >>> def flow(ctx, input):
            ...     yield ctx.start_orchestration_versioned_typed("hello", "1.0.0", "detached-4", '"Ada"')
            >>> run(flow)
            >>> client.wait_for_orchestration("detached-4").output
            'Hello, Ada!'
        """
        extras = other_instance(version, instance_id)
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration_versioned_typed", extras, typed=True)

    @overload
    def wait_for_event_typed(self, name: str, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def wait_for_event_typed(self, name: str, result_type: Any = None) -> ScheduledTask[Any]: ...
    def wait_for_event_typed(self, name: str, result_type: Any = None) -> ScheduledTask[Any]:
        """wait_for_event whose data is made a ``result_type``.

        Args:
            name (str): what ``client.raise_event`` names.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            InvalidArgument: a name that is not valid (at the call).
            TypeError: the data is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_custom_status("waiting")
            ...     return sum((yield ctx.wait_for_event_typed("go", list[int])))
            >>> id = start(flow)
            >>> client.wait_for_status_change(id).custom_status
            'waiting'
            >>> client.raise_event(id, "go", [1, 2, 3])
            >>> client.wait_for_orchestration(id).output
            6
        """
        return ScheduledTask(
            self, _frames.T_EVENT, name_bytes(name, "name of the event"), convert=converter(result_type)
        )

    @overload
    def dequeue_event_typed(self, queue_name: str, result_type: type[R]) -> ScheduledTask[R]: ...
    @overload
    def dequeue_event_typed(self, queue_name: str, result_type: Any = None) -> ScheduledTask[Any]: ...
    def dequeue_event_typed(self, queue_name: str, result_type: Any = None) -> ScheduledTask[Any]:
        """dequeue_event whose data is made a ``result_type``.

        Args:
            queue_name (str): what ``client.enqueue_event`` names.
            result_type (type or None): see schedule_activity_typed; default None: as JSON gives it.

        Raises:
            InvalidArgument: a name that is not valid (at the call).
            TypeError: the data is not a ``result_type`` (at the yield); the text says where in it.

        Example:
            >>> from datetime import date
            >>> def flow(ctx, input):
            ...     day = yield ctx.dequeue_event_typed("days", date)
            ...     return day.year
            >>> id = start(flow)
            >>> client.enqueue_event(id, "days", "2026-11-24")
            >>> client.wait_for_orchestration(id).output
            2026
        """
        name = name_bytes(queue_name, "name of the queue")
        return ScheduledTask(self, _frames.T_DEQUEUE, name, convert=converter(result_type))

    def continue_as_new_typed(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """continue_as_new; a str input is taken for JSON already.

        Args:
            input (JSON value): what the next execution gets, or the JSON text of it; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).

        Example:
            >>> def flow(ctx, input):
            ...     if ctx.execution_id == 1:
            ...         yield ctx.continue_as_new_typed('{"page": 2}')
            ...     return input
            >>> run(flow, {"page": 1})
            {'page': 2}
        """
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new_typed", typed=True)
