"""Files of events, which people edit by hand: what was written here is known, and anything else is kept.

    FOLDER/.valor-written    a line for each file written into a folder: sha256 of its bytes, two spaces, its name

A file with bytes that were once written under its name holds nobody's work and is replaced. Any other is called
NAME.bak, NAME.1.bak and so on before something else takes its name. Without the record nothing counts as written here.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from valor.label_harvest.disk import file_sha256, open_file, rename, replaced

RECORD = ".valor-written"
KEPT = ".bak"
"""What the name of a file ends in that was kept."""

_LOG = logging.getLogger(__name__)

_READ: dict[Path, tuple[int, dict[str, set[str]]]] = {}
"""Of records how far they were read, and what they said: they only grow, and folders may hold files by the thousand."""


def write_text(path: Path, text: str) -> None:
    """Write a file of events, whole or not at all; what somebody edited in its place is kept, which a note says."""
    digest = sha256(text.encode()).hexdigest()
    if not (path.is_file() and file_sha256(path) == digest):
        keep_edited(path)
        with replaced(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    own = _own(path)
    if own is not None and digest not in _written(own):
        with suppress(OSError), (own.parent / RECORD).open("ab") as record:
            record.write(digest.encode() + b"  " + _called(own) + b"\n")


def keep_edited(path: Path) -> None:
    """Give a file another name, which a note says, unless it is as it was written here and may be replaced."""
    own = _own(path)
    if own is not None and not is_as_written(own):
        kept = next(free for free in _beside(own) if not os.path.lexists(free))
        rename(own, kept)
        _LOG.warning("%s: was edited after it was written here, or is not from here; kept as %s", path, kept.name)


def is_as_written(path: Path) -> bool:
    """Whether a file has bytes that were written under its name here, so that nobody has edited it."""
    own = _own(path)
    known = set() if own is None else _written(own)
    return own is not None and bool(known) and file_sha256(own) in known


def _own(path: Path) -> Path | None:
    """The plain file that a path leads to; None where there is none, as at the standard output."""
    real = Path(os.path.realpath(path))
    return real if open_file(path) is None and real.is_file() else None


def _called(path: Path) -> bytes:
    """The name of a file as a line of the record holds it."""
    return os.fsencode(path.name).replace(b"\n", b"\\n")


def _beside(path: Path) -> Iterator[Path]:
    yield path.with_name(path.name + KEPT)
    number = 0
    while True:
        number += 1
        yield path.with_name(f"{path.name}.{number}{KEPT}")


def _written(path: Path) -> set[str]:
    """Digests of all that was ever written under the name of a file."""
    place = path.parent / RECORD
    try:
        with place.open("rb") as record:
            size = os.fstat(record.fileno()).st_size
            read, known = _READ.get(place, (0, {}))
            read, known = (0, {}) if size < read else (read, known)
            record.seek(read)
            lines = record.read(size - read)
    except OSError:
        return set()
    for line in lines.split(b"\n"):
        digest, _, name = line.partition(b"  ")
        known.setdefault(os.fsdecode(name), set()).add(digest.decode("ascii", "replace"))
    _READ[place] = (size, known)
    return known.get(os.fsdecode(_called(path)), set())
