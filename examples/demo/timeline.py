"""A history as lines that a person reads: when, what, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

# What each kind of event is called on the screen; kinds that are not listed keep their own name.
VERBS = {
    "OrchestrationStarted": "started",
    "OrchestrationCompleted": "completed",
    "OrchestrationFailed": "failed",
    "ActivityScheduled": "asks for",
    "ActivityCompleted": "has done",
    "ActivityFailed": "has failed at",
    "TimerCreated": "starts a timer",
    "TimerFired": "timer fired",
    "ExternalSubscribed": "waits for event",
    "ExternalEvent": "event came",
    "CustomStatusUpdated": "says",
}
WIDTH = 60


def lines(history: Iterable[Any]) -> Iterator[str]:
    """One line for each event: seconds since the start, number, what happened."""
    events = list(history)
    begun = events[0].timestamp_ms if events else 0
    calls = {event.event_id: call_of(event) for event in events}
    for event in events:
        verb = VERBS.get(event.kind, event.kind)
        about = " ".join(detail(event, calls, begun).split())
        if len(about) > WIDTH:
            about = about[: WIDTH - 3] + "..."
        seconds = (event.timestamp_ms - begun) / 1_000
        yield f"{seconds:6.2f} s {event.event_id:4d}  {verb:15} {about}".rstrip()


def data_of(event: Any) -> Any:
    """The payload of an event, decoded where it is JSON."""
    if event.data is None:
        return None
    try:
        return json.loads(event.data)
    except ValueError:
        return event.data


def shown(value: Any) -> str:
    """A payload in few characters."""
    if isinstance(value, dict):
        return ", ".join(shown(item) for item in value.values())
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return "" if value is None else str(value)


def call_of(event: Any) -> str:
    """What an event schedules, as `name(input)`; empty for events that schedule nothing."""
    data = data_of(event)
    if not event.kind.endswith("Scheduled") or not isinstance(data, dict):
        return ""
    return f"{data.get('name')}({shown(data.get('input'))})"


def detail(event: Any, calls: dict[int, str], begun: int) -> str:
    """What an event is about: the call, and what came of it."""
    data = data_of(event)
    if calls[event.event_id]:
        return calls[event.event_id]
    call = calls.get(event.source_event_id or 0, "")
    if call and event.kind.endswith("Failed"):
        reason = data.get("message") if isinstance(data, dict) else data
        return f"{call}: {str(reason).partition(' call failed: ')[2] or reason}"
    if call:
        return f"{call} = {shown(data)}"
    if isinstance(data, dict) and "fireAtMs" in data:
        return f"for {(data['fireAtMs'] - event.timestamp_ms) / 1_000:.1f} s" if event.kind == "TimerCreated" else ""
    if isinstance(data, dict) and "name" in data:
        # An event from outside has a name and data; what only waits for one has a name.
        return f"{data['name']}: {shown(data['data'])}" if "data" in data else str(data["name"])
    return shown(data)
