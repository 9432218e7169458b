"""The done-marker of a shard: what it says of the clips and arrays, the checksum that guards it, and who reads it."""

import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

logger = logging.getLogger(__name__)

MARKER_VERSION = 3
"""Raised whenever a marker says something else. Version 2 had no checksum; it is read, and verifying says so."""
_UNGUARDED = 2
"""The version without a checksum."""
_CHECKSUM = re.compile(rb'"checksum": "([0-9a-f]{64})"')
_BLANK = "0" * 64
"""What stands in the place of the checksum while it is computed."""


@dataclass(frozen=True)
class ShardRow:
    """One clip of a shard."""

    clip_id: str
    status: str
    message: str
    tags: tuple[str, ...]
    provenance: dict[str, object] = field(default_factory=dict)

    @property
    def known(self) -> "KnownClip":
        """What a run keeps of it."""
        size = self.provenance.get("file_bytes")
        status, tags = sys.intern(self.status), _shared(self.tags)
        return KnownClip(self.clip_id, status, self.message, tags, size if isinstance(size, int) else None)


@dataclass(frozen=True, slots=True)
class KnownClip:
    """What a run keeps of a clip that is in the store or will be: of millions, so without the provenance."""

    clip_id: str
    status: str
    message: str
    tags: tuple[str, ...]
    file_bytes: int | None = None
    """Size of its media file when it was read; None where none was, or where the store is too old to say."""


@dataclass(frozen=True)
class Marker:
    """What the done-marker of a shard says, but for the provenance of its clips."""

    clips: tuple[KnownClip, ...]
    """In the order of the arrays."""
    sha256: str
    """Of the file of the arrays."""
    num_bytes: int
    arrays: Mapping[str, str] = field(default_factory=dict)
    """sha256 of the bytes of each array by its name."""
    checksum: str | None = None
    """Of the marker itself; None in version 2, which has neither this nor `arrays`."""


class NewerMarkerError(ValueError):
    """A marker of a version this program does not know; no harvest may take it for damage."""


def marker_bytes(rows: Sequence[ShardRow], arrays: Mapping[str, str], payload: bytes) -> bytes:
    """The content of a done-marker.

    Args:
        rows: The clips in the order of the arrays.
        arrays: sha256 of the bytes of each array by its name.
        payload: The file of the arrays.
    """
    content = {
        "format": MARKER_VERSION,
        "checksum": _BLANK,
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "arrays": dict(arrays),
        "rows": [{**vars(row), "tags": list(row.tags)} for row in rows],
    }
    blank = to_json(content)
    return blank.replace(_BLANK.encode(), hashlib.sha256(blank).hexdigest().encode(), 1)


def read_marker(path: Path) -> Marker:
    """Read a done-marker, see `read_marker_rows`."""
    return read_marker_rows(path)[0]


def read_marker_rows(path: Path) -> tuple[Marker, list[ShardRow]]:
    """Read a done-marker and all that it says of its clips.

    Raises:
        ValueError: It is no such file, or not as it was written.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); the store is damaged") from error
    content = parse_json(path, payload)
    checksum = _checksum(path, payload, content.get("format"))
    try:
        rows = [ShardRow(**{**row, "tags": tuple(row["tags"])}) for row in content["rows"]]
        clips = tuple(row.known for row in rows)
        return Marker(clips, content["sha256"], content["bytes"], content.get("arrays", {}), checksum), rows
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no done-marker of a shard ({error!r}); the store is damaged") from error


def _checksum(path: Path, payload: bytes, version: object) -> str | None:
    """The checksum of a marker that is as it was written; None of one that has none."""
    found = _CHECKSUM.search(payload)
    if found is None and version == _UNGUARDED:
        return None
    if isinstance(version, int) and version > MARKER_VERSION:
        raise NewerMarkerError(f"{path}: written by a newer version of this program ({version}); use that one")
    if found is None:
        raise ValueError(f"{path}: no done-marker of a shard (it has no checksum); the store is damaged")
    blank = payload[: found.start(1)] + _BLANK.encode() + payload[found.end(1) :]
    if hashlib.sha256(blank).hexdigest().encode() != found[1]:
        raise ValueError(
            f"{path}: the done-marker is not as it was written (its checksum differs), so its clips may be mixed up; "
            "run the same harvest again to mend it, or `valor store repair`"
        )
    return found[1].decode()


class Markers:
    """The done-markers of a store; however often they are asked for, each is read once while it stays what it is."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._known: dict[Path, tuple[tuple[int, ...], Marker | None]] = {}

    def read(self) -> dict[int, Marker]:
        """The markers by shard number; what cannot be read is said once and left out.

        Raises:
            NewerMarkerError: One was written by a newer version.
        """
        now = {}
        for path in marker_paths(self._folder):
            status = path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            before = self._known.get(path)
            now[path] = before if before and before[0] == signature else (signature, _readable(path))
        self._known = now
        return {int(path.stem): marker for path, (_, marker) in now.items() if marker is not None}


def read_markers(folder: Path) -> dict[int, Marker]:
    """The done-markers of a store by shard number, see `Markers.read`."""
    return Markers(folder).read()


def _readable(path: Path) -> Marker | None:
    """A marker, or None and a word on why it does not count."""
    try:
        return read_marker(path)
    except NewerMarkerError:
        raise
    except ValueError as error:
        logger.warning("%s", error)
        return None


def marker_paths(folder: Path) -> list[Path]:
    """Done-markers in shard order."""
    return sorted((path for path in folder.glob("*.json") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def known_clips(markers: Mapping[int, Marker]) -> Iterable[KnownClip]:
    """The clips of all shards, in the order of their numbers."""
    return (clip for _, marker in sorted(markers.items()) for clip in marker.clips)


def to_json(value: object) -> bytes:
    """Readable JSON, same bytes for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")


def read_json(path: Path) -> dict:
    """JSON object of a file of the store.

    Raises:
        ValueError: It cannot be read, or is something else.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); the store is damaged, move it away") from error
    return parse_json(path, payload)


def parse_json(path: Path, payload: bytes) -> dict:
    """JSON object that a file of the store holds.

    Raises:
        ValueError: It holds something else.
    """
    try:
        value = json.loads(payload)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); the store is damaged, move it away") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(value).__name__}; the store is damaged")
    return value


@lru_cache(maxsize=65536)
def _shared(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The same tuple for the same tags: most clips of a store have those of another."""
    return tags
