"""The arguments of clients, checked before anything is asked of the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from duroxide._codec import MAX_NAMED_ID_BYTES, Milliseconds, identifier, milliseconds
from duroxide._errors import InvalidArgument
from duroxide._results import InstanceFilter, PruneOptions

_NO_END = -1


def known_id(instance_id: object) -> str:
    return identifier(instance_id, "instance_id", MAX_NAMED_ID_BYTES)


def named(instance_id: object, name: object, what: str) -> dict[str, str]:
    return {"i": known_id(instance_id), "n": identifier(name, what, MAX_NAMED_ID_BYTES)}


def kv_key(key: object) -> str:
    if key == "":
        return ""
    return identifier(key, "key", MAX_NAMED_ID_BYTES)


def timeout(timeout_ms: Optional[Milliseconds]) -> int:
    return _NO_END if timeout_ms is None else milliseconds(timeout_ms, "timeout_ms")


def number(value: object, what: str, least: int = 0, most: int = 2**63 - 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"Invalid input: {what} must be an int, got {type(value).__name__}")
    if not least <= value <= most:
        raise InvalidArgument(f"Invalid input: {what} must be from {least} to {most}, got {value}")
    return value


def flag(value: Optional[bool], what: str) -> Optional[bool]:
    if value is not None and not isinstance(value, bool):
        raise InvalidArgument(f"Invalid input: {what} must be True, False or None, got {type(value).__name__}")
    return value


def moment(value: Optional[int], what: str) -> int:
    return 0 if value is None else number(value, what)


def bulk_filter(filter: Optional[InstanceFilter]) -> dict[str, Any]:
    if filter is None:
        return {}
    if not isinstance(filter, InstanceFilter):
        raise InvalidArgument(f"Invalid input: filter must be an InstanceFilter, got {type(filter).__name__}")
    head: dict[str, Any] = {}
    if filter.instance_ids is not None:
        given: Any = filter.instance_ids
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise InvalidArgument("Invalid input: instance_ids must be a list of str")
        head["instance_ids"] = [known_id(i) for i in given]
    if filter.completed_before is not None:
        head["completed_before"] = number(filter.completed_before, "completed_before")
    if filter.limit is not None:
        head["limit"] = number(filter.limit, "limit", 0, 2**31 - 1)
    return head


def prune_options(options: Optional[PruneOptions]) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, PruneOptions):
        raise InvalidArgument(f"Invalid input: options must be PruneOptions, got {type(options).__name__}")
    head: dict[str, Any] = {}
    if options.keep_last is not None:
        head["keep_last"] = number(options.keep_last, "keep_last", 0, 2**31 - 1)
    if options.completed_before is not None:
        head["prune_before"] = number(options.completed_before, "completed_before")
    return head
