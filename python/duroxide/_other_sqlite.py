"""Finds another SQLite library in this process that has the same database open.

POSIX drops all of a process's locks on a file when any of its descriptors of the file is closed. Two libraries do not
know of each other's descriptors: when Python's own ``sqlite3`` closes a database that the engine has open, the engine's
locks are gone without a sign.
"""

from __future__ import annotations

import logging
import os
import sys

from duroxide._records import NO_CONTEXT

_told: set[str] = set()
_ours: set[tuple[int, int]] = set()

_DESCRIPTORS = "/proc/self/fd"


def warn_of_other_sqlite(path: str) -> None:
    """Warn, once for each file, when ``path`` is open in this process already and not by the engine.

    Looks only where it is cheap: on Linux, when ``sqlite3`` has been imported. What is opened later is not seen.
    """
    try:
        found = os.stat(path)
    except OSError:
        return  # it is made now, so nobody has it
    file = (found.st_dev, found.st_ino)
    known = file in _ours
    _ours.add(file)
    name = os.path.realpath(path)
    if known or name in _told or not sys.platform.startswith("linux") or "_sqlite3" not in sys.modules:
        return
    try:
        open_now = any(_is(file, fd) for fd in os.listdir(_DESCRIPTORS))
    except OSError:
        return
    if open_now:
        _told.add(name)
        logging.getLogger("duroxide.engine").warning(
            "%s is open in this process by another SQLite library too, such as Python's sqlite3: closing it there "
            "drops the engine's locks on the file; close it before, or look into the database from another process",
            name,
            extra=NO_CONTEXT,
        )


def _is(file: tuple[int, int], fd: str) -> bool:
    try:
        found = os.stat(os.path.join(_DESCRIPTORS, fd))
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == file
