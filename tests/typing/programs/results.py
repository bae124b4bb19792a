"""result_type: the types of what the _typed calls yield back."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Optional, TypedDict

from typing_extensions import assert_type

from duroxide import OrchestrationContext


@dataclass
class Order:
    cents: int


class Address(TypedDict):
    street: str


class Color(enum.Enum):
    RED = "red"


def bill(ctx: OrchestrationContext, order_id: int) -> Generator[Any, Any, int]:
    order = yield from ctx.schedule_activity_typed("load", order_id, result_type=Order)
    assert_type(order, Order)
    assert_type((yield from ctx.schedule_activity_typed("load", order_id, Order)), Order)
    assert_type((yield from ctx.schedule_activity_typed("load", result_type=list[int])), list[int])
    assert_type((yield from ctx.schedule_activity_typed("load", order_id)), Any)
    assert_type((yield from ctx.schedule_activity_typed("load", order_id, Optional[Order])), Any)
    assert_type((yield from ctx.schedule_activity_on_session_typed("load", order_id, "s", Address)), Address)
    again = yield from ctx.schedule_activity_with_retry_typed("load", order_id, {"max_attempts": 2}, Color)
    assert_type(again, Color)
    assert_type((yield from ctx.schedule_activity_with_retry_typed("load", result_type=Color)), Color)
    assert_type((yield from ctx.schedule_activity_with_retry_typed("load", order_id)), Any)
    assert_type((yield from ctx.schedule_activity_on_session_typed("load", session_id="s", result_type=int)), int)
    loaded = yield from ctx.schedule_activity_with_retry_on_session_typed("load", session_id="s", result_type=Color)
    assert_type(loaded, Color)
    assert_type((yield from ctx.schedule_sub_orchestration_typed("child", [1], tuple[int, str])), tuple[int, str])
    child = yield from ctx.schedule_sub_orchestration_with_id_typed("child", "c-1", result_type=datetime.datetime)
    assert_type(child, datetime.datetime)
    assert_type((yield from ctx.wait_for_event_typed("approved", bool)), bool)
    assert_type((yield from ctx.dequeue_event_typed("mail", dict[str, int])), dict[str, int])
    assert_type((yield from ctx.dequeue_event_typed("mail")), Any)
    return order.cents


def wrong(ctx: OrchestrationContext, order_id: int) -> Generator[Any, Any, str]:
    order = yield from ctx.schedule_activity_typed("load", order_id, result_type=Order)
    order.euros  # error: attr-defined
    yield from ctx.schedule_activity_with_retry_typed("load", order_id, Order)  # error: call-overload
    yield from ctx.wait_for_event_typed(Color)  # error: call-overload
    yield from ctx.schedule_activity_on_session_typed("load", order_id)  # error: call-overload
    return order.cents  # error: return-value
