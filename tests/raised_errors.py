"""Which errors a function of the package raises: itself, and through what it calls inside the package.

Read from the source, so it is neither complete nor exact. Seen are ``raise SomeError(...)``, calls of functions by
their name, of methods of the same object, and of its payloads. What the engine raises is not seen, and a handler takes
away what it catches. ImportError, of a damaged installation, does not count.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
import textwrap
from typing import Any, Callable, Optional

from duroxide._payloads import Payloads

Errors = set[type[Exception]]

#: attributes of an object whose methods count
ATTRIBUTES: dict[str, type] = {"_payloads": Payloads}


def raised(thing: Any, owner: Optional[type] = None) -> Errors:
    """The errors of a function, or of making an object of a class."""
    if inspect.isclass(thing):
        made = None if dataclasses.is_dataclass(thing) else vars(thing).get("__init__")
        return set() if made is None else _Reader(made, thing, set()).errors()
    return _Reader(thing, owner, set()).errors()


class _Reader:
    def __init__(self, function: Callable[..., Any], owner: Optional[type], seen: set[Any]) -> None:
        self._function = inspect.unwrap(function)
        self._owner = owner
        self._seen = seen

    def errors(self) -> Errors:
        if self._function in self._seen or not self._function.__module__.startswith("duroxide"):
            return set()
        self._seen.add(self._function)
        tree = ast.parse(textwrap.dedent(inspect.getsource(self._function)))
        definition = tree.body[0]
        assert isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef))
        return self._of_all(definition.body)

    def _of_all(self, nodes: Any) -> Errors:
        return {error for node in nodes for error in self._of(node)}

    def _of(self, node: ast.AST) -> Errors:
        if isinstance(node, ast.Try):
            caught = tuple(c for handler in node.handlers for c in self._caught(handler))
            inside = {e for e in self._of_all(node.body) if not issubclass(e, caught)}
            return inside | self._of_all([*node.handlers, *node.orelse, *node.finalbody])
        found = self._of_all(ast.iter_child_nodes(node))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            error = self._named(node.exc.func)
            if inspect.isclass(error) and issubclass(error, Exception) and error is not ImportError:
                found.add(error)
        if isinstance(node, ast.Call):
            found |= self._of_call(node.func)
        return found

    def _caught(self, handler: ast.ExceptHandler) -> list[type[Exception]]:
        if handler.type is None:
            return [Exception]
        named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        return [c for c in map(self._named, named) if inspect.isclass(c)]

    def _of_call(self, called: ast.expr) -> Errors:
        if isinstance(called, ast.Name):
            function = self._named(called)
            return _Reader(function, None, self._seen).errors() if inspect.isfunction(function) else set()
        if not isinstance(called, ast.Attribute):
            return set()
        owner: Optional[type] = None
        if isinstance(called.value, ast.Name) and called.value.id in ("self", "cls"):
            owner = self._owner
        elif isinstance(called.value, ast.Attribute):
            owner = ATTRIBUTES.get(called.value.attr)
        method = None if owner is None else inspect.getattr_static(owner, called.attr, None)
        method = getattr(method, "__func__", method)
        return _Reader(method, owner, self._seen).errors() if inspect.isfunction(method) else set()

    def _named(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Name):
            return None
        return self._function.__globals__.get(node.id, getattr(builtins, node.id, None))
