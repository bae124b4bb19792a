"""How calls of an orchestration's context become tasks."""

from __future__ import annotations

from typing import Any, Callable, Optional, Union

from duroxide import _frames
from duroxide._codec import identifier, name_of, semver
from duroxide._frames import Extras
from duroxide._immediate import ImmediateCalls
from duroxide._payloads import PLAIN
from duroxide._tasks import ScheduledTask
from duroxide._typed import converter

Name = Union[str, Callable[..., Any]]
"""A registered name, or the function that was registered under it."""

_known_names: dict[Any, bytes] = {}
_MAX_KNOWN_NAMES = 10_000


def name_bytes(value: object, what: str) -> bytes:
    """The bytes of a name, checked once for each."""
    try:
        known = _known_names.get(value)
        if known is not None and type(value) is str:
            return known
    except TypeError:
        pass  # not hashable, so no name: the check below says so
    name = name_of(value, what).encode()
    if type(value) is str:
        if len(_known_names) >= _MAX_KNOWN_NAMES:
            _known_names.clear()
        _known_names[value] = name
    return name


def on_session(session_id: str) -> Extras:
    """The fields of an activity in a session."""
    return Extras(session=identifier(session_id, "session_id"))


def other_instance(version: Optional[str], instance_id: str) -> Extras:
    """The fields of a call that names another instance."""
    return Extras(version=None if version is None else semver(version), instance=identifier(instance_id, "instance_id"))


_NAMED = {
    _frames.T_ACTIVITY: "name of the activity",
    _frames.T_CHILD: "name of the orchestration",
    _frames.T_DETACHED: "name of the orchestration",
}


class Scheduling(ImmediateCalls):
    """The part of an orchestration's context that makes tasks."""

    __slots__ = ("_made",)

    _made: list[ScheduledTask[Any]]

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
        named = b"" if kind == _frames.T_CONTINUE_AS_NEW else name_bytes(name, _NAMED[kind])
        convert = None if result_type is None else converter(result_type)
        return ScheduledTask(self, kind, named, payload, extras, convert=convert, depth=3)
