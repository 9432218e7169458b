"""Docstrings of the code as reStructuredText: columns stay columns, and what is returned is a sentence, not a type."""

import re
from typing import Any

_IN_COLUMNS = re.compile(r"\S {3,}\S|^\s")
_BARS = re.compile(r"(`+[^`]*`+)|\|")


def prepare(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:  # noqa: ANN401, ARG001
    """What Sphinx calls before it reads a docstring, and before napoleon does; changes it in place."""
    lines[:] = [_BARS.sub(lambda match: match[1] or "\\|", line) for line in lines]
    lines[:] = _columns_kept(lines) if what == "module" else _returns_as_field(lines)


def _columns_kept(lines: list[str]) -> list[str]:
    """Paragraphs of a module that are in columns, or hold indented lines, as they are."""
    found: list[str] = []
    for block in "\n".join(lines).strip("\n").split("\n\n"):
        said = block.splitlines()
        if any(_IN_COLUMNS.search(line) for line in said) and not said[0].startswith(">>>"):
            found += ["::", "", *(f"    {line}".replace("\\|", "|") for line in said), ""]
        else:
            found += [*said, ""]
    return found


def _returns_as_field(lines: list[str]) -> list[str]:
    """`Returns:` as a field, since napoleon takes what stands before a colon for a type."""
    found, within = [], False
    for line in lines:
        if line.strip() == "Returns:":
            within, first = True, True
            continue
        if within and line and not line.startswith(" "):
            within = False
        if within and line:
            found.append(f":returns: {line.strip()}" if first else f"    {line.strip()}")
            first = False
        else:
            found.append(line)
    return found
