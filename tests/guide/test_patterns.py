"""The guide's orchestration patterns, from the minimal example to retry policies."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import duroxide
from harness import WAIT_MS, Engine, must


def test_minimal_example(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("SayHello")
    def say_hello(ctx: Any, name: str) -> str:
        return f"Hello, {name}!"

    @runtime.register_orchestration("HelloWorkflow")
    def hello(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("SayHello", input["name"]))

    assert say_hello(None, "Ann") == "Hello, Ann!", "a decorated function stays callable"
    runtime.start()
    assert engine.run("HelloWorkflow", {"name": "World"}, "hello-1") == "Hello, World!"
    assert engine.kinds("hello-1") == [
        "OrchestrationStarted",
        "ActivityScheduled",
        "ActivityCompleted",
        "OrchestrationCompleted",
    ]


def test_sequential_steps_run_once_each_in_order(engine: Engine) -> None:
    runtime = engine.runtime()
    ran: list[int] = []

    @runtime.register_activity("Step")
    def step(ctx: Any, n: int) -> int:
        ran.append(n)
        return n + 1

    @runtime.register_orchestration("Pipeline")
    def pipeline(ctx: Any, n: int) -> Any:
        for _ in range(20):
            n = yield ctx.schedule_activity("Step", n)
        return n

    runtime.start()
    assert engine.run("Pipeline", 0) == 20
    assert ran == list(range(20))


def test_fan_out_runs_in_parallel_and_keeps_order(engine: Engine) -> None:
    runtime = engine.runtime(worker_concurrency=4)
    together = threading.Barrier(4, timeout=WAIT_MS / 1000)

    @runtime.register_activity("ProcessItem")
    def process(ctx: Any, n: int) -> int:
        together.wait()  # passes only when four run at once
        return n * n

    @runtime.register_orchestration("FanOut")
    def fan_out(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([ctx.schedule_activity("ProcessItem", i) for i in input["items"]]))

    runtime.start()
    assert engine.run("FanOut", {"items": [4, 1, 3, 2]}) == [{"ok": n} for n in (16, 1, 9, 4)]


def test_fan_out_reports_a_failed_member_in_its_place(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("ProcessItem")
    def process(ctx: Any, n: int) -> int:
        if n == 2:
            raise ValueError("two")
        return n

    @runtime.register_orchestration("FanOut")
    def fan_out(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([ctx.schedule_activity("ProcessItem", i) for i in input]))

    runtime.start()
    assert engine.run("FanOut", [1, 2, 3]) == [
        {"ok": 1},
        {"err": "Activity 'ProcessItem' call failed: ValueError: two"},
        {"ok": 3},
    ]


@pytest.mark.parametrize("winner", [0, 1])
def test_race_gives_index_and_value_of_the_first(engine: Engine, winner: int) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("FastService")
    def fast(ctx: Any, input: Any) -> Any:
        return {"got": input}

    @runtime.register_orchestration("RaceExample")
    def race(ctx: Any, input: Any) -> Any:
        work: Any = ctx.schedule_activity("FastService", input)
        if winner == 1:
            work = ctx.wait_for_event("never")
        return (yield ctx.race(work, ctx.schedule_timer(5000 if winner == 0 else 20)))

    runtime.start()
    value = {"got": "x"} if winner == 0 else None
    assert engine.run("RaceExample", "x") == {"index": winner, "value": value}


def test_durable_timer_is_not_early_and_survives_a_restart(engine: Engine) -> None:
    def register(runtime: duroxide.Runtime) -> None:
        @runtime.register_orchestration("Delayed")
        def delayed(ctx: Any, input: Any) -> Any:
            yield ctx.schedule_timer(400)
            return "done"

    runtime = engine.runtime()
    register(runtime)
    runtime.start()
    before = time.time()
    instance = engine.start("Delayed")
    engine.recorded(instance, "TimerCreated")
    engine.restart(runtime, register)
    assert engine.output(instance) == "done"
    assert time.time() - before >= 0.4


def test_external_event_carries_its_data(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Approval")
    def approval(ctx: Any, input: Any) -> Any:
        return (yield ctx.wait_for_event("approval"))

    runtime.start()
    for data in ({"approved": True}, None, [1, None], "text", 0, False, "ünï ✓", 2**70):
        instance = engine.start("Approval")
        engine.recorded(instance, "ExternalSubscribed")
        engine.client.raise_event(instance, "approval", data)
        assert engine.output(instance) == data


def test_sub_orchestration_result_failure_and_id(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Child")
    def child(ctx: Any, input: Any) -> Any:
        if input == "fail":
            raise ValueError("child is unhappy")
        return [ctx.instance_id, input]

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        by_itself = yield ctx.schedule_sub_orchestration("Child", 1)
        with_id = yield ctx.schedule_sub_orchestration_with_id("Child", "my-child", 2)
        try:
            yield ctx.schedule_sub_orchestration("Child", "fail")
        except duroxide.SubOrchestrationError as e:
            return [by_itself, with_id, "child is unhappy" in str(e)]

    runtime.start()
    output = engine.run("Parent", None, "p")
    assert output == [["p::sub::2", 1], ["my-child", 2], True]
    assert engine.client.get_instance_info("my-child").parent_instance_id == "p"


def test_fire_and_forget_does_not_wait(engine: Engine) -> None:
    runtime = engine.runtime()
    go = threading.Event()

    @runtime.register_activity("Wait")
    def wait(ctx: Any, input: Any) -> None:
        must(go)

    @runtime.register_orchestration("Monitor")
    def monitor(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Wait")
        return input

    @runtime.register_orchestration("Create")
    def create(ctx: Any, input: Any) -> Any:
        return (yield ctx.start_orchestration("Monitor", "monitor-1", {"n": 1}))

    runtime.start()
    assert engine.run("Create") is None
    assert engine.client.get_status("monitor-1").status == "Running"
    go.set()
    assert engine.output("monitor-1") == {"n": 1}


def test_continue_as_new_starts_over_with_new_input(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_orchestration("Monitor")
    def monitor(ctx: Any, input: Any) -> Any:
        n = input.get("n", 0)
        yield ctx.schedule_timer(1)
        if n < 5:
            yield ctx.continue_as_new({"n": n + 1})
            raise AssertionError("continue_as_new never returns")
        return [n, ctx.execution_id]

    runtime.start()
    instance = engine.start("Monitor", {})
    assert engine.output(instance) == [5, 6]
    assert engine.client.list_executions(instance) == [1, 2, 3, 4, 5, 6]
    assert engine.kinds(instance, 1)[-1] == "OrchestrationContinuedAsNew"
    assert engine.kinds(instance, 6)[-1] == "OrchestrationCompleted"


def test_error_of_an_activity_can_be_caught(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Risky")
    def risky(ctx: Any, input: Any) -> Any:
        raise KeyError("gone")

    @runtime.register_orchestration("Safe")
    def safe(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Risky", input)
        except Exception as e:
            return [type(e).__name__, str(e), e.activity_name, e.original_type, e.attempt]  # type: ignore[attr-defined]

    @runtime.register_orchestration("Unsafe")
    def unsafe(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Risky", input)

    runtime.start()
    text = "Activity 'Risky' call failed: KeyError: 'gone'"
    assert engine.run("Safe") == ["ActivityError", text, "Risky", "KeyError", 1]
    error = engine.error(engine.start("Unsafe"))
    assert text in error
    assert "in unsafe" in error, "the traceback shows the user's frame"
    assert "duroxide/_" not in error, "and none of the engine's"


def test_retry_policy_retries_until_success_or_exhaustion(engine: Engine) -> None:
    runtime = engine.runtime()
    attempts: dict[str, list[int]] = {}

    @runtime.register_activity("Flakey")
    def flakey(ctx: Any, input: Any) -> Any:
        mine = attempts.setdefault(ctx.instance_id, [])
        mine.append(ctx.attempt)
        if len(mine) < input:
            raise RuntimeError(f"failure {len(mine)}")
        return len(mine)

    @runtime.register_orchestration("Retrying")
    def retrying(ctx: Any, input: Any) -> Any:
        policy = {"max_attempts": 3, "backoff": "none", "timeout_ms": 5000}
        return (yield ctx.schedule_activity_with_retry("Flakey", input, policy))

    runtime.start()
    assert engine.run("Retrying", 3, "lucky") == 3
    assert attempts["lucky"] == [1, 2, 3]
    assert engine.kinds("lucky").count("ActivityScheduled") == 3
    assert "failure 3" in engine.error(engine.start("Retrying", 4, "unlucky"))
    assert attempts["unlucky"] == [1, 2, 3]


def test_blocks_of_several_steps_join_and_race(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Step")
    def step(ctx: Any, name: str) -> str:
        return f"step-{name}"

    @runtime.register_orchestration("BlockA")
    def block_a(ctx: Any, input: Any) -> Any:
        first = yield ctx.schedule_activity("Step", "A1")
        second = yield ctx.schedule_activity("Step", "A2")
        return f"A:[{first},{second}]"

    @runtime.register_orchestration("BlockB")
    def block_b(ctx: Any, input: Any) -> Any:
        yield ctx.wait_for_event("go")
        return "B"

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        pair = [ctx.schedule_sub_orchestration("BlockA", "") for _ in range(2)]
        joined = yield ctx.all(pair)
        won = yield ctx.race(
            ctx.schedule_sub_orchestration_with_id("BlockB", "loser", ""),
            ctx.race(ctx.schedule_sub_orchestration("BlockA", ""), ctx.schedule_timer(10_000)),
        )
        return [joined, won]

    runtime.start()
    a = "A:[step-A1,step-A2]"
    assert engine.run("Parent") == [
        [{"ok": a}, {"ok": a}],
        {"index": 1, "value": {"index": 0, "value": a}},
    ]
    assert engine.error("loser").startswith("canceled: ")


def test_clock_and_guid_come_from_history(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity("Echo")
    def echo(ctx: Any, input: Any) -> Any:
        return input

    @runtime.register_orchestration("Now")
    def now(ctx: Any, input: Any) -> Any:
        first = yield ctx.utc_now()
        guid = yield ctx.new_guid()
        yield ctx.schedule_activity("Echo", [first, guid])  # a replay would notice another value
        yield ctx.schedule_timer(5)
        second = yield ctx.utc_now()
        return [first, guid, second, (yield ctx.new_guid())]

    runtime.start()
    before = int(time.time() * 1000)
    first, guid, second, other = engine.run("Now")
    assert before - 5 <= first <= second <= time.time() * 1000 + 5
    assert isinstance(first, int)
    assert [len(part) for part in guid.split("-")] == [8, 4, 4, 4, 12]
    assert guid[14] == "4"
    assert guid != other
