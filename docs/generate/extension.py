"""What Sphinx loads: it writes the pages that are made, reads docstrings, and draws formulas without a network."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from . import docstrings, mathml, placing, write_pages


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
    app.connect("source-read", placing.arrange)
    app.connect("autodoc-process-docstring", docstrings.prepare, priority=100)
    app.connect("autodoc-process-signature", docstrings.shorten)
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
    return {"parallel_read_safe": True}
