"""Pages that are made: a reference made of the code, and the notebook. `extension.py` is what Sphinx loads."""

from collections.abc import Callable
from pathlib import Path

from . import api, commands, notebook, options, placing, rows

FOLDER = "generated"
"""Of the pages that are made, below docs/; git ignores it."""

Maker = Callable[[], dict[str, str]]

MAKERS: tuple[Maker, ...] = (commands.pages, options.pages, rows.pages, api.pages, notebook.pages, placing.pages)
"""Each gives pages by their path below `FOLDER`."""


def made_pages() -> dict[str, str]:
    """All of them."""
    return {name: text for maker in MAKERS for name, text in maker().items()}


def write_pages(docs: Path) -> None:
    """Write the pages that are made; one that is as it was is left alone, so that a second build is quick."""
    folder = docs / FOLDER
    pages = {folder / name: text for name, text in made_pages().items()}
    for old in folder.rglob("*.md"):
        if old not in pages:
            old.unlink()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
