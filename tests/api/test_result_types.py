"""result_type: what JSON gives is made what the caller asked for, or refused at the yield."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import pathlib
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any, NewType, Optional, TypedDict, Union

import pytest

from duroxide import Runtime
from harness import Engine

UTC = datetime.timezone.utc


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Address(TypedDict):
    street: str


@dataclass
class Line:
    sku: str
    price: decimal.Decimal
    added: datetime.datetime


@dataclass
class Order:
    id: int
    lines: list[Line]
    color: Color = Color.RED
    to: Optional[Address] = None
    notes: list[str] = field(default_factory=list)


class Model:
    """Stands for a pydantic model, which needs nothing else than this method."""

    def __init__(self, n: int) -> None:
        self.n = n

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.n == self.n

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        if not isinstance(value, dict) or not isinstance(value.get("n"), int):
            raise ValueError("n is no number")
        return cls(value["n"])


Cents = NewType("Cents", int)
AT = "2026-11-24T02:30:00Z"
WHEN = datetime.datetime(2026, 11, 24, 2, 30, tzinfo=UTC)

GOOD: list[tuple[str, Any, Any, Any]] = [
    ("nothing asked", [1], None, [1]),
    ("anything", {"a": 1}, Any, {"a": 1}),
    ("int", 1, int, 1),
    ("float from int", 1, float, 1.0),
    ("optional", None, Optional[int], None),
    ("union", "x", Union[int, str], "x"),
    ("list", [1, 2], list[int], [1, 2]),
    ("nested", {"a": [1]}, dict[str, list[int]], {"a": [1]}),
    ("keys that were numbers", {"7": "x"}, dict[int, str], {7: "x"}),
    ("tuple", [1, "a"], tuple[int, str], (1, "a")),
    ("set", [1, 1, 2], set[int], {1, 2}),
    ("enum", "red", Color, Color.RED),
    ("int enum", 3, Level, Level.HIGH),
    ("typed dict", {"street": "x"}, Address, {"street": "x"}),
    ("datetime", AT, datetime.datetime, WHEN),
    ("datetime from ms", int(WHEN.timestamp() * 1000), datetime.datetime, WHEN),
    ("date", "2026-11-24", datetime.date, WHEN.date()),
    ("time", "02:30:00", datetime.time, datetime.time(2, 30)),
    ("uuid", "12345678123456781234567812345678", uuid.UUID, uuid.UUID("12345678123456781234567812345678")),
    ("decimal", "1.10", decimal.Decimal, decimal.Decimal("1.10")),
    ("decimal from a number", 1.1, decimal.Decimal, decimal.Decimal("1.1")),
    ("path", "a/b", pathlib.Path, pathlib.Path("a/b")),
    ("new type", 5, Cents, 5),
    ("model", {"n": 1}, Model, Model(1)),
    (
        "dataclass",
        {
            "id": 1,
            "lines": [{"sku": "s", "price": "2.5", "added": AT}],
            "color": "red",
            "to": {"street": "x"},
            "more": 1,
        },
        Order,
        Order(1, [Line("s", decimal.Decimal("2.5"), WHEN)], Color.RED, {"street": "x"}),
    ),
]

BAD: list[tuple[str, Any, Any, str]] = [
    ("int", "1", int, "result is not a int: got str"),
    ("inside a dataclass", {"id": 1, "lines": [{"sku": 1}]}, Order, "result.lines[0].sku is not a str: got int"),
    ("model", {"n": "x"}, Model, "result is not a Model: n is no number"),
]


def register(runtime: Runtime, wanted: Any, seen: list[Any]) -> None:
    runtime.register_activity("Give", lambda ctx, x: x)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        try:
            seen.append((yield ctx.schedule_activity_typed("Give", json.dumps(input), wanted)))
        except TypeError as e:
            return str(e)
        (member,) = yield ctx.all([ctx.schedule_activity_typed("Give", json.dumps(input), result_type=wanted)])
        assert member["ok"] == seen[-1]
        won = yield ctx.race(ctx.schedule_activity_typed("Give", json.dumps(input), result_type=wanted))
        assert won["value"] == seen[-1]
        return "made"


@pytest.mark.parametrize(("value", "wanted", "made"), [g[1:] for g in GOOD], ids=[g[0] for g in GOOD])
def test_results_are_made_what_was_asked_for(memory: Engine, value: Any, wanted: Any, made: Any) -> None:
    seen: list[Any] = []
    runtime = memory.runtime()
    register(runtime, wanted, seen)
    runtime.start()
    assert memory.run("W", value) == "made"
    assert seen[0] == made
    assert type(seen[0]) is type(made)


@pytest.mark.parametrize(("value", "wanted", "text"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_does_not_fit_raises_at_the_yield(memory: Engine, value: Any, wanted: Any, text: str) -> None:
    runtime = memory.runtime()
    register(runtime, wanted, [])
    runtime.start()
    assert memory.run("W", value) == text


def test_events_mail_and_children_get_their_types_too(engine: Engine) -> None:
    seen: list[Any] = []
    runtime = engine.runtime()
    runtime.register_orchestration("Child", lambda ctx, x: x)

    @runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        seen.clear()
        seen.append((yield ctx.wait_for_event_typed("e", Color)))
        seen.append((yield ctx.dequeue_event_typed("q", datetime.datetime)))
        seen.append((yield ctx.schedule_sub_orchestration_typed("Child", [1], tuple[int])))
        seen.append((yield ctx.schedule_sub_orchestration_with_id_typed("Child", "c", '{"n": 2}', Model)))
        return "done"

    runtime.start()
    instance = engine.start("W")
    engine.client.raise_event(instance, "e", "red")
    engine.client.enqueue_event(instance, "q", AT)
    assert engine.output(instance) == "done"
    assert seen[:4] == [Color.RED, WHEN, (1,), Model(2)]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="X | Y is younger")
def test_unions_by_a_bar(memory: Engine) -> None:
    seen: list[Any] = []
    runtime = memory.runtime()
    register(runtime, eval("int | None"), seen)
    runtime.start()
    assert memory.run("W", 4) == "made"


def test_pydantic_models_are_validated(memory: Engine) -> None:
    import pydantic

    seen: list[Any] = []
    item = pydantic.create_model("Item", sku=(str, ...), count=(int, 1))
    runtime = memory.runtime()
    register(runtime, item, seen)
    runtime.start()
    assert memory.run("W", {"sku": "a"}) == "made"
    assert (seen[0].sku, seen[0].count) == ("a", 1)
    assert memory.run("W", {"sku": []}) == "result is not a Item: result.sku string_type"
