"""Runs activities, and the context they get."""

from __future__ import annotations

import contextvars
import ctypes
import inspect
import re
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional

from duroxide import _forked, _frames
from duroxide._errors import CodecError, NonRetryableError, RuntimeStateError
from duroxide._event_loop import EventLoop
from duroxide._locations import format_exception, safe_encode, safe_str
from duroxide._payloads import PLAIN, Payloads

if TYPE_CHECKING:
    from duroxide._client import Client

__all__ = ["ActivityContext"]

Log = Callable[[str, str, str, "dict[str, str]"], None]
"""Takes a target, a level, a message and context fields; must not block."""


class ActivityContext:
    """What an activity function may know and do.

    Args:
        fields (dict or None): for a context made by hand, in a unit test: the attributes by name, and ``tag``; each may
            be missing, and camelCase names are taken too. Default None: all are.

    Attributes:
        instance_id, orchestration_name, orchestration_version (str): who asked for the activity.
        execution_id (int): of that instance, from 1.
        activity_name (str): the name it was scheduled under.
        activity_id (int): its place in the history of the execution.
        worker_id (str): the node that runs it.
        session_id (str or None): its session, or None.
        attempt (int): which attempt of a retry policy this is, from 1.
        idempotency_key (str): the same in every run of this attempt. An activity may run again after a crash: give this
            key to services that are not to do a thing twice.
        retry_key (str): the same over all attempts of a retry policy.

    Example:
        >>> def pay(ctx, amount):
        ...     asked_by = [ctx.orchestration_name, ctx.orchestration_version, ctx.execution_id, ctx.session_id]
        ...     same = ctx.idempotency_key == ctx.retry_key  # without a retry policy
        ...     where = f"{ctx.instance_id} on {ctx.worker_id}"
        ...     return [ctx.activity_name, ctx.activity_id, ctx.attempt, *asked_by, same, where]
        >>> run_activity(pay, 40)
        ['any_activity', 2, 1, 'any_workflow', '1.0.0', 1, None, True, 'workflow-... on ...']
        >>> charge(ActivityContext({"attempt": 2}), 40)  # in a unit test
        {'charged': 40}
    """

    __slots__ = (
        "__weakref__",
        "_cancel",
        "_client",
        "_log",
        "_tag",
        "activity_id",
        "activity_name",
        "attempt",
        "execution_id",
        "idempotency_key",
        "instance_id",
        "orchestration_name",
        "orchestration_version",
        "retry_key",
        "session_id",
        "worker_id",
    )

    def __init__(self, fields: Optional[dict[str, Any]] = None) -> None:
        given = {_snake_case(name): value for name, value in (fields or {}).items()}
        self.instance_id: str = given.get("instance_id", "")
        self.execution_id: int = given.get("execution_id", 1)
        self.orchestration_name: str = given.get("orchestration_name", "")
        self.orchestration_version: str = given.get("orchestration_version", "")
        self.activity_name: str = given.get("activity_name", "")
        self.activity_id: int = given.get("activity_id", 0)
        self.worker_id: str = given.get("worker_id", "")
        self.session_id: Optional[str] = given.get("session_id")
        self._tag: Optional[str] = given.get("tag")
        self.attempt: int = given.get("attempt", 1)
        self.idempotency_key: str = given.get("idempotency_key", "")
        self.retry_key: str = given.get("retry_key", "")
        self._cancel: Any = None
        self._client: Optional[Callable[[], Client]] = None
        self._log: Optional[Log] = None

    def __repr__(self) -> str:
        return f"<ActivityContext {self.activity_name!r} for instance {self.instance_id!r}>"

    def tag(self) -> Optional[str]:
        """The tag (str) that it was scheduled with, or None.

        Example:
            >>> run_activity(lambda ctx, input: ctx.tag()) is None
            True
            >>> ActivityContext({"tag": "gpu"}).tag()
            'gpu'
        """
        return self._tag

    def is_cancelled(self) -> bool:
        """Whether the result is no longer wanted (bool): the instance ended, another task of a race won, time is up.

        Example:
            >>> def pages(ctx, count):
            ...     for page in range(count):
            ...         if ctx.is_cancelled():
            ...             return None
            ...     return "all of them"
            >>> run_activity(pages, 12)
            'all of them'
        """
        flag = self._cancel
        return flag is not None and flag.value != 0

    def get_client(self) -> Client:
        """A client of the store that this activity came from.

        Raises:
            RuntimeStateError: the activity is not running (any more).

        Example:
            >>> def ordered(ctx, amount):
            ...     ctx.get_client().start_orchestration("order-50", order, amount)
            >>> run_activity(ordered, 40)
            >>> client.wait_for_orchestration("order-50").output
            40
        """
        if self._client is None:
            raise RuntimeStateError("Activity context not found")
        return self._client()

    def trace_info(self, message: Any) -> None:
        """Log a line for people.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> run_activity(lambda ctx, input: ctx.trace_info("12 pages to go"))
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('INFO', '12 pages to go')
        """
        self._trace("info", message)

    def trace_warn(self, message: Any) -> None:
        """Log a warning.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> run_activity(lambda ctx, input: ctx.trace_warn("a page is empty"))
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('WARNING', 'a page is empty')
        """
        self._trace("warn", message)

    def trace_error(self, message: Any) -> None:
        """Log an error.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> run_activity(lambda ctx, input: ctx.trace_error("a page is missing"))
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('ERROR', 'a page is missing')
        """
        self._trace("error", message)

    def trace_debug(self, message: Any) -> None:
        """Log a detail.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> run_activity(lambda ctx, input: ctx.trace_debug("page 7"))
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('DEBUG', 'page 7')
        """
        self._trace("debug", message)

    def _trace(self, level: str, message: Any) -> None:
        log = self._log
        if log is None:
            return
        fields = {
            "instance_id": self.instance_id,
            "execution_id": str(self.execution_id),
            "orchestration_name": self.orchestration_name,
            "orchestration_version": self.orchestration_version,
            "activity_name": self.activity_name,
            "activity_id": str(self.activity_id),
            "worker_id": self.worker_id,
        }
        if self._tag is not None:
            fields["tag"] = self._tag
        if self.session_id is not None:
            fields["session_id"] = self.session_id
        log("duroxide.activity", level, str(message), fields)


