"""Sessions: one thread, serial, capped, released when idle. Tags: who takes which activity."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import duroxide
from duroxide import TagFilter
from harness import LONG_LEASE, WAIT_MS, Engine, eventually, must


def test_activities_of_one_session_run_one_at_a_time_on_one_thread(engine: Engine) -> None:
    runtime = engine.runtime(worker_concurrency=4)
    running: set[str] = set()
    idents: dict[str, set[int]] = {}
    overlaps: list[str] = []

    @runtime.register_activity("Work")
    def work(ctx: Any, input: Any) -> Any:
        if ctx.session_id in running:
            overlaps.append(ctx.session_id)
        running.add(ctx.session_id)
        idents.setdefault(ctx.session_id, set()).add(threading.get_ident())
        threading.Event().wait(0.002)
        running.discard(ctx.session_id)
        return input

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, session: str) -> Any:
        tasks = [ctx.schedule_activity("Work", n, session_id=session) for n in range(10)]
        return [r["ok"] for r in (yield ctx.all(tasks))]

    runtime.start()
    began = time.monotonic()
    ids = [engine.start("W", f"s{n % 3}") for n in range(6)]
    for instance in ids:
        assert engine.output(instance) == list(range(10))
    assert time.monotonic() - began < 15, "the next activity of a session waits for no poll"
    assert overlaps == []
    assert all(len(seen) == 1 for seen in idents.values())
    assert len(set.union(*idents.values())) == 3, "and each session has a thread of its own"


def test_cap_holds_and_lets_the_others_in_later(engine: Engine) -> None:
    runtime = engine.runtime(max_sessions_per_runtime=2, worker_concurrency=8)
    lock = threading.Lock()
    inside: set[str] = set()
    most: list[int] = []
    two = threading.Semaphore(0)
    go = threading.Event()

    @runtime.register_activity("Hold")
    def hold(ctx: Any, input: Any) -> Any:
        with lock:
            inside.add(ctx.session_id)
            most.append(len(inside))
        two.release()
        must(go)
        with lock:
            inside.discard(ctx.session_id)

    runtime.register_activity("Free", lambda ctx, input: "free")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, session: str) -> Any:
        yield ctx.schedule_activity("Hold", None, session_id=session)

    @runtime.register_orchestration("F")
    def free(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Free"))

    runtime.start()
    ids = [engine.start("W", f"s{n}") for n in range(5)]
    for _ in range(2):
        assert two.acquire(timeout=WAIT_MS / 1000)
    assert engine.run("F") == "free", "at the cap work without a session still runs"
    go.set()
    for instance in ids:
        engine.output(instance)
    assert max(most) == 2


def test_idle_session_is_released(engine: Engine) -> None:
    runtime = engine.runtime(session_idle_timeout_ms=200)
    idents: list[int] = []
    seen: list[threading.Thread] = []

    @runtime.register_activity("Work")
    def work(ctx: Any, input: Any) -> None:
        idents.append(threading.get_ident())
        seen.append(threading.current_thread())

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity_on_session("Work", None, "s")

    runtime.start()
    engine.run("W")
    eventually(lambda: not seen[0].is_alive(), "the thread of an idle session ends")
    engine.run("W")
    assert len(idents) == 2


def test_session_outlives_continue_as_new_and_instances(engine: Engine) -> None:
    runtime = engine.runtime()
    idents: set[int] = set()

    @runtime.register_activity("Work")
    def work(ctx: Any, input: Any) -> None:
        idents.add(threading.get_ident())

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, n: int) -> Any:
        yield ctx.schedule_activity_on_session("Work", None, "global")
        if n:
            yield ctx.continue_as_new(n - 1)

    runtime.start()
    engine.run("W", 3)
    engine.run("W", 2)
    assert len(idents) == 1


@pytest.mark.parametrize("label", [None, "pod-1"])
def test_session_goes_on_when_its_owner_comes_back(file_engine: Engine, label: str | None) -> None:
    engine = file_engine
    ran: list[str] = []

    def register(runtime: duroxide.Runtime, name: str) -> None:
        @runtime.register_activity("Work")
        def work(ctx: Any, input: Any) -> None:
            ran.append(name)

        @runtime.register_orchestration("W")
        def workflow(ctx: Any, input: Any) -> Any:
            yield ctx.schedule_activity_on_session("Work", None, "s")

    first = engine.runtime(worker_node_id=label, **LONG_LEASE)
    register(first, "first")
    first.start()
    engine.run("W")
    engine.restart(first, lambda r: register(r, "second"), worker_node_id=label)
    engine.run("W")
    assert ran == ["first", "second"]


def tagged(runtime: duroxide.Runtime, name: str) -> None:
    runtime.register_activity("Where", lambda ctx, input: [name, ctx.tag()])

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, tag: Any) -> Any:
        task = ctx.schedule_activity("Where")
        if tag is not None:
            assert task.with_tag(tag) is task
        won = yield ctx.race(task, ctx.schedule_timer(300))
        return won["value"] if won["index"] == 0 else "starved"


@pytest.mark.parametrize(
    ("worker", "tag", "served"),
    [
        ("default_only", None, True),
        ("default_only", "gpu", False),
        ("any", None, True),
        ("any", "gpu", True),
        ("none", None, False),
        (["gpu"], "gpu", True),
        (["gpu"], None, False),
        (["gpu"], "cpu", False),
        ({"and": ["gpu", "tpu"]}, "tpu", True),
        ({"and": ["gpu"]}, None, True),
        ({"and": ["gpu"]}, "cpu", False),
    ],
    ids=str,
)
def test_filter_takes_exactly_its_tags(memory: Engine, worker: Any, tag: str | None, served: bool) -> None:
    if isinstance(worker, list):
        worker = TagFilter.tags(worker)
    elif isinstance(worker, dict):
        worker = TagFilter.default_and(worker["and"])
    runtime = memory.runtime(worker_tag_filter=worker)
    tagged(runtime, "here")
    runtime.start()
    assert memory.run("W", tag) == (["here", tag] if served else "starved")


def test_two_runtimes_share_work_by_tag(memory: Engine) -> None:
    plain = memory.runtime()
    gpu = memory.runtime(worker_tag_filter=TagFilter.tags(["gpu"]))
    for runtime, name in ((plain, "plain"), (gpu, "gpu")):
        tagged(runtime, name)
        runtime.start()
    assert memory.run("W", None) == ["plain", None]
    assert memory.run("W", "gpu") == ["gpu", "gpu"]


def test_tag_is_kept_by_retries_and_sessions(memory: Engine) -> None:
    runtime = memory.runtime(worker_tag_filter=TagFilter.tags(["gpu"]))
    tags: list[Any] = []

    @runtime.register_activity("Fails")
    def fails(ctx: Any, input: Any) -> None:
        tags.append([ctx.tag(), ctx.session_id])
        if len(tags) < 3:
            raise ValueError("again")

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        policy = {"backoff": "none"}
        task = ctx.schedule_activity_with_retry_on_session("Fails", None, policy, "s")
        yield task.with_tag("gpu")

    runtime.start()
    memory.run("W")
    assert tags == [["gpu", "s"]] * 3


def test_tag_filters_are_refused_when_wrong() -> None:
    assert duroxide.MAX_WORKER_TAGS == 5
    assert duroxide.MAX_TAG_NAME_BYTES == 256
    assert TagFilter.tags(["a"]) == '{"tags": ["a"]}' or TagFilter.tags(["a"]) == '{"tags":["a"]}'
    for make in (TagFilter.tags, TagFilter.default_and):
        with pytest.raises(duroxide.ConfigurationError, match="at least one"):
            make([])
        with pytest.raises(duroxide.ConfigurationError, match="at most 5"):
            make([str(n) for n in range(6)])
