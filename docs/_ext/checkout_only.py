"""What the built pages show in place of what only a checkout has: paths for links that lead out of docs/, nothing for
the code that only the tests of the pages run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.util import logging

_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)\s#]+)\)")
_FOR_TESTS = re.compile(r"^<!-- run: .*?^-->\n", re.M | re.S)
_log = logging.getLogger(__name__)


def show_paths(app: Any, docname: str, source: list[str]) -> None:
    docs = Path(app.srcdir).resolve()
    page = docs / app.env.doc2path(docname, base=False)

    def shown(link: re.Match[str]) -> str:
        target = (page.parent / link[2]).resolve()
        if docs in target.parents:
            return link[0]
        if not target.exists():
            _log.warning("%s leads to %s, which does not exist", link[0], target, location=docname)
        path = target.relative_to(docs.parent).as_posix()
        return f"`{path}`" if link[1].strip("`") == path else f"{link[1]} (`{path}`)"

    source[0] = _LINK.sub(shown, _FOR_TESTS.sub("", source[0]))


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", show_paths)
    return {"parallel_read_safe": True}
