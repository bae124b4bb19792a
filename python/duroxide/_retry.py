"""Retry policies as users write them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, Union

from duroxide._codec import Milliseconds, milliseconds
from duroxide._frames import BACKOFFS, Retry

__all__ = ["RetryPolicy"]

Backoff = Literal["exponential", "fixed", "linear", "none"]


class RetryPolicy(TypedDict, total=False):
    """A retry policy, as a dictionary whose keys a type checker knows. All may be missing.

    ``max_attempts``: 1 or more (3). ``backoff`` or ``backoff_strategy``: ``"exponential"`` (default; 100 ms, doubled up
    to 30 s), ``"fixed"`` (1 s), ``"linear"`` (100 ms per attempt up to 30 s), ``"none"``. ``timeout_ms`` of each
    attempt and ``total_timeout_ms`` of all with their pauses: ms or timedelta (no limit). ``initial_ms``, ``max_ms``:
    first and longest pause. ``multiplier``: of the exponential one (2.0). ``jitter``: share of each pause that is
    drawn, 0 to 1 (0). The camelCase spellings mean the same.

    Example::

        from duroxide import RetryPolicy

        policy: RetryPolicy = {"max_attempts": 5, "backoff": "exponential", "total_timeout_ms": 60_000}
    """

    max_attempts: int
    maxAttempts: int
    backoff: Backoff
    backoff_strategy: Backoff
    backoffStrategy: Backoff
    timeout_ms: Union[Milliseconds, None]
    timeoutMs: Union[Milliseconds, None]
    total_timeout_ms: Union[Milliseconds, None]
    totalTimeoutMs: Union[Milliseconds, None]
    initial_ms: Union[Milliseconds, None]
    initialMs: Union[Milliseconds, None]
    max_ms: Union[Milliseconds, None]
    maxMs: Union[Milliseconds, None]
    multiplier: float
    jitter: float


_KEYS = {
    "max_attempts": "max_attempts",
    "maxAttempts": "max_attempts",
    "backoff": "backoff",
    "backoff_strategy": "backoff",
    "backoffStrategy": "backoff",
    "timeout_ms": "timeout_ms",
    "timeoutMs": "timeout_ms",
    "total_timeout_ms": "total_timeout_ms",
    "totalTimeoutMs": "total_timeout_ms",
    "initial_ms": "initial_ms",
    "initialMs": "initial_ms",
    "max_ms": "max_ms",
    "maxMs": "max_ms",
    "multiplier": "multiplier",
    "jitter": "jitter",
}

# First pause and longest pause in ms.
_PAUSES = {"exponential": (100, 30_000), "fixed": (1000, 0), "linear": (100, 30_000), "none": (0, 0)}
_MAX_ATTEMPTS = 2**31 - 1


def _number(value: object, key: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"retry policy: {key} must be a number, got {type(value).__name__}")
    number = float(value)
    if math.isnan(number) or not low <= number <= high:
        raise ValueError(f"retry policy: {key} must be from {low:g} to {high:g}, got {value}")
    return number


def retry_policy(policy: Union[RetryPolicy, Mapping[str, Any]]) -> Retry:
    """Check a retry policy.

    Raises:
        TypeError: not a mapping.
        ValueError: an unknown key or value, a key given twice, ``max_attempts`` below 1.
    """
    if not isinstance(policy, Mapping):
        raise TypeError(f"retry must be a dict, got {type(policy).__name__}")
    given: dict[str, Any] = {}
    for key, value in policy.items():
        name = _KEYS.get(key) if isinstance(key, str) else None
        if name is None:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"retry policy: unknown key '{key}'{hint}")
        if name in given and given[name] != value:
            raise ValueError(f"retry policy: {name} is given twice, with different values")
        given[name] = value

    attempts = given.get("max_attempts", 3)
    if isinstance(attempts, bool) or not isinstance(attempts, int):
        raise ValueError(f"retry policy: max_attempts must be an int, got {type(attempts).__name__}")
    if attempts < 1:
        raise ValueError("retry policy: max_attempts must be at least 1")
    backoff = given.get("backoff", "exponential")
    if not isinstance(backoff, str) or backoff not in BACKOFFS:
        raise ValueError(f"retry policy: backoff must be one of {', '.join(sorted(BACKOFFS))}, got {backoff!r}")

    def time(key: str, default: int = 0) -> int:
        value = given.get(key)
        if value is None:
            return default
        try:
            return milliseconds(value, f"retry policy: {key}")
        except TypeError as e:
            raise ValueError(str(e)) from None

    first, longest = _PAUSES[backoff]
    return Retry(
        max_attempts=min(attempts, _MAX_ATTEMPTS),
        backoff=BACKOFFS[backoff],
        initial_ms=time("initial_ms", first),
        max_ms=time("max_ms", longest),
        timeout_ms=time("timeout_ms"),
        total_timeout_ms=time("total_timeout_ms"),
        multiplier=_number(given.get("multiplier", 2.0), "multiplier", 1.0, 1e6),
        jitter=_number(given.get("jitter", 0.0), "jitter", 0.0, 1.0),
    )
