"""The shared library with the engine: loading it, calling it, waiting for it.

It is loaded when the first provider is opened, never on import: a process that only imports this package can fork as it
likes. It is never unloaded.

A call from the main thread does not stay in the library for long, since Python acts on signals only between its own
instructions: a call that takes time answers that it is pending, and the thread polls a pipe that the engine writes to.
Calls from other threads wait in the library, with the GIL released.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import select
import sys
import threading
import time
import weakref
from threading import get_ident
from typing import Any, Callable, Optional

from duroxide import _forked, _frames
from duroxide._errors import RuntimeStateError, call_error
from duroxide._frames import DONE, ERROR, FETCH, PENDING, Op
from duroxide._immediate import stepping

__all__ = ["Library", "library", "open_handles"]

_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_FIRST_BUFFER = 64 << 10
_MOST_KEPT = 4 << 20  # a larger buffer is not kept for the next call
_POLL_MS = 150  # bounds the rare case that a signal arrives just before the poll begins
_DRAINED = 4096  # bytes at once
_BLOCK, _PATIENCE, _AT_ONCE = -1, -2, -10

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)


class LaneShared(ctypes.Structure):
    """What a lane shares with its callback: where the answer stands."""

    _fields_ = (("out", ctypes.c_char_p), ("out_len", ctypes.c_int64))


class _Buffer(threading.local):
    """The buffer of each thread for results."""

    def __init__(self) -> None:
        self.resize(_FIRST_BUFFER)

    def resize(self, size: int) -> None:
        self.data = ctypes.create_string_buffer(size)
        self.size = size


def _ticket(data: Any) -> int:
    """The ticket that a buffer begins with."""
    return int.from_bytes(ctypes.string_at(data, 8), "little")


def drain(fd: int) -> None:
    """Read all that a pipe holds: what is left in it would let no later poll of it wait."""
    try:
        while len(os.read(fd, _DRAINED)) == _DRAINED:
            pass
    except BlockingIOError:
        pass


class _Signals:
    """Pipes for pending calls. A signal handler may call again while its thread polls, so there can be several."""

    def __init__(self) -> None:
        self._free: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        try:
            return self._free.pop()  # not asked before: other threads take too
        except IndexError:
            pass
        read, write = os.pipe()  # not inherited by children
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        return read, write

    def give_back(self, pipe: tuple[int, int], used: bool = True) -> None:
        if used:
            drain(pipe[0])  # a call that was given up, or fetched, may have written before it was told
        self._free.append(pipe)


class Library:
    """The loaded library."""

    def __init__(self, path: str) -> None:
        self._pid = os.getpid()
        self._dll = ctypes.CDLL(path)
        protocol = self._dll.dx_protocol
        protocol.restype = ctypes.c_int32
        if protocol() != _frames.PROTOCOL:
            raise ImportError(
                f"{path} is of another version than this package (protocol {protocol()}, not "
                f"{_frames.PROTOCOL}); install duroxide again"
            )
        self._call = self._dll.dx_call
        self._call.restype = ctypes.c_int64
        self._call.argtypes = (
            ctypes.c_int32,
            ctypes.c_int64,
            ctypes.c_int32,
            ctypes.c_char_p,
            ctypes.c_int64,
            ctypes.c_char_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_int64,
        )
        self._fetch = self._dll.dx_fetch
        self._fetch.restype = ctypes.c_int64
        self._fetch.argtypes = (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int64)
        self._cancel = self._dll.dx_cancel
        self._cancel.restype = None
        self._cancel.argtypes = (ctypes.c_uint64,)
        self._cancel_told = self._dll.dx_cancel_told
        self._cancel_told.restype = None
        self._cancel_told.argtypes = (ctypes.c_int32,)
        self.lane = self._dll.dx_lane
        self.lane.restype = ctypes.c_int32
        self.lane.argtypes = (
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int32,
            ctypes.POINTER(LaneShared),
            CALLBACK,
        )
        self._buffer = _Buffer()
        self.signals = _Signals()
        self._main = threading.main_thread().ident

    def call(self, op: int, handle: int = 0, head: Any = None, body: bytes = b"") -> tuple[Any, bytes]:
        """Run an operation.

        Args:
            op: one of Op.
            handle: what it is about; 0 = nothing.
            head: its arguments, as JSON.
            body: a payload, passed as it is.

        Returns:
            header (None when empty) and body of the answer.

        Raises:
            DuroxideError: the class and text that the engine gives.
        """
        header = b"" if head is None else json.dumps(head).encode()
        buffer = self._buffer
        if get_ident() != self._main:
            outcome = self._call(op, handle, _BLOCK, header, len(header), body, len(body), buffer.data, buffer.size)
            return self._answer(outcome)
        pipe = self.signals.take()
        used = True  # unless it is known that nothing will be written
        ended = False
        try:
            fd = pipe[1] if _CAN_POLL else _PATIENCE
            outcome = self._call(op, handle, fd, header, len(header), body, len(body), buffer.data, buffer.size)
            if outcome & 3 == PENDING:
                outcome = self._wait(_ticket(buffer.data), pipe[0])
            else:
                used = False
            ended = True
        finally:
            if not ended:
                # Ctrl-C during the first moments of a call is raised when it has returned, before its outcome is known.
                self._cancel_told(pipe[1])
            self.signals.give_back(pipe, used)
        return self._answer(outcome)

    def begin(self, op: int, handle: int, head: Any, body: bytes, fd: int) -> tuple[int, Optional[int]]:
        """Begin an operation on the thread of an event loop.

        Args:
            fd: a descriptor that is told the ticket (u64) when the operation has ended; -1 = none.

        Returns:
            the outcome, for finish(); and the ticket when it is pending.
        """
        header = b"" if head is None else json.dumps(head).encode()
        buffer = self._buffer
        at = _AT_ONCE - fd if fd >= 0 else _PATIENCE
        outcome: int = self._call(op, handle, at, header, len(header), body, len(body), buffer.data, buffer.size)
        return outcome, _ticket(buffer.data) if outcome & 3 == PENDING else None

    def fetch(self, ticket: int) -> int:
        """Look after a pending operation; gives its outcome."""
        buffer = self._buffer
        outcome: int = self._fetch(ticket, buffer.data, buffer.size)
        return outcome

    def is_pending(self, outcome: int) -> bool:
        """Whether the operation still runs."""
        return outcome & 3 == PENDING

    def cancel(self, ticket: int) -> None:
        """Give a pending operation up. Nothing is told of it after this."""
        self._cancel(ticket)

    def finish(self, outcome: int) -> tuple[Any, bytes]:
        """Header and body of the answer that the last begin() or fetch() of this thread brought."""
        return self._answer(outcome)

    def _wait(self, ticket: int, fd: int) -> int:
        """Wait on the main thread for a pending call. Any exception, as of Ctrl-C, gives the call up."""
        done = False
        try:
            poll: Optional[Callable[[int], Any]] = None
            if _CAN_POLL:
                poller = select.poll()
                poller.register(fd, select.POLLIN)
                poll = poller.poll
            while True:
                if poll is None:
                    time.sleep(0.02)
                else:
                    poll(_POLL_MS)
                    drain(fd)
                buffer = self._buffer
                outcome: int = self._fetch(ticket, buffer.data, buffer.size)
                if outcome & 3 != PENDING:
                    done = True
                    return outcome
        finally:
            if not done:
                self._cancel(ticket)

    def _answer(self, outcome: int) -> tuple[Any, bytes]:
        buffer = self._buffer
        if outcome & 3 == FETCH:
            ticket = _ticket(buffer.data)
            size = outcome >> 2
            buffer.resize(1 << (size - 1).bit_length())
            outcome = self._fetch(ticket, buffer.data, buffer.size)
        size = outcome >> 2
        frame = ctypes.string_at(buffer.data, size)
        if buffer.size > _MOST_KEPT:
            buffer.resize(_FIRST_BUFFER)
        if outcome & 3 == DONE:
            end = 4 + int.from_bytes(frame[:4], "little")
            return (json.loads(frame[4:end]) if end > 4 else None), frame[end:]
        if outcome & 3 == ERROR:
            error = json.loads(frame)
            raise call_error(error["class"], error["text"], error.get("fields"))
        raise RuntimeError(f"the engine answered {outcome}, which means nothing")


_CAN_POLL = hasattr(select, "poll") and sys.platform != "win32"


class _Forked:
    """Stands for the library in a child process that was forked after it had been loaded.

    None of the engine's threads exist there, so that a call would wait for ever.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def __getattr__(self, name: str) -> Any:
        raise RuntimeStateError(
            f"process {os.getpid()} was forked from {self._parent} after duroxide's engine had been started there; "
            "its threads do not exist in a forked child. Open the provider in the child instead: on first use, or in "
            "gunicorn's post_fork; with multiprocessing use the start method 'spawn' or 'forkserver'."
        )


