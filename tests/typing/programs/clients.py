"""Client and aio.Client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from datetime import timedelta
from typing import Any, Optional

from typing_extensions import assert_type

import duroxide
from duroxide import (
    ActivityContext,
    Client,
    Event,
    InstanceFilter,
    InstanceInfo,
    InstancePage,
    OrchestrationContext,
    OrchestrationError,
    OrchestrationResult,
    PruneOptions,
    SqliteProvider,
    Waiting,
    WaitTimeout,
    aio,
)


def hello(ctx: OrchestrationContext, name: str) -> Generator[Any, Any, str]:
    yield ctx.schedule_timer(1)
    return name


def nested(ctx: ActivityContext, name: str) -> None:
    ctx.get_client().raise_event(ctx.instance_id, "named", name)


def use(client: Client) -> Optional[str]:
    client.start_orchestration("h-1", hello, "Ada", if_exists="raise", delay_ms=timedelta(seconds=1))
    client.start_orchestration("h-2", "Hello", {"name": "Ada"})
    client.start_orchestration_versioned("h-3", "Hello", None, "1.0.1")
    client.raise_event("h-1", "go", [1, 2])
    client.enqueue_event("h-1", "mail", data=None)
    client.cancel_instance("h-1", reason="no more")
    try:
        result = client.wait_for_orchestration("h-1", timeout_ms=None)
        result.raise_for_status()
    except WaitTimeout:
        return None
    except OrchestrationError as error:
        return str(error)
    assert_type(result, OrchestrationResult)
    assert_type(result.output, Any)
    assert_type(client.wait_for_status_change("h-1", 3), Optional[OrchestrationResult])
    assert_type(client.get_kv_value("h-1", "k"), Optional[str])
    assert_type(client.list_all_instances(), list[str])
    assert_type(client.list_instances(status="Running", limit=10), InstancePage)
    assert_type(client.iter_instances(name=hello), Iterator[InstanceInfo])
    assert_type(client.read_execution_history("h-1", 1), list[Event])
    assert_type(client.get_waiting("h-1"), list[Waiting])
    assert_type(client.delete_instance_bulk(InstanceFilter(limit=5)).instances_deleted, int)
    client.prune_executions("h-1", PruneOptions(keep_last=3))
    return result.custom_status


async def use_loop(client: aio.Client) -> Optional[str]:
    await client.start_orchestration("h-1", hello, "Ada", if_exists="ignore")
    await client.raise_event("h-1", "go", [1, 2])
    results = await asyncio.gather(client.wait_for_orchestration("h-1"), client.wait_for_orchestration("h-2", 5))
    assert_type(results, tuple[OrchestrationResult, OrchestrationResult])
    assert_type(await client.get_kv_value("h-1", "k"), Optional[str])
    assert_type(await client.list_instances(blocked=True), InstancePage)
    assert_type(client.iter_instances(), AsyncIterator[InstanceInfo])
    async for info in client.iter_instances(name="Hello"):
        assert_type(info.instance_id, str)
    return results[0].error


def wrong(client: Client, provider: SqliteProvider) -> str:
    client.start_orchestration("h-1")  # error: call-arg
    client.start_orchestration(1, "Hello")  # error: arg-type
    client.start_orchestration("h-1", 1)  # error: arg-type
    client.start_orchestration("h-1", "Hello", None, True)  # error: arg-type, misc
    client.start_orchestration("h-1", "Hello", delay_ms=0.5)  # error: arg-type
    client.wait_for_orchestration("h-1", timeout="5s")  # error: call-arg
    client.wait_for_orchestration("h-1", "5s")  # error: arg-type
    client.list_instances(limits=5)  # error: call-arg
    client.get_status("h-1").state  # error: attr-defined
    client.get_status("h-1").status = "Failed"  # error: misc
    client.delete_instance_bulk({"limit": 5})  # error: arg-type
    client.wait_for_result("h-1")  # error: attr-defined
    Client(provider, Codec=None)  # error: call-arg
    return client.get_status("h-1").custom_status  # error: return-value


async def wrong_loop(client: aio.Client, provider: SqliteProvider) -> str:
    client.wait_for_orchestration("h-1").output  # error: attr-defined
    await client.start_orchestration("h-1", 1)  # error: arg-type
    for _ in client.iter_instances():  # error: attr-defined
        pass
    aio.Client("app.db")  # error: arg-type
    assert_type(duroxide.aio.Client(provider), aio.Client)
    duroxide.asyncio  # error: attr-defined
    return await client.get_kv_value("h-1", "k")  # error: return-value