def _snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)


class _Ended:
    """The cancel flag of an activity that has ended, as it was then."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Activities:
    """The registered activities of a runtime, and the event loop of the ``async def`` ones.

    Args:
        client: gives the client that activities get.
        log: takes their traces.
        payloads: how values are stored.
        tell: takes the ends of activities that went on without a lane, for the engine.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        log: Log,
        payloads: Payloads = PLAIN,
        tell: Callable[[bytes], Any] = lambda ends: None,
    ) -> None:
        self._payloads = payloads
        self._functions: dict[str, Callable[..., Any]] = {}
        self._client = client
        self._log = log
        self._tell = tell
        self._loop: Optional[EventLoop] = None
        self._making = threading.Lock()
        self._stopped = False

    def add(self, name: str, function: Callable[..., Any]) -> None:
        self._functions[name] = function

    def start(self) -> None:
        """Start the event loop when an activity needs one: during exit no thread can be made any more."""
        if any(inspect.iscoroutinefunction(f) for f in self._functions.values()):
            self._the_loop()

    def stop(self) -> None:
        """End the event loop and what is left on it."""
        with self._making:
            self._stopped = True
            if self._loop is not None:
                self._loop.stop()

    def join(self, timeout: float) -> None:
        if self._loop is not None:
            self._loop.join(timeout)

    def is_own_thread(self) -> bool:
        """Whether the caller is an ``async def`` activity."""
        return self._loop is not None and self._loop.is_own_thread()

    def run(self, data: bytes, pos: int, run: int) -> bytes:
        """Run one activity on this thread, or begin it on the event loop.

        Args:
            data, pos: a frame, and where in it the job stands.
            run: the number under which the engine is told the end of one that goes on without this thread.

        Returns:
            the frame of its end, or that it goes on. Whatever the function raises ends here.
        """
        job = _frames.read_job(data, pos)
        ctx = _context(job, self._client, self._log)
        try:
            input = self._payloads.decode(job.input)
        except CodecError as e:
            ctx.trace_error(
                f"activity '{job.name}' of instance '{job.instance}' waits for a runtime that can read its input: {e}"
            )
            return _frames.ACTIVITY_UNABLE
        context = contextvars.Context()  # empty: nothing that another activity has set
        try:
            value = context.run(self._functions[job.name], ctx, input)
            if inspect.iscoroutine(value):
                self._detach(run, value, context, ctx)
                return _frames.ACTIVITY_DETACHED
        except BaseException as e:
            return self._end(ctx, None, e)
        return self._end(ctx, value, None)

    def _detach(self, run: int, coroutine: Any, context: contextvars.Context, ctx: ActivityContext) -> None:
        try:
            loop = self._the_loop()  # made now for a plain function that gives a coroutine
            loop.begin(run, coroutine, context, ctx.is_cancelled, partial(self._end, ctx))
        except BaseException:
            coroutine.close()
            raise

    def _the_loop(self) -> EventLoop:
        with self._making:
            if self._stopped:
                raise RuntimeStateError("the runtime has stopped")
            if self._loop is None:
                self._loop = EventLoop(self._tell)
            return self._loop

    def _end(self, ctx: ActivityContext, value: Any, error: Optional[BaseException]) -> bytes:
        """The frame of how a function ended, which has no use of its context any more."""
        if _forked.parent:
            _forked.end(error)
        ctx._client = None
        if ctx._cancel is not None:
            # The flag lies in the engine's memory, which is the engine's again after this.
            ctx._cancel = _Ended(ctx._cancel.value)
        if error is None:
            try:
                return _frames.activity_done(self._payloads.encode(value, ""))
            except BaseException as e:
                error = e  # JSON refuses it: the message below names the activity, the rest is json's own
        if isinstance(error, RuntimeError) and _pools_have_ended():
            return _frames.ACTIVITY_UNABLE
        name = type(error).__name__
        message = f"Activity '{ctx.activity_name}' call failed: {name}: {safe_str(error)}"
        return _frames.activity_failed(
            isinstance(error, NonRetryableError),
            self._stored_error(message),
            safe_encode(name),
            self._stored_error(format_exception(error)),
        )

    def _stored_error(self, text: str) -> bytes:
        """The text of an exception as it is stored. A codec that fails must not hide that something failed."""
        try:
            return self._payloads.encode_text(text)
        except Exception as e:
            return safe_encode(f"an exception whose text the codec does not take: {type(e).__name__}")


def _pools_have_ended() -> bool:
    """Whether the interpreter has shut down its thread pools: the first thing it does when the process ends.

    From then on asyncio.to_thread and all executors refuse work, which is no failure of the activity: it is done again.
    """
    pools = sys.modules.get("concurrent.futures.thread")
    return bool(getattr(pools, "_shutdown", False))


def _context(job: _frames.Job, client: Callable[[], Client], log: Log) -> ActivityContext:
    ctx = ActivityContext.__new__(ActivityContext)
    ctx.instance_id = job.instance
    ctx.execution_id = job.execution
    ctx.orchestration_name = job.orchestration
    ctx.orchestration_version = job.version
    ctx.activity_name = job.name
    ctx.activity_id = job.schedule
    ctx.worker_id = job.worker
    ctx.session_id = job.session or None
    ctx._tag = job.tag or None
    ctx.attempt = job.attempt
    ctx.idempotency_key = job.idempotency_key
    ctx.retry_key = job.retry_key
    ctx._cancel = ctypes.c_uint32.from_address(job.cancel_address) if job.cancel_address else None
    ctx._client = client
    ctx._log = log
    return ctx
