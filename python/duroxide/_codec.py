"""Payloads, and the checks that every argument passes before anything is stored.

A payload is JSON text in UTF-8. The engine stores and compares its bytes and never looks inside.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
import threading
from json import encoder as _json_encoder
from typing import Any, Callable, Optional, TypeVar, Union

from duroxide._errors import CodecError, InvalidArgument

__all__ = [
    "MAX_CREATED_ID_BYTES",
    "MAX_KV_KEYS",
    "MAX_KV_VALUE_BYTES",
    "MAX_NAMED_ID_BYTES",
    "MAX_STATUS_BYTES",
    "MAX_TAG_NAME_BYTES",
    "MAX_WORKER_TAGS",
    "Milliseconds",
    "decode",
    "encode",
    "encode_raw_text",
    "encode_typed",
    "identifier",
    "milliseconds",
    "on_empty_stack",
    "semver",
    "text_of",
]

MAX_WORKER_TAGS = 5
MAX_TAG_NAME_BYTES = 256
MAX_KV_KEYS = 150
MAX_KV_VALUE_BYTES = 65536
MAX_STATUS_BYTES = 262144
MAX_CREATED_ID_BYTES = 1024
MAX_NAMED_ID_BYTES = 2048

T = TypeVar("T")

Milliseconds = Union[int, datetime.timedelta]
"""A length of time: whole milliseconds, or a timedelta."""

_MAX_MS = 2**53  # what a double, and with it JSON everywhere, holds exactly


def _refuse(o: object) -> None:
    raise TypeError(f"Object of type {type(o).__name__} is not JSON serializable")


def _build_encoder() -> Callable[[Any], str]:
    """json.dumps(ensure_ascii=False) without building an encoder for each call."""
    make = getattr(_json_encoder, "c_make_encoder", None)
    quote = getattr(_json_encoder, "encode_basestring", None)
    if make is None or quote is None:
        return json.JSONEncoder(ensure_ascii=False).encode
    # No markers: a cycle ends in RecursionError instead, and nothing is shared between threads.
    chunks = make(None, _refuse, quote, None, ": ", ", ", False, False, True)

    def dumps(value: Any) -> str:
        return "".join(chunks(value, 0))

    if dumps({"a": [1, None, "ä", 0.5], 2: True}) != '{"a": [1, null, "ä", 0.5], "2": true}':
        return json.JSONEncoder(ensure_ascii=False).encode  # pragma: no cover
    return dumps


_dumps = _build_encoder()
_scan: Callable[[str, int], tuple[Any, int]] = getattr(json.JSONDecoder(), "scan_once")  # noqa: B009 - the stubs do not know it


def _told(argument: str, name: object) -> str:
    if name is None:
        return argument
    return f"{argument}({getattr(name, '__name__', name)!r})"


def encode(value: object, argument: str, name: object = None) -> bytes:
    """The payload of a value.

    Args:
        value: whatever ``json.dumps`` takes.
        argument: how errors name it, e.g. ``"input of schedule_activity"``; empty where their reader
            knows what it is.
        name: of what is called, shown behind the argument.

    Raises:
        TypeError: a type that JSON does not have.
        ValueError: a value that contains itself, or is nested too deeply.
    """
    if value is None:
        return b"null"
    try:
        return _dumps(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()  # lone surrogates: only as \u escapes
    except RecursionError:
        told = _told(argument, name) or "the value"
        raise ValueError(f"{told} contains itself or is nested too deeply for JSON") from None
    except TypeError as e:
        told = _told(argument, name)
        raise TypeError(f"{told} is not JSON: {e}" if told else str(e)) from None
    except ValueError as e:
        told = _told(argument, name)
        raise ValueError(f"{told} is not JSON: {e}" if told else str(e)) from None


def encode_raw_text(text: str) -> bytes:
    """Text as a payload of its own, without quotes."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(text).encode()


def encode_typed(value: object, argument: str, name: object = None) -> bytes:
    """The payload of the ``_typed`` calls: a str is taken for JSON already."""
    if isinstance(value, str):
        return encode_raw_text(value)
    return encode(value, argument, name)


