"""Exceptions of every kind out of activities and orchestrations; results that JSON refuses."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
from typing import Any, Callable

import pytest

import duroxide
from harness import Engine


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unpicklable(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()


class OfBase(BaseException):
    pass


def raising(error: Callable[[], BaseException]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        raise error()

    return run


def deep(n: int = 100_000) -> Any:
    return deep(n - 1) + 1


def group() -> BaseException:
    if sys.version_info >= (3, 11):
        return ExceptionGroup("many", [ValueError("a"), KeyError("b")])  # noqa: F821
    return ValueError("many")


def chained() -> BaseException:
    error = ValueError("effect")
    error.__cause__ = KeyError("cause")
    error.__cause__.__cause__ = error  # a loop
    return error


ERRORS: dict[str, Callable[..., Any]] = {
    "ValueError": raising(lambda: ValueError("text")),
    "empty": raising(ValueError),
    "SystemExit": raising(lambda: SystemExit(3)),
    "sys.exit": lambda *args: sys.exit("goodbye"),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "GeneratorExit": raising(GeneratorExit),
    "StopIteration": raising(lambda: StopIteration(5)),
    "StopAsyncIteration": raising(StopAsyncIteration),
    "CancelledError": raising(asyncio.CancelledError),
    "MemoryError": raising(MemoryError),
    "own BaseException": raising(lambda: OfBase("mine")),
    "str raises": raising(Unprintable),
    "unpicklable": raising(lambda: Unpicklable(1, 2)),
    "recursion": lambda *args: deep(),
    "surrogate": raising(lambda: ValueError("\ud800")),
    "nul": raising(lambda: ValueError("a\0b")),
    "not text": raising(lambda: ValueError({"a": object()}, b"\xff")),
    "unicode": raising(lambda: ValueError("ünï ✓ \u202e")),
    "json text": raising(lambda: ValueError('{"ok": 1}')),
    "group": raising(group),
    "chained": raising(chained),
    "class": raising(lambda: ValueError),  # type: ignore[arg-type,return-value]
}


@pytest.mark.parametrize("kind", ERRORS)
def test_exception_out_of_an_activity(memory: Engine, kind: str) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Bad", ERRORS[kind])
    runtime.register_activity("Good", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Bad")
        except duroxide.ActivityError as e:
            return [str(e), (yield ctx.schedule_activity("Good", 1))]

    runtime.start()
    text, good = memory.run("W")
    assert text.startswith("Activity 'Bad' call failed: ")
    assert " at 0x" not in text.split("Bad' call failed: ", 1)[1] or kind == "not text"
    assert good == 1
    assert memory.run("W")[1] == 1, "all lanes still work"


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("where", ["at once", "after a yield", "in a branch", "in a plain function"])
def test_exception_out_of_an_orchestration(memory: Engine, kind: str, where: str) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Good", lambda ctx, input: input)

    def branch(ctx: Any) -> Any:
        yield ctx.schedule_timer(0)
        ERRORS[kind]()

    def bad(ctx: Any, input: Any) -> Any:
        if where == "after a yield":
            yield ctx.schedule_timer(0)
        elif where == "in a branch":
            yield ctx.race(branch(ctx), ctx.wait_for_event("never"))
        ERRORS[kind]()

    plain = where == "in a plain function"
    runtime.register_orchestration("Bad", (lambda ctx, input: ERRORS[kind]()) if plain else bad)

    @runtime.register_orchestration("Good")
    def good(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Good", input))

    runtime.start()
    error = memory.error(memory.start("Bad"))
    assert error
    assert memory.run("Good", 1) == 1, "the engine's threads are unharmed"


def test_stop_iteration_is_an_error_wherever_it_is_raised(memory: Engine) -> None:
    """It is how Python ends generators, and what `next()` raises when there is nothing left."""

    def first(things: list[int]) -> int:
        return next(iter(things))

    async def later(ctx: Any, input: Any) -> int:
        return first([])

    def helper(ctx: Any) -> Any:
        yield ctx.schedule_timer(0)
        return first([])

    class Odd:
        @classmethod
        def model_validate(cls, value: Any) -> Any:
            raise StopIteration

    def flow(ctx: Any, input: Any) -> Any:
        seen = []
        for make in (
            lambda: ctx.schedule_activity("now"),
            lambda: ctx.schedule_activity("later"),
            lambda: ctx.schedule_sub_orchestration("plain"),
            lambda: ctx.race(helper(ctx)),
            lambda: ctx.wait_for_event_typed("e", Odd),
        ):
            try:
                seen.append((yield make()))
            except Exception as e:
                seen.append(type(e).__name__)
        try:
            seen.append((yield from helper(ctx)))
        except RuntimeError as e:
            seen.append(str(e))
        return seen

    runtime = memory.runtime()
    runtime.register_activity("now", lambda ctx, input: first([]))
    runtime.register_activity("later", later)
    runtime.register_orchestration("plain", lambda ctx, input: first([]))
    runtime.register_orchestration("flow", flow)
    runtime.start()
    instance = memory.start("flow")
    memory.recorded(instance, "ExternalSubscribed")
    memory.client.raise_event(instance, "e")
    assert memory.output(instance) == [
        "ActivityError",
        "ActivityError",
        "SubOrchestrationError",
        "RuntimeError",
        "StopIteration",
        "generator raised StopIteration",
    ]
    error = memory.error(memory.start("plain"))
    assert "test_user_exceptions.py" in error
    assert error.endswith("StopIteration")


RESULTS: dict[str, Callable[[], Any]] = {
    "object": object,
    "set": lambda: {1},
    "bytes": lambda: b"x",
    "function": lambda: len,
    "generator": lambda: (n for n in range(3)),
    "nested": lambda: {"a": [{"b": object()}]},
    "key": lambda: {(1, 2): 3},
    "exception": lambda: ValueError("returned"),
    "thread": threading.current_thread,
}


@pytest.mark.parametrize("kind", RESULTS)
def test_result_that_json_refuses(memory: Engine, kind: str) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Bad", lambda ctx, input: RESULTS[kind]())
    runtime.register_activity("Good", lambda ctx, input: input)

    @runtime.register_orchestration("Calls")
    def calls(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Bad")
        except duroxide.ActivityError as e:
            return [str(e), (yield ctx.schedule_activity("Good", 1))]

    @runtime.register_orchestration("Returns")
    def returns(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_timer(0)
        return RESULTS[kind]()

    runtime.start()
    text, good = memory.run("Calls")
    assert text.startswith("Activity 'Bad' call failed: TypeError: ")
    assert good == 1
    if kind != "generator":
        assert "TypeError" in memory.error(memory.start("Returns"))


def test_result_that_holds_itself(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_activity("Loop")
    def loop(ctx: Any, input: Any) -> Any:
        result: list[Any] = []
        result.append(result)
        return result

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Loop")

    runtime.start()
    assert "Activity 'Loop' call failed: " in memory.error(memory.start("W"))


def test_ten_megabytes_of_error_text(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Bad", raising(lambda: ValueError("x" * 10_000_000)))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Bad")
        except duroxide.ActivityError as e:
            return len(str(e))

    runtime.start()
    assert memory.run("W") >= 1000
    assert memory.run("W") >= 1000


def test_system_exit_in_an_activity_does_not_end_the_process(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Exit", lambda ctx, input: sys.exit(5))

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Exit")
        except Exception as e:
            return str(e)

    runtime.start()
    assert memory.run("W") == "Activity 'Exit' call failed: SystemExit: 5"


def test_asynchronous_exception_fails_one_step_only(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_activity("Hit")
    def hit(ctx: Any, input: Any) -> Any:
        ident = ctypes.c_ulong(threading.get_ident())
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(TimeoutError))
        for _ in range(1_000_000):
            pass
        return "survived"

    runtime.register_activity("Good", lambda ctx, input: input)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity("Hit")
        except duroxide.ActivityError as e:
            return [str(e), (yield ctx.schedule_activity("Good", 2))]

    runtime.start()
    text, good = memory.run("W")
    assert "TimeoutError" in text
    assert good == 2


def test_finally_that_raises_while_a_branch_is_closed(memory: Engine) -> None:
    runtime = memory.runtime()

    def loser(ctx: Any) -> Any:
        try:
            yield ctx.wait_for_event("never")
        finally:
            raise RuntimeError("in finally")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(loser(ctx), ctx.schedule_timer(0)))["index"]

    runtime.start()
    assert memory.run("W") == 1
    memory.logs.wait_for("in finally")


def test_generator_that_swallows_generator_exit(memory: Engine) -> None:
    runtime = memory.runtime()

    def stubborn(ctx: Any) -> Any:
        while True:
            try:
                yield ctx.wait_for_event("never")
            except GeneratorExit:
                yield ctx.schedule_timer(0)
                return

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(stubborn(ctx), ctx.schedule_timer(0)))["index"]

    runtime.start()
    assert memory.run("W") == 1
    assert memory.run("W") == 1


def test_async_activity_that_raises_or_is_cancelled(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_activity("Async")
    async def bad(ctx: Any, input: Any) -> Any:
        await asyncio.sleep(0)
        if input == "cancel":
            raise asyncio.CancelledError
        if input == "exit":
            raise SystemExit(2)
        raise ValueError("async")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        results = yield ctx.all([ctx.schedule_activity("Async", x) for x in input])
        return [r["err"] for r in results]

    runtime.start()
    said = memory.run("W", ["cancel", "exit", "raise"])
    for text, word in zip(said, ("CancelledError", "SystemExit", "ValueError: async")):
        assert text.startswith("Activity 'Async' call failed: ")
        assert word in text
