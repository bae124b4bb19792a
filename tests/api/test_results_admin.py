"""Shapes of results; reads, lists, deletion and pruning."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest

import duroxide
from harness import WAIT_MS, Engine, eventually


def simple(engine: Engine) -> duroxide.Runtime:
    runtime = engine.runtime()

    @runtime.register_activity("Echo")
    def echo(ctx: Any, input: Any) -> Any:
        return input

    @runtime.register_orchestration("Echoing")
    def echoing(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Echo", input))

    @runtime.register_orchestration("Failing")
    def failing(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_timer(0)
        raise ValueError("failed")

    @runtime.register_orchestration("Waiting")
    def waiting(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("waiting")
        return (yield ctx.wait_for_event("go"))

    @runtime.register_orchestration("Parent")
    def parent(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_sub_orchestration("Echoing", input))

    @runtime.register_orchestration("Chain")
    def chain(ctx: Any, n: int) -> Any:
        yield ctx.schedule_timer(1)
        if n:
            yield ctx.continue_as_new(n - 1)
        return "end"

    return runtime


def test_status_of_each_kind_of_instance(engine: Engine) -> None:
    runtime = simple(engine)
    client = engine.client
    client.start_orchestration("stored", "Echoing", {"a": 1})
    assert client.get_status("stored").status == "Running", "from the moment that start returned"
    assert client.get_status("unknown") == client.get_status("unknown")
    unknown = client.get_status("unknown")
    assert (unknown.status, unknown.output, unknown.error) == ("NotFound", None, None)
    assert (unknown.custom_status, unknown.custom_status_version) == (None, 0)
    runtime.start()
    done = engine.wait("stored")
    assert (done.status, done.output, done.error) == ("Completed", {"a": 1}, None)
    assert done.to_dict()["output"] == {"a": 1}
    assert "Completed" in repr(done)
    assert done == client.get_status("stored")
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        done.status = "other"  # type: ignore[misc]
    failed = engine.wait(engine.start("Failing"))
    assert (failed.status, failed.output) == ("Failed", None)
    assert "ValueError: failed" in failed.error
    with pytest.raises(duroxide.OrchestrationError, match="ValueError: failed"):
        failed.raise_for_status()
    done.raise_for_status()


def test_waiting_has_a_bound(memory: Engine) -> None:
    simple(memory).start()
    instance = memory.start("Waiting")
    for bound in (0, 30):
        before = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            memory.client.wait_for_orchestration(instance, bound)
        assert isinstance(caught.value, duroxide.WaitTimeout)
        assert isinstance(caught.value, RuntimeError)
        assert str(caught.value) == "Operation timed out"
        assert time.monotonic() - before < 5
    with pytest.raises(duroxide.WaitTimeout):
        memory.client.wait_for_orchestration("unknown", 20)
    memory.client.raise_event(instance, "go", 1)
    assert memory.client.wait_for_orchestration(instance, None).output == 1
    assert memory.client.wait_for_orchestration(instance, 0).output == 1


def test_typed_waits_give_the_output_or_raise(engine: Engine) -> None:
    simple(engine).start()
    client = engine.client
    client.start_orchestration_typed("ok", "Echoing", [1, 2])
    assert client.wait_for_orchestration_typed("ok", WAIT_MS) == [1, 2]
    client.start_orchestration_versioned_typed("ver", "Echoing", "x", "1.0.0")
    assert client.wait_for_orchestration_typed("ver", WAIT_MS) == "x"
    client.start_orchestration("bad", "Failing")
    with pytest.raises(duroxide.OrchestrationError, match="failed"):
        client.wait_for_orchestration_typed("bad", WAIT_MS)


def test_second_start_of_an_id_is_a_no_op(engine: Engine) -> None:
    simple(engine).start()
    client = engine.client
    client.start_orchestration("i", "Echoing", 1)
    client.start_orchestration("i", "Echoing", 2)
    assert engine.output("i") == 1
    client.start_orchestration("i", "Failing", 3)
    assert engine.output("i") == 1
    with pytest.raises(duroxide.InstanceExists):
        client.start_orchestration("i", "Echoing", 4, if_exists="raise")
    client.start_orchestration("i", "Echoing", 5, if_exists="restart_if_ended")
    assert engine.output("i") == 5
    client.start_orchestration("w", "Waiting")
    client.start_orchestration("w", "Echoing", 6, if_exists="restart_if_ended")
    engine.recorded("w", "ExternalSubscribed")
    client.raise_event("w", "go", "still the first")
    assert engine.output("w") == "still the first"


def test_duplicate_starts_do_not_disturb_an_eternal_instance(engine: Engine) -> None:
    simple(engine).start()
    client = engine.client
    client.start_orchestration("c", "Chain", 60)
    while client.get_status("c").status == "Running":
        client.start_orchestration("c", "Chain", 60)
    assert engine.output("c") == "end"
    assert client.list_executions("c") == list(range(1, 62))


def test_delayed_start(engine: Engine) -> None:
    simple(engine).start()
    before = time.monotonic()
    engine.client.start_orchestration("later", "Echoing", 1, delay_ms=150)
    assert engine.client.get_status("later").status == "Running"
    assert engine.output("later") == 1
    assert time.monotonic() - before >= 0.15


def test_start_by_function(engine: Engine) -> None:
    runtime = engine.runtime()

    @runtime.register_activity
    def double(ctx: Any, n: int) -> int:
        return n * 2

    @runtime.register_orchestration
    def doubling(ctx: Any, n: int) -> Any:
        return (yield ctx.schedule_activity(double, n))

    runtime.start()
    engine.client.start_orchestration("f", doubling, 4)
    assert engine.output("f") == 8
    assert engine.client.get_instance_info("f").orchestration_name == "doubling"


def test_instance_and_execution_info(engine: Engine) -> None:
    simple(engine).start()
    before = int(time.time() * 1000) - 1000
    engine.run("Parent", {"k": "v"}, "p")
    engine.run("Chain", 2, "c")
    info = engine.client.get_instance_info("p")
    assert (info.instance_id, info.orchestration_name) == ("p", "Parent")
    assert (info.orchestration_version, info.current_execution_id) == ("1.0.0", 1)
    assert (info.status, json.loads(info.output)) == ("Completed", {"k": "v"})
    assert before < info.created_at <= info.updated_at < time.time() * 1000 + 1000
    assert info.parent_instance_id is None
    assert engine.client.get_instance_info("p::sub::2").parent_instance_id == "p"
    assert engine.client.get_instance_info("c").current_execution_id == 3
    first, last = (engine.client.get_execution_info("c", n) for n in (1, 3))
    assert (first.execution_id, first.status) == (1, "ContinuedAsNew")
    assert json.loads(first.output) == 1
    assert (last.status, json.loads(last.output)) == ("Completed", "end")
    assert last.event_count == len(engine.events("c", 3))
    assert before < first.started_at <= first.completed_at <= last.started_at
    with pytest.raises(duroxide.InstanceNotFound, match="get_instance_info: Instance x not found"):
        engine.client.get_instance_info("x")
    with pytest.raises(
        duroxide.InstanceNotFound,
        match="get_execution_info: Execution 9 not found for instance c",
    ):
        engine.client.get_execution_info("c", 9)
    assert engine.client.list_executions("x") == []
    assert engine.client.read_execution_history("x", 1) == []
    tree = engine.client.get_instance_tree("x")
    assert (tree.root_id, list(tree.all_ids), tree.size) == ("x", ["x"], 1)
    assert engine.client.get_orchestration_stats("x") is None


def test_event_fields_and_data(engine: Engine) -> None:
    simple(engine).start()
    engine.run("Echoing", {"in": 1}, "e")
    events = engine.events("e")
    assert [e.event_id for e in events] == [1, 2, 3, 4]
    started, scheduled, completed, ended = events
    assert started.kind == "OrchestrationStarted"
    data = json.loads(started.data)
    assert (data["name"], data["version"]) == ("Echoing", "1.0.0")
    assert json.loads(scheduled.data)["name"] == "Echo"
    assert completed.source_event_id == scheduled.event_id
    assert json.loads(completed.data) == {"in": 1}
    assert started.source_event_id is None
    assert all(abs(e.timestamp_ms - time.time() * 1000) < 60_000 for e in events)
    assert ended.kind == "OrchestrationCompleted"


def test_lists_and_metrics(engine: Engine) -> None:
    simple(engine).start()
    for n in range(3):
        engine.run("Echoing", n, f"e{n}")
    engine.error(engine.start("Failing", None, "f"))
    engine.start("Waiting", None, "w")
    engine.status_is("w", "waiting")
    client = engine.client
    assert set(client.list_all_instances()) == {"e0", "e1", "e2", "f", "w"}
    assert client.list_all_instances()[0] == "w", "newest first"
    assert set(client.list_instances_by_status("Completed")) == {"e0", "e1", "e2"}
    assert client.list_instances_by_status("Failed") == ["f"]
    assert client.list_instances_by_status("Running") == ["w"]
    assert client.list_instances_by_status("nonsense") == []
    metrics = client.get_system_metrics()
    assert (metrics.total_instances, metrics.total_executions) == (5, 5)
    assert metrics.running_instances == 1
    assert (metrics.completed_instances, metrics.failed_instances) == (3, 1)
    ids = ("e0", "e1", "e2", "f", "w")
    assert metrics.total_events == sum(len(engine.events(i)) for i in ids)
    stats = client.get_orchestration_stats("e0")
    assert stats.history_event_count == 4
    assert stats.history_size_bytes > 0


def test_list_instances_filters_and_pages(engine: Engine) -> None:
    simple(engine).start()
    for n in range(7):
        engine.run("Echoing", n, f"list-{n}")
    engine.run("Parent", 1, "parent")
    client = engine.client
    page = client.list_instances(id_prefix="list-", limit=3)
    assert [i.instance_id for i in page.items] == ["list-6", "list-5", "list-4"]
    page = client.list_instances(id_prefix="list-", limit=3, cursor=page.next_cursor)
    assert [i.instance_id for i in page.items] == ["list-3", "list-2", "list-1"]
    page = client.list_instances(id_prefix="list-", limit=3, cursor=page.next_cursor)
    assert [i.instance_id for i in page.items] == ["list-0"]
    assert page.next_cursor is None
    assert len(list(client.iter_instances(limit=2))) == 9
    assert [i.instance_id for i in client.list_instances(parent="parent").items] == ["parent::sub::2"]
    assert [i.instance_id for i in client.list_instances(name="Parent").items] == ["parent"]
    assert client.list_instances(status="Failed").items in ([], ())
    assert len(client.list_instances(version="1.0.0", status="Completed").items) == 9
    future = int(time.time() * 1000) + 60_000
    assert not client.list_instances(created_after=future).items
    assert len(client.list_instances(created_before=future).items) == 9


def test_get_waiting_names_what_and_where(engine: Engine) -> None:
    simple(engine).start()
    instance = engine.start("Waiting")
    engine.status_is(instance, "waiting")
    (waiting,) = engine.client.get_waiting(instance)
    assert (waiting.kind, waiting.name) == ("event", "go")
    assert "test_results_admin.py:" in waiting.location
    with pytest.raises(duroxide.InstanceNotFound):
        engine.client.get_waiting("nobody")


def test_delete_refuses_running_unknown_and_children(engine: Engine) -> None:
    simple(engine).start()
    client = engine.client
    engine.start("Waiting", None, "w")
    engine.status_is("w", "waiting")
    engine.run("Parent", 1, "p")
    with pytest.raises(duroxide.InstanceRunning) as running:
        client.delete_instance("w")
    text = "Instance w is still running. Use force=true or cancel first."
    assert str(running.value) == text
    with pytest.raises(duroxide.InstanceNotFound, match="Instance nobody not found"):
        client.delete_instance("nobody")
    with pytest.raises(duroxide.ClientError) as child:
        client.delete_instance("p::sub::2")
    text = "Cannot delete sub-orchestration p::sub::2 directly. Delete the root orchestration instead."
    assert text in str(child.value)


def test_delete_cascades_and_frees_the_id(engine: Engine) -> None:
    simple(engine).start()
    client = engine.client
    engine.run("Parent", 1, "p")
    events = len(engine.events("p")) + len(engine.events("p::sub::2"))
    deleted = client.delete_instance("p")
    assert (deleted.instances_deleted, deleted.executions_deleted) == (2, 2)
    assert deleted.events_deleted == events
    for instance in ("p", "p::sub::2"):
        assert client.get_status(instance).status == "NotFound"
    assert engine.run("Parent", 2, "p") == 2
    engine.start("Waiting", None, "w")
    engine.status_is("w", "waiting")
    client.enqueue_event("w", "q", 1)
    assert client.delete_instance("w", force=True).queue_messages_deleted >= 1
    assert client.get_status("w").status == "NotFound"
    client.start_orchestration("w", "Echoing", "fresh")
    assert engine.output("w") == "fresh"


def test_bulk_deletion_and_pruning(engine: Engine) -> None:
    simple(engine).start()
    client = engine.client
    for n in range(4):
        engine.run("Echoing", n, f"e{n}")
    engine.start("Waiting", None, "w")
    engine.status_is("w", "waiting")
    engine.run("Chain", 5, "c")
    chosen = duroxide.InstanceFilter(instance_ids=["e0", "e1", "w", "nobody"])
    assert client.delete_instance_bulk(chosen).instances_deleted == 2
    assert set(client.list_all_instances()) == {"e2", "e3", "w", "c"}
    pruned = client.prune_executions("c", duroxide.PruneOptions(keep_last=2))
    assert (pruned.instances_processed, pruned.executions_deleted) == (1, 4)
    assert client.list_executions("c") == [5, 6]
    assert client.prune_executions("c", duroxide.PruneOptions(keep_last=0)).executions_deleted == 1
    assert client.list_executions("c") == [6], "the current one is never pruned"
    assert engine.output("c") == "end"
    bulk = client.prune_executions_bulk(None, duroxide.PruneOptions(keep_last=1))
    assert bulk.executions_deleted == 0
    limited = client.delete_instance_bulk(duroxide.InstanceFilter(limit=1))
    assert limited.instances_deleted == 1
    past = duroxide.InstanceFilter(completed_before=1)
    assert client.delete_instance_bulk(past).instances_deleted == 0
    client.delete_instance_bulk()
    assert client.list_all_instances() == ["w"]


def test_live_eternal_instance_is_not_deleted_in_bulk(engine: Engine) -> None:
    runtime = simple(engine)

    @runtime.register_orchestration("Eternal")
    def eternal(ctx: Any, n: int) -> Any:
        yield ctx.schedule_timer(1)
        yield ctx.continue_as_new(n + 1)

    runtime.start()
    instance = engine.start("Eternal", 0)
    eventually(lambda: len(engine.client.list_executions(instance)) > 3)
    for _ in range(20):
        assert engine.client.delete_instance_bulk().instances_deleted == 0
    pruned = engine.client.prune_executions(instance, duroxide.PruneOptions(keep_last=1))
    assert pruned.executions_deleted >= 3
    engine.client.cancel_instance(instance)
    assert engine.error(instance) == "canceled: "


def test_queue_depths_count_what_waits(memory: Engine) -> None:
    client = memory.client
    for n in range(3):
        client.start_orchestration(f"i{n}", "Nobody", 1)
    client.start_orchestration("late", "Nobody", 1, delay_ms=60_000)
    depths = client.get_queue_depths()
    assert (depths.orchestrator_queue, depths.worker_queue) == (3, 0)


def test_parse_result() -> None:
    parse = duroxide.parse_result
    assert parse([{"ok": 1}, {"ok": None}]) == [1, None]
    assert parse({"ok": 2}) == 2
    assert parse("x") == "x"
    assert parse({"other": 1}) == {"other": 1}
    with pytest.raises(Exception, match=r"^bad$"):
        parse({"err": "bad"})


def test_aliases_and_constants() -> None:
    names = [
        "RuntimeOptions",
        "OrchestrationStatus",
        "SystemMetrics",
        "SystemStats",
        "QueueDepths",
        "InstanceInfo",
        "ExecutionInfo",
        "InstanceTree",
        "DeleteInstanceResult",
        "PruneOptions",
        "PruneResult",
        "InstanceFilter",
        "Event",
        "MetricsSnapshot",
    ]
    for name in names:
        assert getattr(duroxide, "Py" + name) is getattr(duroxide, name)
    assert duroxide.__version__
    assert "secret" not in repr(duroxide.PruneOptions())


def test_every_public_name_is_there_and_documented() -> None:
    missing = [n for n in duroxide.__all__ if not hasattr(duroxide, n)]
    assert missing == []
    for cls in (duroxide.Client, duroxide.Runtime, duroxide.SqliteProvider):
        assert cls.__doc__
        for name in dir(cls):
            if not name.startswith("_"):
                assert getattr(cls, name).__doc__, f"{cls.__name__}.{name} has no docstring"


def test_repr_of_provider_names_kind_and_path(tmp_path: Any) -> None:
    with duroxide.SqliteProvider.open(tmp_path / "here.db") as provider:
        assert "here.db" in repr(provider)
    with duroxide.SqliteProvider.in_memory() as provider:
        assert "memory" in repr(provider)


@pytest.mark.parametrize(
    "form", ["{}", "sqlite:{}", "sqlite://{}", "sqlite:{}?mode=rwc", "sqlite://{}?mode=rwc", "sqlite:{}?"]
)
def test_spellings_of_a_path(tmp_path: Any, form: str) -> None:
    path = tmp_path / "missing" / "folder" / "x.db"
    with duroxide.SqliteProvider.open(form.format(path)):
        assert path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["x.db"]
    for memory in (":memory:", "sqlite::memory:", "sqlite::memory:?mode=rwc"):
        with duroxide.SqliteProvider.open(memory) as provider:
            assert "memory" in repr(provider)


def test_question_mark_of_a_plain_path_is_part_of_the_name(tmp_path: Any) -> None:
    path = tmp_path / "q.db?mode=rwc"
    for given in (str(path), path):
        with duroxide.SqliteProvider.open(given):
            assert path.exists()
    assert not (tmp_path / "q.db").exists()


@pytest.mark.parametrize("query", ["mode=ro", "mode=memory", "cache=shared", "mode=rwc&cache=shared", "nonsense"])
def test_other_parameters_of_a_sqlite_url_are_refused(tmp_path: Any, query: str) -> None:
    with pytest.raises(duroxide.InvalidArgument, match="a sqlite: URL takes only mode=rwc") as caught:
        duroxide.SqliteProvider.open(f"sqlite:{tmp_path}/q.db?{query}")
    assert f"'{query.rpartition('&')[2]}'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
