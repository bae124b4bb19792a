"""Runs programs: one orchestration, and the activities that it calls."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

from programs import Node, Program

from duroxide import Runtime

Steps = Generator[Any, Any, Any]

NOBODY = "nobody-serves-this"
_TOKEN = re.compile(r"E\d+!")


def token(text: str) -> str:
    """What was raised at the bottom of an error text."""
    found = _TOKEN.findall(text)
    return found[-1] if found else text


def interpret(ctx: Any, input: dict[str, Any]) -> Steps:
    program: Program = input["program"]
    done: list[Any] = input["done"]
    out = []
    for at, node in enumerate(program["body"]):
        out.append((yield from evaluate(ctx, node, str(at))))
    kind = program["tail"][0]
    if kind == "raise":
        raise ValueError(program["tail"][1])
    if kind == "continue":
        yield ctx.continue_as_new({"program": program["tail"][1], "done": [*done, out]})
    return [*done, out]


def evaluate(ctx: Any, node: Node, at: str) -> Steps:
    """The value of a node, step by step; `at` is its place in the program."""
    kind = node[0]
    if kind == "seq":
        out = []
        for i, member in enumerate(node[1]):
            out.append((yield from evaluate(ctx, member, f"{at}.{i}")))
        return out
    if kind == "try":
        try:
            return {"ok": (yield from evaluate(ctx, node[1], f"{at}.0"))}
        except Exception as e:
            return {"err": token(str(e))}
    if kind == "finally":
        # No `finally`: when a losing branch is closed Python allows no `yield` there.
        try:
            value = yield from evaluate(ctx, node[1], f"{at}.0")
        except Exception:
            yield from evaluate(ctx, node[2], f"{at}.1")
            raise
        yield from evaluate(ctx, node[2], f"{at}.1")
        return value
    if kind == "if":
        chosen = 2 if (yield from evaluate(ctx, node[1], f"{at}.0")) else 3
        return (yield from evaluate(ctx, node[chosen], f"{at}.1"))
    if kind == "raise":
        raise ValueError(node[1])
    if kind == "mail":
        taken = []
        for _ in range(node[2]):
            taken.append((yield ctx.dequeue_event(f"q{node[1]}")))
        return taken
    if kind == "detach":
        id = f"{ctx.instance_id}/{ctx.execution_id}/{at}"
        return (yield ctx.start_orchestration("interpret", id, {"program": node[1], "done": []}))
    if kind in ("set", "get", "clear", "count", "status"):
        return _immediate(ctx, node, at)
    return tidy(node, (yield task(ctx, node, at)))


def _immediate(ctx: Any, node: Node, at: str) -> Any:
    # Branches run in the order of the machine: each has keys of its own.
    scope = at.rpartition(".")[0]
    if node[0] == "set":
        return ctx.set_kv_value(f"{scope}/{node[1]}", node[2])
    if node[0] == "get":
        return ctx.get_kv_value(f"{scope}/{node[1]}")
    if node[0] == "clear":
        return ctx.clear_kv_value(f"{scope}/{node[1]}")
    if node[0] == "count":
        assert sorted(ctx.get_kv_all_values()) == sorted(ctx.get_kv_all_keys())
        return ctx.get_kv_length()
    if node[1] is None:
        ctx.reset_custom_status()
    else:
        ctx.set_custom_status(node[1])
        assert ctx.get_custom_status() == node[1]
    return None


def task(ctx: Any, node: Node, at: str) -> Any:
    """A node as a member of all or race: a task, or a fresh generator."""
    kind = node[0]
    if kind == "act":
        return ctx.schedule_activity("echo", node[1])
    if kind == "aact":
        return ctx.schedule_activity("echo_async", node[1])
    if kind == "fail":
        return ctx.schedule_activity("fail", node[1])
    if kind == "retry":
        policy = {"max_attempts": node[2], "backoff": "fixed", "initial_ms": 1}
        return ctx.schedule_activity_with_retry("flaky", node[1], policy)
    if kind == "timer":
        return ctx.schedule_timer(node[1])
    if kind == "guid":
        return ctx.new_guid()
    if kind == "clock":
        return ctx.utc_now()
    if kind == "event":
        name = f"{ctx.execution_id}/{at}"
        raised = ctx.schedule_activity("raise_event", [name, node[1]])
        return ctx.all([ctx.wait_for_event(name), raised])
    if kind == "child":
        input = {"program": node[1], "done": []}
        if node[2] is None:
            return ctx.schedule_sub_orchestration("interpret", input)
        id = f"{ctx.instance_id}/{ctx.execution_id}/{at}:{node[2]}"
        return ctx.schedule_sub_orchestration_with_id("interpret", id, input)
    if kind == "all":
        return ctx.all([task(ctx, member, f"{at}.{i}") for i, member in enumerate(node[1])])
    if kind == "race":
        members = [never(ctx, loser[1], f"{at}.{i}") for i, loser in enumerate(node[3], 1)]
        members.insert(node[1], task(ctx, node[2], f"{at}.0"))
        return ctx.race(*members)
    if kind == "contest":
        return ctx.race(*[task(ctx, member, f"{at}.{i}") for i, member in enumerate(node[1])])
    return evaluate(ctx, node, at)


def never(ctx: Any, kind: str, at: str) -> Any:
    """Something that does not end by itself."""
    name = f"never/{at}"
    if kind == "event":
        return ctx.wait_for_event(name)
    if kind == "timer":
        return ctx.schedule_timer(3_600_000)
    if kind == "activity":
        return ctx.schedule_activity("echo", at).with_tag(NOBODY)
    if kind == "queue":
        return ctx.dequeue_event(name)
    if kind == "child":
        return ctx.schedule_sub_orchestration("wait_for_ever", None)
    if kind == "all":
        return ctx.all([ctx.schedule_activity("echo", at), ctx.wait_for_event(name)])
    if kind == "race":
        return ctx.race(ctx.wait_for_event(name), ctx.schedule_timer(3_600_000))

    def branch() -> Steps:
        try:
            yield ctx.schedule_activity("echo", at)
            yield ctx.all([ctx.wait_for_event(name), ctx.dequeue_event(name)])
        finally:
            ctx.set_kv_value("closed", at)  # muted: a branch that is closed records nothing

    return branch()


def wait_for_ever(ctx: Any, input: Any) -> Steps:
    yield ctx.wait_for_event("never")


def tidy(node: Node, value: Any) -> Any:
    """The part of a value that is the same in every run."""
    kind = node[0]
    if kind == "guid":
        return isinstance(value, str) and len(value) == 36
    if kind == "clock":
        return isinstance(value, int) and value > 1_600_000_000_000
    if kind == "event":
        return value
    if kind == "all":
        return [{"err": token(v["err"])} if "err" in v else {"ok": tidy(n, v["ok"])} for n, v in zip(node[1], value)]
    if kind == "race":
        return {"index": value["index"], "value": tidy(node[2], value["value"])}
    if kind == "contest":
        return {"index": value["index"], "value": tidy(node[1][value["index"]], value["value"])}
    return value


def echo(ctx: Any, value: Any) -> Any:
    return value


async def echo_async(ctx: Any, value: Any) -> Any:
    return value


def fail(ctx: Any, message: str) -> None:
    raise RuntimeError(message)


def flaky(ctx: Any, failures: int) -> int:
    if ctx.attempt <= failures:
        raise RuntimeError(f"E{ctx.attempt}!")
    return int(ctx.attempt)


def raise_event(ctx: Any, input: list[Any]) -> None:
    ctx.get_client().raise_event(ctx.instance_id, *input)


def register(runtime: Runtime) -> None:
    runtime.register_orchestration("interpret", interpret)
    runtime.register_orchestration("wait_for_ever", wait_for_ever)
    for activity in (echo, echo_async, fail, flaky, raise_event):
        runtime.register_activity(activity.__name__, activity)
