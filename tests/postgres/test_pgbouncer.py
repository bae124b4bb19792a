"""Behind PgBouncer in transaction mode: connections of the server are shared, notifications do not come through.

The program is that of the machine, else Debian's, which tools/fetch_pgbouncer.py fetches; PyPI has none.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from roles import Role

import pgbouncer_program
from duroxide import Client, PostgresProvider, ProviderError
from harness import MODES, Engine, environment, eventually
from postgres_server import Server, free_port, ordinary_user, run_as
from stores import Schema, new_schema

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "recovery"))

from worker import EXPECTED, register

pytestmark = pytest.mark.skipif(
    pgbouncer_program.installed() is None,
    reason=f"there is no pgbouncer, and none could be fetched (or set {pgbouncer_program.VARIABLE} to a path)",
)


class Pooler:
    """PgBouncer with very few connections to the server, each wiped after every transaction."""

    def __init__(self, program: str, server: Server, secret: str, role: Role) -> None:
        self.port = free_port()
        folder = server.home
        (folder / "users.txt").write_text(f'"{role.name}" "{secret}"\n')
        config = folder / f"pooler-{self.port}.ini"
        config.write_text(
            f"""[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder / "users.txt"}
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
server_reset_query = DISCARD ALL
server_reset_query_always = 1
ignore_startup_parameters = extra_float_digits
"""
        )
        for path in (folder / "users.txt", config):
            path.chmod(0o644)
        self._log = (folder / f"pooler-{self.port}.log").open("wb")
        self._process = subprocess.Popen(
            [program, "-q", str(config)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **run_as(ordinary_user()),
        )
        self.url = f"postgresql://{role.name}:{secret}@127.0.0.1:{self.port}/postgres"
        eventually(self._answers, "the pooler answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        assert self._process.poll() is None, "pgbouncer does not start"
        return False

    def close(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._log.close()


@pytest.fixture
def role(server: Server) -> Role:
    return Role(server, "pooled")


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    with pgbouncer_program.reachable() as found:
        assert found is not None
        yield found


@pytest.fixture
def pooler(program: str, server: Server, role: Role) -> Iterator[Pooler]:
    with contextlib.closing(Pooler(program, server, "pooled", role)) as made:
        yield made


@pytest.fixture
def behind(pooler: Pooler, role: Role) -> Schema:
    """A schema that is reached through the pooler."""
    made = new_schema(pooler.url)
    role.owns(made.name)
    return made


@pytest.mark.parametrize("mode", sorted(MODES))
def test_every_kind_of_workflow_runs(behind: Schema, mode: str) -> None:
    engine = Engine(behind, **MODES[mode])
    runtime = engine.runtime()
    register(runtime, lambda key: None)
    runtime.start()
    started = []
    for n in range(8):
        for name, (given, _) in EXPECTED.items():
            instance = f"{name}-{n}"
            engine.client.start_orchestration(instance, name, given)
            started.append((instance, name))
            if name == "Mail":
                for text in range(6):
                    engine.client.enqueue_event(instance, "inbox", text)
    for instance, name in started:
        assert engine.output(instance) == EXPECTED[name][1], instance
    engine.close()


def test_it_is_said_once_that_news_come_by_asking(behind: Schema) -> None:
    engine = Engine(behind)
    runtime = engine.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    engine.logs.wait_for("notifications do not come through", "duroxide.engine")
    # What another process stores is found all the same.
    with PostgresProvider.connect_with_schema(behind.url, behind.name) as other:
        Client(other).start_orchestration("from elsewhere", "Now", 5)
        assert Client(other).wait_for_orchestration("from elsewhere", 20_000).output == 5
    said = [m for m in engine.logs.messages("duroxide.engine", logging.WARNING) if "come through" in m]
    assert len(said) == 1, said
    engine.close()


def test_workers_on_both_sides_of_the_pooler_share_the_work(behind: Schema, role: Role, tmp_path: pathlib.Path) -> None:
    engine = Engine(Schema(role.url(), behind.name))
    worker = pathlib.Path(__file__).resolve().parent.parent / "recovery" / "worker.py"
    processes = [
        subprocess.Popen(
            [sys.executable, str(worker), str(store), str(tmp_path / f"runs-{n}.log")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, store in enumerate((behind, engine.address))
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready")
        ids = [engine.start("Sequence", 12, f"s-{n}") for n in range(60)]
        assert {engine.output(i) for i in ids} == {12}
        ran = [(tmp_path / f"runs-{n}.log").read_text() for n in range(2)]
        assert all(ran), "both had some of it"
    finally:
        for process in processes:
            process.communicate("\n", timeout=60)
    engine.close()


def test_more_calls_at_once_than_the_pooler_has_connections(behind: Schema) -> None:
    with PostgresProvider.connect_with_schema(behind.url, behind.name, max_connections=30) as provider:
        client = Client(provider)
        failed: list[BaseException] = []

        def starts(n: int) -> None:
            try:
                for k in range(20):
                    client.start_orchestration(f"{n}-{k}", "W", "x" * 1000)
                    assert client.get_status(f"{n}-{k}").status == "Running"
            except BaseException as e:
                failed.append(e)

        threads = [threading.Thread(target=starts, args=(n,)) for n in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert failed == []
        assert client.get_system_metrics().total_instances == 600


def test_pooler_that_goes_away_is_trouble_that_passes(program: str, server: Server, role: Role) -> None:
    pooler = Pooler(program, server, "pooled", role)
    schema: Any = new_schema(pooler.url)
    role.owns(schema.name)
    with PostgresProvider.connect_with_schema(schema.url, schema.name) as provider:
        client = Client(provider)
        client.start_orchestration("i", "W")
        pooler.close()
        with pytest.raises(ProviderError) as caught:
            client.get_status("i")
        assert caught.value.retryable
        assert "pooled" not in str(caught.value)
