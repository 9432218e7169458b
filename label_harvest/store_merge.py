"""Several stores of one fingerprint -> one, such as those of runs that each did a share on a disk of their own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .clip_media import FAILURES
from .shards import Marker, finish_rewrites, is_intact, read_markers, read_shard, write_failures, write_shard
from .store import open_store, store_folder, store_manifest
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
        for number, shard in _numbered([shard for shard in shards if shard.at_home(homes)]):
            if shard.folder != target:
                kept = shard.at_home(homes)
                rows, arrays = read_shard(shard.folder, shard.index)
                write_shard(target, number, _rows_of(arrays, kept), [rows[n] for n in kept])
        rows = [row for _, marker in sorted(read_markers(target).items()) for row in marker.rows]
        write_failures(target, [row for row in rows if row.status in FAILURES])
    return StoreMerge(target, len(read_markers(target)), len(rows), repeated)


@dataclass(frozen=True)
class _Shard:
    """One shard of one store."""

    folder: Path
    index: int
    marker: Marker

    def at_home(self, homes: Mapping[str, tuple[Path, int]]) -> list[int]:
        """Positions of the clips no earlier shard holds."""
        return [n for n, row in enumerate(self.marker.rows) if homes[row.clip_id] == (self.folder, self.index)]


def _one_manifest(folders: Sequence[Path]) -> dict:
    """The manifest all stores have."""
    manifests = [store_manifest(folder) for folder in folders]
    for folder, manifest in zip(folders, manifests, strict=True):
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
        for row in shard.marker.rows:
            homes.setdefault(row.clip_id, (shard.folder, shard.index))
    return homes


def _check_repeated(shards: Sequence[_Shard], homes: Mapping[str, tuple[Path, int]]) -> int:
    """How many clips occur again; refuses those with other evidence."""
    found = {(shard.folder, shard.index): shard for shard in shards}
    repeated = 0
    for shard in shards:
        again = [row for row in shard.marker.rows if homes[row.clip_id] != (shard.folder, shard.index)]
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


def _numbered(shards: Sequence[_Shard]) -> list[tuple[int, _Shard]]:
    """A number for each shard: its own where no earlier one has it, equal shards the same, others the next free one."""
    taken: dict[int, Marker] = {}
    late, numbered = [], []
    for shard in shards:
        if taken.setdefault(shard.index, shard.marker) == shard.marker:
            numbered.append((shard.index, shard))
        else:
            late.append(shard)
    for shard in late:
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        taken[number] = shard.marker
        numbered.append((number, shard))
    return numbered


def _rows_of(arrays: Mapping[str, np.ndarray], kept: Sequence[int]) -> dict[str, np.ndarray]:
    """Some rows of each array; a feature without a number in them is left out, as a harvest leaves it out."""
    some = {name: array[kept] for name, array in arrays.items()}
    return {name: array for name, array in some.items() if name.endswith(".similarity") or not np.isnan(array).all()}
