"""The order workflow of the demo: what it does, and the activities that do it.

Nothing here knows that workers get killed. `take_order` reads like a plain function;
that it survives is the engine's business.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import outside_world

STEP_SECONDS = 0.4


def take_order(ctx: Any, order: dict[str, Any]) -> Any:
    """Reserve everything at once, charge, wait, ask, pack piece by piece, ship."""
    items = order["items"]

    ctx.set_custom_status("reserving")
    reserved = yield ctx.all([ctx.schedule_activity("Reserve", item) for item in items])
    missing = [item for item, r in zip(items, reserved) if "err" in r]
    if missing:
        return {"state": "out of stock", "items": missing}

    ctx.set_custom_status("charging")
    receipt = yield ctx.schedule_activity_with_retry(
        "Charge",
        {"customer": order["customer"], "cents": order["cents"]},
        {"max_attempts": 5, "backoff": "exponential", "timeout_ms": 10_000},
    )

    ctx.set_custom_status("cooling off")
    yield ctx.schedule_timer(1_000)

    ctx.set_custom_status("waiting for approval")
    approval = yield ctx.wait_for_event("approval")
    if not approval["approved"]:
        yield ctx.schedule_activity("Refund", receipt)
        return {"state": "rejected", "by": approval["by"]}

    for number, item in enumerate(items, start=1):
        ctx.set_custom_status(f"packing {number} of {len(items)}")
        yield ctx.schedule_activity("Pack", item)

    ctx.set_custom_status("shipping")
    parcel = yield ctx.schedule_activity("Ship", order["customer"])
    return {"state": "shipped", "parcel": parcel, "receipt": receipt, "approved_by": approval["by"]}


def say(text: str) -> None:
    """One line on the screen, whole even when two processes write at once."""
    worker = os.environ.get("DEMO_WORKER", "?")
    os.write(sys.stdout.fileno(), f"  worker {worker} | {text}\n".encode())


def reserve(ctx: Any, item: str) -> str:
    with outside_world.step(ctx, "Reserve", item):
        time.sleep(STEP_SECONDS)  # the warehouse takes its time
    say(f"reserved {item}")
    return f"shelf of {item}"


def charge(ctx: Any, payment: dict[str, Any]) -> str:
    with outside_world.step(ctx, "Charge", payment["customer"]):
        if ctx.attempt <= 2:
            say(f"the card terminal does not answer (attempt {ctx.attempt})")
            raise ConnectionError("card terminal does not answer")
        # The same key in every run of this step, so that running it twice charges once.
        receipt = outside_world.charge(ctx.idempotency_key, payment["cents"])
    say(f"charged {payment['cents'] / 100:.2f} (attempt {ctx.attempt})")
    return receipt


def pack(ctx: Any, item: str) -> str:
    say(f"packing {item} ...")
    with outside_world.step(ctx, "Pack", item):
        time.sleep(STEP_SECONDS)
    say(f"packed {item}")
    return item


def ship(ctx: Any, customer: str) -> str:
    with outside_world.step(ctx, "Ship", customer):
        time.sleep(STEP_SECONDS)
    say(f"handed the parcel of {customer} to the carrier")
    return "parcel-1"


def refund(ctx: Any, receipt: str) -> None:
    with outside_world.step(ctx, "Refund", receipt):
        outside_world.refund(receipt)
    say(f"refunded {receipt}")


def register(runtime: Any) -> None:
    """Make the workflow and its activities known to a runtime."""
    runtime.register_orchestration("TakeOrder", take_order)
    for name, activity in [
        ("Reserve", reserve),
        ("Charge", charge),
        ("Pack", pack),
        ("Ship", ship),
        ("Refund", refund),
    ]:
        runtime.register_activity(name, activity)
