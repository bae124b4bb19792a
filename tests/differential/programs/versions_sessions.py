"""Versions, registration, sessions, tags, and the names of the module."""

from __future__ import annotations

from scope import alone, program

import duroxide


@program
def version_by_default_and_asked_for(w):
    name = "version_by_default_and_asked_for.flow"

    def register(version):
        @w.version(name, version)
        def flow(ctx, input):
            return [version, ctx.orchestration_version]

    for version in ("1.0.0", "1.2.0", "1.10.0"):
        register(version)
    yield
    w.client.start_orchestration_versioned(w.id("asked"), name, None, "1.2.0")
    return [w.run(name), w.report(w.id("asked")), w.client.get_instance_info(w.id("asked")).orchestration_version]


@program
def version_beside_the_plain_name(w):
    @w.flow
    def flow(ctx, input):
        return "one"

    @w.version(flow, "1.0.1")
    def later(ctx, input):
        return "two"

    yield
    w.client.start_orchestration_versioned(w.id("one"), flow, None, "1.0.0")
    return [w.run(flow), w.report(w.id("one"))]


@program
def version_kept_while_running(w):
    name = "version_kept_while_running.flow"

    @w.version(name, "1.0.0")
    def one(ctx, n):
        yield ctx.wait_for_event("go")
        yield ctx.continue_as_new(n + 1)

    @w.version(name, "2.0.0")
    def two(ctx, n):
        return ["two", n, ctx.execution_id]

    yield
    w.client.start_orchestration_versioned(w.id(1), name, 0, "1.0.0")
    w.recorded(w.id(1), "ExternalSubscribed")
    w.client.raise_event(w.id(1), "go")
    return w.report(w.id(1))


@program
def version_continued_as_asked(w):
    name = "version_continued_as_asked.flow"

    @w.version(name, "1.0.0")
    def one(ctx, n):
        if n == 0:
            yield ctx.continue_as_new_versioned(1, "1.0.0")
        return ["one", n]

    @w.version(name, "2.0.0")
    def two(ctx, n):
        return ["two", n]

    yield
    w.client.start_orchestration_versioned(w.id(1), name, 0, "1.0.0")
    return w.report(w.id(1))


@program
def start_of_a_running_instance(w):
    @w.flow
    def flow(ctx, input):
        return [input, (yield ctx.wait_for_event("go"))]

    yield
    id = w.start(flow, "first")
    w.recorded(id, "ExternalSubscribed")
    w.start(flow, "second", id)
    w.client.raise_event(id, "go", "event")
    return w.report(id)


@program
def start_of_an_ended_instance(w):
    @w.flow
    def flow(ctx, input):
        return input

    yield
    first = w.run(flow, "first")
    w.start(flow, "second", w.id(1))
    w.run(flow, "other")
    return [first, w.report(w.id(1))]


@program
def start_typed(w):
    @w.flow
    def flow(ctx, input):
        return {"got": input}

    yield
    w.client.start_orchestration_typed(w.id(1), flow, {"a": 1})
    w.client.start_orchestration_versioned_typed(w.id(2), flow, [2], "1.0.0")
    return [w.client.wait_for_orchestration_typed(w.id(n), 20_000) for n in (1, 2)]


@program
def wait_typed_for_a_failure(w):
    @w.flow
    def flow(ctx, input):
        raise ValueError("typed")

    yield
    w.ended(w.start(flow))
    seen = w.caught(Exception, w.client.wait_for_orchestration_typed, w.id(1), 20_000)
    return [seen["raises"], seen["text"].strip().splitlines()[-1]]


@alone(worker_tag_filter='{"default_and": ["gpu"]}')
def tag(w):
    @w.activity
    def look(ctx, input):
        return ctx.tag()

    @w.flow
    def flow(ctx, input):
        with_tag = yield ctx.schedule_activity(look).with_tag("gpu")
        without = yield ctx.schedule_activity(look)
        retried = yield ctx.schedule_activity_with_retry(look, None, {"max_attempts": 2}).with_tag("gpu")
        return [with_tag, without, retried]

    yield
    return w.run(flow)


@program
def tag_nobody_takes(w):
    @w.activity
    def work(ctx, input):
        return "taken"

    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.schedule_activity(work).with_tag("nobody"), ctx.schedule_timer(200)))

    yield
    return w.outcome(w.start(flow))


@program
def tag_too_long(w):
    @w.activity
    def work(ctx, input):
        return "taken"

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_activity(work).with_tag("t" * 257)
        except ValueError as error:
            return str(error)

    yield
    seen = w.outcome(w.start(flow))
    return [seen["status"], (seen.get("error") or seen["output"]).split("Invalid input: ")[-1]]


@program
def session(w):
    state = {}

    @w.activity
    def accumulate(ctx, item):
        state.setdefault(ctx.session_id, []).append(item)
        return [ctx.session_id, state[ctx.session_id]]

    @w.flow
    def flow(ctx, items):
        for item in items:
            result = yield ctx.schedule_activity_on_session(accumulate, item, "session-1")
        other = yield ctx.schedule_activity(accumulate, "x", session_id="session-2")
        typed = yield ctx.schedule_activity_on_session_typed(accumulate, "y", "session-1")
        return [result, other, typed]

    yield
    return w.run(flow, ["a", "b", "c"])


@program
def sessions_at_once(w):
    @w.activity
    def look(ctx, n):
        return [n, ctx.session_id]

    @w.flow
    def flow(ctx, n):
        return (yield ctx.all([ctx.schedule_activity_on_session(look, i, f"at-once-{i % 3}") for i in range(n)]))

    yield
    return w.run(flow, 6)


@program
def names_of_constants(w):
    yield
    names = ("MAX_WORKER_TAGS", "MAX_TAG_NAME_BYTES", "MAX_KV_KEYS", "MAX_KV_VALUE_BYTES")
    return {name: getattr(duroxide, name) for name in names}


@program
def tag_filters(w):
    yield
    tags = duroxide.TagFilter
    return [tags.DEFAULT_ONLY, tags.ANY, tags.NONE, tags.tags(["a", "b"]), tags.default_and(["c"])]


@program
def results_parsed(w):
    yield
    values = [[{"ok": 1}, {"ok": None}], {"ok": "x"}, {"other": 1}, "text", None, 7]
    values += [
        [{"ok": 1}, {"err": "no"}, 5, [{"ok": 1}]],
        {"ok": {"ok": 1}},
        {"ok": 1, "more": 2},
        {"err": "no", "ok": 1},
    ]
    values += [[{"ok": 1, "more": 2}], [], {}]
    seen = [duroxide.parse_result(value) for value in values]
    failed = [{"err": "no"}, {"err": "no", "more": 1}, {"err": None}]
    return [seen, [w.caught(Exception, duroxide.parse_result, value) for value in failed]]


@program
def functions_stay_callable(w):
    @w.runtime.register_activity("functions_stay_callable.double")
    def double(ctx, n):
        return 2 * n

    @w.runtime.register_orchestration("functions_stay_callable.flow")
    def flow(ctx, n):
        return n

    yield
    return [double(None, 4), flow(None, 5)]
