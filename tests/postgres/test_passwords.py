"""Passwords that are asked for, and tokens in their place."""

from __future__ import annotations

import gc
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest
from proxy import Proxy
from roles import Role

from duroxide import Client, PostgresEntraOptions, PostgresProvider, ProviderError, Runtime
from harness import eventually, no_new_threads, python, threads
from postgres_server import Server

FIRST, SECOND = "first secret", "zweites Geheimnis ☃"


class Vault:
    """Gives the password of the moment, and remembers who asked."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.askers: list[threading.Thread] = []

    def __call__(self) -> str:
        self.askers.append(threading.current_thread())
        return self.password


def passwordless(role: Role) -> str:
    return f"postgresql://{role.name}@127.0.0.1:{role.server.port}/postgres"


def drop_connections(role: Role) -> None:
    role.server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role.name}'")


def test_password_is_asked_for_each_new_connection_and_may_change(server: Server) -> None:
    role = Role(server, FIRST)
    role.owns("vault")
    vault = Vault(FIRST)
    before = threads()
    with PostgresProvider.connect(passwordless(role), schema="vault", password=vault) as provider:
        client = Client(provider)
        client.start_orchestration("i", "W")
        asked = len(vault.askers)
        assert asked >= 1
        server.sql(f"ALTER ROLE {role.name} PASSWORD '{SECOND}'")
        vault.password = SECOND
        drop_connections(role)
        client.start_orchestration("j", "W")
        assert sorted(client.list_all_instances()) == ["i", "j"]
        assert len(vault.askers) > asked
        assert not any(isinstance(t, threading._DummyThread) for t in vault.askers)  # type: ignore[attr-defined]
        assert threading.main_thread() not in vault.askers
    no_new_threads(before)


def test_password_of_the_callable_comes_before_that_of_the_url(server: Server) -> None:
    role = Role(server, FIRST)
    role.owns("both")
    PostgresProvider.connect(role.url("wrong"), schema="both", password=Vault(FIRST)).close()


def test_wrong_password_from_the_callable_is_not_shown(server: Server) -> None:
    role = Role(server, FIRST)
    with pytest.raises(ProviderError, match="password authentication failed") as caught:
        PostgresProvider.connect(passwordless(role), password=Vault("wr0ng"))
    assert "wr0ng" not in str(caught.value)


def raises() -> str:
    raise LookupError("the vault is sealed")


@pytest.mark.parametrize(
    ("password", "says", "retryable"),
    [
        (raises, "the password callable raised LookupError: the vault is sealed", True),
        (lambda: None, "must return str, it returned NoneType", False),
        (lambda: b"bytes", "must return str, it returned bytes", False),
        (lambda: "", "empty", False),
        (lambda: "a\0b", "NUL", False),
        (lambda: "\ud800", "not Unicode text", False),
        (sys.exit, "raised SystemExit", True),
    ],
)
def test_callable_that_gives_no_password(server: Server, password: Any, says: str, retryable: bool) -> None:
    before = threads()
    with pytest.raises(ProviderError) as caught:
        PostgresProvider.connect(server.url, password=password)
    assert str(caught.value).startswith("Failed to connect to PostgreSQL: ")
    assert says in str(caught.value)
    assert caught.value.retryable is retryable
    no_new_threads(before)


def test_callable_that_never_returns(server: Server) -> None:
    over = threading.Event()

    def stuck() -> str:
        over.wait(60)
        return "late"

    before = threads()
    with pytest.raises(ProviderError, match="did not return in time") as caught:
        PostgresProvider.connect(server.url, password=stuck, connect_timeout_ms=500)
    assert caught.value.retryable
    over.set()
    no_new_threads(before)


def test_provider_that_is_forgotten_is_closed_with_its_thread(server: Server) -> None:
    before = threads()
    provider = PostgresProvider.connect(server.url, schema="forgotten", password=Vault("any"))
    del provider
    gc.collect()
    no_new_threads(before)


def test_process_that_forgets_to_close_ends_at_once(server: Server) -> None:
    done = python(
        """
        import sys, time
        from duroxide import Client, PostgresProvider, Runtime
        provider = PostgresProvider.connect(sys.argv[1], schema="forgetful", password=lambda: "any")
        runtime = Runtime(provider)
        runtime.register_orchestration("Now", lambda ctx, input: input)
        runtime.start()
        client = Client(provider)
        client.start_orchestration("i", "Now", 7)
        print(client.wait_for_orchestration("i").output)
        """,
        server.url,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


def test_runtime_goes_on_when_the_vault_was_away(server: Server) -> None:
    role = Role(server, FIRST)
    role.owns("away")
    vault = Vault(FIRST)
    sealed = threading.Event()

    def ask() -> str:
        if sealed.is_set():
            raise ConnectionError("the vault is away")
        return vault()

    with PostgresProvider.connect(passwordless(role), schema="away", password=ask) as provider:
        runtime = Runtime(provider)
        runtime.register_orchestration("Now", lambda ctx, input: input)
        with runtime:
            client = Client(provider)
            sealed.set()
            drop_connections(role)
            with pytest.raises(ProviderError, match="the vault is away") as caught:
                client.get_status("i")
            assert caught.value.retryable
            sealed.clear()
            eventually(lambda: client.start_orchestration("i", "Now", 1) is None, "the vault is back")
            assert client.wait_for_orchestration("i", 20_000).output == 1


class Token:
    def __init__(self, token: str, seconds: float) -> None:
        self.token = token
        self.expires_on = int(time.time() + seconds)


class Credential:
    """Stands for one of azure.identity's."""

    def __init__(self, token: str = FIRST, seconds: float = 3600) -> None:
        self.token = token
        self.seconds = seconds
        self.scopes: list[str] = []

    def get_token(self, *scopes: str) -> Token:
        self.scopes.extend(scopes)
        return Token(self.token, self.seconds)


