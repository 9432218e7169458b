"""The mark of simulated features: who carries it, and how it is passed on. No score under it means anything."""

import json
from pathlib import Path
from typing import Any

from valor.files import replaced

MARK = "SIMULATED"
"""What everything made from simulated features is called by."""

MARK_FILE = f"{MARK}.json"
"""What a data folder of simulated features holds."""


def is_simulated(data: Path) -> bool:
    """Whether a data folder says of itself that its features are simulated."""
    return (data / MARK_FILE).is_file()


def marked(name: str) -> str:
    """A name with the mark before it, once."""
    return name if name.startswith(MARK) else f"{MARK} {name}"


def write_mark(folder: Path, facts: dict[str, Any]) -> None:
    """Write the mark into a folder.

    Args:
        folder: A data folder.
        facts: What was simulated, as JSON values.
    """
    with replaced(folder / MARK_FILE) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def pass_mark(source: Path, out: Path, facts: dict[str, Any]) -> None:
    """Mark what is made from a simulated folder like the folder itself; a mark that is there stays.

    Args:
        source: A data folder; its mark is copied where it has one.
        out: The folder to mark.
        facts: What to write where the source has no mark of its own.
    """
    if is_simulated(out):
        return
    if not is_simulated(source):
        write_mark(out, {"simulated": True, **facts})
        return
    with replaced(out / MARK_FILE) as temporary:
        temporary.write_bytes((source / MARK_FILE).read_bytes())