_loaded: Any = None
_lock = threading.Lock()
_exit_hooks: weakref.WeakSet[Any] = weakref.WeakSet()


def library() -> Library:
    """The library, loaded on first use.

    Raises:
        RuntimeStateError: in a child forked after it was loaded (at the first call), or in a subinterpreter.
        ImportError: the library is missing, or belongs to another version.
    """
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _refuse_subinterpreter()
                path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_libduroxide" + _SUFFIX)
                if not os.path.exists(path):
                    raise ImportError(
                        f"duroxide's engine is missing: {path}; install the package with pip, or build it "
                        "(see README.md)"
                    )
                _loaded = Library(path)
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=_after_fork)
                atexit.register(_at_exit)
    found: Library = _loaded
    return found


def loaded() -> bool:
    """Whether the library works in this process."""
    return isinstance(_loaded, Library)


def _refuse_subinterpreter() -> None:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = __import__(name)
            current, main = module.get_current(), module.get_main()
        except (ImportError, AttributeError, RuntimeError):
            continue
        if current != main:
            raise RuntimeStateError(
                "duroxide does not run in subinterpreters; use it from the main interpreter of the process"
            )
        return


def _after_fork() -> None:
    global _loaded, _lock
    stepping.clear()
    _lock = threading.Lock()
    if isinstance(_loaded, Library):
        engine_of = _loaded._pid
        _loaded = _Forked(engine_of)
        _forked.begin(engine_of)


def at_exit(thing: Any) -> None:
    """Call ``thing._exit()`` when the process ends, if it is still alive then. Lower ``_exit_order`` first."""
    _exit_hooks.add(thing)


def _at_exit() -> None:
    # A child that was forked has nothing to end: its hooks belong to the parent.
    if not isinstance(_loaded, Library) or _loaded._pid != os.getpid():
        return
    for thing in sorted(_exit_hooks, key=lambda t: int(t._exit_order)):
        try:
            thing._exit()
        except Exception:
            pass


def open_handles() -> int:
    """The number of the engine's objects that Python holds: providers and runtimes. For leak tests."""
    if not loaded():
        return 0
    head, _ = library().call(Op.OPEN_HANDLES)
    return int(head["n"])
