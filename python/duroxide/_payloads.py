"""How values become stored text and values again: as JSON, or by a codec of the user's.

What a codec made is stored in an envelope that names it, so that it is never taken for something else::

    dx1:{name of the codec}:s:{text}        a codec that gave str
    dx1:{name of the codec}:b:{base64}      a codec that gave bytes

Text without an envelope is JSON, whether or not there is a codec: what was stored before one was introduced, and what
the engine itself writes, stays readable.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Optional, Union

from duroxide._codec import decode, encode, encode_typed, on_empty_stack
from duroxide._errors import CodecError, ConfigurationError

__all__ = ["PLAIN", "Codec", "Payloads", "payloads_of"]

_ENVELOPE = re.compile(r"dx1:([A-Za-z0-9._-]{1,64}):([sb]):", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Codec:
    """How values are stored: a subclass encrypts them, compresses them, or writes them as something else than JSON.

    It is given to both sides, ``RuntimeOptions(codec=...)`` and ``Client(provider, codec=...)``, and applies to
    everything that users put in: inputs, outputs, events, queue messages, custom status, KV values, and the texts and
    tracebacks of errors. Names, ids, versions, tags and the times are stored as they are.

    What is stored names the codec that made it. A runtime that cannot read a payload, having no codec, another one, or
    another key, fails nothing: an activity is given back, and an instance is blocked until a runtime comes that can.

    Methods are called from several threads.

    Attributes:
        name (str): stored with every payload: letters, digits, ``.``, ``_`` and ``-``, at most 64; default ``"codec"``.
            A codec whose output older programs cannot read takes another name.

    Example:
        >>> import json, zlib
        >>> class Compressed(Codec):
        ...     name = "zlib-json"
        ...     def encode(self, value):
        ...         return zlib.compress(json.dumps(value).encode())
        ...     def decode(self, data):
        ...         return json.loads(zlib.decompress(data))
        >>> store = SqliteProvider.in_memory()
        >>> other = Runtime(store, RuntimeOptions(codec=Compressed()))
        >>> double = other.register_orchestration("double", lambda ctx, input: input * 2)
        >>> with other:
        ...     client = Client(store, codec=Compressed())
        ...     client.start_orchestration("double-1", "double", 21)
        ...     client.wait_for_orchestration("double-1").output
        42
    """

    name: str = "codec"

    def encode(self, value: Any) -> Union[bytes, str]:
        """The stored form of a value.

        What it raises for a value that it does not take is raised at the call that gave the value.

        Args:
            value (JSON value): or whatever else the codec takes.

        Returns:
            bytes, which are stored as base64; or str, which is stored as it is.

        Raises:
            NotImplementedError: the subclass has none.

        Example:
            >>> class Spoken(Codec):
            ...     def encode(self, value):
            ...         return repr(value)
            >>> Spoken().encode({"a": 1})
            "{'a': 1}"
        """
        raise NotImplementedError(f"{type(self).__name__} has no encode()")

    def decode(self, data: Any) -> Any:
        """The value of a stored form.

        What it raises, for a wrong key or damaged data, is told as CodecError.

        Args:
            data (bytes or str): as encode() gave it.

        Raises:
            NotImplementedError: the subclass has none.

        Example:
            >>> import ast
            >>> class Spoken(Codec):
            ...     def decode(self, data):
            ...         return ast.literal_eval(data)
            >>> Spoken().decode("{'a': 1}")
            {'a': 1}
        """
        raise NotImplementedError(f"{type(self).__name__} has no decode()")

    def fingerprint(self, value: Any) -> Optional[str]:
        """Short text that is equal for equal values, and tells nothing else about them.

        A replay has to tell whether code schedules the same input again, also when encode() gives other bytes each
        time. With a fingerprint, which is stored beside the input, it compares texts; without one it decodes the stored
        input and compares the values. For an encrypting codec use a keyed hash (HMAC): the plain hash of a value that
        is easy to guess gives the value away.

        Args:
            value (JSON value): or whatever else the codec takes.

        Returns:
            the fingerprint; None (default): compare by decoding.

        Example:
            >>> import hmac, json
            >>> class Sealed(Codec):
            ...     def fingerprint(self, value):
            ...         text = json.dumps(value, sort_keys=True)
            ...         return hmac.new(b"a key", text.encode(), "sha256").hexdigest()[:16]
            >>> Sealed().fingerprint({"a": 1, "b": 2}) == Sealed().fingerprint({"b": 2, "a": 1})
            True
            >>> Codec().fingerprint({"a": 1}) is None
            True
        """
        return None


class Payloads:
    """Values to stored text and back, as a codec says."""

    __slots__ = ("_codec", "fingerprints")

    def __init__(self, codec: Optional[Codec] = None) -> None:
        self._codec = codec
        #: whether the codec has fingerprints of its own
        self.fingerprints = codec is not None and type(codec).fingerprint is not Codec.fingerprint

    def encode(self, value: Any, argument: str, name: object = None) -> bytes:
        """The payload of a value.

        Args:
            argument: how errors name it.
            name: of what is called, shown behind the argument.

        Raises:
            TypeError, ValueError: JSON, or the codec, does not take the value.
        """
        if self._codec is None:
            return encode(value, argument, name)
        return self._seal(value)

    def encode_typed(self, value: Any, argument: str, name: object = None) -> bytes:
        """The payload of the ``_typed`` calls: a str is taken for JSON already."""
        if self._codec is None:
            return encode_typed(value, argument, name)
        return self._seal(decode(value) if isinstance(value, str) else value)

    def encode_text(self, text: str) -> bytes:
        """Text that is stored as it is when there is no codec: status, KV values, errors."""
        if self._codec is None:
            return text.encode("utf-8", "backslashreplace")
        return self._seal(text)

    def decode(self, text: str) -> Any:
        """The value of a payload.

        Raises:
            CodecError: it was made by another codec, or this one cannot read it.
        """
        if text.startswith("dx1:"):
            return self._open(text, None)
        return decode(text)

    def decode_text(self, text: str) -> str:
        """The text of encode_text.

        Raises:
            CodecError: as decode().
        """
        if text.startswith("dx1:"):
            return str(self._open(text, text))
        return text

    def decode_error(self, text: str) -> str:
        """The text of a failure, with what users put into it decoded.

        Raises:
            CodecError: as decode().
        """
        if "dx1:" not in text:
            return text
        start = text.index("dx1:")
        return text[:start] + self.decode_text(text[start:])

    def shown(self, text: Optional[str]) -> Optional[str]:
        """Stored output as text to show: what a codec made as JSON, or as it is stored when it cannot be read."""
        if text is None or "dx1:" not in text:
            return text
        try:
            if text.startswith("dx1:"):
                value = self._open(text, text)
                return value if isinstance(value, str) and value == text else json.dumps(value, ensure_ascii=False)
            return self.decode_error(text)
        except (CodecError, TypeError, ValueError, RecursionError):
            return text

    def shown_within(self, data: Optional[str]) -> Optional[str]:
        """shown() for the data of an event: JSON text with payloads inside."""
        if data is None or "dx1:" not in data:
            return data
        if data.startswith("dx1:"):
            return self.shown(data)
        try:
            fields = json.loads(data)
        except ValueError:
            return data
        for key, value in fields.items() if isinstance(fields, dict) else ():
            if isinstance(value, str) and "dx1:" in value:
                if key in ("message", "traceback", "reason", "status", "value"):
                    fields[key] = self._shown_text(value)
                else:
                    shown = self.shown(value)
                    fields[key] = value if shown is None or shown == value else json.loads(shown)
        return json.dumps(fields, ensure_ascii=False)

    def _shown_text(self, text: str) -> str:
        try:
            return self.decode_error(text)
        except CodecError:
            return text

    def fingerprint(self, value: Any) -> str:
        """The codec's fingerprint of a value; empty when it has none."""
        return (self._codec.fingerprint(value) or "") if self._codec is not None else ""

    def typed_fingerprint(self, value: Any) -> str:
        """fingerprint() for the ``_typed`` calls."""
        return self.fingerprint(decode(value) if isinstance(value, str) else value)

    def same(self, recorded: str, asked: str) -> bool:
        """Whether two payloads that differ in bytes mean the same value."""
        both = (recorded, asked)
        try:
            try:
                return self._same(both)
            except RecursionError:
                return on_empty_stack(self._same, both)
        except (CodecError, RecursionError):
            # Nothing is known, so nothing is accused: whoever needs what cannot be read is told so.
            return True
        except (TypeError, ValueError):
            return False

    def _same(self, both: tuple[str, str]) -> bool:
        recorded, asked = map(self.decode, both)
        return bool(_canonical(recorded) == _canonical(asked))

    def _seal(self, value: Any) -> bytes:
        codec = self._codec
        assert codec is not None
        data = codec.encode(value)
        if isinstance(data, (bytes, bytearray, memoryview)):
            return f"dx1:{codec.name}:b:{base64.b64encode(data).decode()}".encode()
        if isinstance(data, str):
            if "\0" in data:
                raise ValueError(f"codec '{codec.name}' gave text with NUL: give bytes instead")
            return f"dx1:{codec.name}:s:{data}".encode()
        raise TypeError(f"codec '{codec.name}' gave {type(data).__name__} for encode(): it must give bytes or str")

    def _open(self, text: str, otherwise: Any) -> Any:
        found = _ENVELOPE.match(text)
        if found is None:
            return decode(text) if otherwise is None else otherwise
        name, form = found.groups()
        codec = self._codec
        if codec is None:
            raise CodecError(
                f"a payload was stored by codec '{name}', and there is no codec here: give it to "
                "RuntimeOptions(codec=...) and Client(provider, codec=...)"
            )
        if codec.name != name:
            raise CodecError(f"a payload was stored by codec '{name}', which codec '{codec.name}' cannot read")
        data = text[found.end() :]
        try:
            stored = base64.b64decode(data, validate=True) if form == "b" else data
            try:
                return codec.decode(stored)
            except RecursionError:
                return on_empty_stack(codec.decode, stored)
        except Exception as e:
            raise CodecError(
                f"codec '{name}' cannot read a payload: {type(e).__name__}: {e}; is its key the one that wrote it?"
            ) from e


