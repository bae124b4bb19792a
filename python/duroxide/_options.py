"""Options of a runtime, and tags."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from duroxide._codec import (
    MAX_TAG_NAME_BYTES,
    MAX_WORKER_TAGS,
    Milliseconds,
    identifier,
    milliseconds,
)
from duroxide._errors import ConfigurationError, InvalidArgument
from duroxide._log_settings import FORMATS, parse_filter
from duroxide._payloads import Codec, check_codec
from duroxide._records import SERVICE_NAME

__all__ = ["RuntimeOptions", "TagFilter"]


def _tags(tags: Iterable[str], call: str) -> list[str]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise ConfigurationError(f"TagFilter.{call} takes a list of tags, got {type(tags).__name__}")
    checked = []
    for tag in tags:
        try:
            checked.append(identifier(tag, "tag", MAX_TAG_NAME_BYTES))
        except InvalidArgument as e:
            raise ConfigurationError(str(e)) from None
    if not checked:
        raise ConfigurationError(f"TagFilter.{call} requires at least one tag")
    if len(checked) > MAX_WORKER_TAGS:
        raise ConfigurationError(f"Worker can subscribe to at most {MAX_WORKER_TAGS} tags, got {len(checked)}")
    return checked


class TagFilter:
    """Which activities a runtime takes, by the tag that ``with_tag`` gave them. Values for ``worker_tag_filter``.

    Attributes:
        DEFAULT_ONLY (str): only those without a tag.
        ANY (str): all.
        NONE (str): none, so that the runtime runs orchestrations only.

    Example:
        >>> RuntimeOptions(worker_tag_filter=TagFilter.NONE)
        RuntimeOptions(worker_tag_filter='none')
        >>> TagFilter.DEFAULT_ONLY, TagFilter.ANY
        ('default_only', 'any')
    """

    #: only those without a tag
    DEFAULT_ONLY = "default_only"
    #: all
    ANY = "any"
    #: none, so that the runtime runs orchestrations only
    NONE = "none"

    @staticmethod
    def tags(tags: Iterable[str]) -> str:
        """Only those with one of these tags.

        Args:
            tags (Iterable[str]): 1 to 5 of them, each non-empty, at most 256 bytes in UTF-8.

        Returns:
            a value for ``worker_tag_filter``.

        Raises:
            ConfigurationError: no tag, more than 5, or one that is no valid tag.

        Example:
            >>> RuntimeOptions(worker_tag_filter=TagFilter.tags(["gpu", "large"])).worker_tag_filter
            '{"tags": ["gpu", "large"]}'
        """
        return json.dumps({"tags": _tags(tags, "tags")})

    @staticmethod
    def default_and(tags: Iterable[str]) -> str:
        """Those without a tag and those with one of these.

        Args:
            tags (Iterable[str]): 1 to 5 of them, each non-empty, at most 256 bytes in UTF-8.

        Returns:
            a value for ``worker_tag_filter``.

        Raises:
            ConfigurationError: no tag, more than 5, or one that is no valid tag.

        Example:
            >>> RuntimeOptions(worker_tag_filter=TagFilter.default_and(["gpu"])).worker_tag_filter
            '{"default_and": ["gpu"]}'
        """
        return json.dumps({"default_and": _tags(tags, "default_and")})


def _tag_filter(text: object) -> dict[str, Any]:
    """The filter as the engine takes it."""
    plain: dict[object, dict[str, Any]] = {
        "default_only": {"untagged": True, "any_tag": False, "tags": []},
        "any": {"untagged": True, "any_tag": True, "tags": []},
        "none": {"untagged": False, "any_tag": False, "tags": []},
    }
    if not isinstance(text, str):
        raise ConfigurationError(f"worker_tag_filter must be a str or made by TagFilter, got {type(text).__name__}")
    if text in plain:
        return plain[text]
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and len(parsed) == 1:
        kind, tags = next(iter(parsed.items()))
        if kind in ("tags", "default_and") and isinstance(tags, list):
            return {
                "untagged": kind == "default_and",
                "any_tag": False,
                "tags": _tags(tags, kind),
            }
    raise ConfigurationError(
        f"worker_tag_filter {text!r} is not known; use TagFilter.DEFAULT_ONLY, ANY, NONE, tags([...]) or "
        "default_and([...])"
    )


def _count(least: int, most: int = 100_000) -> Any:
    def check(value: object, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {type(value).__name__}")
        if not least <= value <= most:
            raise ConfigurationError(f"{name} must be from {least} to {most}, got {value}")
        return value

    return check


def _time(least: int) -> Any:
    def check(value: object, name: str) -> int:
        ms = milliseconds(value, name)
        if ms < least:
            raise ConfigurationError(f"{name} must be at least {least} ms, got {ms} ms")
        return ms

    return check


def _one_of(choices: tuple[str, ...]) -> Any:
    def check(value: object, name: str) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {type(value).__name__}")
        if value.lower() not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        return value.lower()

    return check


def _level(value: object, name: str) -> str:
    """A level, or a filter as in RUST_LOG."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    try:
        parse_filter(value)
    except ConfigurationError as e:
        raise ConfigurationError(f"{name}: {e}") from None
    if not value.strip():
        raise ConfigurationError(f"{name} must not be empty")
    return value


