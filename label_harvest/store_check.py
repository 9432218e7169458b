"""Whether a store is what it says: every byte against its marker, every array against its rows; and what mends it."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .clip_media import FAILURES, STATUSES
from .evidence import NEEDS
from .markers import KnownClip, NewerMarkerError, ShardRow, known_clips, marker_paths, read_marker, read_markers
from .shard_plan import UNREAD
from .shards import failures_table, finish_rewrites, read_shard, seal_marker, write_failures
from .store import store_folder, store_manifest
from .store_files import remove_leftovers, sync_folder, write_lock

logger = logging.getLogger(__name__)

DAMAGED = "damaged"
"""Folder inside a store where `repair_store` puts shards that cannot be trusted; nothing reads it."""

_WITHOUT = {"waveform": "no_audio", "frames": "no_video", "slots": "no_video"}
"""Status of a clip that lacks a stream."""
_WHOLE = ("ok", "still", "silent")
"""Statuses with which a clip has all evidence."""


@dataclass(frozen=True)
class StoreCheck:
    """What `verify_store` found."""

    folder: Path
    shards: int
    clips: int
    problems: tuple[str, ...]
    """What makes evidence wrong or unreadable, each with its shard or file."""
    notes: tuple[str, ...]
    """What readers pass over: work that was interrupted."""


def verify_store(path: str | Path) -> StoreCheck:
    """Read every byte of a store and compare it with what the markers and the manifest say.

    Args:
        path: The store, holding exactly one fingerprint folder, or such a folder.

    Raises:
        ValueError: There is no store, or its manifest does not match its fingerprint.
    """
    folder = store_folder(Path(path))
    manifest = store_manifest(folder)
    problems, rows, seen, unguarded = [], [], set(), []
    for marker in marker_paths(folder):
        try:
            shard_rows, arrays = read_shard(folder, int(marker.stem))
            unguarded += [] if read_marker(marker).checksum else [marker.stem]
        except ValueError as error:
            problems.append(str(error))
            continue
        problems += [f"{marker.stem}: {problem}" for problem in _problems(shard_rows, arrays, manifest)]
        twice = sorted(row.clip_id for row in shard_rows if row.clip_id in seen)
        problems += [f"{marker.stem}: {len(twice)} clips are in another shard too, such as {twice[0]}"] if twice else []
        seen.update(row.clip_id for row in shard_rows)
        rows += [row.known for row in shard_rows]
    problems += _failures_problem(folder, rows) if not problems else []
    notes = (*_unguarded_note(unguarded), *_notes(folder))
    return StoreCheck(folder, len(marker_paths(folder)), len(rows), tuple(problems), notes)


def _unguarded_note(unguarded: Sequence[str]) -> list[str]:
    """A word on markers of the version before checksums."""
    if not unguarded:
        return []
    return [
        f"{len(unguarded)} markers without checksum, such as {unguarded[0]}: whether their rows are as they were "
        "written cannot be told; `valor store repair` gives them one as they are"
    ]


def repair_store(path: str | Path) -> tuple[str, ...]:
    """Bring a store into a state that can be read: nothing is deleted but temporary files of runs that were killed.

    Rewrites that were interrupted are finished or taken back, shards that cannot be trusted go to the folder
    `damaged/`, markers of an older version get the checksum they lack, and `failures.csv` is made anew. The next
    harvest makes the moved shards again.

    Returns:
        What was done, in words.

    Raises:
        ValueError: There is no store, its manifest does not match its fingerprint, or a run is writing to it.
    """
    folder = store_folder(Path(path))
    manifest = store_manifest(folder)
    with write_lock(folder):
        done = [f"{name}: removed, of a run that was killed" for name in remove_leftovers(folder)]
        done += finish_rewrites(folder)
        for marker in marker_paths(folder):
            try:
                problems = list(_problems(*read_shard(folder, int(marker.stem)), manifest))
            except NewerMarkerError:
                raise
            except ValueError as error:
                problems = [str(error)]
            if problems:
                _set_aside(folder, marker)
                done.append(f"{marker.stem}: moved to {DAMAGED}/ ({problems[0]}); harvest again to make it anew")
            elif read_marker(marker).checksum is None:
                seal_marker(folder, int(marker.stem))
                done.append(f"{marker.stem}: its marker got the checksum it lacked")
        rows = list(known_clips(read_markers(folder)))
        if _failures_problem(folder, rows):
            write_failures(folder, [row for row in rows if row.status in FAILURES])
            done.append("failures.csv: made anew")
    return tuple(done)


def _problems(rows: Sequence[ShardRow], arrays: Mapping[str, np.ndarray], manifest: Mapping) -> Iterator[str]:
    """What contradicts the manifest in one shard whose bytes are those of its marker."""
    classes = set(manifest["class_names"])
    for row in rows:
        if row.status not in STATUSES:
            yield f"{row.clip_id} has the unknown status {row.status!r}"
        if not classes.issuperset(row.tags):
            yield f"{row.clip_id} has the unknown tags {sorted(set(row.tags) - classes)}"
    if len({row.clip_id for row in rows}) != len(rows):
        yield "a clip occurs twice"
    shape = (len(rows), manifest["grid"]["num_segments"], len(classes))
    for role in [role for role, identity in manifest["teachers"].items() if "prompts" in identity]:
        similarity = arrays.get(f"{role}.similarity")
        if similarity is None or similarity.dtype != np.float32 or similarity.shape != shape:
            found = "none" if similarity is None else f"{similarity.dtype} {list(similarity.shape)}"
            yield f"{role}.similarity must be float32 {list(shape)}, got {found}"
    for name, array in arrays.items():
        role = name.partition(".")[0]
        if role not in manifest["teachers"] or len(array) != len(rows) or array.dtype.kind != "f":
            yield f"{name} must be an array of a teacher with {len(rows)} rows, got {array.dtype} {list(array.shape)}"
        else:
            yield from _absence_problems(name, array, rows)


def _absence_problems(name: str, array: np.ndarray, rows: Sequence[ShardRow]) -> Iterator[str]:
    """Where evidence is there that should not be, or the other way round."""
    parts = array.reshape(*array.shape[:2], -1)
    absent = np.isnan(parts).all(axis=2)
    torn = np.isnan(parts).any(axis=2) & ~absent
    infinite = np.isinf(parts).any(axis=(1, 2))
    without = (*(_WITHOUT[stream] for stream in NEEDS.get(name.partition(".")[0], ())), *UNREAD)
    for position, row in enumerate(rows):
        if infinite[position] or torn[position].any():
            yield f"{row.clip_id}: {name} is {'infinite' if infinite[position] else 'absent in part of a segment'}"
        elif row.status in without and not absent[position].all():
            yield f"{row.clip_id}: {name} is there although the clip is {row.status}"
        elif row.status in _WHOLE and absent[position].any():
            yield f"{row.clip_id}: {name} is absent although the clip is {row.status}"


def _failures_problem(folder: Path, rows: Sequence[KnownClip]) -> list[str]:
    """Whether `failures.csv` is not the list of the failures."""
    path = folder / "failures.csv"
    held = path.read_bytes() if path.is_file() else b""
    if held == failures_table([row for row in rows if row.status in FAILURES]):
        return []
    return ["failures.csv: is not the list of the failed clips; run the harvest to its end, or repair"]


def _notes(folder: Path) -> Iterator[str]:
    """What interrupted runs left."""
    for path in sorted(folder.glob(".*.tmp")):
        yield f"{path.name}: a temporary file of a run that was killed or is at work"
    for path in sorted(folder.glob(".*.next")):
        yield f"{path.name}: an interrupted rewrite; the next run or a repair finishes it"
    for path in sorted(folder.glob("*.safetensors")):
        if not path.with_suffix(".json").is_file():
            yield f"{path.name}: has no done-marker and does not count; a run over its clips makes it again"


def _set_aside(folder: Path, marker: Path) -> None:
    """Move a shard into the folder of damaged ones, its marker first, under names that are free."""
    home = folder / DAMAGED
    home.mkdir(exist_ok=True)
    number = 0
    while any((home / f"{marker.stem}.{number}{suffix}").exists() for suffix in (".json", ".safetensors")):
        number += 1
    for path in (marker, marker.with_suffix(".safetensors")):
        if path.is_file():
            os.replace(path, home / f"{marker.stem}.{number}{path.suffix}")
    sync_folder(folder)
