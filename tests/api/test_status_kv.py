"""Custom status, waiting for it, and the key-value store of an instance."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

import duroxide
from harness import WAIT_MS, Engine, must


def test_wait_for_status_change_returns_none_by_timeout_and_by_the_end(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_event("go")

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "waiting")
    before = time.monotonic()
    assert engine.client.wait_for_status_change(instance, 1, 10, 50) is None
    assert 0.04 < time.monotonic() - before < 5
    ended: list[Any] = []

    def wait() -> None:
        ended.append(engine.client.wait_for_status_change(instance, 1, 50, WAIT_MS))

    waiter = threading.Thread(target=wait)
    waiter.start()
    engine.client.raise_event(instance, "go")
    waiter.join(WAIT_MS / 1000)
    assert ended == [None], "the end with nothing newer ends the wait"
    before = time.monotonic()
    assert engine.client.wait_for_status_change(instance, 1, 50, WAIT_MS) is None
    assert time.monotonic() - before < 5
    last = engine.client.wait_for_status_change(instance, 0, 50, WAIT_MS)
    assert (last.status, last.custom_status) == ("Completed", "waiting")


def test_wait_for_status_of_an_unknown_instance_waits(memory: Engine) -> None:
    assert memory.client.wait_for_status_change("nobody", 0, 10, 50) is None


def test_loop_of_the_guide_ends_with_every_status_order(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        for n in range(30):
            ctx.set_custom_status(str(n))
            yield ctx.schedule_timer(0)

    runtime.start()
    instance = engine.start("W")
    seen, last = [], 0
    while True:
        result = engine.client.wait_for_status_change(instance, last, 50, WAIT_MS)
        if result is None:
            break
        assert result.custom_status_version > last
        seen.append(int(result.custom_status))
        last = result.custom_status_version
    assert seen == sorted(set(seen))
    assert (seen[-1], last) == (29, 30)


def test_version_counts_every_set_and_reset_over_executions(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        before = ctx.get_custom_status()
        ctx.set_custom_status("a")
        ctx.set_custom_status(f"b{input}")
        assert ctx.get_custom_status() == f"b{input}"
        if input < 3:
            yield ctx.continue_as_new(input + 1)
        ctx.reset_custom_status()
        assert ctx.get_custom_status() is None
        ctx.set_custom_status("end")
        return before

    runtime.start()
    instance = engine.start("W", 1)
    assert engine.output(instance) == "b2"
    status = engine.client.get_status(instance)
    assert (status.custom_status, status.custom_status_version) == ("end", 8)


def test_status_stays_visible_after_a_failure(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("before the fall")
        yield ctx.schedule_timer(1)
        raise ValueError("fall")

    runtime.start()
    result = engine.wait(engine.start("W"))
    assert (result.status, result.custom_status) == ("Failed", "before the fall")


def test_values_that_are_not_text_pass_through_str(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status(42)
        ctx.set_kv_value("n", 7)
        yield ctx.schedule_timer(0)
        return [ctx.get_custom_status(), ctx.get_kv_value("n")]

    runtime.start()
    assert engine.run("W") == ["42", "7"]


@pytest.mark.parametrize("over", [0, 1])
def test_limit_of_the_status_is_exact(engine: Engine, over: int) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            ctx.set_custom_status("x" * (262_144 + over))
        except duroxide.InvalidArgument as e:
            return str(e)
        yield ctx.schedule_timer(0)
        return "fits"

    runtime.start()
    said = engine.run("W")
    if over:
        assert "Custom status size (262145 bytes) exceeds limit (262144 bytes)" in said
    else:
        assert said == "fits"


def test_kv_read_modify_write_over_turns_and_executions(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Counter")
    def counter(ctx: Any, input: Any) -> Any:
        for _ in range(3):
            ctx.set_kv_value("n", str(int(ctx.get_kv_value("n") or 0) + 1))
            yield ctx.schedule_timer(0)
        if ctx.execution_id < 3:
            yield ctx.continue_as_new(None)
        return [ctx.get_kv_value("n"), ctx.get_kv_value("missing"), ctx.get_kv_length()]

    runtime.start()
    instance = engine.start("Counter")
    assert engine.output(instance) == ["9", None, 1]
    assert engine.client.get_kv_value(instance, "n") == "9"
    assert engine.client.get_kv_value(instance, "missing") is None
    assert engine.client.get_kv_value("unknown", "n") is None


def test_kv_set_get_clear_and_list(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_kv_value("a", "1")
        ctx.set_kv_value("b", "2")
        ctx.set_kv_value("", "")  # empty key and value are legal
        ctx.set_kv_value("b", "3")
        yield ctx.schedule_timer(0)
        before = [
            ctx.get_kv_all_values(),
            sorted(ctx.get_kv_all_keys()),
            ctx.get_kv_length(),
        ]
        ctx.clear_kv_value("a")
        yield ctx.schedule_timer(0)
        after = [ctx.get_kv_value("a"), ctx.get_kv_length()]
        ctx.clear_all_kv_values()
        ctx.set_kv_value("last", "one")
        return [before, after]

    runtime.start()
    instance = engine.start("W")
    before, after = engine.output(instance)
    assert before == [{"a": "1", "b": "3", "": ""}, ["", "a", "b"], 3]
    assert after == [None, 2]
    assert engine.client.get_kv_value(instance, "b") is None
    assert engine.client.get_kv_value(instance, "last") == "one"
    kinds = engine.kinds(instance)
    counts = [kinds.count(f"KeyValue{k}") for k in ("Set", "Cleared", "sCleared")]
    assert counts == [5, 1, 1]


@pytest.mark.parametrize(("keys", "size", "text"), [(150, 65_536, None), (151, 1, "count"), (1, 65_537, "size")])
def test_kv_limits_are_exact(memory: Engine, keys: int, size: int, text: str | None) -> None:
    assert (duroxide.MAX_KV_KEYS, duroxide.MAX_KV_VALUE_BYTES) == (150, 65_536)
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            for n in range(keys):
                ctx.set_kv_value(f"k{n}", "v" * size)
        except duroxide.InvalidArgument as e:
            return str(e)
        yield ctx.schedule_timer(0)
        return "fits"

    runtime.start()
    said = memory.run("W")
    expected = {
        None: "fits",
        "count": "KV key count (151) exceeds limit (150)",
        "size": "KV value for key 'k0' (65537 bytes) exceeds limit (65536 bytes)",
    }[text]
    assert expected in said


def test_kv_of_another_instance(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Owner")
    def owner(ctx: Any, input: Any) -> Any:
        ctx.set_kv_value("k", "owned")
        yield ctx.wait_for_event("never")

    @runtime.register_orchestration("Reader")
    def reader(ctx: Any, input: Any) -> Any:
        return [
            (yield ctx.get_kv_value_from_instance("owner", "k")),
            (yield ctx.get_kv_value_from_instance("owner", "missing")),
            (yield ctx.get_kv_value_from_instance("nobody", "k")),
        ]

    runtime.start()
    engine.start("Owner", None, "owner")
    assert engine.client.wait_for_kv_value("owner", "k", WAIT_MS) == "owned"
    assert engine.run("Reader") == ["owned", None, None]


@pytest.mark.parametrize("tags", [duroxide.TagFilter.NONE, duroxide.TagFilter.tags(["gpu"])], ids=["none", "gpu"])
def test_key_of_another_instance_is_read_whatever_work_a_runtime_takes(engine: Engine, tags: str) -> None:
    runtime = engine.runtime(worker_tag_filter=tags)
    runtime.register_orchestration("Owner", lambda ctx, input: ctx.set_kv_value("k", "owned"))

    @runtime.register_orchestration("Reader")
    def reader(ctx: Any, input: Any) -> Any:
        return (yield ctx.get_kv_value_from_instance("owner", "k"))

    runtime.start()
    engine.run("Owner", None, "owner")
    instance = engine.start("Reader")
    assert engine.output(instance) == "owned"
    scheduled = next(e for e in engine.events(instance) if e.kind == "ActivityScheduled")
    assert json.loads(scheduled.data)["name"] == "__duroxide_syscall:get_kv_value"


def test_waiting_for_a_key(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.wait_for_event("go")
        ctx.set_kv_value("answer", '{"n": 42}')

    runtime.start()
    instance = engine.start("W")
    with pytest.raises(TimeoutError) as caught:
        engine.client.wait_for_kv_value(instance, "answer", 30)
    assert str(caught.value) == f"Timed out waiting for value 'answer' on instance '{instance}'"
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(engine.client.wait_for_kv_value(instance, "answer", WAIT_MS)))
    waiter.start()
    engine.recorded(instance, "ExternalSubscribed")
    engine.client.raise_event(instance, "go")
    waiter.join(WAIT_MS / 1000)
    assert got == ['{"n": 42}']
    assert engine.client.get_kv_value_typed(instance, "answer") == {"n": 42}


def test_kv_prune_by_age_uses_times_of_history(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_kv_value("old", "1")
        yield ctx.schedule_timer(30)
        cutoff = yield ctx.utc_now()
        yield ctx.schedule_timer(5)
        ctx.set_kv_value("new", "2")
        pruned = ctx.prune_kv_values_updated_before(cutoff)
        yield ctx.schedule_timer(1)
        return [pruned, ctx.get_kv_all_keys()]

    runtime.start()
    assert engine.run("W") == [1, ["new"]]


def test_status_is_seen_while_the_step_goes_on(engine: Engine) -> None:
    runtime = engine.runtime()
    go = threading.Event()
    runtime.register_activity("Wait", lambda ctx, input: must(go))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("working")
        ctx.set_kv_value("k", "v")
        yield ctx.schedule_activity("Wait")

    runtime.start()
    instance = engine.start("W")
    engine.status_is(instance, "working")
    assert engine.client.get_kv_value(instance, "k") == "v"
    go.set()
    engine.output(instance)
