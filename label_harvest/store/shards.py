"""One shard of a store: a file of arrays and its done-marker, and how both are replaced so that they never disagree.

The marker says of every clip what became of it, and of every array its sha256; a checksum over all of it guards the
marker itself. Arrays without a marker, or whose bytes are not those of it, do not count.
"""

import csv
import hashlib
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..media.clip import UNREAD
from ..places.place import Place, each, file_sha256, matching, rename, signature, write_atomic
from ..strict_json import as_list, as_text, loads, reason
from .manifest import MODALITIES, composed
from .share import WHOLE

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
"""Raised whenever the same clip and teachers would give other evidence; part of the fingerprint."""
MARKER_VERSION = 3
"""Raised whenever a marker says something else. Version 2 had no checksum; it is read, and verifying says so."""
BY_MODALITY = 4
"""The version of markers that say what is heard and what is seen in clips; older programs refuse them."""
_UNGUARDED = 2
"""The version without a checksum."""
_CHECKSUM = re.compile(rb'"checksum": "([0-9a-f]{64})"')
_BLANK = "0" * 64
"""What stands in the place of the checksum while it is computed."""
LIST = "shards.json"
"""The list of all shards of a store (`listing`); every marker names it, so that it is missed where it is lost."""
_CLIP_IDS = "clip_ids"
"""Key of the metadata of the arrays that names their clips, as JSON: arrays without a marker say whose they are."""
_METADATA = "__metadata__"
"""What safetensors calls what a file says beside its arrays."""
_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
"""What safetensors calls the numbers of a store."""
SEGMENTS = "segments"
"""In the provenance of a clip of a store of clips of any length: how many segments it has, rows of each array."""
_LONGEST_HEADER = 2**26
"""Bytes; a safetensors header that claims more is damaged."""


ModalityTags = tuple[tuple[str, ...], tuple[str, ...]]
"""Tags of a clip that are heard, and those that are seen."""
OwnCode = Mapping[str, Sequence[str]]
"""By role of a teacher of one's own, sha256 of the files a shard is by; several where another version judged a part."""


@dataclass(frozen=True)
class ShardRow:
    """One clip of a shard."""

    clip_id: str
    status: str
    message: str
    tags: tuple[str, ...]
    provenance: dict[str, object] = field(default_factory=dict)
    modality_tags: ModalityTags | None = None
    """Those of the tags that were heard and those that were seen; None where nobody says it."""

    @property
    def known(self) -> "KnownClip":
        """What a run keeps of it."""
        size = self.provenance.get("file_bytes")
        status, tags = sys.intern(self.status), _shared(self.tags)
        streams = (self.provenance.get(name) for name in ("video", "audio"))
        unread = [stream.get(UNREAD) for stream in streams if isinstance(stream, dict)]
        seconds = max((float(one) for one in unread if isinstance(one, int | float)), default=0.0)
        file_bytes = size if isinstance(size, int) else None
        return KnownClip(self.clip_id, status, self.message, tags, file_bytes, seconds, self.modality_tags)


@dataclass(frozen=True, slots=True)
class KnownClip:
    """What a run keeps of a clip that is in the store or will be: of millions, so without the provenance."""

    clip_id: str
    status: str
    message: str
    tags: tuple[str, ...]
    file_bytes: int | None = None
    """Size of its media file when it was read; None where none was, or where the store is too old to say."""
    unread_seconds: float = 0.0
    """How much of its media lies behind the grid and was not read; 0 too where the store is too old to say."""
    modality_tags: ModalityTags | None = None
    """As of `ShardRow`."""


def row_of(
    clip: ShardRow | KnownClip, status: str, message: str, provenance: dict[str, object] | None = None
) -> ShardRow:
    """What became of a clip."""
    return ShardRow(clip.clip_id, status, message, clip.tags, provenance or {}, clip.modality_tags)


