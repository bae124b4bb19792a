"""The texts of results that do not fit their type: the same on every version of Python and of pydantic.

A workflow may pass such a text on, so that it stands in its history: after an upgrade, a replay has to make it again.
None of these may ever change.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, Dict, List, Literal, NewType, Optional, Tuple, TypedDict, Union  # noqa: UP035

import pytest

from duroxide._typed import converter


class Color(enum.Enum):
    RED = "red"


class Address(TypedDict):
    zip: str
    city: str


@dataclass
class Place:
    zip: str


@dataclass
class Order:
    id: int
    to: Optional[Place] = None
    lines: list[Place] = field(default_factory=list)
    colors: Dict[str, List[Color]] = field(default_factory=dict)  # noqa: UP006


@dataclass
class Demanding:
    n: int
    more: InitVar[int]


@dataclass
class Refusing:
    n: int

    def __post_init__(self) -> None:
        raise TypeError("n is out of order")


Cents = NewType("Cents", int)
Annotated = getattr(typing, "Annotated")  # noqa: B009

TEXTS: list[tuple[Any, Any, str]] = [
    (int, "1", "result is not a int: got str"),
    (int, True, "result is not a int: got bool"),
    (int, None, "result is not a int: got NoneType"),
    (type(None), 1, "result is not a None: got int"),
    (Cents, "x", "result is not a int: got str"),
    (Annotated[int, "cents"], "x", "result is not a int: got str"),
    (Optional[int], "x", "result is not a int: got str"),
    (Optional[Place], {"zip": 5}, "result.zip is not a str: got int"),
    (Union[None, List[int]], [1, "x"], "result[1] is not a int: got str"),  # noqa: UP006
    (Union[int, str], [], "result is not a int or str: got list"),
    (Union[int, None, str], [], "result is not a int or str or None: got list"),
    (Union[Place, List[int], Dict[str, Any]], 5, "result is not a Place or list[int] or dict[str, Any]: got int"),  # noqa: UP006
    (Literal["a", 5, None, "ü"], "b", "result is not a Literal['a', 5, None, '\\xfc']: got str"),
    (Literal[Color.RED], "b", "result is not a Literal[Color.RED]: got str"),
    (list, 5, "result is not a list: got int"),
    (List, 5, "result is not a list: got int"),  # noqa: UP006
    (List[int], 5, "result is not a list[int]: got int"),  # noqa: UP006
    (list[int], [1, "x"], "result[1] is not a int: got str"),
    (Sequence[Place], "x", "result is not a Sequence[Place]: got str"),
    (Mapping[str, int], [], "result is not a Mapping[str, int]: got list"),
    (dict[str, Optional[int]], [], "result is not a dict[str, int or None]: got list"),
    (dict[str, int], {"a'b\n\U0001fae8": "x"}, 'result["a\'b\\n\\U0001fae8"] is not a int: got str'),
    (dict[int, str], {"x": "y"}, "result: key 'x' is not an int"),
    (Tuple[int, ...], 5, "result is not a tuple[int, ...]: got int"),  # noqa: UP006
    (tuple[int, str], [1], "result has 1 items, not 2"),
    (set[int], [1, "x"], "result[1] is not a int: got str"),
    (set, [[1]], "result is not a set: got list"),
    (set[Any], [{}], "result is not a set[Any]: got list"),
    (Color, "blue", "result is not a Color: got str"),
    (datetime.datetime, "yesterday", 'result is not a datetime: got "yesterday"'),
    (datetime.datetime, [], "result is not a datetime: got list"),
    (datetime.datetime, 10**20, "result is not a datetime: 100000000000000000000 ms are out of range"),
    (datetime.datetime, float("nan"), "result is not a datetime: nan ms are out of range"),
    (datetime.date, "x" * 200, f'result is not a date: got "{"x" * 100}"'),
    (datetime.time, "\U0001fae8", 'result is not a time: got "\\ud83e\\udee8"'),
    (uuid.UUID, "x", 'result is not a UUID: got "x"'),
    (decimal.Decimal, "x", 'result is not a Decimal: got "x"'),
    (pathlib.Path, 5, "result is not a Path: got int"),
    (Address, {}, "result has no 'city', which Address requires"),
    (Address, {"zip": 1, "city": "x"}, "result['zip'] is not a str: got int"),
    (Address, [], "result is not a Address: got list"),
    (Order, [], "result is not a Order: got list"),
    (Order, {}, "result has no 'id', which Order requires"),
    (Order, {"id": 1, "to": {"zip": 5}}, "result.to.zip is not a str: got int"),
    (Order, {"id": 1, "lines": [{"zip": "x"}, {}]}, "result.lines[1] has no 'zip', which Place requires"),
    (Order, {"id": 1, "colors": {"a": ["red", "blue"]}}, "result.colors['a'][1] is not a Color: got str"),
    (Demanding, {"n": 1}, "result is not a Demanding: it takes other arguments than its fields"),
    (Refusing, {"n": 1}, "result is not a Refusing: n is out of order"),
]


def text_of(wanted: Any, value: Any) -> str:
    convert = converter(wanted)
    assert convert is not None
    with pytest.raises(TypeError) as caught:
        convert(value)
    return str(caught.value)


@pytest.mark.parametrize(("wanted", "value", "text"), TEXTS, ids=[text for _, _, text in TEXTS])
def test_text_of_what_does_not_fit(wanted: Any, value: Any, text: str) -> None:
    assert text_of(wanted, value) == text


@pytest.mark.skipif(not hasattr(__import__("types"), "UnionType"), reason="X | Y is younger")
def test_unions_by_a_bar_have_the_same_texts() -> None:
    assert text_of(eval("int | None"), "x") == "result is not a int: got str"
    assert text_of(eval("int | None | str"), []) == "result is not a int or str or None: got list"


def test_texts_of_pydantic_models_are_places_and_codes() -> None:
    pydantic = pytest.importorskip("pydantic")

    def refuse(value: int) -> int:
        raise ValueError(f"{value} is out of order: {object()!r}")

    checked = Annotated[int, pydantic.AfterValidator(refuse)]
    inner = pydantic.create_model("Inner", zip=(str, ...), n=(int, 0))
    model = pydantic.create_model(
        "Model",
        id=(int, ...),
        to=(Optional[inner], None),
        lines=(List[inner], []),  # noqa: UP006
        by_key=(Dict[int, inner], {}),  # noqa: UP006
        either=(Union[inner, List[int]], []),  # noqa: UP006
        checked=(checked, 0),
        named=(int, pydantic.Field(0, alias="a name")),
    )
    texts = {
        "result is not a Model: result model_type": 5,
        "result is not a Model: result.id missing": {},
        "result is not a Model: result.id int_parsing": {"id": "x"},
        "result is not a Model: result.to.zip string_type": {"id": 1, "to": {"zip": 5}},
        "result is not a Model: result.id missing, result.lines[1].zip missing": {"lines": [{"zip": "a"}, {}]},
        "result is not a Model: result.by_key['7'].zip string_type": {"id": 1, "by_key": {"7": {"zip": 5}}},
        "result is not a Model: result.by_key.x int_parsing": {"id": 1, "by_key": {"x": {"zip": "a"}}},
        "result is not a Model: result.either.zip missing, result.either list_type": {"id": 1, "either": {}},
        "result is not a Model: result.checked value_error": {"id": 1, "checked": 5},
        "result is not a Model: result['a name'] int_type": {"id": 1, "a name": []},
        "result is not a Model: " + ", ".join(f"result.lines[{n}].zip missing" for n in range(10)) + " and 90 more": {
            "id": 1,
            "lines": [{}] * 100,
        },
    }
    assert [text_of(model, value) for value in texts.values()] == list(texts)
    assert text_of(list[model], [{"id": "x"}]) == "result[0] is not a Model: result[0].id int_parsing"
    assert text_of(Optional[model], {}) == "result is not a Model: result.id missing"
