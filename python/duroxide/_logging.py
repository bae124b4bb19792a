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
from duroxide._log_settings import (
    FORMATS,
    NAMES,
    OFF,
    PYTHON_LEVELS,
    RANKS,
    TARGETS,
    from_environment,
    from_level,
    parse_filter,
)
from duroxide._records import about, line, python_record

__all__ = ["init_tracing"]


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
    if log_level is not None:
        parse_filter(log_level)
    form = "compact" if log_format is None else log_format.lower()
    if form not in FORMATS:
        raise ConfigurationError(f"log_format must be one of {', '.join(FORMATS)}, got {log_format!r}")
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
        self._filter = from_level(level) if self._environment is None else self._environment
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
            rank = OFF
            if _configured(logger):
                effective = logger.getEffectiveLevel()
                rank = next((i for i, n in enumerate(PYTHON_LEVELS) if n >= effective), OFF)
                if self._environment is not None:
                    rank = max(rank, self._environment[target])
            if _to_stream(logger):
                rank = min(rank, self._filter[target])
            wanted[target] = NAMES[rank]
        return wanted

    def _emit(self, record: dict[str, Any]) -> None:
        target, message, when = record["target"], record["message"], record["time"]
        rank = RANKS.get(record["level"], 1)
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
                and logger.isEnabledFor(PYTHON_LEVELS[rank])
                and (self._environment is None or rank >= self._environment[target])
            ):
                logger.handle(python_record(target, PYTHON_LEVELS[rank], message, when, fields))
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
