"""The FastAPI service does what its page says, over a restart too."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import pathlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duroxide import _options

SERVICE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "fastapi" / "service.py"
HELLOS = 50

# Other packages warn of what they will change; this is about none of them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def service(mode: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the service, on a database of its own."""
    if mode == "replayed":
        check = _options._OPTIONS["live_executions"][1]
        monkeypatch.setitem(_options._OPTIONS, "live_executions", (0, check))
    monkeypatch.setenv("ORDERS_DB", str(tmp_path / "orders.db"))
    spec = importlib.util.spec_from_file_location("orders_service", SERVICE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where pydantic looks up annotations
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def serving(service: Any) -> AsyncIterator[Any]:
    """An HTTP client of the service while it is up."""
    import httpx

    async with service.lifespan(service.app):
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders", timeout=60) as http:
            yield http


async def until_paid(http: Any, order: str) -> None:
    """The order has come to its wait for the warehouse."""
    for _ in range(2000):
        if (await http.get(f"/orders/{order}")).json()["step"] is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{order} is never paid")


def test_an_order_survives_a_restart_of_the_service(service: Any) -> None:
    async def before() -> str:
        async with serving(service) as http:
            answer = await http.post("/orders", json={"customer": "Ada", "sku": "cup", "count": 2})
            assert answer.status_code == 202
            order: str = answer.json()["id"]
            await until_paid(http, order)
            state = (await http.get(f"/orders/{order}", params={"wait": 0.01})).json()
            assert (state["status"], state["step"]) == ("Running", "paid, waits for the warehouse")
            return order

    async def after(order: str) -> None:
        async with serving(service) as http:
            waiting = asyncio.create_task(http.get(f"/orders/{order}", params={"wait": 60}))
            assert (await http.post(f"/orders/{order}/sent", params={"parcel": "p-1"})).status_code == 202
            state = (await waiting).json()
            assert (state["status"], state["output"]) == ("Completed", {"cents": 900, "parcel": "p-1"})

    asyncio.run(after(asyncio.run(before())))


def test_the_same_key_gives_the_same_order(service: Any) -> None:
    async def main() -> None:
        async with serving(service) as http:
            ids = set()
            for count in (1, 3):
                body = {"customer": "Ada", "sku": "kettle", "count": count}
                answer = await http.post("/orders", json=body, headers={"Idempotency-Key": "k-1"})
                ids.add(answer.json()["id"])
            assert ids == {"order-k-1"}
            await until_paid(http, "order-k-1")
            await http.post("/orders/order-k-1/sent", params={"parcel": "p-2"})
            state = (await http.get("/orders/order-k-1", params={"wait": 60})).json()
            assert state["output"]["cents"] == 4250
            again = await http.post("/orders", json=body, headers={"Idempotency-Key": "k-1"})
            assert again.json() == state

    asyncio.run(main())


def test_what_is_wrong_is_said_with_its_status_code(service: Any) -> None:
    async def main() -> None:
        async with serving(service) as http:
            assert (await http.post("/orders", json={"customer": "Ada"})).status_code == 422
            assert (await http.get("/orders/order-none", params={"wait": 60})).status_code == 404
            assert (await http.post("/orders/order-none/sent", params={"parcel": "p"})).status_code == 404
            assert (await http.get(f"/orders/{'x' * 3000}")).status_code == 422
            order = (await http.post("/orders", json={"customer": "Ada", "sku": "moon"})).json()["id"]
            state = (await http.get(f"/orders/{order}", params={"wait": 60})).json()
            assert state["status"] == "Failed"
            assert "there is no moon" in state["error"]

    asyncio.run(main())


def test_hello_through_http(service: Any, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> list[float]:
        took = []
        async with serving(service) as http:
            for number in range(HELLOS):
                begun = time.perf_counter()
                answer = await http.get(f"/hello/Ada{number}")
                took.append(1000 * (time.perf_counter() - begun))
                assert answer.json() == f"Hello, Ada{number}!"
        return took

    took = sorted(asyncio.run(main()))
    with capsys.disabled():
        print(f"\na hello through FastAPI, {mode}: median {statistics.median(took):.1f} ms, slowest {took[-1]:.1f} ms")


def test_the_page_of_the_service_says_how_to_run_it() -> None:
    assert "uvicorn --app-dir examples/fastapi service:app" in SERVICE.with_name("README.md").read_text("utf-8")
