"""Which clips a store loses with the shards that a repair takes out, and with those that are gone already.

The done-marker of a shard names its clips, and so do its arrays. Where one of them is damaged too, the list of shards
has the digest of the names, which says whether what is left of them is right.
"""

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass

from ..places.place import Place, matching
from ..strict_json import as_text, loads
from .listing import ShardList, listed, lost_numbers
from .shards import Marker, unclaimed_arrays

DAMAGED = "damaged"
"""Folder inside a store where `repair_store` puts shards that cannot be trusted; nothing else reads it."""

_CLIP_ID = re.compile(rb'"clip_id": ("(?:[^"\\]|\\.)*")')
"""Where a marker names a clip, be it JSON any more or not."""


@dataclass(frozen=True)
class Lost:
    """Clips that were in a store and whose evidence is gone."""

    clip_ids: frozenset[str]
    unnamed: tuple[str, ...]
    """Shards whose clips nothing names any more, as messages name them."""


def lost_with(folder: Place, known: ShardList | None, markers: Mapping[int, Marker], taken: Set[int]) -> Lost:
    """The clips of shards that are taken out or gone.

    Args:
        folder: The store, under `write_lock`.
        known: Its list of shards; None where there is none that can be read.
        markers: All that can be read, of the shards that are taken out too.
        taken: Numbers of the shards that are taken out.
    """
    stay = {index: marker for index, marker in markers.items() if index not in taken}
    there = {listed(index, _names(marker)).sha256 for index, marker in stay.items()}
    missing = {one.sha256: one for one in (known.shards if known else ()) if one.sha256 not in there}
    arrays = unclaimed_arrays(folder, stay)
    named = [_names(markers[index]) for index in sorted(taken & markers.keys())]
    left = [*(clips for clips in arrays.values() if clips), *_markers_as_they_are(folder, taken)]
    named += [clips for clips in left if listed(0, clips).sha256 in missing]
    digests = {listed(0, clips).sha256 for clips in named}
    unnamed = [str(one) for digest, one in missing.items() if digest not in digests]
    gone = set(taken) if known else {*taken, *map(int, lost_numbers(folder, None, stay))}
    for index in sorted(gone - markers.keys() - {one.shard for one in missing.values()}):  # no list vouches for them
        if clips := arrays.get(index):
            named.append(clips)
        else:
            unnamed.append(f"{index:05d}")
    return Lost(frozenset(clip for clips in named for clip in clips), tuple(unnamed))


def _names(marker: Marker) -> tuple[str, ...]:
    return tuple(clip.clip_id for clip in marker.clips)


def _markers_as_they_are(folder: Place, taken: Set[int]) -> Iterator[tuple[str, ...]]:
    """The clips that markers name which are damaged, or were set aside by a repair that was killed."""
    for path in [*(folder / f"{index:05d}.json" for index in sorted(taken)), *matching(folder / DAMAGED, "*.json")]:
        with suppress(OSError, ValueError):
            yield tuple(as_text(loads(name), "clip_id") for name in _CLIP_ID.findall(path.read_bytes()))
