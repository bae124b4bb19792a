"""The threads that a runtime lends to the engine.

A lane calls into the library once and stays there, without the GIL, until it ends; the engine calls it back on that
same thread with one frame at a time. A supervisor thread makes lanes when the engine asks for them, so that every
thread that runs Python code was made by Python.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any, Callable, Optional

from duroxide import _forked, _frames
from duroxide._activity import Activities
from duroxide._driver import Execution, Log
from duroxide._frames import ACTIVITY, BEGIN_RESUME, CLOSE, FORGET, HEAD, RESUME, SAME, Op
from duroxide._library import CALLBACK, LaneShared, Library
from duroxide._locations import safe_encode, safe_str
from duroxide._names import Names
from duroxide._payloads import Payloads

_head = HEAD.unpack_from
_HEAD_SIZE = HEAD.size


class Lanes:
    """Supervisor, lanes, and the executions that they step.

    Args:
        library: the loaded library.
        handle: of the runtime.
        orchestrations: functions by name and version.
        activities: the registered activities.
        log: takes warnings about the user's code.
        payloads: how values are stored.
        names: what functions stand for in orchestrations.
    """

    def __init__(
        self,
        library: Library,
        handle: int,
        orchestrations: dict[tuple[str, str], Callable[..., Any]],
        activities: Activities,
        log: Log,
        payloads: Payloads,
        names: Names,
    ) -> None:
        self._library = library
        self._handle = handle
        self._orchestrations = orchestrations
        self._activities = activities
        self._log = log
        self._payloads = payloads
        self._names = names
        self._executions: dict[int, Execution] = {}
        self._threads: list[threading.Thread] = []
        self._lacked = False
        self._supervisor = threading.Thread(target=self._supervise, name="duroxide-supervisor", daemon=True)

    def start(self) -> None:
        self._supervisor.start()

    def join(self, timeout: float) -> bool:
        """Wait for all threads, at most ``timeout`` seconds in all. True when they have ended."""
        deadline = time.monotonic() + timeout
        self._supervisor.join(timeout)
        alive = self._supervisor.is_alive()
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
            alive = alive or thread.is_alive()
        return not alive

    def have_ended(self) -> bool:
        """Whether the engine has let go of its threads: by shutdown, or because it may not go on."""
        return not self._supervisor.is_alive()

    def is_own_thread(self) -> bool:
        """Whether the caller runs on one of these threads."""
        return threading.current_thread() in self._threads or self._activities.is_own_thread()

    def _supervise(self) -> None:
        while True:
            (lane, kind), _ = self._library.call(Op.SUPERVISE, self._handle)
            if kind == _frames.LANE_END:
                return
            thread = threading.Thread(target=self._run, args=(lane, kind), name=f"duroxide-lane-{lane}", daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError:
                # No thread can be made: the process is ending, or the system has no more. The engine asks again.
                self._threads.remove(thread)
                self._library.call(Op.LANE_FAILED, self._handle, kind)
                if not self._lacked:
                    self._lacked = True
                    self._log("error", "a lane could not be started: the system gives no thread", {})

    def _run(self, lane: int, kind: int) -> None:
        shared = LaneShared()
        callback = CALLBACK(self._callback(shared))
        self._library.lane(self._handle, lane, kind, ctypes.byref(shared), callback)

    def _callback(self, shared: LaneShared) -> Callable[[int, int], int]:
        executions = self._executions
        string_at = ctypes.string_at
        run_activity = self._activities.run
        other = self._other

        def callback(address: int, size: int) -> int:
            try:
                data = string_at(address, size)
                op, number, branch = _head(data)
                if op == RESUME:
                    execution = executions[number]
                    answer = execution.resume(branch, data, _HEAD_SIZE)
                    if execution.ended:
                        executions.pop(number, None)
                elif op == ACTIVITY:
                    answer = run_activity(data, _HEAD_SIZE, number)
                else:
                    answer = other(op, number, branch, data)
            except BaseException as e:
                if _forked.parent:
                    _forked.end(e)
                answer = _frames.yield_head(_frames.YIELD_FATAL, b"") + _frames.calls([])
                text = safe_encode(f"{type(e).__name__}: {safe_str(e)}")
                answer += _frames.failure(text, safe_encode(type(e).__name__), text)
            if _forked.parent:
                _forked.end(None, "an activity" if op == ACTIVITY else "an orchestration")
            shared.out = answer
            shared.out_len = len(answer)
            return 1

        return callback

    def _other(self, op: int, number: int, branch: int, data: bytes) -> bytes:
        executions = self._executions
        if op == BEGIN_RESUME:
            (size,) = _frames.U32_AT(data, _HEAD_SIZE)
            begin = _frames.read_begin(data, _HEAD_SIZE + 4)
            old = executions.pop(number, None)
            if old is not None:
                old.close_all()
            function = self._orchestrations[(begin.name, begin.version)]
            execution = Execution(function, begin, self._log, self._payloads, self._names)
            executions[number] = execution
            answer = execution.resume(branch, data, _HEAD_SIZE + 4 + size)
            if execution.ended:
                executions.pop(number, None)
            return answer
        found: Optional[Execution] = executions.get(number)
        if op == CLOSE:
            if found is not None:
                found.close(branch)
        elif op == FORGET:
            if found is not None:
                found.close_all()
                executions.pop(number, None)
        elif op == SAME:
            recorded, pos = _frames.read_text(data, _HEAD_SIZE)
            asked, _ = _frames.read_text(data, pos)
            return b"\1" if self._payloads.same(recorded, asked) else b"\0"
        else:
            raise ValueError(f"malformed frame: op {op}")
        return b""
