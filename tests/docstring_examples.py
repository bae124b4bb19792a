"""The examples in docstrings: how they are found, and run in the program that docs/reference/index.md shows.

An example is the section ``Example:`` of a docstring and looks like a Python session. ``await`` may stand outside a
function, as in ``python -m asyncio``.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import re
import sys
import traceback
from typing import Any

from doc_pages import ROOT, blocks

PROGRAM = ROOT / "docs" / "reference" / "index.md"
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_SECTION = re.compile(r"^(?P<title>[A-Z]\w+):\n(?P<text>(?:(?: {4}[^\n]*)?\n)+)", re.M)


def sections(thing: object) -> dict[str, str]:
    """The sections of a docstring by title, without their indentation; what is above the first is ``""``."""
    text = (inspect.getdoc(thing) or "") + "\n"
    found = {m["title"]: inspect.cleandoc("\n" + m["text"]) for m in _SECTION.finditer(text)}
    found[""] = _SECTION.sub("", text).strip()
    return found


def program(options: dict[str, Any]) -> dict[str, Any]:
    """The names of the program, whose runtime is started with some options."""
    block = next(b for b in blocks(PROGRAM.read_text(encoding="utf-8")) if b.language == "python")
    source = "\n" * block.line + block.source  # so that tracebacks name the line of the page
    names: dict[str, Any] = {"__name__": "__main__"}
    made = f"Runtime(provider, RuntimeOptions(**{options!r}))"
    assert source.count("Runtime(provider)") == 1
    exec(compile(source.replace("Runtime(provider)", made), str(PROGRAM), "exec", dont_inherit=True), names)
    return names


class Example:
    """One example, run line by line as a session."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.lines = doctest.DocTestParser().get_examples(text, name)

    def run(self, names: dict[str, Any]) -> None:
        """Raises AssertionError for the first line that does not do what the docstring says."""
        with asyncio.Runner() if sys.version_info >= (3, 11) else _Loop() as loop:
            for line in self.lines:
                got = self._printed(line, names, loop)
                if not doctest.OutputChecker().check_output(self._wanted(line), got, _FLAGS):
                    raise AssertionError(f"{self.name}: {line.source}promises\n{line.want}\nbut gives\n{got}")

    @staticmethod
    def _wanted(line: doctest.Example) -> str:
        return line.want if line.exc_msg is None else line.exc_msg

    def _printed(self, line: doctest.Example, names: dict[str, Any], loop: Any) -> str:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(line.source, f"<{self.name}>", "single", flags=flags, dont_inherit=True)
        output, shown = io.StringIO(), sys.displayhook
        sys.displayhook = sys.__displayhook__
        try:
            with contextlib.redirect_stdout(output):
                if code.co_flags & inspect.CO_COROUTINE:
                    loop.run(eval(code, names))
                else:
                    exec(code, names)
        except Exception as e:
            if line.exc_msg is None:
                raise
            return "".join(traceback.format_exception_only(type(e), e))
        finally:
            sys.displayhook = shown
        assert line.exc_msg is None, f"{self.name}: {line.source}raises nothing"
        return output.getvalue()


class _Loop:
    """asyncio.Runner, which Python 3.10 does not have."""

    def __enter__(self) -> _Loop:
        self._loop = asyncio.new_event_loop()
        return self

    def run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def __exit__(self, *_: object) -> None:
        self._loop.close()
