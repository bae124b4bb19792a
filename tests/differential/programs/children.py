"""Sub-orchestrations, detached starts, cancellation of families."""

from __future__ import annotations

from scope import program


@program
def child_result(w):
    @w.activity
    def work(ctx, input):
        return input * 2

    @w.flow
    def child(ctx, input):
        return {"child": (yield ctx.schedule_activity(work, input))}

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_sub_orchestration(child, input))

    yield
    report = w.run(flow, 4)
    ids = w.client.get_instance_tree(w.id(1)).all_ids
    return [report, ids, w.report(ids[-1])]


@program
def child_failure_uncaught(w):
    @w.flow
    def child(ctx, input):
        raise ValueError("from the child")

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_sub_orchestration(child)

    yield
    return w.run(flow)


@program
def child_failure_caught(w):
    @w.activity
    def fail(ctx, input):
        raise ValueError("deep down")

    @w.flow
    def child(ctx, input):
        yield ctx.schedule_activity(fail)

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_sub_orchestration(child)
        except Exception as error:
            return str(error).strip().splitlines()[-1].split("call failed: ")[-1]

    yield
    return w.run(flow)


@program
def child_with_an_id(w):
    @w.flow
    def child(ctx, input):
        return [ctx.instance_id, input]

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_sub_orchestration_with_id(child, input, "in"))

    yield
    return [w.run(flow, w.id("named")), w.report(w.id("named"))]


@program
def child_with_an_id_in_use(w):
    @w.flow
    def child(ctx, input):
        return input

    @w.flow
    def flow(ctx, input):
        try:
            return (yield ctx.schedule_sub_orchestration_with_id(child, input, "in"))
        except Exception:
            return "refused"

    yield
    w.ended(w.start(child, "first", w.id("taken")))
    return [w.report(w.start(flow, w.id("taken"))), w.outcome(w.id("taken"))]


@program
def child_of_a_version(w):
    name = "child_of_a_version.child"

    @w.version(name, "1.0.0")
    def one(ctx, input):
        return ["one", ctx.orchestration_version]

    @w.version(name, "2.0.0")
    def two(ctx, input):
        return ["two", ctx.orchestration_version]

    @w.flow
    def flow(ctx, input):
        return [
            (yield ctx.schedule_sub_orchestration(name)),
            (yield ctx.schedule_sub_orchestration_versioned(name, "1.0.0")),
            (yield ctx.schedule_sub_orchestration_versioned_with_id(name, "1.0.0", input, 3)),
        ]

    yield
    return [w.run(flow, w.id("named")), w.report(w.id("named"))]


@program
def grandchildren(w):
    name = "grandchildren.flow"

    @w.flow
    def flow(ctx, depth):
        if depth == 0:
            return "bottom"
        return [depth, (yield ctx.schedule_sub_orchestration(name, depth - 1))]

    yield
    report = w.run(flow, 3)
    return [report, w.client.get_instance_tree(w.id(1)).size]


@program
def many_children(w):
    @w.flow
    def child(ctx, n):
        return n * n

    @w.flow
    def flow(ctx, n):
        return (yield ctx.all([ctx.schedule_sub_orchestration(child, i) for i in range(n)]))

    yield
    return w.run(flow, 5)


@program
def child_that_continues_as_new(w):
    @w.flow
    def child(ctx, n):
        if n < 2:
            yield ctx.continue_as_new(n + 1)
        return f"after {n}"

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_sub_orchestration_with_id(child, input, 0))

    yield
    return [w.run(flow, w.id("child")), w.report(w.id("child"))]


@program
def child_of_a_second_execution(w):
    @w.flow
    def child(ctx, n):
        return n

    @w.flow
    def flow(ctx, n):
        if n == 0:
            yield ctx.continue_as_new(1)
        return (yield ctx.schedule_sub_orchestration(child, "of execution 2"))

    yield
    return w.run(flow, 0)


@program
def child_typed(w):
    @w.flow
    def child(ctx, input):
        return {"n": input["n"] + 1}

    @w.flow
    def flow(ctx, input):
        a = yield ctx.schedule_sub_orchestration_typed(child, {"n": 1})
        b = yield ctx.schedule_sub_orchestration_with_id_typed(child, input, {"n": 2})
        return [a, b]

    yield
    return w.run(flow, w.id("named"))


