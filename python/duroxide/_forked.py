"""What becomes of children that user code forks while the engine runs it.

Such a child is a copy of one thread, in the middle of the engine's work and without the engine. It may do what it was
forked for, but it must never come back: what it returned or raised would be taken for the answer of its parent. So
every way back into this package leads to end() there.
"""

from __future__ import annotations

import os
import sys
from threading import get_ident
from typing import Any, Callable, NoReturn, Optional

from duroxide._locations import format_exception

parent = 0
"""In a child that was forked after the engine had been loaded: the process that the engine belongs to. Else 0."""

at_once: dict[int, Callable[[], Any]] = {}
"""By thread id: what is done in a child as soon as that thread has forked it."""


def begin(engine_of: int) -> None:
    """This process is a forked child, and the engine that it inherited belongs to another one."""
    global parent
    parent = engine_of
    action = at_once.get(get_ident())
    if action is not None:
        action()


def end(error: Optional[BaseException] = None, by: str = "an activity") -> NoReturn:
    """End this forked child, which has come back from user code.

    Args:
        error: what it raised: SystemExit ends it as asked, anything else with a traceback and status 1. Default None:
            it returned, which is an error too.
        by: what forked it.
    """
    status, said = 1, ""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            status = (error.code or 0) & 0xFF
        else:
            said = str(error.code)
    elif error is not None:
        said = format_exception(error)
    else:
        said = (
            f"duroxide: process {os.getpid()} was forked by {by} of process {parent} and came back into it; "
            "it ends here: a child does its work and calls os._exit()"
        )
    try:
        if said:
            print(said, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        pass  # closed, or none
    finally:
        os._exit(status)
