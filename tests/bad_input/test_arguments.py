"""Every argument of every public call, given wrongly: an error at the call, nothing stored."""

from __future__ import annotations

import datetime
import math
from typing import Any, Callable

import pytest

import duroxide
from duroxide import Client, InvalidArgument, PostgresProvider, Runtime, RuntimeOptions, SqliteProvider
from harness import Engine

WRONG = (ValueError, TypeError)


class NotJson:
    """Something that json.dumps does not take."""


LOOP: list[Any] = []
LOOP.append(LOOP)

BAD_IDS = {
    "none": None,
    "int": 7,
    "bytes": b"id",
    "list": ["id"],
    "empty": "",
    "nul": "a\0b",
    "long": "x" * 1025,
    "long in bytes": "é" * 513,
    "surrogate": "\ud800",
}
NAMED_TOO_LONG = "x" * 2049

CREATE: dict[str, Callable[[Client, Any], Any]] = {
    "start id": lambda c, bad: c.start_orchestration(bad, "W"),
    "start name": lambda c, bad: c.start_orchestration("i", bad),
    "start versioned id": lambda c, bad: c.start_orchestration_versioned(bad, "W", 1, "1.0.0"),
    "start versioned name": lambda c, bad: c.start_orchestration_versioned("i", bad, 1, "1.0.0"),
    "start typed id": lambda c, bad: c.start_orchestration_typed(bad, "W", 1),
}

NAME: dict[str, Callable[[Client, Any], Any]] = {
    "raise id": lambda c, bad: c.raise_event(bad, "e"),
    "raise name": lambda c, bad: c.raise_event("i", bad),
    "enqueue id": lambda c, bad: c.enqueue_event(bad, "q"),
    "enqueue name": lambda c, bad: c.enqueue_event("i", bad),
    "cancel id": lambda c, bad: c.cancel_instance(bad),
    "wait id": lambda c, bad: c.wait_for_orchestration(bad, 0),
    "wait status id": lambda c, bad: c.wait_for_status_change(bad, 0, 1, 0),
    "wait kv id": lambda c, bad: c.wait_for_kv_value(bad, "k", 0),
    "get kv id": lambda c, bad: c.get_kv_value(bad, "k"),
    "delete id": lambda c, bad: c.delete_instance(bad),
    "prune id": lambda c, bad: c.prune_executions(bad),
    "info id": lambda c, bad: c.get_instance_info(bad),
    "execution info id": lambda c, bad: c.get_execution_info(bad, 1),
    "waiting id": lambda c, bad: c.get_waiting(bad),
}


@pytest.fixture
def client(memory: Engine) -> Client:
    return memory.client


def unharmed(engine: Engine, stored: int = 0) -> None:
    """Nothing was stored, and the engine still works."""
    assert len(engine.client.list_all_instances()) == stored
    depths = engine.client.get_queue_depths()
    assert (depths.orchestrator_queue, depths.worker_queue) == (0, 0)
    runtime = engine.runtime()
    runtime.register_activity("A", lambda ctx, input: input)

    @runtime.register_orchestration("Works")
    def works(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("A", input))

    runtime.start()
    assert engine.run("Works", 1) == 1


@pytest.mark.parametrize("kind", BAD_IDS)
@pytest.mark.parametrize("call", CREATE)
def test_identifier_where_something_is_created(memory: Engine, call: str, kind: str) -> None:
    with pytest.raises(WRONG) as caught:
        CREATE[call](memory.client, BAD_IDS[kind])
    assert str(caught.value)
    assert memory.client.list_all_instances() == []


@pytest.mark.parametrize("kind", ["none", "int", "bytes", "list", "empty", "nul", "long"])
@pytest.mark.parametrize("call", NAME)
def test_identifier_where_something_is_named(memory: Engine, call: str, kind: str) -> None:
    bad = NAMED_TOO_LONG if kind == "long" else BAD_IDS[kind]
    with pytest.raises(WRONG) as caught:
        NAME[call](memory.client, bad)
    assert str(caught.value)
    assert memory.client.list_all_instances() == []


def test_refused_identifiers_leave_the_engine_working(memory: Engine) -> None:
    for calls in (CREATE, NAME):
        for call in calls.values():
            for bad in ("", None, "a\0b"):
                with pytest.raises(WRONG):
                    call(memory.client, bad)
    unharmed(memory)


