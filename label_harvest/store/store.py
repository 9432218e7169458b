"""The evidence format as readers see it: shards of clips under a fingerprint of everything that changes their bytes.

    STORE/<first 12 digits of the fingerprint>/
        manifest.json        class names, grid, teacher identities, decoder (where it is not pyav), audio track (where
                             one was chosen), fingerprint
        00000.safetensors    arrays "<role>.similarity" float32 [n, T, C] and "<role>.<feature>" float16 [n, rows, D]
        00000.json           done-marker, written last: one row per clip (status, tags, ...), sha256 of the shard
        failures.csv         every clip whose status is a failure
        shards.json          which shards there are, so that a lost one is missed
        owed.json            clips that no run has made yet; of a whole store there is none

Absent evidence is NaN, never zero. A shard without a marker, or whose bytes differ from the marker, does not count.
Thresholds are no part of it: they apply when labels are read. Only numpy and safetensors are needed to read it
(docs/store.md). Names that begin with a dot are locks and work under way. `shards.py` writes shards and markers.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..did_you_mean import did_you_mean
from ..media.clip import CLIP
from ..media.decoders import PYAV
from ..places.place import Place, each, matching, place_of, sync_folder, write_atomic
from .listing import has_lost_list, listed, lost_clips, lost_list, lost_shards, refuse_gaps, write_list
from .manifest import MODALITIES, composed
from .owed import note_unfinished
from .shards import (
    FORMAT_VERSION,
    LIST,
    KnownClip,
    ShardRow,
    clip_slices,
    held_arrays,
    marker_paths,
    read_json,
    read_shard,
    to_json,
)
from .share import list_lock

logger = logging.getLogger(__name__)

_AT_ONCE = 8
"""Shards of an object store whose arrays are read at the same time: their memory, where a store is larger than it."""


@dataclass(frozen=True)
class EvidenceStore:
    """Cached evidence of one pair of teachers for N clips."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    weak_labels: np.ndarray
    """bool [N, C], the tags of each clip."""
    statuses: tuple[str, ...]
    messages: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    """By name "<role>.<feature>", [N, ...]; NaN where evidence is absent. Those that were asked for."""
    manifest: dict[str, Any]
    held: tuple[str, ...] = ()
    """Names of all arrays there are, read or not."""
    segments: np.ndarray | None = None
    """int64 [N], how many segments each clip has; what lies behind is NaN. None where all have those of the grid."""
    modality_tags: np.ndarray | None = None
    """bool [N, M, C], those of the tags that are heard and that are seen; None where no clip says it. Of clips that do
    not, in a store where others do, all tags are both."""

    def __post_init__(self) -> None:
        """Compose the names of the clips; the store keeps them as they were given."""
        object.__setattr__(self, "clip_ids", tuple(map(composed, self.clip_ids)))

    @property
    def valid(self) -> np.ndarray | None:
        """Bool [N, T], the segments that are there; None where all are."""
        if self.segments is None:
            return None
        valid: np.ndarray = np.arange(self.segments.max(initial=1)) < self.segments[:, None]
        return valid

    def tags_of(self, modality: str) -> np.ndarray:
        """Bool [N, C], the tags of each clip in a modality: all of them, where nobody says it."""
        if self.modality_tags is None:
            return self.weak_labels
        tags: np.ndarray = self.modality_tags[:, MODALITIES.index(modality)]
        return tags

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the teachers that made this store."""
        return tuple(sorted(self.manifest["teachers"]))

    def logits(self, role: str) -> np.ndarray:
        """float32 [N, T, C], logit scale * cosine + logit bias of one teacher; NaN where evidence is absent.

        Raises:
            ValueError: The store has no such teacher, or its similarity was not among the arrays read.
        """
        if role not in self.manifest["teachers"] or f"{role}.similarity" not in self.arrays:
            raise ValueError(
                f"role must be one of {', '.join(self.roles)} with its similarity read, got {role!r}"
                f"{did_you_mean(role, self.roles)}"
            )
        identity = self.manifest["teachers"][role]
        scale, bias = np.float32(identity["logit_scale"]), np.float32(identity["logit_bias"])
        return scale * self.arrays[f"{role}.similarity"] + bias


class NoStoreError(ValueError):
    """There is no store at a place, yet or any more."""


class AbsentArraysError(ValueError):
    """Arrays were asked for that no shard holds."""

    def __init__(self, message: str, held: tuple[str, ...]) -> None:
        """Say it.

        Args:
            message: What is absent.
            held: Names of the arrays that there are.
        """
        super().__init__(message)
        self.held = held


def fingerprint(description: Mapping[str, object]) -> str:
    """sha256 of the sorted JSON of everything that changes the bytes of the evidence."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def describe(
    class_names: Sequence[str],
    grid: Mapping[str, object],
    teachers: Mapping[str, Mapping[str, Any]],
    *,
    decoder: str | None = None,
    audio_track: str | None = None,
    length: str = CLIP,
) -> dict[str, Any]:
    """The manifest of a store: what the fingerprint covers, and the fingerprint itself.

    Args:
        class_names: In the order of the class axis.
        grid: The segment grid as JSON values.
        teachers: Identity of each teacher by role; one that judges holds `logit_scale`, `logit_bias` and one prompt per
            class, a feature extractor holds none of these.
        decoder: Name of the library that decodes; `pyav` is not written down, as in stores older than the choice.
        audio_track: Which audio track is heard; None, for the best one, is not written down either.
        length: How much of a clip is read; `clip` is not written down either.

    Raises:
        ValueError: There is no teacher, or one has other than one prompt per class.
    """
    if not teachers:
        raise ValueError("a store needs at least one teacher, got none; pass a visual, an audio or a fused one")
    for role, identity in teachers.items():
        if "prompts" in identity and len(identity["prompts"]) != len(class_names):
            raise ValueError(
                f"the {role} teacher must have one prompt per class, "
                f"got {len(identity['prompts'])} prompts for {len(class_names)} classes"
            )
    covered = {
        "format": FORMAT_VERSION,
        "class_names": list(class_names),
        "grid": dict(grid),
        "teachers": {role: dict(identity) for role, identity in teachers.items()},
    }
    choices = {
        "decoder": None if decoder == PYAV else decoder,
        "audio_track": audio_track,
        "length": None if length == CLIP else length,
    }
    covered |= {name: choice for name, choice in choices.items() if choice is not None}
    return {**covered, "fingerprint": fingerprint(covered)}


