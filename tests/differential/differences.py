"""Where two runs of the programs differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ABSENT = "<absent>"


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """(program, place in its result, what one has, what the other has) for each difference; a history is one place."""
    found = []
    for name in sorted({*one, *other}):
        for place, a, b in _leaves(one.get(name, ABSENT), other.get(name, ABSENT), ""):
            found.append((name, place, a, b))
    return found


def _leaves(a: Any, b: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _leaves(a.get(key, ABSENT), b.get(key, ABSENT), f"{place}.{key}".lstrip("."))
    elif (
        isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and any(isinstance(x, (dict, list)) for x in a)
    ):
        for n, (x, y) in enumerate(zip(a, b)):
            yield from _leaves(x, y, f"{place}[{n}]")
    elif a != b or type(a) is not type(b):
        yield place, a, b
