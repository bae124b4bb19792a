"""Stepping generators by hand: frames in, frames out, no engine."""

from __future__ import annotations

import decimal
import struct
import threading
from collections.abc import Generator
from typing import Any, Callable

import pytest

import duroxide
from duroxide import _frames
from duroxide._driver import Execution

AWAIT, RETURN, RAISE, FATAL = range(4)
LEAVES = ("activity", "timer", "event", "dequeue", "child", "detached", "guid", "clock", "continue")


class Reader:
    """Takes a frame apart as the engine does."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self.data, self.pos)
        self.pos += struct.calcsize("<" + form)
        return value

    def text(self) -> str:
        size = self.number("I")
        self.pos += size
        return self.data[self.pos - size : self.pos].decode()

    def task(self) -> dict[str, Any]:
        kind = self.number("B")
        if kind in (_frames.T_ALL, _frames.T_RACE):
            count = self.number("I")
            name = "all" if kind == _frames.T_ALL else "race"
            return {name: [self.task() for _ in range(count)]}
        if kind == _frames.T_BRANCH:
            return {"branch": self.number("I")}
        flags = self.number("B")
        task: dict[str, Any] = {"kind": LEAVES[kind], "name": self.text(), "input": self.text()}
        for bit, key in enumerate(("version", "instance", "session", "tag")):
            if flags & 1 << bit:
                task[key] = self.text()
        if flags & 16:
            task["number"] = self.number("q")
        if flags & 32:
            task["retry"] = [self.number(form) for form in "IBqqqqdd"]
        if flags & 64:
            task["at"] = self.text()
        return task


class Stepper:
    """An execution under the hands of a test."""

    def __init__(self, function: Callable[..., Any], input: bytes = b"null", **begin: Any) -> None:
        self.logged: list[tuple[str, str, dict[str, str]]] = []
        fields: dict[str, Any] = {
            "execution": 1,
            "status_version": 0,
            "instance": "i",
            "life": "life",
            "name": "W",
            "version": "1.0.0",
            "input": input.decode(),
            "status": None,
            "parent": "",
            "kv": {},
        }
        fields.update(begin)
        self.execution = Execution(function, _frames.Begin(**fields), lambda *record: self.logged.append(record))

    def step(
        self,
        resolution: bytes = b"\0",
        branch: int = 0,
        now: int = 1000,
        remaining: int = 0,
        replaying: bool = False,
    ) -> dict[str, Any]:
        frame = struct.pack("<qIB", now, remaining, replaying) + resolution
        return self.read(self.execution.resume(branch, b"junk" + frame, 4))

    @staticmethod
    def read(answer: bytes) -> dict[str, Any]:
        r = Reader(answer)
        kind = r.number("B")
        found: dict[str, Any] = {"kind": kind, "ended": bool(r.number("B")), "at": r.text()}
        found["calls"] = [(r.number("B"), r.number("B"), r.text(), r.text(), r.text()) for _ in range(r.number("I"))]
        if kind == AWAIT:
            found["task"] = r.task()
        elif kind == RETURN:
            found["result"] = r.text()
        else:
            found["message"], found["type"], found["error"] = r.text(), r.text(), r.text()
        assert r.pos == len(answer), "nothing is left over"
        return found


def text(payload: str) -> bytes:
    return b"\1" + _frames.text(payload.encode())


def failure(kind: str, message: str, **fields: Any) -> bytes:
    parts = [kind, message, fields.get("type", ""), fields.get("traceback", "")]
    parts += [fields.get("activity", ""), fields.get("instance", "")]
    return b"\4" + struct.pack("<I", fields.get("attempt", 1)) + b"".join(_frames.text(p.encode()) for p in parts)


Gen = Generator[Any, Any, Any]


def test_steps_to_the_end() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        first = yield ctx.schedule_activity("A", {"n": input})
        second = yield ctx.schedule_timer(5)
        return [first, second]

    s = Stepper(function, b"7")
    begun = s.step()
    assert begun["task"] == {"kind": "activity", "name": "A", "input": '{"n": 7}'}
    assert begun["at"].endswith(f"test_driver.py:{function.__code__.co_firstlineno + 1}")
    assert s.step(text('"one"'))["task"] == {"kind": "timer", "name": "", "input": "", "number": 5}
    end = s.step()
    assert (end["kind"], end["result"], end["ended"]) == (RETURN, '["one", null]', True)


def test_plain_function_completes_at_once() -> None:
    end = Stepper(lambda ctx, input: [input, ctx.instance_id], b'{"a": "\xc3\xa4"}').step()
    assert (end["kind"], end["result"]) == (RETURN, '[{"a": "ä"}, "i"]')


@pytest.mark.parametrize(
    ("payload", "value"),
    [("", None), ("not json", "not json"), (" 1 ", 1), ("NaN", "nan"), ("{", "{"), ("1 2", "1 2")],
)
def test_text_that_is_not_json_is_handed_over(payload: str, value: Any) -> None:
    def function(ctx: Any, input: Any) -> Gen:
        got = yield ctx.wait_for_event("e")
        return str(got) if value == "nan" else [got == value]

    s = Stepper(function)
    s.step()
    assert s.step(text(payload))["result"] == ('"nan"' if value == "nan" else "[true]")


def test_lone_surrogates_pass_as_escapes() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        return (yield ctx.schedule_activity("A", "\ud800"))

    s = Stepper(function)
    assert s.step()["task"]["input"] == '"\\ud800"'
    assert s.step(text('"\\ud800"'))["result"] == '"\\ud800"'


def test_values_of_all_and_race() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        both = yield ctx.all([ctx.schedule_activity("A"), ctx.schedule_timer(1)])
        won = yield ctx.race([ctx.wait_for_event("a"), ctx.dequeue_event("b")])
        typed = yield ctx.all_typed([ctx.schedule_activity("A"), ctx.schedule_activity("B")])
        return [both, won, typed]

    s = Stepper(function)
    tree = s.step()["task"]["all"]
    assert [m["kind"] for m in tree] == ["activity", "timer"]
    assert all("test_driver.py" in m["at"] for m in tree), "members carry their own line"
    members = b"\0" + text("1") + b"\1" + _frames.text(b"text")
    race = s.step(b"\2" + struct.pack("<I", 2) + members)["task"]["race"]
    assert [m["kind"] for m in race] == ["event", "dequeue"]
    s.step(b"\3" + struct.pack("<I", 1) + text('"mail"'))
    end = s.step(b"\2" + struct.pack("<I", 2) + members)
    assert end["result"] == ('[[{"ok": 1}, {"err": "text"}], {"index": 1, "value": "mail"}, [1, {"err": "text"}]]')


@pytest.mark.parametrize(
    ("kind", "fields", "wanted"),
    [
        ("activity", {"activity": "A"}, duroxide.ActivityError),
        ("timeout", {"activity": "A"}, duroxide.ActivityTimeout),
        ("orchestration", {"instance": "c"}, duroxide.SubOrchestrationError),
        ("cancelled", {"instance": "c"}, duroxide.Cancelled),
        ("orchestration", {}, duroxide.OrchestrationError),
    ],
)
def test_failures_are_thrown_as_their_class(kind: str, fields: dict[str, Any], wanted: type[Exception]) -> None:
    caught: list[Any] = []

    def function(ctx: Any, input: Any) -> Gen:
        try:
            yield ctx.schedule_activity("A")
        except wanted as e:
            caught.append(e)
            return str(e)

    s = Stepper(function)
    s.step()
    end = s.step(failure(kind, "what failed", type="ValueError", traceback="T", attempt=3, **fields))
    assert end["result"] == '"what failed"'
    if isinstance(caught[0], duroxide.ActivityError):
        e = caught[0]
        assert (e.activity_name, e.original_type, e.original_traceback, e.attempt) == (
            "A",
            "ValueError",
            "T",
            3,
        )
    if fields.get("instance"):
        assert isinstance(caught[0], duroxide.SubOrchestrationError)
        assert caught[0].instance_id == "c"


def test_branches_are_numbered_and_advance_alone() -> None:
    def branch(ctx: Any, name: str) -> Gen:
        yield ctx.schedule_activity(name)
        return name

    def function(ctx: Any, input: Any) -> Gen:
        return (yield ctx.all([branch(ctx, "a"), ctx.schedule_timer(1), branch(ctx, "b")]))

    s = Stepper(function)
    members = s.step()["task"]["all"]
    assert [members[0], members[2]] == [{"branch": 1}, {"branch": 2}]
    assert s.step(branch=2)["task"]["name"] == "b"
    assert s.step(branch=1)["task"]["name"] == "a"
    end = s.step(text("0"), branch=1)
    assert (end["kind"], end["result"], end["ended"]) == (RETURN, '"a"', False)


def test_exception_object_of_a_branch_is_raised_again() -> None:
    made: list[BaseException] = []

    class Odd(Exception):
        pass

    def branch(ctx: Any) -> Gen:
        yield ctx.schedule_timer(1)
        made.append(Odd("x"))
        raise made[0]

    def function(ctx: Any, input: Any) -> Gen:
        try:
            yield branch(ctx)
        except Odd as e:
            return e is made[0]

    s = Stepper(function)
    s.step()
    s.step(branch=1)
    raised = s.step(branch=1)
    assert (raised["kind"], raised["type"], raised["error"]) == (RAISE, "Odd", "x")
    assert s.step(b"\5" + struct.pack("<I", 1))["result"] == "true"


def helper(ctx: Any) -> Gen:
    yield ctx.schedule_timer(0)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (lambda ctx: None, "what was yielded is None, not a task"),
        (lambda ctx: [], "wait for several tasks with `yield ctx.all([...])`"),
        (lambda ctx: helper, "is the generator function helper, not a task: call it"),
        (lambda ctx: 5, "what was yielded is a int, not a task"),
        (lambda ctx: ctx.all([5]), "a member of all or race is a int"),
        (lambda ctx: ctx.race(ctx.continue_as_new()), "continue_as_new cannot be a member"),
        (
            lambda ctx: duroxide.OrchestrationContext().schedule_timer(1),
            "made by the context of another orchestration",
        ),
    ],
)
def test_what_is_no_task_raises_at_the_yield(thing: Any, text: str) -> None:
    def function(ctx: Any, input: Any) -> Gen:
        try:
            yield thing(ctx)
        except TypeError as e:
            yield ctx.schedule_activity("A", str(e))

    step = Stepper(function).step()
    assert text in step["task"]["input"]
    assert step["at"].endswith(f":{function.__code__.co_firstlineno + 4}")


def test_generator_can_be_given_once() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        g = helper(ctx)
        try:
            yield ctx.all([g, g])
        except TypeError as e:
            yield ctx.schedule_activity("A", str(e))
        yield g

    s = Stepper(function)
    assert "running already" in s.step()["task"]["input"]
    assert s.execution.branches.keys() == {0}, "a refused tree leaves no branch behind"
    assert s.step()["task"] == {"branch": 1}


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_other_exceptions_end_the_instance(error: type[BaseException]) -> None:
    def function(ctx: Any, input: Any) -> Gen:
        yield ctx.schedule_timer(0)
        raise error("out")

    s = Stepper(function)
    s.step()
    end = s.step()
    assert (end["kind"], end["type"], end["ended"]) == (FATAL, error.__name__, True)


def test_traceback_shows_the_users_frames_only() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        yield ctx.schedule_timer(0)
        ctx.schedule_activity("A", object())

    s = Stepper(function)
    s.step()
    end = s.step()
    assert end["kind"] == RAISE
    assert "test_driver.py" in end["message"]
    assert '_driver.py", line' not in end["message"].replace("test_driver.py", "")
    assert "_codec.py" not in end["message"]
    assert end["message"].endswith(
        "input of schedule_activity('A') is not JSON: Object of type object is not JSON serializable"
    )
    assert end["at"].endswith(f":{function.__code__.co_firstlineno + 2}")


def test_exception_without_a_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def function(ctx: Any, input: Any) -> Any:
        raise Mute

    end = Stepper(function).step()
    assert (end["kind"], end["type"]) == (RAISE, "Mute")
    assert "Mute" in end["error"]


def test_immediate_calls_travel_with_the_next_yield_in_order() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        ctx.set_custom_status("s")
        ctx.set_kv_value("k", 1)
        ctx.trace_warn("look")
        assert (ctx.get_custom_status(), ctx.get_kv_value("k")) == ("s", "1")
        ctx.clear_kv_value("k")
        ctx.reset_custom_status()
        yield ctx.schedule_timer(0)
        return [ctx.get_custom_status(), ctx.get_kv_all_values()]

    s = Stepper(function, status="old", kv={"z": ("9", 5)})
    calls = s.step()["calls"]
    assert [c[:4] for c in calls] == [
        (_frames.C_SET_STATUS, 0, "", "s"),
        (_frames.C_SET_KV, 0, "k", "1"),
        (_frames.C_TRACE, 2, "", "look"),
        (_frames.C_CLEAR_KV, 0, "k", ""),
        (_frames.C_RESET_STATUS, 0, "", ""),
    ]
    first = function.__code__.co_firstlineno
    assert [int(c[4].rsplit(":")[-1]) - first for c in calls] == [1, 2, 3, 5, 6]
    end = s.step()
    assert (end["calls"], end["result"]) == ([], '[null, {"z": "9"}]')


def test_pruning_goes_by_the_time_of_the_turn() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        ctx.set_kv_value("now", "v")
        yield ctx.schedule_timer(0)
        return [ctx.prune_kv_values_updated_before(1000), ctx.get_kv_all_keys()]

    s = Stepper(function, kv={"old": ("v", 10), "older": ("v", 5)})
    s.step(now=1000)
    end = s.step(now=2000)
    assert end["result"] == '[2, ["now"]]'
    assert [c[2] for c in end["calls"]] == ["old", "older"]


def test_replaying_ends_with_the_first_call_that_is_not_recorded() -> None:
    seen: list[bool] = []

    def function(ctx: Any, input: Any) -> Gen:
        seen.append(ctx.is_replaying)
        ctx.set_custom_status("recorded")
        seen.append(ctx.is_replaying)
        ctx.set_custom_status("new")
        seen.append(ctx.is_replaying)
        yield ctx.schedule_timer(0)

    Stepper(function).step(replaying=True, remaining=1)
    assert seen == [True, True, False], "a call that is not recorded makes the code live"


def test_closing_is_muted_and_logged() -> None:
    ran: list[str] = []

    def function(ctx: Any, input: Any) -> Gen:
        try:
            yield ctx.schedule_timer(0)
        finally:
            ctx.set_custom_status("never seen")
            ran.append("finally")
            raise ValueError("in finally")

    s = Stepper(function)
    s.step()
    s.execution.close(0)
    assert ran == ["finally"]
    ((level, message, fields),) = s.logged
    assert level == "warn"
    assert "ValueError" in message
    assert "in finally" in message
    assert f"test_driver.py:{function.__code__.co_firstlineno + 6}" in message
    assert fields["instance_id"] == "i"
    s.execution.close_all()


def test_generator_that_ignores_its_close_is_logged() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        try:
            yield ctx.schedule_timer(0)
        except GeneratorExit:
            yield ctx.schedule_timer(0)

    s = Stepper(function)
    s.step()
    s.execution.close_all()
    assert "ignored GeneratorExit" in s.logged[0][1]


def test_task_that_can_still_be_yielded_is_not_told() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        ctx.schedule_activity("Forgotten")
        kept = ctx.schedule_activity("Kept")
        left = ctx.schedule_activity("Left")
        members = [ctx.schedule_timer(1) for _ in range(3)]
        yield ctx.all(members)
        yield kept
        yield ctx.race(left, ctx.schedule_timer(1))
        return str(left)

    first = function.__code__.co_firstlineno
    s = Stepper(function)
    s.step()
    ((level, message, _),) = s.logged
    assert level == "warn"
    assert message.startswith("activity 'Forgotten' was made at ")
    assert f"test_driver.py:{first + 1} " in message
    s.step(b"\2" + struct.pack("<I", 0))
    s.step()
    s.step(b"\3" + struct.pack("<I", 0) + text("1"))
    assert len(s.logged) == 1


def test_task_dropped_in_a_replay_is_not_told_again() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        for n in range(4):
            ctx.schedule_activity("Forgotten")
            yield ctx.schedule_timer(n)
        ctx.schedule_activity("Forgotten too")

    s = Stepper(function)
    s.step(replaying=True, remaining=3)
    s.step(replaying=True, remaining=1)
    for _ in range(3):
        s.step()
    assert [message.partition(" was")[0] for _, message, _ in s.logged] == ["activity 'Forgotten too'"]


def test_location_is_that_of_the_innermost_generator() -> None:
    def inner(ctx: Any) -> Gen:
        yield from ctx.schedule_timer(0)

    def function(ctx: Any, input: Any) -> Gen:
        yield from inner(ctx)

    at = Stepper(function).step()["at"]
    assert at.endswith(f":{inner.__code__.co_firstlineno + 1}")


def test_yield_from_a_task_gives_its_result() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        return (yield from ctx.schedule_activity("A"))

    s = Stepper(function)
    assert s.step()["task"]["name"] == "A"
    assert s.step(text("[1]"))["result"] == "[1]"


def test_each_execution_has_a_context_of_its_own() -> None:
    def function(ctx: Any, precision: int) -> Gen:
        before = decimal.getcontext().prec
        decimal.getcontext().prec = precision
        yield ctx.schedule_timer(0)
        return [before, decimal.getcontext().prec]

    a, b = Stepper(function, b"3"), Stepper(function, b"5")
    a.step()
    b.step()
    results: list[str] = []
    threads = [threading.Thread(target=lambda s=s: results.append(s.step()["result"])) for s in (a, b)]
    for t in threads:
        t.start()
        t.join()
    assert results == ["[28, 3]", "[28, 5]"], "on whichever thread the next step runs"


def test_result_types_are_applied_and_checked() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        try:
            return (yield ctx.schedule_activity_typed("A", "[1]", result_type=dict[str, int]))
        except TypeError as e:
            return str(e)

    for payload, wanted in (('{"a": 1}', '{"a": 1}'), ('{"a": "x"}', "\"result['a'] is not a int: got str\"")):
        s = Stepper(function)
        assert s.step()["task"]["input"] == "[1]", "text is JSON already"
        assert s.step(text(payload))["result"] == wanted


def test_context_made_by_hand_steps_without_an_engine() -> None:
    def function(ctx: Any, input: Any) -> Gen:
        ctx.trace_info("nobody hears it")
        ctx.set_custom_status("on")
        got = yield ctx.schedule_activity("A", input)
        return [got, ctx.instance_id]

    g = function(duroxide.OrchestrationContext({"instance_id": "t"}), 1)
    task = next(g)
    assert (task["type"], task["name"], "retry" in task) == ("activity", "A", False)
    with pytest.raises(StopIteration) as end:
        g.send("result")
    assert end.value.value == ["result", "t"]


@pytest.mark.parametrize("camel", [False, True])
def test_contexts_made_by_hand_take_both_spellings(camel: bool) -> None:
    def spelt(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(part.title() for part in rest) if camel else name

    fields = {"instance_id": "i", "execution_id": 2, "orchestration_name": "W", "orchestration_version": "1.0.1"}
    orchestration = duroxide.OrchestrationContext({spelt(k): v for k, v in fields.items()})
    assert {k: getattr(orchestration, k) for k in fields} == fields
    fields = {**fields, "activity_name": "A", "worker_id": "w", "session_id": "s", "retry_key": "k"}
    activity = duroxide.ActivityContext({**{spelt(k): v for k, v in fields.items()}, "tag": "gpu"})
    assert {k: getattr(activity, k) for k in fields} == fields
    assert activity.tag() == "gpu"


def test_tasks_read_and_compare_like_dictionaries() -> None:
    ctx = duroxide.OrchestrationContext()
    one, same = ctx.schedule_activity("A", {"n": 1}), ctx.schedule_activity("A", {"n": 1})
    fields = {"type": "activity", "name": "A", "input": '{"n": 1}'}
    assert dict(one) == fields
    assert one == fields
    assert fields == one
    assert one != {"type": "activity"}
    assert ctx.all([one, same]) == {"type": "join", "tasks": [fields, fields]}
    assert one != same, "each is a call of its own"
    assert len({one, same, one}) == 2
    assert [one, same].index(same) == 1
