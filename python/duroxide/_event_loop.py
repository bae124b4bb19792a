"""The event loop on which a runtime's ``async def`` activities run, many at once on one thread.

::

    lane ── coroutine ──▶ loop thread ── ends, several at a time ──▶ engine
      ◀── goes on without you

No thread waits for a coroutine: the lane that began it answers the engine at once and takes other work.
"""

from __future__ import annotations

import threading
from threading import get_ident
from typing import TYPE_CHECKING, Any, Callable, Optional

from duroxide import _forked, _frames

if TYPE_CHECKING:
    import asyncio
    import contextvars

_LOOK_SECONDS = 0.05
"""How long a coroutine that is no longer wanted may go on at most before it is cancelled."""

End = Callable[[Any, Optional[BaseException]], bytes]
"""Takes what a coroutine returned, or raised, and gives the frame of the activity's end. Raises nothing."""


class EventLoop:
    """A thread with an event loop.

    Args:
        tell: takes the frames of ends, for the engine. It is called on the loop's thread and must not wait.
    """

    def __init__(self, tell: Callable[[bytes], Any]) -> None:
        import asyncio  # here, because it is half of what importing the package would take

        self._tell = tell
        self._loop = asyncio.new_event_loop()
        self._stopping = False
        self._ends: list[bytes] = []
        self._wanted: dict[asyncio.Task[Any], Callable[[], bool]] = {}
        self._looking = False
        self._thread = threading.Thread(target=self._run, name="duroxide-async", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the process is ending, or the system has no more threads
            self._loop.close()
            raise

    def is_own_thread(self) -> bool:
        """Whether the caller is one of the coroutines."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Cancel what still runs, and end."""
        self._stopping = True
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:
            pass  # it has ended

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def begin(
        self,
        run: int,
        coroutine: Any,
        context: contextvars.Context,
        is_cancelled: Callable[[], bool],
        end: End,
    ) -> None:
        """Run a coroutine. Returns at once; the engine is told its end.

        Args:
            run: the number under which the engine knows the activity.
            context: the context variables that it sees.
            is_cancelled: tells that it is no longer wanted; it is then cancelled as asyncio cancels.
            end: see End; called on the loop's thread, once.

        Raises:
            RuntimeError: the loop has ended.
        """
        self._loop.call_soon_threadsafe(self._begin, run, coroutine, is_cancelled, end, context=context)

    # On the loop's thread

    def _begin(self, run: int, coroutine: Any, is_cancelled: Callable[[], bool], end: End) -> None:
        task = self._loop.create_task(_guard(coroutine))
        self._wanted[task] = is_cancelled
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK_SECONDS, self._look)

        def ended(done: asyncio.Task[Any]) -> None:
            self._wanted.pop(done, None)
            try:
                value, error = done.result()
            except BaseException as e:  # it was cancelled before it began
                coroutine.close()
                value, error = None, e
            self._ends.append(_frames.activity_end(run, end(value, error)))
            if len(self._ends) == 1:
                self._loop.call_soon(self._report)

        task.add_done_callback(ended)

    def _report(self) -> None:
        """Tell the engine all that has ended since the last time: entering it once costs as much as the rest."""
        ends, self._ends = self._ends, []
        if ends:
            self._tell(b"".join(ends))

    def _look(self) -> None:
        """Cancel what is not wanted. The engine sets flags and calls nobody, so they are looked at now and then."""
        for task in [task for task, is_cancelled in self._wanted.items() if is_cancelled()]:
            del self._wanted[task]  # one that catches the cancellation and goes on is left in peace
            task.cancel()
        self._looking = bool(self._wanted)
        if self._looking:
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def _end_child(self) -> None:
        """A coroutine has forked, and this is the child: no other coroutine, a copy of the parent's, takes a step."""
        ready = getattr(self._loop, "_ready", None)  # there is no public way to take back what is due
        if ready is not None:
            ready.clear()
        self._loop.call_soon(_forked.end)

    def _run(self) -> None:
        import asyncio

        loop = self._loop
        asyncio.set_event_loop(loop)
        _forked.at_once[get_ident()] = self._end_child
        try:
            while not self._stopping:  # an activity that stops the loop, or a task of its own that raises SystemExit
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as e:
                    if _forked.parent:
                        _forked.end(e)
            loop.run_until_complete(asyncio.sleep(0))  # begins what was handed over before
            left = asyncio.all_tasks(loop)
            while left:
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                left = asyncio.all_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            self._report()
        finally:
            del _forked.at_once[get_ident()]
            asyncio.set_event_loop(None)
            loop.close()


async def _guard(coroutine: Any) -> tuple[Any, Optional[BaseException]]:
    """Keep what a coroutine raises from the loop: SystemExit would end it for all others."""
    try:
        value = await coroutine
    except BaseException as e:
        if _forked.parent:
            _forked.end(e)
        return None, e
    if _forked.parent:
        _forked.end()
    return value, None
