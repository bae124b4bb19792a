"""How calls of an orchestration's context become tasks."""

from __future__ import annotations

from typing import Any, Optional

from duroxide import _frames
from duroxide._codec import identifier, semver
from duroxide._frames import Extras
from duroxide._immediate import ImmediateCalls
from duroxide._names import NAME_OF, Name, Names, name_bytes
from duroxide._payloads import PLAIN
from duroxide._tasks import Made, ScheduledTask
from duroxide._typed import converter


def on_session(session_id: str) -> Extras:
    """The fields of an activity in a session."""
    return Extras(session=identifier(session_id, "session_id"))


def other_instance(version: Optional[str], instance_id: str) -> Extras:
    """The fields of a call that names another instance."""
    return Extras(version=None if version is None else semver(version), instance=identifier(instance_id, "instance_id"))


class Scheduling(ImmediateCalls):
    """The part of an orchestration's context that makes tasks."""

    __slots__ = ("_dropped", "_names", "_open")

    _open: int
    _dropped: list[Optional[Made]]
    _names: Names

    def _call(
        self,
        kind: int,
        name: Optional[Name],
        input: Any,
        method: str,
        extras: Optional[Extras] = None,
        typed: bool = False,
        result_type: Any = None,
    ) -> ScheduledTask[Any]:
        """The task of a public method that gives an input to something with a name."""
        payloads = self._payloads
        encode = payloads.encode_typed if typed else payloads.encode
        payload = b"null" if input is None and payloads is PLAIN else encode(input, f"input of {method}", name)
        if payloads.fingerprints:
            extras = extras or Extras()
            extras.fingerprint = (payloads.typed_fingerprint if typed else payloads.fingerprint)(input)
        if type(name) is str:
            named = name_bytes(name, NAME_OF[kind])
        else:
            named = b"" if kind == _frames.T_CONTINUE_AS_NEW else self._names.of(kind, name)
        convert = None if result_type is None else converter(result_type)
        return ScheduledTask(self, kind, named, payload, extras, convert=convert, depth=3)