def _text(value: object, name: str) -> str:
    try:
        return identifier(value, name)
    except InvalidArgument as e:
        kind = ConfigurationError if isinstance(value, str) else TypeError
        raise kind(str(e)) from None


def _optional(check: Any) -> Any:
    return lambda value, name: None if value is None else check(value, name)


def _share(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number from 0 to 1, got {type(value).__name__}")
    if math.isnan(value) or not 0 <= value <= 1:
        raise ConfigurationError(f"{name} must be from 0 to 1, got {value}")
    return float(value)


def _filter(value: object, name: str) -> str:
    _tag_filter(value)
    return str(value)


class RuntimeOptions:
    """Options of a runtime. All are keywords, for which None means the default; all can be read as attributes, times
    then as ms. Times: ms (int) or timedelta.

    Args:
        orchestration_concurrency (int): turns of orchestrations at once; default 4. With a GIL more than one only
            replaces those that block.
        worker_concurrency (int): activities at once; default 8.
        dispatcher_poll_interval_ms (int or timedelta): fall-back for work that another process stored; default 100 ms.
        log_level (str): ``trace``, ``debug``, ``info`` (default), ``warn``, ``error``, ``off``, or a filter as in
            RUST_LOG.
        log_format (str): of the lines on stderr: ``pretty`` (default), ``json``, ``compact``.
        service_name (str): in every log record; default ``"duroxide"``.
        service_version (str or None): in every log record; default None: left out.
        max_sessions_per_runtime (int): sessions held at once, idle ones too; default 10.
        session_idle_timeout_ms (int or timedelta): after which an idle session may move; default 300,000 ms.
        worker_node_id (str or None): label of this node, so that sessions find it again after a restart; default None:
            a new one.
        worker_tag_filter (str): which activities it takes: text, or made by TagFilter; default ``"default_only"``.
        worker_lock_timeout_ms, orchestrator_lock_timeout_ms (int or timedelta): the node's lease is the first or twice
            the second, whichever is less, and at least 1 s; default 30,000 and 5,000 ms. Work of a process that died
            without a trace is taken over after it.
        worker_lock_renewal_buffer_ms, orchestrator_lock_renewal_buffer_ms (int or timedelta): accepted, without effect;
            default 5,000 and 2,000 ms.
        session_lock_timeout_ms, session_lock_renewal_buffer_ms (int or timedelta): accepted, without effect; default
            30,000 and 5,000 ms.
        max_attempts (int): of work during which processes died, until it is given up; default 10.
        on_nondeterminism (str): what happens to an instance whose code does not fit its history: ``"fail"`` (default)
            fails it; with ``"block"`` it keeps its history and stays Running, is logged, and shown by ``get_status``,
            ``get_waiting``, ``list_instances(blocked=True)`` and ``Runtime.health()``; it goes on by itself once code
            that fits is deployed.
        live_executions (int): suspended orchestrations kept in memory; default 10,000; 0 replays at every turn.
        activity_cancellation_grace_ms (int or timedelta): after which a cancelled activity that goes on loses its slot;
            default 10,000 ms.
        activity_timeout_ms (int or timedelta or None): for activities without a time-out of their own, in ms or as a
            timedelta; default None: no limit.
        verify_replay (float or None): share of orchestrations that are replayed when they end, to find nondeterminism;
            default None: 1.0 in memory, 0.01 else.
        codec (Codec or None): how values are stored, see Codec; default None: as JSON. Clients need the same one.

    Raises:
        TypeError: an unknown option, or a value of a wrong type.
        ConfigurationError: a value out of its range.

    Example:
        >>> RuntimeOptions(worker_concurrency=32, on_nondeterminism="block")
        RuntimeOptions(worker_concurrency=32, on_nondeterminism='block')
        >>> for name, default in RuntimeOptions().to_dict().items():
        ...     print(name, default)
        orchestration_concurrency 4
        worker_concurrency 8
        dispatcher_poll_interval_ms 100
        log_level info
        log_format pretty
        service_name duroxide
        service_version None
        max_sessions_per_runtime 10
        session_idle_timeout_ms 300000
        worker_node_id None
        worker_tag_filter default_only
        worker_lock_timeout_ms 30000
        worker_lock_renewal_buffer_ms 5000
        orchestrator_lock_timeout_ms 5000
        orchestrator_lock_renewal_buffer_ms 2000
        session_lock_timeout_ms 30000
        session_lock_renewal_buffer_ms 5000
        max_attempts 10
        on_nondeterminism fail
        live_executions 10000
        activity_cancellation_grace_ms 10000
        activity_timeout_ms None
        verify_replay None
        codec None
    """

    orchestration_concurrency: int
    worker_concurrency: int
    dispatcher_poll_interval_ms: int
    log_level: str
    log_format: str
    service_name: str
    service_version: Optional[str]
    max_sessions_per_runtime: int
    session_idle_timeout_ms: int
    worker_node_id: Optional[str]
    worker_tag_filter: str
    worker_lock_timeout_ms: int
    worker_lock_renewal_buffer_ms: int
    orchestrator_lock_timeout_ms: int
    orchestrator_lock_renewal_buffer_ms: int
    session_lock_timeout_ms: int
    session_lock_renewal_buffer_ms: int
    max_attempts: int
    on_nondeterminism: str
    live_executions: int
    activity_cancellation_grace_ms: int
    activity_timeout_ms: Optional[int]
    verify_replay: Optional[float]
    codec: Optional[Codec]

    if TYPE_CHECKING:  # what a type checker is to find misspelt

        def __init__(
            self,
            *,
            orchestration_concurrency: Optional[int] = ...,
            worker_concurrency: Optional[int] = ...,
            dispatcher_poll_interval_ms: Optional[Milliseconds] = ...,
            log_level: Optional[str] = ...,
            log_format: Optional[str] = ...,
            service_name: Optional[str] = ...,
            service_version: Optional[str] = ...,
            max_sessions_per_runtime: Optional[int] = ...,
            session_idle_timeout_ms: Optional[Milliseconds] = ...,
            worker_node_id: Optional[str] = ...,
            worker_tag_filter: Optional[str] = ...,
            worker_lock_timeout_ms: Optional[Milliseconds] = ...,
            worker_lock_renewal_buffer_ms: Optional[Milliseconds] = ...,
            orchestrator_lock_timeout_ms: Optional[Milliseconds] = ...,
            orchestrator_lock_renewal_buffer_ms: Optional[Milliseconds] = ...,
            session_lock_timeout_ms: Optional[Milliseconds] = ...,
            session_lock_renewal_buffer_ms: Optional[Milliseconds] = ...,
            max_attempts: Optional[int] = ...,
            on_nondeterminism: Optional[str] = ...,
            live_executions: Optional[int] = ...,
            activity_cancellation_grace_ms: Optional[Milliseconds] = ...,
            activity_timeout_ms: Optional[Milliseconds] = ...,
            verify_replay: Optional[float] = ...,
            codec: Optional[Codec] = ...,
        ) -> None: ...
    else:

        def __init__(self, **options: Any) -> None:
            for name in options:
                if name not in _OPTIONS:
                    near = difflib.get_close_matches(name, _OPTIONS, 1, 0.5)
                    hint = f"; did you mean {near[0]}?" if near else ""
                    raise TypeError(f"RuntimeOptions has no option {name}{hint}")
            for name, (default, check) in _OPTIONS.items():
                given = options.get(name)
                object.__setattr__(self, name, check(default if given is None else given, name))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"RuntimeOptions cannot be changed; make new ones to set {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RuntimeOptions):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(tuple(self.to_dict().values()))

    def __repr__(self) -> str:
        changed = (f"{name}={value!r}" for name, value in self.to_dict().items() if value != _OPTIONS[name][0])
        return f"RuntimeOptions({', '.join(changed)})"

    def to_dict(self) -> dict[str, Any]:
        """All options by name, as a new dictionary. Times are ms.

        Example:
            >>> from datetime import timedelta
            >>> RuntimeOptions(activity_timeout_ms=timedelta(minutes=5)).to_dict()["activity_timeout_ms"]
            300000
        """
        return {name: getattr(self, name) for name in _OPTIONS}

    def _lease_ms(self) -> int:
        return max(1000, min(self.worker_lock_timeout_ms, 2 * self.orchestrator_lock_timeout_ms))

    def _ineffective(self) -> list[str]:
        """The accepted options without effect that were changed."""
        return [n for n in _INEFFECTIVE if getattr(self, n) != _OPTIONS[n][0]]

    def _engine(self) -> dict[str, Any]:
        """The options as the engine takes them."""
        passed = (
            "orchestration_concurrency",
            "worker_concurrency",
            "dispatcher_poll_interval_ms",
            "live_executions",
            "max_attempts",
            "activity_cancellation_grace_ms",
            "max_sessions_per_runtime",
            "session_idle_timeout_ms",
            "verify_replay",
        )
        return {
            **{name: getattr(self, name) for name in passed},
            **_tag_filter(self.worker_tag_filter),
            "worker_node_id": self.worker_node_id or "",
            "activity_timeout_ms": self.activity_timeout_ms or 0,
            "lease_ms": self._lease_ms(),
            "block_nondeterminism": self.on_nondeterminism == "block",
        }


_INEFFECTIVE = (
    "worker_lock_renewal_buffer_ms",
    "orchestrator_lock_renewal_buffer_ms",
    "session_lock_timeout_ms",
    "session_lock_renewal_buffer_ms",
)

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "orchestration_concurrency": (4, _count(1, 10_000)),
    "worker_concurrency": (8, _count(1, 10_000)),
    "dispatcher_poll_interval_ms": (100, _time(1)),
    "log_level": ("info", _level),
    "log_format": ("pretty", _one_of(FORMATS)),
    "service_name": (SERVICE_NAME, _text),
    "service_version": (None, _optional(_text)),
    "max_sessions_per_runtime": (10, _count(1)),
    "session_idle_timeout_ms": (300_000, _time(1)),
    "worker_node_id": (None, _optional(_text)),
    "worker_tag_filter": ("default_only", _filter),
    "worker_lock_timeout_ms": (30_000, _time(1)),
    "worker_lock_renewal_buffer_ms": (5_000, _time(0)),
    "orchestrator_lock_timeout_ms": (5_000, _time(1)),
    "orchestrator_lock_renewal_buffer_ms": (2_000, _time(0)),
    "session_lock_timeout_ms": (30_000, _time(1)),
    "session_lock_renewal_buffer_ms": (5_000, _time(0)),
    "max_attempts": (10, _count(1, 2**31 - 1)),
    "on_nondeterminism": ("fail", _one_of(("fail", "block"))),
    "live_executions": (10_000, _count(0, 2**31 - 1)),
    "activity_cancellation_grace_ms": (10_000, _time(0)),
    "activity_timeout_ms": (None, _optional(_time(1))),
    "verify_replay": (None, _optional(_share)),
    "codec": (None, check_codec),
}