def test_text_of_a_refused_identifier_names_the_argument(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"^Invalid input: ") as caught:
        client.start_orchestration("", "W")
    assert "instance" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(InvalidArgument, match="name"):
        client.start_orchestration("i", "")


BAD_JSON = {
    "object": NotJson(),
    "set": {1, 2},
    "bytes": b"x",
    "function": len,
    "datetime": datetime.datetime(2026, 1, 1),
    "nested": {"a": [1, {"b": NotJson()}]},
    "complex": 1j,
    "key": {(1, 2): 3},
}

PAYLOAD: dict[str, Callable[[Client, Any], Any]] = {
    "start": lambda c, bad: c.start_orchestration("i", "W", bad),
    "start versioned": lambda c, bad: c.start_orchestration_versioned("i", "W", bad, "1.0.0"),
    "raise": lambda c, bad: c.raise_event("i", "e", bad),
    "enqueue": lambda c, bad: c.enqueue_event("i", "q", bad),
}


@pytest.mark.parametrize("kind", BAD_JSON)
@pytest.mark.parametrize("call", PAYLOAD)
def test_payload_that_json_refuses(memory: Engine, call: str, kind: str) -> None:
    with pytest.raises(TypeError) as caught:
        PAYLOAD[call](memory.client, BAD_JSON[kind])
    assert "input" in str(caught.value) or "data" in str(caught.value), "the argument is named"
    assert memory.client.get_status("i").status == "NotFound"


@pytest.mark.parametrize("call", PAYLOAD)
def test_payload_that_holds_itself(memory: Engine, call: str) -> None:
    with pytest.raises((ValueError, TypeError, RecursionError)):
        PAYLOAD[call](memory.client, LOOP)
    assert memory.client.get_status("i").status == "NotFound"


BAD_MS = {
    "negative": -1,
    "negative timedelta": datetime.timedelta(seconds=-1),
    "bool": True,
    "fraction": 1.5,
    "nan": math.nan,
    "infinite": math.inf,
    "text": "100",
    "huge": 2**80,
}

TIMES: dict[str, Callable[[Client, Any], Any]] = {
    "wait": lambda c, bad: c.wait_for_orchestration("i", bad),
    "wait typed": lambda c, bad: c.wait_for_orchestration_typed("i", bad),
    "status timeout": lambda c, bad: c.wait_for_status_change("i", 0, 10, bad),
    "status poll": lambda c, bad: c.wait_for_status_change("i", 0, bad, 10),
    "kv": lambda c, bad: c.wait_for_kv_value("i", "k", bad),
    "delay": lambda c, bad: c.start_orchestration("i", "W", None, delay_ms=bad),
}


@pytest.mark.parametrize("kind", BAD_MS)
@pytest.mark.parametrize("call", TIMES)
def test_milliseconds(memory: Engine, call: str, kind: str) -> None:
    with pytest.raises(WRONG):
        TIMES[call](memory.client, BAD_MS[kind])
    assert memory.client.get_status("i").status == "NotFound"


OTHERS: dict[str, Callable[[Client], Any]] = {
    "last seen negative": lambda c: c.wait_for_status_change("i", -1, 10, 10),
    "last seen text": lambda c: c.wait_for_status_change("i", "0", 10, 10),
    "if_exists": lambda c: c.start_orchestration("i", "W", None, if_exists="sometimes"),
    "reason": lambda c: c.cancel_instance("i", 5),
    "reason nul": lambda c: c.cancel_instance("i", "a\0b"),
    "execution text": lambda c: c.get_execution_info("i", "1"),
    "history text": lambda c: c.read_execution_history("i", "1"),
    "limit negative": lambda c: c.list_instances(limit=-1),
    "limit zero": lambda c: c.list_instances(limit=0),
    "order": lambda c: c.list_instances(order="sideways"),
    "cursor": lambda c: c.list_instances(cursor="not a cursor"),
    "unknown filter": lambda c: c.list_instances(colour="red"),
    "key": lambda c: c.get_kv_value("i", 5),
    "filter object": lambda c: c.delete_instance_bulk({"limit": 1}),
    "filter limit": lambda c: c.delete_instance_bulk(duroxide.InstanceFilter(limit=-1)),
    "filter ids": lambda c: c.delete_instance_bulk(duroxide.InstanceFilter(instance_ids="abc")),
    "keep last": lambda c: c.prune_executions("i", duroxide.PruneOptions(keep_last=-1)),
}


