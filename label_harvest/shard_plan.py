"""What a run has to do: which clips go into which shard, and which shards are made again; the same for every run.

Clips that are in no shard yet are cut, in manifest order, into shards of one size, which take the free numbers from
below. So a run that was killed, and the runs of all shares of a manifest, in whatever order they come, number their
shards as one undisturbed run does.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .manifest import HarvestManifest
from .shards import Marker, ShardRow, is_intact

logger = logging.getLogger(__name__)

UNREAD = ("undecodable", "timeout", "missing")
"""Statuses of a clip of which nothing was read; another attempt may find more."""


@dataclass(frozen=True)
class ShardPlan:
    """A shard that a run has to make."""

    index: int
    rows: tuple[ShardRow, ...]
    """Its clips with their tags; in a shard that is there, what is known of them."""
    again: frozenset[int] | None = None
    """In a shard that is there, the positions of the clips that are to be read again; None makes all of it."""

    def batches(self, clips_per_batch: int) -> Iterator[range]:
        """Positions of the clips that go through a teacher together.

        A clip is read again in the company it would have had, because rounding depends on the company.
        """
        for start in range(0, len(self.rows), clips_per_batch):
            positions = range(start, min(start + clips_per_batch, len(self.rows)))
            if self.again is None or not self.again.isdisjoint(positions):
                yield positions


def check_tags(manifest: HarvestManifest, markers: Mapping[int, Marker]) -> None:
    """Refuse a manifest that says something else of a clip than the store.

    Raises:
        ValueError: A clip is in the store with other tags.
    """
    wanted = dict(zip(manifest.clip_ids, tags_of(manifest), strict=True))
    changed = [
        f"{row.clip_id} (store {','.join(row.tags)}; manifest {','.join(wanted[row.clip_id])})"
        for marker in markers.values()
        for row in marker.rows
        if wanted.get(row.clip_id, row.tags) != row.tags
    ]
    if changed:
        raise ValueError(
            f"the store holds {len(changed)} clips with other tags, such as {changed[0]}; "
            "mend the manifest or harvest into another store"
        )


def tags_of(manifest: HarvestManifest) -> list[tuple[str, ...]]:
    """The tags of each clip."""
    names = manifest.class_names
    return [tuple(names[index] for index in np.flatnonzero(labels)) for labels in manifest.weak_labels]


def new_shards(manifest: HarvestManifest, markers: Mapping[int, Marker], shard_size: int) -> list[ShardPlan]:
    """Shards for the clips that are in none."""
    known = {row.clip_id for marker in markers.values() for row in marker.rows}
    rows = [
        ShardRow(clip_id, "ok", "", tags)
        for clip_id, tags in zip(manifest.clip_ids, tags_of(manifest), strict=True)
        if clip_id not in known
    ]
    free = _free_numbers(markers)
    return [ShardPlan(next(free), tuple(rows[start : start + shard_size])) for start in range(0, len(rows), shard_size)]


def damaged_shards(manifest: HarvestManifest, markers: Mapping[int, Marker], folder: Path) -> list[ShardPlan]:
    """Shards whose arrays are not those of their marker, to be made again with the same clips.

    Raises:
        ValueError: Only some of the clips of such a shard are in the manifest.
    """
    plans, wanted = [], set(manifest.clip_ids)
    for index, marker in markers.items():
        if is_intact(folder, index, marker):
            continue
        others = [row.clip_id for row in marker.rows if row.clip_id not in wanted]
        if not others:
            logger.info("%s: shard %05d is damaged and made again", folder, index)
            plans.append(ShardPlan(index, tuple(ShardRow(row.clip_id, "ok", "", row.tags) for row in marker.rows)))
        elif len(others) == len(marker.rows):
            logger.warning("%s: shard %05d is damaged; harvest the manifest with %s again", folder, index, others[0])
        else:
            raise ValueError(
                f"{folder}: shard {index:05d} is damaged and holds clips that are not in this manifest, such as "
                f"{others[0]}; harvest the manifest it was made from, or take it out with `valor store repair`"
            )
    return plans


def shards_to_mend(
    markers: Mapping[int, Marker],
    paths: Mapping[str, Path | None],
    damaged: Sequence[ShardPlan],
    statuses: Sequence[str],
) -> list[ShardPlan]:
    """Whole shards with clips to be read again: missing ones whose file has come, and others as asked.

    Args:
        markers: Of the shards of this run.
        paths: Files of the clips of the manifest.
        damaged: Shards that are made again anyway.
        statuses: Clips with these are read again if they are in the manifest and have a file.
    """
    plans, anyway = [], {plan.index for plan in damaged}
    for index, marker in markers.items():
        again = frozenset(
            position
            for position, row in enumerate(marker.rows)
            if row.status in statuses and paths.get(row.clip_id) is not None
        )
        if again and index not in anyway:
            plans.append(ShardPlan(index, marker.rows, again))
    return plans


def _free_numbers(markers: Mapping[int, Marker]) -> Iterator[int]:
    """Shard numbers without a marker, ascending."""
    index = 0
    while True:
        if index not in markers:
            yield index
        index += 1