def decoder_of(manifest: Mapping[str, object]) -> str:
    """Name of the library that decoded the clips of a store."""
    return str(manifest.get("decoder", PYAV))


def length_of(manifest: Mapping[str, object]) -> str:
    """How much of the clips of a store was read, one of `LENGTHS`; but for `clip` they have any number of segments."""
    return str(manifest.get("length", CLIP))


def track_of(manifest: Mapping[str, object]) -> str:
    """Which audio track of the clips of a store was heard, in words."""
    return str(manifest.get("audio_track", "the best"))


def open_store(root: str | Place, manifest: dict[str, Any]) -> Place:
    """Make (or find) the folder of this fingerprint and its `manifest.json`.

    Raises:
        ValueError: The root is no folder that can be written, the folder holds another manifest, or the root holds
            what another decoder, audio track or length gave of the same teachers, classes and grid.
    """
    root = place_of(root)
    inside = (root / "manifest.json").is_file()
    folder = root if inside else root / manifest["fingerprint"][:12]
    _refuse_other_reading(root, manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "manifest.json").exists():
            _warn_of_others(root)
            write_atomic(folder / "manifest.json", to_json(manifest))
            sync_folder(root)
            with list_lock(folder):
                if not (folder / LIST).is_file() and not marker_paths(folder):
                    write_list(folder, {})
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{root}: the store cannot be written ({reason}); give another folder") from error
    found = read_json(folder / "manifest.json")
    if found != json.loads(to_json(manifest)):
        told = "; ".join(differences(found, manifest)[:3]) or "its manifest was edited"
        hint = "give the folder above it" if inside else "move it away"
        raise ValueError(
            f"{folder}: holds evidence of other teachers than its name says or this run has: {told}; {hint}"
        )
    return folder


READING = ("decoder", "audio_track", "length")
"""What a manifest says of how clips were read; a store is of one choice."""


