"""What of the log is wanted, and how it looks: levels, filters as in RUST_LOG, formats."""

from __future__ import annotations

import logging
import os
from typing import Optional

from duroxide._errors import ConfigurationError

FORMATS = ("pretty", "json", "compact")
TARGETS = ("duroxide.orchestration", "duroxide.activity", "duroxide.engine")
RANKS = {"trace": 0, "debug": 0, "info": 1, "warn": 2, "warning": 2, "error": 3, "off": 4}
NAMES = ("debug", "info", "warn", "error", "off")
PYTHON_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
OFF = 4

Filter = dict[str, int]
"""The least rank that each target logs: 0 debug, 1 info, 2 warn, 3 error, 4 nothing."""


def _directives(text: str) -> tuple[Optional[int], list[tuple[str, int]], list[str]]:
    """The default rank of a filter, the ranks of targets of this package, and parts that make no sense."""
    default: Optional[int] = None
    named: list[tuple[str, int]] = []
    unknown: list[str] = []
    for part in filter(None, map(str.strip, text.split(","))):
        target, equals, level = (piece.strip() for piece in part.rpartition("="))
        rank = RANKS.get(level.lower())
        if not equals and rank is None and _is_own(level):
            target, rank = level, 0  # a target alone: everything of it
        if rank is not None and not target:
            default = rank
        elif rank is not None and _is_own(target):
            named.append((target.replace("::", "."), rank))
        elif not equals or _is_own(target):
            unknown.append(part)
    return default, named, unknown


def _is_own(target: str) -> bool:
    return target.replace("::", ".").partition(".")[0] == "duroxide"


def _filter(default: Optional[int], named: list[tuple[str, int]]) -> Filter:
    found: Filter = {}
    for known in TARGETS:
        fitting = [n for n in named if known == n[0] or known.startswith(n[0] + ".")]
        if fitting:
            found[known] = max(fitting, key=lambda n: len(n[0]))[1]
        else:
            found[known] = OFF if default is None else default
    return found


def parse_filter(text: str) -> Filter:
    """Parse a filter: parts with commas between, each a level or ``target=level``; unnamed targets log nothing.

    Targets are written with ``::`` or ``.`` and stand for everything below them; parts for other software are
    ignored.

    Raises:
        ConfigurationError: an unknown level, or nothing in it is for this package.
    """
    default, named, unknown = _directives(text)
    if unknown:
        level = unknown[0].rpartition("=")[2].strip()
        raise ConfigurationError(
            f"log level {level!r} is not known; use {', '.join(k for k in RANKS if k != 'warning')}"
        )
    if default is None and not named:
        raise ConfigurationError(f"{text!r} names neither a level nor a target of duroxide")
    return _filter(default, named)


def from_level(level: str) -> Filter:
    """The filter of the option log_level: a level is for traces, the engine itself logs warnings."""
    rank = RANKS.get(level.lower())
    if rank is None:
        return parse_filter(level)
    return {TARGETS[0]: rank, TARGETS[1]: rank, TARGETS[2]: max(rank, 2)}


def from_environment() -> tuple[Optional[Filter], str]:
    """The filter that DUROXIDE_LOG sets, else RUST_LOG, else None; and what is wrong with DUROXIDE_LOG."""
    wrong = ""
    text = os.environ.get("DUROXIDE_LOG")
    if text:
        try:
            return parse_filter(text), ""
        except ConfigurationError as e:
            wrong = f"DUROXIDE_LOG={text} is ignored: {e}"
    # Other software shares this one: what it does not say about this package says nothing.
    default, named, _ = _directives(os.environ.get("RUST_LOG", ""))
    return (None if default is None and not named else _filter(default, named)), wrong
