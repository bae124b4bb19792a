"""Children, timers, messages, composition: what an orchestration waits for."""

from __future__ import annotations

import datetime
from collections.abc import Generator
from typing import Any, NoReturn, Optional, TypedDict

from typing_extensions import assert_type

from duroxide import ActivityContext, OrchestrationContext, ScheduledTask, SubOrchestrationError, parse_result


class Shape(TypedDict):
    sides: int


def double(ctx: ActivityContext, number: int) -> int:
    return 2 * number


def child(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, str]:
    return str((yield from ctx.schedule_activity(double, number)))


def narrow(ctx: OrchestrationContext, number: int) -> Generator[ScheduledTask[Any], Any, float]:
    yield ctx.schedule_timer(10)
    return number / 2


def plain(ctx: OrchestrationContext, text: str) -> str:
    return text


def shape(ctx: OrchestrationContext, _: None) -> Shape:
    return {"sides": 3}


def alone(ctx: OrchestrationContext, _: None) -> Generator[Any, Any, int]:
    yield ctx.schedule_timer(10)
    return 1


def parent(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, list[str]]:
    try:
        first = yield from ctx.schedule_sub_orchestration(child, number)
    except SubOrchestrationError as error:
        return [error.instance_id]
    assert_type(first, str)
    assert_type((yield from ctx.schedule_sub_orchestration(narrow, number)), float)
    assert_type((yield from ctx.schedule_sub_orchestration(plain, "x")), str)
    assert_type((yield from ctx.schedule_sub_orchestration(alone)), int)
    assert_type((yield from ctx.schedule_sub_orchestration(shape)), Shape)
    assert_type((yield from ctx.schedule_sub_orchestration(shape, None)), Shape)
    assert_type((yield from ctx.schedule_sub_orchestration("Child", number)), Any)
    assert_type((yield from ctx.schedule_sub_orchestration_with_id(child, "c-1", number)), str)
    assert_type((yield from ctx.schedule_sub_orchestration_with_id(alone, "c-2")), int)
    assert_type((yield from ctx.schedule_sub_orchestration_versioned(child, "1.0.1", number)), Any)
    assert_type((yield from ctx.start_orchestration(child, "c-2", number)), None)
    return [first]


def waits(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, Optional[str]]:
    assert_type((yield from ctx.schedule_timer(datetime.timedelta(days=1))), None)
    assert_type((yield from ctx.wait_for_event("approved")), Any)
    assert_type((yield from ctx.dequeue_event("mail")), Any)
    assert_type((yield from ctx.new_guid()), str)
    assert_type((yield from ctx.utc_now()), int)
    assert_type((yield from ctx.get_kv_value_from_instance("other", "key")), Optional[str])
    assert_type(ctx.current_utc, datetime.datetime)
    assert_type(ctx.is_replaying, bool)
    assert_type(ctx.instance_id, str)
    assert_type(ctx.parent_instance_id, Optional[str])
    ctx.set_custom_status({"done": number})
    ctx.set_kv_value("key", [number])
    assert_type(ctx.get_kv_all_values(), dict[str, str])
    return ctx.get_kv_value("key")


def branches(ctx: OrchestrationContext, numbers: list[int]) -> Generator[Any, Any, Any]:
    tasks = [ctx.schedule_activity(double, n) for n in numbers]
    results = yield from ctx.all(tasks)
    assert_type(results, list[dict[str, Any]])
    assert_type((yield from ctx.all_typed(tasks)), list[Any])
    yield ctx.all([child(ctx, 1), ctx.race(ctx.schedule_timer(5), ctx.wait_for_event("go")), *tasks])
    winner = yield from ctx.race(ctx.wait_for_event("go"), child(ctx, 1))
    assert_type(winner, dict[str, Any])
    yield from ctx.race(tasks)
    return parse_result(results)


def forever(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, str]:
    assert_type(ctx.continue_as_new(number + 1), ScheduledTask[NoReturn])
    if number > 10:
        return "done"
    return (yield from ctx.continue_as_new(number + 1))


def wrong(ctx: OrchestrationContext, number: int) -> Generator[Any, Any, str]:
    yield from ctx.schedule_sub_orchestration(child, "1")  # error: arg-type
    yield from ctx.schedule_sub_orchestration(plain, 1)  # error: arg-type
    yield from ctx.schedule_sub_orchestration(child)  # error: arg-type
    yield from ctx.schedule_sub_orchestration_with_id(child, 1, number)  # error: call-overload
    yield from ctx.schedule_sub_orchestration_with_id(child, "c-1", "1")  # error: arg-type
    yield from ctx.schedule_sub_orchestration_versioned(child, 2, number)  # error: arg-type
    yield from ctx.start_orchestration(child)  # error: call-arg
    yield from ctx.schedule_timer("1s")  # error: arg-type
    yield from ctx.schedule_timer(0.5)  # error: arg-type
    yield from ctx.wait_for_event(1)  # error: arg-type
    yield from ctx.all(ctx.utc_now(), ctx.utc_now())  # error: call-arg
    yield from ctx.all(1)  # error: arg-type
    ctx.set_kv_value(1, "x")  # error: arg-type
    ctx.sleep(1)  # error: attr-defined
    guid: int = yield from ctx.new_guid()  # error: assignment
    return (yield from ctx.schedule_sub_orchestration(narrow, number))  # error: return-value
