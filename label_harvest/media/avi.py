"""Whether the chunks of an AVI follow one another: what is lost between them is missed by nobody else.

Packets of an AVI carry no times. FFmpeg counts them, and looks for the next one where a chunk is damaged, so all that
follows would come earlier by what was lost there.
"""

import re
from pathlib import Path

import numpy as np

_MOVI = re.compile(rb"LIST.{4}movi", re.DOTALL)
_SEARCHED = 2**20
"""Bytes at the start of a file among which its list of chunks begins."""
_ENTERED = (b"movi", b"rec ", b"AVI ", b"AVIX")
"""Kinds of lists whose chunks are looked at one by one."""
_OURS = re.compile(rb"\d\d..|ix\d\d|JUNK|LIST|RIFF|idx1", re.DOTALL)
"""Names that chunks of a list of these kinds have."""
_NAME = re.compile(rb"[ -~]{4}")
_ENTRY = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])
"""Of the index idx1."""
_IS_LIST = 1
"""Among the flags of an entry."""


class Chain:
    """The chunks of an AVI from the first to the one that is read, each of which begins where the one before ends."""

    def __init__(self, path: Path, begin: int) -> None:
        """Find the first chunk.

        Args:
            path: The file.
            begin: Where the recording begins in it.
        """
        self._begin = begin
        self._file = path.open("rb")
        self._length = self._file.seek(0, 2)
        found = _MOVI.search(self._read(begin, _SEARCHED))
        self._movi = begin + found.start() if found else None
        self._next = self._movi
        self._chunk = (0, 0)  # where the contents of the one that was reached begin and end
        self._taken = 0
        self._index: dict[int, tuple[int, int]] | None = None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def reaches(self, position: int, size: int) -> bool:
        """Whether nothing is lost before the next packet.

        Args:
            position: Where its bytes begin in the recording.
            size: How many they are.
        """
        position += self._begin
        if self._next is None:  # there was no list of chunks where they are
            self._next = position - 8
        if position < self._chunk[0]:
            return True
        while position >= self._chunk[1]:
            if not self._step(position):
                return False
        whole = position in (self._chunk[0], self._taken)  # plain samples come in pieces
        self._taken = position + size
        return whole

    def _step(self, position: int) -> bool:
        """Go on to the next chunk; False if something is lost before it, or it begins behind `position`."""
        place = self._next
        assert place is not None
        head, known = self._read(place, 12), _NAME
        if not _OURS.match(head) and (listed := self._listed()) is not None:  # what a writer put between is not listed
            place, known = listed, _OURS
            head = self._read(place, 12)
        if place + 8 > position or not known.match(head):
            return False
        size = int.from_bytes(head[4:8], "little")
        if head[:4] in (b"LIST", b"RIFF") and head[8:] in _ENTERED:
            self._next = place + 12
            return True
        end = place + 8 + size
        padded = next((at for at in (end + size % 2, end) if _OURS.match(self._read(at, 4))), end + size % 2)
        self._chunk, self._next = (place + 8, end), padded
        return True

    def _listed(self) -> int | None:
        """Where the chunk behind the one that was reached begins, where the index knows both."""
        if self._index is None:
            self._index = self._read_index()
        begin, end = self._chunk
        size, follows = self._index.get(begin - 8, (-1, 0))
        return follows if size == end - begin else None

    def _read_index(self) -> dict[int, tuple[int, int]]:
        """By where a chunk begins, how long it is and where the next one begins, as idx1 says; empty without it."""
        if self._movi is None:
            return {}
        size = int.from_bytes(self._read(self._movi + 4, 4), "little")
        place = self._movi + 8 + size + size % 2
        while (head := self._read(place, 8))[:4] == b"JUNK":
            place += 8 + int.from_bytes(head[4:], "little")
        if head[:4] != b"idx1":
            return {}
        content = self._read(place + 8, int.from_bytes(head[4:], "little"))
        entries = np.frombuffer(content[: len(content) // _ENTRY.itemsize * _ENTRY.itemsize], _ENTRY)
        entries = entries[entries["flags"] & _IS_LIST == 0]
        for start in (self._movi + 8, self._begin):  # of the name of the list, or of the file
            if len(entries) and self._read(start + int(entries["offset"][0]), 4) == entries["name"][0]:
                places = (entries["offset"].astype(np.int64) + start).tolist()
                return dict(zip(places, zip(entries["size"].tolist(), places[1:], strict=False), strict=False))
        return {}

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)
