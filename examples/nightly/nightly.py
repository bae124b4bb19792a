"""A nightly run over 10,000 items: batches as children, a few at a time, failures counted and not fatal.

python examples/nightly/nightly.py [items]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from duroxide import Client, Runtime, RuntimeOptions, SqliteProvider

BATCH = 250  # items of a child: its history has two events for each
AT_ONCE = 8  # children that run side by side


def nightly(ctx: Any, run: dict[str, int]) -> Any:
    """Work through ``items`` items, AT_ONCE batches at a time.

    Each batch is a child with a history of its own, so no history grows with the number of items. A branch takes
    the next batch as soon as its last one is done: one slow batch does not hold up the others.

    Returns:
        ``done``, ``failed`` and the ``sum`` of the results.
    """
    batches = list(range(0, run["items"], BATCH))
    total = {"done": 0, "failed": 0, "sum": 0}
    finished = 0

    def branch(number: int) -> Any:
        nonlocal finished
        for first in batches[number::AT_ONCE]:
            span = [first, min(first + BATCH, run["items"])]
            part = yield ctx.schedule_sub_orchestration_with_id("batch", f"{ctx.instance_id}-{first}", span)
            for key in total:
                total[key] += part[key]
            finished += 1
            ctx.set_custom_status(f"{finished} of {len(batches)} batches")

    yield ctx.all([branch(number) for number in range(AT_ONCE)])
    return total


def batch(ctx: Any, span: list[int]) -> Any:
    """All items of a span at once. A failed item is counted; the others go on."""
    results = yield ctx.all([ctx.schedule_activity("work", item) for item in range(*span)])
    values = [r["ok"] for r in results if "ok" in r]
    return {"done": len(values), "failed": len(results) - len(values), "sum": sum(values)}


def work(ctx: Any, item: int) -> int:
    """One item; every thousandth is broken."""
    if item % 1000 == 999:
        raise ValueError(f"item {item} is broken")
    return item % 7


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, SqliteProvider.open(Path(folder) / "nightly.db") as provider:
        runtime = Runtime(provider, RuntimeOptions(worker_concurrency=32))
        runtime.register_orchestration("nightly", nightly)
        runtime.register_orchestration("batch", batch)
        runtime.register_activity("work", work)
        client = Client(provider)
        begun = time.monotonic()
        with runtime:
            # The date is the id: a second start on the same day does nothing.
            client.start_orchestration("nightly-2026-11-24", "nightly", {"items": items})
            result = client.wait_for_orchestration("nightly-2026-11-24", timeout_ms=600_000)
            result.raise_for_status()
            status = client.get_status("nightly-2026-11-24").custom_status
        took = time.monotonic() - begun
        print(f"{result.output['done']} done, {result.output['failed']} failed, sum {result.output['sum']}; {status}")
        children = client.get_instance_tree("nightly-2026-11-24").size - 1
        longest = max(
            client.get_execution_info(i, 1).event_count for i in client.get_instance_tree("nightly-2026-11-24").all_ids
        )
        print(f"{children} children, no history longer than {longest} events; {took:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
