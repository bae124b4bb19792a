"""Places in the user's code: what histories, warnings and tracebacks show of it."""

from __future__ import annotations

import os
import sys
import traceback
from types import CodeType, FrameType, GeneratorType, TracebackType
from typing import Any, Optional

from duroxide import _frames
from duroxide._errors import ActivityError
from duroxide._tasks import TASK_ITERATOR_CODE

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MAX_CACHED = 20_000

# By id, since hashing a code object compares all of it; the code is kept alive so that its id stays its own.
_places: dict[tuple[int, int], tuple[CodeType, bytes, bytes]] = {}


def _file(path: str) -> str:
    """The path without the longest entry of sys.path that it begins with."""
    best = ""
    for entry in (*sys.path, os.getcwd()):
        folder = os.path.abspath(entry) + os.sep if entry else os.getcwd() + os.sep
        if len(folder) > len(best) and path.startswith(folder):
            best = folder
    return path[len(best) :].replace(os.sep, "/")


def place(code: CodeType, line: int) -> tuple[CodeType, bytes, bytes]:
    """The code, ``file:line`` in UTF-8, and the beginning of a yield there that made no immediate calls."""
    key = (id(code), line)
    found = _places.get(key)
    if found is None:
        try:
            name = _file(code.co_filename)
        except OSError:  # the working directory is gone
            name = code.co_filename
        at = f"{name}:{line}".encode("utf-8", "replace")
        found = (code, at, _frames.yield_head(_frames.YIELD_AWAIT, at) + _frames.NO_CALLS)
        if len(_places) >= _MAX_CACHED:
            _places.clear()
        _places[key] = found
    return found


_NOWHERE = (place.__code__, b"", _frames.yield_head(_frames.YIELD_AWAIT, b"") + _frames.NO_CALLS)


def of_yield(generator: Any) -> tuple[CodeType, bytes, bytes]:
    """Where a suspended generator stands: in itself, or in what it delegates to with ``yield from``."""
    frame = None
    while type(generator) is GeneratorType:
        inner = generator.gi_frame
        if inner is None or inner.f_code is TASK_ITERATOR_CODE:
            break
        frame = inner
        generator = generator.gi_yieldfrom
    if frame is None:
        return _NOWHERE
    return place(frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno)


def of_traceback(tb: Optional[TracebackType]) -> bytes:
    """Where an exception came from: the innermost frame that is not of this package."""
    found = b""
    while tb is not None:
        code = tb.tb_frame.f_code
        if not code.co_filename.startswith(_HERE):
            found = place(code, tb.tb_lineno or code.co_firstlineno)[1]
        tb = tb.tb_next
    return found


def of_stack(frame: Optional[FrameType]) -> bytes:
    """Where the user's function stands that this package has called on a running thread."""
    found = b""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_HERE):
            if found:
                break
        else:
            found = place(code, frame.f_lineno or code.co_firstlineno)[1]
        frame = frame.f_back
    return found


def safe_str(e: BaseException) -> str:
    """``str(e)`` also for exceptions whose ``__str__`` raises."""
    try:
        return str(e)
    except Exception:
        return f"<{type(e).__name__} whose text cannot be made>"


def safe_encode(text: str) -> bytes:
    """Text of the user's in UTF-8, whatever is in it."""
    return text.encode("utf-8", "backslashreplace")


def format_exception(e: BaseException) -> str:
    """The traceback as text, with the user's frames only."""
    try:
        report = traceback.TracebackException(type(e), e, e.__traceback__, capture_locals=False)
        seen: set[int] = set()
        stack: list[traceback.TracebackException] = [report]
        while stack:
            part = stack.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            part.stack[:] = [f for f in part.stack if not f.filename.startswith(_HERE)]
            stack.extend(x for x in (part.__cause__, part.__context__) if x is not None)
            stack.extend(getattr(part, "exceptions", None) or ())
        return _of_activities(e) + "".join(report.format()).rstrip("\n")
    except Exception:
        # A class that breaks the machinery, or no memory or stack left for it.
        return f"{type(e).__name__}: {safe_str(e)}"


def _of_activities(e: BaseException) -> str:
    """The tracebacks of the activities whose failures led to an exception: what its own traceback cannot show."""
    found: list[str] = []
    seen: set[int] = set()
    stack: list[Optional[BaseException]] = [e]
    while stack:
        part = stack.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, ActivityError) and part.original_traceback:
            attempt = f", attempt {part.attempt}" if part.attempt > 1 else ""
            found.append(
                f"{part.original_traceback}\n\nThe above was raised in activity '{part.activity_name}'{attempt}, for "
                "which the orchestration was waiting:\n\n"
            )
        stack += (part.__context__, part.__cause__)
    return "".join(reversed(found))
