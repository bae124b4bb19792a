"""What clients ask and tell: reads, waits, deletion, pruning, numbers."""

from __future__ import annotations

import json

from scope import alone, fields, program

import duroxide


def _flows(w):
    """Three workflows: one ends, one fails, one waits for `go`; and one that waits in its second execution."""

    @w.flow
    def ends(ctx, input):
        return {"ended": input}

    @w.flow
    def fails(ctx, input):
        raise ValueError("it fails")

    @w.flow
    def waits(ctx, input):
        return (yield ctx.wait_for_event("go"))

    @w.flow
    def continues(ctx, n):
        if n:
            yield ctx.continue_as_new(n - 1)
        return (yield ctx.wait_for_event("go"))

    return ends, fails, waits, continues


@program
def status_of_nobody(w):
    yield
    return fields(
        w.client.get_status("status-of-nobody"), "status", "output", "error", "custom_status", "custom_status_version"
    )


@program
def wait_that_times_out(w):
    _, _, waits, _ = _flows(w)
    yield
    id = w.start(waits)
    seen = w.caught(RuntimeError, w.client.wait_for_orchestration, id, 100)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go", "end")
    return [seen, w.outcome(id)]


@program
def wait_for_nobody(w):
    yield
    return w.caught(RuntimeError, w.client.wait_for_orchestration, "wait-for-nobody", 100)


@program
def status_while_running(w):
    _, _, waits, _ = _flows(w)
    yield
    id = w.start(waits)
    w.recorded(id, "ExternalSubscribed")
    running = fields(w.client.get_status(id), "status", "output", "error")
    w.client.raise_event(id, "go", [1])
    w.ended(id)
    return [running, fields(w.client.get_status(id), "status", "output", "error")]


@alone()
def lists_of_instances(w):
    ends, fails, waits, continues = _flows(w)
    yield
    w.ended(w.start(ends, 1, "a"))
    w.ended(w.start(fails, 1, "b"))
    w.start(waits, 1, "c")
    w.recorded("c", "ExternalSubscribed")
    w.start(continues, 1, "d")
    w.recorded("d", "ExternalSubscribed", 1, 2)
    by_status = {
        s: sorted(w.client.list_instances_by_status(s))
        for s in ("Running", "Completed", "Failed", "ContinuedAsNew", "Unheard")
    }
    return [sorted(w.client.list_all_instances()), by_status]


@program
def info_of_an_instance(w):
    ends, fails, _, _ = _flows(w)
    yield
    w.ended(w.start(ends, [1], w.id("ended")))
    w.ended(w.start(fails, [1], w.id("failed")))
    names = ("instance_id", "orchestration_name", "orchestration_version", "current_execution_id", "status", "output")
    infos = [w.client.get_instance_info(w.id(i)) for i in ("ended", "failed")]
    return [fields(infos[0], *names, "parent_instance_id"), fields(infos[1], *names[:-1], "parent_instance_id")]


@program
def times_of_an_instance(w):
    ends, _, _, _ = _flows(w)
    yield
    w.ended(w.start(ends))
    info = w.client.get_instance_info(w.id(1))
    execution = w.client.get_execution_info(w.id(1), 1)
    return [t > 1_700_000_000_000 for t in (info.created_at, info.updated_at, execution.started_at)]


@program
def info_of_nobody(w):
    ends, _, _, _ = _flows(w)
    yield
    w.ended(w.start(ends))
    c = w.client
    return [
        w.caught(RuntimeError, c.get_instance_info, "info-of-nobody"),
        w.caught(RuntimeError, c.get_execution_info, "info-of-nobody", 1),
        w.caught(RuntimeError, c.get_execution_info, w.id(1), 7),
        c.list_executions("info-of-nobody"),
        c.read_execution_history("info-of-nobody", 1),
        fields(c.get_instance_tree("info-of-nobody"), "root_id", "all_ids", "size"),
        c.get_orchestration_stats("info-of-nobody"),
        c.get_kv_value("info-of-nobody", "k"),
    ]


@program
def info_of_executions(w):
    _, _, _, continues = _flows(w)
    yield
    id = w.start(continues, 2)
    w.recorded(id, "ExternalSubscribed", 1, 3)
    names = ("execution_id", "status", "output", "event_count")
    seen = [fields(w.client.get_execution_info(id, n), *names) for n in w.client.list_executions(id)]
    w.client.raise_event(id, "go", 1)
    return [seen, w.report(id)]


