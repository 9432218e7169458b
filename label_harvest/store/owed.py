"""`owed.json` of a store: clips that a run was asked for and that no run has made yet; of a whole store there is none.

It is there before the first shard of a run, and what has come meanwhile is taken off when the run ends, so that a store
whose harvest was interrupted, or one of whose shares has not run, is never taken for a whole one. A repair owes the
clips that it takes out.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..places.place import Place, stands, write_atomic
from .manifest import composed
from .shards import Marker, is_sealed, known_clips, parse_json, read_markers, sealed
from .share import runs_at_work

logger = logging.getLogger(__name__)

OWED = "owed.json"
VERSION = 1
"""Raised whenever the file says something else."""


@dataclass(frozen=True)
class Unfinished:
    """What a store lacks of the clips that its runs were asked for."""

    folder: Place
    clips: int
    """In its shards."""
    owed: int
    """In none."""
    running: tuple[str, ...]
    """Shares that are at work."""

    @property
    def told(self) -> str:
        """How many clips are there of how many, and what to do about it."""
        begin = f"{self.clips:,} of {self.clips + self.owed:,} clips"
        if self.running:
            return f"{begin}, share {', '.join(self.running[:5])} is at work; wait for the end of the harvest"
        return (
            f"{begin}, the others are in no shard; run the harvest again for these {self.owed:,}, or remove {OWED} "
            "where they are not wanted any more"
        )

    def __str__(self) -> str:
        """The same of which store."""
        return f"{self.folder}: {self.told}"


def read_owed(folder: Place) -> frozenset[str]:
    """Clips that were owed when the file was written, composed; some may be in shards by now.

    Raises:
        ValueError: The file is not as it was written, or of a newer version.
    """
    path = folder / OWED
    if not stands(path):
        return frozenset()
    payload = path.read_bytes()
    content = parse_json(path, payload)
    if isinstance(version := content.get("format"), int) and version > VERSION:
        raise ValueError(f"{path}: written by a newer version of this program ({version}); use that one")
    clips = content.get("clips")
    if not is_sealed(payload) or not isinstance(clips, list):
        raise ValueError(
            f"{path}: the list of clips that are owed is not as it was written; `valor store repair` sets it aside, "
            "and the next harvest makes it anew"
        )
    return frozenset(map(str, clips))


def write_owed(folder: Place, wanted: Iterable[str], markers: Mapping[int, Marker]) -> None:
    """Owe what is wanted beside what was owed before, less what is there; without any the file goes.

    Args:
        folder: The store, whose list lock is held.
        wanted: Clips a run is asked for.
        markers: All that can be read.

    Raises:
        ValueError: As of `read_owed`.
    """
    owed = {*read_owed(folder), *map(composed, wanted)}
    owed.difference_update(composed(clip.clip_id) for clip in known_clips(markers))
    path = folder / OWED
    if not owed:
        path.unlink(missing_ok=True)
        return
    payload = sealed({"format": VERSION, "clips": sorted(owed)})
    if not path.is_file() or path.read_bytes() != payload:
        write_atomic(path, payload)


def unfinished(folder: Place, markers: Mapping[int, Marker] | None = None) -> Unfinished | None:
    """What a store lacks of the clips its runs were asked for; None where it has all, or is older than such lists.

    Args:
        folder: The fingerprint folder.
        markers: Its markers, where they are known.

    Raises:
        ValueError: As of `read_owed`.
    """
    owed = read_owed(folder)
    if not owed:
        return None
    there = {composed(clip.clip_id) for clip in known_clips(read_markers(folder) if markers is None else markers)}
    left = len(owed - there)
    return Unfinished(folder, len(there), left, runs_at_work(folder)[0]) if left else None


def note_unfinished(folder: Place) -> None:
    """Warn, once, where a store that is read lacks clips that its runs were asked for."""
    found = unfinished(folder)
    if found is not None:
        _warn(str(found))


@lru_cache(maxsize=64)
def _warn(said: str) -> None:
    logger.warning("%s", said)
