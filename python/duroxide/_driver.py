"""Steps the generators of orchestrations.

Python's side of a running execution: its context, its generators, the exceptions they raised. The engine decides what
happens and when; here a generator is advanced to its next yield, and what it did on the way is put into a frame.
Nothing here calls the engine, so it can be driven by hand in tests.

::

    engine ── resume(branch, value or error) ──▶ Execution ── send / throw ──▶ generator
    engine ◀── yield: immediate calls, task ──── Execution ◀── yield ───────── generator
"""

from __future__ import annotations

import contextvars
import gc
import inspect
import sys
from collections.abc import Generator
from threading import get_ident
from types import GeneratorType
from typing import Any, Callable, Optional

from duroxide import _forked, _frames
from duroxide._context import OrchestrationContext
from duroxide._errors import CodecError, OrchestrationError, failure_error
from duroxide._frames import (
    ERR,
    MOMENT,
    NONE,
    T_ALL,
    T_BRANCH,
    T_CONTINUE_AS_NEW,
    T_RACE,
    TEXT,
    THROWN,
    YIELD_FATAL,
    YIELD_RAISE,
    YIELD_RETURN,
    YIELD_UNABLE,
    leaf,
    pack_composite,
    read_text,
    read_value,
)
from duroxide._immediate import stepping
from duroxide._locations import (
    format_exception,
    of_stack,
    of_traceback,
    of_yield,
    place,
    safe_encode,
    safe_str,
)
from duroxide._names import EVERYWHERE, Names
from duroxide._payloads import PLAIN, Payloads
from duroxide._tasks import Made, ScheduledTask, type_name

Log = Callable[[str, str, "dict[str, str]"], None]
"""Takes a level, a message and context fields; must not block."""

_AnyGenerator = Generator[Any, Any, Any]
_NONE_TOLD: frozenset[str] = frozenset()
_MAX_DEPTH = 100
_MAX_RAISED = 10_000
_moment = MOMENT.unpack_from
_MOMENT_SIZE = MOMENT.size


class _Unreadable(BaseException):
    """A payload cannot be read here. No except clause of the user's sees it: the instance waits for who can."""


