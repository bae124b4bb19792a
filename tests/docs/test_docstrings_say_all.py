"""Every public name says what it is, and shows it.

What is held to this is the list tests/api/public_names.txt. The rules:

- Classes, functions and methods have a docstring of their own with a section ``Example:``, which
  test_docstring_examples.py runs. It uses what it is an example of.
- Attributes, fields of results, options, keys of a TypedDict and properties without an example are named in the
  docstring of the class that has them, or of a base, and its example uses or shows each: one example for all.
- Constants are on a page of the reference, in its text and in code that runs.
- Every parameter has an entry under ``Args:`` (or ``Attributes:``, where the constructor takes the fields) with its
  type, which is that of the annotation. The entry says the default, where there is one, and for a time the unit.
- The errors that a function raises, itself or through what it calls in the package, are under ``Raises:``, by their
  own name or that of a base; for methods those that the class names for all of them count too.
- The coroutines of duroxide.aio say the same as the methods, but for the example.

What the engine raises is not seen here; that part of ``Raises:`` is kept by hand.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
import re
import sys
import typing
from typing import Any

import pytest

import duroxide
from doc_pages import ROOT, blocks
from docstring_examples import sections
from duroxide import aio
from public_docs import Name, parameters, public
from raised_errors import raised

NAMES = public()

# Not made by users: the context gives tasks.
NOT_MADE_BY_USERS = {"duroxide.ScheduledTask"}


def of_kind(*kinds: str) -> list[Any]:
    return [pytest.param(name, id=name.path) for name in NAMES if name.kind in kinds]


def entries(thing: object, *titles: str) -> dict[str, tuple[str, str]]:
    """Type and text of each name under the titles."""
    found = {}
    for title in titles:
        for entry in re.split(r"\n(?! )", sections(thing).get(title, "")):
            match = re.fullmatch(r"(?P<names>[\w*, ]+) \((?P<type>[^()]*)\): (?P<text>.*)", " ".join(entry.split()))
            if match:
                found.update(dict.fromkeys(match["names"].split(", "), (match["type"], match["text"])))
    return found


def bases(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith("duroxide")]


def test_the_list_is_read() -> None:
    kinds = {kind: sum(name.kind == kind for name in NAMES) for kind in ("class", "callable", "field", "constant")}
    assert kinds["class"] > 40, kinds
    assert kinds["callable"] > 130, kinds
    assert kinds["field"] > 150, kinds
    assert kinds["constant"] == 5, kinds


@pytest.mark.parametrize("name", of_kind("class", "callable"))
def test_says_what_it_is_and_shows_it(name: Name) -> None:
    assert name.thing.__doc__, "no docstring of its own"
    said = sections(name.thing)
    assert re.match(r"\S[^\0]*?[.:]", said[""]), "begins with a sentence"
    assert ">>>" in said.get("Example", ""), "no Example: section"
    same = name.thing.__name__  # register_activity_typed is register_activity
    assert re.search(rf"\b({name.field}|{same})\b", said["Example"]), "its example does not use it"


@pytest.mark.parametrize("name", of_kind("field"))
def test_field_is_named_and_used_in_the_docstring_of_its_class(name: Name) -> None:
    if isinstance(name.thing, property):
        assert re.match(r"\S[^\0]*?[.:]", sections(name.thing)[""])
        assert name.field in sections(name.thing).get("Example", "")
        return
    assert name.owner is not None
    for cls in bases(name.owner):
        entry = entries(cls, "Attributes", "Args").get(name.field)
        if entry is not None:
            break
    else:
        raise AssertionError(f"{name.owner.__name__} does not name it")
    said, text = entry
    declared = vars(cls).get("__annotations__", {}).get(name.field, "Any")
    wanted = shown(getattr(declared, "__forward_arg__", declared))  # the keys of a TypedDict are ForwardRef
    taken = said.replace(" or timedelta", "") if cls is duroxide.RuntimeOptions else said  # read as ms
    assert "Any" in wanted or taken == wanted
    assert not name.field.endswith(("_ms", "_at", "_before", "since")) or re.search(r"\bms\b", text), "no unit"
    assert re.search(rf"\b{name.field}\b", sections(cls).get("Example", "")), (
        f"{cls.__name__}'s example does not use it"
    )


@pytest.mark.parametrize("name", of_kind("constant"))
def test_constant_is_on_a_page_of_the_reference(name: Name) -> None:
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        code = "".join(block.source for block in blocks(text) if block.language == "python")
        if re.search(rf"autodata:: {name.path}\n\n +\S", text) and name.field in code:
            return
    raise AssertionError("on no page")


_SHOWN = {"Milliseconds": "int or timedelta", "Name": "str or function"}


def shown(annotation: str) -> str:
    """A type as docstrings write it."""
    return _shown(ast.parse(annotation, mode="eval").body)


def _shown(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        base = ast.unparse(node.value)
        if base in ("Literal", "Callable"):
            return {"Literal": "str", "Callable": "function"}[base]
        if base == "os.PathLike":
            return "PathLike"
        parts = [_shown(e) for e in (node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice])]
        if base == "Optional":
            return parts[0] if parts[0].endswith(" or None") else f"{parts[0]} or None"
        return " or ".join(parts) if base == "Union" else f"{base}[{', '.join(parts)}]"
    if isinstance(node, ast.Constant):
        return str(node.value)
    named = ast.unparse(node)
    for module in [m for n, m in sys.modules.items() if n.startswith("duroxide.")]:
        if typing.get_origin(getattr(module, named, None)) is typing.Literal:
            return "str"
    return _SHOWN.get(named, named)


def is_result(name: Name) -> bool:
    """Whether calls give it, so that nobody asks for the defaults of its fields."""
    return dataclasses.is_dataclass(name.thing) and name.thing not in (duroxide.PruneOptions, duroxide.InstanceFilter)


@pytest.mark.parametrize("name", [p for p in of_kind("class", "callable") if parameters(p.values[0])])
def test_parameters_have_types_units_and_defaults(name: Name) -> None:
    if name.path in NOT_MADE_BY_USERS:
        assert "do not make one" in sections(name.thing)[""]
        return
    known = entries(name.thing, "Args", "Attributes")
    wrong = []
    for parameter, declared in parameters(name).items():
        if parameter not in known:
            wrong.append(f"{parameter}: no entry")
            continue
        said, text = known[parameter]
        wanted = shown(declared.annotation) if isinstance(declared.annotation, str) else "Any"
        if "Any" not in wanted and said != wanted:
            wrong.append(f"{parameter}: ({said}) is ({wanted})")
        optional = declared.default is not inspect.Parameter.empty and not is_result(name)
        if optional and not re.search(r"default|see below", text, re.I):
            wrong.append(f"{parameter}: does not say its default")
        is_time = parameter.endswith(("_ms", "_before", "_after")) or "timedelta" in said
        if is_time and not re.search(r"\bms\b", text):
            wrong.append(f"{parameter}: does not say its unit")
    assert wrong == []


# What is found, but cannot happen with the arguments that are passed on.
UNREACHED = {"duroxide.Runtime": (ValueError,), "duroxide.Runtime.run_forever": (TypeError, ValueError)}
_OF_ALL = re.compile(r"\b(?:Every method|All others) raises? (\w+)")


def documented_errors(name: Name) -> tuple[type[BaseException], ...]:
    names = [
        n
        for listed in re.findall(r"^([\w, ]+): ", sections(name.thing).get("Raises", ""), re.M)
        for n in listed.split(", ")
    ]
    if name.owner is not None:
        names += _OF_ALL.findall(" ".join(sections(name.owner)[""].split()))
    return tuple(getattr(duroxide, n, None) or getattr(builtins, n) for n in names)


@pytest.mark.parametrize("name", of_kind("class", "callable"))
def test_errors_that_it_raises_are_named(name: Name) -> None:
    if name.owner is aio.Client:
        return  # says what the method says, see below
    if name.kind == "class" and (name.path in NOT_MADE_BY_USERS or issubclass(name.thing, BaseException)):
        return
    documented = (*documented_errors(name), *UNREACHED.get(name.path, ()))
    assert [e.__name__ for e in raised(name.thing, name.owner) if not issubclass(e, documented)] == []


def test_errors_are_found_through_calls_and_not_behind_handlers() -> None:
    client, runtime = duroxide.Client, duroxide.Runtime
    assert raised(client.start_orchestration, client) >= {duroxide.InvalidArgument, TypeError, ValueError}
    assert duroxide.InvalidArgument not in raised(duroxide.TagFilter.tags)  # made a ConfigurationError
    assert raised(runtime.health, runtime) == {duroxide.RuntimeStateError}
    assert raised(duroxide.InstanceTree.to_dict, duroxide.InstanceTree) == set()


@pytest.mark.parametrize("name", [n.field for n in NAMES if n.owner is duroxide.Client])
def test_coroutine_says_what_the_method_says(name: str) -> None:
    method, coroutine = (sections(getattr(client, name)) for client in (duroxide.Client, aio.Client))
    assert method.pop("Example") != (example := coroutine.pop("Example"))
    assert coroutine == method
    assert re.search(rf"(await|async for \w+ in) \w+\.{name}\(", example)
