"""Rows of tab-separated tables: the one reader and writer of all of them; what they mean is said in tables.py.

The text is UTF-8, with or without a byte order mark, with any line ends. One set of rules holds for all of it:
    Quotes are letters like any other, but around names of classes and cells of these.
    Cells behind the last column are passed over where they are empty, and so are rows of nothing but empty cells: a
    spreadsheet leaves such. A row with fewer cells than columns, or with more that are not empty, is refused.
    Columns are known by their names and may stand in any order. That of the classes may be called event_label as well.
    Tables of tags may have further columns with names of their own
    (of which `path` says where the media of a clip lie, when it is harvested, `seconds` how long it lasts, where the
    clips of a data set are of unlike length, and `audio_tags` and `visual_tags`, which are there together, which of its
    tags are heard and which are seen: each tag is in one of the two or in both);
    a table of events may not, since such a column may say that the row is of the other modality.
    Class names stand in the vocabulary as they stand here, outer spaces aside; between two commas there may be nothing.
    A name that itself holds a comma stands in double quotes or as it is, and a cell of names may be all in quotes,
    those inside doubled, as pandas and Python's csv write it; see `valor.data.names`.
    Clip names count letter by letter, and an accent is the same composed with its letter or behind it (NFC, NFD). White
    space around one, visible or not (U+0085, U+2028, the separators from U+001C on), is refused, in lists of clips too.
    Times are decimal numbers without a sign: 3, 1.5, and 1e-05 as programs write it, but neither +5 nor -0, 1_0 or the
    digits of other scripts. Spaces around one count for nothing.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.disk import replaced
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.strict_json import MOST_SECONDS

WEAK_COLUMNS = ("filename", "event_labels")


EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")


PREDICTION_COLUMNS = ("filename", "onset", "offset", "event_label")
"""As DCASE calls them; what is read may call the last column either way."""


CLIP_LIST = "clips.txt"
"""Beside tables of predicted events: every clip that was parsed, one a line."""


@dataclass(frozen=True)
class TableRow:
    """One row under the header of a table."""

    line: int
    cells: tuple[str, ...]
    """One for each column, or all that were found where there is a fault."""
    fault: str = ""
    """What is wrong with the number of cells."""


SEPARATED = {"\t": "tab-separated", ",": "comma-separated", ";": "semicolon-separated"}
"""What tables are called by what is between their cells: semicolons where a spreadsheet's commas are decimal."""


def delimiter_of(path: Place) -> str:
    """What separates the cells of a table, by its header: a tab where it has one, else the commoner of , and ;.

    Raises:
        ValueError: It is no UTF-8 text, or cannot be read.
        FileNotFoundError: There is no such file.
    """
    header = next(read_rows(path), (0, [""]))[1]
    return "\t" if len(header) > 1 else ";" if header[0].count(";") > header[0].count(",") else ","