@lru_cache(maxsize=65536)
def _shared(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The same tuple for the same tags: most clips of a store have those of another."""
    return tags


@dataclass(frozen=True)
class Marker:
    """What the done-marker of a shard says, but for the provenance of its clips."""

    clips: tuple[KnownClip, ...]
    """The clips, in the order of the arrays."""
    sha256: str
    """Digest of the file of the arrays."""
    num_bytes: int
    arrays: Mapping[str, str] = field(default_factory=dict)
    """sha256 of the bytes of each array by its name."""
    checksum: str | None = None
    """Of the marker itself; None in version 2, which has neither this nor `arrays`."""
    is_listed: bool = False
    """Whether the store has a list of its shards; older versions wrote none."""
    own: OwnCode = field(default_factory=dict)


class NewerMarkerError(ValueError):
    """A marker of a version this program does not know; no harvest may take it for damage."""


def write_shard(
    folder: Place, index: int, arrays: Mapping[str, np.ndarray], rows: Sequence[ShardRow], own: OwnCode | None = None
) -> None:
    """Write the arrays of one shard, then its done-marker.

    Args:
        folder: From `open_store`, under `write_lock`.
        index: Number of the shard.
        arrays: float [n, ...] by name, one row per clip; of clips of any length one row per segment, those of a clip
            after those of the one before it.
        rows: The n clips.
        own: By which files of one's own.

    Raises:
        ValueError: An array does not have one row per clip.
    """
    from safetensors.numpy import save

    for name, array in arrays.items():
        if len(array) != num_rows(rows):
            raise ValueError(f"{name} must have {num_rows(rows)} rows, one per clip, got {list(array.shape)}")
    whole = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    payload = save(whole, {_CLIP_IDS: json.dumps([row.clip_id for row in rows])})
    marker = marker_bytes(rows, {name: array_sha256(array) for name, array in whole.items()}, payload, own)
    path = folder / f"{index:05d}.safetensors"
    done = path.with_suffix(".json")
    if done.exists():  # rewritten: at every moment the arrays are those of one of the two markers
        write_atomic(_next_marker(done), marker)
        write_atomic(path, payload)
        rename(_next_marker(done), done)
    else:
        write_atomic(path, payload)
        write_atomic(done, marker)


def clip_slices(rows: Sequence[ShardRow]) -> list[slice] | None:
    """Where the rows of each clip lie in the arrays of a shard; None where each clip has one row."""
    counts = [row.provenance.get(SEGMENTS) for row in rows]
    if None in counts or not counts:
        return None
    ends = np.cumsum([int(str(count)) for count in counts]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def num_rows(rows: Sequence[ShardRow]) -> int:
    """How many rows the arrays of these clips have."""
    slices = clip_slices(rows)
    return len(rows) if slices is None else slices[-1].stop


def rows_of_clips(array: np.ndarray, rows: Sequence[ShardRow], clips: Sequence[int]) -> np.ndarray:
    """What an array of a shard has of some of its clips, in the order given."""
    slices = clip_slices(rows)
    if slices is None:
        return array[list(clips)]
    return np.concatenate([array[slices[n]] for n in clips]) if len(clips) else array[:0]


def seal_marker(folder: Place, index: int) -> None:
    """Give a marker of an older version its checksum, taking what it says for right; its arrays stay.

    Raises:
        ValueError: The shard is damaged.
    """
    rows, arrays = read_shard(folder, index)
    payload = (folder / f"{index:05d}.safetensors").read_bytes()
    digests = {name: array_sha256(array) for name, array in arrays.items()}
    write_atomic(folder / f"{index:05d}.json", marker_bytes(rows, digests, payload))


def marker_bytes(
    rows: Sequence[ShardRow], arrays: Mapping[str, str], payload: bytes, own: OwnCode | None = None
) -> bytes:
    """The content of a done-marker.

    Args:
        rows: The clips in the order of the arrays.
        arrays: sha256 of the bytes of each array by its name.
        payload: The file of the arrays.
        own: By which files of one's own; where there are none, it stands nowhere.
    """
    by_modality = any(row.modality_tags is not None for row in rows)
    content = {
        "format": BY_MODALITY if by_modality else MARKER_VERSION,
        "list": LIST,
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "arrays": dict(arrays),
        "rows": [_written(row) for row in rows],
        **({"own": {role: sorted(digests) for role, digests in own.items()}} if own else {}),
    }
    return sealed(content)


def _written(row: ShardRow) -> dict[str, object]:
    """A row as JSON holds it; what nobody says of modalities stands nowhere."""
    held = {**vars(row), "tags": list(row.tags)}
    if held.pop("modality_tags") is not None:
        held |= {
            f"{modality}_tags": list(tags) for modality, tags in zip(MODALITIES, row.modality_tags or (), strict=True)
        }
    return held


def _row_of(held: Mapping[str, Any]) -> ShardRow:
    """The row that JSON holds."""
    keys = [f"{modality}_tags" for modality in MODALITIES]
    plain = {key: value for key, value in held.items() if key not in keys}
    heard, seen = (tuple(held[key]) for key in keys) if keys[0] in held else ((), ())
    by_modality = (_shared(heard), _shared(seen)) if keys[0] in held else None
    return ShardRow(**{**plain, "tags": tuple(held["tags"]), "modality_tags": by_modality})


def sealed(content: Mapping[str, object]) -> bytes:
    """JSON with a checksum over all of it."""
    blank = to_json({**content, "checksum": _BLANK})
    return blank.replace(_BLANK.encode(), hashlib.sha256(blank).hexdigest().encode(), 1)


def is_sealed(payload: bytes) -> bool:
    """Whether JSON has the right checksum."""
    found = _CHECKSUM.search(payload)
    if found is None:
        return False
    blank = payload[: found.start(1)] + _BLANK.encode() + payload[found.end(1) :]
    return hashlib.sha256(blank).hexdigest().encode() == found[1]


def array_sha256(array: np.ndarray) -> str:
    """sha256 of the bytes of an array as they lie in the file."""
    return hashlib.sha256(array.tobytes()).hexdigest()


def _next_marker(done: Place) -> Place:
    """Where the marker of a shard that is being rewritten waits for its arrays."""
    return done.with_name(f".{done.name}.next")


def finish_rewrites(folder: Place, holds: Callable[[int], bool] = WHOLE.holds) -> list[str]:
    """Finish or take back what a killed run was rewriting; call under `write_lock`.

    Args:
        folder: From `open_store`.
        holds: Which shards, by number, are this run's.

    Returns:
        What was done, in words.
    """
    told = []
    for path in matching(folder, ".*.json.next"):
        done = folder / path.name[1 : -len(".next")]
        if not holds(int(done.stem)):
            continue
        if _fits(done.with_suffix(".safetensors"), path):
            rename(path, done)
            told.append(f"{done.name}: finished a rewrite")
        else:
            path.unlink()
            told.append(f"{done.name}: took back a rewrite")
    return told


def _fits(arrays: Place, marker: Place) -> bool:
    """Whether a marker can be read and speaks of these arrays."""
    try:
        return file_sha256(arrays) == read_marker(marker).sha256
    except (ValueError, FileNotFoundError):
        return False


def read_shard(
    folder: Place, index: int, names: Sequence[str] | None = None, *, clip_ids: Container[str] | None = None
) -> tuple[list[ShardRow], dict[str, np.ndarray]]:
    """Rows and arrays of one finished shard.

    Args:
        folder: The store.
        index: Number of the shard.
        names: Arrays to read, None for all. Of some, only their bytes are read and checked; of all, the whole file.
        clip_ids: Clips that are wanted, composed; where the shard has none of them, no array is read.

    Raises:
        ValueError: Its marker cannot be read, the bytes are not those of its marker, or its arrays are of other clips.
    """
    path = folder / f"{index:05d}.safetensors"
    done = path.with_suffix(".json")
    for place in [place for place in (done, _next_marker(done)) if place.is_file()]:
        marker, rows = read_marker_rows(place)
        if clip_ids is not None and not any(composed(row.clip_id) in clip_ids for row in rows):
            names = ()
        whole = names is None or marker.checksum is None
        found = _read_whole(path, marker) if whole else _read_some(path, marker, names or ())
        if found is not None:
            arrays, clip_ids = found
            _check_of_rows(path, rows, arrays, clip_ids)
            return rows, {name: array for name, array in arrays.items() if names is None or name in names}
    raise ValueError(f"{path}: its bytes are not those of its done-marker; run the same harvest again to mend it")


_Found = tuple[dict[str, np.ndarray], tuple[str, ...] | None]
"""Arrays by name, and the clips they say they are of."""


def _read_whole(path: Place, marker: Marker) -> _Found | None:
    """All arrays of a file whose bytes are those of its marker."""
    from safetensors.numpy import load

    payload = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(payload).hexdigest() != marker.sha256:
        return None
    length = int.from_bytes(payload[:8], "little")
    return load(payload), _clips_of(loads(payload[8 : 8 + length]).get(_METADATA))


def _read_some(path: Place, marker: Marker, names: Sequence[str]) -> _Found | None:
    """Some arrays of a file, if it has all that its marker names and the bytes of these are those of its marker."""
    arrays = {}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = loads(file.read(length)) if length < _LONGEST_HEADER else {}
            if set(header) - {_METADATA} != set(marker.arrays):
                return None
            for name in [name for name in names if name in marker.arrays]:
                start, stop = header[name]["data_offsets"]
                file.seek(8 + length + start)
                payload = file.read(stop - start)
                if hashlib.sha256(payload).hexdigest() != marker.arrays[name]:
                    return None
                arrays[name] = np.frombuffer(payload, _DTYPES[header[name]["dtype"]]).reshape(header[name]["shape"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return arrays, _clips_of(header.get(_METADATA))


def _check_of_rows(
    path: Place, rows: Sequence[ShardRow], arrays: Mapping[str, np.ndarray], clip_ids: Sequence[str] | None
) -> None:
    """Refuse arrays that are of other clips than the rows."""
    if clip_ids is not None and list(clip_ids) != [row.clip_id for row in rows]:
        raise ValueError(
            f"{path}: its arrays are of other clips than its done-marker; harvest again or repair the store"
        )
    for name, array in arrays.items():
        if len(array) != num_rows(rows):
            raise ValueError(
                f"{path}: {name} must have the {num_rows(rows)} rows of the clips of its done-marker, got "
                f"{list(array.shape)}; harvest again or repair the store"
            )


def damaged_numbers(folder: Place, markers: Mapping[int, Marker]) -> list[int]:
    """The shards whose bytes are not those their markers promise."""

    def is_damaged(path: Place) -> bool:
        try:
            return file_sha256(path) != markers[int(path.stem)].sha256
        except OSError:
            return True

    files = [folder / f"{index:05d}.safetensors" for index in markers]
    return [index for index, damaged in zip(markers, each(is_damaged, files), strict=True) if damaged]


def unclaimed_arrays(folder: Place, markers: Mapping[int, object]) -> dict[int, tuple[str, ...] | None]:
    """Arrays without a marker that can be read, of a run that was killed or a marker that was lost.

    Args:
        folder: The store.
        markers: What can be read of its markers.

    Returns:
        By shard number, the clips the arrays are of; None where they do not say (an older version wrote them). Files
        that are no arrays at all are left out.
    """
    found: dict[int, tuple[str, ...] | None] = {}
    for path in folder.glob("*.safetensors"):
        if path.stem.isdecimal() and int(path.stem) not in markers and (header := _header(path)) is not None:
            found[int(path.stem)] = _clips_of(header.get(_METADATA))
    return found


def held_arrays(folder: Place, index: int) -> tuple[str, ...]:
    """Names of the arrays of a shard, sorted; none where its file is damaged."""
    return tuple(sorted(set(_header(folder / f"{index:05d}.safetensors") or ()) - {_METADATA}))


def _header(path: Place) -> dict[str, Any] | None:
    """What a safetensors file says of its arrays, their bytes left aside; None where that cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = loads(file.read(length)) if length < _LONGEST_HEADER else None
    except (OSError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _clips_of(metadata: object) -> tuple[str, ...] | None:
    """The clips that metadata of arrays name: None where it names none, nobody where it cannot be read."""
    text = metadata.get(_CLIP_IDS) if isinstance(metadata, dict) else None
    if text is None:
        return None
    try:
        return tuple(as_text(name, _CLIP_IDS) for name in as_list(loads(as_text(text, _CLIP_IDS)), _CLIP_IDS))
    except (TypeError, ValueError):
        return ()


def read_marker(path: Place) -> Marker:
    """Read a done-marker, see `read_marker_rows`."""
    return read_marker_rows(path)[0]


def read_marker_rows(path: Place) -> tuple[Marker, list[ShardRow]]:
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
        rows = [_row_of(row) for row in content["rows"]]
        clips = tuple(row.known for row in rows)
        arrays, is_listed, own = content.get("arrays", {}), content.get("list") == LIST, content.get("own", {})
        return Marker(clips, content["sha256"], content["bytes"], arrays, checksum, is_listed, own), rows
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no done-marker of a shard ({reason(error)}); the store is damaged") from error


def _checksum(path: Place, payload: bytes, version: object) -> str | None:
    """The checksum of a marker that is as it was written; None of one that has none."""
    found = _CHECKSUM.search(payload)
    if found is None and version == _UNGUARDED:
        return None
    if isinstance(version, int) and version > BY_MODALITY:
        raise NewerMarkerError(f"{path}: written by a newer version of this program ({version}); use that one")
    if found is None:
        raise ValueError(f"{path}: no done-marker of a shard (it has no checksum); the store is damaged")
    if not is_sealed(payload):
        raise ValueError(
            f"{path}: the done-marker is not as it was written (its checksum differs), so its clips may be mixed up; "
            "run the same harvest again to mend it, or `valor store repair`"
        )
    return found[1].decode()


class Markers:
    """The done-markers of a store; however often they are asked for, each is read once while it stays what it is."""

    def __init__(self, folder: Place) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._known: dict[Place, tuple[tuple[object, ...], Marker | None]] = {}

    def read(self) -> dict[int, Marker]:
        """The markers by shard number; what cannot be read is said once and left out.

        Raises:
            NewerMarkerError: One was written by a newer version.
        """

        def known(path: Place) -> tuple[tuple[object, ...], Marker | None]:
            now, before = signature(path), self._known.get(path)
            return before if before and before[0] == now else (now, _readable(path))

        paths = marker_paths(self._folder)
        self._known = now = dict(zip(paths, each(known, paths), strict=True))
        return {int(path.stem): marker for path, (_, marker) in now.items() if marker is not None}


def read_markers(folder: Place) -> dict[int, Marker]:
    """The done-markers of a store by shard number, see `Markers.read`."""
    return Markers(folder).read()


def _readable(path: Place) -> Marker | None:
    """A marker, or None and a word on why it does not count."""
    try:
        return read_marker(path)
    except NewerMarkerError:
        raise
    except ValueError as error:
        logger.warning("%s", error)
        return None


def marker_paths(folder: Place) -> list[Place]:
    """Done-markers in shard order."""
    return sorted((path for path in folder.glob("*.json") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def known_clips(markers: Mapping[int, Marker]) -> Iterable[KnownClip]:
    """The clips of all shards, in the order of their numbers."""
    return (clip for _, marker in sorted(markers.items()) for clip in marker.clips)


def write_failures(folder: Place, rows: Iterable[ShardRow | KnownClip]) -> Place:
    """Write `failures.csv`: clip_id, status, message of the given rows, in their order."""
    write_atomic(folder / "failures.csv", failures_table(rows))
    return folder / "failures.csv"


def failures_table(rows: Iterable[ShardRow | KnownClip], *, as_they_are: bool = False) -> bytes:
    """The content of `failures.csv`; older versions wrote all cells as they are."""
    cell = str if as_they_are else text_cell
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("clip_id", "status", "message"))
    table.writerows((cell(row.clip_id), row.status, cell(row.message)) for row in rows)
    return text.getvalue().encode("utf-8")


def text_cell(text: str) -> str:
    """A cell with an apostrophe before it where a spreadsheet would take its text for a formula.

    The same as `valor.eval.spreadsheet.unformula`, which this folder may not know.
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def to_json(value: object) -> bytes:
    """Readable JSON, same bytes for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")


def read_json(path: Place) -> dict[str, Any]:
    """JSON object of a file of the store.

    Raises:
        ValueError: It cannot be read, or is something else.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); the store is damaged, move it away") from error
    return parse_json(path, payload)


def parse_json(path: Place, payload: bytes) -> dict[str, Any]:
    """JSON object that a file of the store holds.

    Raises:
        ValueError: It holds something else.
    """
    try:
        value = loads(payload)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read ({error}); the store is damaged, move it away") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(value).__name__}; the store is damaged")
    return value
