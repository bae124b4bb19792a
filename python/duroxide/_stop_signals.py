"""Waits on the main thread until the process is asked to stop."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Callable, Optional

__all__ = ["StopSignals"]

_LOOK_SECONDS = 1.0


class StopSignals:
    """Takes SIGINT and SIGTERM while its ``with`` block runs. On the main thread only.

    The system may hand a signal to any thread of the process, and a thread that waits for a lock is woken only by its
    own. So the interpreter's handler, on whichever thread it runs, writes the number of the signal to a socket, and
    the main thread waits for that.
    """

    def __init__(self) -> None:
        self._numbers = (signal.SIGINT, signal.SIGTERM)
        self._before: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> StopSignals:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _taken)
        return self

    def wait(self, over: Callable[[], bool]) -> bool:
        """Return True when one of the signals has come since the block began, False soon after ``over()`` says so."""
        while True:
            ready, _, _ = select.select([self._read], [], [], _LOOK_SECONDS)
            if ready and any(number in self._numbers for number in self._read.recv(4096)):
                return True
            if over():
                return False

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()


def _taken(number: int, frame: Optional[FrameType]) -> None:
    """Nothing to do: the number lies in the socket."""
