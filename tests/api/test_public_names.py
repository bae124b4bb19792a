"""The public names and their signatures. A change of them is a change for users, so it is made on purpose::

python tests/api/test_public_names.py        # writes public_names.txt anew
"""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
import re
from typing import Any

import duroxide
from duroxide import aio

LIST = pathlib.Path(__file__).with_name("public_names.txt")

# What classes have from where they come.
INHERITED = {n for c in (object, Exception, OSError, dict) for n in dir(c)}


def signature(thing: Any) -> str:
    """Parameters with their defaults. Annotations are left to the type tests: how they print depends on the Python."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    text = str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def members(prefix: str, cls: type) -> list[str]:
    lines = []
    names = {n for c in cls.__mro__ for n in (*vars(c), *getattr(c, "__annotations__", {}))}
    for name in sorted(n for n in names if not n.startswith("_") and n not in INHERITED):
        value = inspect.getattr_static(cls, name, None)
        if isinstance(value, (classmethod, staticmethod)):
            lines.append(f"{prefix}.{name}{signature(getattr(cls, name))}")
        elif inspect.isfunction(value):
            kind = "async " if inspect.iscoroutinefunction(value) else ""
            lines.append(f"{kind}{prefix}.{name}{signature(value)}")
        else:
            lines.append(f"{prefix}.{name}")
    return lines


def nameable(base: type) -> bool:
    """Whether users can name it: not what the package splits a class into."""
    return not base.__module__.startswith("duroxide") or base.__name__ in duroxide.__all__


def public() -> list[str]:
    lines: list[str] = []
    for module in (duroxide, aio):
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            full = f"{module.__name__}.{name}"
            if name.startswith("Py") and inspect.isclass(thing):
                lines.append(f"{full} = duroxide.{thing.__name__}")
            elif inspect.isclass(thing):
                bases = ", ".join(b.__name__ for b in thing.__bases__ if nameable(b))
                lines.append(f"class {full}({bases})")
                if dataclasses.is_dataclass(thing) or "__init__" in vars(thing):
                    lines.append(f"{full}{signature(thing)}")
                lines += members(full, thing)
            elif callable(thing):
                lines.append(f"{full}{signature(thing)}")
            elif name == "__version__":
                lines.append(full)
            else:
                lines.append(f"{full} = {thing!r}")
    return lines


def test_public_names_and_signatures_are_the_listed_ones() -> None:
    listed = LIST.read_text(encoding="utf-8").splitlines()
    now = public()
    gone = [line for line in listed if line not in now]
    new = [line for line in now if line not in listed]
    assert (gone, new) == ([], []), "on purpose? then: python tests/api/test_public_names.py"
    assert listed == now


def test_every_public_name_says_what_it_is_for() -> None:
    silent = []
    for module in (duroxide, aio):
        assert module.__doc__
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing):
                continue
            if not inspect.getdoc(thing):
                silent.append(name)
            for member, value in inspect.getmembers(thing) if inspect.isclass(thing) else ():
                own = inspect.isroutine(value) or isinstance(value, property)
                if own and not member.startswith("_") and member not in INHERITED and not inspect.getdoc(value):
                    silent.append(f"{name}.{member}")
    assert silent == []


if __name__ == "__main__":
    LIST.write_text("\n".join(public()) + "\n", encoding="utf-8")
    print(f"{LIST}: {len(public())} names")
