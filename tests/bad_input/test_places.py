"""Stores that cannot be opened, vanish, fill up or are locked by somebody else."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import duroxide
from duroxide import Client, ProviderError, SqliteProvider
from harness import WAIT_MS, Engine, environment, python, spawn

not_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")


def refused(path: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        SqliteProvider.open(path)
    return str(caught.value)


def test_directory(tmp_path: pathlib.Path) -> None:
    assert str(tmp_path) in refused(str(tmp_path))


def test_parent_that_is_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "file" in refused(tmp_path / "file" / "x.db")


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 100, b"\0" * 5000, b"SQLite"])
def test_file_that_is_no_database(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    assert str(path) in refused(path)
    assert path.read_bytes() == content, "it is left alone"


def test_damaged_database(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.db"
    with SqliteProvider.open(path) as provider:
        for n in range(50):
            Client(provider).start_orchestration(f"i{n}", "W", "x" * 2000)
    raw = bytearray(path.read_bytes())
    raw[4096 : len(raw) - 4096] = os.urandom(len(raw) - 8192)
    path.write_bytes(raw)
    assert str(path) in "; ".join(errors_of_reading(path))


def errors_of_reading(path: pathlib.Path) -> list[str]:
    """Open the store and read everything; only ProviderError may come of it."""
    errors = []
    try:
        provider = SqliteProvider.open(path)
    except ProviderError as e:
        return [str(e)]
    with provider:
        client = Client(provider)
        for n in range(50):
            for read in (client.get_status, client.get_instance_tree, client.list_executions):
                try:
                    read(f"i{n}")
                except ProviderError as e:
                    errors.append(f"{path}: {e}")
    return errors


def test_newer_schema(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.db"
    SqliteProvider.open(path).close()
    db = sqlite3.connect(path)
    (version,) = db.execute("pragma user_version").fetchone()
    assert version > 0, "the schema has a version"
    db.execute(f"pragma user_version = {version + 1000}")
    db.commit()
    db.close()
    text = refused(path)
    assert str(path) in text
    assert "newer" in text


def test_tables_of_somebody_else_are_left_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.db"
    db = sqlite3.connect(path)
    db.execute("create table invoices (id integer)")
    db.execute("insert into invoices values (7)")
    db.commit()
    db.close()
    assert "another program" in refused(path)
    db = sqlite3.connect(path)
    assert db.execute("select id from invoices").fetchall() == [(7,)]
    assert db.execute("select name from sqlite_master").fetchall() == [("invoices",)]
    db.close()


def test_tables_of_ours_carry_the_prefix(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.db"
    SqliteProvider.open(path).close()
    db = sqlite3.connect(path)
    names = [n for (n,) in db.execute("select name from sqlite_master where type = 'table'")]
    db.close()
    assert [n for n in names if not n.startswith(("duroxide_", "sqlite_"))] == []


@not_root
def test_read_only_folder(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "ro"
    folder.mkdir()
    folder.chmod(0o500)
    assert str(folder) in refused(folder / "x.db")


@pytest.mark.parametrize("path", ["", None, 5, b"bytes.db", "a\0b", "/proc/nowhere/x.db", []], ids=repr)
def test_path_that_is_none(path: Any) -> None:
    with pytest.raises((TypeError, ValueError, ProviderError)):
        SqliteProvider.open(path)


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_new_file_is_private(tmp_path: pathlib.Path) -> None:
    with SqliteProvider.open(tmp_path / "x.db"):
        assert (tmp_path / "x.db").stat().st_mode & 0o077 == 0


def test_odd_paths(tmp_path: pathlib.Path) -> None:
    for name in (
        "with space.db",
        "ünï ✓.db",
        "per%20cent?.db",
        "hash#.db",
        "quote'.db",
        "a&b=c.db",
    ):
        path = tmp_path / name
        with SqliteProvider.open(path) as provider:
            Client(provider).start_orchestration("i", "W")
        assert path.exists(), name
        with SqliteProvider.open(path) as provider:
            assert Client(provider).list_all_instances() == ["i"]


def test_postgres_that_cannot_be_reached() -> None:
    secret = "pa55word"
    url = f"postgresql://user:{secret}@127.0.0.1:1/db?connect_timeout=2"
    for connect in (
        lambda: duroxide.PostgresProvider.connect(url),
        lambda: duroxide.PostgresProvider.connect_with_schema(url, "s"),
    ):
        with pytest.raises(ProviderError) as caught:
            connect()
        assert secret not in str(caught.value)


@pytest.mark.sqlite_only("the lock of a file")
def test_database_locked_by_another_program_for_three_seconds(file_engine: Engine) -> None:
    engine = file_engine
    runtime = engine.runtime()
    runtime.register_activity("A", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        for n in range(20):
            yield ctx.schedule_activity("A", n)
        return "through"

    runtime.start()
    other = spawn(
        """
        import sqlite3, sys, time
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("pragma busy_timeout = 10000")
        db.execute("begin immediate")
        print("locked", flush=True)
        time.sleep(3)
        db.execute("rollback")
        """,
        str(engine.path),
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        ids = [engine.start("W") for _ in range(3)]
        for instance in ids:
            assert engine.output(instance) == "through"
    finally:
        other.communicate(timeout=30)


def test_file_deleted_under_us(tmp_path: pathlib.Path) -> None:
    """Nobody can be saved from it; but nothing hangs, and the process ends in order."""
    done = python(
        """
        import os, sys
        from duroxide import Client, DuroxideError, Runtime, SqliteProvider
        path = sys.argv[1]
        provider = SqliteProvider.open(path)
        runtime = Runtime(provider)
        runtime.register_activity("A", lambda ctx, input: input)

        @runtime.register_orchestration("W")
        def workflow(ctx, input):
            for n in range(50):
                yield ctx.schedule_activity("A", n)
            return "end"

        runtime.start()
        client = Client(provider)
        client.start_orchestration("before", "W")
        for name in os.listdir(os.path.dirname(path)):
            os.unlink(os.path.join(os.path.dirname(path), name))
        for n in range(3):
            try:
                client.start_orchestration(f"after{n}", "W")
                client.wait_for_orchestration(f"after{n}", 3000)
            except DuroxideError as e:
                print(type(e).__name__)
        runtime.shutdown(1000)
        provider.close()
        print("ended")
        """,
        str(tmp_path / "x.db"),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ended"


FULL = """
import resource, signal, sys
from duroxide import Client, DuroxideError, Runtime, SqliteProvider
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit = sys.argv[1], int(sys.argv[2])
provider = SqliteProvider.open(path)
client = Client(provider)
runtime = Runtime(provider)
runtime.register_activity("Echo", lambda ctx, input: input)

