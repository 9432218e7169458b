"""Several stores of one fingerprint -> one, such as those of runs that each did a share on a disk of their own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from .clip_media import FAILURES
from .markers import Marker, known_clips, read_markers
from .shards import finish_rewrites, is_intact, read_shard, unclaimed_arrays, write_failures, write_shard
from .store import decoder_of, open_store, store_folder, store_manifest
from .store_files import remove_leftovers, write_lock


@dataclass(frozen=True)
class StoreMerge:
    """What `merge_stores` made."""

    folder: Path
    shards: int
    clips: int
    repeated: int
    """Clips that several stores hold, with the same evidence."""


def merge_stores(sources: Sequence[str | Path], out: str | Path) -> StoreMerge:
    """Unite stores of the same teachers, classes and grid.

    A shard keeps its number where that is free, so the stores of all shares of a manifest become what one run had made,
    to the byte. Where two stores have different shards under one number, the later ones move to free numbers. No shard
    is written before all sources are known to be whole and to fit together; an interrupted merge is run again.

    Args:
        sources: Stores, each holding exactly one fingerprint folder, or such folders.
        out: Folder of the united store, like `--store` of a harvest; may hold some of the clips already.

    Raises:
        ValueError: The fingerprints differ, a shard is damaged, a clip has different evidence in two stores, a source
            is the target, or the target cannot be written.
        OSError: The disk is full.
    """
    folders = [store_folder(Path(source)) for source in sources]
    manifest = _one_manifest(folders)
    target = open_store(out, manifest)
    if target.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"{target}: is a source and the target; give another --out, or leave it out of the sources")
    with write_lock(target):
        remove_leftovers(target)
        finish_rewrites(target)
        shards = [_Shard(folder, index, marker) for folder in (target, *folders) for index, marker in _whole(folder)]
        homes = _first_homes(shards)
        repeated = _check_repeated(shards, homes)
        unclaimed = unclaimed_arrays(target, {shard.index: shard.marker for shard in shards if shard.folder == target})
        for number, shard in _numbered([shard for shard in shards if shard.at_home(homes)], homes, unclaimed):
            if shard.folder != target:
                kept = shard.at_home(homes)
                rows, arrays = read_shard(shard.folder, shard.index)
                write_shard(target, number, _rows_of(arrays, kept), [rows[n] for n in kept])
        markers = read_markers(target)
        rows = list(known_clips(markers))
        write_failures(target, [row for row in rows if row.status in FAILURES])
    return StoreMerge(target, len(markers), len(rows), repeated)


@dataclass(frozen=True)
class _Shard:
    """One shard of one store."""

    folder: Path
    index: int
    marker: Marker

    def at_home(self, homes: Mapping[str, tuple[Path, int]]) -> list[int]:
        """Positions of the clips no earlier shard holds."""
        return [n for n, row in enumerate(self.marker.clips) if homes[row.clip_id] == (self.folder, self.index)]


def _one_manifest(folders: Sequence[Path]) -> dict:
    """The manifest all stores have."""
    manifests = [store_manifest(folder) for folder in folders]
    for folder, manifest in zip(folders, manifests, strict=True):
        if decoder_of(manifest) != decoder_of(manifests[0]):
            raise ValueError(
                f"stores to merge must have one decoder, got {decoder_of(manifests[0])} ({folders[0]}) and "
                f"{decoder_of(manifest)} ({folder}); harvest one of them again with --decoder of the other"
            )
        if manifest["fingerprint"] != manifests[0]["fingerprint"]:
            raise ValueError(
                f"stores to merge must have one fingerprint, got {manifests[0]['fingerprint'][:12]} ({folders[0]}) and "
                f"{manifest['fingerprint'][:12]} ({folder}); evidence of different teachers stays apart"
            )
    return manifests[0]


def _whole(folder: Path) -> list[tuple[int, Marker]]:
    """The shards of a store, refusing damaged ones."""
    markers = sorted(read_markers(folder).items())
    damaged = [f"{index:05d}" for index, marker in markers if not is_intact(folder, index, marker)]
    if damaged:
        raise ValueError(
            f"{folder}: {len(damaged)} shards are damaged, such as {damaged[0]}; harvest again or repair it"
        )
    return markers


def _first_homes(shards: Sequence[_Shard]) -> dict[str, tuple[Path, int]]:
    """The first shard that holds each clip."""
    homes: dict[str, tuple[Path, int]] = {}
    for shard in shards:
        for row in shard.marker.clips:
            homes.setdefault(row.clip_id, (shard.folder, shard.index))
    return homes


def _check_repeated(shards: Sequence[_Shard], homes: Mapping[str, tuple[Path, int]]) -> int:
    """How many clips occur again; refuses those with other evidence."""
    found = {(shard.folder, shard.index): shard for shard in shards}
    repeated = 0
    for shard in shards:
        again = [row for row in shard.marker.clips if homes[row.clip_id] != (shard.folder, shard.index)]
        repeated += len(again)
        firsts = {homes[row.clip_id] for row in again}
        if all(found[first].marker == shard.marker for first in firsts):
            continue
        here = _evidence(shard)
        for first in firsts:
            _check_same(found[first], _evidence(found[first]), shard, here)
    return repeated


def _check_same(one: _Shard, of_one: Mapping[str, tuple], other: _Shard, of_other: Mapping[str, tuple]) -> None:
    """Refuse two shards in which a clip has different evidence."""
    different = sorted(clip_id for clip_id in of_one.keys() & of_other.keys() if of_one[clip_id] != of_other[clip_id])
    if different:
        raise ValueError(
            f"{len(different)} clips have different evidence, such as {different[0]} in {one.folder}/{one.index:05d} "
            f"and {other.folder}/{other.index:05d}; harvest them again, or leave one store out"
        )


def _evidence(shard: _Shard) -> dict[str, tuple]:
    """By clip, everything that is known of it; arrays without a number count as none."""
    rows, arrays = read_shard(shard.folder, shard.index)
    return {
        row.clip_id: (
            json.dumps(vars(row), sort_keys=True),
            {name: array[n].tobytes() for name, array in arrays.items() if not np.isnan(array[n]).all()},
        )
        for n, row in enumerate(rows)
    }


def _numbered(
    shards: Sequence[_Shard],
    homes: Mapping[str, tuple[Path, int]],
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


def _clips_at_home(shard: _Shard, homes: Mapping[str, tuple[Path, int]]) -> tuple[str, ...]:
    """Those clips of a shard that no earlier one holds."""
    return tuple(shard.marker.clips[n].clip_id for n in shard.at_home(homes))


def _rows_of(arrays: Mapping[str, np.ndarray], kept: Sequence[int]) -> dict[str, np.ndarray]:
    """Some rows of each array; a feature without a number in them is left out, as a harvest leaves it out."""
    some = {name: array[kept] for name, array in arrays.items()}
    return {name: array for name, array in some.items() if name.endswith(".similarity") or not np.isnan(array).all()}
