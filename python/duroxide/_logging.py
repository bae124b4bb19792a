"""Where log records go: to Python's logging when it is configured, else to stderr.

Loggers: ``duroxide.orchestration`` (traces of orchestrations), ``duroxide.activity`` (traces of activities),
``duroxide.engine`` (the engine itself). A record carries its fields (``instance_id``, ``activity_name``, …) as
attributes; those of CONTEXT are there in every record.

On stderr a filter decides: ``DUROXIDE_LOG``, else ``RUST_LOG``, else the option ``log_level``. With Python's
logging its own levels decide, and the filter too when one of the variables is set.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import IO, Any, Optional

from duroxide import _forked
from duroxide._driver import standing_at
from duroxide._errors import ConfigurationError
from duroxide._frames import Op
from duroxide._library import Library
from duroxide._records import about, line, python_record

__all__ = ["init_tracing"]

TARGETS = ("duroxide.orchestration", "duroxide.activity", "duroxide.engine")
_RANKS = {"trace": 0, "debug": 0, "info": 1, "warn": 2, "warning": 2, "error": 3, "off": 4}
_NAMES = ("debug", "info", "warn", "error", "off")
_PYTHON_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
_OFF = 4

Filter = dict[str, int]
"""The least rank that each target logs: 0 debug, 1 info, 2 warn, 3 error, 4 nothing."""


def _directives(text: str) -> tuple[Optional[int], list[tuple[str, int]], list[str]]:
    """The default rank of a filter, the ranks of targets of this package, and parts that make no sense."""
    default: Optional[int] = None
    named: list[tuple[str, int]] = []
    unknown: list[str] = []
    for part in filter(None, map(str.strip, text.split(","))):
        target, equals, level = (piece.strip() for piece in part.rpartition("="))
        rank = _RANKS.get(level.lower())
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
            found[known] = _OFF if default is None else default
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
            f"log level {level!r} is not known; use {', '.join(k for k in _RANKS if k != 'warning')}"
        )
    if default is None and not named:
        raise ConfigurationError(f"{text!r} names neither a level nor a target of duroxide")
    return _filter(default, named)


def _from_level(level: str) -> Filter:
    """The filter of the option log_level: a level is for traces, the engine itself logs warnings."""
    rank = _RANKS.get(level.lower())
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


class _File:
    """The file that init_tracing opened."""

    def __init__(self, stream: IO[str], level: Optional[str], form: str) -> None:
        self.stream = stream
        self.level = level
        self.form = form


_file: Optional[_File] = None
_file_lock = threading.Lock()
_started = False
_told_wrong = False  # of DUROXIDE_LOG


def init_tracing(log_file: str, log_level: Optional[str] = None, log_format: Optional[str] = None) -> None:
    """Write log records to a file instead of stderr, for the rest of the process. Before the first start.

    Args:
        log_file (str): appended to; made when missing.
        log_level (str or None): as the option of that name; default None: that of each runtime.
        log_format (str or None): ``pretty``, ``json`` or ``compact``; default None: ``compact``.

    Raises:
        RuntimeError: the file cannot be opened; a second call; a runtime has been started.
        ConfigurationError: an unknown level or format.

    Example:
        >>> init_tracing("app.log", log_level="debug", log_format="json")
        >>> provider = SqliteProvider.in_memory()
        >>> other = Runtime(provider)
        >>> @other.register_orchestration
        ... def told(ctx, input):
        ...     ctx.trace_info("12 pages to go")
        >>> with other:
        ...     Client(provider).start_orchestration("told-1", told)
        ...     Client(provider).wait_for_orchestration("told-1").status
        'Completed'
        >>> "12 pages to go" in open("app.log").read()
        True
    """
    global _file
    from duroxide._options import LOG_FORMATS

    if log_level is not None:
        parse_filter(log_level)
    form = "compact" if log_format is None else log_format.lower()
    if form not in LOG_FORMATS:
        raise ConfigurationError(f"log_format must be one of {', '.join(LOG_FORMATS)}, got {log_format!r}")
    with _file_lock:
        if _file is not None:
            raise RuntimeError("Failed to init tracing: it has been initialised already")
        if _started:
            raise RuntimeError("Failed to init tracing: a runtime has been started already")
        try:
            stream = open(os.fspath(log_file), "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as e:
            raise RuntimeError(f"Failed to open log file '{log_file}': {e}") from e
        _file = _File(stream, log_level, form)


class Log:
    """Takes records of one runtime from the engine, on a thread of its own.

    Args:
        library: the loaded library.
        handle: of the runtime.
        level, form: the options log_level and log_format.
        service: fields that every record carries.
    """

    def __init__(self, library: Library, handle: int, level: str, form: str, service: dict[str, str]) -> None:
        self._library = library
        self._handle = handle
        self._service = service
        self._environment, self._wrong = from_environment()
        if _file is not None:
            level = level if _file.level is None else _file.level
            form = _file.form
        self._form = form
        self._filter = _from_level(level) if self._environment is None else self._environment
        self._thread = threading.Thread(target=self._run, name="duroxide-log", daemon=True)

    def start(self) -> None:
        global _started, _told_wrong
        _started = True
        self._thread.start()
        if self._wrong and not _told_wrong:
            _told_wrong = True
            self.put(TARGETS[2], "warn", self._wrong, {})

    def join(self, timeout: float) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def put(self, target: str, level: str, message: str, fields: dict[str, str]) -> None:
        """Queue a record behind those of the engine. Never blocks, never raises."""
        try:
            head = {"level": level, "target": target, "fields": fields}
            self._library.call(Op.LOG, self._handle, head, message.encode("utf-8", "backslashreplace"))
        except Exception:
            pass  # the runtime has ended

    def _run(self) -> None:
        while True:
            records, _ = self._library.call(Op.PULL_LOGS, self._handle, self._wanted())
            if not records:
                return
            for record in records:
                self._emit(record)
                if _forked.parent:
                    _forked.end(None, "a log handler")

    def _wanted(self) -> dict[str, str]:
        """The least level of each target that somebody wants, so that the engine need not hand over the others."""
        wanted = {}
        for target in TARGETS:
            logger = logging.getLogger(target)
            rank = _OFF
            if _configured(logger):
                effective = logger.getEffectiveLevel()
                rank = next((i for i, n in enumerate(_PYTHON_LEVELS) if n >= effective), _OFF)
                if self._environment is not None:
                    rank = max(rank, self._environment[target])
            if _to_stream(logger):
                rank = min(rank, self._filter[target])
            wanted[target] = _NAMES[rank]
        return wanted

    def _emit(self, record: dict[str, Any]) -> None:
        target, message, when = record["target"], record["message"], record["time"]
        rank = _RANKS.get(record["level"], 1)
        fields = {**self._service, **(record.get("fields") or {})}
        if "since_ms" in fields:
            # About code that is running now: only this side knows where it stands.
            fields["at"] = standing_at(fields.get("instance_id", ""))
        if target == TARGETS[2]:
            message = about(message, fields)
        logger = logging.getLogger(target)
        try:
            if (
                _configured(logger)
                and logger.isEnabledFor(_PYTHON_LEVELS[rank])
                and (self._environment is None or rank >= self._environment[target])
            ):
                logger.handle(python_record(target, _PYTHON_LEVELS[rank], message, when, fields))
            if _to_stream(logger) and rank >= self._filter[target]:
                self._write(line(target, record["level"], message, when, fields, self._form))
        except Exception:
            # A handler of the user's or a closed stream: there is nobody to tell.
            pass

    def _write(self, text: str) -> None:
        stream = sys.stderr if _file is None else _file.stream
        if stream is not None:
            stream.write(text + "\n")
            stream.flush()


def _foreign(handler: logging.Handler) -> bool:
    """Whether a handler only watches: pytest's capture, or one that drops everything."""
    return isinstance(handler, logging.NullHandler) or type(handler).__module__.startswith("_pytest")


def _handlers(logger: Optional[logging.Logger]) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    while logger is not None:
        found.extend(logger.handlers)
        if not logger.propagate:
            break
        logger = logger.parent
    return found


def _configured(logger: logging.Logger) -> bool:
    return logger.hasHandlers()


def _to_stream(logger: logging.Logger) -> bool:
    """Whether records go to stderr or the file: somebody asked for the file, or nobody handles them."""
    return _file is not None or all(_foreign(h) for h in _handlers(logger))
