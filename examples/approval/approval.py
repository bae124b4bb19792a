"""A person approves, or does not, or forgets: reminders, a deadline, and a restart in between.

python examples/approval/approval.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from duroxide import Client, Runtime, SqliteProvider

DAY_MS = 24 * 60 * 60 * 1000


def approve_expense(ctx: Any, request: dict[str, Any]) -> Any:
    """Ask, remind until the deadline, decide.

    Args:
        request: ``employee``, ``cents``, and optionally ``remind_ms`` (a day) and ``reminders`` (3).

    Returns:
        ``decision`` ("approved", "rejected", "expired") and ``by``.
    """
    if request["cents"] < 5_000:
        return {"decision": "approved", "by": "rule"}
    # One wait for all reminders: the answer is not lost, whenever it comes.
    winner = yield ctx.race(ctx.wait_for_event("answer"), reminders(ctx, request))
    if winner["index"] == 1:
        return {"decision": "expired", "by": None}
    answer = winner["value"]
    decision = "approved" if answer["approve"] else "rejected"
    yield ctx.schedule_activity("notify", f"{request['employee']}: your expense was {decision}")
    return {"decision": decision, "by": answer["by"]}


def reminders(ctx: Any, request: dict[str, Any]) -> Generator[Any, Any, None]:
    """A branch that runs beside the wait: mail, pause, mail again, up to the last one."""
    for number in range(1 + request.get("reminders", 3)):
        kind = "reminder" if number else "question"
        yield ctx.schedule_activity("notify", f"manager: {kind} about {request['cents']} cents")
        ctx.set_custom_status(f"waiting for an answer, {number} reminders sent")
        yield ctx.schedule_timer(request.get("remind_ms", DAY_MS))


def make_runtime(provider: SqliteProvider, mails: list[str]) -> Runtime:
    runtime = Runtime(provider)
    runtime.register_orchestration("approve_expense", approve_expense)
    runtime.register_activity("notify", lambda ctx, text: mails.append(text))
    return runtime


def main() -> None:
    mails: list[str] = []
    with tempfile.TemporaryDirectory() as folder, SqliteProvider.open(Path(folder) / "expenses.db") as provider:
        client = Client(provider)

        with make_runtime(provider, mails):
            client.start_orchestration("small", "approve_expense", {"employee": "Ada", "cents": 1_200})
            client.start_orchestration("large", "approve_expense", {"employee": "Ada", "cents": 90_000})
            hurried = {"employee": "Lin", "cents": 70_000, "remind_ms": 20, "reminders": 2}
            client.start_orchestration("forgotten", "approve_expense", hurried)
            status = client.wait_for_status_change("large")
            print("large:", status.custom_status if status else None)
            for instance in ("small", "forgotten"):
                print(f"{instance}:", client.wait_for_orchestration(instance).output)

        # No worker runs now. The answer is stored all the same, and taken when one is back.
        client.raise_event("large", "answer", {"approve": True, "by": "Grace"})
        with make_runtime(provider, mails):
            print("large:", client.wait_for_orchestration("large").output)

    for mail in sorted(mails):
        print("  mail to", mail)


if __name__ == "__main__":
    main()
