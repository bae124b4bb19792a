"""Where this package differs from the peer on purpose: program, place in its result, what it is here, why.

Reasons that begin with `unresolved` are differences that should go.
"""

from __future__ import annotations

from typing import Any

from differences import ABSENT

CLOSED = (
    "What a lost race closes is recorded before code goes on, so that it stands in history where it happened; "
    "the peer records it at the end of the turn."
)
COUNT = (
    "Each activity is counted once in the metrics; the peer counts it twice, and all runtimes of a process together."
)
DELAY = (
    "A delay that is no whole number of milliseconds is refused at the call that gives it; in the peer the "
    "whole instance fails."
)
DEQUEUE = "A queued message is recorded when a dequeue takes it, not when it arrives."
DRAIN = "A workflow may read any number of waiting messages in one turn; the peer fails it at a hundred."
ENDED = (
    "A wait for a status gives None when the instance has ended with nothing newer, so that a polling loop "
    "ends; in the peer it spins."
)
EVENTDATA = (
    "Events have data wherever there is something to tell, the id that was really used, and the dequeue that "
    "took a message."
)
LOST_START = "A detached start is sent also by the turn that continues as new; the peer loses it."
NEST = "Joins and races nest, and a race takes any number of tasks."
NOBODY = "A message to an instance that does not exist stops nobody; in the peer it blocks every instance of the file."
NONE = "The backoff 'none' waits for nothing between attempts; the peer waits as with 'linear'."
OLDEST = (
    "Waiting messages are applied one at a time, the oldest first, and decide a race in that order; the peer "
    "takes the lowest index."
)
OUTPUT = "A running execution has no output; the peer gives an empty text."
PARENT = "The cancel that a parent passes on to its child is recorded in the parent's history."
POLICY = "A retry policy that makes no sense is refused at the call, where code can catch it."
PRUNE = (
    "unresolved: the text of an instance that is not found lacks the name of the call in front, as that of "
    "delete_instance has none."
)
REFUSED = (
    "A value over a limit is refused at the call that gives it, as InvalidArgument that code can catch; in the "
    "peer the whole instance fails at the end of the turn."
)
STAMP = "Values are pruned by stamps that history holds, not by the clock at the time of a replay."
SYSTEM = "The clock and random ids may be members of a join."
TIMER = "The timer that lost a race is taken away with the commit; in the peer it fires later, into history."
TIMES = "Times of instances and executions are real; the peer gives 0 on SQLite."
TOLD = "An activity that lost a race is told at once; in the peer only when its lock is renewed, up to 25 s later."
TOTAL = (
    "total_timeout_ms bounds all attempts together and is kept when attempts are many and short; the peer "
    "takes it for the time of one attempt."
)
VERSION = (
    "custom_status_version grows with every change, so that it does not depend on where turns end; the peer's "
    "grows once a commit."
)
WAITED = "A wait for a status gives None on time-out, as the guide says; the peer raises."
YIELD = "Yielding what is no task raises TypeError at that yield; in the peer the whole instance fails."


