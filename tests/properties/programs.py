"""Random workflow programs, as JSON values that the interpreter runs and the model predicts.

A program is ``{"body": [node, ...], "tail": tail}``; a tail is ``["return"]``, ``["raise", msg]`` or
``["continue", program]``. A node is a list whose first element is its kind:

    ["act", v]                 an activity that gives v back
    ["aact", v]                the same, as `async def`
    ["fail", msg]              an activity that raises
    ["retry", n, most]         an activity that raises in its first n attempts, under a policy of `most` attempts
    ["timer", ms], ["guid"], ["clock"]
    ["event", v]               waits for an event that an activity raises meanwhile
    ["mail", queue, n]         takes the next n messages of a queue that was filled before the start
    ["child", program, id]     a child; id is None or the suffix of an id of its own
    ["detach", program]        starts a program and does not wait
    ["set", key, v], ["get", key], ["clear", key], ["count"]     KV
    ["status", text]           custom status; None resets it
    ["seq", [node, ...]]       a list of values; inside of all and race a branch
    ["try", node]              {"ok": value} or {"err": token}
    ["finally", node, node]    the second runs however the first ends
    ["raise", msg]
    ["if", node, node, node]
    ["all", [node, ...]]
    ["race", i, winner, [loser, ...]]     the winner stands at position i among losers that never end
    ["contest", [node, ...]]   a race that anybody may win: its outcome is not predicted

Losers are ["never", kind]. Every message that is raised is a token ("E7!"), so that it is found in whatever text it is
wrapped in on its way up.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Node = list[Any]
Program = dict[str, Any]

NEVER = ("event", "timer", "activity", "queue", "child", "all", "branch", "race")

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["", "null", "123", '{"ok": 1}', "naïve ☃ 𝄞", "\ud800", "a\nb", "E"]),
)
values = st.recursive(
    _scalars,
    lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(st.text(max_size=4), v, max_size=3)),
    max_leaves=4,
)
tokens = st.integers(0, 99).map(lambda n: f"E{n}!")
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
keys = st.sampled_from(["a", "b", "c"])


def _kind(name: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    return st.tuples(*parts).map(lambda p: [name, *p])


_steps = st.one_of(
    _kind("act", values),
    _kind("act", values),
    _kind("aact", values),
    _kind("fail", tokens),
    _kind("retry", st.integers(0, 3), st.integers(1, 3)),
    _kind("timer", st.integers(0, 4)),
    _kind("guid"),
    _kind("clock"),
    _kind("event", values),
    _kind("raise", tokens),
    _kind("set", keys, texts),
    _kind("get", keys),
    _kind("clear", keys),
)


def _nested(node: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    losers = st.lists(st.sampled_from(NEVER).map(lambda k: ["never", k]), min_size=1, max_size=3)
    return st.one_of(
        _kind("seq", st.lists(node, max_size=4)),
        _kind("try", node),
        _kind("finally", node, node),
        _kind("if", node, node, node),
        _kind("all", st.lists(node, max_size=4)),
        _kind("all", st.lists(node, min_size=2, max_size=4)),
        st.tuples(st.integers(0, 3), node, losers).map(lambda t: ["race", min(t[0], len(t[2])), t[1], t[2]]),
    )


def _programs(node: st.SearchStrategy[Node], top: st.SearchStrategy[Node], depth: int) -> st.SearchStrategy[Program]:
    tails: list[st.SearchStrategy[Any]] = [st.just(["return"]), st.just(["return"]), _kind("raise", tokens)]
    if depth:
        tails.append(_kind("continue", _programs(node, top, depth - 1)))
    return st.fixed_dictionaries({"body": st.lists(st.one_of(top, node), max_size=5), "tail": st.one_of(tails)})


def _build(*, contests: bool) -> st.SearchStrategy[Program]:
    def nested(node: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        more = _nested(node)
        return st.one_of(more, _kind("contest", st.lists(node, min_size=1, max_size=4))) if contests else more

    plain = st.recursive(_steps, nested, max_leaves=8)
    # What only the root does, since its order among branches is the machine's.
    top = st.one_of(
        _kind("status", st.one_of(st.none(), texts)),
        _kind("count"),
        _kind("mail", st.integers(0, 2), st.integers(1, 3)),
        _kind("detach", _programs(_steps, _steps, 0)),
    )
    small = _programs(plain, _steps, 1)
    family = _kind("child", small, st.one_of(st.none(), st.just("own")))
    node = st.recursive(st.one_of(_steps, _steps, _steps, family), nested, max_leaves=10)
    return _programs(node, top, 2)


#: Programs with one outcome, whatever the machine does.
certain = _build(contests=False)
#: Programs whose outcome depends on who is faster.
uncertain = _build(contests=True)


def batches(program: st.SearchStrategy[Program], most: int) -> st.SearchStrategy[list[Program]]:
    """Programs that run at once; a batch shrinks to one of them."""
    return st.integers(1, most).flatmap(lambda n: st.lists(program, min_size=n, max_size=n))


def show(program: Program) -> str:
    """A program as one can paste it into a test."""
    return json.dumps(program, ensure_ascii=True)


def mails(program: Program) -> int:
    """How many messages the root of a program takes at most of any one queue, in all its executions."""
    taken = [0, 0, 0]
    at: Program | None = program
    while at is not None:
        for node in at["body"]:
            if node[0] == "mail":
                taken[node[1]] += node[2]
        at = at["tail"][1] if at["tail"][0] == "continue" else None
    return max(taken)
