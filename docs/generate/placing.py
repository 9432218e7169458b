"""Where pages lie on the site: docs/search.md under another name, and pages that nobody placed under More."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
TREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


def pages() -> dict[str, str]:
    """docs/search.md: Sphinx calls the page that it searches with search.html."""
    text = (DOCS / "search.md").read_text(encoding="utf-8")
    return {"searching.md": re.sub(r"\]\((?=[a-z-]+\.md)", "](../", text)}


def arrange(app: Any, name: str, source: list[str]) -> None:  # noqa: ANN401, ARG001
    """Links to that page lead to where it lies (`valor search` has a page as well), and no page is without a place."""
    up = r"(?:\.\./)+" if name.startswith("generated/") else r"(?:\.\./)*"
    source[0] = re.sub(rf"(\]\({up})search\.md", r"\1generated/searching.md", source[0])
    if name == "index" and (more := unplaced(source[0])):
        source[0] += "\n```{toctree}\n:hidden:\n:caption: More\n\n" + "\n".join(more) + "\n```\n"


def unplaced(index: str) -> list[str]:
    """Pages of docs/ that the index does not name."""
    placed = {*"".join(TREE.findall(index)).split(), "index", "search", "package"}
    return sorted(page.stem for page in DOCS.glob("*.md") if page.stem not in placed)
