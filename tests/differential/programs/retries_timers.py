"""Retry policies and timers."""

from __future__ import annotations

import threading

from scope import program


def _attempts(policy, fail_first, report="report"):
    """A program that runs one activity under a policy; it fails so many times before it succeeds."""

    def body(w):
        tries = []

        @w.activity
        def flaky(ctx, input):
            tries.append(input)
            if len(tries) <= fail_first:
                raise ConnectionError(f"attempt {len(tries)}")
            return f"after {len(tries)}"

        @w.flow
        def flow(ctx, input):
            try:
                return (yield ctx.schedule_activity_with_retry(flaky, input, policy))
            except Exception as error:
                return ["gave up", str(error)]

        yield
        return [getattr(w, report)(w.start(flow, "in")), len(tries)]

    return body


@program
def retry_not_needed(w):
    return (yield from _attempts({"max_attempts": 3}, 0)(w))


@program
def retry_succeeds_at_last(w):
    return (yield from _attempts({"max_attempts": 3, "backoff": "exponential"}, 2)(w))


@program
def retry_exhausted(w):
    return (yield from _attempts({"max_attempts": 2}, 9)(w))


@program
def retry_with_one_attempt(w):
    return (yield from _attempts({"max_attempts": 1}, 9)(w))


@program
def retry_by_default(w):
    return (yield from _attempts({}, 9)(w))


@program
def retry_spelt_in_camel_case(w):
    return (yield from _attempts({"maxAttempts": 2, "timeoutMs": 60_000}, 9)(w))


@program
def retry_at_fixed_distance(w):
    return (yield from _attempts({"max_attempts": 2, "backoff": "fixed"}, 1)(w))


@program
def retry_at_linear_distance(w):
    return (yield from _attempts({"max_attempts": 3, "backoff": "linear"}, 2)(w))


@program
def retry_without_distance(w):
    return (yield from _attempts({"max_attempts": 3, "backoff": "none"}, 2)(w))


@program
def retry_with_a_timeout_that_is_not_needed(w):
    return (yield from _attempts({"max_attempts": 2, "timeout_ms": 60_000}, 1)(w))


@program
def retry_of_no_attempt(w):
    return (yield from _attempts({"max_attempts": 0}, 0, "outcome")(w))


@program
def retry_with_an_unknown_backoff(w):
    return (yield from _attempts({"max_attempts": 1, "backoff": "cubic"}, 0, "outcome")(w))


@program
def retry_uncaught(w):
    @w.activity
    def fail(ctx, input):
        raise ConnectionError("down")

    @w.flow
    def flow(ctx, input):
        yield ctx.schedule_activity_with_retry(fail, None, {"max_attempts": 2})

    yield
    return w.run(flow)


@program
def retry_attempt_that_takes_too_long(w):
    free = threading.Event()

    @w.activity
    def slow(ctx, input):
        free.wait(20)

    @w.flow
    def flow(ctx, input):
        try:
            yield ctx.schedule_activity_with_retry(slow, None, {"max_attempts": 3, "timeout_ms": 60})
        except Exception as error:
            return str(error)

    yield
    report = w.report(w.start(flow))
    free.set()
    return report


@program
def retry_in_all_the_time_there_is(w):
    @w.activity
    def fail(ctx, input):
        raise ConnectionError("down")

    @w.flow
    def flow(ctx, input):
        policy = {"max_attempts": 1000, "backoff": "linear", "total_timeout_ms": 700}
        winner = yield ctx.race(ctx.schedule_activity_with_retry(fail, None, policy), ctx.schedule_timer(4000))
        return winner["index"]

    @w.flow
    def guarded(ctx, input):
        try:
            return (yield ctx.schedule_sub_orchestration(flow))
        except Exception as error:
            return str(error).strip().splitlines()[-1].split(": ", 1)[-1]

    yield
    return w.outcome(w.start(guarded))


@program
def retry_on_a_session(w):
    tries = []

    @w.activity
    def flaky(ctx, input):
        tries.append(ctx.session_id)
        if len(tries) < 3:
            raise ConnectionError("down")
        return tries

    @w.flow
    def flow(ctx, input):
        policy = {"max_attempts": 3, "backoff_strategy": "none"}
        return (yield ctx.schedule_activity_with_retry_on_session(flaky, input, policy, "retry-session"))

    yield
    return w.outcome(w.start(flow))


@program
def retry_typed(w):
    @w.activity
    def work(ctx, input):
        return {"n": input["n"] + 1}

    @w.flow
    def flow(ctx, input):
        return (yield ctx.schedule_activity_with_retry_typed(work, {"n": 1}, {"max_attempts": 2}))

    yield
    return w.run(flow)


@program
def retry_typed_by_default(w):
    @w.activity
    def work(ctx, input):
        return [input, ctx.session_id]

    @w.flow
    def flow(ctx, input):
        a = yield ctx.schedule_activity_with_retry_typed(work)
        b = yield ctx.schedule_activity_with_retry_typed(name=work, input={"n": 1}, retry=None)
        c = yield ctx.schedule_activity_with_retry_on_session_typed(work, session_id="by-default")
        d = yield ctx.schedule_activity_on_session_typed(work, session_id="by-default")
        return [a, b, c, d]

    yield
    return w.run(flow)


@program
def timer(w):
    @w.flow
    def flow(ctx, ms):
        return [(yield ctx.schedule_timer(ms))]

    yield
    return w.run(flow, 20)


@program
def timer_of_no_time(w):
    @w.flow
    def flow(ctx, ms):
        yield ctx.schedule_timer(ms)
        return "fired"

    yield
    return w.run(flow, 0)


@program
def timers_one_after_another(w):
    @w.flow
    def flow(ctx, input):
        before = yield ctx.utc_now()
        for _ in range(3):
            yield ctx.schedule_timer(50)
        after = yield ctx.utc_now()
        return after - before >= 140

    yield
    return w.outcome(w.start(flow))


@program
def timers_in_all(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.all([ctx.schedule_timer(ms) for ms in (40, 10, 25)]))

    yield
    return w.run(flow)


def _bad_timer(delay):
    def body(w):
        @w.flow
        def flow(ctx, input):
            try:
                yield ctx.schedule_timer(delay)
            except (TypeError, ValueError):
                return "refused at the call"
            return "fired"

        yield
        seen = w.outcome(w.start(flow))
        return [seen["status"], seen.get("output")]

    return body


@program
def timer_of_negative_time(w):
    return (yield from _bad_timer(-1)(w))


@program
def timer_of_half_a_millisecond(w):
    return (yield from _bad_timer(0.5)(w))


@program
def timer_of_text(w):
    return (yield from _bad_timer("soon")(w))


@program
def timer_after_a_timer_lost(w):
    @w.activity
    def work(ctx, input):
        return input

    @w.flow
    def flow(ctx, input):
        yield ctx.race(ctx.schedule_activity(work), ctx.schedule_timer(2000))
        yield ctx.schedule_timer(3500)
        return "both passed"

    yield
    return w.report(w.start(flow))