@program
def child_cancelled_by_a_client(w):
    @w.flow
    def child(ctx, input):
        yield ctx.wait_for_event("never")

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_sub_orchestration_with_id(child, input, None)
        except Exception as error:
            return str(error)

    yield
    id = w.start(flow, w.id("child"))
    w.recorded(w.id("child"), "ExternalSubscribed")
    w.client.cancel_instance(w.id("child"), "enough")
    return [w.report(id), w.report(w.id("child"))]


@program
def parent_cancelled_by_a_client(w):
    @w.flow
    def child(ctx, input):
        yield ctx.wait_for_event("never")

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_sub_orchestration_with_id(child, input, None)

    yield
    id = w.start(flow, w.id("child"))
    w.recorded(w.id("child"), "ExternalSubscribed")
    w.client.cancel_instance(id, "stop all")
    return [w.report(id), w.report(w.id("child"))]


@program
def detached_start(w):
    @w.flow
    def other(ctx, input):
        return {"got": input}

    @w.flow
    def flow(ctx, input):
        return [(yield ctx.start_orchestration(other, input, [1]))]

    yield
    report = w.run(flow, w.id("other"))
    info = w.client.get_instance_info(w.id("other"))
    return [report, w.report(w.id("other")), info.parent_instance_id]


@program
def detached_start_of_a_version(w):
    name = "detached_start_of_a_version.other"

    @w.version(name, "1.0.0")
    def one(ctx, input):
        return "one"

    @w.version(name, "1.1.0")
    def two(ctx, input):
        return "two"

    @w.flow
    def flow(ctx, input):
        yield ctx.start_orchestration_versioned(name, "1.0.0", input)
        yield ctx.start_orchestration_typed(name, f"{input}-typed")
        return "started"

    yield
    return [w.run(flow, w.id("v")), w.report(w.id("v")), w.report(w.id("v-typed"))]


@program
def detached_start_of_an_id_in_use(w):
    @w.flow
    def other(ctx, input):
        return input

    @w.flow
    def flow(ctx, input):
        yield ctx.start_orchestration(other, input, "second")
        return "went on"

    yield
    w.ended(w.start(other, "first", w.id("other")))
    return [w.run(flow, w.id("other")), w.report(w.id("other"))]


@program
def detached_start_before_a_failure(w):
    @w.flow
    def other(ctx, input):
        return "ran"

    @w.flow
    def flow(ctx, input):
        yield ctx.start_orchestration(other, input)
        raise ValueError("after the start")

    yield
    return [w.run(flow, w.id("other")), w.report(w.id("other"))]


@program
def detached_start_before_continue_as_new(w):
    @w.flow
    def other(ctx, input):
        return "ran"

    @w.flow
    def flow(ctx, input):
        if input:
            yield ctx.start_orchestration(other, input)
            yield ctx.continue_as_new(None)
        return "second execution"

    yield
    return [w.run(flow, w.id("other")), w.outcome(w.id("other"))["status"]]


@program
def instance_with_a_running_orphan(w):
    @w.flow
    def child(ctx, input):
        return (yield ctx.wait_for_event("go"))

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.race(ctx.schedule_sub_orchestration_with_id(child, input, None), ctx.schedule_timer(30))
        finally:
            ctx.set_custom_status("over")
        return "left"

    yield
    id = w.start(flow, w.id("child"))
    return [w.outcome(id), w.outcome(w.id("child"))]


@program
def cancel_of_a_waiting_instance(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("never")

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.cancel_instance(id, "no longer wanted")
    return w.report(id)


@program
def cancel_without_a_reason(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_timer(3_600_000)

    yield
    id = w.start(flow)
    w.recorded(id, "TimerCreated")
    w.client.cancel_instance(id)
    return w.report(id)


@program
def cancel_twice(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("never")

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.cancel_instance(id, "first")
    w.client.cancel_instance(id, "second")
    return w.report(id)


@program
def cancel_of_an_ended_instance(w):
    @w.flow
    def flow(ctx, input):
        return "done"

    yield
    before = w.run(flow)
    w.client.cancel_instance(w.id(1), "too late")
    w.run(flow)
    return [before, w.report(w.id(1))]


@program
def cancel_cannot_be_caught(w):
    caught = []

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.wait_for_event("never")
        except Exception as error:
            caught.append(str(error))
            yield ctx.schedule_timer(1)
            return "survived"

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.cancel_instance(id, "why")
    return [w.report(id), caught]
