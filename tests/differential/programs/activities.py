"""Calls of activities: what goes in, what comes back, what fails."""

from __future__ import annotations

import threading

from scope import PATIENCE_MS, program


@program
def hello(w):
    @w.activity
    def greet(ctx, name):
        return f"Hello, {name}!"

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_activity(greet, input["name"]))

    yield
    return w.run(flow, {"name": "World"})


@program
def sequence(w):
    @w.activity
    def add_one(ctx, n):
        return n + 1

    @w.flow
    def flow(ctx, n):
        for _ in range(5):
            n = yield ctx.schedule_activity(add_one, n)
        return n

    yield
    return w.run(flow, 1)


@program
def values_through_an_activity(w):
    @w.activity
    def echo(ctx, value):
        return value

    @w.flow
    def flow(ctx, values):
        seen = []
        for value in values:
            seen.append((yield ctx.schedule_activity(echo, value)))
        return seen

    yield
    return w.run(flow, [None, True, 0, -1.5, "", "text", "12", "null", [], {}, [[1], {"a": None}], "äö€😀", 2**53 + 1])


@program
def default_input(w):
    @w.activity
    def see(ctx, value):
        return repr(value)

    @w.flow
    def flow(ctx, input):
        return [repr(input), (yield ctx.schedule_activity(see))]

    yield
    return w.run(flow)


@program
def empty_text_as_input(w):
    @w.activity
    def see(ctx, value):
        return repr(value)

    @w.flow
    def flow(ctx, input):
        return [repr(input), (yield ctx.schedule_activity(see, ""))]

    yield
    return w.run(flow, "")


@program
def tuples_and_int_keys(w):
    @w.activity
    def make(ctx, value):
        return {1: (2, 3), "got": value}

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_activity(make, (1, {2: 3})))

    yield
    return w.run(flow)


@program
def large_payload(w):
    @w.activity
    def blow_up(ctx, n):
        return "x" * n

    @w.flow
    def flow(ctx, n):
        return len((yield ctx.schedule_activity(blow_up, n)))

    yield
    return w.run(flow, 200_000)


@program
def plain_function(w):
    @w.flow
    def flow(ctx, input):
        return {"got": input}

    yield
    return w.run(flow, [1, 2])


@program
def helper_by_yield_from(w):
    @w.activity
    def double(ctx, n):
        return 2 * n

    def quadruple(ctx, n):
        once = yield ctx.schedule_activity(double, n)
        return (yield ctx.schedule_activity(double, once))

    @w.flow
    def flow(ctx, n):
        return (yield from quadruple(ctx, n))

    yield
    return w.run(flow, 3)


@program
def one_task_yielded_twice(w):
    @w.activity
    def double(ctx, n):
        return 2 * n

    @w.flow
    def flow(ctx, n):
        task = ctx.schedule_activity(double, n)
        return [(yield task), (yield task)]

    yield
    return w.run(flow, 3)


@program
def task_never_yielded(w):
    @w.activity
    def double(ctx, n):
        return 2 * n

    @w.flow
    def flow(ctx, n):
        ctx.schedule_activity(double, 1)
        return (yield ctx.schedule_activity(double, n))

    yield
    return w.run(flow, 3)


@program
def raises_at_once(w):
    @w.flow
    def flow(ctx, input):
        raise ValueError("not today")
        yield

    yield
    return w.run(flow)


@program
def raises_after_an_activity(w):
    @w.activity
    def work(ctx, input):
        return 1

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_activity(work)
        raise ValueError("half-way")

    yield
    return w.run(flow)


@program
def activity_failure_uncaught(w):
    @w.activity
    def fail(ctx, input):
        raise ValueError(f"bad {input}")

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_activity(fail, input)

    yield
    return w.run(flow, "apple")


def _texts_of(*errors):
    """A program whose activity raises each error in turn, and whose workflow returns what it catches."""

    def body(w):
        @w.activity
        def fail(ctx, n):
            raise errors[n]

        @w.flow
        def flow(ctx, input):
            texts = []
            for n in range(len(errors)):
                try:
                    yield ctx.schedule_activity(fail, n)
                except Exception as error:
                    texts.append(str(error))
            return texts

        yield
        return w.run(flow)

    return body


class OutOfStock(Exception):
    """An exception of the user's own."""


@program
def texts_of_exceptions(w):
    return (yield from _texts_of(ValueError("plain"), ValueError(), KeyError("key"), OutOfStock("sku 7"))(w))


@program
def texts_of_exceptions_with_odd_messages(w):
    odd = [
        ValueError("two\nlines"),
        ValueError("a", 1),
        ValueError("äö€"),
        ValueError('{"json": [1]}'),
        ValueError("12"),
    ]
    return (yield from _texts_of(*odd)(w))


@program
def activity_exits(w):
    return (yield from _texts_of(SystemExit(3), SystemExit("bye"))(w))


@program
def activity_result_that_json_refuses(w):
    @w.activity
    def give_set(ctx, input):
        return {1, 2}

    @w.flow
    def flow(ctx, input):
        try:
            return (yield ctx.schedule_activity(give_set))
        except Exception as error:
            return str(error)

    yield
    return w.run(flow)


@program
def activity_input_that_json_refuses(w):
    @w.activity
    def work(ctx, input):
        return 1

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_activity(work, {1, 2})
        except TypeError:
            return "refused"
        return "taken"

    yield
    return w.run(flow)


@program
def output_that_json_refuses(w):
    @w.flow
    def flow(ctx, input):
        return {1, 2}

    yield
    return w.ended(w.start(flow)).status


