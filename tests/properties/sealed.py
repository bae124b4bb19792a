"""A codec that gives other bytes for the same value each time, as encryption does."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from duroxide import Codec


class Sealed(Codec):
    """A random nonce, then the JSON text under a key stream made of it."""

    name = "sealed"

    def encode(self, value: Any) -> bytes:
        nonce = os.urandom(16)
        return nonce + self._mix(nonce, json.dumps(value).encode())

    def decode(self, data: bytes) -> Any:
        return json.loads(self._mix(data[:16], data[16:]))

    def _mix(self, nonce: bytes, text: bytes) -> bytes:
        stream = hashlib.shake_256(b"key" + nonce).digest(len(text))
        return bytes(a ^ b for a, b in zip(text, stream))
