"""What was found of a media file, kept on the disk so that parsing it again asks no network.

    FOLDER/NAME-DIGEST/          a media file: its size, its last change and a fingerprint of its content
        media.json               the same in words
        FACT.json                what decoding found: cuts, in which segments there are streams, notes
        ROLE-DIGEST/             a teacher, its precision, and the rules by which segments are sampled
            teacher.json         the same in words
            DIGEST.npz           a chunk: keys, and a row for each in the array of every feature

Whatever is of another file, teacher or rule lies under another digest. Chunks are written whole or not at all, as the
parse gets on, so a killed one goes on behind the last of them. JSON carries a digest of what it says, chunks the
checksums of their arrays: what is damaged is taken out with a note, and made again.
"""

import hashlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from valor.label_harvest.arrays import npz_names, read_npz
from valor.label_harvest.disk import replaced, write_json
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.strict_json import loads

_LOG = logging.getLogger(__name__)

Row = Mapping[str, np.ndarray]
"""Features by name."""

RULES = 1
"""Raised whenever the same media and teacher would give other evidence."""
PARTS, PART_BYTES = 16, 2**16
"""Parts of a file that are looked at, evenly over its length, the first and the last bytes included."""
HELD_CHUNKS = 4
"""Chunks of a teacher in memory: as many as overlapping windows reach over, and more."""
_KEYS = "keys"


def fingerprint(path: Path) -> str:
    """sha256 of a file's size and of some of its bytes: enough to tell recordings, a moment for a film of any size."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for part in range(PARTS):
            file.seek(max(0, size - PART_BYTES) * part // (PARTS - 1))
            digest.update(file.read(PART_BYTES))
    return digest.hexdigest()


def file_facts(path: Path) -> dict[str, Any]:
    """What tells a file from others: its size, its last change and its fingerprint."""
    facts = path.stat()
    return {"size": facts.st_size, "modified": facts.st_mtime_ns, "fingerprint": fingerprint(path)}


def digest_of(value: object) -> str:
    """sha256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@dataclass(eq=False)
class KeptFolder:
    """What is kept in one folder, of a media file (`kept_media`) or of a teacher."""

    folder: Path
    notes: list[str] = field(default_factory=list)
    """What turned out to be damaged."""
    writes: bool = True
    """Whether anything more is kept; False once the disk takes no more."""

    def recall(self, name: str) -> Any:  # noqa: ANN401 - JSON values
        """What is noted under a name, None where nothing is."""
        path = self.folder / f"{name}.json"
        try:
            held = loads(path.read_bytes())
            if held["sha256"] == digest_of(held["value"]):
                return held["value"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.debug("%s: %s", path, error)
        self.damaged(path)
        return None

    def note(self, name: str, value: object) -> None:
        """Keep JSON values under a name."""
        content = {"sha256": digest_of(value), "value": value}
        self._write(lambda: write_json(self.folder / f"{name}.json", content))

    def teacher(self, role: str, who: Mapping[str, Any]) -> "KeptRows":
        """What is kept of what one teacher says.

        Args:
            role: Of the teacher.
            who: All that changes its evidence.
        """
        inner = KeptFolder(self.folder / f"{role}-{digest_of(who)[:16]}", self.notes, self.writes)
        inner.claim("teacher", who)
        return KeptRows(inner)

    def claim(self, name: str, who: Mapping[str, Any]) -> None:
        """Say whose the folder is; what another left there, under a name that is not its own, goes."""
        held = self.recall(name)
        if held is not None and held != who:
            for path in (*self.folder.glob("*.npz"), *self.folder.glob("*.json")):
                self.damaged(path)
        if held != who:
            self.note(name, who)

    def damaged(self, path: Path) -> None:
        """Take a file out, and say so."""
        self.notes.append(f"what was kept of an earlier parse is damaged ({path.name}) and was made again")
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def write_chunk(self, keys: Sequence[str], arrays: Mapping[str, np.ndarray]) -> Path | None:
        """Keep rows of arrays under their keys; where, or None if that cannot be."""
        path = self.folder / f"{digest_of([list(keys), sorted(arrays)])[:24]}.npz"

        def write() -> None:
            with replaced(path, flush=False) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **{_KEYS: np.array(keys)}, **arrays)

        return path if self._write(write) else None

    def _write(self, write: Any) -> bool:  # noqa: ANN401 - of a function without arguments
        if self.writes:
            try:
                write()
            except OSError as error:
                self.writes = False
                _LOG.warning("%s: evidence is not kept (%s); the parse goes on", self.folder, error.strerror or error)
        return self.writes


def kept_media(root: Path, path: Path) -> KeptFolder:
    """What is kept of a media file, in the folder for it."""
    who = file_facts(path)
    stem = re.sub(r"[^\w.-]", "_", path.stem)[:40].strip(".") or "media"
    kept = KeptFolder(root / f"{stem}-{digest_of(who)[:16]}")
    kept.claim("media", who)
    return kept


class KeptRows:
    """What one teacher says of one media file, by key: rows of arrays, in chunks."""

    def __init__(self, where: KeptFolder) -> None:
        """Look through the chunks that are there; damaged ones go."""
        self._where = where
        self._chunk_of: dict[str, tuple[Path, int]] = {}
        self._held: OrderedDict[Path, dict[str, np.ndarray]] = OrderedDict()
        for path in sorted(where.folder.glob("*.npz")):
            try:
                self._know(path, _read(path)[0])
            except (OSError, ValueError) as error:
                _LOG.debug("%s: %s", path, error)
                where.damaged(path)

    def has(self, key: str) -> bool:
        """Whether there is a row."""
        return key in self._chunk_of

    def row(self, key: str) -> dict[str, np.ndarray]:
        """Features of a key that is there."""
        path, row = self._chunk_of[key]
        if path not in self._held:
            try:
                self._held[path] = _read(path)[1]
            except (OSError, ValueError) as error:
                raise MediaError(f"{path}: was whole and is no more ({error}); parse again") from error
            if len(self._held) > HELD_CHUNKS:
                self._held.popitem(last=False)
        self._held.move_to_end(path)
        return {name: array[row] for name, array in self._held[path].items()}

    def add(self, rows: Mapping[str, Row]) -> None:
        """Keep rows, those with the same features in one chunk."""
        kinds: dict[tuple[str, ...], list[str]] = {}
        for key, row in rows.items():
            kinds.setdefault(tuple(row), []).append(key)
        for names, keys in kinds.items():
            arrays = {name: np.stack([rows[key][name] for key in keys]) for name in names}
            if (path := self._where.write_chunk(keys, arrays)) is not None:
                self._know(path, keys)

    def _know(self, path: Path, keys: Sequence[str]) -> None:
        self._chunk_of |= {key: (path, row) for row, key in enumerate(keys)}


def _read(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Keys and arrays of a chunk.

    Raises:
        ValueError: It is damaged.
    """
    try:
        arrays = read_npz(path, npz_names(path))
    except BadZipFile as error:
        raise ValueError(str(error)) from error
    keys = arrays.pop(_KEYS, np.zeros(0))
    rows = {array.shape[:1] for array in arrays.values()}
    if keys.dtype.kind != "U" or keys.ndim != 1 or rows != {keys.shape}:
        raise ValueError("no chunk of evidence")
    if not all(array.dtype in (np.float16, np.float32) and np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("its evidence holds what is no number")
    return keys.tolist(), arrays
