"""Reference names as users import them: `duroxide.Client`; show no private parameters."""

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


def setup(app: Any) -> dict[str, Any]:
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", hide)
    return {"parallel_read_safe": True}
