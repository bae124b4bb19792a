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
    """A retry policy, as a dictionary whose keys a type checker knows. All may be missing. The camelCase spellings mean
    the same.

    Attributes:
        max_attempts, maxAttempts (int): 1 or more; default 3.
        backoff, backoff_strategy, backoffStrategy (str): ``"exponential"`` (default; 100 ms, doubled up to 30 s),
            ``"fixed"`` (1 s), ``"linear"`` (100 ms per attempt up to 30 s), ``"none"``.
        timeout_ms, timeoutMs (int or timedelta or None): of each attempt, in ms or as a timedelta; default None: no
            limit.
        total_timeout_ms, totalTimeoutMs (int or timedelta or None): of all with their pauses, in ms or as a timedelta;
            default None: no limit.
        initial_ms, initialMs (int or timedelta or None): first pause, in ms or as a timedelta; default None: as
            ``backoff`` says.
        max_ms, maxMs (int or timedelta or None): longest pause, in ms or as a timedelta; default None: as ``backoff``
            says.
        multiplier (float): of the exponential one, 1 or more; default 2.0.
        jitter (float): share of each pause that is drawn, 0 to 1; default 0.

    Raises:
        ValueError: an unknown key or value, a key given twice, a limit of 0; raised by the call that it is given to.

    Example:
        >>> policy: RetryPolicy = {
        ...     "max_attempts": 3,
        ...     "backoff": "exponential",  # or "backoff_strategy"
        ...     "initial_ms": 1,
        ...     "max_ms": 10,
        ...     "multiplier": 2.0,
        ...     "jitter": 0.5,
        ...     "timeout_ms": 5_000,
        ...     "total_timeout_ms": 60_000,
        ... }
        >>> same = {
        ...     "maxAttempts": 3, "backoffStrategy": "exponential", "initialMs": 1, "maxMs": 10,
        ...     "timeoutMs": 5_000, "totalTimeoutMs": 60_000,
        ... }
        >>> def flow(ctx, amount):
        ...     yield ctx.schedule_activity_with_retry(charge, 10, same)
        ...     return (yield ctx.schedule_activity_with_retry(charge, amount, policy))
        >>> run(flow, 40)
        {'charged': 40}
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

    def time(key: str, default: int) -> int:
        value = given.get(key)
        if value is None:
            return default
        try:
            return milliseconds(value, f"retry policy: {key}")
        except TypeError as e:
            raise ValueError(str(e)) from None

    def limit(key: str) -> int:
        ms = time(key, 0)
        if ms == 0 and given.get(key) is not None:
            raise ValueError(f"retry policy: {key} must be more than 0")
        return ms

    first, longest = _PAUSES[backoff]
    return Retry(
        max_attempts=min(attempts, _MAX_ATTEMPTS),
        backoff=BACKOFFS[backoff],
        initial_ms=time("initial_ms", first),
        max_ms=time("max_ms", longest),
        timeout_ms=limit("timeout_ms"),
        total_timeout_ms=limit("total_timeout_ms"),
        multiplier=_number(given.get("multiplier", 2.0), "multiplier", 1.0, 1e6),
        jitter=_number(given.get("jitter", 0.0), "jitter", 0.0, 1.0),
    )
