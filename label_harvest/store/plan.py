"""What a run has to do: which clips go into which shard, and which shards are made again; the same for every run.

Clips that are in no shard yet are cut, in manifest order, into shards of one size, which take the free numbers from
below. So a run that was killed, and the runs of all shares of a manifest, in whatever order they come, number their
shards as one undisturbed run does. Arrays that are there without a marker keep their number for the clips they are of.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from ..places.elsewhere import Media, media_bytes
from ..places.place import Place
from .manifest import HarvestManifest, composed
from .shards import KnownClip, Marker, ModalityTags, damaged_numbers, known_clips

logger = logging.getLogger(__name__)

UNREAD = ("undecodable", "timeout", "unjudged", "missing")
"""Statuses of a clip of which there is no evidence; another attempt may find more."""


@dataclass(frozen=True)
class ShardPlan:
    """A shard that a run has to make."""

    index: int
    rows: tuple[KnownClip, ...]
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


def named_as_in_store(manifest: HarvestManifest, markers: Mapping[int, Marker]) -> HarvestManifest:
    """The manifest with its clips spelled as the store spells them: the same letters may be composed or not."""
    spelled = {composed(row.clip_id): row.clip_id for row in known_clips(markers) if not row.clip_id.isascii()}
    return replace(manifest, clip_ids=tuple(spelled.get(composed(name), name) for name in manifest.clip_ids))


def check_tags(manifest: HarvestManifest, markers: Mapping[int, Marker]) -> None:
    """Refuse a manifest that says something else of a clip than the store.

    Raises:
        ValueError: A clip is in the store with other tags.
    """
    tags = zip(tags_of(manifest), modality_tags_of(manifest), strict=True)
    wanted = dict(zip(manifest.clip_ids, tags, strict=True))
    changed = [
        f"{row.clip_id} (store {told_tags(row.tags, row.modality_tags)}; manifest {told_tags(*wanted[row.clip_id])})"
        for row in known_clips(markers)
        if wanted.get(row.clip_id, own := (row.tags, row.modality_tags)) != own
    ]
    if changed:
        raise ValueError(
            f"the store holds {len(changed)} clips with other tags, such as {changed[0]}; "
            "mend the manifest or harvest into another store"
        )


def told_tags(tags: tuple[str, ...], by_modality: ModalityTags | None) -> str:
    """Tags in words, and what is heard and seen of them, where that is said."""
    return ",".join(tags) + (
        "" if by_modality is None else f" heard {','.join(by_modality[0])} seen {','.join(by_modality[1])}"
    )


def tags_of(manifest: HarvestManifest) -> list[tuple[str, ...]]:
    """The tags of each clip; of clips with the same tags, the same tuple."""
    return _names_of(manifest.weak_labels, manifest.class_names)


def modality_tags_of(manifest: HarvestManifest) -> list[ModalityTags] | list[None]:
    """The tags of each clip that are heard, and those that are seen; None of each where nobody says it."""
    if manifest.modality_tags is None:
        return [None] * len(manifest.clip_ids)
    heard, seen = (_names_of(manifest.modality_tags[:, m], manifest.class_names) for m in (0, 1))
    return list(zip(heard, seen, strict=True))


def _names_of(labels: np.ndarray, names: Sequence[str]) -> list[tuple[str, ...]]:
    found = {
        row.tobytes(): tuple(names[index] for index in np.flatnonzero(row).tolist())
        for row in np.unique(labels, axis=0)
    }
    return [found[row.tobytes()] for row in labels]


def new_shards(
    manifest: HarvestManifest,
    markers: Mapping[int, Marker],
    shard_size: int,
    unclaimed: Mapping[int, tuple[str, ...] | None] | None = None,
) -> list[ShardPlan]:
    """Shards for the clips that are in none.

    Args:
        manifest: The clips.
        markers: Of the shards that are there.
        shard_size: Clips of a shard.
        unclaimed: Arrays without a marker, see `unclaimed_arrays`; a shard of the same clips takes their number, and no
            other does.
    """
    unclaimed = unclaimed or {}
    known = {row.clip_id for row in known_clips(markers)}
    rows = [
        KnownClip(clip_id, "ok", "", tags, modality_tags=by_modality)
        for clip_id, tags, by_modality in zip(
            manifest.clip_ids, tags_of(manifest), modality_tags_of(manifest), strict=True
        )
        if clip_id not in known
    ]
    cuts = [tuple(rows[start : start + shard_size]) for start in range(0, len(rows), shard_size)]
    kept = {clip_ids: index for index, clip_ids in unclaimed.items()}
    numbers = [kept.get(tuple(row.clip_id for row in cut)) for cut in cuts] if kept else [None] * len(cuts)
    free = (index for index in count() if index not in markers and index not in unclaimed)
    plans = [
        ShardPlan(next(free) if number is None else number, cut) for number, cut in zip(numbers, cuts, strict=True)
    ]
    for index in sorted(set(unclaimed).difference(numbers)):
        logger.warning(
            "shard %05d has arrays without a done-marker, of other clips; they stay as they are and do not count", index
        )
    return plans


def damaged_shards(manifest: HarvestManifest, markers: Mapping[int, Marker], folder: Place) -> list[ShardPlan]:
    """Shards whose arrays are not those of their marker, to be made again with the same clips.

    Raises:
        ValueError: Only some of the clips of such a shard are in the manifest.
    """
    plans, wanted = [], set(manifest.clip_ids)
    for index in damaged_numbers(folder, markers):
        marker = markers[index]
        others = [row.clip_id for row in marker.clips if row.clip_id not in wanted]
        if not others:
            logger.info("%s: shard %05d is damaged and made again", folder, index)
            again = (
                KnownClip(row.clip_id, "ok", "", row.tags, modality_tags=row.modality_tags) for row in marker.clips
            )
            plans.append(ShardPlan(index, tuple(again)))
        elif len(others) == len(marker.clips):
            logger.warning("%s: shard %05d is damaged; harvest the manifest with %s again", folder, index, others[0])
        else:
            raise ValueError(
                f"{folder}: shard {index:05d} is damaged and holds clips that are not in this manifest, such as "
                f"{others[0]}; harvest the manifest it was made from, or take it out with `valor store repair`"
            )
    return plans


def shards_to_mend(
    markers: Mapping[int, Marker],
    paths: Mapping[str, Media | None],
    damaged: Sequence[ShardPlan],
    statuses: Sequence[str],
    clip_ids: Set[str] = frozenset(),
) -> list[ShardPlan]:
    """Whole shards with clips to be read again: missing ones whose file has come, and others as asked.

    Args:
        markers: Of the shards of this run.
        paths: Files of the clips of the manifest.
        damaged: Shards that are made again anyway.
        statuses: Clips with these are read again if they are in the manifest and have a file.
        clip_ids: These are, whatever their status.
    """
    plans, anyway = [], {plan.index for plan in damaged}
    for index, marker in markers.items():
        again = frozenset(
            position
            for position, row in enumerate(marker.clips)
            if (row.status in statuses or row.clip_id in clip_ids) and paths.get(row.clip_id) is not None
        )
        if again and index not in anyway:
            plans.append(ShardPlan(index, marker.clips, again))
    return plans


def replaced_files(markers: Mapping[int, Marker], paths: Mapping[str, Media | None]) -> list[KnownClip]:
    """Clips whose file has another size now than when it was read; of those without a file nothing is said.

    Args:
        markers: Of the shards of this run.
        paths: Files of the clips of the manifest.
    """
    replaced = []
    for row in known_clips(markers):
        media = paths.get(row.clip_id)
        size = None if media is None or row.file_bytes is None else media_bytes(media)
        if size is not None and size != row.file_bytes:
            replaced.append(row)
    return replaced
