"""Events and queues."""

from __future__ import annotations

import json

from scope import alone, program


@program
def event(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.wait_for_event("go"))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go", {"approved": True})
    return w.report(id)


@program
def event_data_of_every_kind(w):
    values = [None, False, 0, 2.5, "", "text", "12", [], {"a": [1]}]

    @w.flow
    def flow(ctx, n):
        return (yield ctx.all([ctx.wait_for_event("e") for _ in range(n)]))

    yield
    id = w.start(flow, len(values))
    w.recorded(id, "ExternalSubscribed", len(values))
    for value in values:
        w.client.raise_event(id, "e", value)
    return w.report(id)


@program
def event_without_data(w):
    @w.flow
    def flow(ctx, input):
        return [(yield ctx.wait_for_event("go"))]

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "go")
    return w.report(id)


@program
def event_nobody_waits_for_yet(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("first")
        winner = yield ctx.race(ctx.wait_for_event("early"), ctx.schedule_timer(60))
        return winner["index"]

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "early", 1)
    w.client.raise_event(id, "first", 1)
    return w.report(id)


@program
def event_of_another_name(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.wait_for_event("right"))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "wrong", 1)
    w.recorded(id, "ExternalEvent")
    w.client.raise_event(id, "right", 2)
    return w.report(id)


@program
def events_in_two_waits(w):
    @w.flow
    def flow(ctx, input):
        first = yield ctx.wait_for_event("e")
        second = yield ctx.wait_for_event("e")
        return [first, second]

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event(id, "e", "a")
    w.recorded(id, "ExternalSubscribed", 2)
    w.client.raise_event(id, "e", "b")
    return w.report(id)


@program
def events_answered_in_order_of_waiting(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.all([ctx.wait_for_event("b"), ctx.wait_for_event("a"), ctx.wait_for_event("b")]))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed", 3)
    for name, value in (("a", 1), ("b", 2), ("b", 3)):
        w.client.raise_event(id, name, value)
    return w.report(id)


@program
def event_after_the_end(w):
    @w.flow
    def flow(ctx, input):
        return "done"

    yield
    w.run(flow)
    w.client.raise_event(w.id(1), "late", 1)
    w.client.enqueue_event(w.id(1), "late", 1)
    w.run(flow)
    return w.report(w.id(1))


@program
def event_typed(w):
    @w.flow
    def flow(ctx, input):
        event = yield ctx.wait_for_event_typed("e")
        mail = yield ctx.dequeue_event_typed("q")
        return [event, mail]

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.raise_event_typed(id, "e", {"a": 1})
    w.recorded(id, "QueueSubscribed")
    w.client.enqueue_event_typed(id, "q", {"b": 2})
    return w.report(id)


@program
def event_typed_text(w):
    """What looks like JSON is text all the same."""

    @w.flow
    def flow(ctx, input):
        seen = []
        for _ in range(2):
            seen.append((yield ctx.wait_for_event_typed("e")))
            seen.append((yield ctx.dequeue_event_typed("q")))
        return seen

    yield
    id = w.start(flow)
    for number, text in enumerate(('{"a": 1}', "7"), 1):
        w.recorded(id, "ExternalSubscribed", number)
        w.client.raise_event_typed(id, "e", text)
        w.recorded(id, "QueueSubscribed", number)
        w.client.enqueue_event_typed(id, "q", text)
    return w.outcome(id)


@program
def event_and_queue_of_one_name(w):
    @w.flow
    def flow(ctx, input):
        return (yield ctx.all([ctx.wait_for_event("x"), ctx.dequeue_event("x")]))

    yield
    id = w.start(flow)
    w.recorded(id, "QueueSubscribed")
    w.client.enqueue_event(id, "x", "mail")
    w.recorded(id, "QueueEventDelivered")
    w.client.raise_event(id, "x", "event")
    return w.report(id)


@program
def event_raised_by_an_activity(w):
    @w.activity
    def tell(ctx, id):
        ctx.get_client().raise_event(id, "told", {"by": ctx.instance_id})
        return "told"

    @w.flow
    def teller(ctx, id):
        return (yield ctx.schedule_activity(tell, id))

    @w.flow
    def flow(ctx, input):
        return (yield ctx.wait_for_event("told"))

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    return [w.run(teller, id), w.report(id)]


