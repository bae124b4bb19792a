"""Where logs go, in which form, and what RUST_LOG and DUROXIDE_LOG let through."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import sqlite3
from typing import Any

import pytest

import duroxide
from harness import Engine, python

SCRIPT = """
import sys
from duroxide import Client, Runtime, RuntimeOptions, SqliteProvider
provider = SqliteProvider.in_memory()
runtime = Runtime(provider, RuntimeOptions(**eval(sys.argv[1])))

@runtime.register_activity("Work")
def work(ctx, input):
    ctx.trace_debug("activity debug"); ctx.trace_info("activity info")
    ctx.trace_warn("activity warn"); ctx.trace_error("activity error")

@runtime.register_orchestration("W")
def workflow(ctx, input):
    ctx.trace_debug("workflow debug"); ctx.trace_info("workflow info")
    ctx.trace_warn("workflow warn"); ctx.trace_error("workflow error")
    yield ctx.schedule_activity("Work")

runtime.start()
client = Client(provider)
client.start_orchestration("i", "W")
assert client.wait_for_orchestration("i").status == "Completed"
runtime.shutdown()
"""

LEVELS = ("debug", "info", "warn", "error")


def said(stderr: str) -> dict[str, list[str]]:
    return {who: [level for level in LEVELS if f"{who} {level}" in stderr] for who in ("workflow", "activity")}


@pytest.mark.parametrize(
    ("env", "options", "workflow", "activity"),
    [
        ({}, {}, "info", "info"),
        ({}, {"log_level": "debug"}, "debug", "debug"),
        ({}, {"log_level": "warn"}, "warn", "warn"),
        ({}, {"log_level": "error"}, "error", "error"),
        ({"RUST_LOG": "info"}, {"log_level": "error"}, "info", "info"),
        ({"RUST_LOG": "error"}, {}, "error", "error"),
        ({"RUST_LOG": "duroxide::orchestration=debug"}, {}, "debug", None),
        ({"RUST_LOG": "duroxide::activity=info"}, {}, None, "info"),
        ({"RUST_LOG": "warn,duroxide::activity=debug"}, {}, "warn", "debug"),
        ({"RUST_LOG": "off"}, {}, None, None),
        ({"DUROXIDE_LOG": "duroxide.orchestration=debug"}, {}, "debug", None),
        ({"DUROXIDE_LOG": "error"}, {"log_level": "debug"}, "error", "error"),
        ({"DUROXIDE_LOG": "debug", "RUST_LOG": "error"}, {}, "debug", "debug"),
        ({"DUROXIDE_LOG": "verbose", "RUST_LOG": "error"}, {}, "error", "error"),
        ({"DUROXIDE_LOG": "polars=warn"}, {"log_level": "error"}, "error", "error"),
        ({"RUST_LOG": "polars=warn"}, {}, "info", "info"),
        ({"RUST_LOG": "polars=loud,hyper,duroxide_pg=off"}, {}, "info", "info"),
        ({"RUST_LOG": "polars=warn,info"}, {"log_level": "error"}, "info", "info"),
        ({"RUST_LOG": "polars=loud,duroxide::activity=warn"}, {}, None, "warn"),
        ({"RUST_LOG": "duroxide"}, {}, "debug", "debug"),
    ],
    ids=str,
)
def test_filters(env: dict[str, str], options: dict[str, str], workflow: str | None, activity: str | None) -> None:
    done = python(SCRIPT, repr(options), **env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""

    def above(level: str | None) -> list[str]:
        return [] if level is None else list(LEVELS[LEVELS.index(level) :])

    assert said(done.stderr) == {"workflow": above(workflow), "activity": above(activity)}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("verbose", "log level 'verbose' is not known"),
        ("info,duroxide::activity=loud", "log level 'loud' is not known"),
        ("polars=warn", "'polars=warn' names neither a level nor a target of duroxide"),
    ],
)
def test_duroxide_log_that_makes_no_sense_is_told_once(text: str, why: str) -> None:
    more = """
for name in ("j", "k"):
    with Runtime(SqliteProvider.in_memory()):
        pass
