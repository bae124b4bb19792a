"""Builds guide and reference with Sphinx: `make docs`, pages in build/docs.

The package is imported from the checkout; that loads no library, so nothing has to be built first.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "python"), str(HERE / "_ext")]

import duroxide  # noqa: E402

project = "Duroxide"
copyright = "the Duroxide authors"
version = release = duroxide.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "api_table",
    "checkout_only",
    "docstrings",
]
html_theme = "furo"
html_title = f"Duroxide {release}"
html_copy_source = False
exclude_patterns = ["_ext"]
pygments_style = "default"

# Every link has to lead somewhere, every name in the reference has to exist (with -n and -W).
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(asyncio|collections\.abc|datetime|os|types|typing)\..*"),
    (r"py:.*", r"duroxide\._\w+\.([A-Z]|Provider)"),  # type variables; the base class of the providers
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
# Plain lists, since an entry may stand for several names: "name, version: of the orchestration".
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]
