"""Functions that stand for the names they are registered under.

An orchestration knows the functions of the runtime that runs it and no others, so that nothing else that the process
registers changes what it schedules. A client has no runtime: to it a function is its name as long as the process has
given it a single one.
"""

from __future__ import annotations

import weakref
from types import MethodType
from typing import Any, Callable, Union

from duroxide._codec import MAX_NAMED_ID_BYTES, identifier
from duroxide._errors import InvalidArgument
from duroxide._frames import T_ACTIVITY, T_CHILD, T_DETACHED

Name = Union[str, Callable[..., Any]]
"""A registered name, or the function that was registered under it."""

NAME_OF = {
    T_ACTIVITY: "name of the activity",
    T_CHILD: "name of the orchestration",
    T_DETACHED: "name of the orchestration",
}
"""What errors call a name."""

_known: dict[str, bytes] = {}
_MAX_KNOWN = 10_000


def name_bytes(name: str, what: str) -> bytes:
    """The bytes of a name that is given as text, checked once for each.

    Raises:
        InvalidArgument: no valid name.
    """
    found = _known.get(name) if type(name) is str else None
    if found is None:
        found = identifier(name, what, MAX_NAMED_ID_BYTES).encode()
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[str(name)] = found
    return found


class Names:
    """The names of functions, for activities and for orchestrations.

    Args:
        table: makes an empty table whose keys are functions.
        where: how errors call what the functions are registered in.
    """

    __slots__ = ("_tables", "_where")

    def __init__(self, table: Callable[[], Any] = dict, where: str = "this runtime") -> None:
        # From each function to its name in UTF-8, or to a tuple of several.
        activities, orchestrations = table(), table()
        self._tables = {T_ACTIVITY: activities, T_CHILD: orchestrations, T_DETACHED: orchestrations}
        self._where = where

    def put(self, kind: int, function: Any, name: str) -> None:
        """Let a function stand for a name."""
        table, encoded = self._tables[kind], name.encode()
        try:
            known = table.get(function)
            if known is None or known == encoded:
                table[function] = encoded
            else:
                names = known if isinstance(known, tuple) else (known,)
                table[function] = tuple(sorted({*names, encoded}))
        except TypeError:
            pass  # not hashable, or without weak references: it is named by text only

    def of(self, kind: int, value: Any) -> bytes:
        """The name, in UTF-8, of what a caller gave for one.

        Raises:
            InvalidArgument: neither a valid name nor a function that has exactly one.
        """
        try:
            found: Any = self._tables[kind].get(value)
        except TypeError:
            found = None
        if type(found) is bytes:
            return found
        what = NAME_OF[kind]
        if isinstance(value, str):
            return name_bytes(value, what)
        if not callable(value):
            given = type(value).__name__
            raise InvalidArgument(f"Invalid input: {what} must be a str or a registered function, got {given}")
        label = getattr(value, "__name__", type(value).__name__)
        if found is None:
            raise InvalidArgument(f"Invalid input: {what}: function {label} is not registered in {self._where}")
        names = ", ".join(f"'{name.decode()}'" for name in found)
        raise InvalidArgument(
            f"Invalid input: {what}: function {label} is registered under several names in {self._where} ({names}): "
            "give the name as text"
        )

    def orchestration(self, value: Any) -> str:
        """of() for an orchestration, as text."""
        if isinstance(value, str):
            return identifier(value, NAME_OF[T_CHILD], MAX_NAMED_ID_BYTES)
        return self.of(T_CHILD, value).decode()


class _WeakTable:
    """A table that does not keep its functions alive."""

    def __init__(self) -> None:
        self._owners: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()

    def get(self, function: Any) -> Any:
        owner, part = _halves(function)
        return self._owners.get(owner, {}).get(part)

    def __setitem__(self, function: Any, names: Any) -> None:
        owner, part = _halves(function)
        self._owners.setdefault(owner, {})[part] = names


def _halves(function: Any) -> tuple[Any, Any]:
    """A bound method is made anew whenever it is asked for; what it consists of stays."""
    return (function.__self__, function.__func__) if isinstance(function, MethodType) else (function, None)


EVERYWHERE = Names(_WeakTable, "this process")
"""What all runtimes of the process have registered: for clients, and for contexts made by hand."""
