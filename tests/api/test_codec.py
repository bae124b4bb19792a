"""Codecs: everything that users put in is stored by them, in both modes, over restarts and with wrong keys."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import Any

import pytest

from duroxide import Client, Codec, CodecError, ConfigurationError, Runtime, RuntimeOptions
from duroxide.__main__ import main
from harness import WAIT_MS, Engine, eventually
from stores import Schema


class Sealed(Codec):
    """A stream cipher with a nonce of its own for each value, and a check of the key: no two results are equal."""

    name = "sealed-1"

    def __init__(self, key: bytes) -> None:
        self.key = key

    def _mask(self, nonce: bytes, data: bytes) -> bytes:
        stream = b"".join(
            hashlib.sha256(self.key + nonce + n.to_bytes(4, "big")).digest() for n in range(len(data) // 32 + 1)
        )
        return bytes(a ^ b for a, b in zip(data, stream))

    def encode(self, value: Any) -> bytes:
        nonce, data = os.urandom(12), json.dumps(value).encode()
        tag = hmac.new(self.key, nonce + data, "sha256").digest()[:8]
        return nonce + tag + self._mask(nonce, data)

    def decode(self, data: bytes) -> Any:
        nonce, tag, plain = data[:12], data[12:20], self._mask(data[:12], data[20:])
        if not hmac.compare_digest(tag, hmac.new(self.key, nonce + plain, "sha256").digest()[:8]):
            raise ValueError("the data was sealed with another key")
        return json.loads(plain)


class Fingerprinted(Sealed):
    """Replay compares keyed hashes and need not open what was recorded."""

    opened: int = 0

    def fingerprint(self, value: Any) -> str:
        text = json.dumps(value, sort_keys=True).encode()
        return hmac.new(self.key, text, "sha256").hexdigest()

    def decode(self, data: bytes) -> Any:
        self.opened += 1
        return super().decode(data)


class Upper(Codec):
    """Gives text."""

    name = "text"

    def encode(self, value: Any) -> str:
        return json.dumps(value)[::-1]

    def decode(self, data: str) -> Any:
        return json.loads(data[::-1])


KEY, OTHER = b"k" * 32, b"o" * 32
SECRET = "s3cret"
CODECS = [Sealed(KEY), Fingerprinted(KEY), Upper()]


def everything(runtime: Runtime) -> None:
    """A workflow that passes a secret by every way there is."""

    @runtime.register_activity("Echo")
    def echo(ctx: Any, input: Any) -> Any:
        return [input, SECRET]

    @runtime.register_activity("Raise")
    def fail(ctx: Any, input: Any) -> Any:
        raise ValueError(f"about {input}")

    @runtime.register_activity("Clienting")
    def clienting(ctx: Any, input: Any) -> Any:
        return ctx.get_client().get_kv_value(ctx.instance_id, "key")

    @runtime.register_orchestration("Child")
    def child(ctx: Any, input: Any) -> Any:
        if input == "fail":
            raise RuntimeError(SECRET)
        return {"child": input}

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        if input["round"] == 0:
            ctx.set_custom_status(f"status {SECRET}")
            ctx.set_kv_value("key", f"value {SECRET}")
            return (yield ctx.continue_as_new({"round": 1, "secret": input["secret"]}))
        status, value = ctx.get_custom_status(), ctx.get_kv_value("key")
        echoed = yield ctx.schedule_activity("Echo", input["secret"])
        typed = yield ctx.schedule_activity_typed("Echo", json.dumps({"typed": SECRET}))
        retried = yield ctx.schedule_activity_with_retry("Echo", SECRET, {"max_attempts": 2})
        both = yield ctx.all([ctx.schedule_activity("Raise", SECRET), ctx.schedule_sub_orchestration("Child", SECRET)])
        try:
            yield ctx.schedule_sub_orchestration("Child", "fail")
        except Exception as e:
            caught = str(e)
        ctx.set_kv_value("step", "waits")
        event = yield ctx.wait_for_event("event")
        mail = yield ctx.dequeue_event("queue")
        read = yield ctx.schedule_activity("Clienting")
        now = yield ctx.utc_now()
        yield ctx.start_orchestration("Child", "detached", SECRET)
        other = yield ctx.get_kv_value_from_instance(ctx.instance_id, "key")
        return [status, value, echoed, typed, retried, both, caught.splitlines()[-1], event, mail, read, now > 0, other]


EXPECTED = [
    f"status {SECRET}",
    f"value {SECRET}",
    [SECRET, SECRET],
    [{"typed": SECRET}, SECRET],
    [SECRET, SECRET],
    [{"err": f"Activity 'Raise' call failed: ValueError: about {SECRET}"}, {"ok": {"child": SECRET}}],
    f"RuntimeError: {SECRET}",
    {"event": SECRET},
    [SECRET],
    f"value {SECRET}",
    True,
    f"value {SECRET}",
]


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: type(c).__name__)
def test_everything_passes_through_the_codec_and_survives_a_restart(engine: Engine, codec: Codec) -> None:
    runtime = engine.runtime(codec=codec)
    everything(runtime)
    runtime.start()
    client = Client(engine.provider, codec=codec)
    client.start_orchestration("p", "Parent", {"round": 0, "secret": SECRET})
    assert client.wait_for_kv_value("p", "step", WAIT_MS) == "waits"
    engine.restart(runtime, everything, codec=codec)
    client = Client(engine.provider, codec=codec)
    client.raise_event("p", "event", {"event": SECRET})
    client.enqueue_event("p", "queue", [SECRET])
    result = client.wait_for_orchestration("p", WAIT_MS)
    assert result.output == EXPECTED
    assert result.custom_status == f"status {SECRET}"
    assert client.get_kv_value("p", "key") == f"value {SECRET}"
    assert client.wait_for_orchestration("detached", WAIT_MS).output == {"child": SECRET}
    shown = client.read_execution_history("p", 2)
    assert {"name": "Echo", "input": SECRET} in [
        json.loads(e.data) for e in shown if e.kind == "ActivityScheduled" and e.data
    ]
    # Without the codec nothing of it can be seen.
    plain = Client(engine.provider)
    stored = [e.data for i in plain.list_all_instances() for n in plain.list_executions(i)
              for e in plain.read_execution_history(i, n)]  # fmt: skip
    assert SECRET not in json.dumps(stored)
    with pytest.raises(CodecError, match=f"stored by codec '{codec.name}', and there is no codec here"):
        plain.get_status("p")
    with pytest.raises(CodecError, match="no codec here"):
        plain.get_kv_value("p", "key")


def test_errors_and_reasons_are_sealed_too(engine: Engine) -> None:
    codec = Sealed(KEY)
    runtime = engine.runtime(codec=codec)
    everything(runtime)

    @runtime.register_orchestration("Waits")
    def waits(ctx: Any, input: Any) -> Any:
        yield ctx.wait_for_event("never")

    @runtime.register_orchestration("Fails")
    def fails(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("Raise", SECRET)

    runtime.start()
    client = Client(engine.provider, codec=codec)
    client.start_orchestration("w", "Waits")
    client.cancel_instance("w", f"reason {SECRET}")
    assert client.wait_for_orchestration("w", WAIT_MS).error == f"canceled: reason {SECRET}"
    client.start_orchestration("f", "Fails")
    result = client.wait_for_orchestration("f", WAIT_MS)
    assert SECRET in (result.error or "")
    assert "test_codec.py" in (result.error or "")
    failed = [e for e in client.read_execution_history("f", 1) if e.kind == "ActivityFailed"]
    assert SECRET in (failed[0].data or "")
    plain = Client(engine.provider)
    assert SECRET not in json.dumps([e.data for i in ("w", "f") for e in plain.read_execution_history(i, 1)])
    assert SECRET not in " ".join(engine.logs.messages("duroxide.engine"))


@pytest.mark.parametrize("wrong", [Sealed(OTHER), None, Upper()], ids=["other key", "none", "other codec"])
def test_a_wrong_codec_fails_nothing(engine: Engine, wrong: Any) -> None:
    engine.expected_errors.append("instance is blocked")
    right = Sealed(KEY)
    runtime = engine.runtime(codec=right)
    everything(runtime)
    runtime.start()
    client = Client(engine.provider, codec=right)
    client.start_orchestration("p", "Parent", {"round": 0, "secret": SECRET})
    client.wait_for_kv_value("p", "step", WAIT_MS)
    runtime = engine.restart(runtime, everything, codec=wrong)
    client = Client(engine.provider, codec=right)
    client.start_orchestration("new", "Child", SECRET)
    client.raise_event("p", "event", {"event": SECRET})
    client.enqueue_event("p", "queue", [SECRET])
    for instance in ("p", "new"):
        reason = eventually(lambda: client.get_status(instance).blocked, f"{instance} is blocked")
        assert "infrastructure:read a payload: " in reason
        assert "sealed-1" in reason
        assert client.get_status(instance).status == "Running"
    engine.restart(runtime, everything, codec=right)
    client = Client(engine.provider, codec=right)
    assert client.wait_for_orchestration("p", WAIT_MS).output == EXPECTED
    assert client.wait_for_orchestration("new", WAIT_MS).output == {"child": SECRET}


def test_an_activity_waits_for_a_runtime_that_can_read_its_input(file_engine: Engine) -> None:
    engine, right = file_engine, Sealed(KEY)
    turns = engine.runtime(codec=right, worker_tag_filter="none")
    everything(turns)

    @turns.register_orchestration("One")
    def one(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Echo", input))

    turns.start()
    wrong = engine.runtime(codec=Sealed(OTHER))
    everything(wrong)
    wrong.start()
    client = Client(engine.provider, codec=right)
    client.start_orchestration("one", "One", SECRET)
    engine.logs.wait_for("waits for a runtime that can read its input")
    assert client.get_status("one").status == "Running"
    wrong.shutdown()
    able = engine.runtime(codec=right)
    everything(able)
    able.start()
    assert client.wait_for_orchestration("one", WAIT_MS).output == [SECRET, SECRET]


def test_replay_compares_fingerprints_without_opening_inputs(file_engine: Engine) -> None:
    engine, codec = file_engine, Fingerprinted(KEY)

    def register(runtime: Runtime) -> None:
        runtime.register_activity("Echo", lambda ctx, x: None)

        @runtime.register_orchestration("Many")
        def many(ctx: Any, input: Any) -> Any:
            for n in range(20):
                yield ctx.schedule_activity("Echo", n)
            ctx.set_custom_status("waits")
            yield ctx.wait_for_event("go")

    runtime = engine.runtime(codec=codec, verify_replay=0)
    register(runtime)
    runtime.start()
    client = Client(engine.provider, codec=codec)
    client.start_orchestration("m", "Many")
    client.wait_for_status_change("m", 0, timeout_ms=WAIT_MS)
    engine.restart(runtime, register, codec=codec, verify_replay=0)
    client = Client(engine.provider, codec=codec)
    before = codec.opened
    client.raise_event("m", "go")
    assert client.wait_for_orchestration("m", WAIT_MS).status == "Completed"
    # Its input, 20 results, the event and what the client reads; not the 20 inputs of the activities.
    assert codec.opened - before <= 26


def test_another_input_is_nondeterminism_with_a_codec_too(engine: Engine) -> None:
    engine.expected_errors.append("nondeterministic: schedule mismatch")
    for n, codec in enumerate([Sealed(KEY), Fingerprinted(KEY)]):
        inputs = iter(["a"] + ["b"] * 9)
        first = engine.runtime(codec=codec)

        def register(runtime: Runtime, input: str) -> None:
            runtime.register_activity("Echo", lambda ctx, x: x)

            @runtime.register_orchestration("W")
            def workflow(ctx: Any, _: Any) -> Any:
                yield ctx.schedule_activity("Echo", input)
                ctx.set_custom_status("waits")
                yield ctx.wait_for_event("go")

        register(first, next(inputs))
        first.start()
        client = Client(engine.provider, codec=codec)
        client.start_orchestration(f"w{n}", "W")
        client.wait_for_status_change(f"w{n}", 0, timeout_ms=WAIT_MS)
        second = engine.restart(first, lambda r: register(r, "b"), codec=codec)
        client = Client(engine.provider, codec=codec)
        client.raise_event(f"w{n}", "go")
        error = client.wait_for_orchestration(f"w{n}", WAIT_MS).error or ""
        assert error.startswith("nondeterministic: schedule mismatch")
        assert error.endswith("with another input")
        second.shutdown()


def test_what_was_stored_before_the_codec_stays_readable(engine: Engine) -> None:
    runtime = engine.runtime()
    everything(runtime)
    runtime.start()
    engine.start("Parent", {"round": 0, "secret": SECRET}, "p")
    engine.client.wait_for_kv_value("p", "step", WAIT_MS)
    codec = Sealed(KEY)
    engine.restart(runtime, everything, codec=codec)
    client = Client(engine.provider, codec=codec)
    client.raise_event("p", "event", {"event": SECRET})
    client.enqueue_event("p", "queue", [SECRET])
    assert client.wait_for_orchestration("p", WAIT_MS).output == EXPECTED


def test_the_command_line_shows_what_is_stored(file_engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    codec = Sealed(KEY)
    runtime = file_engine.runtime(codec=codec)
    everything(runtime)
    runtime.start()
    client = Client(file_engine.provider, codec=codec)
    client.start_orchestration("c", "Child", SECRET)
    client.wait_for_orchestration("c", WAIT_MS)
    place = file_engine.address
    where = [place.url, "--schema", place.name] if isinstance(place, Schema) else [str(place)]
    assert main(["history", *where, "c"]) == 0
    shown = capsys.readouterr().out
    assert "OrchestrationCompleted" in shown
    assert "dx1:sealed-1:b:" in shown
    assert SECRET not in shown


def test_what_is_no_codec_is_refused_at_once(memory: Engine) -> None:
    class Nameless(Codec):
        name = "with space"

    class Odd(Codec):
        def encode(self, value: Any) -> Any:
            return 7

    with pytest.raises(
        TypeError, match=r"codec must be an instance of a subclass of duroxide\.Codec, got the class Upper"
    ):
        Client(memory.provider, codec=Upper)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got str"):
        RuntimeOptions(codec="aes")
    with pytest.raises(ConfigurationError, match="'with space'"):
        RuntimeOptions(codec=Nameless())
    client = Client(memory.provider, codec=Odd())
    with pytest.raises(TypeError, match="codec 'codec' gave int"):
        client.start_orchestration("i", "W", 1)
    assert client.get_status("i").status == "NotFound"
    with pytest.raises(NotImplementedError, match=r"Codec has no encode\(\)"):
        Client(memory.provider, codec=Codec()).raise_event("i", "e", 1)
