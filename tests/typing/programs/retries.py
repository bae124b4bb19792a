"""Retry policies are dictionaries whose keys and values are known."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from typing_extensions import assert_type

from duroxide import ActivityContext, ActivityError, OrchestrationContext, RetryPolicy

POLICY: RetryPolicy = {"max_attempts": 5, "backoff": "exponential", "total_timeout_ms": timedelta(minutes=1)}
EMPTY: RetryPolicy = {}
CAMEL: RetryPolicy = {"maxAttempts": 5, "backoffStrategy": "fixed", "initialMs": 10, "jitter": 0.5}

MISSPELT: RetryPolicy = {"max_attempt": 5}  # error: typeddict-unknown-key
NO_BACKOFF: RetryPolicy = {"backoff": "quadratic"}  # error: typeddict-item
TEXT: RetryPolicy = {"max_attempts": "5"}  # error: typeddict-item
SECONDS: RetryPolicy = {"timeout_ms": 1.5}  # error: typeddict-item


def charge(ctx: ActivityContext, cents: int) -> str:
    return str(cents)


async def refund(ctx: ActivityContext, cents: int) -> float:
    return cents / 100


def pay(ctx: OrchestrationContext, cents: int) -> Generator[Any, Any, str]:
    try:
        receipt = yield from ctx.schedule_activity_with_retry(charge, cents, {"max_attempts": 3, "backoff": "none"})
    except ActivityError as error:
        assert_type(error.attempt, int)
        return error.original_type
    assert_type(receipt, str)
    assert_type((yield from ctx.schedule_activity_with_retry(refund, cents, POLICY)), float)
    assert_type((yield from ctx.schedule_activity_with_retry("Charge", cents, RetryPolicy(max_attempts=1))), Any)
    assert_type((yield from ctx.schedule_activity_with_retry_on_session(charge, cents, POLICY, "till")), str)
    return receipt


def wrong(ctx: OrchestrationContext, cents: int) -> Generator[Any, Any, None]:
    yield from ctx.schedule_activity_with_retry(charge, cents)  # error: call-overload
    yield from ctx.schedule_activity_with_retry(charge, "5", POLICY)  # error: arg-type
    yield from ctx.schedule_activity_with_retry(charge, cents, {"max_atempts": 3})  # error: call-overload
    yield from ctx.schedule_activity_with_retry("Charge", cents, {"backoff": 3})  # error: call-overload
    yield from ctx.schedule_activity_with_retry("Charge", cents, 3)  # error: call-overload
    yield from ctx.schedule_activity_with_retry_on_session(charge, cents, "till", POLICY)  # error: call-overload
