"""What is done to whole stores: verified byte by byte, repaired, and merged.

A store is whole when every byte is the one its markers promise, every array fits the rows beside it, and `failures.csv`
is the list of the failures. Merged are stores of one fingerprint, such as those of runs that each did a share on a disk
of their own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from ..media.clip import CLIP, FAILURES, STATUSES
from ..places.place import Place, each, matching, place_of, rename, sync_folder
from ..teachers.teacher import NEEDS
from .listing import (
    GUARDED,
    Listed,
    ShardList,
    has_lost_list,
    listed,
    lost_clips,
    lost_list,
    lost_numbers,
    lost_shards,
    read_list,
    write_list,
)
from .lost import DAMAGED, lost_with
from .manifest import composed
from .origins import mend_origins, merge_origins, origins_problems, own_files, refuse_other_files, told_own
from .owed import OWED, note_unfinished, read_owed, unfinished, write_owed
from .plan import UNREAD
from .shards import (
    LIST,
    KnownClip,
    Marker,
    NewerMarkerError,
    ShardRow,
    clip_slices,
    damaged_numbers,
    failures_table,
    finish_rewrites,
    known_clips,
    marker_paths,
    num_rows,
    read_marker,
    read_markers,
    read_shard,
    rows_of_clips,
    seal_marker,
    unclaimed_arrays,
    write_failures,
    write_shard,
)
from .share import list_lock, refuse_at_work, remove_leftovers, write_lock
from .store import decoder_of, length_of, open_store, store_folder, store_manifest

_WITHOUT = {"waveform": "no_audio", "frames": "no_video", "slots": "no_video"}
"""Status of a clip that lacks a stream."""
_WHOLE = ("ok", "still", "cut", "silent")
"""Statuses with which a clip has all evidence."""


@dataclass(frozen=True)
class StoreCheck:
    """What `verify_store` found."""

    folder: Place
    shards: int
    clips: int
    problems: tuple[str, ...]
    """What makes evidence wrong or unreadable, each with its shard or file."""
    notes: tuple[str, ...]
    """What readers pass over: work that was interrupted."""


def verify_store(path: str | Place) -> StoreCheck:
    """Read every byte of a store and compare it with what the markers and the manifest say.

    Args:
        path: The store, holding exactly one fingerprint folder, or such a folder.

    Raises:
        ValueError: There is no store, or its manifest does not match its fingerprint.
    """
    folder = store_folder(place_of(path))
    manifest = store_manifest(folder)
    problems: list[str] = []
    rows: list[KnownClip] = []
    seen: set[str] = set()
    unguarded: list[str] = []
    found: list[Listed] = []
    is_listed = False
    markers = marker_paths(folder)
    for marker, read in zip(markers, each(_read, markers), strict=True):
        if isinstance(read, ValueError):
            problems.append(str(read))
            continue
        known, shard_rows, arrays = read
        unguarded += [] if known.checksum else [marker.stem]
        is_listed |= known.is_listed
        problems += [f"{marker.stem}: {problem}" for problem in _problems(shard_rows, arrays, manifest)]
        twice = sorted(name for row in shard_rows if (name := composed(row.clip_id)) in seen)
        problems += [f"{marker.stem}: {len(twice)} clips are in another shard too, such as {twice[0]}"] if twice else []
        seen.update(composed(row.clip_id) for row in shard_rows)
        found.append(listed(int(marker.stem), [row.clip_id for row in shard_rows]))
        rows += [row.known for row in shard_rows]
    problems += _failures_problem(folder, rows) if not problems else []
    problems += [*_list_problems(folder, found, problems, is_listed=is_listed), *origins_problems(folder, manifest)]
    notes = list(_notes(folder))
    try:
        notes += [lacks.told] if (lacks := unfinished(folder)) and not problems else []
    except ValueError as error:
        problems.append(str(error))
    whose = own_files(folder, read_markers(folder)) if not problems else {}
    notes += [
        f"its {role} evidence is by {len(own['shards'])} versions of a file of one's own: {told_own(own)}"
        for role, own in whose.items()
        if len(own["shards"]) > 1
    ]
    if unguarded:
        notes.insert(
            0,
            f"{len(unguarded)} markers without checksum, such as {unguarded[0]}: whether their rows are as they were "
            "written cannot be told; `valor store repair` gives them one as they are",
        )
    return StoreCheck(folder, len(markers), len(rows), tuple(problems), tuple(notes))


def _read(marker: Place) -> tuple[Marker, list[ShardRow], dict[str, np.ndarray]] | ValueError:
    """A marker and its shard, or what is wrong with them."""
    try:
        rows, arrays = read_shard(marker.parent, int(marker.stem))
        return read_marker(marker), rows, arrays
    except ValueError as error:
        return error


def _tag_problems(row: ShardRow, classes: set[str]) -> Iterator[str]:
    if not classes.issuperset(row.tags):
        yield f"{row.clip_id} has the unknown tags {sorted(set(row.tags) - classes)}"
    if row.modality_tags is not None and {*row.modality_tags[0], *row.modality_tags[1]} != set(row.tags):
        yield f"{row.clip_id} has other tags than those that are heard or seen in it"


def _problems(rows: Sequence[ShardRow], arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Iterator[str]:
    """What contradicts the manifest in one shard whose bytes are those of its marker."""
    classes = set(manifest["class_names"])
    for row in rows:
        if row.status not in STATUSES:
            yield f"{row.clip_id} has the unknown status {row.status!r}"
        yield from _tag_problems(row, classes)
    if len({composed(row.clip_id) for row in rows}) != len(rows):
        yield "a clip occurs twice"
    slices, total = clip_slices(rows), num_rows(rows)
    if (length_of(manifest) != CLIP) != (slices is not None):
        yield f"its clips must {'' if slices is None else 'not '}say how many segments they have"
        return
    shape = (total, len(classes)) if slices else (total, manifest["grid"]["num_segments"], len(classes))
    for role in [role for role, identity in manifest["teachers"].items() if "prompts" in identity]:
        similarity = arrays.get(f"{role}.similarity")
        if similarity is None or similarity.dtype != np.float32 or similarity.shape != shape:
            found = "none" if similarity is None else f"{similarity.dtype} {list(similarity.shape)}"
            yield f"{role}.similarity must be float32 {list(shape)}, got {found}"
    for name, array in arrays.items():
        role = name.partition(".")[0]
        if role not in manifest["teachers"] or len(array) != total or array.dtype.kind != "f":
            yield f"{name} must be an array of a teacher with {total} rows, got {array.dtype} {list(array.shape)}"
        else:
            yield from _absence_problems(name, array, rows)


def _absence_problems(name: str, array: np.ndarray, rows: Sequence[ShardRow]) -> Iterator[str]:
    """Where evidence is there that should not be, or the other way round."""
    slices = clip_slices(rows) or [slice(n, n + 1) for n in range(len(rows))]
    without = (*(_WITHOUT[stream] for stream in NEEDS.get(name.partition(".")[0], ())), *UNREAD)
    for row, place in zip(rows, slices, strict=True):
        segments = array[place].reshape(-1, array.shape[-1])
        nan, infinite = np.isnan(segments), bool(np.isinf(segments).any())
        absent = nan.all(axis=1)
        if infinite or (nan.any(axis=1) & ~absent).any():
            yield f"{row.clip_id}: {name} is {'infinite' if infinite else 'absent in part of a segment'}"
        elif row.status in without and not absent.all():
            yield f"{row.clip_id}: {name} is there although the clip is {row.status}"
        elif row.status in _WHOLE and absent.any():
            yield f"{row.clip_id}: {name} is absent although the clip is {row.status}"


def _list_problems(
    folder: Place, found: Sequence[Listed], problems: Sequence[str], *, is_listed: bool
) -> Iterator[str]:
    """What the list of shards names and is not there."""
    try:
        known = read_list(folder)
    except (ValueError, OSError) as error:
        yield str(error)
        return
    if known is None and is_listed:
        yield f"{LIST}: no such file; run the harvest to its end, or repair"
    present = [int(path.stem) for path in marker_paths(folder)]
    # Shards that cannot be read are problems already, and their clips are unknown.
    missing = lost_numbers(folder, known, present) or ([] if problems else lost_clips(known, found))
    if missing:
        yield lost_shards(folder, missing)
    if known and GUARDED in known.files and not (folder / GUARDED).exists():
        yield f"{GUARDED}: no such file, and the list of shards names it; restore it, harvest again, or repair"


def _failures_problem(folder: Place, rows: Sequence[KnownClip]) -> list[str]:
    """Whether `failures.csv` is not the list of the failures."""
    path = folder / "failures.csv"
    held = path.read_bytes() if path.is_file() else b""
    failed = [row for row in rows if row.status in FAILURES]
    if held in (failures_table(failed), failures_table(failed, as_they_are=True)):
        return []
    return ["failures.csv: is not the list of the failed clips; run the harvest to its end, or repair"]


def _notes(folder: Place) -> Iterator[str]:
    """What interrupted runs left."""
    for path in matching(folder, ".*.tmp"):
        yield f"{path.name}: a temporary file of a run that was killed or is at work"
    for path in matching(folder, ".*.next"):
        yield f"{path.name}: an interrupted rewrite; the next run or a repair finishes it"
    for path in matching(folder, "*.safetensors"):
        if not path.with_suffix(".json").is_file():
            yield f"{path.name}: has no done-marker and does not count; a run over its clips makes it again"


def repair_store(path: str | Place) -> tuple[str, ...]:
    """Bring a store into a state that can be read: nothing is deleted but temporary files of runs that were killed.

    Rewrites that were interrupted are finished or taken back, shards that cannot be trusted go to the folder
    `damaged/`, markers of an older version get the checksum they lack, and `failures.csv` is made anew. Clips of
    shards that were moved, and of those that are gone, are owed from then on (`owed.json`), so that nobody takes the
    rest for all of the harvest; the next harvest makes them again.

    Returns:
        What was done, in words.

    Raises:
        ValueError: There is no store, its manifest does not match its fingerprint, or a run is writing to it.
    """
    folder = store_folder(place_of(path))
    manifest = store_manifest(folder)
    with write_lock(folder):
        done = [f"{name}: removed, of a run that was killed" for name in remove_leftovers(folder)]
        done += finish_rewrites(folder)
        problems = _shards_to_set_aside(folder, manifest)
        done += _owe_lost(folder, problems.keys())  # first: a repair that is killed loses sight of no clip
        for marker in marker_paths(folder):
            if problem := problems.get(int(marker.stem)):
                _move_aside(folder, [marker, marker.with_suffix(".safetensors")])  # the marker first
                done.append(f"{marker.stem}: moved to {DAMAGED}/ ({problem}); harvest again to make it anew")
            elif read_marker(marker).checksum is None:
                seal_marker(folder, int(marker.stem))
                done.append(f"{marker.stem}: its marker got the checksum it lacked")
        markers = read_markers(folder)
        rows = list(known_clips(markers))
        if _failures_problem(folder, rows):
            write_failures(folder, [row for row in rows if row.status in FAILURES])
            done.append("failures.csv: made anew")
        if (mended := mend_origins(folder, manifest)) == "aside":
            _move_aside(folder, [folder / GUARDED])
        if mended:
            told = "got the checksum it lacked" if mended == "sealed" else f"moved to {DAMAGED}/"
            done.append(f"{GUARDED}: {told}")
        done += _mend_list(folder, markers)
    return tuple(done)


def _shards_to_set_aside(folder: Place, manifest: Mapping[str, Any]) -> dict[int, str]:
    """The first problem of each shard that cannot be trusted, by its number; nothing is touched."""
    found = {}
    for marker in marker_paths(folder):
        try:
            problems = list(_problems(*read_shard(folder, int(marker.stem)), manifest))
        except NewerMarkerError:
            raise
        except ValueError as error:
            problems = [str(error)]
        if problems:
            found[int(marker.stem)] = problems[0]
    return found


def _owe_lost(folder: Place, taken: Set[int]) -> Iterator[str]:
    """Owe the clips of shards that are taken out or gone, and say of which shards nobody knows them."""
    try:
        read_owed(folder)
    except ValueError:
        _move_aside(folder, [folder / OWED])
        yield f"{OWED}: moved to {DAMAGED}/; harvest again for clips that are not here yet"
    known: ShardList | None = None
    with suppress(ValueError):  # a damaged one names nobody
        known = read_list(folder)
    paths = marker_paths(folder)
    read = zip(paths, each(_marker_or_none, paths), strict=True)
    markers = {int(path.stem): marker for path, marker in read if marker is not None}
    lost = lost_with(folder, known, markers, taken)
    write_owed(folder, lost.clip_ids, {index: marker for index, marker in markers.items() if index not in taken})
    if lost.unnamed:
        yield (
            f"{OWED}: lacks the clips of {', '.join(lost.unnamed)}, which nothing in the store names; "
            "`valor store verify STORE --manifest MANIFEST` tells which clips of a table are in no shard"
        )


def _marker_or_none(path: Place) -> Marker | None:
    """A marker, without a word on one that cannot be read: what becomes of it is said."""
    with suppress(ValueError):
        return read_marker(path)
    return None


def _mend_list(folder: Place, markers: Mapping[int, Marker]) -> Iterator[str]:
    """Make the list of shards what is there, and say what it named beyond."""
    known: ShardList | None = None
    with suppress(ValueError):  # a damaged one is made anew
        known = read_list(folder)
    found = [listed(index, [clip.clip_id for clip in marker.clips]) for index, marker in markers.items()]
    before = (folder / LIST).read_bytes() if (folder / LIST).is_file() else b""
    write_list(folder, markers, anew=True)
    if (folder / LIST).read_bytes() != before:
        lost = lost_clips(known, found)
        yield f"{LIST}: made anew" + (f", without {', '.join(lost)}; harvest their clips again" if lost else "")


def _move_aside(folder: Place, paths: Sequence[Place]) -> None:
    """Move files of one name into the folder of damaged ones, under names that are free."""
    home, stem = folder / DAMAGED, paths[0].stem
    home.mkdir(exist_ok=True)
    number = 0
    while any((home / f"{stem}.{number}{suffix}").exists() for suffix in (".json", ".safetensors")):
        number += 1
    for path in paths:
        if path.is_file():
            rename(path, home / f"{stem}.{number}{path.suffix}")
    sync_folder(folder)


@dataclass(frozen=True)
class StoreMerge:
    """What `merge_stores` made."""

    folder: Place
    shards: int
    clips: int
    repeated: int
    """Clips that several stores hold, with the same evidence."""


def merge_stores(sources: Sequence[str | Place], out: str | Place, *, allow_edited: bool = False) -> StoreMerge:
    """Unite stores of the same teachers, classes and grid.

    A shard keeps its number where that is free, so the stores of all shares of a manifest become what one run had made,
    to the byte. Where two stores have different shards under one number, the later ones move to free numbers. No shard
    is written before all sources are known to be whole and to fit together; an interrupted merge is run again. What
    the stores note of their teachers is united too.

    Args:
        sources: Stores, each holding exactly one fingerprint folder, or such folders.
        out: Folder of the united store, like the store of a harvest; may hold some of the clips already.
        allow_edited: Whether stores may be by different versions of the file of a teacher of one's own.

    Raises:
        ValueError: The fingerprints differ or files of one's own do, a shard is damaged, a clip has different evidence
            in two stores, a source is the target or is being written, or the target cannot be written.
        OSError: The disk is full.
    """
    folders = [store_folder(place_of(source)) for source in sources]
    manifest = _one_manifest(folders)
    for folder in folders:
        refuse_at_work(folder)
        _refuse_lost(folder)
    given = [_Shard(folder, index, marker) for folder in folders for index, marker in _whole(folder)]
    target = open_store(out, manifest)
    if target.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"{target}: is a source and the target; give another `out`, or leave it out of the sources")
    with write_lock(target):
        remove_leftovers(target)
        finish_rewrites(target)
        if has_lost_list(target, before := read_markers(target)):
            raise ValueError(lost_list(target))
        if not allow_edited:
            refuse_other_files([target, *folders])
        with list_lock(target):
            if read_list(target) is None:
                write_list(target, before)
            owed = [clip_id for folder in folders for clip_id in read_owed(folder)]
            write_owed(target, [*owed, *(clip.clip_id for shard in given for clip in shard.marker.clips)], before)
        shards = [_Shard(target, index, marker) for index, marker in _whole(target)] + given
        homes = _first_homes(shards)
        repeated = _check_repeated(shards, homes)
        unclaimed = unclaimed_arrays(target, {shard.index: shard.marker for shard in shards if shard.folder == target})
        for number, shard in _numbered([shard for shard in shards if shard.at_home(homes)], homes, unclaimed):
            if shard.folder != target:
                kept = shard.at_home(homes)
                rows, arrays = read_shard(shard.folder, shard.index)
                write_shard(target, number, _rows_of(arrays, rows, kept), [rows[n] for n in kept], shard.marker.own)
        markers = read_markers(target)
        clips = list(known_clips(markers))
        write_failures(target, [clip for clip in clips if clip.status in FAILURES])
        merge_origins(target, folders)
        with list_lock(target):
            write_list(target, markers)
            write_owed(target, (), markers)
    note_unfinished(target)
    return StoreMerge(target, len(markers), len(clips), repeated)


_ClipEvidence = tuple[str, dict[str, bytes]]
"""What a marker says of a clip, as JSON, and the bytes of its rows by array."""


@dataclass(frozen=True)
class _Shard:
    """One shard of one store."""

    folder: Place
    index: int
    marker: Marker

    def at_home(self, homes: Mapping[str, tuple[Place, int]]) -> list[int]:
        """Positions of the clips no earlier shard holds."""
        return [
            n for n, row in enumerate(self.marker.clips) if homes[composed(row.clip_id)] == (self.folder, self.index)
        ]


def _one_manifest(folders: Sequence[Place]) -> dict[str, Any]:
    """The manifest all stores have."""
    manifests = [store_manifest(folder) for folder in folders]
    for folder, manifest in zip(folders, manifests, strict=True):
        if decoder_of(manifest) != decoder_of(manifests[0]):
            raise ValueError(
                f"stores to merge must have one decoder, got {decoder_of(manifests[0])} ({folders[0]}) and "
                f"{decoder_of(manifest)} ({folder}); harvest one of them again with the decoder of the other"
            )
        if manifest["fingerprint"] != manifests[0]["fingerprint"]:
            raise ValueError(
                f"stores to merge must have one fingerprint, got {manifests[0]['fingerprint'][:12]} ({folders[0]}) and "
                f"{manifest['fingerprint'][:12]} ({folder}); evidence of different teachers stays apart"
            )
    return manifests[0]


def _whole(folder: Place) -> list[tuple[int, Marker]]:
    """The shards of a store, refusing damaged ones."""
    markers = sorted(read_markers(folder).items())
    damaged = [f"{index:05d}" for index in damaged_numbers(folder, dict(markers))]
    if damaged:
        raise ValueError(
            f"{folder}: {len(damaged)} shards are damaged, such as {damaged[0]}; harvest again or repair it"
        )
    return markers


def _refuse_lost(folder: Place) -> None:
    """Refuse a store that has lost shards, or the list of them."""
    markers = read_markers(folder)
    if has_lost_list(folder, markers):
        raise ValueError(lost_list(folder))
    found = [listed(n, [clip.clip_id for clip in marker.clips]) for n, marker in markers.items()]
    if missing := lost_clips(read_list(folder), found):
        raise ValueError(lost_shards(folder, missing))


def _first_homes(shards: Sequence[_Shard]) -> dict[str, tuple[Place, int]]:
    """The first shard that holds each clip."""
    homes: dict[str, tuple[Place, int]] = {}
    for shard in shards:
        for row in shard.marker.clips:
            homes.setdefault(composed(row.clip_id), (shard.folder, shard.index))
    return homes


def _check_repeated(shards: Sequence[_Shard], homes: Mapping[str, tuple[Place, int]]) -> int:
    """How many clips occur again; refuses those with other evidence."""
    found = {(shard.folder, shard.index): shard for shard in shards}
    repeated = 0
    for shard in shards:
        again = [row for row in shard.marker.clips if homes[composed(row.clip_id)] != (shard.folder, shard.index)]
        repeated += len(again)
        firsts = {homes[composed(row.clip_id)] for row in again}
        if all(found[first].marker == shard.marker for first in firsts):
            continue
        here = _evidence(shard)
        for first in firsts:
            _check_same(found[first], _evidence(found[first]), shard, here)
    return repeated


def _check_same(
    one: _Shard, of_one: Mapping[str, _ClipEvidence], other: _Shard, of_other: Mapping[str, _ClipEvidence]
) -> None:
    """Refuse two shards in which a clip has different evidence."""
    different = sorted(clip_id for clip_id in of_one.keys() & of_other.keys() if of_one[clip_id] != of_other[clip_id])
    if different:
        raise ValueError(
            f"{len(different)} clips have different evidence, such as {different[0]} in {one.folder}/{one.index:05d} "
            f"and {other.folder}/{other.index:05d}; harvest them again, or leave one store out"
        )


def _evidence(shard: _Shard) -> dict[str, _ClipEvidence]:
    """By clip, everything that is known of it; arrays without a number count as none."""
    rows, arrays = read_shard(shard.folder, shard.index)
    return {
        composed(row.clip_id): (
            json.dumps({**vars(row), "clip_id": composed(row.clip_id)}, sort_keys=True),
            {
                name: held.tobytes()
                for name, array in arrays.items()
                if not np.isnan(held := rows_of_clips(array, rows, [n])).all()
            },
        )
        for n, row in enumerate(rows)
    }


def _numbered(
    shards: Sequence[_Shard],
    homes: Mapping[str, tuple[Place, int]],
    unclaimed: Mapping[int, tuple[str, ...] | None],
) -> list[tuple[int, _Shard]]:
    """A number for each shard: its own where no earlier one has it, equal shards the same, others the next free one.

    Arrays of the target that have no marker keep their number for the clips they are of.
    """
    taken: dict[int, Marker] = {}
    late, numbered = [], []
    for shard in shards:
        clips = _clips_at_home(shard, homes)
        if unclaimed.get(shard.index, clips) == clips and taken.setdefault(shard.index, shard.marker) == shard.marker:
            numbered.append((shard.index, shard))
        else:
            late.append(shard)
    kept = {clips: number for number, clips in unclaimed.items()}
    for shard in late:
        free = next(n for n in count() if n not in taken and n not in unclaimed)
        number = kept.get(_clips_at_home(shard, homes), free)
        taken[number] = shard.marker
        numbered.append((number, shard))
    return numbered


def _clips_at_home(shard: _Shard, homes: Mapping[str, tuple[Place, int]]) -> tuple[str, ...]:
    """Those clips of a shard that no earlier one holds."""
    return tuple(shard.marker.clips[n].clip_id for n in shard.at_home(homes))


def _rows_of(arrays: Mapping[str, np.ndarray], rows: Sequence[ShardRow], kept: Sequence[int]) -> dict[str, np.ndarray]:
    """Some clips of each array; a feature without a number in them is left out, as a harvest leaves it out."""
    some = {name: rows_of_clips(array, rows, kept) for name, array in arrays.items()}
    return {name: array for name, array in some.items() if name.endswith(".similarity") or not np.isnan(array).all()}