INTENDED: list[tuple[str, str, Any, str]] = [
    ("activity_that_loses_is_told", "[1]", "told", TOLD),
    ("all_inside_race", "output", {"index": 0, "value": [{"ok": 1}, {"ok": 2}]}, NEST),
    ("cancel_of_nobody", "", ["NotFound", "Completed"], NOBODY),
    (
        "chat_bot",
        "[2].history[0]",
        [
            "OrchestrationStarted",
            "QueueSubscribed",
            "QueueEventDelivered",
            "ActivityScheduled",
            "ActivityCompleted",
            "CustomStatusUpdated",
            "OrchestrationContinuedAsNew",
        ],
        DEQUEUE,
    ),
    ("clock_and_guid_inside_all", "output", ["clock", "guid"], SYSTEM),
    ("counters_of_the_runtime", "activity_app_errors", 1, COUNT),
    ("counters_of_the_runtime", "activity_success", 1, COUNT),
    ("counters_of_the_runtime", "orch_failures", 1, COUNT),
    ("detached_start_before_continue_as_new", "[1]", "Completed", LOST_START),
    ("event_for_nobody", "", ["NotFound", "Completed"], NOBODY),
    ("history_with_its_data", "[8][2]", 8, EVENTDATA),
    ("history_with_its_data", "[9][3].instance", "history_with_its_data-1::sub::10", EVENTDATA),
    ("history_with_its_data", "[11]", [12, "CustomStatusUpdated", None, {"status": "s"}], EVENTDATA),
    ("history_with_its_data", "[12]", [13, "KeyValueSet", None, {"key": "k", "value": "v"}], EVENTDATA),
    ("history_with_its_data", "[13]", [14, "KeyValueCleared", None, {"key": "k"}], EVENTDATA),
    (
        "history_with_its_data",
        "[15]",
        [
            16,
            "OrchestrationChained",
            None,
            {"input": 3, "instance": "history_with_its_data-x-detached", "name": "history_with_its_data.child"},
        ],
        EVENTDATA,
    ),
    ("info_of_executions", "[0][2].output", None, OUTPUT),
    (
        "kv_pruned",
        "history[0]",
        [
            "OrchestrationStarted",
            "KeyValueSet",
            "TimerCreated",
            "TimerFired",
            "ActivityScheduled",
            "ActivityCompleted",
            "TimerCreated",
            "TimerFired",
            "KeyValueSet",
            "KeyValueCleared",
            "OrchestrationCompleted",
        ],
        STAMP,
    ),
    ("kv_pruned", "output[0]", 1, STAMP),
    ("kv_pruned", "output[1].old", ABSENT, STAMP),
    (
        "parent_cancelled_by_a_client",
        "[0].history[0]",
        [
            "OrchestrationStarted",
            "SubOrchestrationScheduled",
            "OrchestrationCancelRequested",
            "SubOrchestrationCancelRequested",
            "OrchestrationFailed",
        ],
        PARENT,
    ),
    ("prune_nobody", "text", "Instance prune-nobody not found", PRUNE),
    ("queue_drained_of_many", "error", ABSENT, DRAIN),
    ("queue_drained_of_many", "output", True, DRAIN),
    ("queue_drained_of_many", "status", "Completed", DRAIN),
    (
        "queue_read_later",
        "history[0]",
        [
            "OrchestrationStarted",
            "ExternalSubscribed",
            "ExternalEvent",
            "QueueSubscribed",
            "QueueEventDelivered",
            "QueueSubscribed",
            "QueueEventDelivered",
            "OrchestrationCompleted",
        ],
        DEQUEUE,
    ),
    ("race_inside_all", "output", [{"ok": {"index": 0, "value": 1}}, {"ok": 2}], NEST),
    (
        "race_lost_by_a_dequeue_keeps_the_message",
        "history[0]",
        [
            "OrchestrationStarted",
            "QueueSubscribed",
            "TimerCreated",
            "TimerFired",
            "QueueSubscriptionCancelled",
            "CustomStatusUpdated",
            "QueueSubscribed",
            "QueueEventDelivered",
            "OrchestrationCompleted",
        ],
        CLOSED,
    ),
    (
        "race_lost_by_a_wait_then_waited_for_again",
        "history[0]",
        [
            "OrchestrationStarted",
            "ExternalSubscribed",
            "TimerCreated",
            "TimerFired",
            "ExternalSubscribedCancelled",
            "ExternalSubscribed",
            "ExternalEvent",
            "OrchestrationCompleted",
        ],
        CLOSED,
    ),
    ("race_of_ready_messages", "output.index", 1, OLDEST),
    ("race_of_ready_messages", "output.value", "first", OLDEST),
    ("race_of_three", "output", ["won", {"index": 2, "value": "done"}], NEST),
    ("retry_in_all_the_time_there_is", "output", "timeout: activity timed out", TOTAL),
    ("retry_of_no_attempt", "[0].error", ABSENT, POLICY),
    ("retry_of_no_attempt", "[0].output", ["gave up", "retry policy: max_attempts must be at least 1"], POLICY),
    ("retry_of_no_attempt", "[0].status", "Completed", POLICY),
    (
        "retry_with_an_unknown_backoff",
        "[0].output",
        ["gave up", "retry policy: backoff must be one of exponential, fixed, linear, none, got 'cubic'"],
        POLICY,
    ),
    ("retry_with_an_unknown_backoff", "[1]", 0, POLICY),
    (
        "retry_without_distance",
        "[0].history[0]",
        [
            "OrchestrationStarted",
            "ActivityScheduled",
            "ActivityFailed",
            "ActivityScheduled",
            "ActivityFailed",
            "ActivityScheduled",
            "ActivityCompleted",
            "OrchestrationCompleted",
        ],
        NONE,
    ),
    ("status_set_twice_in_a_turn", "[1]", 2, VERSION),
    ("status_waited_for_after_the_end", "[3]", None, ENDED),
    ("status_waited_for_in_vain", "[0].gives", None, WAITED),
    ("status_waited_for_in_vain", "[0].raises", ABSENT, WAITED),
    ("status_waited_for_in_vain", "[0].text", ABSENT, WAITED),
    (
        "tag_too_long",
        "",
        ["Completed", "Activity 'tag_too_long.work' tag size (257 bytes) exceeds limit (256 bytes)"],
        REFUSED,
    ),
    (
        "timer_after_a_timer_lost",
        "history[0]",
        [
            "OrchestrationStarted",
            "ActivityScheduled",
            "TimerCreated",
            "ActivityCompleted",
            "TimerCreated",
            "TimerFired",
            "OrchestrationCompleted",
        ],
        TIMER,
    ),
    ("timer_of_half_a_millisecond", "", ["Completed", "refused at the call"], DELAY),
    ("timer_of_negative_time", "", ["Completed", "refused at the call"], DELAY),
    ("timer_of_text", "", ["Completed", "refused at the call"], DELAY),
    ("times_of_an_instance", "", [True, True, True], TIMES),
    ("yields_a_list", "", ["Completed", "TypeError at the yield"], YIELD),
    ("yields_a_number", "", ["Completed", "TypeError at the yield"], YIELD),
    ("yields_none", "", ["Completed", "TypeError at the yield"], YIELD),
]
