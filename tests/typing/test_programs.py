"""Programs of users are type-checked against the package: what is right passes, what is wrong is found.

A line that the checkers have to refuse says so, with mypy's code of the error::

    runtime.register_activity(7, shout)  # error: call-overload

An error on a line without a mark fails, and so does a mark without its error. ``basedpyright`` stands for pyright: it
is the same checker, and its wheel brings the Node.js that it needs. It gives one mistake several codes, so that of it
only the lines are compared.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
from typing import Callable

import pytest

import duroxide

PROGRAMS = pathlib.Path(__file__).with_name("programs")
NAMES = sorted(p.name for p in PROGRAMS.glob("*.py"))
PACKAGE = pathlib.Path(duroxide.__file__).parent

Errors = dict[str, dict[int, set[str]]]
"""Program, line, codes."""


def marks(program: str) -> dict[int, set[str]]:
    """The codes that mypy has to find, by line."""
    found: dict[int, set[str]] = {}
    for number, line in enumerate((PROGRAMS / program).read_text(encoding="utf-8").splitlines(), 1):
        if "# error" in line:
            mark = re.search(r"# error: ([a-z, -]+)$", line)
            assert mark is not None, f"{program}:{number}: a mark names a code: {line}"
            found[number] = set(mark.group(1).split(", "))
    return found


def run(*command: str, cwd: pathlib.Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run a checker; it may find errors (1), and must not fail itself (2 and more)."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MYPYPATH", "PYTHONPATH")}
    if path:
        environment["MYPYPATH"] = path
    answer = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=110
    )
    assert answer.returncode in (0, 1), answer.stdout + answer.stderr
    return answer


def source(folder: pathlib.Path) -> str:
    """Where the checkers are told to look for the package; empty when it is installed."""
    if "site-packages" in PACKAGE.parts:
        return ""
    (folder / "src").mkdir()
    (folder / "src" / "duroxide").symlink_to(PACKAGE)
    return str(folder / "src")


def mypy(folder: pathlib.Path) -> Errors:
    flags = ["--config-file=", "--strict", "--warn-unreachable", "--no-pretty", "--no-error-summary"]
    flags += ["--no-color-output", "--python-executable", sys.executable, "--cache-dir", str(folder / "cache")]
    answer = run("mypy", *flags, str(PROGRAMS), cwd=folder, path=source(folder))
    found: Errors = {}
    for line in answer.stdout.splitlines():
        parts = re.match(r"(.+?):(\d+): error: .*  \[([\w-]+)\]$", line)
        if parts is not None:
            file, number, code = parts.groups()
            found.setdefault(pathlib.Path(file).name, {}).setdefault(int(number), set()).add(code)
        else:
            assert ": note: " in line, answer.stdout + answer.stderr
    return found


def pyright(folder: pathlib.Path) -> Errors:
    known = sys.platform == "darwin" or (sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64"))
    if not known:
        pytest.skip(f"pyright needs Node.js, of which PyPI has no wheel for {sys.platform} {platform.machine()}")
    path = source(folder)
    settings = {"include": [str(PROGRAMS)], "typeCheckingMode": "strict", "extraPaths": [path] if path else []}
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    flags = ["--pythonpath", sys.executable, "--project", str(config), "--outputjson"]
    answer = json.loads(run("basedpyright", *flags, cwd=folder).stdout)
    assert answer["summary"]["filesAnalyzed"] == len(NAMES)
    found: Errors = {}
    for error in answer["generalDiagnostics"]:
        name, number = pathlib.Path(error["file"]).name, error["range"]["start"]["line"] + 1
        found.setdefault(name, {}).setdefault(number, set()).add(error.get("rule", error["message"]))
    return found


CHECKERS: dict[str, Callable[[pathlib.Path], Errors]] = {"mypy": mypy, "pyright": pyright}


@pytest.fixture(scope="module", params=sorted(CHECKERS))
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Errors]:
    """A checker, and what it finds in all programs."""
    return request.param, CHECKERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("program", NAMES)
def test_programs_of_users_are_checked_line_by_line(checked: tuple[str, Errors], program: str) -> None:
    checker, errors = checked
    wanted, found = marks(program), errors.get(program, {})
    assert wanted, "a program without a wrong line shows nothing: a package without types would pass"
    assert sorted(found) == sorted(wanted), found
    if checker == "mypy":
        assert found == wanted
