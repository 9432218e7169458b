"""What a harvest is given, looked at in one place before a network is built; and what a run would do (`--plan`).

The folder of videos, the store and the room on its disk are all known without the teachers. Whose evidence a store
holds is known in part: classes, grid, decoder, the names of teachers, their prompts, and the weights that are a file.
"""

import errno
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .disk import file_sha256
from .fetch import fetched
from .machine import largest_file, remedy
from .media.clip import CLIP, FAILURES, Grid, MediaError
from .media.decoders import PYAV
from .places.elsewhere import Media
from .places.place import Place, free_bytes, matching, place_of, refuse_unwritable
from .store.manifest import HarvestManifest
from .store.origins import read_origins, refuse_edited
from .store.plan import ShardPlan, check_tags, named_as_in_store, new_shards, replaced_files, shards_to_mend
from .store.shards import KnownClip, Marker, Markers, known_clips, read_json, unclaimed_arrays
from .store.share import WHOLE, Share, write_lock
from .store.store import decoder_of, differences, length_of, refuse_reading
from .store.tars import TarIndex
from .store.videos import Videos, files_of_no_clip, find_clips, roots_of, some_names

CHANGED = "changed"
"""Asks for the clips whose file has another size now than when it was read."""
_MOST_HEADERS = 200
"""Files whose headers are read for a plan; of more, so many are taken at even distances."""


@dataclass(frozen=True, kw_only=True)
class KnownStore:
    """What is known of a store before its teachers are loaded."""

    class_names: tuple[str, ...]
    grid: Grid
    """Its sample rate is that of the teachers and not looked at."""
    teachers: Mapping[str, Mapping[str, Any]]
    """By role, the part of each identity that is known."""
    decoder: str = PYAV
    audio_track: str | None = None
    length: str = CLIP
    weight_files: Mapping[str, Path] = field(default_factory=dict)
    """By role, weights that were given as a file."""
    own_files: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    """By role of teachers of one's own, the file and its sha256; left out where another version of it is allowed."""
    clip_bytes: int | None = None
    """What a clip takes; None where that depends on networks nobody has loaded."""

    def unlike(self, folder: Place) -> list[str]:
        """Where a fingerprint folder is of another store than this, as far as that is known."""
        found = read_json(folder / "manifest.json")
        grid = {name: value for name, value in asdict(self.grid).items() if name != "sample_rate"}
        told = differences(found.get("class_names"), list(self.class_names), ".class_names")
        told += differences({name: found.get("grid", {}).get(name) for name in grid}, grid, ".grid")
        told += differences(decoder_of(found), self.decoder, ".decoder")
        told += differences(found.get("audio_track"), self.audio_track and self.audio_track.lower(), ".audio_track")
        told += differences(length_of(found), self.length, ".length")
        theirs = found.get("teachers", {})
        told += differences(sorted(theirs), sorted(self.teachers), ".teachers")
        for role, known in self.teachers.items():
            held = {name: theirs.get(role, {}).get(name) for name in known}
            told += differences(held, known, f".teachers.{role}")
        return told or self._other_weights(folder, theirs)

    @property
    def reading(self) -> dict[str, str]:
        """How clips are read, as a manifest says it."""
        track = {"audio_track": self.audio_track.lower()} if self.audio_track else {}
        return {"decoder": self.decoder, "length": self.length, **track}

    def _other_weights(self, folder: Place, theirs: Mapping[str, Any]) -> list[str]:
        noted: dict[str, dict[str, str]] = {}
        with suppress(ValueError):  # verify says what is wrong with it
            noted = read_origins(folder)
        told = []
        for role, path in self.weight_files.items():
            known = {noted.get(role, {}).get("file_sha256"), theirs.get(role, {}).get("weights")} - {None}
            if role in noted and file_sha256(path) not in known:
                told.append(f"teachers.{role} has other weights than {path}")
        return told


