"""What a differential program is made of: names of its own, instances of its own, and what it saw in a form to compare.

Runs under this package and under the peer: nothing here may ask for more than the API that both have.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Callable

import duroxide

#: A program registers its code, yields once, and from then on runs on a started runtime.
Program = Callable[["Scope"], Iterator[None]]

#: How long a program waits for an instance that has to end. The peer needs it where it loses an instance.
PATIENCE_MS = 12_000

#: Every program by name: (function, whether it needs a store of its own, its runtime's options).
PROGRAMS: dict[str, tuple[Program, bool, dict[str, Any]]] = {}


def program(fn: Program) -> Program:
    """Take a program in; it shares store and runtime with others."""
    return _take(fn, False, {})


def alone(**options: Any) -> Callable[[Program], Program]:
    """Take a program in that gets a store and a runtime of its own, with these options."""
    return lambda fn: _take(fn, True, options)


def _take(fn: Program, own_store: bool, options: dict[str, Any]) -> Program:
    assert fn.__name__ not in PROGRAMS, fn.__name__
    PROGRAMS[fn.__name__] = (fn, own_store, options)
    return fn


class Scope:
    """Names, instances and observations of one program."""

    def __init__(self, name: str, provider: Any, runtime: Any) -> None:
        self.name = name
        self.provider = provider
        self.runtime = runtime
        self.client = duroxide.Client(provider)
        self._started = 0

    # Code

    def activity(self, fn: Callable[..., Any]) -> str:
        """Register an activity; what it is called by."""
        name = f"{self.name}.{fn.__name__}"
        self.runtime.register_activity(name, fn)
        return name

    def flow(self, fn: Callable[..., Any]) -> str:
        """Register an orchestration; what it is called by."""
        name = f"{self.name}.{fn.__name__}"
        self.runtime.register_orchestration(name, fn)
        return name

    def version(self, name: str, version: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a version of an orchestration."""

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self.runtime.register_orchestration_versioned(name, version, fn)
            return fn

        return register

    # Instances

    def id(self, suffix: object) -> str:
        return f"{self.name}-{suffix}"

    def start(self, flow: str, input: Any = None, id: str | None = None) -> str:
        self._started += 1
        id = id or self.id(self._started)
        self.client.start_orchestration(id, flow, input)
        return id

    def run(self, flow: str, input: Any = None, id: str | None = None) -> Any:
        """Start, wait, report."""
        return self.report(self.start(flow, input, id))

    def ended(self, id: str) -> Any:
        """The status of an instance when it has ended, or as it stands when it does not end."""
        try:
            return self.client.wait_for_orchestration(id, PATIENCE_MS)
        except RuntimeError:
            return self.client.get_status(id)

    def report(self, id: str) -> dict[str, Any]:
        """How an instance ended, with the kinds of its events."""
        return {**self.outcome(id), "history": [self.kinds(id, n) for n in self.client.list_executions(id)]}

    def outcome(self, id: str) -> dict[str, Any]:
        """How an instance ended."""
        return told(self.ended(id))

    def kinds(self, id: str, execution: int = 1) -> list[str]:
        return [event.kind for event in self.client.read_execution_history(id, execution)]

    def recorded(self, id: str, kind: str, count: int = 1, execution: int = 1) -> None:
        """Wait until a history has so many events of a kind."""
        self.until(lambda: self.kinds(id, execution).count(kind) >= count, f"{count} {kind} in {id}")

    def until(self, probe: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + PATIENCE_MS / 1000
        while not probe():
            if time.monotonic() > end:
                raise AssertionError(f"never came: {what}")
            time.sleep(0.02)

    def caught(self, kind: type[BaseException], call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """What a call that fails says, and whether code that catches `kind` catches it; else what it gives."""
        try:
            value = call(*args, **keywords)
        except BaseException as error:
            name = kind.__name__ if isinstance(error, kind) else type(error).__name__
            return {"raises": name, "text": str(error)}
        return {"gives": plain(value)}


def told(status: Any) -> dict[str, Any]:
    """A status without the fields that are empty; of an error what people read first, the last line."""
    seen = {
        "status": status.status,
        "output": status.output,
        "error": last_line(status.error),
        "custom_status": status.custom_status,
    }
    return {k: v for k, v in seen.items() if v is not None}


def last_line(error: str | None) -> str | None:
    """A traceback without the frames, and with `Exception` for the engine's own subclasses of it."""
    if not error or "Traceback (most recent call last)" not in error:
        return error
    return re.sub(r"^duroxide\.(?:\w+\.)*\w+(?=:|$)", "Exception", error.strip().splitlines()[-1])


def plain(value: Any) -> Any:
    """A value that JSON takes; of anything else its kind."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return f"<{type(value).__name__}>"


def fields(value: Any, *names: str) -> dict[str, Any]:
    """Some fields of a result object."""
    return {name: plain(getattr(value, name)) for name in names}