def _refuse_other_reading(root: Place, manifest: Mapping[str, object]) -> None:
    """Refuse to begin beside, or go on in, evidence that differs in its decoder, audio track or length alone."""

    def rest(of: Mapping[str, object]) -> dict[str, Any]:
        return {key: value for key, value in of.items() if key not in (*READING, "fingerprint")}

    wanted = json.loads(to_json(manifest))
    for path in [*matching(root, "manifest.json"), *matching(root, "*/manifest.json")]:
        found: dict[str, Any] = {}
        with suppress(ValueError):  # of others, whose readers will say what is wrong with it
            found = read_json(path)
        if rest(found) == rest(wanted):
            refuse_reading(path.parent, found, wanted)


def refuse_reading(folder: Place, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse evidence that was read otherwise.

    Args:
        folder: Where it lies.
        found: Its manifest.
        wanted: The manifest of a run; `READING` is looked at.

    Raises:
        ValueError: The decoder, the audio track or the length is another.
    """
    if decoder_of(found) != decoder_of(wanted):
        raise ValueError(
            f"{folder}: was decoded with {decoder_of(found)}, got decoder={decoder_of(wanted)}; decoders "
            f"differ in what they make of a clip: give decoder={decoder_of(found)} to resume, or another `store`"
        )
    if track_of(found) != track_of(wanted):
        raise ValueError(
            f"{folder}: is of {track_of(found)} audio track, got audio_track={wanted.get('audio_track')}; "
            "choose the same to resume, or another `store`"
        )
    if length_of(found) != length_of(wanted):
        raise ValueError(
            f"{folder}: was harvested with length={length_of(found)}, got length={length_of(wanted)}; give "
            f"length={length_of(found)} to resume, or another `store`"
        )


def _warn_of_others(root: Place) -> None:
    """Say that a store will hold evidence of several teachers, which no reader takes without being told which."""
    others = [path.parent.name for path in matching(root, "*/manifest.json")]
    if others:
        named = ", ".join(others)
        logger.warning("%s: holds evidence of other teachers too (%s); name one folder to read it", root, named)


_TELLING = ("teacher", "weights", "prompts")
"""What is told first of two teachers that differ."""


def differences(found: object, wanted: object, place: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        keys = sorted({*found, *wanted} - {"fingerprint"}, key=lambda key: (key not in _TELLING, key))
        return [text for key in keys for text in differences(found.get(key), wanted.get(key), f"{place}.{key}")]
    if found == wanted or (isinstance(wanted, tuple) and found == list(wanted)):
        return []
    short = [text if len(text) < 50 else f"{text[:47]}..." for text in (json.dumps(found), json.dumps(wanted))]
    return [f"{place[1:]} is {short[0]} in the store and {short[1]} here"]


def read_store(
    path: str | Place, *, names: Sequence[str] | None = None, clip_ids: Collection[str] | None = None
) -> EvidenceStore:
    """Read a store.

    Args:
        path: The store, holding exactly one fingerprint folder, or such a folder.
        names: Arrays to read (`"visual.similarity"`), None for all; of the others not a byte is read.
        clip_ids: Clips to keep, None for all. Arrays of shards that have none of them are not read, and no more than
            what is kept and some shards is in memory.

    Returns:
        The clips in the order of their shards.

    Raises:
        ValueError: No store, several fingerprints, a shard that is gone or whose bytes are not those of its marker, a
            clip that occurs twice, a tag that is no class, or an array that no shard has.
    """
    folder = store_folder(place_of(path))
    wanted = None if clip_ids is None else frozenset(map(composed, clip_ids))
    shards, there = list[EvidenceStore](), list[str]()
    for shard in read_shards(folder, names=names, clip_ids=wanted):
        there += shard.clip_ids
        shards.append(shard if wanted is None else _picked(shard, wanted))
    _check_unique(folder, there)
    held = tuple(sorted({name for shard in shards for name in shard.held}))
    absent = sorted(set(names or ()) - set(held))
    if absent:
        raise AbsentArraysError(
            f"{folder}: no shard holds {', '.join(absent)}; it holds {', '.join(held)}: ask for these, or harvest with "
            "the teachers that make the others",
            held,
        )
    return EvidenceStore(
        clip_ids=tuple(clip_id for shard in shards for clip_id in shard.clip_ids),
        class_names=shards[0].class_names,
        weak_labels=np.concatenate([shard.weak_labels for shard in shards]),
        statuses=tuple(status for shard in shards for status in shard.statuses),
        messages=tuple(message for shard in shards for message in shard.messages),
        arrays={
            name: _joined(shards, name)
            for name in held
            if (names is None or name in names) and any(name in shard.arrays for shard in shards)
        },
        manifest=shards[0].manifest,
        held=held,
        segments=np.concatenate([_counts(shard) for shard in shards]) if shards[0].segments is not None else None,
        modality_tags=_joined_tags(shards),
    )


def _joined_tags(shards: Sequence[EvidenceStore]) -> np.ndarray | None:
    """Tags by modality of all shards; of those that say nothing of it, the tags."""
    if all(shard.modality_tags is None for shard in shards):
        return None
    return np.concatenate([np.stack([shard.tags_of(modality) for modality in MODALITIES], axis=1) for shard in shards])


def read_shards(
    path: str | Place, *, names: Sequence[str] | None = None, clip_ids: Collection[str] | None = None
) -> Iterator[EvidenceStore]:
    """Read a store shard by shard, so that no more than one has to be held.

    Args:
        path: The store, holding exactly one fingerprint folder, or such a folder.
        names: As of `read_store`; one that a shard does not hold is left out of it.
        clip_ids: As of `read_store`, composed; of shards that have none of them the arrays are left out.

    Yields:
        The clips of one shard each, in the order of the shards.

    Raises:
        ValueError: As of `read_store`, but for clips that occur twice and arrays that no shard has; the list of shards
            is gone.
    """
    folder = store_folder(place_of(path))
    manifest = store_manifest(folder)
    known, found = refuse_gaps(folder), []
    markers = marker_paths(folder)
    if not markers:
        raise ValueError(f"{folder}: no finished shard; run the harvest first")
    if known is None and has_lost_list(folder):
        raise ValueError(lost_list(folder))
    note_unfinished(folder)

    def read(marker: Place) -> tuple[list[ShardRow], dict[str, np.ndarray], tuple[str, ...]]:
        index = int(marker.stem)
        return *read_shard(folder, index, names, clip_ids=clip_ids), held_arrays(folder, index)

    for marker, (rows, arrays, held) in zip(markers, each(read, markers, at_once=_AT_ONCE), strict=True):
        clips, slices = [row.known for row in rows], clip_slices(rows)
        found.append(listed(int(marker.stem), [clip.clip_id for clip in clips]))
        yield EvidenceStore(
            clip_ids=tuple(clip.clip_id for clip in clips),
            class_names=tuple(manifest["class_names"]),
            weak_labels=_weak_labels(marker, clips, manifest["class_names"]),
            statuses=tuple(clip.status for clip in clips),
            messages=tuple(clip.message for clip in clips),
            arrays={name: _padded(array, slices) for name, array in arrays.items()} if slices else arrays,
            manifest=manifest,
            held=held,
            segments=np.array([place.stop - place.start for place in slices]) if slices else None,
            modality_tags=_modality_tags(marker, clips, manifest["class_names"]),
        )
    if missing := lost_clips(known, found):
        raise ValueError(lost_shards(folder, missing))


def store_manifest(path: str | Place) -> dict[str, Any]:
    """Read what a store says of itself, without its shards: class names, grid, teachers, fingerprint.

    Raises:
        ValueError: No store, several fingerprints, or a manifest that does not match its fingerprint.
    """
    folder = store_folder(place_of(path))
    manifest = read_json(folder / "manifest.json")
    covered = {key: manifest.get(key) for key in ("format", "class_names", "grid", "teachers")}
    covered |= {name: manifest[name] for name in ("decoder", "audio_track", "length") if name in manifest}
    if manifest.get("format") != FORMAT_VERSION or manifest.get("fingerprint") != fingerprint(covered):
        raise ValueError(f"{folder}: manifest.json does not match its fingerprint; it was edited or is newer")
    return manifest


def store_folder(path: Place) -> Place:
    """The one fingerprint folder that `path` is or holds.

    Raises:
        NoStoreError: It holds none.
        ValueError: It holds several.
    """
    folders = store_folders(path)
    if len(folders) > 1:
        listed = ", ".join(folder.name for folder in folders)
        raise ValueError(
            f"{path}: holds evidence of several fingerprints ({listed}); give one of these folders, of which `valor "
            "store show` says the teachers"
        )
    return folders[0]


def store_folders(path: Place) -> list[Place]:
    """The fingerprint folders that `path` is or holds.

    Raises:
        NoStoreError: It holds none.
    """
    if (path / "manifest.json").is_file():
        return [path]
    folders = [manifest.parent for manifest in matching(path, "*/manifest.json") if manifest.is_file()]
    if folders:
        return folders
    raise NoStoreError(
        f"{path}: expected an evidence store (with a manifest.json), got none; run the harvest first, or give the "
        "`store` that it wrote elsewhere"
    )


def _picked(shard: EvidenceStore, clip_ids: Collection[str]) -> EvidenceStore:
    """Some clips of a shard."""
    rows = [row for row, clip_id in enumerate(shard.clip_ids) if clip_id in clip_ids]
    return replace(
        shard,
        clip_ids=tuple(shard.clip_ids[row] for row in rows),
        weak_labels=shard.weak_labels[rows],
        statuses=tuple(shard.statuses[row] for row in rows),
        messages=tuple(shard.messages[row] for row in rows),
        arrays={name: array[rows] for name, array in shard.arrays.items()},
        segments=None if shard.segments is None else shard.segments[rows],
        modality_tags=None if shard.modality_tags is None else shard.modality_tags[rows],
    )


def _joined(shards: Sequence[EvidenceStore], name: str) -> np.ndarray:
    """[N, ...] of all shards, which give theirs up; one in which nobody had the array adds NaN rows."""
    example = next(shard.arrays[name] for shard in shards if name in shard.arrays)
    longest = max(shard.arrays[name].shape[1] for shard in shards if name in shard.arrays)
    joined = np.empty((sum(len(shard.clip_ids) for shard in shards), longest, *example.shape[2:]), example.dtype)
    start = 0
    for shard in shards:
        stop = start + len(shard.clip_ids)
        array = shard.arrays.pop(name, None)
        held = 0 if array is None else array.shape[1]
        if array is not None:
            joined[start:stop, :held] = array
        joined[start:stop, held:] = np.nan
        start = stop
    return joined


def _padded(array: np.ndarray, slices: Sequence[slice]) -> np.ndarray:
    """[n, T, ...] of clips that lie one after another, T the most segments any has; what is not there is NaN."""
    longest = max(1, *(place.stop - place.start for place in slices))
    padded = np.full((len(slices), longest, *array.shape[1:]), np.nan, array.dtype)
    for row, place in enumerate(slices):
        padded[row, : place.stop - place.start] = array[place]
    return padded


def _counts(shard: EvidenceStore) -> np.ndarray:
    """Segments of the clips of a shard."""
    assert shard.segments is not None  # a store of clips of any length says it of each
    return shard.segments


def _weak_labels(marker: Place, clips: Sequence[KnownClip], class_names: Sequence[str]) -> np.ndarray:
    """Tags of each clip as bool [N, C]."""
    return _marked(marker, clips, [clip.tags for clip in clips], class_names)


def _modality_tags(marker: Place, clips: Sequence[KnownClip], class_names: Sequence[str]) -> np.ndarray | None:
    """Tags of each clip by modality as bool [N, M, C]; None where no clip says it."""
    if all(clip.modality_tags is None for clip in clips):
        return None
    both = [clip.modality_tags or (clip.tags, clip.tags) for clip in clips]
    return np.stack([_marked(marker, clips, [tags[m] for tags in both], class_names) for m in (0, 1)], axis=1)


def _marked(
    marker: Place, clips: Sequence[KnownClip], tags: Sequence[Sequence[str]], class_names: Sequence[str]
) -> np.ndarray:
    index = {name: position for position, name in enumerate(class_names)}
    weak_labels = np.zeros((len(clips), len(class_names)), dtype=bool)
    for row, (clip, its) in enumerate(zip(clips, tags, strict=True)):
        for tag in its:
            if tag not in index:
                raise ValueError(
                    f"{marker}: {clip.clip_id} has the tag {tag!r}, which is no class of the store; see what "
                    "`valor store verify` says"
                )
            weak_labels[row, index[tag]] = True
    return weak_labels


def _check_unique(folder: Place, clip_ids: Sequence[str]) -> None:
    """Refuse a store in which a clip occurs twice."""
    if len(set(clip_ids)) != len(clip_ids):
        twice = sorted(clip_id for clip_id, count in Counter(clip_ids).items() if count > 1)
        raise ValueError(f"{folder}: {len(twice)} clips occur twice, such as {twice[0]}; two stores were mixed")
