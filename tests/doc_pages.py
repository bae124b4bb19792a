"""The code of a Markdown page: how it is found, run, and held to the output that the page promises.

The blocks of a page are one program. They run in order in one namespace, in an empty folder:

- ``python``: executed. A comment behind a ``print(...)`` is what that line prints.
- ``text`` directly behind a python or sh block: what that block printed, ``...`` stands for anything.
- ``sh``: each line is a command; see `Page.command` for the ones that are known.
- ``sql``: run on app.db by another process, as the pages tell people to do.
- ``py``: code for other packages, which is only compiled.
- ``postgresql``: run on a server of its own by tests/postgres/test_operations_page.py.
- a comment ``<!-- run: python`` holds code that readers need not see.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tokenize
from typing import Any, NamedTuple

from sybil import Document
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer

ROOT = pathlib.Path(__file__).resolve().parents[1]
LANGUAGES = ("python", "py", "text", "sh", "sql", "postgresql", "toml", "ini", "json", "dockerfile", "yaml")
_VISIBLE = FencedCodeBlockLexer(r"[^\n`]*")
_HIDDEN = DirectiveInHTMLCommentLexer("run")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_SECONDS = 60

SQL = "import sqlite3, sys\nfor row in sqlite3.connect('app.db').execute(sys.stdin.read()):\n    print(*row, sep='|')\n"


def pages() -> list[pathlib.Path]:
    """Every page that holds code for users."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/README.md")]
    return sorted(found)


class Block(NamedTuple):
    """A block of code: its language, its source, the number of the line before it, whether text is all between it
    and the one before."""

    language: str
    source: str
    line: int
    follows: bool


def blocks(text: str, path: str = "page.md") -> list[Block]:
    """The blocks of a page, from top to bottom."""
    document = Document(text, path)
    regions = []
    for region in _VISIBLE(document):
        regions.append((region, region.lexemes["language"].strip()))
    for region in _HIDDEN(document):
        regions.append((region, region.lexemes["arguments"].strip()))
    regions.sort(key=lambda found: found[0].start)
    result, end = [], 0
    for region, language in regions:
        line = text.count("\n", 0, region.start) + 1
        between = text[end : region.start]
        result.append(Block(language, str(region.lexemes["source"]), line, bool(result) and not between.strip()))
        end = region.end
    return result


def promised(source: str) -> list[str]:
    """What the comments behind print(...) say, from top to bottom."""
    found: list[str] = []
    opening = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            if token.type == tokenize.NEWLINE:
                opening = ""
            continue
        if token.type == tokenize.COMMENT:
            if opening == "print":
                found.append(token.string.lstrip("# "))
        elif not opening:
            opening = token.string
    return found


class Page:
    """Runs the blocks of one page."""

    def __init__(self, path: pathlib.Path, folder: pathlib.Path) -> None:
        self.path = path
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.ran = 0
        self._printed: str | None = None

    def run(self) -> None:
        for block in blocks(self.path.read_text(encoding="utf-8"), str(self.path)):
            self.block(block)

    def block(self, block: Block) -> None:
        where = f"{self.path}:{block.line}"
        if block.language.startswith("{"):
            return  # a directive of the generator, which has checks of its own
        assert block.language in LANGUAGES, f"{where}: a block in {block.language!r} is not tested; name its language"
        if block.language == "text":
            if block.follows and self._printed is not None:
                self.same(block.source, self._printed, where)
            return
        self._printed = None
        if block.language == "python":
            self.python(block, where)
        elif block.language == "py":
            compile(block.source, str(self.path), "exec", dont_inherit=True)
        elif block.language == "sh":
            self._printed = "".join(self.command(line, where) for line in block.source.splitlines() if line.strip())
        elif block.language == "sql":
            self._printed = self.child([sys.executable, "-c", SQL], where, block.source)

    def python(self, block: Block, where: str) -> None:
        # Blank lines in front make tracebacks name the line of the page.
        code = compile("\n" * block.line + block.source, str(self.path), "exec", dont_inherit=True)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, self.names)
        self.ran += 1
        self._printed = output.getvalue()
        expected = promised(block.source)
        if expected:
            self.same("\n".join(expected) + "\n", self._printed, where)

    def same(self, wanted: str, got: str, where: str) -> None:
        assert doctest.OutputChecker().check_output(wanted, got, _FLAGS), (
            f"{where}: the page promises\n{wanted}\nbut it prints\n{got}"
        )

    def command(self, line: str, where: str) -> str:
        """Run one line of a sh block, or check what can be checked of it without running it."""
        if line.startswith("python -m duroxide"):
            return self.child([sys.executable, *line.split()[1:]], where)
        if line.startswith("sqlite3 "):
            return self.child(["sh", "-c", line], where) if shutil.which("sqlite3") else ""
        words = line.split("#")[0].split()
        if words[0] == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{words[1]}:", makefile, re.M), f"{where}: make has no target {words[1]}"
            return ""
        if words[0] == "python":
            assert (ROOT / words[1]).is_file(), f"{where}: there is no file {words[1]}"
            return ""
        if words[0] == "jupyter":
            assert (ROOT / words[2]).is_file(), f"{where}: there is no file {words[2]}"
            return ""
        if words[:2] == ["uvicorn", "--app-dir"]:
            module, _, name = words[3].partition(":")
            program = ROOT / words[2] / f"{module}.py"
            assert program.is_file(), f"{where}: there is no file {program}"
            assert f"\n{name} = FastAPI(" in program.read_text(encoding="utf-8"), f"{where}: {program} has no {name}"
            return ""
        assert words[:2] in (["pip", "install"], ["pip", "uninstall"]) or words[0] == "kill", (
            f"{where}: cannot test {line!r}"
        )
        for package in words[2:]:
            extra = re.search(r"duroxide\[(\w+)\]", package)
            if extra:
                project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
                assert re.search(rf"^{extra[1]} = ", project, re.M), f"{where}: the package has no extra {extra[1]}"
        return ""

    def child(self, command: list[str], where: str, stdin: str = "") -> str:
        answer = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
        assert answer.returncode == 0, f"{where}: {command} exits {answer.returncode}:\n{answer.stdout}"
        return answer.stdout
