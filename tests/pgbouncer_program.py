"""Where PgBouncer is: on this machine, or in .cache/pgbouncer, where the environment of the tests was made with it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

#: Names another program than the one that is found.
VARIABLE = "DUROXIDE_TEST_PGBOUNCER"

_FETCHED = pathlib.Path(__file__).resolve().parent.parent / ".cache" / "pgbouncer" / "pgbouncer"


def installed() -> str | None:
    """The program; None when there is none."""
    found = os.environ.get(VARIABLE) or shutil.which(
        "pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    )
    return found or (str(_FETCHED) if _FETCHED.exists() else None)


@contextlib.contextmanager
def reachable() -> Iterator[str | None]:
    """The program where every user can run it: a checkout of root's may be closed to the one that it runs as."""
    found = installed()
    if found != str(_FETCHED):
        yield found
        return
    home = pathlib.Path(tempfile.mkdtemp(prefix="duroxide-pgbouncer-", dir="/tmp"))
    try:
        copy = shutil.copytree(_FETCHED.parent, home / "bin")
        for path in (home, *home.rglob("*")):
            path.chmod(0o755)
        yield str(copy / _FETCHED.name)
    finally:
        shutil.rmtree(home, ignore_errors=True)