def check_inputs(
    manifest: HarvestManifest,
    videos: Videos,
    store: str | Place,
    known: KnownStore,
    *,
    share: Share = WHOLE,
    shard_size: int = 1,
) -> dict[str, Media | None]:
    """Look at all that a harvest needs but its teachers.

    Nothing is written, but for a trace in an object store, and beside the store what the tars of one hold.

    Args:
        manifest: The clips.
        videos: Folder of their files.
        store: Folder of the store.
        known: What the store will say of itself.
        share: Of the run.
        shard_size: Clips of a new shard.

    Returns:
        The file of each clip, see `find_clips`.

    Raises:
        ValueError: The videos cannot be listed or hold no clip of the manifest, the store cannot be written, is of
            others or is being written, or there is too little room for it.
    """
    folders = _folders_of(place_of(store), known)
    _check_shard(manifest, place_of(store), known, shard_size)
    refuse_unwritable(place_of(store), probe=True)
    media = find_clips(videos, manifest.clip_ids, manifest.paths, tars=TarIndex(store, keep=True))
    if not any(media.values()) and not any(_clips_held(folder, manifest) for folder in folders):
        raise ValueError(_none_found(videos, manifest))
    for folder in folders:
        with write_lock(folder, share):
            pass
    _check_room(manifest, place_of(store), known, share, folders)
    return media


def clips_there(store: str | Place) -> dict[str, int | None]:
    """The clips of a store, whoever judged them, each with the bytes its file had; none where there is no store yet."""
    place, found = place_of(store), dict[str, int | None]()
    for path in (place / "manifest.json", *matching(place, "*/manifest.json")):
        with suppress(ValueError):  # of a damaged one, whose readers will say what is wrong with it
            found |= {row.clip_id: row.file_bytes for row in known_clips(Markers(path.parent).read())}
    return found


def _folders_of(store: Place, known: KnownStore) -> list[Place]:
    """The folders of a store in which the run may go on, by all that is known; where it cannot be written, says so."""
    refuse_unwritable(store)
    if (store / "manifest.json").is_file():
        if told := known.unlike(store):
            raise ValueError(
                f"{store}: holds evidence of other teachers than this run has: {'; '.join(told[:3])}; give the folder "
                "above it"
            )
        return [store]
    found = list[Place]()
    for path in matching(store, "*/manifest.json"):
        with suppress(ValueError):  # of others, whose readers will say what is wrong with it
            found += [] if known.unlike(path.parent) else [path.parent]
    return found


def _refuse_other_reading(store: Place, known: KnownStore) -> None:
    """Refuse to begin beside evidence that was read otherwise and is alike in all else that is known."""
    for path in matching(store, "*/manifest.json"):
        try:
            found = read_json(path)
            track, length = found.get("audio_track"), length_of(found)
            alike = not replace(known, decoder=decoder_of(found), audio_track=track, length=length).unlike(path.parent)
        except ValueError:  # of others, whose readers will say what is wrong with it
            continue
        if alike:
            refuse_reading(path.parent, found, known.reading)


def _clips_held(folder: Place, manifest: HarvestManifest) -> int:
    """How many clips of a manifest a fingerprint folder has."""
    markers = Markers(folder).read()
    wanted = set(named_as_in_store(manifest, markers).clip_ids)
    return sum(clip.clip_id in wanted for clip in known_clips(markers))


def _none_found(videos: Videos, manifest: HarvestManifest) -> str:
    names, where = some_names(videos), ", ".join(map(str, roots_of(videos)))
    held = f"names there are {', '.join(names)}" if names else "it is empty"
    such, path = f"{manifest.clip_ids[0]}.*", manifest.paths[0]
    return (
        f"{where}: none of the {len(manifest.clip_ids):,} clips of the manifest is in this folder, such as "
        f"{path or such}; {held}; give the folder {'its paths begin in' if path else 'whose files are named like them'}"
    )


def _check_shard(manifest: HarvestManifest, store: Place, known: KnownStore, shard_size: int) -> None:
    """Refuse shards that are larger than a file this process may write."""
    limit, clips = largest_file(), min(shard_size, len(manifest.clip_ids))
    if limit is not None and known.clip_bytes is not None and clips * known.clip_bytes > limit:
        raise ValueError(
            f"{store}: a shard of {clips:,} clips takes about {gigabytes(clips * known.clip_bytes)}, and this process "
            f"may write files of {gigabytes(limit)} at most; {remedy(errno.EFBIG)}, or give a smaller `shard_size`"
        )


def _check_room(
    manifest: HarvestManifest, store: Place, known: KnownStore, share: Share, folders: Sequence[Place]
) -> None:
    """Refuse a run whose evidence the disk will not hold; what is there already is looked up where that decides."""
    if known.clip_bytes is None:
        return
    clips = len(manifest.clip_ids) / share.count
    free = free_bytes(store)
    if free is None or clips * known.clip_bytes <= free:
        return
    held = max((_clips_held(folder, manifest) for folder in folders), default=0)
    need = max(0.0, clips - held / share.count) * known.clip_bytes
    if need > free:
        raise ValueError(
            f"{store}: the evidence of {clips - held / share.count:,.0f} clips takes about {gigabytes(need)} "
            f"({known.clip_bytes / 1e3:.1f} kB a clip), and {gigabytes(free)} are free; make room, give another "
            "`store`, or harvest a shorter table first"
        )


