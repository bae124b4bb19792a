"""The public names, from the list of them, with what their docstrings are to hold."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from typing import Any, NamedTuple

import duroxide
from doc_pages import ROOT

LIST = ROOT / "tests" / "api" / "public_names.txt"


class Name(NamedTuple):
    """A public name: its path, the class it belongs to (None for those of a module), and what it stands for."""

    path: str
    owner: type | None
    thing: Any

    @property
    def kind(self) -> str:
        """class, callable, field or constant. Properties and attributes are fields."""
        if inspect.isclass(self.thing):
            return "class"
        if inspect.isroutine(self.thing):
            return "callable"
        return "field" if self.owner is not None else "constant"

    @property
    def field(self) -> str:
        return self.path.rpartition(".")[2]


def public() -> list[Name]:
    """All names of the list, each once; other names for the same class are left out."""
    found: dict[str, Name] = {}
    for line in LIST.read_text(encoding="utf-8").splitlines():
        match = re.match(r"(?:class |async )?([\w.]+)", line)
        assert match, line
        path = match[1]
        if path not in found and not re.match(r"duroxide\.Py\w+ = ", line):
            found[path] = Name(path, *_resolve(path))
    return list(found.values())


def _resolve(path: str) -> tuple[type | None, Any]:
    module, names = "duroxide", path.split(".")[1:]
    if names[0] == "aio":
        module, names = "duroxide.aio", names[1:]
    thing: Any = importlib.import_module(module)
    owner = None
    for name in names:
        owner = thing if inspect.isclass(thing) else None
        thing = inspect.getattr_static(thing, name, None) if owner else getattr(thing, name)
        thing = getattr(thing, "__func__", thing)
    return owner, thing


def parameters(name: Name) -> dict[str, Any]:
    """What callers give: the parameters, with their annotations as text; options; keys of a TypedDict."""
    thing = name.thing
    if thing is duroxide.RuntimeOptions or hasattr(thing, "__total__"):
        return {n: inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in thing.__annotations__}
    if name.kind == "class" and not _made_by_users(thing):
        return {}
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return {}
    return {
        ("*" * (p.kind is p.VAR_POSITIONAL) + "**" * (p.kind is p.VAR_KEYWORD)) + p.name: p
        for p in signature.parameters.values()
        if p.name not in ("self", "cls") and not p.name.startswith("_")
    }


def _made_by_users(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or "__init__" in vars(cls)
