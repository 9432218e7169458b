"""`shards.json` of a store: which shards finished runs left, so that one that is gone is missed, marker and all.

It names each shard by its number, the number of its clips and the sha256 of their ids. A shard that is there and not
listed is of a run that was killed or is at work, and counts; one that is listed and not there has been lost. A new
store has an empty list before its first shard, and every marker says that there is one: where a marker does and there
is none, it has been lost. Markers of older versions say nothing of a list: of their stores only a gap in the numbers
tells, and `valor store repair` makes the list.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from ..places.place import Place, stands, write_atomic
from .shards import LIST, Marker, is_sealed, marker_paths, parse_json, read_markers, sealed, unclaimed_arrays

VERSION = 1
"""Raised whenever the list says something else."""
GUARDED = "weights.json"
"""A file that some stores have and others have not; the list says whether."""


@dataclass(frozen=True)
class Listed:
    """One shard of the list."""

    shard: int
    clips: int
    sha256: str
    """Digest of the ids of its clips as JSON."""

    def __str__(self) -> str:
        """The shard, as messages name it."""
        return f"{self.shard:05d} ({self.clips} clips)"


@dataclass(frozen=True)
class ShardList:
    """What `shards.json` says."""

    shards: tuple[Listed, ...]
    files: tuple[str, ...] = ()
    """Files beside the shards that must be there."""


def listed(index: int, clip_ids: Sequence[str]) -> Listed:
    """What the list says of a shard of these clips."""
    digest = hashlib.sha256(json.dumps(list(clip_ids), ensure_ascii=True).encode("ascii")).hexdigest()
    return Listed(index, len(clip_ids), digest)


def read_list(folder: Place) -> ShardList | None:
    """The list of a store; None where there is none.

    Raises:
        ValueError: It is not as it was written, or of a newer version.
    """
    path = folder / LIST
    if not stands(path):
        return None
    payload = path.read_bytes()
    content = parse_json(path, payload)
    if isinstance(version := content.get("format"), int) and version > VERSION:
        raise ValueError(f"{path}: written by a newer version of this program ({version}); use that one")
    try:
        if not is_sealed(payload):
            raise ValueError("its checksum differs")
        return ShardList(tuple(Listed(**entry) for entry in content["shards"]), tuple(content["files"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: the list of shards is not as it was written ({error}); `valor store repair` makes it anew"
        ) from error


def write_list(folder: Place, markers: Mapping[int, Marker], *, anew: bool = False) -> None:
    """Write the list of all shards that are there.

    Args:
        folder: The store, whose list lock is held.
        markers: All that can be read.
        anew: Forget shards that were lost. Without, they stay on the list until a run has made them again.

    Raises:
        ValueError: The list that is there was damaged, and it is not made anew.
    """
    shards = [listed(index, [clip.clip_id for clip in marker.clips]) for index, marker in sorted(markers.items())]
    before = None if anew else read_list(folder)
    digests = {entry.sha256 for entry in shards}
    shards += [entry for entry in (before.shards if before else ()) if entry.sha256 not in digests]
    shards.sort(key=lambda entry: (entry.shard, entry.sha256))
    files = [GUARDED] if (folder / GUARDED).exists() or (before and GUARDED in before.files) else []
    payload = sealed({"format": VERSION, "shards": [asdict(entry) for entry in shards], "files": files})
    if not (folder / LIST).is_file() or (folder / LIST).read_bytes() != payload:
        write_atomic(folder / LIST, payload)


def refuse_gaps(folder: Place) -> ShardList | None:
    """The list of a store all of whose shards have a marker, by their numbers alone.

    Raises:
        ValueError: Some have none; names them.
    """
    known = read_list(folder)
    present = [int(path.stem) for path in marker_paths(folder)]
    missing = lost_numbers(folder, known, present)
    if missing:
        raise ValueError(lost_shards(folder, missing))
    return known


def lost_numbers(folder: Place, known: ShardList | None, present: Iterable[int]) -> list[str]:
    """Shards that should have a marker and have none, as messages name them."""
    there = set(present)
    if known is not None:
        return [str(entry) for entry in known.shards if entry.shard not in there]
    unmarked = {index for index, clips in unclaimed_arrays(folder, dict.fromkeys(there)).items() if clips is not None}
    gaps = set(range(max(there | unmarked, default=-1) + 1)) - there
    return [f"{index:05d}" for index in sorted(gaps)]


def lost_clips(known: ShardList | None, found: Iterable[Listed]) -> list[str]:
    """Shards of the list whose clips are in no shard that was found, as messages name them."""
    digests = {entry.sha256 for entry in found}
    return [str(entry) for entry in (known.shards if known else ()) if entry.sha256 not in digests]


def has_lost_list(folder: Place, markers: Mapping[int, Marker] | None = None) -> bool:
    """Whether the list of a store is gone; stores of older versions, whose markers name none, had none.

    Args:
        folder: The store.
        markers: Its markers, where they are known.
    """
    if stands(folder / LIST):
        return False
    return any(marker.is_listed for marker in (read_markers(folder) if markers is None else markers).values())


def lost_list(folder: Place) -> str:
    """The sentence on a list that is gone."""
    return (
        f"{folder}: its list of shards ({LIST}) is gone, and with it which shards there should be; run the harvest to "
        "its end, or `valor store repair` to go on with what is there"
    )


def lost_shards(folder: Place, missing: Sequence[str]) -> str:
    """The sentence on shards that are gone."""
    return (
        f"{folder}: {len(missing)} shards are gone or have lost their marker, such as {missing[0]}; run the harvest of "
        "their clips again, or `valor store repair` to go on without them"
    )
