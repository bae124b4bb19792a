"""The directive `api-table`: every public name with its signature and the first sentence about it.

Made from the package itself, so that it cannot miss a name; each name links to its entry in the reference, and a name
without an entry or a docstring is an error of the build.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import duroxide
from duroxide import aio

logger = logging.getLogger(__name__)


def summary(thing: Any) -> str:
    """The first sentence of a docstring."""
    text = inspect.getdoc(thing) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    for end in re.finditer(r"[.:](?= |$)", paragraph):
        sentence = paragraph[: end.end()]
        if sentence.count("``") % 2 == 0 and not sentence.endswith("e.g."):
            return re.sub(":$", ".", sentence)
    return paragraph


def call(thing: Any) -> str:
    """The parameters of a function, without annotations."""
    signature = inspect.signature(thing)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return str(inspect.Signature(bare))


def members(owner: type) -> list[tuple[str, Any]]:
    """The public methods and properties of a class, in the order in which they are written."""
    found: dict[str, Any] = {}
    for cls in reversed(owner.__mro__[:-1]):
        if not cls.__module__.startswith("duroxide") or issubclass(cls, BaseException):
            continue
        for name, value in vars(cls).items():
            function = getattr(value, "__func__", value)
            if not name.startswith("_") and (inspect.isfunction(function) or isinstance(value, property)):
                found[name] = value
    return list(found.items())


def rows() -> list[tuple[str, str, str, str]]:
    """(role, target, text, summary) of every public name."""
    result: list[tuple[str, str, str, str]] = []
    first: dict[int, str] = {}
    for module, names in ((duroxide, duroxide.__all__), (aio, aio.__all__)):
        for name in names:
            thing = getattr(module, name)
            target = f"{module.__name__}.{name}"
            known = first.setdefault(id(thing), name)
            if inspect.isclass(thing) and known != name:
                result.append(("class", f"{module.__name__}.{known}", name, f"The same as {known}."))
            elif inspect.isclass(thing):
                kind = "exc" if issubclass(thing, BaseException) else "class"
                result.append((kind, target, target.removeprefix("duroxide."), summary(thing)))
                for member, value in members(thing):
                    shown = getattr(value, "__func__", value)
                    if isinstance(value, property):
                        role, text, about = "attr", f"{name}.{member}", summary(value)
                    else:
                        role, text, about = "meth", f"{name}.{member}{call(shown)}", summary(shown)
                    result.append((role, f"{target}.{member}", text, about))
            elif callable(thing):
                result.append(("func", target, f"{name}{call(thing)}", summary(thing)))
            else:
                result.append(("data", target, name, f"``{thing!r}``"))
    return result


class ApiTable(SphinxDirective):
    """Puts the table where it stands, in a block of reStructuredText."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 55 45", "   :class: api", ""]
        lines += ["   * - name", "     - what it is"]
        for role, target, text, about in rows():
            if not about:
                logger.warning("%s has no docstring", target, location=self.get_location())
            lines += [f"   * - :py:{role}:`{text} <{target}>`", f"     - {about}"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("api-table", ApiTable)
    return {"parallel_read_safe": True}