def gigabytes(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e7 else f"{count / 1e6:,.2f} MB"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which shards a run makes."""

    shard_size: int
    """Clips of a new one."""
    retry: tuple[str, ...] = ()
    """Statuses of the clips that are read again; `CHANGED` for those whose file was replaced."""
    share: Share = WHOLE

    def shards(
        self,
        manifest: HarvestManifest,
        folder: Place,
        markers: Mapping[int, Marker],
        media: Mapping[str, Media | None],
        *,
        damaged: Sequence[ShardPlan] = (),
        replaced: Sequence[KnownClip] = (),
    ) -> list[ShardPlan]:
        """The shards, in the order of their numbers.

        Args:
            manifest: The clips.
            folder: The fingerprint folder.
            markers: Of all its shards.
            media: The file of each clip.
            damaged: Shards that are made again anyway.
            replaced: Clips whose file was replaced.
        """
        mine = {index: marker for index, marker in markers.items() if self.share.holds(index)}
        changed = frozenset(row.clip_id for row in replaced) if CHANGED in self.retry else frozenset[str]()
        mended = shards_to_mend(mine, media, damaged, ("missing", *self.retry), changed)
        new = new_shards(manifest, markers, self.shard_size, unclaimed_arrays(folder, markers))
        plans = [*damaged, *mended, *(plan for plan in new if self.share.holds(plan.index))]
        return sorted(plans, key=lambda plan: plan.index)


SUCH = 5
"""Names that stand for all."""


@dataclass(frozen=True, kw_only=True)
class HarvestPlan:
    """What a run of this share would do."""

    share: Share
    clips: int
    """Clips of the whole manifest."""
    folder: Place | None
    """The fingerprint folder the run goes on in; None of a new one."""
    alike: int
    """Folders that cannot be told from it before the weights are read."""
    others: Mapping[Place, Mapping[str, str]]
    """Folders of the store with evidence of other teachers, and by role the name of each of these."""
    kept: Mapping[str, int]
    """Clips of the share that stay as they are in the store, by status."""
    again: int
    """Clips that are in the store and are read again."""
    new: int
    """Clips that are in no store, those without a file among them."""
    missing: tuple[str, ...]
    """Clips without a file, in the store or not."""
    strangers: tuple[str, ...]
    """Media files, on a disk, that are of no clip."""
    shards: int
    """Files of arrays that are written."""
    media_seconds: float | None
    """Of the files to be read, as their headers say or as those looked at let expect; None where none says."""
    headers: int
    """Files whose header was looked at."""
    longer: int
    """How many of these go on behind the grid, where nothing is read."""
    read_seconds: float
    """What is read of them at most: what the grid holds, or all."""
    clip_bytes: float | None
    """What a clip takes: of finished shards, else as the teachers' names say; None where neither is known."""
    free: int | None
    """Bytes on the disk of the store."""

    @property
    def lacking(self) -> float:
        """Bytes by which the disk is too small for what would be written; 0 where it is not, or that is not known."""
        if self.clip_bytes is None or self.free is None:
            return 0.0
        return max(0.0, self.new * self.clip_bytes - self.free)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it: clips, seconds and bytes."""
        known, media = self.clip_bytes is not None, self.media_seconds
        return {
            "share": str(self.share),
            "clips": self.clips,
            "of_share": self.of_share,
            "folder": None if self.folder is None else str(self.folder),
            "alike": self.alike,
            "others": {str(folder): dict(teachers) for folder, teachers in self.others.items()},
            "there": sum(self.kept.values()),
            "by_status": dict(self.kept),
            "to_do": self.new + self.again,
            "again": self.again,
            "missing": list(self.missing),
            "strangers": {"files": len(self.strangers), "such_as": list(self.strangers[:SUCH])},
            "media_seconds": media,
            "read_seconds": None if media is None else min(self.read_seconds, media),
            "headers": self.headers,
            "longer": self.longer,
            "clip_bytes": self.clip_bytes,
            "bytes": self.new * (self.clip_bytes or 0) if known else None,
            "free_bytes": self.free,
            "lacking_bytes": self.lacking,
            "shards": self.shards,
        }

    @property
    def of_share(self) -> int:
        """Clips of the share, in the store or not."""
        return self.new + self.again + sum(self.kept.values())

    @property
    def failures(self) -> int:
        """Clips that would count as failures if all files can be read: those without one, and failed ones that stay."""
        stay = sum(count for status, count in self.kept.items() if status in FAILURES and status != "missing")
        return len(self.missing) + stay


def plan_harvest(
    manifest: HarvestManifest, videos: Videos, store: str | Place, known: KnownStore, scope: Scope
) -> HarvestPlan:
    """What a run would do; nothing is loaded and nothing is written. Whether shards are whole is not looked at.

    Raises:
        ValueError: The videos or the store cannot be used, see `check_inputs`; but no video need be there yet. The
            store holds a clip with other tags, or what was read otherwise by the same teachers, or judged by another
            version of a file of one's own, as far as is known.
    """
    share = scope.share
    _check_shard(manifest, place_of(store), known, scope.shard_size)
    _refuse_other_reading(place_of(store), known)
    held = {folder: Markers(folder).read() for folder in _folders_of(place_of(store), known)}

    def ours(folder: Place) -> int:
        here = set(named_as_in_store(manifest, held[folder]).clip_ids)
        return sum(row.clip_id in here for row in known_clips(held[folder]))

    folder = max(held, key=ours, default=None)
    markers = held[folder] if folder else {}
    manifest = named_as_in_store(manifest, markers)
    if folder and len(held) == 1:
        check_tags(manifest, markers)
        refuse_edited(folder, known.own_files, markers)
    wanted = set(manifest.clip_ids)
    tars = TarIndex(store)
    media = find_clips(videos, manifest.clip_ids, manifest.paths, tars=tars)
    replaced = replaced_files(markers, media) if CHANGED in scope.retry else []
    plans = scope.shards(manifest, folder or place_of(store), markers, media, replaced=replaced)
    again = {plan.rows[n].clip_id for plan in plans if plan.again is not None for n in plan.again}
    new = [row.clip_id for plan in plans if plan.again is None for row in plan.rows]
    mine = [row for n, marker in markers.items() if share.holds(n) for row in marker.clips if row.clip_id in wanted]
    kept = Counter(row.status for row in mine if row.clip_id not in again)
    lost = [row.clip_id for row in mine if row.status == "missing" and row.clip_id not in again]
    files = [path for clip_id in (*sorted(again), *new) if (path := media.get(clip_id)) is not None]
    seconds, headers, longer = _media_seconds(files, known.grid)
    clips = sum(len(marker.clips) for marker in markers.values())
    measured = sum(marker.num_bytes for marker in markers.values()) / clips if clips else None
    return HarvestPlan(
        share=share,
        clips=len(manifest.clip_ids),
        folder=folder,
        alike=max(0, len(held) - 1),
        others=_others(place_of(store), held),
        kept=dict(kept.most_common()),
        again=len(again),
        new=len(new),
        missing=(*(clip_id for clip_id in new if media[clip_id] is None), *lost),
        strangers=files_of_no_clip([root for root in roots_of(videos) if isinstance(root, Path)], media, tars=tars),
        shards=len(plans),
        media_seconds=seconds,
        headers=headers,
        longer=longer if known.length == CLIP else 0,
        read_seconds=len(files) * known.grid.seconds if known.length == CLIP else math.inf,
        clip_bytes=measured or known.clip_bytes,
        free=free_bytes(place_of(store)),
    )


def _others(store: Place, ours: Collection[Place]) -> dict[Place, dict[str, str]]:
    """Fingerprint folders of a store but ours, and the names of their teachers by role."""
    found = dict[Place, dict[str, str]]()
    for path in matching(store, "*/manifest.json"):
        if path.parent not in ours:
            with suppress(ValueError):  # of others, whose readers will say what is wrong with it
                teachers = read_json(path).get("teachers", {})
                found[path.parent] = {role: str(one.get("teacher")) for role, one in sorted(teachers.items())}
    return found


def _media_seconds(files: Sequence[Media], grid: Grid) -> tuple[float | None, int, int]:
    """(seconds of all files, headers looked at, how many of these are longer than the grid)."""
    from .media.promised import header_seconds

    step = max(1, -(-len(files) // _MOST_HEADERS))
    looked, found = files[::step], []
    for one in looked:
        with suppress(MediaError), fetched(one) as path:
            if (seconds := header_seconds(path)) is not None:
                found.append(seconds)
    longer = sum(seconds > grid.seconds + grid.tolerance_seconds for seconds in found)
    return (sum(found) / len(found) * len(files) if found else None), len(looked), longer
