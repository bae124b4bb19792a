"""A database that cannot be used: one clear error each, in time, and never the password in it."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from proxy import CERTIFICATE, Proxy
from roles import Role

from duroxide import Client, InvalidArgument, PostgresProvider, ProviderError
from harness import Engine
from postgres_server import Server, psql_program
from stores import Schema

SECRET = "pa55word"


def refused(url: str, **options: Any) -> ProviderError:
    """The error of a connection that must not come about."""
    with pytest.raises(ProviderError) as caught:
        PostgresProvider.connect(url, **options)
    error = caught.value
    assert str(error).startswith("Failed to connect to PostgreSQL: ")
    assert error.operation == "open"
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__)) + repr(error)
    assert SECRET not in shown.replace(url, "")
    return error


def test_nobody_listens() -> None:
    error = refused(f"postgresql://u:{SECRET}@127.0.0.1:1/db")
    assert "connection refused" in str(error)
    assert error.retryable


def test_host_that_does_not_exist() -> None:
    error = refused(f"postgresql://u:{SECRET}@no-such-host.invalid/db", connect_timeout_ms=5000)
    assert "no-such-host.invalid" in str(error)


@pytest.mark.parametrize("how", ["keyword", "url"])
def test_host_that_never_answers(how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/db"
        began = time.monotonic()
        error = refused(url, connect_timeout_ms=1000) if how == "keyword" else refused(url + "?connect_timeout=1")
    assert time.monotonic() - began < 8
    assert "no answer within 1s" in str(error)
    assert error.retryable


def test_server_that_falls_silent_after_the_login(server: Server) -> None:
    with Proxy(server.port) as proxy:
        url = f"postgresql://postgres:{SECRET}@127.0.0.1:{proxy.port}/postgres?sslmode=disable"
        PostgresProvider.connect(url, schema="silent").close()
        proxy.silence()
        error = refused(url, schema="silent", connect_timeout_ms=1000)
    assert error.retryable
    assert "no answer within 1s" in str(error)


def test_something_else_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    s, _ = other.accept()
                    with s:
                        s.recv(100)
                        s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        refused(
            f"postgresql://u:{SECRET}@127.0.0.1:{other.getsockname()[1]}/db?sslmode=disable", connect_timeout_ms=2000
        )
        other.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"mysql://u:{SECRET}@h/db", "postgresql://user:password@host:5432/database"),
        (f"postgresql+psycopg://u:{SECRET}@h/db", "postgresql+psycopg://"),
        (f"postgresql://u:{SECRET}@127.0.0.1:port/db", "cannot be read"),
        (f"postgresql://u:{SECRET}@[::1/db", "cannot be read"),
        (f"postgresql://u:{SECRET}%zz@127.0.0.1/db", "cannot be read"),
        (f"postgresql://u:x/{SECRET}@127.0.0.1/db", "percent-encoded"),
        (f"postgresql://u:x@{SECRET}@127.0.0.1/db", "percent-encoded"),
        (f"postgresql://u:x?{SECRET}@127.0.0.1/db", ""),
        (f"postgresql://u:x#{SECRET}@127.0.0.1/db", ""),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db?sslmode=perhaps", "sslmode"),
        (f"host=127.0.0.1 password=x {SECRET}", "cannot be read"),
        (f"host=127.0.0.1 password='{SECRET}", "cannot be read"),
        (f"127.0.0.1 {SECRET}", "cannot be read"),
    ],
)
def test_url_that_cannot_be_read(url: str, says: str) -> None:
    error = refused(url, connect_timeout_ms=2000)
    assert says in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize("url", ["", "  ", "postgresql://h/\0", "postgresql://h/\ud800"])
def test_url_that_is_no_url(url: str) -> None:
    with pytest.raises(InvalidArgument):
        PostgresProvider.connect(url)


@pytest.mark.parametrize("schema", ["", "x" * 64, "é" * 32, "a\0b", "\ud800"])
def test_schema_name_that_is_refused(schema: str) -> None:
    with pytest.raises(InvalidArgument, match="schema"):
        PostgresProvider.connect_with_schema("postgresql://127.0.0.1:1/db", schema)


@pytest.mark.parametrize("schema", ["pg_mine", "information_schema", "a\nb"])
def test_schema_name_that_belongs_to_the_server(database_url: str, schema: str) -> None:
    assert "schema name" in str(refused(database_url, schema=schema))


@pytest.mark.parametrize(
    "name", ["x" * 63, "é" * 31, 'quo"te', "a'b", "With Space", "select", "$1", "{schema}", "a.b", "-"]
)
def test_any_other_schema_name_works(server: Server, name: str) -> None:
    with PostgresProvider.connect_with_schema(server.url, name) as provider:
        Client(provider).start_orchestration("i", "W")
    with PostgresProvider.connect(server.url, schema=name) as provider:
        assert Client(provider).list_all_instances() == ["i"]
        assert provider._check() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_connections": 0}, ValueError),
        ({"max_connections": 10_001}, ValueError),
        ({"max_connections": True}, TypeError),
        ({"max_connections": "5"}, TypeError),
        ({"connect_timeout_ms": 0}, ValueError),
        ({"connect_timeout_ms": -1}, ValueError),
        ({"connect_timeout_ms": 1.5}, ValueError),
        ({"connect_timeout_ms": "1"}, TypeError),
        ({"password": "text"}, TypeError),
        ({"schema": 5}, TypeError),
    ],
)
def test_option_that_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        PostgresProvider.connect("postgresql://127.0.0.1:1/db", **options)


def test_wrong_password(server: Server) -> None:
    role = Role(server, "right")
    error = refused(role.url(SECRET))
    assert "password authentication failed" in str(error)
    assert "check user and password" in str(error)
    assert not error.retryable


def test_database_that_does_not_exist(server: Server) -> None:
    error = refused(f"postgresql://postgres:{SECRET}@127.0.0.1:{server.port}/nowhere")
    assert 'database "nowhere" does not exist: create it first' in str(error)
    assert not error.retryable


def test_no_right_to_make_the_schema(server: Server) -> None:
    role = Role(server, SECRET)
    error = refused(role.url(), schema="not for me")
    assert "permission denied" in str(error)
    assert "CREATE" in str(error)
    assert not error.retryable


def test_no_right_on_the_schema(server: Server) -> None:
    role = Role(server, SECRET)
    PostgresProvider.connect(server.url, schema="of another").close()
    error = refused(role.url(), schema="of another")
    assert "permission denied" in str(error)
    assert not error.retryable


def test_role_that_owns_its_schema_needs_no_other_right(server: Server) -> None:
    role = Role(server, SECRET)
    role.owns("own")
    with PostgresProvider.connect_with_schema(role.url(), "own") as provider:
        assert SECRET not in repr(provider)
        assert repr(provider) == f"<PostgresProvider postgres 127.0.0.1:{server.port}/postgres schema own>"
        Client(provider).start_orchestration("i", "W")


def test_role_that_may_only_read(server: Server) -> None:
    role = Role(server, SECRET, default_transaction_read_only="on")
    role.owns("read only")
    error = refused(role.url(), schema="read only")
    assert "read-only" in str(error)
    assert "default_transaction_read_only" in str(error)


@pytest.fixture
def standby(server: Server, postgres_binaries: pathlib.Path) -> Iterator[Server]:
    with contextlib.closing(Server(postgres_binaries, copy_of=server)) as copy:
        yield copy


def test_standby_is_refused_and_the_primary_found_beside_it(server: Server, standby: Server) -> None:
    url = f"postgresql://postgres:{SECRET}@127.0.0.1:{standby.port}/postgres"
    error = refused(url, schema="standby")
    assert "read-only standby" in str(error)
    assert error.retryable
    both = (
        f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{server.port}/postgres"
        "?target_session_attrs=read-write"
    )
    with PostgresProvider.connect(both, schema="standby") as provider:
        Client(provider).start_orchestration("i", "W")
        assert Client(provider).list_all_instances() == ["i"]


def test_server_that_is_too_old(server: Server) -> None:
    number = int(server.sql("SHOW server_version_num"))
    changes = {struct.pack(">i", number): struct.pack(">i", 130011), str(number).encode(): b"130011"}
    with Proxy(server.port, changes=changes) as proxy:
        error = refused(f"postgresql://postgres:{SECRET}@127.0.0.1:{proxy.port}/postgres?sslmode=disable")
    assert "14 or newer is needed" in str(error)
    assert not error.retryable


def test_database_of_another_encoding(server: Server) -> None:
    server.sql("CREATE DATABASE plain ENCODING 'SQL_ASCII' TEMPLATE template0")
    error = refused(f"postgresql://postgres:{SECRET}@127.0.0.1:{server.port}/plain")
    assert "UTF8 is needed" in str(error)


def test_tls_demanded_by_the_url_and_not_given(server: Server) -> None:
    with Proxy(server.port) as proxy:
        error = refused(f"postgresql://postgres:{SECRET}@127.0.0.1:{proxy.port}/postgres?sslmode=require")
    assert "does not speak TLS" in str(error)
    assert not error.retryable


def test_tls_demanded_by_the_server_and_not_used(server: Server) -> None:
    role = Role(server, SECRET)
    server.access(f"hostnossl all {role.name} 127.0.0.1/32 reject")
    error = refused(role.url(query="?sslmode=disable"))
    assert "sslmode=require" in str(error)
    assert not error.retryable


def test_tls_with_a_certificate_that_nobody_signed(server: Server) -> None:
    with Proxy(server.port, tls=True) as proxy:
        url = f"postgresql://postgres:{SECRET}@127.0.0.1:{proxy.port}/postgres?sslmode="
        error = refused(url + "verify-full", connect_timeout_ms=5000)
        assert "certificate" in str(error)
        assert "sslrootcert" in str(error)
        for mode in ("require", f"verify-full&sslrootcert={CERTIFICATE}"):
            with PostgresProvider.connect(url + mode, schema="tls") as provider:
                assert Client(provider).list_all_instances() == []


def test_parameter_that_nobody_knows(server: Server) -> None:
    error = refused(f"postgresql://postgres:{SECRET}@127.0.0.1:{server.port}/postgres?nosuch=1")
    assert 'unrecognized configuration parameter "nosuch"' in str(error)


def test_statement_timeout_that_is_too_short(server: Server) -> None:
    role = Role(server, SECRET, statement_timeout="500ms")
    role.owns("short")
    error = refused(role.url(), schema="short")
    assert re.search("statement_timeout is 500 ?ms", str(error))
    assert not error.retryable


def test_statement_timeout_of_a_second_is_enough_and_named_when_it_strikes(server: Server) -> None:
    role = Role(server, SECRET, statement_timeout="1s")
    role.owns("second")
    engine = Engine(Schema(role.url(), "second"))
    runtime = engine.runtime()
    runtime.register_activity("Double", lambda ctx, n: n * 2)

    @runtime.register_orchestration("Work")
    def work(ctx: Any, n: int) -> Any:
        return (yield ctx.schedule_activity("Double", n))

    runtime.start()
    assert engine.run("Work", 21) == 42
    # Somebody else holds a lock for longer than the role may wait.
    locker = subprocess.Popen(
        [psql_program(), "-X", "-q", "-A", "-t", server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert locker.stdin is not None
    assert locker.stdout is not None
    try:
        locker.stdin.write("BEGIN; LOCK TABLE second.duroxide_instances; SELECT 'held';\n")
        locker.stdin.flush()
        assert locker.stdout.readline().strip() == "held"
        with pytest.raises(ProviderError, match="is statement_timeout of the user or database too short") as caught:
            engine.client.start_orchestration("waits", "Work", 1)
        assert caught.value.retryable
        assert SECRET not in str(caught.value)
        locker.stdin.write("ROLLBACK;\n")
    finally:
        locker.communicate(timeout=30)
    assert engine.run("Work", 4) == 8
    engine.close()


def test_newer_tables_are_refused(server: Server) -> None:
    PostgresProvider.connect(server.url, schema="newer").close()
    server.sql("UPDATE newer.duroxide_schema SET version = version + 1000")
    error = refused(server.url.replace("postgres@", f"postgres:{SECRET}@"), schema="newer")
    assert "newer version" in str(error)
    assert not error.retryable
