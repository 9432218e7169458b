"""One shard of a store: its arrays, its done-marker, and how both are replaced so that they never disagree."""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .share import WHOLE
from .store_files import file_sha256, rename, write_atomic

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
"""Raised whenever the same clip and teachers would give other bytes; part of the fingerprint."""


@dataclass(frozen=True)
class ShardRow:
    """One clip of a shard."""

    clip_id: str
    status: str
    message: str
    tags: tuple[str, ...]
    provenance: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Marker:
    """What the done-marker of a shard says."""

    rows: tuple[ShardRow, ...]
    sha256: str
    """Of the arrays."""
    num_bytes: int


def write_shard(folder: Path, index: int, arrays: Mapping[str, np.ndarray], rows: Sequence[ShardRow]) -> None:
    """Write the arrays of one shard, then its done-marker.

    Args:
        folder: From `open_store`, under `write_lock`.
        index: Number of the shard.
        arrays: float [n, ...] by name, one row per clip.
        rows: The n clips.

    Raises:
        ValueError: An array does not have one row per clip.
    """
    from safetensors.numpy import save

    for name, array in arrays.items():
        if len(array) != len(rows):
            raise ValueError(f"{name} must have {len(rows)} rows, one per clip, got {list(array.shape)}")
    payload = save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
    marker = to_json(
        {
            "format": FORMAT_VERSION,
            "bytes": len(payload),
            "sha256": hashlib.sha256(payload).hexdigest(),
            "rows": [{**vars(row), "tags": list(row.tags)} for row in rows],
        }
    )
    path = folder / f"{index:05d}.safetensors"
    done = path.with_suffix(".json")
    if done.exists():  # rewritten: at every moment the arrays are those of one of the two markers
        write_atomic(_next_marker(done), marker)
        write_atomic(path, payload)
        rename(_next_marker(done), done)
    else:
        write_atomic(path, payload)
        write_atomic(done, marker)


def finish_rewrites(folder: Path, holds: Callable[[int], bool] = WHOLE.holds) -> list[str]:
    """Finish or take back what a killed run was rewriting; call under `write_lock`.

    Args:
        folder: From `open_store`.
        holds: Which shards, by number, are this run's.

    Returns:
        What was done, in words.
    """
    told = []
    for path in sorted(folder.glob(".*.json.next")):
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


def _next_marker(done: Path) -> Path:
    """Where the marker of a shard that is being rewritten waits for its arrays."""
    return done.with_name(f".{done.name}.next")


def _fits(arrays: Path, marker: Path) -> bool:
    """Whether a marker can be read and speaks of these arrays."""
    try:
        return file_sha256(arrays) == read_marker(marker).sha256
    except ValueError:
        return False


def read_markers(folder: Path) -> dict[int, Marker]:
    """The done-markers of a store by shard number; what cannot be read is said and left out."""
    markers = {}
    for path in marker_paths(folder):
        try:
            markers[int(path.stem)] = read_marker(path)
        except ValueError as error:
            logger.warning("%s", error)
    return markers


def is_intact(folder: Path, index: int, marker: Marker) -> bool:
    """Whether the bytes of a shard are those its marker promises."""
    return file_sha256(folder / f"{index:05d}.safetensors") == marker.sha256


def done_shards(folder: Path) -> dict[int, list[ShardRow]]:
    """Rows of each shard whose bytes are those its marker promises; any other shard has to be made again."""
    markers = read_markers(folder)
    return {index: list(marker.rows) for index, marker in markers.items() if is_intact(folder, index, marker)}


def write_failures(folder: Path, rows: Iterable[ShardRow]) -> Path:
    """Write `failures.csv`: clip_id, status, message of the given rows, in their order."""
    write_atomic(folder / "failures.csv", failures_table(rows))
    return folder / "failures.csv"


def failures_table(rows: Iterable[ShardRow]) -> bytes:
    """The content of `failures.csv`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("clip_id", "status", "message"))
    table.writerows((row.clip_id, row.status, row.message) for row in rows)
    return text.getvalue().encode("utf-8")


def read_shard(
    folder: Path, index: int, names: Sequence[str] | None = None
) -> tuple[list[ShardRow], dict[str, np.ndarray]]:
    """Rows and arrays of one finished shard, its bytes checked.

    Raises:
        ValueError: Its marker cannot be read, or its bytes are not those of its marker.
    """
    from safetensors.numpy import load

    path = folder / f"{index:05d}.safetensors"
    done = path.with_suffix(".json")
    payload = path.read_bytes() if path.is_file() else b""
    sha256 = hashlib.sha256(payload).hexdigest()
    markers = [read_marker(marker) for marker in (done, _next_marker(done)) if marker.is_file()]
    marker = next((marker for marker in markers if marker.sha256 == sha256), None)
    if marker is None:
        raise ValueError(f"{path}: its bytes are not those of its done-marker; run the same harvest again to mend it")
    arrays = load(payload)
    return list(marker.rows), {name: arrays[name] for name in arrays if names is None or name in names}


def marker_paths(folder: Path) -> list[Path]:
    """Done-markers in shard order."""
    return sorted((path for path in folder.glob("*.json") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def read_marker(path: Path) -> Marker:
    """Read a done-marker.

    Raises:
        ValueError: It is no such file.
    """
    try:
        marker = read_json(path)
        rows = tuple(ShardRow(**{**row, "tags": tuple(row["tags"])}) for row in marker["rows"])
        return Marker(rows, marker["sha256"], marker["bytes"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: no done-marker of a shard ({error!r}); the store is damaged") from error


def to_json(value: object) -> bytes:
    """Readable JSON, same bytes for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")


def read_json(path: Path) -> dict:
    """JSON object of a file of the store."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); the store is damaged, move it away") from error