@program
def compensation(w):
    done = []

    @w.activity
    def do(ctx, what):
        done.append(what)
        if what == "ship":
            raise RuntimeError("no truck")
        return what

    @w.flow
    def flow(ctx, input):
        undo = []
        try:
            for step in ("reserve", "charge", "ship"):
                yield ctx.schedule_activity(do, step)
                undo.append(f"un{step}")
        except Exception as error:
            for step in reversed(undo):
                yield ctx.schedule_activity(do, step)
            return {"undone": undo, "because": str(error)}
        return "shipped"

    yield
    return [w.run(flow), done]


@program
def cleanup_after_a_failure(w):
    @w.activity
    def work(ctx, what):
        if what == "fail":
            raise ValueError("it did")
        return what

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_activity(work, "fail")
        except Exception:
            yield ctx.schedule_activity(work, "clean up")
            raise

    yield
    return w.run(flow)


@program
def one_error_for_another(w):
    @w.activity
    def fail(ctx, input):
        raise ValueError("first")

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_activity(fail)
        except Exception as error:
            raise LookupError(f"second, for {error}") from error

    yield
    return w.run(flow)


@program
def what_an_activity_knows(w):
    @w.activity
    def look(ctx, input):
        return [
            ctx.instance_id,
            ctx.execution_id,
            ctx.orchestration_name,
            ctx.orchestration_version,
            ctx.activity_name,
            ctx.session_id,
            ctx.tag(),
            ctx.is_cancelled(),
            bool(ctx.worker_id),
        ]

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_activity(look))

    yield
    return w.run(flow)


@program
def what_a_workflow_knows(w):
    @w.flow
    def flow(ctx, input):
        return [ctx.instance_id, ctx.execution_id, ctx.orchestration_name, ctx.orchestration_version]

    yield
    return w.run(flow)


@program
def activity_starts_a_workflow(w):
    @w.activity
    def launch(ctx, id):
        ctx.get_client().start_orchestration(id, other, {"from": ctx.instance_id})
        return "launched"

    @w.flow
    def other(ctx, input):
        return input

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_activity(launch, input))

    yield
    return [w.run(flow, w.id("other")), w.report(w.id("other"))]


@program
def client_outside_an_activity(w):
    kept = []

    @w.activity
    def keep(ctx, input):
        kept.append(ctx)
        return 1

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_activity(keep))

    yield
    return [w.run(flow), w.caught(RuntimeError, kept[0].get_client)]


@program
def traces_do_nothing_else(w):
    @w.activity
    def work(ctx, input):
        for trace in (ctx.trace_info, ctx.trace_warn, ctx.trace_error, ctx.trace_debug):
            trace("activity")
        return 1

    @w.flow
    def flow(ctx, input):
        for trace in (ctx.trace_info, ctx.trace_warn, ctx.trace_error, ctx.trace_debug):
            trace("workflow")
        return (yield ctx.schedule_activity(work))

    yield
    return w.run(flow)


@program
def clock_and_guid(w):
    @w.flow
    def flow(ctx, input):
        at = yield ctx.utc_now()
        guid = yield ctx.new_guid()
        other = yield ctx.new_guid()
        return [type(at).__name__, at > 1_700_000_000_000, len(guid), guid.count("-"), guid != other]

    yield
    return w.run(flow)


@program
def activities_overlap(w):
    meet = threading.Barrier(2)

    @w.activity
    def wait(ctx, n):
        meet.wait(PATIENCE_MS / 1000)
        return n

    @w.flow
    def flow(ctx, input):
        return (yield ctx.all([ctx.schedule_activity(wait, n) for n in range(2)]))

    yield
    return w.run(flow)


def _yields(value):
    def body(w):
        @w.flow
        def flow(ctx, input):
            try:
                return ["went on", (yield value)]
            except TypeError:
                return "TypeError at the yield"

        yield
        seen = w.outcome(w.start(flow))
        return [seen["status"], seen.get("output")]

    return body


@program
def yields_a_number(w):
    return (yield from _yields(7)(w))


@program
def yields_none(w):
    return (yield from _yields(None)(w))


@program
def yields_a_list(w):
    return (yield from _yields([])(w))


@program
def tasks_look_like_dicts(w):
    @w.activity
    def work(ctx, input):
        return 1

    @w.flow
    def flow(ctx, input):
        tasks = [
            ctx.schedule_activity(work),
            ctx.schedule_timer(1),
            ctx.wait_for_event("e"),
            ctx.dequeue_event("q"),
            ctx.schedule_sub_orchestration("child"),
            ctx.new_guid(),
            ctx.utc_now(),
            ctx.all([]),
            ctx.race(ctx.schedule_timer(1), ctx.schedule_timer(2)),
            ctx.continue_as_new(1),
        ]
        return [task["type"] for task in tasks]

    yield
    return w.run(flow)


@program
def typed_inputs(w):
    """A str, of a class of its own too, is JSON already."""

    class Text(str):
        pass

    @w.activity
    def kind(ctx, value):
        return [type(value).__name__, value]

    @w.flow
    def flow(ctx, input):
        seen = []
        for value in ("[1]", Text('{"a": 1}'), "text", {"a": 1}, 7, None):
            seen.append((yield ctx.schedule_activity_typed(kind, value)))
        return seen

    yield
    return w.run(flow)


@program
def finally_after_the_last_step(w):
    @w.activity
    def work(ctx, what):
        return what

    @w.flow
    def flow(ctx, input):
        try:
            first = yield ctx.schedule_activity(work, "body")
        finally:
            second = yield ctx.schedule_activity(work, "finally")
        return [first, second]

    yield
    return w.run(flow)
