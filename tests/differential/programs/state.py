"""What an instance keeps: custom status, KV values, executions."""

from __future__ import annotations

from scope import program


@program
def status_of_progress(w):
    @w.activity
    def step(ctx, n):
        return n

    @w.flow
    def flow(ctx, input):
        seen = [ctx.get_custom_status()]
        for n in range(3):
            ctx.set_custom_status(f"step {n}")
            seen.append(ctx.get_custom_status())
            yield ctx.schedule_activity(step, n)
        return seen

    yield
    report = w.run(flow)
    return [report, w.client.get_status(w.id(1)).custom_status_version]


@program
def status_set_twice_in_a_turn(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_custom_status("one")
        ctx.set_custom_status("two")
        return 1

    yield
    report = w.run(flow)
    return [report, w.client.get_status(w.id(1)).custom_status_version]


@program
def status_reset(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_custom_status("busy")
        yield ctx.schedule_timer(5)
        ctx.reset_custom_status()
        return [ctx.get_custom_status()]

    yield
    report = w.run(flow)
    return [report, w.client.get_status(w.id(1)).custom_status_version]


@program
def status_after_a_failure(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_custom_status("about to fail")
        raise ValueError("failed")

    yield
    return w.run(flow)


@program
def status_that_is_no_text(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_custom_status({"n": 1})
        yield ctx.schedule_timer(5)
        ctx.set_custom_status(7)
        return [ctx.get_custom_status()]

    yield
    return w.run(flow)


@program
def status_over_continue_as_new(w):
    @w.flow
    def flow(ctx, n):
        seen = ctx.get_custom_status()
        if n == 0:
            ctx.set_custom_status("from execution 1")
            yield ctx.continue_as_new(1)
        return seen

    yield
    report = w.run(flow, 0)
    return [report, w.client.get_status(w.id(1)).custom_status_version]


@program
def status_of_the_greatest_size(w):
    @w.flow
    def flow(ctx, n):
        ctx.set_custom_status("s" * n)
        return "set"

    yield
    seen = w.outcome(w.start(flow, 262_144))
    return {**seen, "custom_status": len(seen["custom_status"])}


@program
def status_too_large(w):
    @w.flow
    def flow(ctx, n):
        ctx.set_custom_status("s" * n)
        return "set"

    yield
    seen = w.outcome(w.start(flow, 262_145))
    return seen["error"].split(": ")[-1]


@program
def status_waited_for(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_custom_status("waiting")
        yield ctx.wait_for_event("go")
        ctx.set_custom_status("going")
        yield ctx.wait_for_event("end")

    yield
    id = w.start(flow)
    names = ("status", "custom_status", "custom_status_version")
    first = w.client.wait_for_status_change(id, 0, 20, 20_000)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go")
    second = w.client.wait_for_status_change(id, first.custom_status_version, 20, 20_000)
    w.recorded(id, "ExternalSubscribed", 2)
    w.client.raise_event(id, "end")
    return [[getattr(s, n) for n in names] for s in (first, second)] + [w.outcome(id)]


@program
def status_waited_for_in_vain(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("never")

    yield
    id = w.start(flow)
    seen = w.caught(RuntimeError, w.client.wait_for_status_change, id, 0, 20, 200)
    w.client.cancel_instance(id, "over")
    return [seen, w.outcome(id)["error"]]


@program
def status_waited_for_after_the_end(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_custom_status("last words")
        return 1

    yield
    report = w.run(flow)
    seen = w.client.wait_for_status_change(w.id(1), 0, 20, 20_000)
    after = w.client.wait_for_status_change(w.id(1), seen.custom_status_version, 20, 500)
    return [report, seen.custom_status, seen.status, after and after.status]


@program
def kv_set_and_get(w):
    @w.flow
    def flow(ctx, input):
        before = ctx.get_kv_value("a")
        ctx.set_kv_value("a", "1")
        ctx.set_kv_value("b", "two")
        ctx.set_kv_value("a", "3")
        yield ctx.schedule_timer(5)
        return [
            before,
            ctx.get_kv_value("a"),
            ctx.get_kv_all_values(),
            sorted(ctx.get_kv_all_keys()),
            ctx.get_kv_length(),
        ]

    yield
    report = w.run(flow)
    return [report, [w.client.get_kv_value(w.id(1), key) for key in ("a", "b", "c")]]


@program
def kv_cleared(w):
    @w.flow
    def flow(ctx, input):
        for key in "abc":
            ctx.set_kv_value(key, key)
        ctx.clear_kv_value("a")
        ctx.clear_kv_value("absent")
        left = sorted(ctx.get_kv_all_keys())
        yield ctx.schedule_timer(5)
        ctx.clear_all_kv_values()
        ctx.set_kv_value("d", "after")
        return [left, ctx.get_kv_all_values()]

    yield
    report = w.run(flow)
    return [report, [w.client.get_kv_value(w.id(1), key) for key in "abd"]]


@program
def kv_values_that_are_no_text(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_kv_value("n", 7)
        ctx.set_kv_value("list", [1, "a"])
        ctx.set_kv_value("", "")
        return ctx.get_kv_all_values()

    yield
    return w.run(flow)


@program
def kv_over_continue_as_new(w):
    @w.flow
    def flow(ctx, n):
        count = int(ctx.get_kv_value("count") or 0)
        ctx.set_kv_value("count", str(count + 1))
        if n:
            yield ctx.continue_as_new(n - 1)
        return ctx.get_kv_value("count")

    yield
    report = w.run(flow, 3)
    return [report, w.client.get_kv_value(w.id(1), "count")]


@program
def kv_after_a_failure(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_kv_value("k", "kept")
        raise ValueError("failed")

    yield
    report = w.run(flow)
    return [report, w.client.get_kv_value(w.id(1), "k")]


@program
def kv_of_another_instance(w):
    @w.flow
    def writer(ctx, input):
        ctx.set_kv_value("k", "theirs")
        return 1

    @w.flow
    def flow(ctx, id):
        return [
            (yield ctx.get_kv_value_from_instance(id, "k")),
            (yield ctx.get_kv_value_from_instance(id, "absent")),
            (yield ctx.get_kv_value_from_instance("kv-nobody", "k")),
        ]

    yield
    w.run(writer, None, w.id("writer"))
    return w.run(flow, w.id("writer"))


@program
def kv_pruned(w):
    @w.flow
    def flow(ctx, input):
        ctx.set_kv_value("old", "1")
        yield ctx.schedule_timer(50)
        cutoff = yield ctx.utc_now()
        yield ctx.schedule_timer(50)
        ctx.set_kv_value("new", "2")
        return [ctx.prune_kv_values_updated_before(cutoff), ctx.get_kv_all_values()]

    yield
    return w.run(flow)


@program
def kv_value_of_the_greatest_size(w):
    @w.flow
    def flow(ctx, n):
        ctx.set_kv_value("k", "v" * n)
        return "set"

    yield
    return w.run(flow, 65_536)


@program
def kv_value_too_large(w):
    @w.flow
    def flow(ctx, n):
        ctx.set_kv_value("k", "v" * n)
        return "set"

    yield
    return w.outcome(w.start(flow, 65_537))["error"].split(": ")[-1]


@program
def kv_of_the_most_keys(w):
    @w.flow
    def flow(ctx, n):
        for i in range(n):
            ctx.set_kv_value(f"k{i}", "v")
        return ctx.get_kv_length()

    yield
    return w.outcome(w.start(flow, 150))


@program
def kv_too_many_keys(w):
    @w.flow
    def flow(ctx, n):
        for i in range(n):
            ctx.set_kv_value(f"k{i}", "v")
        return ctx.get_kv_length()

    yield
    return w.outcome(w.start(flow, 151))["error"].split(": ")[-1]


@program
def kv_waited_for(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("go")
        ctx.set_kv_value("k", '{"a": 1}')
        return 1

    yield
    id = w.start(flow)
    late = w.caught(TimeoutError, w.client.wait_for_kv_value, id, "k", 100)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go")
    value = w.client.wait_for_kv_value(id, "k", 20_000)
    return [late, value, w.client.get_kv_value_typed(id, "k"), w.client.wait_for_kv_value_typed(id, "k", 20_000)]


@program
def executions_counted(w):
    @w.flow
    def flow(ctx, n):
        if n < 4:
            yield ctx.continue_as_new(n + 1)
        return [n, ctx.execution_id]

    yield
    return w.run(flow, 0)


@program
def executions_with_work(w):
    @w.activity
    def work(ctx, n):
        return n + 1

    @w.flow
    def flow(ctx, n):
        n = yield ctx.schedule_activity(work, n)
        yield ctx.schedule_timer(5)
        if n < 3:
            yield ctx.continue_as_new(n)
        return n

    yield
    return w.run(flow, 0)


@program
def execution_without_input(w):
    @w.flow
    def flow(ctx, input):
        if input == "first":
            yield ctx.continue_as_new()
        return [input]

    yield
    return w.run(flow, "first")


@program
def execution_ends_where_it_continues(w):
    after = []

    @w.flow
    def flow(ctx, n):
        if n == 0:
            yield ctx.continue_as_new(1)
            after.append("never")
        return n

    yield
    return [w.run(flow, 0), after]


@program
def execution_that_fails_after_continuing(w):
    @w.flow
    def flow(ctx, n):
        if n == 0:
            yield ctx.continue_as_new(1)
        raise ValueError(f"in execution {ctx.execution_id}")

    yield
    return w.run(flow, 0)


@program
def execution_typed(w):
    @w.flow
    def flow(ctx, input):
        if input["n"] == 0:
            yield ctx.continue_as_new_typed({"n": 1})
        return input

    yield
    return w.run(flow, {"n": 0})


@program
def execution_cancelled(w):
    @w.flow
    def flow(ctx, n):
        if n == 0:
            yield ctx.continue_as_new(1)
        yield ctx.wait_for_event("never")

    yield
    id = w.start(flow, 0)
    w.recorded(id, "ExternalSubscribed", 1, 2)
    w.client.cancel_instance(id, "in execution 2")
    return w.report(id)
