"""What every history of a finished instance keeps to, whatever happened meanwhile."""

from __future__ import annotations

import collections
from typing import Any

import duroxide

COMPLETIONS = {
    "ActivityCompleted",
    "ActivityFailed",
    "TimerFired",
    "SubOrchestrationCompleted",
    "SubOrchestrationFailed",
}
ENDS = {"OrchestrationCompleted", "OrchestrationFailed", "OrchestrationContinuedAsNew"}


def histories(client: duroxide.Client) -> dict[tuple[str, int], list[Any]]:
    """All events, by instance and execution."""
    return {
        (instance, execution): list(client.read_execution_history(instance, execution))
        for instance in client.list_all_instances()
        for execution in client.list_executions(instance)
    }


def check_history(where: object, events: list[Any]) -> None:
    """Every step is recorded once, behind what asked for it, and there is one end."""
    assert [e.event_id for e in events] == list(range(1, len(events) + 1)), where
    assert events[0].kind == "OrchestrationStarted", where
    assert events[-1].kind in ENDS, where
    assert sum(e.kind in ENDS for e in events) == 1, where
    times = [e.timestamp_ms for e in events]
    assert times == sorted(times), where
    done = collections.Counter(e.source_event_id for e in events if e.kind in COMPLETIONS)
    assert all(count == 1 for count in done.values()), (where, done)
    kinds = {e.event_id: e.kind for e in events}
    for e in events:
        if e.kind in COMPLETIONS:
            assert e.source_event_id < e.event_id, where
            assert kinds[e.source_event_id].endswith(("Scheduled", "Created")), where