class Execution:
    """One execution of an orchestration function while it is in memory.

    Args:
        function: the orchestration function.
        begin: what the execution begins with.
        log: takes warnings about the user's code.
        payloads: how values are stored.
        names: what functions stand for.
    """

    __slots__ = (
        "_awaiting",
        "_context",
        "_ctx",
        "_function",
        "_input",
        "_log",
        "_next_branch",
        "_payloads",
        "_raised",
        "_seen",
        "_told",
        "branches",
        "ended",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        begin: _frames.Begin,
        log: Log,
        payloads: Payloads = PLAIN,
        names: Names = EVERYWHERE,
    ) -> None:
        ctx = OrchestrationContext()
        ctx.instance_id = begin.instance
        ctx.execution_id = begin.execution
        ctx.orchestration_name = begin.name
        ctx.orchestration_version = begin.version
        ctx.parent_instance_id = begin.parent or None
        ctx._execution = self
        ctx._dropped = []
        ctx._names = names
        ctx._payloads = self._payloads = payloads
        ctx._status = begin.status
        ctx._kv = begin.kv
        self._ctx = ctx
        self._function = function
        self._input = begin.input
        self._log = log
        # Empty: what one orchestration sets in its context reaches no other, and no lane leaks into a replay.
        self._context = contextvars.Context()
        self.branches: dict[int, _AnyGenerator] = {}
        self._seen: set[int] = set()  # ids of the generators in branches
        self._raised: dict[int, BaseException] = {}
        self._awaiting: dict[int, ScheduledTask[Any]] = {}  # tasks whose value is to be converted
        self._next_branch = 1
        self._told: frozenset[str] = _NONE_TOLD  # the lines whose tasks were never yielded
        self.ended = False  # the root has ended and nothing is left to close

    def resume(self, branch: int, data: bytes, pos: int) -> bytes:
        """Advance a branch to its next yield, return or exception.

        Args:
            branch: 0 is the orchestration function.
            data, pos: a frame, and where in it the moment and the resolution stand.

        Returns:
            the frame of the yield.
        """
        ctx = self._ctx
        ctx._now_ms, ctx._remaining, ctx._replaying, kind = _moment(data, pos)
        ctx._recorded = 0
        pos += _MOMENT_SIZE
        thread = get_ident()
        stepping[thread] = self
        try:
            value: Any = None
            error: Optional[BaseException] = None
            if kind == TEXT:
                value = self._decode(read_text(data, pos)[0])
            elif kind == ERR:
                error = self._failure(data, pos)
            elif kind == THROWN:
                error = self._raised.pop(int.from_bytes(data[pos : pos + 4], "little"))
            elif kind != NONE:
                value = read_value(data, kind, pos, self._decode, self._decode_error)[0]
            if self._awaiting:
                value, error = self._converted(branch, value, error)
            return self._advance(branch, value, error)
        except _Unreadable as e:
            text = safe_encode(str(e))
            return _frames.yield_head(YIELD_UNABLE, b"") + _frames.NO_CALLS + _frames.failure(text, b"CodecError", text)
        finally:
            stepping.pop(thread, None)  # a forked child has lost it already

    def close(self, branch: int) -> None:
        """Close a branch: its finally blocks run, and nothing that they ask for is recorded."""
        generator = self.branches.pop(branch, None)
        self._raised.pop(branch, None)
        self._awaiting.pop(branch, None)
        if generator is not None:
            self._seen.discard(id(generator))
            self._close(generator)

    def close_all(self) -> None:
        """Close what is left, the youngest branch first."""
        for branch in sorted(self.branches, reverse=True):
            self.close(branch)
        self.ended = True

    # Steps

    def _advance(self, branch: int, value: Any, error: Optional[BaseException]) -> bytes:
        run = self._context.run
        generator = self.branches.get(branch)
        try:
            if generator is None:
                started = self._start(branch)
                if not isinstance(started, GeneratorType):
                    return self._returned(branch, started)
                generator = started
            while True:
                try:
                    task = run(generator.send, value) if error is None else run(generator.throw, error)
                except StopIteration as stop:  # the end of a generator; from anything else it is an error
                    return self._returned(branch, stop.value)
                wire, fault = self._wire(task)
                if fault is None:
                    break
                error = TypeError(self._no_yield_needed(generator) or fault if task is None else fault)
            return self._await(branch, generator, task, wire)
        except _Unreadable:
            raise
        except Exception as e:
            return self._failed(branch, e, YIELD_RAISE)
        except BaseException as e:
            return self._failed(branch, e, YIELD_FATAL)

    def _start(self, branch: int) -> Any:
        """Call the orchestration function. What it gives may be its result already."""
        if branch != 0:
            raise RuntimeError(f"branch {branch} is not known")
        function, input = self._function, self._decode(self._input)
        self._input = ""
        self._begin_state()
        result = self._context.run(function, self._ctx, input)
        if isinstance(result, GeneratorType):
            if not _is_fresh(result):
                raise TypeError("the orchestration function gave a generator that has been started")
            self.branches[0] = result
            self._seen.add(id(result))
        elif inspect.iscoroutine(result):
            result.close()
            raise TypeError(
                "the orchestration function gave a coroutine: orchestrations are generator functions, "
                "with `yield` where other code has `await`"
            )
        elif isinstance(result, ScheduledTask):
            raise TypeError("the orchestration function returned a task: yield it, as in `return (yield task)`")
        return result

    def _await(self, branch: int, generator: _AnyGenerator, task: Any, wire: bytes) -> bytes:
        ctx = self._ctx
        _, at, head = of_yield(generator)
        if ctx._dropped:
            self._tell_of_dropped()
        if type(task) is ScheduledTask:
            if task._converts:
                self._awaiting[branch] = task
            if task._kind == T_CONTINUE_AS_NEW and branch == 0:
                self._tell_of_unyielded()
        calls = ctx._calls
        if not calls:
            return head + wire
        ctx._calls = []
        return _frames.yield_head(_frames.YIELD_AWAIT, at) + _frames.calls(calls) + wire

    def _returned(self, branch: int, value: Any) -> bytes:
        generator = self.branches.get(branch)
        name = self._ctx.orchestration_name
        try:
            payload = self._payloads.encode(value, "result of " + (f"'{name}'" if branch == 0 else "a branch"))
        except Exception as refused:
            e = refused
            if isinstance(value, ScheduledTask):
                e = TypeError(f"result of '{name}' is a task: yield it, as in `return (yield task)`")
            return self._failed(branch, e, YIELD_RAISE)
        at = b"" if generator is None else _end_of(generator)
        self._drop(branch)
        return self._end(YIELD_RETURN, branch, at) + _frames.text(payload)

    def _failed(self, branch: int, e: BaseException, kind: int) -> bytes:
        if _forked.parent:
            _forked.end(e, "an orchestration")
        message = self._stored_error(format_exception(e))
        at = of_traceback(e.__traceback__)
        self._drop(branch)
        if branch != 0:
            # Whoever awaits this branch gets the very same exception. Those that nobody gets, since an all shows their
            # text, are dropped in time: their frames keep alive what they hold.
            self._raised[branch] = e
            if len(self._raised) > _MAX_RAISED:
                del self._raised[next(iter(self._raised))]
        return self._end(kind, branch, at) + _frames.failure(
            message, safe_encode(type(e).__name__), safe_encode(safe_str(e))
        )

    def _drop(self, branch: int) -> None:
        generator = self.branches.pop(branch, None)
        if generator is not None:
            self._seen.discard(id(generator))

    def _end(self, kind: int, branch: int, at: bytes) -> bytes:
        """The beginning of a yield that ends a branch."""
        ctx = self._ctx
        calls, ctx._calls = ctx._calls, []
        if branch == 0:
            self._tell_of_unyielded()
            self.ended = not self.branches
        return _frames.yield_head(kind, at, self.ended) + _frames.calls(calls)

    def _converted(
        self, branch: int, value: Any, error: Optional[BaseException]
    ) -> tuple[Any, Optional[BaseException]]:
        task = self._awaiting.pop(branch, None)
        if task is None or error is not None:
            return value, error
        try:
            return _convert(task, value), None
        except Exception as e:
            return None, e

    # Payloads

    def _decode(self, text: str) -> Any:
        try:
            return self._payloads.decode(text)
        except CodecError as e:
            raise _Unreadable(str(e)) from e

    def _decode_text(self, text: str) -> str:
        try:
            return self._payloads.decode_text(text)
        except CodecError as e:
            raise _Unreadable(str(e)) from e

    def _decode_error(self, text: str) -> str:
        try:
            return self._payloads.decode_error(text)
        except CodecError as e:
            raise _Unreadable(str(e)) from e

    def _failure(self, data: bytes, pos: int) -> OrchestrationError:
        kind, text, type_name, traceback, *rest = _frames.read_failure(data, pos)
        return failure_error(kind, self._decode_error(text), type_name, self._decode_error(traceback), *rest)  # type: ignore[arg-type]

    def _begin_state(self) -> None:
        """Decode what the execution begins with, now that failing to do so can be told."""
        if self._payloads is PLAIN and not self._ctx._kv and self._ctx._status is None:
            return
        ctx = self._ctx
        if ctx._status is not None:
            ctx._status = self._decode_text(ctx._status)
        ctx._kv = {key: (self._decode_text(value), at) for key, (value, at) in ctx._kv.items()}

    def _stored_error(self, text: str) -> bytes:
        """The text of an exception as it is stored. A codec that fails must not hide that something failed."""
        try:
            return self._payloads.encode_text(text)
        except Exception as e:
            return safe_encode(f"an exception whose text the codec does not take: {type(e).__name__}")

    # Tasks

    def _wire(self, task: Any) -> tuple[bytes, Optional[str]]:
        """The frame of what was yielded, or what is wrong with it."""
        if type(task) is ScheduledTask and task._members is None:
            if task._ctx is not self._ctx:
                return b"", _OTHER_CONTEXT
            if not task._used:
                task._use()
            return leaf(task._kind, task._name, task._input, task._extras, None), None
        parts: list[bytes] = []
        fresh: list[_AnyGenerator] = []
        fault = self._collect(task, parts, fresh, 0)
        if fault is not None:
            return b"", fault
        # Numbers are drawn only for a tree that is valid as a whole.
        for generator in fresh:
            self.branches[self._next_branch] = generator
            self._seen.add(id(generator))
            self._next_branch += 1
        return b"".join(parts), None

    def _collect(self, task: Any, parts: list[bytes], fresh: list[_AnyGenerator], depth: int) -> Optional[str]:
        if isinstance(task, ScheduledTask):
            if task._ctx is not self._ctx:
                return _OTHER_CONTEXT
            if not task._used:
                task._use()
            members = task._members
            if members is None:
                if task._kind == T_CONTINUE_AS_NEW and depth:
                    return (
                        "continue_as_new cannot be a member of all or race: it ends the whole execution; yield it alone"
                    )
                at = place(task._code, task._line)[1] if depth else None
                parts.append(leaf(task._kind, task._name, task._input, task._extras, at))
                return None
            if depth >= _MAX_DEPTH:
                return f"all and race are nested more than {_MAX_DEPTH} deep"
            parts.append(pack_composite(task._kind, len(members)))
            for member in members:
                fault = self._collect(member, parts, fresh, depth + 1)
                if fault is not None:
                    return fault
            return None
        if type(task) is GeneratorType:
            if id(task) in self._seen or any(g is task for g in fresh) or not _is_fresh(task):
                return (
                    "this generator is running already: a generator can be yielded once, before anything else "
                    "has advanced it; call the generator function again for another branch"
                )
            parts.append(pack_composite(T_BRANCH, self._next_branch + len(fresh)))
            fresh.append(task)
            return None
        return _explain(task, "a member of all or race" if depth else "what was yielded")

    def _no_yield_needed(self, generator: _AnyGenerator) -> str:
        """What to say when the None that was yielded is what an immediate call on that line gave."""
        calls = self._ctx._calls
        if not calls or not calls[-1].endswith(_frames.text(of_yield(generator)[1])):
            return ""
        call = _frames.immediate_name(calls[-1])
        return f"what was yielded is None, not a task: ctx.{call} acts at once and needs no yield"

    # What the user should hear of

    def _tell_of_unyielded(self) -> None:
        """This is the end: what has not been yielded yet never will be."""
        ctx = self._ctx
        self._tell_of_dropped()
        if ctx._open > 0:
            # Who has tasks is not written down, since hardly ever one is left at the end.
            for task in gc.get_referrers(ctx):
                if type(task) is ScheduledTask and not task._used:
                    task._use()
                    self._tell_of(task._made())

    def _tell_of_dropped(self) -> None:
        ctx = self._ctx
        dropped, ctx._dropped = ctx._dropped, []
        ctx._open -= len(dropped)
        for made in dropped:
            if made is not None:
                self._tell_of(made)

    def _tell_of(self, made: Made) -> None:
        """Warn of a task that was made and never yielded, so that nothing waited for it. Once for each line."""
        code, line, kind, name, extras = made
        at = place(code, line)[1].decode()
        if at in self._told:
            return
        self._told = self._told | {at}
        if self._ctx.is_replaying:
            return  # it was told when this was new
        called = f" '{name.decode()}'" if name else ""
        self._warn(
            f"{type_name(kind, extras)}{called} was made at {at} and never yielded, so it was never started; "
            "write `yield` before it"
        )

    def _warn(self, message: str) -> None:
        ctx = self._ctx
        self._log(
            "warn",
            message,
            {
                "instance_id": ctx.instance_id,
                "execution_id": str(ctx.execution_id),
                "orchestration_name": ctx.orchestration_name,
                "orchestration_version": ctx.orchestration_version,
            },
        )

    def _close(self, generator: _AnyGenerator) -> None:
        ctx = self._ctx
        thread = get_ident()
        before = stepping.get(thread)
        stepping[thread] = self
        ctx._muted = True
        try:
            self._context.run(generator.close)
        except BaseException as e:
            if _forked.parent:
                _forked.end(e, "an orchestration")
            at = of_traceback(e.__traceback__) or of_yield(generator)[1]
            self._warn(
                f"{type(e).__name__} while the generator was closed, at {at.decode() or 'unknown'}: {safe_str(e)}"
            )
        finally:
            ctx._muted = False
            ctx._calls = []
            if before is None:
                stepping.pop(thread, None)
            else:
                stepping[thread] = before


