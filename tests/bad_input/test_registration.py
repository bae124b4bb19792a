"""Registrations that cannot be right are refused at once; states that do not fit, too."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest

import duroxide
from duroxide import Client, RegistrationError, Runtime, RuntimeStateError, SqliteProvider
from harness import Engine


def plain(ctx: Any, input: Any) -> Any:
    return input


async def coroutine(ctx: Any, input: Any) -> Any:
    return input


async def async_generator(ctx: Any, input: Any) -> Any:
    yield input


KINDS = ["register_activity", "register_orchestration"]


@pytest.mark.parametrize("kind", KINDS)
def test_duplicate_name(memory: Engine, kind: str) -> None:
    register = getattr(memory.runtime(), kind)
    register("N", plain)
    with pytest.raises(RegistrationError, match=r"duplicate .* registration: N"):
        register("N", plain)


def test_text_of_a_duplicate_orchestration(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("N", plain)
    with pytest.raises(RegistrationError) as caught:
        runtime.register_orchestration_versioned("N", "1.0.0", plain)
    assert str(caught.value) == "duplicate orchestration registration: N@1.0.0"


@pytest.mark.parametrize("version", ["0.9.0", "1.0.0-rc.1", "1.4.9"])
def test_version_that_is_not_later(memory: Engine, version: str) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("N", plain)
    runtime.register_orchestration_versioned("N", "1.5.0", plain)
    with pytest.raises(RegistrationError) as caught:
        runtime.register_orchestration_versioned("N", version, plain)
    assert str(caught.value) == (
        f"non-monotonic orchestration version for N: {version} is not later than existing latest 1.5.0"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", None, 5, b"x", "a\0b", "x" * 1025, "__duroxide_syscall:new_guid", "__duroxide"])
def test_bad_name(memory: Engine, kind: str, name: Any) -> None:
    runtime = memory.runtime()
    with pytest.raises((RegistrationError, TypeError)):
        getattr(runtime, kind)(name, plain)
    runtime.register_orchestration("Works", plain)
    runtime.start()
    assert memory.run("Works", 1) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thing", [5, "text", {}, object()], ids=repr)
def test_thing_that_cannot_be_called(memory: Engine, kind: str, thing: Any) -> None:
    with pytest.raises((RegistrationError, TypeError), match="call"):
        getattr(memory.runtime(), kind)("N", thing)


def test_async_where_it_does_not_fit(memory: Engine) -> None:
    runtime = memory.runtime()
    for fn in (coroutine, async_generator):
        with pytest.raises(RegistrationError, match="async"):
            runtime.register_orchestration("N", fn)
    with pytest.raises(RegistrationError):
        runtime.register_activity("A", async_generator)
    runtime.register_activity("Fits", coroutine)


@pytest.mark.parametrize("kind", KINDS)
def test_registration_after_start(memory: Engine, kind: str) -> None:
    runtime = memory.runtime()
    runtime.start()
    with pytest.raises(RegistrationError, match="start"):
        getattr(runtime, kind)("N", plain)
    with pytest.raises(RegistrationError):
        runtime.register_orchestration_versioned("N", "2.0.0", plain)


def test_start_twice(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("Now", plain)
    runtime.start()
    with pytest.raises(RuntimeStateError) as caught:
        runtime.start()
    assert len(str(caught.value)) > 20, "it says what to do"
    assert memory.run("Now", 1) == 1


def test_start_and_register_after_shutdown(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.start()
    runtime.shutdown()
    with pytest.raises((RuntimeStateError, RegistrationError)):
        runtime.register_activity("A", plain)
    with pytest.raises(RuntimeStateError):
        runtime.start()
    assert runtime.metrics_snapshot() is None


def test_shutdown_without_start(memory: Engine) -> None:
    assert memory.runtime().shutdown() is True


@pytest.mark.parametrize("timeout", [-1, "x", True, 1.5, float("nan")])
def test_shutdown_with_a_wrong_timeout(memory: Engine, timeout: Any) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("Now", plain)
    runtime.start()
    with pytest.raises((ValueError, TypeError)):
        runtime.shutdown(timeout)
    assert memory.run("Now", 1) == 1


def test_calls_after_the_provider_was_closed() -> None:
    provider = SqliteProvider.in_memory()
    client, runtime = Client(provider), Runtime(provider)
    provider.close()
    provider.close()
    calls = {
        "start": lambda: client.start_orchestration("i", "W"),
        "status": lambda: client.get_status("i"),
        "wait": lambda: client.wait_for_orchestration("i", 1000),
        "wait status": lambda: client.wait_for_status_change("i", 0, 10, 1000),
        "event": lambda: client.raise_event("i", "e"),
        "list": client.list_all_instances,
        "metrics": client.get_system_metrics,
        "delete": lambda: client.delete_instance("i"),
        "run": runtime.start,
        "client": lambda: Client(provider).get_status("i"),
    }
    for name, call in calls.items():
        with pytest.raises((RuntimeStateError, duroxide.ClientError)) as caught:
            call()
        assert "closed" in str(caught.value), name


def test_failed_start_leaves_no_threads(memory: Engine) -> None:
    before = threading.active_count()
    provider = SqliteProvider.in_memory()
    runtime = Runtime(provider)
    provider.close()
    for _ in range(3):
        with pytest.raises((RuntimeStateError, duroxide.ClientError)):
            runtime.start()
    assert threading.active_count() == before


def test_functions_with_a_wrong_signature_fail_the_instance_only(memory: Engine) -> None:
    runtime = memory.runtime()

    def no_arguments() -> Any:
        return 1

    runtime.register_activity("A", no_arguments)
    runtime.register_orchestration("O", no_arguments)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("A")

    runtime.start()
    assert "TypeError" in memory.error(memory.start("O"))
    assert "Activity 'A' call failed: TypeError" in memory.error(memory.start("W"))


def test_partials_methods_and_callables_may_be_registered(memory: Engine) -> None:
    class Service:
        def method(self, ctx: Any, input: Any) -> Any:
            return ["method", input]

        def __call__(self, ctx: Any, input: Any) -> Any:
            return ["call", input]

    service = Service()
    runtime = memory.runtime()
    runtime.register_activity("method", service.method)
    runtime.register_activity("call", service)
    runtime.register_activity("partial", functools.partial(lambda k, ctx, input: [k, input], "p"))
    runtime.register_orchestration("W", functools.partial(lambda extra, ctx, input: steps(ctx, input), 5))

    def steps(ctx: Any, input: Any) -> Any:
        got = []
        for name in ("method", "call", "partial"):
            got.append((yield ctx.schedule_activity(name, 1)))
        return got

    runtime.start()
    assert memory.run("W") == [["method", 1], ["call", 1], ["p", 1]]
