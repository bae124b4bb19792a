"""Joins and races of every kind of task."""

from __future__ import annotations

from scope import alone, program

HOUR = 3_600_000


@program
def fan_out(w):
    @w.activity
    def square(ctx, n):
        return n * n

    @w.flow
    def flow(ctx, n):
        return (yield ctx.all([ctx.schedule_activity(square, i) for i in range(n)]))

    yield
    return w.run(flow, 8)


@program
def all_of_none(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.all([]))

    yield
    return w.run(flow)


@program
def all_kinds_of_task(w):
    @w.activity
    def work(ctx, input):
        return {"did": input}

    @w.flow
    def child(ctx, input):
        return [input]

    @w.flow
    def flow(ctx, input):
        return (
            yield ctx.all(
                [
                    ctx.schedule_activity(work, 1),
                    ctx.schedule_timer(1),
                    ctx.wait_for_event("go"),
                    ctx.dequeue_event("mail"),
                    ctx.schedule_sub_orchestration(child, "in"),
                ]
            )
        )

    yield
    id = w.start(flow)
    w.recorded(id, "SubOrchestrationCompleted")
    w.recorded(id, "TimerFired")
    w.recorded(id, "ActivityCompleted")
    w.client.raise_event(id, "go", {"by": "event"})
    w.recorded(id, "ExternalEvent")
    w.client.enqueue_event(id, "mail", {"by": "queue"})
    return w.outcome(id)


@program
def all_with_failures(w):
    @w.activity
    def odd_only(ctx, n):
        if n % 2 == 0:
            raise ValueError(f"{n} is even")
        return n

    @w.flow
    def flow(ctx, n):
        return (yield ctx.all([ctx.schedule_activity(odd_only, i) for i in range(n)]))

    yield
    return w.outcome(w.start(flow, 4))


@program
def all_typed_with_failures(w):
    @w.activity
    def odd_only(ctx, n):
        if n % 2 == 0:
            raise ValueError(f"{n} is even")
        return n

    @w.flow
    def flow(ctx, n):
        return (yield ctx.all_typed([ctx.schedule_activity(odd_only, i) for i in range(n)]))

    yield
    return w.outcome(w.start(flow, 4))


@program
def all_of_values(w):
    @w.activity
    def echo(ctx, value):
        return value

    @w.flow
    def flow(ctx, values):
        return (yield ctx.all([ctx.schedule_activity(echo, v) for v in values]))

    yield
    return w.run(flow, [None, True, 1, "text", "1", "null", [1, [2]], {"a": {"ok": 1}}, {"err": 2}])


@program
def all_of_retries(w):
    @w.activity
    def work(ctx, n):
        if n == 1:
            raise ValueError("never")
        return n

    @w.flow
    def flow(ctx, input):
        retry = {"max_attempts": 2, "backoff": "none"}
        return (yield ctx.all([ctx.schedule_activity_with_retry(work, n, retry) for n in range(2)]))

    yield
    return w.outcome(w.start(flow))


@program
def race_won_by_an_activity(w):
    @w.activity
    def work(ctx, input):
        return "done"

    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.schedule_activity(work), ctx.schedule_timer(HOUR)))

    yield
    return w.run(flow)


@program
def race_won_by_a_timer(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.wait_for_event("never"), ctx.schedule_timer(30)))

    yield
    return w.run(flow)


@program
def race_won_by_an_event(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.schedule_timer(HOUR), ctx.wait_for_event("go")))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go", [1, "two"])
    return w.report(id)


@program
def race_of_two_events(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.wait_for_event("yes"), ctx.wait_for_event("no")))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed", 2)
    w.client.raise_event(id, "no", "because")
    return w.report(id)


@program
def race_won_by_a_child(w):
    @w.flow
    def child(ctx, input):
        return {"child": input}

    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.schedule_sub_orchestration(child, 5), ctx.schedule_timer(HOUR)))

    yield
    return w.run(flow)


@program
def race_lost_by_a_child(w):
    @w.flow
    def child(ctx, input):
        yield ctx.wait_for_event("never")

    @w.flow
    def flow(ctx, input):
        return (
            yield ctx.race(
                ctx.schedule_sub_orchestration_with_id(child, input, None),
                ctx.wait_for_event("go"),
            )
        )

    yield
    id = w.start(flow, w.id("child"))
    w.recorded(w.id("child"), "ExternalSubscribed")
    w.client.raise_event(id, "go", None)
    return [w.report(id), w.report(w.id("child"))]


@program
def race_won_by_a_failure(w):
    @w.activity
    def fail(ctx, input):
        raise ValueError("quickly")

    @w.flow
    def flow(ctx, input):
        try:
            return ["won", (yield ctx.race(ctx.schedule_activity(fail), ctx.schedule_timer(HOUR)))]
        except Exception as error:
            return ["raised", str(error)]

    yield
    return w.run(flow)


@program
def race_won_by_a_failed_child(w):
    @w.flow
    def child(ctx, input):
        raise ValueError("child gave up")

    @w.flow
    def flow(ctx, input):
        try:
            return ["won", (yield ctx.race(ctx.schedule_sub_orchestration(child), ctx.schedule_timer(HOUR)))]
        except Exception as error:
            return ["raised", str(error).strip().splitlines()[-1]]

    yield
    return w.run(flow)