def standing_at(instance_id: str) -> str:
    """Where the code of an instance is now, as ``file:line``; empty when no thread is stepping it."""
    for thread, execution in list(stepping.items()):
        if execution._ctx.instance_id == instance_id:
            return of_stack(sys._current_frames().get(thread)).decode()
    return ""


_OTHER_CONTEXT = "this task was made by the context of another orchestration; make it with the ctx of this one"


def _is_fresh(generator: Any) -> bool:
    return inspect.getgeneratorstate(generator) == inspect.GEN_CREATED


def _end_of(generator: _AnyGenerator) -> bytes:
    """The function that a generator ran: a generator that has returned stands nowhere any more."""
    code = getattr(generator, "gi_code", None)
    return place(code, code.co_firstlineno)[1] if code is not None else b""


def _convert(task: ScheduledTask[Any], value: Any) -> Any:
    """Apply the converters of a task and its members to what the engine gave."""
    members = task._members
    if members is not None:
        if task._kind == T_ALL:
            for member, entry in zip(members, value):
                if isinstance(member, ScheduledTask) and member._converts and "ok" in entry:
                    entry["ok"] = _convert(member, entry["ok"])
        elif task._kind == T_RACE:
            winner = members[value["index"]]
            if isinstance(winner, ScheduledTask) and winner._converts:
                value["value"] = _convert(winner, value["value"])
    return value if task._convert is None else task._convert(value)


