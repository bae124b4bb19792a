"""Registration, runtimes, providers, codecs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional, Union

from typing_extensions import assert_type

from duroxide import (
    ActivityContext,
    Client,
    Codec,
    MetricsSnapshot,
    OrchestrationContext,
    PostgresEntraOptions,
    PostgresProvider,
    Runtime,
    RuntimeOptions,
    SqliteProvider,
    TagFilter,
    init_tracing,
)


class Compressed(Codec):
    name = "zlib-json"

    def encode(self, value: Any) -> bytes:
        return zlib.compress(json.dumps(value).encode())

    def decode(self, data: bytes) -> Any:
        return json.loads(zlib.decompress(data))

    def fingerprint(self, value: Any) -> str:
        return str(hash(json.dumps(value)))


class Shouting(Codec):
    name = "upper"

    def encode(self, value: object) -> str:
        return json.dumps(value).upper()

    def decode(self, data: Union[bytes, str]) -> object:
        return json.loads(data)


class Broken(Codec):
    name = 7  # error: assignment

    def encode(self, value: Any) -> int:  # error: override
        return 1

    def decode(self) -> Any:  # error: override
        return None

    def fingerprint(self, value: Any) -> Optional[bytes]:  # error: override
        return None


provider = SqliteProvider.open(Path("app.db"))
runtime = Runtime(
    provider,
    RuntimeOptions(
        worker_concurrency=4,
        session_idle_timeout_ms=timedelta(minutes=1),
        activity_timeout_ms=None,
        verify_replay=0.5,
        worker_tag_filter=TagFilter.default_and(["gpu"]),
        on_nondeterminism="block",
        codec=Compressed(),
    ),
)


@runtime.register_activity("SayHello")
def say_hello(ctx: ActivityContext, name: str) -> str:
    return f"Hello, {name}!"


@runtime.register_activity
def bare(ctx: ActivityContext, number: int) -> int:
    return number


@runtime.register_activity
async def later(ctx: ActivityContext, number: int) -> int:
    return number


@runtime.register_orchestration
def hello(ctx: OrchestrationContext, name: str) -> Generator[Any, Any, str]:
    return (yield from ctx.schedule_activity(say_hello, name))


@runtime.register_orchestration("Second")
def second(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, int]:
    one = yield from ctx.schedule_activity(later, number)
    return one + (yield from ctx.schedule_activity(bare, one))


@runtime.register_orchestration_versioned("Second", "1.1.0")
def second_again(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, int]:
    yield from ctx.schedule_activity(say_hello, number)  # error: arg-type
    yield from ctx.schedule_activity(bare, "one")  # error: arg-type
    yield from ctx.schedule_activity(later, "one")  # error: arg-type
    return (yield from ctx.schedule_sub_orchestration(second, number))


def shout(ctx: ActivityContext, text: str) -> str:
    return text.upper()


assert_type(runtime.register_activity(shout)(ActivityContext(), "x"), str)
assert_type(runtime.register_activity("Shout", shout)(ActivityContext(), "x"), str)
assert_type(runtime.register_activity_typed("Loud", shout)(ActivityContext(), "x"), str)
hi = runtime.register_orchestration_versioned("Hi", "2.0.0", hello)
assert_type(hi(OrchestrationContext(), "x"), Generator[Any, Any, str])

runtime.register_activity(7, shout)  # error: call-overload
runtime.register_activity("Seven", 7)  # error: call-overload
runtime.register_orchestration_versioned("Hi", 2, hello)  # error: call-overload
runtime.register_orchestration()  # error: call-overload


@runtime.register_activity  # error: type-var
def no_input(ctx: ActivityContext) -> None: ...


@runtime.register_orchestration("Three")  # error: type-var
def three(ctx: OrchestrationContext, one: int, two: int) -> None: ...


RuntimeOptions(worker_concurency=4)  # error: call-arg
RuntimeOptions(worker_concurrency="4")  # error: arg-type
RuntimeOptions(codec=Compressed)  # error: arg-type
RuntimeOptions(4)  # error: misc
Runtime("app.db")  # error: arg-type
Runtime(provider, {"worker_concurrency": 4})  # error: arg-type
Client("app.db")  # error: arg-type

init_tracing("app.log", log_level="debug")
assert_type(runtime.start(), Runtime)
assert_type(runtime.shutdown(timedelta(seconds=1)), bool)
assert_type(runtime.metrics_snapshot(), Optional[MetricsSnapshot])

with SqliteProvider.in_memory() as memory, Runtime(memory) as running:
    assert_type(memory, SqliteProvider)
    assert_type(running, Runtime)
    Client(memory, codec=Shouting())

url = "postgresql://app@db/app"
with PostgresProvider.connect(url, schema="jobs", max_connections=20, password=lambda: "secret") as postgres:
    assert_type(postgres, PostgresProvider)
PostgresProvider.connect_with_schema(url, "jobs", connect_timeout_ms=timedelta(seconds=5))
PostgresProvider.connect_with_entra("db.example", 5432, "app", "me", PostgresEntraOptions(max_connections=5))

SqliteProvider.open()  # error: call-arg
SqliteProvider.open(7)  # error: arg-type
PostgresProvider.connect(url, pasword=lambda: "x")  # error: call-arg
PostgresProvider.connect(url, password=lambda: 7)  # error: arg-type, return-value
PostgresProvider.connect_with_entra("db.example", "5432", "app", "me")  # error: arg-type
