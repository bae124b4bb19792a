"""Builds that all packaging tests share: one source distribution, two wheels from it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
EPOCH = "1700000000"


class Build(NamedTuple):
    """A wheel and the unpacked source tree that it was built from."""

    wheel: Path
    source: Path


def call_backend(source: Path, call: str, **environment: str) -> str:
    """Evaluate a call of the build backend in a source tree; gives the last line it prints."""
    code = f"from setuptools import build_meta; print(build_meta.{call})"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
    return answer.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def backend() -> Callable[..., str]:
    return call_backend


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    return folder / call_backend(ROOT, f"build_sdist({str(folder)!r})")


@pytest.fixture(scope="session")
def builds(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Build]:
    """Two wheels, each built from the source distribution in a folder of its own."""
    made = []
    for name in ("first", "second-in-a-folder-with-a-longer-name"):
        folder = tmp_path_factory.mktemp(name)
        with tarfile.open(sdist) as archive:
            archive.extractall(folder)
        (source,) = folder.iterdir()
        wheel = folder / call_backend(source, f"build_wheel({str(folder)!r})")
        made.append(Build(wheel, source))
    return made


@pytest.fixture(scope="session")
def wheel(builds: list[Build]) -> zipfile.ZipFile:
    return zipfile.ZipFile(builds[0].wheel)