def _canonical(value: Any) -> Any:
    try:
        return json.dumps(value, sort_keys=True)
    except TypeError:
        return value  # a codec may take what JSON does not


class AsStored(Payloads):
    """Payloads as JSON; those of a codec stay the text that is stored. For looking into a store without its key."""

    __slots__ = ()

    def _open(self, text: str, otherwise: Any) -> Any:
        return text


PLAIN = Payloads()
"""Payloads as JSON."""


def check_codec(codec: object, name: str = "codec") -> Optional[Codec]:
    """Check what was given for a codec.

    Raises:
        TypeError: no Codec.
        ConfigurationError: a name that cannot be stored.
    """
    if codec is None:
        return None
    if not isinstance(codec, Codec):
        what = f"the class {codec.__name__} itself" if isinstance(codec, type) else type(codec).__name__
        raise TypeError(f"{name} must be an instance of a subclass of duroxide.Codec, got {what}")
    if not isinstance(codec.name, str) or _NAME.fullmatch(codec.name) is None:
        raise ConfigurationError(
            f"{name}: the name {codec.name!r} must be letters, digits, '.', '_' and '-', at most 64 of them"
        )
    return codec


def payloads_of(codec: object) -> Payloads:
    """The payloads of a codec; None is JSON.

    Raises:
        TypeError, ConfigurationError: no codec.
    """
    checked = check_codec(codec)
    return PLAIN if checked is None else Payloads(checked)
