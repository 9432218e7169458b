"""Docstrings of the code as reStructuredText: columns stay columns, and what is returned is a sentence, not a type."""

import re
from typing import Any

_IN_COLUMNS = re.compile(r"\S {3,}\S")
_MARKS = re.compile(r"(`+[^`]*`+)|([|*@])")
"""Letters that reStructuredText takes for marks; docstrings here have none but backticks."""

_ANY = r"~?(?:typing\.)?Any"
_ARRAY = re.compile(rf"~?numpy\.ndarray\[tuple\[{_ANY}, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)(?:\[{_ANY}\])?\]\]")
"""How a type such as BoolArray is spelled out."""


def shorten(
    app: Any,  # noqa: ANN401, ARG001
    what: str,  # noqa: ARG001
    name: str,  # noqa: ARG001
    of: Any,  # noqa: ANN401, ARG001
    options: Any,  # noqa: ANN401, ARG001
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """What Sphinx calls for a signature: arrays are called by what they hold, and names without their modules."""
    said = (
        text and re.sub(r"~(?:\w+\.)+(?=\w)", "", _ARRAY.sub(r"ndarray[\1]", text)) for text in (signature, returned)
    )
    return next(said), next(said)


def prepare(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:  # noqa: ANN401, ARG001
    """What Sphinx calls before it reads a docstring, and before napoleon does; changes it in place."""
    lines[:] = [_plain(line) for line in lines]
    lines[:] = _columns_kept(lines) if what == "module" else _returns_as_field(lines)


def _plain(line: str) -> str:
    """A line in which nothing but code in backticks is marked."""
    is_example = line.lstrip().startswith((">>> ", "... "))
    return line if is_example else _MARKS.sub(lambda match: match[1] or f"\\{match[2]}", line)


def _columns_kept(lines: list[str]) -> list[str]:
    """Paragraphs of a module: those in columns as they are, tables and examples too, others with their indentation."""
    found: list[str] = []
    for block in "\n".join(lines).strip("\n").split("\n\n"):
        said = block.splitlines()
        if said[0].startswith(">>> "):
            found += [*said, ""]
        elif any(_IN_COLUMNS.search(line) for line in said):
            plain = (re.sub(r"\\([|*@])", r"\1", line) for line in said)
            found += [".. code-block:: text", "", *(f"    {line}" for line in plain), ""]
        else:
            found += [*_apart(said), ""]
    return found


def _apart(lines: list[str]) -> list[str]:
    """Lines with an empty one wherever the indentation changes, so that what is indented is a quotation."""
    found: list[str] = []
    for line in lines:
        if found and _indentation(line) != _indentation(found[-1]):
            found.append("")
        found.append(line)
    return found


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


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
