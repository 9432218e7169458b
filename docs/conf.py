"""The site of these pages: `python -m sphinx -W -b html docs site`.

Nothing of it needs a network, when it is made or when it is read. Pages of commands, options, recipes, published rows
and Python are made of the code in every build (`generate/`).
"""

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import valor  # noqa: E402

project = "VALOR"
author = "The VALOR maintainers"
project_copyright = "2026, the VALOR maintainers"
version = release = valor.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generate.extension"]
exclude_patterns = ["static", "search.md", "package.md"]
"""Sphinx has a page search.html: `generate.placing` gives ours another name. The last is the README of the package."""
html_math_renderer = "mathml"
needs_sphinx = "8.2"

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4
myst_dmath_allow_digits = myst_dmath_allow_space = False

default_role = "code"
"""Docstrings say code in single backticks."""
autodoc_mock_imports = [name for name in ("av", "matplotlib", "PIL", "scenedetect") if find_spec(name) is None]
"""What no docstring needs. Without torch the reference of Python is of `valor.eval` alone (`generate/api.py`)."""
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

suppress_warnings = ["misc.highlighting_failure", "ref.python"]
"""JSON with `...` in it, and names that several modules have, in docstrings."""

html_theme = "furo"
html_title = f"VALOR {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_theme_options = {"source_view_link": "", "top_of_page_buttons": []}
pygments_style, pygments_dark_style = "friendly", "monokai"

linkcheck_timeout = 20
linkcheck_anchors = False
