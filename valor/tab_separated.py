"""Tab-separated text with a header line: read row by row, and written so that no name can tear a row apart."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from valor.files import replaced


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row that is not blank, the header first; no row is judged.

    Args:
        path: UTF-8 text, with or without a byte order mark; any line ends.

    Raises:
        ValueError: The file is no such text.
        FileNotFoundError: There is no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected tab-separated UTF-8 text, got something else ({error}); is it a binary file?"
        ) from error


def check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Check the first row of a table.

    Raises:
        ValueError: It is not `columns`.
    """
    if tuple(header) != tuple(columns):
        raise ValueError(
            f"{path}: expected a tab-separated UTF-8 table with the columns {', '.join(columns)}, "
            f"got the header {list(header)!r:.200}; is it another kind of file?"
        )


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]], *, names: Iterable[str]) -> None:
    """Write a table, whole or not at all.

    Args:
        path: file to write.
        columns: the header.
        rows: cells as text.
        names: the clip and class names among the cells.

    Raises:
        ValueError: A name holds what separates cells, tags or rows.
    """
    for name in names:
        if not name or name != name.strip() or re.search(r"[\t\r\n,]", name):
            raise ValueError(
                f"names in an annotation table hold no tab, comma, line break or outer space, got {name!r}"
            )
    lines = ["\t".join(cells) for cells in (columns, *rows)]
    with replaced(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
