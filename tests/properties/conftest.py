"""The modules of this folder import each other by name."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures by the thousand are what these programs are made of."""
    log = logging.getLogger("duroxide")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)