"""
    done = python(SCRIPT + more, "{}", DUROXIDE_LOG=text)
    assert done.returncode == 0, done.stderr
    (told,) = [entry for entry in done.stderr.splitlines() if "DUROXIDE_LOG" in entry]
    assert f"WARN duroxide::engine: DUROXIDE_LOG={text} is ignored: {why}" in told
    assert "workflow info" in done.stderr


@pytest.mark.parametrize("level", ["verbose", "info,loud", "polars=warn", "duroxide::activity=loud", ","])
def test_option_log_level_that_makes_no_sense_is_refused(level: str) -> None:
    with pytest.raises(duroxide.ConfigurationError, match=r"^log_level: "):
        duroxide.RuntimeOptions(log_level=level)


def test_json_lines_carry_the_fields() -> None:
    options = {"log_format": "json", "service_name": "svc", "service_version": "9.9"}
    done = python(SCRIPT, repr(options))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    line = next(entry for entry in lines if "activity info" in json.dumps(entry))
    flat = json.dumps(line)
    for part in ('"i"', '"W"', '"Work"', '"svc"', '"9.9"'):
        assert part in flat, (part, line)


@pytest.mark.parametrize("form", ["pretty", "compact"])
def test_text_lines_carry_the_fields(form: str) -> None:
    done = python(SCRIPT, repr({"log_format": form}))
    assert done.returncode == 0, done.stderr
    line = next(entry for entry in done.stderr.splitlines() if "activity info" in entry)
    assert "Work" in done.stderr
    assert "INFO" in line.upper()


@pytest.mark.parametrize("form", ["pretty", "compact"])
def test_text_lines_name_a_service_that_is_not_the_default(form: str) -> None:
    assert "service_name=shop" in python(SCRIPT, repr({"log_format": form, "service_name": "shop"})).stderr
    assert "service_name" not in python(SCRIPT, repr({"log_format": form})).stderr


def test_init_tracing_appends_to_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("kept\n")
    script = f"""
import duroxide
duroxide.init_tracing({str(path)!r}, "debug", "json")
try:
    duroxide.init_tracing({str(path)!r})
