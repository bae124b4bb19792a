"""What docs/operations.md tells an administrator to do, done."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from duroxide import PostgresProvider, ProviderError
from harness import Engine
from postgres_server import Server, psql
from stores import Schema

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def app(postgres_binaries: pathlib.Path) -> Iterator[Server]:
    """A server with the roles and the schema of the page, and no right beyond them."""
    with contextlib.closing(Server(postgres_binaries)) as server:
        server.sql("CREATE DATABASE app; REVOKE ALL ON DATABASE app FROM PUBLIC")
        server.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC", database(server))
        server.access("host app postgres 127.0.0.1/32 trust\nhost app all 127.0.0.1/32 scram-sha-256")
        yield server


def database(server: Server, role: str = "postgres") -> str:
    return f"postgresql://{role}@127.0.0.1:{server.port}/app"


def run_workflow(url: str) -> None:
    engine = Engine(Schema(url, "orders"))
    runtime = engine.runtime()
    runtime.register_activity("Double", lambda ctx, n: n * 2)

    @runtime.register_orchestration("Work")
    def work(ctx: Any, n: int) -> Any:
        yield ctx.schedule_timer(1)
        ctx.set_kv_value("n", str(n))
        return (yield ctx.schedule_activity_on_session("Double", n, "s"))

    runtime.start()
    instance = engine.start("Work", 21)
    assert engine.output(instance) == 42
    engine.client.delete_instance(instance)
    engine.close()


def test_roles_of_the_page_have_the_rights_that_are_needed(app: Server) -> None:
    owner, second, watch = blocks("postgresql")
    (connect,) = blocks("py")
    server = database(app)
    app.sql(owner, server)
    app.sql("GRANT CONNECT ON DATABASE app TO orders", server)
    names: dict[str, Any] = {"PostgresProvider": PostgresProvider}
    exec(connect.replace("db.example.com", f"127.0.0.1:{app.port}"), names)
    names["provider"].close()
    run_workflow(database(app, "orders:secret"))

    app.sql(second, server)
    app.sql("GRANT CONNECT ON DATABASE app TO orders_app", server)
    run_workflow(database(app, "orders_app:secret"))
    with pytest.raises(ProviderError, match="permission denied"):
        PostgresProvider.connect(database(app, "orders_app:secret"), schema="another")

    assert "duroxide_jobs" in psql(server, watch)
