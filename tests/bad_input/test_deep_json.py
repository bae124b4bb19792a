"""JSON that is nested as deeply as Python can write it arrives as what it is, never as text; or it is refused."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from typing import Any, Callable

import pytest

import duroxide
from duroxide import _codec
from duroxide._payloads import PLAIN, Payloads
from harness import Engine, python


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for n in range(depth):
        value = [value] if n % 2 else {"a": value}
    return value


def depth_of(value: Any) -> Any:
    """How deep it is; what it is instead when it is not nested at all."""
    depth = 0
    while isinstance(value, (list, dict)):
        value = value[0] if isinstance(value, list) else value["a"]
        depth += 1
    return depth if value == "bottom" else type(value).__name__


def with_all_the_stack(call: Callable[[], Any]) -> Any:
    """Give what a call gives on a thread that has nothing else on its stack."""
    given: list[Any] = []

    def run() -> None:
        try:
            given.append(call())
        except Exception as e:
            given.append(type(e))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return given[0]


def deepest() -> int:
    """The depth that can just be written, with all the stack."""

    def fits(depth: int) -> bool:
        return isinstance(with_all_the_stack(lambda: _codec.encode(nested(depth), "it")), bytes)

    low, high = 100, 200
    while fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


MOST = deepest()
DEPTHS = range(MOST - 60, MOST + 3, 3)
REFUSED = "nested too deeply"

# What an orchestration of the name of a way does with a depth: it gives the depth that arrived.


def activity_input(ctx: Any, depth: int) -> Any:
    return (yield ctx.schedule_activity("Depth", nested(depth)))


def activity_result(ctx: Any, depth: int) -> Any:
    return depth_of((yield ctx.schedule_activity("Make", depth)))


def member_of_all(ctx: Any, depth: int) -> Any:
    ((result),) = yield ctx.all([ctx.schedule_activity("Make", depth)])
    return depth_of(result["ok"]) if "ok" in result else result["err"]


def output_of_a_child(ctx: Any, depth: int) -> Any:
    return depth_of((yield ctx.schedule_sub_orchestration("Output", depth)))


def input_of_a_child(ctx: Any, depth: int) -> Any:
    return (yield ctx.schedule_sub_orchestration("Input", nested(depth)))


@pytest.mark.parametrize("way", [activity_input, activity_result, member_of_all, output_of_a_child, input_of_a_child])
def test_deep_values_inside_the_engine(memory: Engine, way: Callable[..., Any]) -> None:
    runtime = memory.runtime()
    runtime.register_activity("Depth", lambda ctx, input: depth_of(input))
    runtime.register_activity("Make", lambda ctx, depth: nested(depth))
    runtime.register_orchestration("Input", lambda ctx, input: depth_of(input))
    runtime.register_orchestration("Output", lambda ctx, depth: nested(depth))
    runtime.register_orchestration("W", way)
    runtime.start()
    instances = {depth: memory.start("W", depth) for depth in DEPTHS}
    came = []
    for depth, instance in instances.items():
        result = memory.wait(instance)
        if result.output == depth:
            came.append(depth)
        else:
            assert REFUSED in str(result.output or result.error)
    assert len(came) > 5, "some as deep as that have come through"


def send(call: Callable[[], Any]) -> bool:
    """Whether a call of a client took a deep value; else it refused it."""
    answer = with_all_the_stack(call)
    assert answer in (None, ValueError)
    return answer is None


def test_deep_inputs_and_outputs(memory: Engine) -> None:
    runtime = memory.runtime()
    runtime.register_orchestration("Input", lambda ctx, input: depth_of(input))
    runtime.register_orchestration("Output", lambda ctx, depth: nested(depth))
    runtime.start()
    client, came = memory.client, []
    for depth in DEPTHS:
        if send(lambda: client.start_orchestration(f"in-{depth}", "Input", nested(depth))):
            assert memory.output(f"in-{depth}") == depth
            came.append(depth)
        result = memory.wait(memory.start("Output", depth))
        assert depth_of(result.output) == depth or REFUSED in result.error
    assert len(came) > 5


def test_deep_events_and_messages(memory: Engine) -> None:
    def flow(ctx: Any, input: Any) -> Any:
        event = yield ctx.wait_for_event("e")
        return [depth_of(event), depth_of((yield ctx.dequeue_event("q")))]

    runtime = memory.runtime()
    runtime.register_orchestration("W", flow)
    runtime.start()
    client, came = memory.client, []
    for depth in DEPTHS:
        instance = memory.start("W")
        memory.recorded(instance, "ExternalSubscribed")
        value = nested(depth)
        if send(lambda: client.raise_event(instance, "e", value)):
            assert send(lambda: client.enqueue_event(instance, "q", value))
            assert memory.output(instance) == [depth, depth]
            came.append(depth)
        else:
            client.cancel_instance(instance)
    assert len(came) > 5


def test_text_that_looks_deep_is_text() -> None:
    text = "[" * (MOST * 2) + " is no JSON"
    assert with_all_the_stack(lambda: _codec.decode("[" * (MOST - 5))) == "[" * (MOST - 5)
    assert with_all_the_stack(lambda: _codec.decode(json.dumps(text))) == text


def test_deeper_than_this_process_can_read_is_told_and_changes_nothing() -> None:
    text = "[" * (MOST * 3) + "]" * (MOST * 3)
    with pytest.raises(duroxide.CodecError, match="nested too deeply for the recursion limit of this process"):
        _codec.decode(text)
    other = text + " "
    assert PLAIN.same(text, other), "nothing is accused that nobody can read"


class Nested(duroxide.Codec):
    name = "nested"

    def encode(self, value: Any) -> str:
        return json.dumps(value)

    def decode(self, data: Any) -> Any:
        return json.loads(data)


@pytest.mark.parametrize("payloads", [PLAIN, Payloads(Nested())], ids=["JSON", "codec"])
def test_what_was_written_can_be_read_with_less_stack(payloads: Payloads) -> None:
    """A replay compares with what was recorded, wherever it stands."""
    depth = MOST - 30  # json.dumps, which the codec takes, needs a little more than the encoder here
    stored = with_all_the_stack(lambda: payloads.encode(nested(depth), "it")).decode()
    spaced = stored.replace('"a": ', '"a":')

    def deeper(left: int) -> tuple[Any, bool]:
        if left:
            return deeper(left - 1)
        return depth_of(payloads.decode(stored)), payloads.same(stored, spaced)

    frames = sys.getrecursionlimit() - len(traceback.extract_stack()) - 60
    assert deeper(frames) == (depth, True)


def test_process_with_a_higher_limit_reads_what_another_cannot(tmp_path: Any) -> None:
    script = """
        import sys
        from duroxide import Client, Runtime, SqliteProvider
        sys.setrecursionlimit(int(sys.argv[2]))
        client = Client(SqliteProvider.open(sys.argv[1]))
        depth = int(sys.argv[3])
        if depth:
            value = None
            for _ in range(depth):
                value = [value]
            client.start_orchestration("i", "W", value)
        runtime = Runtime(client._provider)
        runtime.register_orchestration("W", lambda ctx, input: type(input).__name__)
        runtime.start()
        for _ in range(600):
            status = client.get_status("i")
            if status.status == "Completed" or (status.blocked and sys.argv[2] == "1000"):
                break
            client.wait_for_status_change("i", timeout_ms=20)
        print(status.status, status.output, status.blocked)
        runtime.shutdown()
    """
    if sys.version_info >= (3, 12):
        pytest.skip("the limit of C code is not that of sys.setrecursionlimit there")
    store, depth = str(tmp_path / "store.db"), str(sys.getrecursionlimit() * 2)
    written = python(script.replace("runtime.start()", "sys.exit()"), store, "10000", depth)
    assert written.returncode == 0, written.stderr
    lower = python(script, store, "1000", "0")
    assert lower.stdout.startswith("Running None "), lower
    assert "nested too deeply for the recursion limit of this process, 1000" in lower.stdout
    assert python(script, store, "10000", "0").stdout == "Completed list None\n"
