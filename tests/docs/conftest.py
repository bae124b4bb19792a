"""What pages change in their process is undone behind them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

_LOGGERS = ("", "duroxide", "duroxide.orchestration", "duroxide.activity", "duroxide.engine")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A page may tell people to configure logging."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers
