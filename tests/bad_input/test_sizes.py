"""Payloads from nothing to 32 MiB, odd identifiers, many of everything."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import duroxide
from harness import Engine, must

ODD_IDS = {
    "quotes": 'it\'s "quoted" `here`',
    "slashes": "a/b\\c/../d",
    "emoji": "order-🚀-✓",
    "1024 bytes": "é" * 512,
    "newline": "line\nbreak\ttab",
    "percent": "100%_of_%s",
    "sql": "'; drop table duroxide_instances; --",
    "spaces": "  both ends  ",
    "colons": "a::sub::2",
    "sub": "sub::3",
    "rtl": "\u202eabc",
    "json": '{"id": 1}',
    "one": "x",
}


def echoing(engine: Engine) -> duroxide.Runtime:
    runtime = engine.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        echoed = yield ctx.schedule_activity("Echo", input)
        event = yield ctx.wait_for_event("event")
        mail = yield ctx.dequeue_event("queue")
        return [echoed, event, mail]

    return runtime


@pytest.mark.parametrize("size", [0, 1, 4095, 65_536, 1 << 20], ids=str)
def test_payloads(engine: Engine, size: int) -> None:
    echoing(engine).start()
    text = "x" * size
    instance = engine.start("W", text)
    engine.client.enqueue_event(instance, "queue", text)
    engine.recorded(instance, "ExternalSubscribed")
    engine.client.raise_event(instance, "event", text)
    assert engine.output(instance) == [text, text, text]


def test_payload_of_32_mib(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("Big")
    def big(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Echo", input))

    runtime.start()
    text = "é" * (16 << 20)
    assert engine.run("Big", text) == text


@pytest.mark.parametrize("kind", ODD_IDS)
def test_odd_identifiers_work_everywhere(engine: Engine, kind: str) -> None:
    odd = ODD_IDS[kind]
    runtime = engine.runtime()

    @runtime.register_activity(odd)
    def activity(ctx: Any, input: Any) -> Any:
        return [ctx.activity_name, ctx.session_id, ctx.instance_id]

    runtime.register_orchestration("Child", lambda ctx, input: ctx.instance_id)

    @runtime.register_orchestration(odd)
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status(odd)
        ctx.set_kv_value(odd, odd)
        ran = yield ctx.schedule_activity(odd, odd, session_id=odd)
        event = yield ctx.wait_for_event(odd)
        mail = yield ctx.dequeue_event(odd)
        child = yield ctx.schedule_sub_orchestration("Child")
        return [ran, event, mail, child]

    runtime.start()
    client = engine.client
    client.start_orchestration(odd, odd, odd)
    client.enqueue_event(odd, odd, odd)
    engine.recorded(odd, "ExternalSubscribed")
    client.raise_event(odd, odd, odd)
    ran, event, mail, child = engine.output(odd)
    assert ran == [odd, odd, odd]
    assert (event, mail) == (odd, odd)
    assert child.startswith(odd)
    assert client.get_status(odd).custom_status == odd
    assert client.get_kv_value(odd, odd) == odd
    assert odd in client.list_all_instances()
    assert client.get_instance_tree(odd).size == 2
    assert client.delete_instance(odd).instances_deleted == 2


@pytest.mark.parametrize("depth", [100, 900])
def test_deeply_nested_json(memory: Engine, depth: int) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("Same", lambda ctx, input: input)
    value: Any = []
    for _ in range(depth):
        value = [value]
    runtime.start()
    assert memory.run("Same", value) == value


def test_numbers_survive(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Echo", input))

    runtime.start()
    numbers = [0, -0.0, 1e308, 5e-324, 2**63, -(2**63), 12345678901234567890, 0.1, 1e22]
    got = memory.run("W", numbers)
    assert [repr(n) for n in got] == [repr(n) for n in numbers]
    nan, inf = memory.run("W", [float("nan"), float("inf")])
    assert nan != nan
    assert inf == float("inf")


def test_history_of_five_thousand_events(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("Wide")
    def wide(ctx: Any, count: int) -> Any:
        results = yield ctx.all([ctx.schedule_activity("Echo", n) for n in range(count)])
        return sum(r["ok"] for r in results)

    runtime.start()
    assert engine.run("Wide", 2500, "wide") == sum(range(2500))
    assert len(engine.events("wide")) == 5002


def test_thousand_instances_at_once(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        first = yield ctx.schedule_activity("Echo", input)
        yield ctx.schedule_timer(10)
        return first

    runtime.start()
    ids = [memory.start("W", n) for n in range(1000)]
    for n, instance in enumerate(ids):
        assert memory.output(instance) == n


def test_long_chain_of_executions(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("Chain")
    def chain(ctx: Any, n: int) -> Any:
        if n:
            yield ctx.continue_as_new(n - 1)
        return "end"

    runtime.start()
    assert memory.run("Chain", 500, "c") == "end"
    assert len(memory.client.list_executions("c")) == 501


def test_deep_tree_of_children(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("Nest")
    def nest(ctx: Any, n: int) -> Any:
        if n == 0:
            return 0
        return 1 + (yield ctx.schedule_sub_orchestration_with_id("Nest", f"depth-{n - 1}", n - 1))

    runtime.start()
    instance = memory.start("Nest", 60)
    assert memory.output(instance) == 60
    assert memory.client.get_instance_tree(instance).size == 61
    assert memory.client.delete_instance(instance).instances_deleted == 61


def test_generated_child_ids_too_long_fail_clearly(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("Nest")
    def nest(ctx: Any, n: int) -> Any:
        return (yield ctx.schedule_sub_orchestration("Nest", n + 1))

    runtime.start()
    error = memory.error(memory.start("Nest", 0, "x" * 1000))
    assert "2048" in error or "2,048" in error or "bytes" in error


def test_deeply_nested_composition(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Echo", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        task = ctx.schedule_activity("Echo", "core")
        for _ in range(50):
            task = ctx.all([task])
        got = yield task
        for _ in range(50):
            got = got[0]["ok"]
        return got

    runtime.start()
    assert memory.run("W") == "core"


def test_activity_that_never_returns_does_not_hold_up_shutdown(memory: Engine) -> None:
    runtime = memory.runtime()
    begun, release = threading.Event(), threading.Event()

    @runtime.register_activity("Never")
    def never(ctx: Any, input: Any) -> None:
        begun.set()
        must(release)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Never")

    runtime.start()
    memory.start("W", None, "w")
    must(begun)
    try:
        assert runtime.shutdown(100) is False
        assert memory.client.get_status("w").status == "Running"
    finally:
        release.set()