@runtime.register_orchestration("W")
def workflow(ctx, input):
    for n in range(5):
        yield ctx.schedule_activity("Echo", "x" * 20000)
    return "done"

runtime.start()
client.start_orchestration("first", "W", 1)
assert client.wait_for_orchestration("first", 20000).output == "done"
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
stored, refused = [], 0
for n in range(60):
    try:
        client.start_orchestration(f"i{n}", "W", "y" * 50000)
        stored.append(f"i{n}")
    except DuroxideError as e:
        refused += 1
        if refused == 3:
            break
print("refused", refused, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for name in stored:
    result = client.wait_for_orchestration(name, 30000)
    assert result.output == "done", result
client.start_orchestration("after", "W")
assert client.wait_for_orchestration("after", 20000).output == "done"
assert set(client.list_all_instances()) == {"first", "after", *stored}
runtime.shutdown()
assert provider._check() == [], provider._check()
provider.close()
print("recovered", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_disk_full_in_the_middle_and_room_again(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path / "x.db"), "1500000"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    refused, recovered = done.stdout.splitlines()
    assert int(refused.split()[1]) > 0, "the disk did get full"
    assert recovered == "recovered"


def test_store_opened_twice_in_one_process(file_engine: Engine) -> None:
    with file_engine.open() as second:
        other = Client(second)
        runtime = file_engine.runtime()
        runtime.register_orchestration("Now", lambda ctx, input: input)
        runtime.start()
        other.start_orchestration("by the other", "Now", 1)
        assert file_engine.output("by the other") == 1
        file_engine.run("Now", 2, "by the first")
        assert other.wait_for_orchestration("by the first", WAIT_MS).output == 2


def test_many_processes_may_open_a_new_file_at_once(tmp_path: pathlib.Path) -> None:
    script = """
    import sys
    from duroxide import Client, SqliteProvider
    sys.stdin.readline()
    with SqliteProvider.open(sys.argv[1]) as provider:
        Client(provider).start_orchestration(sys.argv[2], "W")
    """
    path = str(tmp_path / "new.db")
    children = [spawn(script, path, f"i{n}") for n in range(5)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
    with SqliteProvider.open(path) as provider:
        assert sorted(Client(provider).list_all_instances()) == [f"i{n}" for n in range(5)]
