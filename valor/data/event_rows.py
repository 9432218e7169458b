"""Tables of what is heard and seen when, as people and programs write them: the one reader for all who take them.

    path,onset,offset,class,modality                     clips/yard-01.mp4,2,4.5,Dog,both
    filename,onset,offset,event_labels,modality,prob     yard-01.mp4,2,4.5,Dog,audio,0.83

Columns stand in any order, by either name, and further ones are passed over. Cells are separated by tabs, commas or
semicolons, whichever the header has, and one that holds what separates them stands in double quotes; where commas do
not separate, they may be those of decimals. A row with a path alone says that nothing happens there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from valor.eval.events import MODALITIES
from valor.eval.spreadsheet import unformula

from .parse_file import SEEN_AS
from .rows import delimiter_of, plain_seconds, read_rows

NAMES = {
    "path": ("path", "filename"),
    "onset": ("onset",),
    "offset": ("offset",),
    "class": ("class", "event_labels", "event_label"),
    "modality": ("modality",),
}
"""What each column may be called; the first counts where a table has several."""
MODALITIES_SAID = {
    **{modality: (modality,) for modality in MODALITIES},
    **{how: (modality,) for modality, how in SEEN_AS.items()},
    "both": MODALITIES,
}
"""What the column `modality` may say, in whatever case."""

_DECIMAL_COMMA = re.compile(r"^(\s*\d+),(\d+\s*)$")


@dataclass(frozen=True)
class EventRow:
    """A row of such a table."""

    path: str
    """What it says of which media the event is."""
    class_name: str
    modalities: tuple[str, ...]
    """None where it says that nothing happens there."""
    onset: float
    offset: float
    where: str
    """File and line, for messages."""


def read_event_rows(path: Path) -> Iterator[EventRow]:
    """Read a table of events.

    Raises:
        ValueError: A column is missing or stands there twice, or a row holds no event; names file and line.
        FileNotFoundError: There is no such file.
    """
    delimiter = delimiter_of(path)
    rows = read_rows(path, delimiter=delimiter, quoted=True)
    header = [cell.strip().lower() for cell in next(rows, (0, []))[1]]
    places = _places(path, header, delimiter)
    for line, cells in rows:
        where = f"{path}:{line}"
        short = cells + [""] * (len(header) - len(cells))
        named, *times, label, how = (formula_free(short[place].strip()) for place in places)
        if not named:
            raise ValueError(f"{where}: expected the path or name of media, got none")
        if not any((*times, label, how)):
            yield EventRow(named, "", (), 0, 0, where)
            continue
        if strange := [cell for cell in cells[len(header) :] if cell.strip()]:
            raise ValueError(
                f"{where}: expected {len(header)} cells as the header has, got {strange[0]!r:.80} behind them; put a "
                "name that holds what separates cells in double quotes"
            )
        if len(cells) <= max(places):
            raise ValueError(f"{where}: expected {len(header)} cells, got {len(cells)}, {cells!r:.200}")
        if how.lower() not in MODALITIES_SAID:
            raise ValueError(f"{where}: modality must be audio, visual or both, got {how!r:.80}")
        onset, offset = (seconds_of(cell if delimiter == "," else decimal_point(cell), where) for cell in times)
        yield EventRow(named, label, MODALITIES_SAID[how.lower()], onset, offset, where)


def _places(path: Path, header: list[str], delimiter: str) -> list[int]:
    """Where the columns of NAMES stand."""
    held = {name: next((one for one in names if one in header), None) for name, names in NAMES.items()}
    if missing := [" or ".join(NAMES[name]) for name, one in held.items() if one is None]:
        raise ValueError(
            f"{path}: expected a table with the columns {', '.join(NAMES)}, separated by tabs, commas or semicolons, "
            f"got no {', '.join(missing)} in its header {delimiter.join(header)!r:.200}"
        )
    if twice := next((one for one in held.values() if one and header.count(one) > 1), None):
        raise ValueError(f"{path}: expected each column once, got {twice} twice; take one out")
    return [header.index(one) for one in held.values() if one]


def seconds_of(cell: str, where: str) -> float:
    """The time of a cell.

    Raises:
        ValueError: It is none.
    """
    seconds = plain_seconds(cell)
    if seconds is None:
        raise ValueError(f"{where}: expected seconds, got {cell!r:.80}")
    return seconds


def decimal_point(cell: str) -> str:
    """A time with a point where it has a decimal comma."""
    return _DECIMAL_COMMA.sub(r"\1.\2", cell)


def formula_free(cell: str) -> str:
    """A cell without the apostrophe that `unformula` puts before what a spreadsheet would take for a formula."""
    return cell[1:] if cell[:1] == "'" and unformula(cell[1:]) == cell else cell
