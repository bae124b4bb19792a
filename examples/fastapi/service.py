"""A web service whose orders survive a restart of it.

pip install fastapi uvicorn
uvicorn --app-dir examples/fastapi service:app
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Generator
from typing import Annotated, Any, Optional

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from duroxide import (
    ActivityContext,
    InvalidArgument,
    NonRetryableError,
    OrchestrationContext,
    Runtime,
    SqliteProvider,
    WaitTimeout,
    aio,
)

CENTS = {"cup": 450, "kettle": 4250}


class Order(BaseModel):
    """What a customer sends."""

    customer: str
    sku: str
    count: Annotated[int, Field(ge=1, le=100)] = 1


class OrderState(BaseModel):
    """How an order stands. ``step`` is the last thing that it said about itself."""

    id: str
    status: str
    step: Optional[str] = None
    output: Any = None
    error: Optional[str] = None


def price(ctx: ActivityContext, order: dict[str, Any]) -> int:
    if order["sku"] not in CENTS:
        raise NonRetryableError(f"there is no {order['sku']}")
    return CENTS[order["sku"]] * int(order["count"])


async def charge(ctx: ActivityContext, payment: dict[str, Any]) -> str:
    """Stands for a call of a payment service, which is given the key so that it charges once."""
    await asyncio.sleep(0)
    return f"{payment['customer']} paid {payment['cents']}, key {ctx.idempotency_key}"


def place_order(ctx: OrchestrationContext, order: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """Price it, charge for it, and wait until the warehouse has sent it, if that takes weeks."""
    cents = yield from ctx.schedule_activity(price, order)
    payment = {"customer": order["customer"], "cents": cents}
    yield from ctx.schedule_activity_with_retry(charge, payment, {"max_attempts": 5, "backoff": "exponential"})
    ctx.set_custom_status("paid, waits for the warehouse")
    parcel = yield from ctx.wait_for_event("sent")
    return {"cents": cents, "parcel": parcel}


def greet(ctx: ActivityContext, name: str) -> str:
    return f"Hello, {name}!"


def hello(ctx: OrchestrationContext, name: str) -> Generator[Any, Any, str]:
    return (yield from ctx.schedule_activity(greet, name))


def make_runtime(provider: SqliteProvider) -> Runtime:
    runtime = Runtime(provider)
    for activity in (price, charge, greet):
        runtime.register_activity(activity)
    for orchestration in (place_order, hello):
        runtime.register_orchestration(orchestration)
    return runtime


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Each worker process of the server opens the store, and takes work, after its fork."""
    with SqliteProvider.open(os.environ.get("ORDERS_DB", "orders.db")) as provider:
        runtime = make_runtime(provider).start()
        app.state.client = aio.Client(provider)
        try:
            yield
        finally:
            # It waits for what runs; on a thread, so that the event loop goes on meanwhile.
            await asyncio.to_thread(runtime.shutdown)


app = FastAPI(title="Orders", lifespan=lifespan)


@app.exception_handler(InvalidArgument)
async def refuse(request: Request, error: InvalidArgument) -> JSONResponse:
    """An id that the store does not take."""
    return JSONResponse({"detail": str(error)}, 422)


async def state_of(client: aio.Client, order_id: str) -> OrderState:
    result = await client.get_status(order_id)
    if result.status == "NotFound":
        raise HTTPException(404, f"there is no order {order_id}")
    return OrderState(
        id=order_id, status=result.status, step=result.custom_status, output=result.output, error=result.error
    )


@app.post("/orders", status_code=202)
async def create(
    order: Order, request: Request, idempotency_key: Annotated[Optional[str], Header()] = None
) -> OrderState:
    """Start an order; it is durable when this answers. The same Idempotency-Key again starts nothing."""
    client: aio.Client = request.app.state.client
    order_id = f"order-{idempotency_key or uuid.uuid4()}"
    await client.start_orchestration(order_id, place_order, order.model_dump(mode="json"), if_exists="ignore")
    return await state_of(client, order_id)


@app.get("/orders/{order_id}")
async def read(order_id: str, request: Request, wait: Annotated[float, Query(ge=0, le=60)] = 0) -> OrderState:
    """How an order stands; with ``wait``, after it has ended or after so many seconds."""
    client: aio.Client = request.app.state.client
    state = await state_of(client, order_id)
    if state.status == "Running" and wait > 0:
        # No thread waits here: thousands of such requests hang on one descriptor.
        with contextlib.suppress(WaitTimeout):
            await client.wait_for_orchestration(order_id, timeout_ms=int(1000 * wait))
        state = await state_of(client, order_id)
    return state


@app.post("/orders/{order_id}/sent", status_code=202)
async def sent(order_id: str, parcel: str, request: Request) -> None:
    """The warehouse calls this when it has sent an order."""
    client: aio.Client = request.app.state.client
    await state_of(client, order_id)
    await client.raise_event(order_id, "sent", parcel)


@app.get("/hello/{name}")
async def say_hello(name: str, request: Request) -> str:
    """Start something short, and answer with its result."""
    client: aio.Client = request.app.state.client
    instance_id = f"hello-{uuid.uuid4()}"
    await client.start_orchestration(instance_id, hello, name)
    result = await client.wait_for_orchestration(instance_id)
    result.raise_for_status()
    return str(result.output)
