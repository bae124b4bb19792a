"""What the design promises about work done, asserted by counters and not by clocks."""

from __future__ import annotations

import asyncio
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import duroxide
from harness import Engine, eventually, must

Counters = dict[str, int]


@pytest.fixture(params=["memory", "file"])
def quiet(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Engine]:
    """Live, and with nothing replayed for verification, which would count too."""
    path = tmp_path / "store.db" if request.param == "file" else None
    engine = Engine(path, verify_replay=0.0)
    yield engine
    engine.close()


def grown(runtime: duroxide.Runtime, before: Counters) -> Counters:
    return {name: value - before.get(name, 0) for name, value in runtime._counters().items()}


def settled(runtime: duroxide.Runtime, turns: int) -> Counters:
    """The counters once so many turns are counted: a waiting client may hear of an end before they are."""
    eventually(lambda: runtime._counters()["turns_committed"] >= turns, f"{turns} turns")
    return runtime._counters()


def stepping(runtime: duroxide.Runtime) -> None:
    @runtime.register_activity("Step")
    def step(ctx: Any, n: int) -> int:
        return n + 1

    @runtime.register_orchestration("Steps")
    def steps(ctx: Any, count: int) -> Any:
        n = 0
        for _ in range(count):
            n = yield ctx.schedule_activity("Step", n)
        return n


def test_python_is_called_only_on_threads_that_python_made(quiet: Engine) -> None:
    runtime = quiet.runtime()
    seen: set[tuple[str, type]] = set()
    before = set(threading.enumerate())

    def note() -> None:
        thread = threading.current_thread()
        seen.add((thread.name, type(thread)))

    runtime.register_activity("A", lambda ctx, input: note())
    runtime.register_activity("S", lambda ctx, input: note())

    def branch(ctx: Any, n: int) -> Any:
        note()
        try:
            yield ctx.schedule_activity("A", n)
            note()
        finally:
            note()

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        note()
        yield ctx.all([branch(ctx, n) for n in range(5)])
        yield ctx.race(branch(ctx, 1), ctx.wait_for_event("never"), branch(ctx, 2))
        yield ctx.schedule_activity_on_session("S", None, "s")
        yield ctx.schedule_timer(1)
        note()

    runtime.start()
    ids = [quiet.start("W") for _ in range(30)]
    for instance in ids:
        quiet.output(instance)
    runtime.shutdown()
    assert seen
    for name, kind in seen:
        assert kind is threading.Thread or not issubclass(kind, threading._DummyThread)  # type: ignore[attr-defined]
        assert name.startswith("duroxide"), f"a lane has a name that says so, not {name!r}"
        assert name not in {t.name for t in before}


def test_live_run_replays_nothing(quiet: Engine) -> None:
    runtime = quiet.runtime()
    stepping(runtime)
    runtime.start()
    before = runtime._counters()
    assert quiet.run("Steps", 1000) == 1000
    counted = grown(runtime, before)
    assert counted["events_replayed"] == 0
    assert counted["live_turns"] >= 1000


def test_replayed_run_does_replay(memory: Engine) -> None:
    """The counter above can move: without live executions it does."""
    runtime = memory.runtime(live_executions=0)
    stepping(runtime)
    runtime.start()
    assert memory.run("Steps", 20) == 20
    assert runtime._counters()["events_replayed"] > 100


