"""Which clips of a listing are train, val and test: as a column says, or drawn source by source.

A draw goes by a hash of the name of the source, so that a source stays where it is as others come and go. Then, class
by class, the rarest first, a source of train moves to val where val has none of the class and train has others of all
its classes: an epoch is chosen on every class that can be had.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .listing import SPLITS, ListedClip, names_by_frequency, refuse_split_sources

SHARES = "80,10,10"
"""Percent of the sources that go into train, val and test, where no column says it."""

_SEEDS = 1_000
"""So many draws are looked at for one that leaves no split empty."""
_NAMED = 10
"""Classes named in a note."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How splits are drawn where no column says them."""

    shares: str | None
    """Percent of train, val and test; None for SHARES."""
    seed: int
    group_by: str
    """What a source is, see `ListedClip.source`."""


def splits_of(clips: Sequence[ListedClip], drawing: Drawing, *, scored_alone: bool = False) -> tuple[str, ...]:
    """The split of each clip: as the table says, or drawn as the top of this file says.

    Args:
        clips: The rows of the table.
        drawing: How to draw.
        scored_alone: Whether clips may be of no train, since there is truth to score others' answers by.

    Raises:
        ValueError: A split would be empty, or clips of one source are in several.
    """
    said = clips[0].split != ""
    if said and drawing.shares is not None:
        raise ValueError(f"{clips[0].where}: the table has a column split; leave `split` out, or take the column away")
    if said:
        splits = tuple(clip.split for clip in clips)
        if "train" not in splits and not scored_alone:
            raise ValueError(
                f"{clips[0].where}: no clip is in train, here and below; put some there, or give their truth as `rows` "
                "to score parses of these clips"
            )
        refuse_split_sources(clips, splits, drawing.group_by)
        return splits
    shares = _shares(drawing.shares or SHARES)
    sources = [clip.source(drawing.group_by) for clip in clips]
    wanted = {split for split, share in zip(SPLITS, shares, strict=True) if share}

    def drawn(seed: int) -> dict[str, float]:
        return {source: _place(source, seed) for source in set(sources)}

    places = drawn(drawing.seed)
    found = {source: _split_at(place, shares) for source, place in places.items()}
    if empty := sorted(wanted - set(found.values())):
        better = next((n for n in range(_SEEDS) if wanted == {_split_at(p, shares) for p in drawn(n).values()}), None)
        hint = "give more clips" if better is None else f"draw with seed={better}"
        raise ValueError(
            f"{len(places)} sources are few: the draw leaves {' and '.join(empty)} without a clip; {hint}, or say it "
            "in a column split"
        )
    if "val" in wanted:
        tags = defaultdict[str, set[str]](set)
        for clip, source in zip(clips, sources, strict=True):
            tags[source].update(clip.tags)
        _give_val_all_classes(found, tags, places, names_by_frequency(clips))
    return tuple(found[source] for source in sources)


def _give_val_all_classes(
    found: dict[str, str], tags: Mapping[str, set[str]], places: Mapping[str, float], names: Sequence[str]
) -> None:
    """Move sources of train to val, see the top of this file: of several what val lacks most, then the nearest."""
    for name in reversed(names):
        held = {
            split: [s for s, its in found.items() if its == split and name in tags[s]] for split in ("train", "val")
        }
        if held["val"] or len(held["train"]) < 2:
            continue
        seen = set().union(*(tags[source] for source, split in found.items() if split == "val"))
        learned = [tags[source] for source, split in found.items() if split == "train"]
        alone = {one for one in names if sum(one in of for of in learned) == 1}
        if free := [source for source in held["train"] if not tags[source] & alone]:
            found[max(free, key=lambda source: (len(tags[source] - seen), places[source], source))] = "val"


def untaught(clips: Sequence[ListedClip], splits: Sequence[str], drawing: Drawing) -> list[str]:
    """What to say of classes of train that no clip of val, or of test, is tagged with: a sentence a split."""
    tagged = defaultdict[str, set[str]](set)
    sources = defaultdict[str, set[str]](set)
    for clip, split in zip(clips, splits, strict=True):
        tagged[split].update(clip.tags)
        for tag in clip.tags:
            sources[tag].add(clip.source(drawing.group_by))
    notes = []
    for split in ("val", "test"):
        lacking = [name for name in names_by_frequency(clips) if name in tagged["train"] - tagged[split]]
        if split not in splits or not lacking:
            continue
        single = [name for name in lacking if len(sources[name]) == 1]
        drawn = "" if clips[0].split else ", or draw with another seed"
        of_one = f" ({', '.join(single[:_NAMED])}: of one source alone)" if single else ""
        what = "the epoch is chosen without them" if split == "val" else "no score says how well they are found"
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        notes.append(
            f"no clip of {split} is tagged with {', '.join(lacking[:_NAMED])}{more}, so {what}{of_one}; add clips of "
            f"other sources with them, put some into {split} in a column split{drawn}"
        )
    return notes


def _shares(percent: str) -> list[float]:
    try:
        shares = [float(part) for part in percent.split(",")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or min(shares) < 0 or not shares[0] or sum(shares) != 100:
        raise ValueError(
            f"split must be three percentages of {', '.join(SPLITS)} that make 100, such as {SHARES}, got {percent!r}"
        )
    return shares


def _place(source: str, seed: int) -> float:
    """Where the hash of a source lies, from 0 to 100."""
    digest = hashlib.sha256(f"{seed}:{source}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 * 100


def _split_at(place: float, shares: Sequence[float]) -> str:
    return SPLITS[int(np.searchsorted(np.cumsum(shares), place, side="right"))]
