"""What orchestration code calls without a yield: custom status, key-value store, log lines.

The calls are kept and reach the engine with the next yield; nothing here calls into it.
"""

from __future__ import annotations

import sys
from threading import get_ident
from typing import Any, Optional

from duroxide import _frames
from duroxide._codec import (
    MAX_KV_KEYS,
    MAX_KV_VALUE_BYTES,
    MAX_NAMED_ID_BYTES,
    MAX_STATUS_BYTES,
    identifier,
    milliseconds,
    text_of,
)
from duroxide._errors import InvalidArgument, RuntimeStateError
from duroxide._locations import place, safe_encode
from duroxide._payloads import PLAIN

_getframe = sys._getframe

stepping: dict[int, Any] = {}
"""The execution (of _driver) that each thread is stepping now, by thread id."""


class ImmediateCalls:
    """The part of an orchestration's context whose calls act at once."""

    __slots__ = ("_calls", "_execution", "_kv", "_muted", "_now_ms", "_payloads", "_recorded", "_status", "instance_id")

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self._execution: Optional[object] = None
        self._payloads = PLAIN
        self._calls: list[bytes] = []
        self._kv: dict[str, tuple[str, int]] = {}
        self._status: Optional[str] = None
        self._now_ms = 0
        self._recorded = 0
        self._muted = False

    # Custom status

    def set_custom_status(self, status: Any) -> None:
        """Set the status that clients see: ``str(status)``, at most 262,144 bytes in UTF-8.

        Args:
            status (str or other): what is shown; other values by their ``str()``.

        Raises:
            InvalidArgument: it is longer, or contains NUL.
            TypeError, ValueError: the codec does not take it.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_custom_status("2 of 5 pages")
            ...     yield ctx.schedule_timer(1)
            >>> id = start(flow)
            >>> client.wait_for_orchestration(id).custom_status
            '2 of 5 pages'
        """
        text = text_of(status, "custom status")
        data = self._payloads.encode_text(text)
        if len(data) > MAX_STATUS_BYTES:
            raise InvalidArgument(f"Custom status size ({len(data)} bytes) exceeds limit ({MAX_STATUS_BYTES} bytes)")
        if self._record(_frames.C_SET_STATUS, b"", data):
            self._status = data.decode() if self._payloads is PLAIN else text

    def reset_custom_status(self) -> None:
        """Remove the custom status.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_custom_status("working")
            ...     ctx.reset_custom_status()
            ...     yield ctx.schedule_timer(1)
            >>> client.wait_for_orchestration(start(flow)).custom_status is None
            True
        """
        if self._record(_frames.C_RESET_STATUS):
            self._status = None

    def get_custom_status(self) -> Optional[str]:
        """The custom status (str), or None when none is set.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_custom_status("working")
            ...     yield ctx.schedule_timer(1)
            ...     return ctx.get_custom_status()
            >>> run(flow)
            'working'
        """
        self._check_thread()
        return self._status

    # Key-value store of the instance

    def set_kv_value(self, key: str, value: Any) -> None:
        """Set a value that clients and later executions can read: ``str(value)``, at most 65,536 bytes in UTF-8.

        Args:
            key (str): at most 2,048 bytes in UTF-8; at most 150 of them.
            value (str or other): what is stored; other values by their ``str()``.

        Raises:
            InvalidArgument: the value is longer, there would be more than 150 keys, or one of them contains NUL.
            TypeError, ValueError: the codec does not take the value.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     yield ctx.schedule_timer(1)
            ...     return ctx.get_kv_value("pages")
            >>> run(flow)
            '12'
        """
        name = self._kv_key(key)
        text = text_of(value, "KV value")
        data = self._payloads.encode_text(text)
        if len(data) > MAX_KV_VALUE_BYTES:
            raise InvalidArgument(
                f"KV value for key '{key}' ({len(data)} bytes) exceeds limit ({MAX_KV_VALUE_BYTES} bytes)"
            )
        if key not in self._kv and len(self._kv) >= MAX_KV_KEYS:
            raise InvalidArgument(f"KV key count ({len(self._kv) + 1}) exceeds limit ({MAX_KV_KEYS})")
        if self._record(_frames.C_SET_KV, name, data):
            self._kv[key] = (data.decode() if self._payloads is PLAIN else text, self._now_ms)

    def get_kv_value(self, key: str) -> Optional[str]:
        """The value of a key (str), or None.

        Args:
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: a key that is not valid.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     yield ctx.schedule_timer(1)
            ...     return [ctx.get_kv_value("pages"), ctx.get_kv_value("lines")]
            >>> run(flow)
            ['12', None]
        """
        self._kv_key(key)
        self._check_thread()
        entry = self._kv.get(key)
        return None if entry is None else entry[0]

    def get_kv_all_values(self) -> dict[str, str]:
        """All keys with their values, as a new dictionary.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     ctx.set_kv_value("lines", 480)
            ...     yield ctx.schedule_timer(1)
            ...     return ctx.get_kv_all_values()
            >>> run(flow)
            {'pages': '12', 'lines': '480'}
        """
        self._check_thread()
        return {key: entry[0] for key, entry in self._kv.items()}

    def get_kv_all_keys(self) -> list[str]:
        """All keys, as a new list.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     yield ctx.schedule_timer(1)
            ...     return ctx.get_kv_all_keys()
            >>> run(flow)
            ['pages']
        """
        self._check_thread()
        return list(self._kv)

    def get_kv_length(self) -> int:
        """The number of keys (int).

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     yield ctx.schedule_timer(1)
            ...     return ctx.get_kv_length()
            >>> run(flow)
            1
        """
        self._check_thread()
        return len(self._kv)

    def clear_kv_value(self, key: str) -> None:
        """Remove a key. One that does not exist is no error.

        Args:
            key (str): at most 2,048 bytes in UTF-8.

        Raises:
            InvalidArgument: a key that is not valid.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     yield ctx.schedule_timer(1)
            ...     ctx.clear_kv_value("pages")
            ...     return ctx.get_kv_value("pages")
            >>> run(flow) is None
            True
        """
        if self._record(_frames.C_CLEAR_KV, self._kv_key(key)):
            self._kv.pop(key, None)

    def clear_all_kv_values(self) -> None:
        """Remove all keys.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("pages", 12)
            ...     yield ctx.schedule_timer(1)
            ...     ctx.clear_all_kv_values()
            ...     return ctx.get_kv_length()
            >>> run(flow)
            0
        """
        if self._record(_frames.C_CLEAR_ALL_KV):
            self._kv.clear()

    def prune_kv_values_updated_before(self, cutoff_ms: int) -> int:
        """Remove the keys that were last written before a time.

        Args:
            cutoff_ms (int): ms since the epoch.

        Returns:
            how many were removed.

        Raises:
            TypeError, ValueError: no int >= 0.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.set_kv_value("old", 1)
            ...     yield ctx.schedule_timer(20)
            ...     removed = ctx.prune_kv_values_updated_before((yield ctx.utc_now()) - 10)
            ...     return [removed, ctx.get_kv_all_keys()]
            >>> run(flow)
            [1, []]
        """
        cutoff = milliseconds(cutoff_ms, "cutoff_ms")
        old = [key for key, (_, updated) in self._kv.items() if updated < cutoff]
        removed = 0
        for key in old:
            if self._record(_frames.C_CLEAR_KV, key.encode()):
                del self._kv[key]
                removed += 1
        return removed

    # Logs

    def trace_info(self, message: Any) -> None:
        """Log a line for people. Nothing is logged again when the code is replayed.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.trace_info("12 pages to go")
            ...     yield ctx.schedule_timer(1)
            >>> run(flow)
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('INFO', '12 pages to go')
        """
        self._trace("info", message)

    def trace_warn(self, message: Any) -> None:
        """Log a warning. Nothing is logged again when the code is replayed.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.trace_warn("a page is empty")
            ...     yield ctx.schedule_timer(1)
            >>> run(flow)
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('WARNING', 'a page is empty')
        """
        self._trace("warn", message)

    def trace_error(self, message: Any) -> None:
        """Log an error. Nothing is logged again when the code is replayed.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.trace_error("a page is missing")
            ...     yield ctx.schedule_timer(1)
            >>> run(flow)
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('ERROR', 'a page is missing')
        """
        self._trace("error", message)

    def trace_debug(self, message: Any) -> None:
        """Log a detail. Nothing is logged again when the code is replayed.

        Args:
            message (str or other): the text; other values by their ``str()``.

        Example:
            >>> def flow(ctx, input):
            ...     ctx.trace_debug("page 7")
            ...     yield ctx.schedule_timer(1)
            >>> run(flow)
            >>> record = logs.get(timeout=10)
            >>> record.levelname, record.getMessage()
            ('DEBUG', 'page 7')
        """
        self._trace("debug", message)

    # Below: how immediate calls reach the engine, with the next yield

    def _trace(self, level: str, message: Any) -> None:
        if self._execution is None or not self._usable():
            return
        text = message if type(message) is str else str(message)
        frame = _getframe(2)
        self._calls.append(
            _frames.immediate(
                _frames.C_TRACE,
                _frames.LEVELS[level],
                b"",
                safe_encode(text),
                place(frame.f_code, frame.f_lineno)[1],
            )
        )

    def _record(self, kind: int, key: bytes = b"", value: bytes = b"") -> bool:
        """Keep an immediate call for the engine; False when it has no effect: the code is being closed."""
        if self._execution is None:
            return True
        if not self._usable():
            return False
        frame = _getframe(2)
        at = place(frame.f_code, frame.f_lineno)[1]
        self._calls.append(_frames.immediate(kind, 0, key, value, at))
        self._recorded += 1
        return True

    def _usable(self) -> bool:
        self._check_thread()
        return not self._muted

    def _check_thread(self) -> None:
        if self._execution is not None and stepping.get(get_ident()) is not self._execution:
            raise RuntimeStateError(
                f"the context of instance '{self.instance_id}' was used outside its orchestration function: "
                "only the code that the engine is running for this instance may call it, on its own thread"
            )

    def _kv_key(self, key: object) -> bytes:
        if not isinstance(key, str):
            raise InvalidArgument(f"Invalid input: KV key must be a str, got {type(key).__name__}")
        return identifier(key, "KV key", MAX_NAMED_ID_BYTES).encode() if key else b""
