"""The calls of an orchestration's context that run activities."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Callable, Optional, TypeVar, overload

from duroxide import _frames
from duroxide._codec import Milliseconds, identifier, milliseconds
from duroxide._frames import Extras
from duroxide._names import Name
from duroxide._retry import RetryPolicy, retry_policy
from duroxide._scheduling import Scheduling, on_session
from duroxide._tasks import ScheduledTask

I = TypeVar("I")  # noqa: E741 - an input
R = TypeVar("R")


class ActivityCalls(Scheduling):
    """The part of an orchestration's context that runs activities."""

    __slots__ = ()

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
            name (str or function): name it is registered under, or the registered function itself: then a type checker
                knows the type of ``x = yield from ctx.schedule_activity(fn, input)``.
            input (JSON value): what the activity gets; default None.
            session_id (str or None): run it where the other activities of this session run; default None: anywhere.
            timeout_ms (int or timedelta or None): fail with ActivityTimeout when one run takes longer, in ms or as a
                timedelta; default None: the ``activity_timeout_ms`` of the runtime.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or session id that is not valid, or a function that is not registered (at the call).
            ActivityError, ActivityTimeout: the activity failed, or took too long (at the yield).

        Example:
            >>> def flow(ctx, name):
            ...     greeting = yield ctx.schedule_activity(greet, name, timeout_ms=5000)
            ...     try:
            ...         yield ctx.schedule_activity("charge", 4000)
            ...     except ActivityError as error:
            ...         return f"{greeting} {error.original_type}"
            >>> run(flow, "Ada")
            'Hello, Ada! ValueError'
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

        Args:
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets.
            session_id (str): of the session, at most 1,024 bytes in UTF-8.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or session id that is not valid, or a function that is not registered (at the call).
            ActivityError: the activity failed (at the yield).

        Example:
            >>> def flow(ctx, names):
            ...     greetings = [ctx.schedule_activity_on_session(greet, name, "session-1") for name in names]
            ...     return (yield ctx.all_typed(greetings))
            >>> run(flow, ["Ada", "Grace"])
            ['Hello, Ada!', 'Hello, Grace!']
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
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets.
            retry (RetryPolicy): a dictionary, see RetryPolicy: ``max_attempts`` (default 3), ``backoff`` or
                ``backoff_strategy`` (``"exponential"``, the default: 100 ms, doubled up to 30 s; ``"fixed"``: 1 s;
                ``"linear"``: 100 ms per attempt up to 30 s; ``"none"``), ``timeout_ms`` of each attempt,
                ``total_timeout_ms`` of all, ``initial_ms``, ``max_ms``, ``multiplier``, ``jitter`` (share of a pause
                that is drawn, 0 to 1). camelCase spellings are taken too.

        Raises:
            TypeError, ValueError: the input is not JSON; ``retry`` is no dictionary, has an unknown key or value, or
                ``max_attempts`` below 1 (at the call).
            InvalidArgument: a name that is not valid, or a function that is not registered (at the call).
            ActivityError, ActivityTimeout: the last attempt's failure, or time ran out (at the yield).

        Example:
            >>> def flow(ctx, amount):
            ...     try:
            ...         yield ctx.schedule_activity_with_retry(charge, amount, {"max_attempts": 3, "backoff": "none"})
            ...     except ActivityError as error:
            ...         return error.attempt
            >>> run(flow, 4000)
            3
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
        """schedule_activity_with_retry with all attempts in one session.

        Args:
            name (str or function): name it is registered under, or the registered function itself.
            input (JSON value): what the activity gets.
            retry (RetryPolicy): a dictionary, see RetryPolicy.
            session_id (str): of the session, at most 1,024 bytes in UTF-8.

        Raises:
            TypeError, ValueError: the input is not JSON, or ``retry`` is refused, see RetryPolicy (at the call).
            InvalidArgument: a name or session id that is not valid, or a function that is not registered (at the call).
            ActivityError, ActivityTimeout: the last attempt's failure, or time ran out (at the yield).

        Example:
            >>> def flow(ctx, name):
            ...     policy = {"max_attempts": 5, "backoff": "fixed", "initial_ms": 10}
            ...     return (yield ctx.schedule_activity_with_retry_on_session(greet, name, policy, "session-2"))
            >>> run(flow, "Ada")
            'Hello, Ada!'
        """
        extras = on_session(session_id)
        extras.retry = retry_policy(retry)
        return self._call(_frames.T_ACTIVITY, name, input, "schedule_activity_with_retry_on_session", extras)


def _activity_extras(session_id: Optional[str], timeout_ms: Optional[Milliseconds]) -> Extras:
    extras = Extras()
    if session_id is not None:
        extras.session = identifier(session_id, "session_id")
    if timeout_ms is not None:
        extras.number = milliseconds(timeout_ms, "timeout_ms")
        if extras.number == 0:
            raise ValueError("timeout_ms must be more than 0")
    return extras