except RuntimeError as e:
    print(e)
{SCRIPT}
"""
    done = python(script, "{}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Failed to init tracing: ")
    text = path.read_text()
    assert text.startswith("kept\n")
    assert said(text) == {"workflow": list(LEVELS), "activity": list(LEVELS)}


def test_init_tracing_names_a_place_that_cannot_be_written() -> None:
    done = python(
        """
        import duroxide
        try:
            duroxide.init_tracing("/nonexistent/folder/x.log")
        except RuntimeError as e:
            print(e)
        """
    )
    assert done.stdout.startswith("Failed to open log file '/nonexistent/folder/x.log': ")


def test_records_reach_python_logging_with_their_fields(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.trace_warn("look %s here %d")  # not a format string
        yield ctx.schedule_timer(0)

    runtime.start()
    memory.run("W", None, "i")
    memory.logs.wait_for("look %s here %d", "duroxide.orchestration")
    record: Any = next(r for r in memory.logs.records if "look" in r.getMessage())
    assert record.levelname == "WARNING"
    assert record.name == "duroxide.orchestration"
    assert (record.instance_id, record.execution_id, record.orchestration_version) == ("i", "1", "1.0.0")
    assert (record.filename, record.lineno) == ("test_logging.py", workflow.__code__.co_firstlineno + 2)


ATTRIBUTES = (
    "instance_id",
    "execution_id",
    "orchestration_name",
    "orchestration_version",
    "activity_name",
    "activity_id",
    "worker_id",
    "session_id",
    "tag",
    "at",
    "service_name",
    "service_version",
)


def test_every_record_has_the_documented_attributes(file_engine: Engine, tmp_path: pathlib.Path) -> None:
    page = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "observing.md"
    assert all(f"`{name}`" in page.read_text() for name in ATTRIBUTES)
    runtime = file_engine.runtime(worker_lock_renewal_buffer_ms=1)  # said to have no effect

    @runtime.register_activity("Work")
    def work(ctx: Any, input: Any) -> None:
        ctx.trace_info("at work")
        raise ValueError("no work")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.trace_info("begins")
        ctx.schedule_timer(1)
        yield ctx.schedule_activity("Work")

    runtime.start()
    file_engine.error(file_engine.start("W", None, "i"))
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (n)")
    with contextlib.suppress(duroxide.ProviderError):
        duroxide.SqliteProvider.open(tmp_path / "other.db")
    other.close()
    runtime.shutdown()
    records = file_engine.logs.records
    assert {r.name for r in records} == {"duroxide.engine", "duroxide.orchestration", "duroxide.activity"}
    form = logging.Formatter("%(" + ")s %(".join((*ATTRIBUTES, "message", "pathname", "lineno")) + ")s")
    for record in records:
        form.format(record)
        assert all(isinstance(getattr(record, name), str) for name in ATTRIBUTES)


def test_messages_of_the_engine_name_what_they_are_about(memory: Engine) -> None:
    """Many formats show the message alone; what users trace stays as it is."""
    runtime = memory.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.trace_info("begins")
        ctx.schedule_timer(1)
        raise ValueError("no work")

    runtime.start()
    memory.error(memory.start("W", None, "order-7"))
    runtime.shutdown()
    messages = [r.getMessage() for r in memory.logs.records]
    assert "begins" in messages
    assert any(m.startswith("instance 'order-7' of W: orchestration failed: Traceback") for m in messages)
    assert any(m.startswith("instance 'order-7' of W: timer was made at ") for m in messages)


def test_what_nobody_is_there_to_take_is_warned_of(memory: Engine) -> None:
    memory.client.raise_event("nobody", "approved", 1)
    memory.logs.wait_for("instance 'nobody': event 'approved' was dropped: no instance of this id runs")
    memory.client.enqueue_event("nobody", "q", 1)  # waits for its start
    runtime = memory.runtime()
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    memory.run("Now", None, "ended")
    memory.client.enqueue_event_typed("ended", "q", 1)
    memory.logs.wait_for("instance 'ended': message to queue 'q' was dropped: it has ended")
    dropped = [text for text in memory.logs.messages("duroxide.engine") if "was dropped" in text]
    assert len(dropped) == 2, dropped


def test_each_attempt_of_an_activity_that_fails_is_logged(memory: Engine) -> None:
    runtime = memory.runtime()

    @runtime.register_activity("Flaky")
    def flaky(ctx: Any, input: Any) -> str:
        if ctx.attempt < 3:
            raise ValueError(f"down {ctx.attempt}")
        return "up"

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity_with_retry("Flaky", None, {"backoff": "none"}))

    runtime.start()
    assert memory.run("W", None, "w-1") == "up"
    about = "instance 'w-1' of W: activity failed"
    memory.logs.wait_for(f"{about}: Activity 'Flaky' call failed: ValueError: down 1")
    memory.logs.wait_for(f"{about} in attempt 2: Activity 'Flaky' call failed: ValueError: down 2")


def test_closed_stderr_does_not_kill_the_process() -> None:
    done = python("import os\nos.close(2)\nos.close(1)\n" + SCRIPT + "\nos._exit(7)\n", "{}")
    assert done.returncode == 7


def test_traces_of_an_instance_are_logged_in_order(engine: Engine) -> None:
    """Its turns may be committed by different threads."""
    runtime = engine.runtime()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        for n in range(10):
            ctx.trace_info(f"step {n}")
            yield ctx.schedule_timer(0)

    runtime.start()
    instances = [engine.start("W") for _ in range(50)]
    for instance in instances:
        engine.output(instance)
    runtime.shutdown()
    said: dict[str, list[str]] = {}
    for record in engine.logs.records:
        if record.name == "duroxide.orchestration" and record.getMessage().startswith("step "):
            said.setdefault(record.instance_id, []).append(record.getMessage())  # type: ignore[attr-defined]
    assert said == {instance: [f"step {n}" for n in range(10)] for instance in instances}