def read_rows(path: Place, *, delimiter: str = "\t", quoted: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row that is not blank, the header first; no row is judged.

    Args:
        path: The table.
        delimiter: One of SEPARATED; but for tabs, double quotes hold a cell together.
        quoted: Whether double quotes do so between tabs too, as spreadsheets write.

    Raises:
        ValueError: The file is no UTF-8 text so separated, or cannot be read.
        FileNotFoundError: There is no such file.
    """
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if quoted or delimiter != "\t":
                reader = csv.reader(file, delimiter=delimiter, strict=True)
            else:
                reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for cells in reader:
                line = reader.line_num
                if any(cell.strip() for cell in cells):
                    yield line, cells
    except (UnicodeDecodeError, csv.Error) as error:
        where = path if delimiter == "\t" else f"{path}, below line {line}"
        raise ValueError(
            f"{where}: expected {SEPARATED[delimiter]} UTF-8 text, got something else ({error}); is it a binary file?"
        ) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path}: expected a table, which cannot be read ({error.strerror})") from error


def table_rows(path: Place, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yield the rows of a table below its header, by the rules at the top of this file.

    Args:
        path: the table.
        columns: WEAK_COLUMNS or EVENT_COLUMNS.

    Raises:
        ValueError: The file is no table with these columns.
        FileNotFoundError: There is no such file.
    """
    rows = read_rows(path)
    header = _without_empty(next(rows, (0, []))[1], 0)
    names = header_names(header)
    if fault := _header_fault(names, columns):
        raise ValueError(
            f"{path}: expected a tab-separated UTF-8 table with the columns {', '.join(columns)}, "
            f"got the header {header!r:.200} {fault}; is it another kind of file?"
        )
    places = [names.index(name) for name in columns]
    least = max(places) + 1
    for line, found in rows:
        cells = _without_empty(found, least)
        clip = cells[places[0]] if places[0] < len(cells) else ""
        if any("\0" in cell for cell in cells):
            yield TableRow(line, tuple(found), f"expected text, got a zero byte in {found!r:.200}; is it damaged?")
        elif clip and clip != clip.strip():
            yield TableRow(line, tuple(found), f"expected a clip without white space around it, got {clip!r:.200}")
        elif clip and least <= len(cells) <= len(names):
            yield TableRow(line, (composed(clip), *(cells[place] for place in places[1:])))
        else:
            hint = "; put a tab behind the clip, also where it has no tags" if len(cells) < least == 2 else ""
            yield TableRow(line, tuple(found), f"expected {least} columns, got {found!r:.200}{hint}")


def header_names(header: Sequence[str]) -> list[str]:
    """The names of columns as they are known here; those of a program that says `event_label` are ours."""
    return ["event_labels" if name == "event_label" else name for name in header]


def _header_fault(names: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with the names of columns, or nothing."""
    if missing := [name for name in columns if name not in names]:
        return f"without {' and '.join(missing)}"
    if not all(names) or len({name.strip() for name in names}) < len(names):
        return "in which a column has no name or two have the same"
    further = [name for name in names if name not in columns]
    return f"with {further[0]} besides" if further and tuple(columns) != WEAK_COLUMNS else ""


def checked_rows(path: Place, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line number, cells) of the rows of a table; as `table_rows`, but a faulty row is refused.

    Raises:
        ValueError: The file is no table with these columns, or a row has other than these.
        FileNotFoundError: There is no such file.
    """
    for row in table_rows(path, columns):
        if row.fault:
            raise ValueError(f"{path}:{row.line}: {row.fault}")
        yield row.line, row.cells


def plain_seconds(cell: str) -> float | None:
    """The time a cell holds; None if it is no number from 0 to MOST_SECONDS, written plainly."""
    if _TIME.fullmatch(plain := cell.strip(" ")) is None:
        return None
    seconds = float(plain)
    return seconds if seconds <= MOST_SECONDS else None


_TIME = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A time as it may be written."""


def seconds_text(time: float) -> str:
    """Seconds with no more digits than are needed: 3, 1.4, 0.033333."""
    return f"{time:.6f}".rstrip("0").rstrip(".")


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as text.

    Raises:
        ValueError: A cell holds what separates cells or rows.
    """
    table = [list(columns), *map(list, rows)]
    for cell in (cell for cells in table for cell in cells):
        if re.search(r"[\t\r\n]", cell):
            raise ValueError(f"a tab-separated table cannot hold the tab or line break of {cell!r}; rename it")
    return "".join("\t".join(cells) + "\n" for cells in table)


def write_rows(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    clip_ids: Iterable[str] = (),
    class_names: Iterable[str] = (),
) -> None:
    """Write a table, whole or not at all.

    Args:
        path: file to write.
        columns: the header.
        rows: cells as text.
        clip_ids: the clips among the cells.
        class_names: the classes among the cells; their names may hold commas.

    Raises:
        ValueError: A name holds what separates cells or rows, or a clip a comma.
    """
    check_names(clip_ids, class_names)
    text = table_text(columns, rows)
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def check_names(clip_ids: Iterable[str], class_names: Iterable[str]) -> None:
    """Refuse names that a table could not hold, or would be read otherwise."""
    for name, forbidden in (*((name, ",") for name in clip_ids), *((name, "") for name in class_names)):
        if not name or name != name.strip() or re.search(rf"[\t\r\n{forbidden}]", name):
            told = f"no tab,{' comma,' if forbidden else ''} line break or outer space"
            raise ValueError(f"names in an annotation table hold {told}, got {name!r}")


def read_clip_list(path: Path) -> tuple[str, ...]:
    """Read the names of a list, one a line, blank lines passed over.

    Raises:
        ValueError: It is no text, a clip stands in it twice, or white space around one.
        FileNotFoundError: There is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a list of clips, one a line, got something else ({error})") from error
    names = [composed(name) for name in (line.removesuffix("\r") for line in lines) if name.strip()]
    if spaced := next((name for name in names if name != name.strip()), None):
        raise ValueError(f"{path}: expected clips without white space around them, got {spaced!r:.200}")
    check_unique(names, str(path))
    return tuple(names)


def write_clip_list(path: Path, clip_ids: Iterable[str]) -> None:
    """Write a list of clips, whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_text("".join(f"{clip_id}\n" for clip_id in clip_ids), encoding="utf-8", newline="\n")


def check_unique(clip_ids: Sequence[str], where: str) -> None:
    """Refuse a list in which a clip stands twice.

    Raises:
        ValueError: Some do; says which.
    """
    twice = [name for name, count in Counter(clip_ids).items() if count > 1]
    if twice:
        more = ", ..." if len(twice) > 5 else ""
        raise ValueError(
            f"{where}: a clip is listed once, got {len(twice)} more than once ({', '.join(twice[:5])}{more})"
        )


def _without_empty(cells: Sequence[str], kept: int) -> list[str]:
    """Cells without the empty ones at the end, as far as they lie behind the first `kept`."""
    last = len(cells)
    while last > kept and not cells[last - 1].strip():
        last -= 1
    return list(cells[:last])