def decode(text: str) -> Any:
    """The value of a payload. Text that is not JSON stays text; empty text is None.

    Raises:
        CodecError: it is nested too deeply for this process.
    """
    if not text:
        return None
    try:
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, ValueError):
        pass
    except RecursionError:
        return _decode_deep(text)
    try:  # with white space around it
        return json.loads(text)
    except ValueError:
        return text
    except RecursionError:
        return _decode_deep(text)


def _decode_deep(text: str) -> Any:
    try:
        return on_empty_stack(json.loads, text)
    except ValueError:
        return text
    except RecursionError:
        raise CodecError(
            f"a payload is nested too deeply for the recursion limit of this process, {sys.getrecursionlimit()}; "
            "sys.setrecursionlimit() raises it"
        ) from None


def on_empty_stack(read: Callable[[Any], T], data: Any) -> T:
    """Read something nested that there was too little stack left for, on a thread that has all of its own: what was
    written under the same recursion limit can be read there.

    Raises:
        RecursionError: there is too little on that thread too, or there can be none.
    """
    outcome: list[tuple[Any, Optional[BaseException]]] = []

    def run() -> None:
        try:
            outcome.append((read(data), None))
        except BaseException as e:
            outcome.append((None, e))

    thread = threading.Thread(target=run, name="duroxide-deep", daemon=True)
    try:
        thread.start()
    except RuntimeError as e:  # the process is ending, or the system has no more threads
        raise RecursionError(str(e)) from None
    thread.join()
    ((value, error),) = outcome
    if error is not None:
        raise error
    result: T = value
    return result


def identifier(value: object, what: str, limit: int = MAX_CREATED_ID_BYTES) -> str:
    """Check an identifier: non-empty str without NUL, at most ``limit`` bytes in UTF-8.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, str):
        raise InvalidArgument(f"Invalid input: {what} must be a str, got {type(value).__name__}")
    if not value:
        raise InvalidArgument(f"Invalid input: {what} must not be empty")
    if "\0" in value:
        raise InvalidArgument(f"Invalid input: {what} must not contain NUL")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"Invalid input: {what} contains a lone surrogate") from None
    if size > limit:
        raise InvalidArgument(f"Invalid input: {what} has {size} bytes in UTF-8, the limit is {limit}")
    return value


def milliseconds(value: object, what: str) -> int:
    """Check a length of time: int >= 0 in ms, or a timedelta.

    Raises:
        TypeError: a bool, or another type.
        ValueError: negative, fractional, not finite, or beyond 2**53 ms.
    """
    if type(value) is int:
        ms = value
    elif isinstance(value, datetime.timedelta):
        micros = (value.days * 86400 + value.seconds) * 1000000 + value.microseconds
        ms = -(-micros // 1000)  # up, so that a positive one never becomes 0
    elif isinstance(value, bool):
        raise TypeError(f"{what} must be milliseconds (int) or a timedelta, got bool")
    elif isinstance(value, int):
        ms = int(value)
    elif isinstance(value, float):
        if not value.is_integer():  # NaN and infinities too
            raise ValueError(f"{what} must be whole milliseconds, got {value}")
        ms = int(value)
    else:
        raise TypeError(f"{what} must be milliseconds (int) or a timedelta, got {type(value).__name__}")
    if ms < 0:
        raise ValueError(f"{what} must not be negative, got {ms} ms")
    if ms > _MAX_MS:
        raise ValueError(f"{what} is too long: {ms} ms")
    return ms


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def semver(value: object, what: str = "version") -> str:
    """Check a full semantic version, e.g. ``1.0.1``.

    Raises:
        InvalidArgument: it is none.
    """
    text = identifier(value, what, 256)
    if _SEMVER.fullmatch(text) is None:
        raise InvalidArgument(f"Invalid input: {what} must be a semantic version such as 1.0.1, got '{text}'")
    return text


def text_of(value: object, what: str) -> str:
    """``str(value)`` for status texts and KV values, which hold no NUL."""
    text = value if type(value) is str else str(value)
    if "\0" in text:
        raise InvalidArgument(f"Invalid input: {what} must not contain NUL")
    return text
