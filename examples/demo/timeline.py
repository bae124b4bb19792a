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
    "ActivityFailed": "failed at",
    "TimerCreated": "starts a timer",
    "TimerFired": "timer fired",
    "ExternalSubscribed": "waits for event",
    "ExternalEvent": "event came",
    "CustomStatusUpdated": "says",
}
WIDTH = 56


def lines(history: Iterable[Any]) -> Iterator[str]:
    """One line for each event: seconds since the start, number, what happened."""
    events = list(history)
    names = {event.event_id: name_of(event) for event in events}
    begun = events[0].timestamp_ms if events else 0
    for event in events:
        verb = VERBS.get(event.kind, event.kind)
        about = detail(event, names)
        if len(about) > WIDTH:
            about = about[: WIDTH - 3] + "..."
        seconds = (event.timestamp_ms - begun) / 1_000
        yield f"{seconds:7.2f} s {event.event_id:4d}  {verb:16} {about}".rstrip()


def data_of(event: Any) -> Any:
    """The payload of an event, decoded where it is JSON."""
    if event.data is None:
        return None
    try:
        return json.loads(event.data)
    except ValueError:
        return event.data


def name_of(event: Any) -> str:
    """What an event schedules, as `name(input)`; empty for events that schedule nothing."""
    data = data_of(event)
    if not event.kind.endswith("Scheduled") or not isinstance(data, dict):
        return ""
    given = data.get("input")
    return f"{data.get('name')}({given if isinstance(given, str) else json.dumps(given)})"


def detail(event: Any, names: dict[int, str]) -> str:
    """What an event is about."""
    data = data_of(event)
    if event.kind.endswith("Scheduled"):
        return names[event.event_id]
    if names.get(event.source_event_id):
        return f"{names[event.source_event_id]} (asked for at {event.source_event_id})"
    if isinstance(data, dict) and "name" in data:
        return str(data["name"])
    if data is None or isinstance(data, dict):
        return "" if data is None else json.dumps(data)
    return str(data)