# These texts may flow into a workflow's results and so into its history: they hold no path, line or address, and they
# are not changed from release to release.
def _explain(task: Any, what: str) -> str:
    """Why something is not a task, and the usual slip behind it."""
    if task is None:
        return f"{what} is None, not a task: yield what a method of ctx gives, as in `yield ctx.schedule_activity(...)`"
    if isinstance(task, (list, tuple)):
        return (
            f"{what} is a {type(task).__name__}, not a task: "
            "wait for several tasks with `yield ctx.all([...])` or `yield ctx.race(...)`"
        )
    if inspect.isgeneratorfunction(task):
        return (
            f"{what} is the generator function {task.__name__}, not a task: call it, as in `yield {task.__name__}(ctx)`"
        )
    if inspect.iscoroutine(task) or inspect.iscoroutinefunction(task):
        if inspect.iscoroutine(task):
            task.close()  # else Python warns that it was never awaited
        return (
            f"{what} is a coroutine, not a task: orchestrations do not await; do the work in an activity and "
            "yield `ctx.schedule_activity(...)`"
        )
    if inspect.isasyncgen(task):
        return f"{what} is an async generator, not a task: write the branch as a plain generator function"
    if callable(task):
        name = getattr(task, "__name__", type(task).__name__)
        return (
            f"{what} is the function {name}, not a task: schedule it, as in `yield ctx.schedule_activity({name}, ...)`"
        )
    return (
        f"{what} is a {type(task).__name__}, not a task: yield what a method of ctx gives, "
        "as in `yield ctx.schedule_activity(...)`; was a `ctx.` forgotten?"
    )