@program
def queue_in_order(w):
    @w.flow
    def flow(ctx, n):
        seen = []
        for _ in range(n):
            seen.append((yield ctx.dequeue_event("mail")))
        return seen

    yield
    id = w.start(flow, 5)
    for n in range(5):
        w.client.enqueue_event(id, "mail", n)
    return w.outcome(id)


@program
def queue_data_of_every_kind(w):
    values = [None, False, 0, 2.5, "", "text", "12", json.dumps({"a": 1}), [], {"a": [1]}]

    @w.flow
    def flow(ctx, n):
        seen = []
        for _ in range(n):
            seen.append((yield ctx.dequeue_event("mail")))
        return seen

    yield
    id = w.start(flow, len(values))
    for value in values:
        w.client.enqueue_event(id, "mail", value)
    return w.outcome(id)


@program
def queues_apart(w):
    @w.flow
    def flow(ctx, input):
        a = yield ctx.dequeue_event("a")
        b = yield ctx.dequeue_event("b")
        c = yield ctx.dequeue_event("a")
        return [a, b, c]

    yield
    id = w.start(flow)
    for queue, n in (("b", 1), ("a", 2), ("a", 3)):
        w.client.enqueue_event(id, queue, n)
    return w.outcome(id)


@program
def queue_read_later(w):
    @w.flow
    def flow(ctx, input):
        yield ctx.wait_for_event("go")
        return [(yield ctx.dequeue_event("mail")), (yield ctx.dequeue_event("mail"))]

    yield
    id = w.start(flow)
    w.recorded(id, "ExternalSubscribed")
    w.client.enqueue_event(id, "mail", "one")
    w.client.enqueue_event(id, "mail", "two")
    w.client.raise_event(id, "go")
    return w.report(id)


@program
def queue_over_continue_as_new(w):
    @w.flow
    def flow(ctx, seen):
        seen = [*seen, (yield ctx.dequeue_event("mail"))]
        if len(seen) == 3:
            return seen
        yield ctx.continue_as_new(seen)

    yield
    id = w.start(flow, [])
    for n in range(3):
        w.client.enqueue_event(id, "mail", n)
    return w.outcome(id)


@program
def queue_drained_of_many(w):
    @w.flow
    def flow(ctx, n):
        yield ctx.wait_for_event("go")
        seen = []
        for _ in range(n):
            seen.append((yield ctx.dequeue_event("mail")))
        return seen == list(range(n))

    yield
    id = w.start(flow, 120)
    w.recorded(id, "ExternalSubscribed")
    for n in range(120):
        w.client.enqueue_event(id, "mail", n)
    w.client.raise_event(id, "go")
    return w.outcome(id)


@program
def queue_in_all(w):
    @w.flow
    def flow(ctx, n):
        return (yield ctx.all([ctx.dequeue_event("mail") for _ in range(n)]))

    yield
    id = w.start(flow, 3)
    for n in range(3):
        w.client.enqueue_event(id, "mail", {"n": n})
    return w.outcome(id)


@alone()
def event_for_nobody(w):
    @w.flow
    def flow(ctx, input):
        return "ran"

    yield
    w.client.raise_event(w.id("nobody"), "e", 1)
    status = w.client.get_status(w.id("nobody")).status
    return [status, w.outcome(w.start(flow))["status"]]


@alone()
def cancel_of_nobody(w):
    @w.flow
    def flow(ctx, input):
        return "ran"

    yield
    w.client.cancel_instance(w.id("nobody"), "why")
    status = w.client.get_status(w.id("nobody")).status
    return [status, w.outcome(w.start(flow))["status"]]


@program
def chat_bot(w):
    @w.activity
    def generate(ctx, text):
        return f"Echo: {text}"

    @w.flow
    def flow(ctx, input):
        message = json.loads((yield ctx.dequeue_event("inbox")))
        response = yield ctx.schedule_activity(generate, message["text"])
        ctx.set_custom_status(json.dumps({"response": response, "seq": message["seq"]}))
        if "bye" in message["text"].lower():
            return f"Done after {message['seq']} msgs"
        return (yield ctx.continue_as_new(""))

    yield
    id = w.start(flow, "")
    seen, replies = 0, []
    for n, text in enumerate(("Hello!", "How?", "Bye!"), 1):
        w.client.enqueue_event(id, "inbox", json.dumps({"seq": n, "text": text}))
        status = w.client.wait_for_status_change(id, seen, 20, 20_000)
        replies.append(json.loads(status.custom_status))
        seen = status.custom_status_version
    return [replies, seen, w.report(id)]
