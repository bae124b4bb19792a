"""The frames that cross the boundary to the engine; capi/frames.go is the other side.

Little endian. A text is its length (u32) and its bytes in UTF-8. Payloads are texts that the engine does not look into.

::

    answer of a call   u32 length of the header | header (JSON) | body
    to a lane          u8 op | u64 execution | u32 branch | what the op needs
    from a lane        a yield (see Yield), the end of an activity, or nothing
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, Optional

PROTOCOL = 3


class Op:
    """Operations of dx_call; capi/operations.go has the same numbers."""

    OPEN_HANDLES = 0
    OPEN_SQLITE = 1
    CLOSE_PROVIDER = 2
    CHECK = 3
    OPEN_POSTGRES = 4
    NEW_PASSWORD_DESK = 5
    AWAIT_PASSWORD_QUESTION = 6
    ANSWER_PASSWORD = 7
    CLOSE_PASSWORD_DESK = 8
    START = 10
    RAISE_EVENT = 11
    ENQUEUE_EVENT = 12
    CANCEL = 13
    STATUS = 14
    WAIT_END = 15
    WAIT_STATUS = 16
    WAIT_KV = 17
    INSTANCE = 20
    INSTANCES = 21
    EXECUTIONS = 22
    HISTORY = 23
    TREE = 24
    SYSTEM_METRICS = 25
    QUEUE_DEPTHS = 26
    INSTANCE_STATS = 27
    KV_VALUE = 28
    WAITING = 29
    DELETE = 30
    DELETE_BULK = 31
    PRUNE = 32
    PRUNE_BULK = 33
    REVIVE = 34
    NEW_RUNTIME = 40
    REGISTER_ACTIVITY = 41
    REGISTER_ORCHESTRATION = 42
    START_RUNTIME = 43
    SUPERVISE = 44
    SHUTDOWN = 45
    EXITING = 46
    RELEASE_RUNTIME = 47
    METRICS = 48
    COUNTERS = 49
    HEALTH = 50
    PULL_LOGS = 51
    LOG = 52
    END_ACTIVITIES = 53
    LANE_FAILED = 54


# Outcomes of dx_call and dx_fetch, in the two low bits.
DONE, ERROR, FETCH, PENDING = 0, 1, 2, 3

# What a lane is asked to do.
RESUME, BEGIN_RESUME, CLOSE, SAME, FORGET, ACTIVITY = 1, 2, 3, 4, 5, 6
LANE_END = 2  # kind of a lane request: the supervisor ends

# Kinds of resolution and of value.
NONE, TEXT, ALL, RACE, ERR, THROWN = 0, 1, 2, 3, 4, 5

# Ends of a step.
YIELD_AWAIT, YIELD_RETURN, YIELD_RAISE, YIELD_FATAL, YIELD_UNABLE = 0, 1, 2, 3, 4

# Kinds of task.
T_ACTIVITY, T_TIMER, T_EVENT, T_DEQUEUE, T_CHILD, T_DETACHED = 0, 1, 2, 3, 4, 5
T_GUID, T_CLOCK, T_CONTINUE_AS_NEW, T_ALL, T_RACE, T_BRANCH = 6, 7, 8, 9, 10, 11

# Immediate calls, and levels of traces.
C_SET_STATUS, C_RESET_STATUS, C_SET_KV, C_CLEAR_KV, C_CLEAR_ALL_KV, C_TRACE = 0, 1, 2, 3, 4, 5
LEVELS = {"debug": 0, "info": 1, "warn": 2, "error": 3}

# Backoffs of a retry policy.
BACKOFFS = {"exponential": 0, "none": 1, "fixed": 2, "linear": 3}

HEAD = struct.Struct("<BQI")
MOMENT = struct.Struct("<qIBB")  # now, remaining, replaying, kind of the resolution
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_U64 = struct.Struct("<Q")
_LEAF = struct.Struct("<BBI")
_CALL = struct.Struct("<BBI")
_COMPOSITE = struct.Struct("<BI")
_BEGIN = struct.Struct("<qqB")
_ACTIVITY = struct.Struct("<QqqI")
_RETRY = struct.Struct("<IBqqqqdd")

pack_u32 = _U32.pack
pack_composite = _COMPOSITE.pack
_pack_leaf = _LEAF.pack
_pack_call = _CALL.pack
U32_AT = _U32.unpack_from
_u32_at = U32_AT

NO_CALLS = pack_u32(0)


def text(data: bytes) -> bytes:
    """Bytes with their length in front."""
    return _U32.pack(len(data)) + data


def read_text(data: bytes, pos: int) -> tuple[str, int]:
    """A text and the position behind it."""
    (n,) = _u32_at(data, pos)
    pos += 4
    end = pos + n
    return data[pos:end].decode(), end


class Retry(NamedTuple):
    """A retry policy; times in ms, 0 = no limit."""

    max_attempts: int
    backoff: int
    initial_ms: int
    max_ms: int
    timeout_ms: int
    total_timeout_ms: int
    multiplier: float
    jitter: float


class Extras:
    """The optional fields of a leaf. The order of the fields is that of the frame."""

    __slots__ = ("fingerprint", "instance", "number", "retry", "session", "tag", "version")

    def __init__(
        self,
        *,
        version: Optional[str] = None,
        instance: Optional[str] = None,
        session: Optional[str] = None,
        tag: Optional[str] = None,
        number: int = 0,
        retry: Optional[Retry] = None,
        fingerprint: str = "",
    ) -> None:
        self.version = version
        self.instance = instance
        self.session = session
        self.tag = tag
        self.number = number
        self.retry = retry
        self.fingerprint = fingerprint


def leaf(kind: int, name: bytes, payload: bytes, extras: Optional[Extras], at: Optional[bytes]) -> bytes:
    """The frame of a leaf task."""
    if extras is None and at is None:
        return _pack_leaf(kind, 0, len(name)) + name + pack_u32(len(payload)) + payload
    flags = 0
    parts = [b"", name, pack_u32(len(payload)), payload]
    add = parts.append
    if extras is not None:
        if extras.version:
            flags |= 1
            add(text(extras.version.encode()))
        if extras.instance is not None:
            flags |= 2
            add(text(extras.instance.encode()))
        if extras.session is not None:
            flags |= 4
            add(text(extras.session.encode()))
        if extras.tag is not None:
            flags |= 8
            add(text(extras.tag.encode()))
        if extras.number:
            flags |= 16
            add(_I64.pack(extras.number))
        if extras.retry is not None:
            flags |= 32
            add(_RETRY.pack(*extras.retry))
    if at is not None:
        flags |= 64
        add(text(at))
    if extras is not None and extras.fingerprint:
        flags |= 128
        add(text(extras.fingerprint.encode()))
    parts[0] = _pack_leaf(kind, flags, len(name))
    return b"".join(parts)


def immediate(kind: int, level: int, key: bytes, value: bytes, at: bytes) -> bytes:
    """The frame of an immediate call."""
    return b"".join(
        (
            _pack_call(kind, level, len(key)),
            key,
            pack_u32(len(value)),
            value,
            pack_u32(len(at)),
            at,
        )
    )


_IMMEDIATE_NAMES = {
    C_SET_STATUS: "set_custom_status",
    C_RESET_STATUS: "reset_custom_status",
    C_SET_KV: "set_kv_value",
    C_CLEAR_KV: "clear_kv_value",
    C_CLEAR_ALL_KV: "clear_all_kv_values",
}


def immediate_name(frame: bytes) -> str:
    """The method whose call a frame is."""
    if frame[0] == C_TRACE:
        return "trace_" + next(name for name, level in LEVELS.items() if level == frame[1])
    return _IMMEDIATE_NAMES[frame[0]]


def yield_head(kind: int, at: bytes, ended: bool = False) -> bytes:
    """The beginning of a yield: kind, whether the execution was dropped with it, place."""
    return bytes((kind, ended)) + text(at)


def calls(frames: list[bytes]) -> bytes:
    """The immediate calls of a step."""
    return pack_u32(len(frames)) + b"".join(frames)


def failure(message: bytes, type_name: bytes, error_text: bytes) -> bytes:
    """The body of a yield that raised."""
    return text(message) + text(type_name) + text(error_text)


def activity_done(payload: bytes) -> bytes:
    """The end of an activity that returned."""
    return b"\0" + pack_u32(len(payload)) + payload


def activity_failed(final: bool, message: bytes, type_name: bytes, traceback: bytes) -> bytes:
    """The end of an activity that raised; final: no retry policy tries again."""
    return bytes((1, final)) + text(message) + text(type_name) + text(traceback)


ACTIVITY_GIVEN_BACK = b"\2"
ACTIVITY_UNABLE = b"\3"
ACTIVITY_DETACHED = b"\4"  # it goes on without its lane; the end comes with END_ACTIVITIES


def activity_end(run: int, answer: bytes) -> bytes:
    """How an activity ended that went on without its lane."""
    return _U64.pack(run) + text(answer)


class Begin(NamedTuple):
    """What an execution begins with."""

    execution: int
    status_version: int
    instance: str
    life: str
    name: str
    version: str
    input: str
    status: Optional[str]
    parent: str
    kv: dict[str, tuple[str, int]]  # value and time of the last write, ms


def read_begin(data: bytes, pos: int) -> Begin:
    """Read what an execution begins with."""
    execution, status_version, has_status = _BEGIN.unpack_from(data, pos)
    pos += _BEGIN.size
    instance, pos = read_text(data, pos)
    life, pos = read_text(data, pos)
    name, pos = read_text(data, pos)
    version, pos = read_text(data, pos)
    payload, pos = read_text(data, pos)
    status: Optional[str] = None
    if has_status:
        status, pos = read_text(data, pos)
    parent, pos = read_text(data, pos)
    (count,) = _u32_at(data, pos)
    pos += 4
    kv: dict[str, tuple[str, int]] = {}
    for _ in range(count):
        key, pos = read_text(data, pos)
        value, pos = read_text(data, pos)
        (updated,) = _I64.unpack_from(data, pos)
        pos += 8
        kv[key] = (value, updated)
    return Begin(execution, status_version, instance, life, name, version, payload, status, parent, kv)


def read_failure(data: bytes, pos: int) -> tuple[str, str, str, str, str, str, int]:
    """A failure as the arguments of failure_error: kind, text, type, traceback, activity, instance, attempt."""
    (attempt,) = _u32_at(data, pos)
    pos += 4
    kind, pos = read_text(data, pos)
    message, pos = read_text(data, pos)
    type_name, pos = read_text(data, pos)
    traceback, pos = read_text(data, pos)
    activity, pos = read_text(data, pos)
    instance, _ = read_text(data, pos)
    return kind, message, type_name, traceback, activity, instance, attempt


def read_value(data: bytes, kind: int, pos: int, decode: Any, decode_error: Any) -> tuple[Any, int]:
    """A value whose kind was read already, and the position behind it."""
    if kind == TEXT:
        (n,) = _u32_at(data, pos)
        pos += 4
        end = pos + n
        return decode(data[pos:end].decode()), end
    if kind == NONE:
        return None, pos
    if kind == ALL:
        (n,) = _u32_at(data, pos)
        pos += 4
        members: list[dict[str, Any]] = []
        for _ in range(n):
            if data[pos]:
                error, pos = read_text(data, pos + 1)
                members.append({"err": decode_error(error)})
            else:
                value, pos = read_value(data, data[pos + 1], pos + 2, decode, decode_error)
                members.append({"ok": value})
        return members, pos
    if kind == RACE:
        (index,) = _u32_at(data, pos)
        value, pos = read_value(data, data[pos + 4], pos + 5, decode, decode_error)
        return {"index": index, "value": value}, pos
    raise ValueError(f"malformed frame: value of kind {kind}")


class Job(NamedTuple):
    """An activity to run."""

    cancel_address: int
    execution: int
    schedule: int
    attempt: int
    instance: str
    orchestration: str
    version: str
    name: str
    session: str
    tag: str
    worker: str
    idempotency_key: str
    retry_key: str
    input: str


def read_job(data: bytes, pos: int) -> Job:
    """Read an activity to run."""
    address, execution, schedule, attempt = _ACTIVITY.unpack_from(data, pos)
    pos += _ACTIVITY.size
    texts: list[str] = []
    for _ in range(10):
        (n,) = _u32_at(data, pos)
        pos += 4
        end = pos + n
        texts.append(data[pos:end].decode())
        pos = end
    return Job(address, execution, schedule, attempt, *texts)