@pytest.mark.parametrize("call", OTHERS)
def test_other_arguments(memory: Engine, call: str) -> None:
    with pytest.raises(WRONG) as caught:
        OTHERS[call](memory.client)
    assert str(caught.value)
    assert memory.client.list_all_instances() == []


@pytest.mark.parametrize(
    "version",
    ["", "1", "1.0", "v1.0.0", "1.0.0.0", "latest", "1.0.x", "01.0.0", None, 1, "1.0.0\0"],
)
def test_version_that_is_not_semver(memory: Engine, version: Any) -> None:
    with pytest.raises(WRONG):
        memory.client.start_orchestration_versioned("i", "W", None, version)
    assert memory.client.get_status("i").status == "NotFound"
    runtime = memory.runtime()
    with pytest.raises((duroxide.RegistrationError, TypeError)):
        runtime.register_orchestration_versioned("W", version, lambda ctx, input: 1)


@pytest.mark.parametrize("thing", [None, "store.db", 5, object(), SqliteProvider], ids=repr)
def test_client_and_runtime_want_a_provider(thing: Any) -> None:
    for make in (Client, Runtime):
        with pytest.raises(TypeError) as caught:
            make(thing)
        assert type(thing).__name__ in str(caught.value) or repr(thing) in str(caught.value)


def test_runtime_wants_options(memory: Engine) -> None:
    for bad in ({"worker_concurrency": 1}, 5, "x"):
        with pytest.raises(TypeError):
            Runtime(memory.provider, bad)  # type: ignore[arg-type]


BAD_OPTIONS: dict[str, Any] = {
    "orchestration_concurrency": [0, -1, "4", 1.5, True],
    "worker_concurrency": [0, -1, "8", 1.5],
    "dispatcher_poll_interval_ms": [-1, "100", 0.5],
    "log_level": ["loud", 5, ""],
    "log_format": ["xml", 5],
    "service_name": [5],
    "service_version": [5],
    "max_sessions_per_runtime": [-1, "10"],
    "session_idle_timeout_ms": [-1, "x"],
    "worker_node_id": ["", 5, "a\0b", "x" * 2049],
    "worker_lock_timeout_ms": [-1, "x"],
    "orchestrator_lock_timeout_ms": [-1],
    "session_lock_timeout_ms": [-1],
    "max_attempts": [0, -1, "3"],
    "worker_tag_filter": ["nonsense", 5, '{"tags": []}', '{"tags": 5}', "{", '{"x": ["a"]}'],
    "on_nondeterminism": ["ignore", 5],
    "live_executions": [-1, "x", 1.5],
    "activity_cancellation_grace_ms": [-1, "x"],
    "activity_timeout_ms": [-1, "x"],
    "verify_replay": [-0.1, 1.1, "all", math.nan],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_OPTIONS.items() for value in values])
def test_option_out_of_type_or_range(name: str, value: Any) -> None:
    wanted = (*WRONG, duroxide.ConfigurationError)
    with pytest.raises(wanted) as caught:
        RuntimeOptions(**{name: value})
    text = str(caught.value)
    assert name in text or name.replace("_", " ") in text or "tag" in text, "it is named"


@pytest.mark.parametrize("arguments", [(), ("app.db",), ("app.db", 5)], ids=str)
def test_provider_made_by_its_class_is_told_how_to_make_it(arguments: tuple[Any, ...]) -> None:
    for cls, way in (
        (SqliteProvider, "SqliteProvider.open(path)"),
        (PostgresProvider, "PostgresProvider.connect(url)"),
    ):
        with pytest.raises(TypeError) as caught:
            cls(*arguments)
        assert str(caught.value) == f"{cls.__name__} is made by its class methods, e.g. {way}"


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="worker_concurrency"):
        RuntimeOptions(worker_concurency=4)
    with pytest.raises(TypeError):
        RuntimeOptions(4)  # type: ignore[misc]


def test_options_cannot_be_set_afterwards_without_a_check() -> None:
    options = RuntimeOptions()
    try:
        options.worker_concurrency = -5  # type: ignore[misc]
    except (AttributeError, *WRONG):
        pass
    else:
        with SqliteProvider.in_memory() as provider, pytest.raises(WRONG):
            Runtime(provider, options)
