"""The programs in the docstrings of the modules run; those of classes and functions: see test_docstring_examples.py."""

from __future__ import annotations

import ast
import asyncio
import inspect
import pathlib
import re
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import pytest

import duroxide
from duroxide import Runtime, SqliteProvider, _runtime, aio

# "::" on a line of its own, then everything that is further in.
BLOCK = re.compile(r"^::\n\n(?P<code>(?: {4}[^\n]*\n|\s*\n)+)", re.M)


def program(module: types.ModuleType) -> str:
    block = BLOCK.search((inspect.getdoc(module) or "") + "\n")
    assert block, f"the docstring of {module.__name__} has no program"
    return textwrap.dedent(block["code"])


@pytest.fixture
def worker() -> Iterator[None]:
    """Runs what the program of duroxide.aio starts."""
    with SqliteProvider.open("app.db") as provider:
        runtime = Runtime(provider)
        runtime.register_orchestration("HelloWorkflow", lambda ctx, input: f"Hello, {input['name']}!")
        with runtime:
            yield


@pytest.mark.parametrize("module", [duroxide, aio], ids=lambda m: str(m.__name__))
def test_program_of_a_module_runs(
    module: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    code = program(module)
    if "register_orchestration" not in code:
        request.getfixturevalue("worker")
    running = set(_runtime._running)
    names: dict[str, Any] = {}
    try:
        compiled = compile(code, module.__name__, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if compiled.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(compiled, names))
        else:
            exec(compiled, names)
        assert set(_runtime._running) == running, "a runtime is left running"
    finally:
        for left in set(_runtime._running) - running:
            left.shutdown()
        for value in names.values():
            if isinstance(value, SqliteProvider):
                value.close()
