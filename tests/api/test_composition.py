"""all and race over every kind of task, nested, with generators as members; yield from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import duroxide
from harness import Engine


def prepare(engine: Engine) -> duroxide.Runtime:
    runtime = engine.runtime()

    @runtime.register_activity("Echo")
    def echo(ctx: Any, input: Any) -> Any:
        return input

    @runtime.register_activity("Fail")
    def fail(ctx: Any, input: Any) -> Any:
        raise ValueError(input)

    runtime.register_orchestration("Child", lambda ctx, input: {"child": input})
    return runtime


FAILED = "Activity 'Fail' call failed: ValueError: x"


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, {"b": None}]},
        [1, 2],
        "text",
        "",
        '{"looks": "like json"}',
        3,
        2.5,
        True,
        False,
        None,
        [],
        {},
        12345678901234567890,
        "\ud800",
        "nul \0 inside",
    ],
    ids=repr,
)
def test_all_and_race_give_every_value_unchanged(memory: Engine, value: Any) -> None:
    runtime = prepare(memory)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        alone = yield ctx.schedule_activity("Echo", input)
        joined = yield ctx.all([ctx.schedule_activity("Echo", input)])
        raced = yield ctx.race(ctx.schedule_activity("Echo", input), ctx.schedule_timer(60_000))
        return [alone, joined, raced, input]

    runtime.start()
    assert memory.run("W", value) == [
        value,
        [{"ok": value}],
        {"index": 0, "value": value},
        value,
    ]


def test_all_takes_every_kind_of_task(engine: Engine) -> None:
    runtime = prepare(engine)

    def branch(ctx: Any, n: int) -> Any:
        total = 0
        for i in range(n):
            total += yield ctx.schedule_activity("Echo", i)
        return total

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        results = yield ctx.all(
            [
                ctx.schedule_activity("Echo", 1),
                ctx.schedule_timer(2),
                ctx.wait_for_event("e"),
                ctx.dequeue_event("q"),
                ctx.schedule_sub_orchestration("Child", 5),
                ctx.start_orchestration("Child", "detached", 6),
                ctx.schedule_activity("Fail", "x"),
                ctx.all([ctx.schedule_activity("Echo", 7), ctx.schedule_activity("Fail", "x")]),
                ctx.race(ctx.schedule_activity("Echo", 8), ctx.schedule_timer(60_000)),
                branch(ctx, 4),
                ctx.schedule_activity_with_retry("Echo", 9, {"max_attempts": 2}),
                ctx.utc_now(),
                ctx.new_guid(),
            ]
        )
        clock, guid = results.pop(-2)["ok"], results.pop(-1)["ok"]
        assert isinstance(clock, int)
        assert len(guid) == 36
        return results

    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "ExternalSubscribed")
    engine.client.raise_event(instance, "e", 3)
    engine.client.enqueue_event(instance, "q", 4)
    assert engine.output(instance) == [
        {"ok": 1},
        {"ok": None},
        {"ok": 3},
        {"ok": 4},
        {"ok": {"child": 5}},
        {"ok": None},
        {"err": FAILED},
        {"ok": [{"ok": 7}, {"err": FAILED}]},
        {"ok": {"index": 0, "value": 8}},
        {"ok": 6},
        {"ok": 9},
    ]
    assert engine.output("detached") == {"child": 6}


def test_all_of_nothing_is_an_empty_list(engine: Engine) -> None:
    runtime = prepare(engine)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return [(yield ctx.all([])), (yield ctx.all([ctx.all([])]))]

    runtime.start()
    assert engine.run("W") == [[], [{"ok": []}]]


def test_race_takes_any_number_and_nests(engine: Engine) -> None:
    runtime = prepare(engine)

    def slow(ctx: Any) -> Any:
        yield ctx.wait_for_event("never")

    def quick(ctx: Any) -> Any:
        first = yield ctx.schedule_activity("Echo", 1)
        second = yield ctx.schedule_activity("Echo", first + 1)
        return [first, second]

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        one = yield ctx.race(ctx.schedule_activity("Echo", 1))
        five = yield ctx.race(*[ctx.wait_for_event("never") for _ in range(4)], quick(ctx))
        nested = yield ctx.race(
            slow(ctx),
            ctx.race(slow(ctx), ctx.race(slow(ctx), ctx.schedule_activity("Echo", "deep"))),
        )
        listed = yield ctx.race([slow(ctx), ctx.schedule_activity("Echo", "list")])
        joined = yield ctx.race(slow(ctx), ctx.all([quick(ctx), ctx.schedule_timer(1)]))
        return [one, five, nested, listed, joined]

    runtime.start()
    assert engine.run("W") == [
        {"index": 0, "value": 1},
        {"index": 4, "value": [1, 2]},
        {"index": 1, "value": {"index": 1, "value": {"index": 1, "value": "deep"}}},
        {"index": 1, "value": "list"},
        {"index": 1, "value": [{"ok": [1, 2]}, {"ok": None}]},
    ]


def test_failed_winner_raises_what_it_raises_alone(engine: Engine) -> None:
    runtime = prepare(engine)

    def branch(ctx: Any) -> Any:
        yield ctx.schedule_activity("Echo", 1)
        raise LookupError("from a branch")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        said = []
        for task in (ctx.schedule_activity("Fail", "x"), branch(ctx)):
            try:
                yield ctx.race(task, ctx.wait_for_event("never"))
            except Exception as e:
                said.append([type(e).__name__, str(e)])
        return said

    runtime.start()
    assert engine.run("W") == [["ActivityError", FAILED], ["LookupError", "from a branch"]]


def test_tie_goes_to_the_lowest_index(engine: Engine) -> None:
    runtime = prepare(engine)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(ctx.all([]), ctx.all([]), ctx.utc_now()))["index"]

    runtime.start()
    assert engine.run("W") == 0


def test_losing_branch_is_closed_and_what_it_awaits_cancelled(engine: Engine) -> None:
    runtime = prepare(engine)
    closed: list[str] = []

    def loser(ctx: Any) -> Any:
        try:
            yield ctx.all([ctx.wait_for_event("a"), ctx.dequeue_event("b")])
        finally:
            closed.append(ctx.instance_id)
            ctx.set_custom_status("never recorded")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        won = yield ctx.race(loser(ctx), ctx.schedule_activity("Echo", 1))
        mail = yield ctx.dequeue_event("b")
        return [won, mail]

    runtime.start()
    instance = engine.start("W")
    engine.recorded(instance, "QueueSubscribed", 2)
    engine.client.enqueue_event(instance, "b", "kept")
    assert engine.output(instance) == [{"index": 1, "value": 1}, "kept"]
    assert instance in closed
    kinds = engine.kinds(instance)
    assert kinds.count("ExternalSubscribedCancelled") == 1
    assert kinds.count("QueueSubscriptionCancelled") == 1
    assert "CustomStatusUpdated" not in kinds


def test_branches_each_keep_their_own_order(engine: Engine) -> None:
    runtime = prepare(engine)

    def deploy(ctx: Any, region: str, steps: int) -> Any:
        done = []
        for n in range(steps):
            done.append((yield ctx.schedule_activity("Echo", f"{region}{n}")))
            if n % 3 == 0:
                yield ctx.schedule_timer(1)
        return done

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([deploy(ctx, name, steps) for name, steps in input]))

    runtime.start()
    plan = [["a", 5], ["b", 1], ["c", 9], ["d", 0]]
    assert engine.run("W", plan) == [{"ok": [f"{a}{n}" for n in range(c)]} for a, c in plan]


def test_yield_from_helpers_and_tasks(engine: Engine) -> None:
    runtime = prepare(engine)

    def helper(ctx: Any, n: int) -> Any:
        value = yield ctx.schedule_activity("Echo", n)
        again = yield from ctx.schedule_activity("Echo", value)
        return again + 1

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        n = yield from helper(ctx, 1)
        branch = yield helper(ctx, n)  # a generator yielded alone is a branch
        joined = yield from ctx.all([ctx.schedule_activity("Echo", branch)])
        timer = yield from ctx.schedule_timer(1)
        return [n, branch, joined, timer]

    runtime.start()
    assert engine.run("W") == [2, 3, [{"ok": 3}], None]


def test_same_task_yielded_twice_is_two_calls(engine: Engine) -> None:
    runtime = prepare(engine)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        task = ctx.schedule_activity("Echo", 1)
        assert task["type"] == "activity"
        return [(yield task), (yield task)]

    runtime.start()
    instance = engine.start("W")
    assert engine.output(instance) == [1, 1]
    assert engine.kinds(instance).count("ActivityScheduled") == 2


def test_typed_forms_of_all_and_race(engine: Engine) -> None:
    runtime = prepare(engine)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        joined = yield ctx.all_typed(
            [
                ctx.schedule_activity_typed("Echo", {"n": 1}),
                ctx.schedule_timer(1),
                ctx.schedule_activity("Fail", "x"),
            ]
        )
        raced = yield ctx.race_typed(ctx.schedule_activity("Echo", 2), ctx.schedule_timer(60_000))
        return [joined, raced]

    runtime.start()
    assert engine.run("W") == [[{"n": 1}, None, {"err": FAILED}], {"index": 0, "value": 2}]


def test_plain_function_completes_at_once(engine: Engine) -> None:
    runtime = engine.runtime()
    runtime.register_orchestration("Plain", lambda ctx, input: [input, ctx.instance_id])

    @runtime.register_orchestration("Fails")
    def fails(ctx: Any, input: Any) -> Any:
        raise RuntimeError("plainly")

    runtime.start()
    assert engine.run("Plain", 4, "i") == [4, "i"]
    assert "RuntimeError: plainly" in engine.error(engine.start("Fails"))


def test_async_activities_run_many_at_once_on_one_thread(engine: Engine) -> None:
    runtime = engine.runtime(worker_concurrency=8)
    arrived: list[int] = []

    @runtime.register_activity("Async")
    async def work(ctx: Any, n: int) -> int:
        arrived.append(n)
        for _ in range(2000):
            if len(arrived) >= 6:
                return n * 2
            await asyncio.sleep(0.005)
        raise AssertionError("the six never ran together")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.all([ctx.schedule_activity("Async", n) for n in range(6)]))

    runtime.start()
    assert engine.run("W") == [{"ok": n * 2} for n in range(6)]


def test_stepping_by_hand_needs_no_engine() -> None:
    ctx = duroxide.OrchestrationContext({"instanceId": "i", "executionId": 1})

    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("does nothing")
        ctx.trace_info("nor this")
        x = yield ctx.schedule_activity("A", input)
        return x + 1

    steps = workflow(ctx, 5)
    assert next(steps)["type"] == "activity"
    with pytest.raises(StopIteration) as end:
        steps.send(1)
    assert end.value.value == 2
