"""A database that goes away and comes back while workflows run."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from proxy import Proxy

from duroxide import Client, ProviderError, Runtime, WaitTimeout
from harness import MODES, Engine, eventually, must, spawn
from postgres_server import Server
from stores import Schema, new_schema


@pytest.fixture
def own(postgres_binaries: pathlib.Path) -> Iterator[Server]:
    """A server for one test, which may leave it stopped."""
    with contextlib.closing(Server(postgres_binaries)) as server:
        yield server


def register(runtime: Runtime, runs: dict[int, int]) -> None:
    @runtime.register_activity("Step")
    def step(ctx: Any, n: int) -> int:
        runs[n] = runs.get(n, 0) + 1
        return n

    @runtime.register_orchestration("Go")
    def go(ctx: Any, input: Any) -> Any:
        total = yield ctx.schedule_activity("Step", 1)
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_event("go on")
        yield ctx.schedule_timer(50)
        for n in range(2, 12):
            total += yield ctx.schedule_activity("Step", n)
        return total


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_runtime_says_so_once_waits_and_goes_on(own: Server, mode: str, how: signal.Signals) -> None:
    engine = Engine(new_schema(own.url), **MODES[mode])
    runs: dict[int, int] = {}
    runtime = engine.runtime()
    register(runtime, runs)
    runtime.start()
    engine.start("Go", instance="one")
    engine.status_is("one", "waiting")

    own.stop(how)
    engine.logs.wait_for("storage trouble, work is retried", "duroxide.engine")
    for call in (
        lambda: engine.client.get_status("one"),
        lambda: engine.client.raise_event("one", "go on", None),
        lambda: engine.client.start_orchestration("two", "Go"),
        engine.client.list_all_instances,
    ):
        with pytest.raises(ProviderError) as caught:
            call()
        assert caught.value.retryable, caught.value
        assert caught.value.operation
    with pytest.raises(WaitTimeout):
        engine.client.wait_for_orchestration("one", 1000)
    with pytest.raises(WaitTimeout):
        engine.client.wait_for_kv_value("one", "key", 100)
    assert engine.client.wait_for_status_change("one", 1, 50, 100) is None
    assert engine.client.wait_for_status_change("one", 0, 50, 100) is None, "what there is cannot be seen"
    assert runtime.health()["store_reachable"] is False

    own.start()
    # Whoever was told "try again" tries again.
    eventually(lambda: tried(lambda: engine.client.start_orchestration("two", "Go")), "the server takes a start")
    for instance in ("one", "two"):
        eventually(lambda i=instance: tried(lambda: engine.client.raise_event(i, "go on", None)), "an event")
        assert engine.output(instance) == sum(range(1, 12))
    engine.logs.wait_for("storage works again", "duroxide.engine")
    eventually(lambda: runtime.health()["store_reachable"], "the lease is renewed")
    said = [m for m in engine.logs.messages("duroxide.engine", logging.WARNING) if "storage trouble" in m]
    # A new time of trouble begins when something worked in between, as right after the start.
    assert 1 <= len(said) <= 3, said
    assert not any(secret in m for m in engine.logs.messages() for secret in ("postgres@",))
    engine.close()


def tried(call: Any) -> bool:
    """Whether a call came through; it may fail only with a word that trying again may help."""
    try:
        call()
    except ProviderError as e:
        if not e.retryable:
            raise
        return False
    return True


def test_wait_that_began_before_the_outage_ends_with_the_result(own: Server) -> None:
    engine = Engine(new_schema(own.url))
    runtime = engine.runtime()
    register(runtime, {})
    runtime.start()
    engine.start("Go", instance="one")
    engine.status_is("one", "waiting")
    engine.client.raise_event("one", "go on", None)
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(engine.client.wait_for_orchestration("one", 60_000)))
    waiter.start()
    own.restart(signal.SIGQUIT)
    waiter.join(60)
    assert results[0].output == sum(range(1, 12))
    engine.close()


def test_activity_that_ends_while_the_database_is_away_is_recorded_once(own: Server) -> None:
    engine = Engine(new_schema(own.url))
    began, over = threading.Event(), threading.Event()
    runs: list[int] = []
    runtime = engine.runtime()

    @runtime.register_activity("Slow")
    def slow(ctx: Any, input: Any) -> str:
        runs.append(ctx.attempt)
        began.set()
        must(over)
        return "done"

    @runtime.register_orchestration("Go")
    def go(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Slow"))

    runtime.start()
    engine.start("Go", instance="one")
    must(began)
    own.stop(signal.SIGQUIT)
    over.set()
    engine.logs.wait_for("storage trouble", "duroxide.engine")
    own.start()
    assert engine.output("one") == "done"
    assert runs == [1]
    assert engine.kinds("one").count("ActivityCompleted") == 1
    engine.close()


def test_runtimes_that_start_and_end_while_the_database_is_away(own: Server) -> None:
    engine = Engine(new_schema(own.url))
    runtime = engine.runtime()
    register(runtime, {})
    runtime.start()
    engine.start("Go", instance="one")
    engine.status_is("one", "waiting")
    late = engine.runtime()
    register(late, {})
    own.stop(signal.SIGQUIT)

    began = time.monotonic()
    ending = threading.Thread(target=runtime.shutdown, args=(1000,))
    ending.start()
    with pytest.raises(ProviderError) as caught:
        late.start()
    assert caught.value.retryable
    ending.join(60)
    engine.provider.close()
    assert time.monotonic() - began < 25, "nobody waits for long for a store that is away"

    own.start()
    engine.runtimes.clear()
    engine.provider = engine.open()
    engine.client = Client(engine.provider)
    fresh = engine.runtime()
    register(fresh, {})
    fresh.start()
    engine.client.raise_event("one", "go on", None)
    assert engine.output("one") == sum(range(1, 12))
    engine.close()


def test_connections_that_fall_silent_are_given_up(server: Server) -> None:
    """As behind a firewall that forgets connections: nothing is refused, nothing answers."""
    with Proxy(server.port) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode=disable"
        engine = Engine(Schema(url, new_schema(url).name))
        runtime = engine.runtime()
        register(runtime, {})
        runtime.start()
        engine.start("Go", instance="one")
        engine.status_is("one", "waiting")
        proxy.silence()
        with pytest.raises(WaitTimeout):
            engine.client.wait_for_orchestration("one", 500)
        proxy.cut()
        proxy.resume()
        eventually(lambda: tried(lambda: engine.client.raise_event("one", "go on", None)), "an event")
        assert engine.output("one") == sum(range(1, 12))
        engine.close()


def test_process_that_ends_while_the_database_is_away_does_not_wait_for_it(own: Server) -> None:
    script = """
        import sys
        from duroxide import Client, PostgresProvider, Runtime
        provider = PostgresProvider.connect(sys.argv[1])
        runtime = Runtime(provider)
        runtime.register_orchestration("Wait", lambda ctx, input: (yield ctx.wait_for_event("never")))
        runtime.start()
        Client(provider).start_orchestration("i", "Wait")
        print("up", flush=True)
        sys.stdin.readline()
        """
    process = spawn(script, own.url)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        own.stop(signal.SIGQUIT)
        began = time.monotonic()
        process.communicate("end\n", timeout=60)
        assert process.returncode == 0
        assert time.monotonic() - began < 8
    finally:
        process.kill()
        process.communicate()