@pytest.fixture
def tls(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port, tls=True) as proxy:
        yield proxy


def test_entra_token_is_the_password_and_is_kept_until_it_nears_its_end(server: Server, tls: Proxy) -> None:
    role = Role(server, FIRST)
    role.owns("entra")
    credential = Credential()
    options = PostgresEntraOptions(credential=credential, max_connections=3, acquire_timeout_ms=5000)
    with PostgresProvider.connect_with_schema_and_entra(
        "localhost", tls.port, "postgres", role.name, "entra", options
    ) as provider:
        client = Client(provider)
        client.start_orchestration("i", "W")
        drop_connections(role)
        assert client.list_all_instances() == ["i"]
        assert FIRST not in repr(provider) + repr(options)
    assert credential.scopes == ["https://ossrdbms-aad.database.windows.net/.default"]


def test_entra_token_near_its_end_is_fetched_anew(server: Server, tls: Proxy) -> None:
    role = Role(server, FIRST)
    role.owns("expiring")
    credential = Credential(seconds=20)
    options = PostgresEntraOptions(credential=credential, audience="api://mine")
    with PostgresProvider.connect_with_schema_and_entra(
        "localhost", tls.port, "postgres", role.name, "expiring", options
    ) as provider:
        asked = len(credential.scopes)
        credential.token = SECOND
        server.sql(f"ALTER ROLE {role.name} PASSWORD '{SECOND}'")
        drop_connections(role)
        Client(provider).start_orchestration("i", "W")
    assert len(credential.scopes) > asked
    assert set(credential.scopes) == {"api://mine"}


def test_entra_needs_tls(server: Server) -> None:
    options = PostgresEntraOptions(credential=Credential())
    with pytest.raises(ProviderError, match="does not speak TLS"):
        PostgresProvider.connect_with_entra("127.0.0.1", server.port, "postgres", "postgres", options)


def test_entra_finds_the_credential_of_the_environment(
    server: Server, tls: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = Role(server, FIRST)
    role.owns("default")
    identity = types.ModuleType("azure.identity")
    identity.DefaultAzureCredential = Credential  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure", types.ModuleType("azure"))
    monkeypatch.setitem(sys.modules, "azure.identity", identity)
    PostgresProvider.connect_with_schema_and_entra("localhost", tls.port, "postgres", role.name, "default").close()


def test_entra_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ProviderError, match=r"pip install 'duroxide\[entra\]'"):
        PostgresProvider.connect_with_entra("localhost", 5432, "postgres", "me")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", 5432, "db", "u"), ValueError),
        ((None, 5432, "db", "u"), TypeError),
        (("h", "5432", "db", "u"), TypeError),
        (("h", 0, "db", "u"), ValueError),
        (("h", 65536, "db", "u"), ValueError),
        (("h", 5432, "d\0b", "u"), ValueError),
        (("h", 5432, "db", ""), ValueError),
        (("h", 5432, "db", "u", {"audience": "x"}), TypeError),
    ],
)
def test_entra_argument_that_is_refused(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        PostgresProvider.connect_with_entra(*arguments)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"audience": 5}, TypeError),
        ({"audience": ""}, ValueError),
        ({"max_connections": 0}, ValueError),
        ({"acquire_timeout_ms": 0}, ValueError),
        ({"refresh_interval_ms": -1}, ValueError),
        ({"credential": object()}, TypeError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_entra_option_that_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        PostgresEntraOptions(**options)


@pytest.mark.parametrize("odd", ["it's", "back\\slash", "sp ace", "ünïcode", "a=b"])
def test_odd_names_reach_the_server_as_they_are(server: Server, tls: Proxy, odd: str) -> None:
    options = PostgresEntraOptions(credential=Credential())
    with pytest.raises(ProviderError) as caught:
        PostgresProvider.connect_with_entra("localhost", tls.port, odd, "postgres", options)
    assert f'database "{odd}" does not exist' in str(caught.value)
