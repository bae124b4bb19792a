"""Print the public signatures of the `duroxide` that this interpreter imports, as JSON.

{name: [[parameter, kind, default], ...]}, a default as its repr, null where there is none. Names that Python knows no
signature of are left out.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import duroxide


def callables() -> Iterator[tuple[str, Any]]:
    """Functions, classes and their public methods, by name."""
    for name in duroxide.__all__:
        thing = getattr(duroxide, name)
        if not callable(thing):
            continue
        yield name, thing
        if inspect.isclass(thing):
            for member in dir(thing):
                method = getattr(thing, member)
                if not member.startswith("_") and callable(method) and not hasattr(dict, member):
                    yield f"{name}.{member}", method


def signature(thing: Any) -> list[list[Any]] | None:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return None
    return [
        [p.name, p.kind.name, None if p.default is inspect.Parameter.empty else repr(p.default)]
        for p in parameters
        if p.name != "self"
    ]


if __name__ == "__main__":
    found = {name: signature(thing) for name, thing in callables()}
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(found.items()) if v is not None]
    print("{\n" + ",\n".join(lines) + "\n}")
