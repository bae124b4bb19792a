"""What a program must come to, computed without any engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from programs import Node, Program


class Failure(Exception):
    """The token that a program raised."""


@dataclass
class Outcome:
    """How an instance ends."""

    status: str
    output: Any = None
    error: str | None = None
    custom_status: str | None = None
    custom_status_version: int = 0
    kv: dict[str, str] = field(default_factory=dict)
    executions: int = 1

    def key(self) -> str:
        """Text by which outcomes are compared and sorted."""
        return json.dumps([self.status, self.output, self.error], sort_keys=True)


@dataclass
class Run:
    """An instance under way."""

    outcome: Outcome = field(default_factory=lambda: Outcome("Running"))
    taken: dict[int, int] = field(default_factory=dict)
    others: list[Outcome] = field(default_factory=list)  # detached ones, of all descendants


def predict(program: Program) -> tuple[Outcome, list[Outcome]]:
    """The outcome of the instance, and those of all that it starts and does not wait for."""
    run = Run()
    done: list[Any] = []
    try:
        while True:
            done.append([evaluate(run, node, str(at)) for at, node in enumerate(program["body"])])
            tail = program["tail"]
            if tail[0] == "raise":
                raise Failure(tail[1])
            if tail[0] == "return":
                break
            program = tail[1]
            run.outcome.executions += 1
        run.outcome.status, run.outcome.output = "Completed", done
    except Failure as e:
        run.outcome.status, run.outcome.error = "Failed", str(e)
    return run.outcome, run.others


def evaluate(run: Run, node: Node, at: str) -> Any:
    kind = node[0]
    if kind in ("act", "aact"):
        return node[1]
    if kind in ("fail", "raise"):
        raise Failure(node[1])
    if kind == "retry":
        if node[1] >= node[2]:
            raise Failure(f"E{node[2]}!")
        return node[1] + 1
    if kind == "timer":
        return None
    if kind in ("guid", "clock"):
        return True
    if kind == "event":
        return [{"ok": node[1]}, {"ok": None}]
    if kind == "mail":
        first = run.taken.get(node[1], 0)
        run.taken[node[1]] = first + node[2]
        return [f"q{node[1]}:{n}" for n in range(first, first + node[2])]
    if kind == "child":
        outcome, others = predict(node[1])
        run.others += others
        if outcome.error is not None:
            raise Failure(outcome.error)
        return outcome.output
    if kind == "detach":
        outcome, others = predict(node[1])
        run.others += [outcome, *others]
        return None
    if kind == "seq":
        return [evaluate(run, member, f"{at}.{i}") for i, member in enumerate(node[1])]
    if kind == "try":
        return _caught(run, node[1], f"{at}.0")
    if kind == "finally":
        try:
            return evaluate(run, node[1], f"{at}.0")
        finally:
            evaluate(run, node[2], f"{at}.1")
    if kind == "if":
        chosen = 2 if evaluate(run, node[1], f"{at}.0") else 3
        return evaluate(run, node[chosen], f"{at}.1")
    if kind == "all":
        return [_caught(run, member, f"{at}.{i}") for i, member in enumerate(node[1])]
    if kind == "race":
        return {"index": node[1], "value": evaluate(run, node[2], f"{at}.0")}
    return _immediate(run, node, at.rpartition(".")[0])


def _caught(run: Run, node: Node, at: str) -> dict[str, Any]:
    try:
        return {"ok": evaluate(run, node, at)}
    except Failure as e:
        return {"err": str(e)}


def _immediate(run: Run, node: Node, scope: str) -> Any:
    kv = run.outcome.kv
    if node[0] == "set":
        kv[f"{scope}/{node[1]}"] = node[2]
    elif node[0] == "get":
        return kv.get(f"{scope}/{node[1]}")
    elif node[0] == "clear":
        kv.pop(f"{scope}/{node[1]}", None)
    elif node[0] == "count":
        return len(kv)
    elif node[0] == "status":
        run.outcome.custom_status = node[1]
        run.outcome.custom_status_version += 1
    else:
        raise AssertionError(f"unknown node {node!r}")
    return None
