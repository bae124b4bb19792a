"""The examples in docstrings run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import pathlib
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import duroxide
from duroxide import Client, Runtime, SqliteProvider, _runtime, aio

# "::" at the end of a line, then everything that is further in.
BLOCK = re.compile(r"^(?P<indent> *)[^\n]*::\n\n(?P<code>(?:(?P=indent) {4}[^\n]*\n|\s*\n)+)", re.M)


def documented() -> Iterator[tuple[str, Any]]:
    """Every public name that can have a docstring, and the methods of the classes."""
    yield "duroxide", duroxide
    yield "duroxide.aio", aio
    for module in (duroxide, aio):
        for name in module.__all__:
            thing = getattr(module, name)
            if name.startswith("Py") or not callable(thing):
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for member, value in inspect.getmembers(thing, inspect.isroutine):
                    if not member.startswith("_"):
                        yield f"{module.__name__}.{name}.{member}", value


def examples() -> list[Any]:
    found = []
    for name, thing in documented():
        text = (inspect.getdoc(thing) or "") + "\n"
        for match in BLOCK.finditer(text):
            code = textwrap.dedent(match["code"])
            if not re.search(r"[├└]", code):  # a drawing
                found.append(pytest.param(code, id=name))
    return found


@pytest.fixture
def worker() -> Iterator[None]:
    """What the examples of clients start is run by somebody."""
    with SqliteProvider.open("app.db") as provider:
        runtime = Runtime(provider)
        runtime.register_orchestration("HelloWorkflow", lambda ctx, input: f"Hello, {input['name']}!")
        with runtime:
            yield


@pytest.mark.parametrize("code", examples())
def test_example_of_a_docstring_runs(
    code: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if "HelloWorkflow" in code and "register_orchestration" not in code:
        request.getfixturevalue("worker")
    running = set(_runtime._running)
    provider = SqliteProvider.in_memory()
    names: dict[str, Any] = {name: getattr(duroxide, name) for name in duroxide.__all__}
    names.update(aio=aio, provider=provider, client=Client(provider), runtime=Runtime(provider))
    try:
        compiled = compile(code, "docstring", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if compiled.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(compiled, names))
        else:
            exec(compiled, names)
    finally:
        for left in set(_runtime._running) - running:
            left.shutdown()
        for value in names.values():
            if isinstance(value, SqliteProvider):
                value.close()


def test_examples_are_found() -> None:
    assert {"duroxide", "duroxide.aio", "duroxide.Runtime"} <= {str(e.id) for e in examples()}