@pytest.mark.parametrize("steps", [1, 10, 200])
def test_sequential_step_is_one_commit(quiet: Engine, steps: int) -> None:
    """A turn that begins, one for each result, and no transaction for a result that its turn could have carried."""
    runtime = quiet.runtime()
    stepping(runtime)
    runtime.start()
    assert quiet.run("Steps", 1) == 1
    before = settled(runtime, 2)
    assert quiet.run("Steps", steps) == steps
    settled(runtime, 2 + steps + 1)
    counted = grown(runtime, before)
    assert counted["turns_committed"] == steps + 1
    assert counted["commits"] == steps + 1
    # a result that the machine kept from its turn for 50 ms goes to the store without it
    assert counted["settled_alone"] <= max(1, steps // 2)


def transactions(log: pathlib.Path) -> tuple[bytes, int]:
    """Which write-ahead log a file is, by its salts, and how many transactions it holds.

    Only the log may be read from here: closing the database file in this process would drop the engine's locks.
    """
    data = log.read_bytes()
    page, salts = int.from_bytes(data[8:12], "big"), data[16:24]
    count = 0
    for at in range(32, len(data) - page - 23, 24 + page):
        if data[at + 8 : at + 16] != salts:
            break  # left from before the log began anew
        count += data[at + 4 : at + 8] != bytes(4)  # the size after a commit, which only its last page has
    return salts, count


def test_sequential_step_is_one_transaction_of_the_file(tmp_path: pathlib.Path) -> None:
    """A turn that begins, with the start, and one for each result are all that is written: N + 1 transactions.

    One more when the start was stored by itself.

    Counted in the database's log and not by the engine, so that work claimed or settled beside the turns shows too.
    """
    engine = Engine(tmp_path / "store.db", verify_replay=0.0)
    try:
        runtime = engine.runtime()
        stepping(runtime)
        runtime.start()
        log, steps = tmp_path / "store.db-wal", 100
        for turns in range(0, 20 * (steps + 1), steps + 1):
            before = settled(runtime, turns)
            begun = transactions(log)
            assert engine.run("Steps", steps) == steps
            settled(runtime, turns + steps + 1)
            ended, counted = transactions(log), grown(runtime, before)
            if begun[0] == ended[0]:
                break  # else the log began anew in the middle
        else:
            pytest.fail("the log began anew in every run")
        others = counted["settled_alone"] + counted["lease_writes"]
        assert others <= steps // 10
        written = steps + 2 - counted["begun"]
        assert written <= ended[1] - begun[1] <= written + others
    finally:
        engine.close()


def test_work_that_is_alone_stays_on_its_lane(quiet: Engine) -> None:
    runtime = quiet.runtime()
    stepping(runtime)
    runtime.start()
    before = runtime._counters()
    quiet.run("Steps", 300)
    counted = grown(runtime, before)
    assert counted["inline"] > 250


def test_busy_node_commits_in_groups(quiet: Engine) -> None:
    runtime = quiet.runtime()
    stepping(runtime)
    runtime.start()
    before = runtime._counters()
    ids = [quiet.start("Steps", 10) for _ in range(100)]
    for instance in ids:
        assert quiet.output(instance) == 10
    settled(runtime, before["turns_committed"] + 100 * 11)
    counted = grown(runtime, before)
    assert counted["turns_committed"] == 100 * 11
    assert counted["commits"] < counted["turns_committed"]


def test_results_of_a_wide_fan_out_share_turns(quiet: Engine) -> None:
    runtime = quiet.runtime()
    runtime.register_activity("Step", lambda ctx, n: n)

    @runtime.register_orchestration("Wide")
    def wide(ctx: Any, count: int) -> Any:
        return len((yield ctx.all([ctx.schedule_activity("Step", n) for n in range(count)])))

    runtime.start()
    before = runtime._counters()
    assert quiet.run("Wide", 500) == 500
    assert grown(runtime, before)["commits"] < 400


def test_nothing_is_found_by_polling(quiet: Engine) -> None:
    runtime = quiet.runtime(dispatcher_poll_interval_ms=60_000)
    stepping(runtime)

    @runtime.register_orchestration("Everything")
    def everything(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_timer(5)
        yield ctx.schedule_sub_orchestration("Steps", 3)
        yield ctx.wait_for_event("e")
        yield ctx.dequeue_event("q")
        yield ctx.schedule_activity_on_session("Step", 1, "s")
        policy = {"max_attempts": 2, "backoff": "none"}
        yield ctx.schedule_activity_with_retry("Step", 1, policy)
        if input:
            yield ctx.continue_as_new(input - 1)
        yield ctx.start_orchestration("Steps", f"{ctx.instance_id}-detached", 2)
        return "all"

    runtime.start()
    ids = [quiet.start("Everything", 1) for _ in range(5)]
    for execution in (1, 2):
        for instance in ids:
            quiet.recorded(instance, "ExternalSubscribed", execution=execution)
            quiet.client.raise_event(instance, "e")
            quiet.client.enqueue_event(instance, "q", 1)
    for instance in ids:
        assert quiet.output(instance) == "all"
        assert quiet.output(f"{instance}-detached") == 2
    assert runtime._counters()["found_by_poll"] == 0


def test_renewals_do_not_grow_with_running_activities(quiet: Engine) -> None:
    runtime = quiet.runtime(worker_concurrency=100, worker_lock_timeout_ms=2000)
    lock = threading.Lock()
    release, full = threading.Event(), threading.Event()
    running: list[int] = []

    @runtime.register_activity("Hold")
    async def hold(ctx: Any, n: int) -> None:
        with lock:
            running.append(n)
            if len(running) >= 100:
                full.set()
        while not release.is_set():
            await asyncio.sleep(0.01)

    @runtime.register_orchestration("Wide")
    def wide(ctx: Any, count: int) -> Any:
        yield ctx.all([ctx.schedule_activity("Hold", n) for n in range(count)])

    runtime.start()
    before, begun = runtime._counters(), time.monotonic()
    instance = quiet.start("Wide", 500)
    must(full, "a hundred activities running at once")
    threading.Event().wait(2.5)  # longer than the lease
    counted, took = grown(runtime, before), time.monotonic() - begun
    release.set()
    quiet.output(instance)
    assert 1 <= counted["lease_writes"] <= 3 * took
    assert counted["attempts_written"] == 0
    assert sorted(running) == list(range(500)), "none of them ran twice"


def test_healthy_work_writes_no_attempts(quiet: Engine) -> None:
    runtime = quiet.runtime()
    stepping(runtime)
    runtime.start()
    for _ in range(5):
        quiet.run("Steps", 20)
    assert runtime._counters()["attempts_written"] == 0


def test_idle_runtimes_use_no_cpu(tmp_path: pathlib.Path) -> None:
    """One in memory and one on a file, together: what they wake up for must stay under half a percent of a core."""
    engines = [Engine(None, verify_replay=0.0), Engine(tmp_path / "store.db", verify_replay=0.0)]
    try:
        for engine in engines:
            runtime = engine.runtime()
            stepping(runtime)
            runtime.start()
            engine.run("Steps", 5)
        threading.Event().wait(1.0)  # an idle file is tidied up
        before = time.process_time()
        threading.Event().wait(10.0)
        assert time.process_time() - before < 0.05
    finally:
        for engine in engines:  # each looks for threads left over, and would find the other's
            for runtime in engine.runtimes:
                runtime.shutdown()
        for engine in engines:
            engine.close()


def test_lanes_and_live_executions_go_back_to_before(quiet: Engine) -> None:
    runtime = quiet.runtime()
    stepping(runtime)
    runtime.start()
    quiet.run("Steps", 2)
    ids = [quiet.start("Steps", 30) for _ in range(50)]
    for instance in ids:
        quiet.output(instance)
    eventually(lambda: runtime._counters()["live"] == 0, "ended executions leave memory")
    assert runtime._counters()["lanes"] <= 4 + 8 + 16


def test_waiting_for_a_status_does_not_spin(quiet: Engine) -> None:
    instance = quiet.start("Nobody")
    before = time.process_time()
    assert quiet.client.wait_for_status_change(instance, 0, 1, 1000) is None
    assert time.process_time() - before < 0.2
    with pytest.raises(duroxide.WaitTimeout):
        quiet.client.wait_for_orchestration(instance, 200)
