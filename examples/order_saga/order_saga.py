"""An order over three services that can each fail: what was done is undone in reverse.

python examples/order_saga/order_saga.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from duroxide import ActivityError, Client, NonRetryableError, Runtime, SqliteProvider

UNDO_POLICY = {"max_attempts": 20, "backoff": "exponential", "initial_ms": 50, "max_ms": 60_000, "jitter": 0.2}
DO_POLICY = {"max_attempts": 3, "backoff": "exponential", "initial_ms": 10}


class Warehouse:
    """Stands for a service that is called over the network and honours idempotency keys."""

    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = stock
        self.held: dict[str, str] = {}

    def hold(self, order: str, article: str) -> None:
        if self.held.get(order) == article:
            return  # a repeated call of the same order
        if self.stock.get(article, 0) == 0:
            raise NonRetryableError(f"no {article} left")
        self.stock[article] -= 1
        self.held[order] = article

    def release(self, order: str) -> None:
        article = self.held.pop(order, None)  # nothing held: nothing to do, and no error
        if article is not None:
            self.stock[article] += 1


class Bank:
    def __init__(self) -> None:
        self.balance = 0
        self.paid: dict[str, int] = {}

    def charge(self, key: str, cents: int) -> None:
        if key not in self.paid:
            self.paid[key] = cents
            self.balance += cents

    def refund(self, key: str) -> None:
        self.balance -= self.paid.pop(key, 0)


class Carrier:
    def __init__(self) -> None:
        self.calls = 0

    def pick_up(self, address: str) -> str:
        self.calls += 1
        if address == "the moon":
            raise ConnectionError("the carrier does not answer")
        return f"parcel to {address}"


def place_order(ctx: Any, order: dict[str, Any]) -> Any:
    """The saga. What a step might have done is noted before the step: a failed one may have had its effect."""
    undo: list[str] = []
    try:
        undo.append("release")
        yield ctx.schedule_activity_with_retry("hold", order, DO_POLICY)
        undo.append("refund")
        yield ctx.schedule_activity_with_retry("charge", order, DO_POLICY)
        parcel = yield ctx.schedule_activity_with_retry("pick_up", order, DO_POLICY)
        return {"state": "sent", "parcel": parcel}
    except ActivityError as error:
        for step in reversed(undo):
            yield ctx.schedule_activity_with_retry(step, order, UNDO_POLICY)
        return {"state": "undone", "undone": undo[::-1], "because": str(error)}


def register(runtime: Runtime, warehouse: Warehouse, bank: Bank, carrier: Carrier) -> None:
    """Make saga and steps known. The instance id is the key: it is the same in all steps of an order."""
    runtime.register_orchestration("place_order", place_order)
    runtime.register_activity("hold", lambda ctx, order: warehouse.hold(ctx.instance_id, order["article"]))
    runtime.register_activity("release", lambda ctx, order: warehouse.release(ctx.instance_id))
    runtime.register_activity("charge", lambda ctx, order: bank.charge(ctx.instance_id, order["cents"]))
    runtime.register_activity("refund", lambda ctx, order: bank.refund(ctx.instance_id))
    runtime.register_activity("pick_up", lambda ctx, order: carrier.pick_up(order["address"]))


def main() -> None:
    warehouse, bank, carrier = Warehouse({"kettle": 1, "cup": 5}), Bank(), Carrier()
    orders = {
        "order-1": {"article": "kettle", "cents": 4250, "address": "12 Mill Lane"},
        "order-2": {"article": "kettle", "cents": 4250, "address": "3 High Street"},
        "order-3": {"article": "cup", "cents": 900, "address": "the moon"},
    }
    with tempfile.TemporaryDirectory() as folder, SqliteProvider.open(Path(folder) / "orders.db") as provider:
        client = Client(provider)
        runtime = Runtime(provider)
        register(runtime, warehouse, bank, carrier)
        with runtime:
            for instance, order in orders.items():
                client.start_orchestration(instance, "place_order", order)
                output = client.wait_for_orchestration(instance).output
                print(f"{instance}: {output['state']}", output.get("parcel") or output["because"], sep=", ")
                if output["state"] == "undone":
                    print(f"         took back: {', '.join(output['undone'])}")
    print(f"bank: {bank.balance} cents, stock: {warehouse.stock}, calls of the carrier: {carrier.calls}")


if __name__ == "__main__":
    main()