@program
def race_typed(w):
    @w.activity
    def work(ctx, input):
        return {"n": input}

    @w.flow
    def flow(ctx, input):
        return (yield ctx.race_typed(ctx.schedule_activity_typed(work, 4), ctx.schedule_timer(HOUR)))

    yield
    return w.run(flow)


@program
def race_of_ready_messages(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("go")
        return (yield ctx.race(ctx.dequeue_event("b"), ctx.dequeue_event("a")))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.enqueue_event(id, "a", "first")
    w.client.enqueue_event(id, "b", "second")
    w.client.raise_event(id, "go")
    return w.outcome(id)


@program
def race_lost_by_a_dequeue_keeps_the_message(w):
    @w.flow
    def flow(ctx, input):
        first = yield ctx.race(ctx.dequeue_event("mail"), ctx.schedule_timer(30))
        ctx.set_custom_status("asked again")
        second = yield ctx.dequeue_event("mail")
        return [first, second]

    yield
    id = w.start(flow)
    w.recorded(id, "CustomStatusUpdated")
    w.client.enqueue_event(id, "mail", "late")
    return w.report(id)


@program
def race_lost_by_a_wait_then_waited_for_again(w):
    @w.flow
    def flow(ctx, input):
        first = yield ctx.race(ctx.wait_for_event("e"), ctx.schedule_timer(30))
        second = yield ctx.wait_for_event("e")
        return [first["index"], second]

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed", 2)
    w.client.raise_event(id, "e", "now")
    return w.report(id)


@program
def races_in_a_loop(w):
    @w.activity
    def poll(ctx, n):
        return n

    @w.flow
    def flow(ctx, input):
        seen = []
        for n in range(4):
            winner = yield ctx.race(ctx.schedule_activity(poll, n), ctx.schedule_timer(HOUR))
            seen.append(winner["value"])
        return seen

    yield
    return w.run(flow)


@program
def race_of_three(w):
    @w.activity
    def work(ctx, input):
        return "done"

    @w.flow
    def flow(ctx, input):
        try:
            timers = [ctx.schedule_timer(HOUR), ctx.schedule_timer(HOUR)]
            return ["won", (yield ctx.race(timers[0], timers[1], ctx.schedule_activity(work)))]
        except Exception as error:
            return ["refused", type(error).__name__]

    yield
    return w.outcome(w.start(flow))


@program
def race_inside_all(w):
    @w.activity
    def work(ctx, n):
        return n

    @w.flow
    def flow(ctx, input):
        try:
            race = ctx.race(ctx.schedule_activity(work, 1), ctx.schedule_timer(HOUR))
            return (yield ctx.all([race, ctx.schedule_activity(work, 2)]))
        except Exception as error:
            return str(error)

    yield
    return w.outcome(w.start(flow))


@program
def all_inside_race(w):
    @w.activity
    def work(ctx, n):
        return n

    @w.flow
    def flow(ctx, input):
        try:
            both = ctx.all([ctx.schedule_activity(work, 1), ctx.schedule_activity(work, 2)])
            return (yield ctx.race(both, ctx.schedule_timer(HOUR)))
        except Exception as error:
            return str(error)

    yield
    return w.outcome(w.start(flow))


@program
def clock_and_guid_inside_all(w):
    @w.flow
    def flow(ctx, input):
        at, guid = yield ctx.all([ctx.utc_now(), ctx.new_guid()])
        return [at.get("err", "clock"), guid.get("err", "guid")]

    yield
    return w.outcome(w.start(flow))


@program
def blocks_as_children(w):
    @w.activity
    def step(ctx, name):
        return f"step {name}"

    @w.flow
    def block_a(ctx, input):
        first = yield ctx.schedule_activity(step, "A1")
        second = yield ctx.schedule_activity(step, "A2")
        return f"A:[{first},{second}]"

    @w.flow
    def block_b(ctx, input):
        yield ctx.schedule_timer(5)
        return f"B:[timer,{(yield ctx.schedule_activity(step, 'B1'))}]"

    @w.flow
    def flow(ctx, input):
        a, b = yield ctx.all([ctx.schedule_sub_orchestration(block_a, ""), ctx.schedule_sub_orchestration(block_b, "")])
        return [a, b]

    yield
    return w.run(flow)


@alone()
def activity_that_loses_is_told(w):
    told = []

    @w.activity
    def long(ctx, input):
        w.until(ctx.is_cancelled, "the cancel")
        told.append(ctx.is_cancelled())

    @w.flow
    def flow(ctx, input):
        return (yield ctx.race(ctx.schedule_activity(long), ctx.wait_for_event("go")))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go")
    report = w.report(id)
    try:
        w.until(lambda: told, "the activity's end")
    except AssertionError:
        return [report, "not told in time"]
    return [report, "told"]


@program
def join_then_race_then_join(w):
    @w.activity
    def work(ctx, n):
        return n + 1

    @w.flow
    def flow(ctx, n):
        both = yield ctx.all([ctx.schedule_activity(work, n), ctx.schedule_activity(work, n + 1)])
        total = sum(m["ok"] for m in both)
        winner = yield ctx.race(ctx.schedule_timer(HOUR), ctx.schedule_activity(work, total))
        return (yield ctx.all([ctx.schedule_activity(work, winner["value"])]))

    yield
    return w.run(flow, 1)
