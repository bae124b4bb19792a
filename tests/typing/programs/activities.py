"""Activities by function: their inputs are checked, their results have a type."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Optional, TypedDict

from typing_extensions import assert_type

from duroxide import ActivityContext, OrchestrationContext, ScheduledTask


class Order(TypedDict):
    sku: str
    count: int


@dataclass
class Receipt:
    cents: int


def price(ctx: ActivityContext, order: Order) -> int:
    ctx.trace_info(f"attempt {ctx.attempt} of {ctx.activity_name}")
    return 100 * order["count"]


async def charge(ctx: ActivityContext, cents: int) -> str:
    return f"{ctx.idempotency_key}: {cents}"


def tell(ctx: ActivityContext, text: Optional[str]) -> None:
    ctx.trace_warn(text)


def now(ctx: ActivityContext, _: None) -> float:
    return 1.0


class Bank:
    def pay(self, ctx: ActivityContext, cents: int) -> bool:
        return cents > 0


def buy(ctx: OrchestrationContext, order: Order) -> Generator[Any, Any, str]:
    cents = yield from ctx.schedule_activity(price, order)
    assert_type(cents, int)
    receipt = yield from ctx.schedule_activity(charge, cents, timeout_ms=timedelta(seconds=5))
    assert_type(receipt, str)
    yield from ctx.schedule_activity(tell, None)
    assert_type(ctx.schedule_activity(tell, "x"), ScheduledTask[None])
    at = yield from ctx.schedule_activity(now)
    assert_type(at, float)
    paid = yield from ctx.schedule_activity(Bank().pay, cents, session_id="till").with_tag("bank")
    assert_type(paid, bool)
    same_till = yield from ctx.schedule_activity_on_session(charge, cents, "till")
    assert_type(same_till, str)

    task = ctx.schedule_activity(price, Order(sku="cup", count=1))
    assert_type(task, ScheduledTask[int])
    assert_type((yield task), Any)
    assert_type((yield from ctx.schedule_activity("Charge", 5)), Any)
    return receipt


def wrong(ctx: OrchestrationContext, order: Order) -> Generator[Any, Any, str]:
    yield from ctx.schedule_activity(price, "cup")  # error: arg-type
    yield from ctx.schedule_activity(price, {"sku": "cup"})  # error: arg-type
    yield from ctx.schedule_activity(charge, "5")  # error: arg-type
    yield from ctx.schedule_activity(charge)  # error: arg-type
    yield from ctx.schedule_activity(Bank().pay, None)  # error: arg-type, misc
    yield from ctx.schedule_activity(now, 3)  # error: arg-type
    yield from ctx.schedule_activity(charge, 5, timeout_ms="5s")  # error: call-overload
    yield from ctx.schedule_activity(charge, 5, timeout=5)  # error: call-overload
    yield from ctx.schedule_activity(7, 5)  # error: call-overload
    yield from ctx.schedule_activity_on_session(charge, "5", "till")  # error: arg-type
    yield from ctx.schedule_activity_on_session(charge, 5)  # error: call-overload
    ctx.schedule_activity(charge, 5).with_tag(1)  # error: arg-type
    text: str = yield from ctx.schedule_activity(price, order)  # error: assignment
    return (yield from ctx.schedule_activity(price, order))  # error: return-value


def misspelt(ctx: ActivityContext, order: Order) -> int:
    ctx.schedule_activity(price, order)  # error: attr-defined
    return ctx.attempts  # error: attr-defined, no-any-return
