"""What autodoc makes of the docstrings: names as users import them, no private parameters, plain texts for results."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

_PRIVATE = re.compile(r"^duroxide\._\w+\.")


def resolve(app: Any, env: Any, node: Any, content: nodes.Node) -> Any:
    """Lead a reference to `duroxide._results.Event` to `duroxide.Event`, where that is documented."""
    target = node.get("reftarget", "")
    public = _PRIVATE.sub("duroxide.", target)
    if node.get("refdomain") != "py" or public == target:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], public, node, content)


def hide(app: Any, what: str, name: str, thing: Any, options: Any, signature: Any, returns: Any) -> Any:
    """Drop private parameters from signatures."""
    if signature is None:
        return None
    return re.sub(r", _\w+: [^=]+ = \w+", "", signature), returns


def returns(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Take what stands under `Returns:` for text: napoleon takes what is in front of its first colon for a type."""
    inside = False
    for number, line in enumerate(lines):
        if line == "Returns:":
            lines[number], inside, opening = "", True, ":returns: "
        elif inside and line.strip():
            if not line.startswith(" "):
                return
            lines[number] = opening + line.strip()
            opening = "    "


def constants(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Leave out what is said of constants: it is the docstring of ``int`` or ``str``. The page says what they are."""
    if what == "data":
        lines.clear()


def setup(app: Any) -> dict[str, Any]:
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", hide)
    app.connect("autodoc-process-docstring", returns, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", constants)
    return {"parallel_read_safe": True}
