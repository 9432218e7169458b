"""Text of the code as Markdown: nothing in it is taken for a mark, commands lead to their pages."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from valor.cli.command import COMMANDS

DOCS = Path(__file__).resolve().parents[1]
_CODE = re.compile(r"(`[^`]+`)")
_MARKS = re.compile(r"([\\*<>\[\]$#|{}~])")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][\w-]*)")
_PAGE = re.compile(r"\bdocs/([a-z-]+)\.md\b")
_COMMAND = re.compile(r"`valor ([a-z-]+)\b[^`]*`")


def prose(text: str, up: str = "", own: str = "") -> str:
    """Text as it is, with options as code, and `docs/x.md` and `valor x` as links.

    Args:
        text: Without marks but backticks around code.
        up: From the page to docs/, such as `../../`; without it there are no links.
        own: The command the page is of, which needs no link.
    """
    parts = []
    for part in _CODE.split("".join(_with_options(text))):
        if not part.startswith("`"):
            part = _MARKS.sub(r"\\\1", part)
            parts.append(_PAGE.sub(partial(_link, up=up), part) if up else part)
        elif up and (found := _COMMAND.fullmatch(part)) and found[1] in COMMANDS and found[1] != own:
            parts.append(f"[{part}]({up}generated/commands/{found[1]}.md)")
        else:
            parts.append(part)
    return "".join(parts)


def _link(found: re.Match[str], up: str) -> str:
    """A link to a page that is there."""
    return f"[{found[1]}.md]({up}{found[1]}.md)" if (DOCS / f"{found[1]}.md").is_file() else found[0]


def _with_options(text: str) -> Iterable[str]:
    """Options in backticks, where they stand in none."""
    return (part if part.startswith("`") else _OPTION.sub(r"`\1`", part) for part in _CODE.split(text))


def paragraphs(text: str, up: str = "", own: str = "") -> str:
    """Text of a help: lines of a paragraph run together, lists in columns stay as they are."""
    found = []
    for block in text.strip("\n").split("\n\n"):
        in_columns = any(re.search(r"\S {2,}\S|^\s", line) for line in block.splitlines())
        found.append(f"```text\n{block}\n```" if in_columns else prose(" ".join(block.split()), up, own))
    return "\n\n".join(found)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table; cells are Markdown already, `right` are columns of numbers."""
    rule = ["---:" if at in right else "---" for at in range(len(columns))]
    lines = [columns, rule, *([cell.replace("\n", " ") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: object) -> str:
    """A value as code; nothing is a dash."""
    said = str(text)
    return f"`{said}`" if said else "–"