@program
def history_with_its_data(w):
    @w.activity
    def work(ctx, input):
        if input == "bad":
            raise ValueError("bad input")
        return {"did": input}

    @w.flow
    def child(ctx, input):
        return input

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_activity(work, {"a": 1})
        try:
            yield ctx.schedule_activity(work, "bad")
        except Exception:
            pass
        yield ctx.wait_for_event("e")
        yield ctx.dequeue_event("q")
        yield ctx.schedule_sub_orchestration(child, [2])
        ctx.set_custom_status("s")
        ctx.set_kv_value("k", "v")
        ctx.clear_kv_value("k")
        ctx.clear_all_kv_values()
        yield ctx.start_orchestration(child, f"{input}-detached", 3)
        return {"end": True}

    yield
    id = w.start(flow, w.id("x"))
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "e", {"b": 2})
    w.recorded(id, "QueueSubscribed")
    w.client.enqueue_event(id, "q", "mail")
    w.ended(id)
    seen = []
    for event in w.client.read_execution_history(id, 1):
        data = json.loads(event.data) if event.data is not None and event.kind != "ActivityFailed" else None
        seen.append([event.event_id, event.kind, event.source_event_id, data])
    return seen


@program
def history_times_grow(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_timer(10)
        return 1

    yield
    w.ended(w.start(flow))
    times = [event.timestamp_ms for event in w.client.read_execution_history(w.id(1), 1)]
    return [times == sorted(times), times[0] > 1_700_000_000_000]


@alone()
def numbers_of_the_system(w):
    ends, fails, waits, continues = _flows(w)
    yield
    names = (
        "total_instances",
        "total_executions",
        "running_instances",
        "completed_instances",
        "failed_instances",
        "total_events",
    )
    empty = fields(w.client.get_system_metrics(), *names)
    w.ended(w.start(ends))
    w.ended(w.start(fails))
    w.recorded(w.start(waits), "ExternalSubscribed")
    w.recorded(w.start(continues, 1), "ExternalSubscribed", 1, 2)
    return [empty, fields(w.client.get_system_metrics(), *names)]


@alone()
def depths_of_queues(w):
    _, _, waits, _ = _flows(w)
    yield
    w.recorded(w.start(waits), "ExternalSubscribed")
    names = ("orchestrator_queue", "worker_queue", "timer_queue")
    w.until(lambda: w.client.get_queue_depths().orchestrator_queue == 0, "an empty queue")
    return fields(w.client.get_queue_depths(), *names)


@alone()
def counters_of_the_runtime(w):
    @w.activity
    def work(ctx, n):
        if n:
            raise ValueError("no")

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_activity(work, 0)
        yield ctx.schedule_activity(work, 1)

    @w.flow
    def continues(ctx, n):
        if n:
            yield ctx.continue_as_new(n - 1)

    yield
    w.ended(w.start(flow))
    w.ended(w.start(continues, 2))
    snapshot = w.runtime.metrics_snapshot()
    return fields(snapshot, "orch_failures", "orch_poison", "activity_success", "activity_app_errors")


@program
def numbers_of_an_instance(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_kv_value("a", "12345")
        ctx.set_kv_value("b", "67")
        return 1

    yield
    w.ended(w.start(flow))
    stats = w.client.get_orchestration_stats(w.id(1))
    names = ("history_event_count", "queue_pending_count", "kv_user_key_count", "kv_total_value_bytes")
    return [fields(stats, *names), stats.history_size_bytes > 0]


DELETED = ("instances_deleted", "executions_deleted", "events_deleted")


@program
def delete_an_ended_instance(w):
    ends, _, _, _ = _flows(w)
    yield
    w.ended(w.start(ends))
    result = w.client.delete_instance(w.id(1))
    return [
        fields(result, *DELETED),
        w.client.get_status(w.id(1)).status,
        w.client.list_executions(w.id(1)),
        w.caught(RuntimeError, w.client.delete_instance, w.id(1)),
    ]


@program
def delete_a_running_instance(w):
    _, _, waits, _ = _flows(w)
    yield
    id = w.start(waits)
    w.recorded(id, "ExternalSubscribed")
    refused = w.caught(RuntimeError, w.client.delete_instance, id)
    return [refused, fields(w.client.delete_instance(id, True), *DELETED), w.client.get_status(id).status]


@program
def delete_a_child(w):
    @w.flow
    def child(ctx, input):
        return 1

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_sub_orchestration_with_id(child, input))

    yield
    w.ended(w.start(flow, w.id("child")))
    refused = w.caught(RuntimeError, w.client.delete_instance, w.id("child"))
    result = fields(w.client.delete_instance(w.id(1)), *DELETED)
    return [refused, result, w.client.get_status(w.id("child")).status]


@program
def delete_and_start_again(w):
    ends, _, waits, _ = _flows(w)
    yield
    id = w.start(waits)
    w.recorded(id, "ExternalSubscribed")
    w.client.delete_instance(id, True)
    return w.run(ends, "second life", id)


@alone()
def delete_in_bulk(w):
    ends, fails, waits, _ = _flows(w)
    yield
    for id in "abc":
        w.ended(w.start(ends, id, id))
    w.ended(w.start(fails, None, "f"))
    w.recorded(w.start(waits, None, "w"), "ExternalSubscribed")
    some = w.client.delete_instance_bulk(duroxide.InstanceFilter(instance_ids=["a", "w", "nobody"]))
    old = w.client.delete_instance_bulk(duroxide.InstanceFilter(completed_before=1))
    one = w.client.delete_instance_bulk(duroxide.InstanceFilter(limit=1))
    rest = w.client.delete_instance_bulk()
    return [[fields(r, *DELETED) for r in (some, old, one, rest)], w.client.list_all_instances()]


PRUNED = ("instances_processed", "executions_deleted", "events_deleted")


@program
def prune_executions(w):
    _, _, _, continues = _flows(w)
    yield
    id = w.start(continues, 5)
    w.recorded(id, "ExternalSubscribed", 1, 6)
    c = w.client
    seen = []
    for options in ({"keep_last": 4}, {"keep_last": 2, "completed_before": 1}, {"keep_last": 2}, {"keep_last": 0}):
        seen.append([fields(c.prune_executions(id, duroxide.PruneOptions(**options)), *PRUNED), c.list_executions(id)])
    c.raise_event(id, "go", "end")
    return [seen, w.outcome(id)]


@program
def prune_without_options(w):
    _, _, _, continues = _flows(w)
    yield
    id = w.start(continues, 2)
    w.recorded(id, "ExternalSubscribed", 1, 3)
    return [fields(w.client.prune_executions(id), *PRUNED), w.client.list_executions(id)]


@program
def prune_nobody(w):
    yield
    return w.caught(RuntimeError, lambda: fields(w.client.prune_executions("prune-nobody"), *PRUNED))


@alone()
def prune_in_bulk(w):
    ends, _, _, continues = _flows(w)
    yield
    w.ended(w.start(ends, None, "e"))
    for id in ("x", "y"):
        w.start(continues, 3, id)
        w.recorded(id, "ExternalSubscribed", 1, 4)
    options = duroxide.PruneOptions(keep_last=2)
    some = w.client.prune_executions_bulk(duroxide.InstanceFilter(instance_ids=["x"]), options)
    rest = w.client.prune_executions_bulk(None, options)
    return [[fields(r, *PRUNED) for r in (some, rest)], [w.client.list_executions(id) for id in "exy"]]


@program
def client_data_that_json_refuses(w):
    ends, _, _, _ = _flows(w)
    yield
    c = w.client
    return [
        w.caught(TypeError, c.start_orchestration, w.id(1), ends, {1, 2})["raises"],
        w.caught(TypeError, c.raise_event, w.id(1), "e", {1, 2})["raises"],
        w.caught(TypeError, c.enqueue_event, w.id(1), "q", {1, 2})["raises"],
        c.get_status(w.id(1)).status,
    ]


@program
def tree_of_a_family(w):
    @w.flow
    def child(ctx, input):
        return input

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_sub_orchestration_with_id(child, f"{input}-1")
        yield ctx.schedule_sub_orchestration_with_id(child, f"{input}-2")
        yield ctx.start_orchestration(child, f"{input}-apart")

    yield
    w.ended(w.start(flow, w.id("child")))
    tree = w.client.get_instance_tree(w.id(1))
    return [tree.root_id, sorted(tree.all_ids), tree.size]
