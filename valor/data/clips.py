"""A split with its features and labels as whole tensors: what a parser is trained on, and what it parses.

`valor.data.features` reads the published per-clip files (feature_files.py) and what `valor import` made of them
(packed.py), and `valor.label_harvest.store.store` the evidence of a harvest. All end here, on the segment grid, and
only clips whose parts are all there get through.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from valor.eval.detection import TrueEvents
from valor.eval.events import BoolArray, Float64Array
from valor.eval.metrics import Metric
from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.store import EvidenceStore, read_store, store_manifest
from valor.parsers.folding import fold_clap_map, lay_clap_map

from .datasets.ave_features import read_ave_features, read_background
from .datasets.unav_features import read_unav_features
from .features.feature_files import FEATURE_FILES, ClipArrays, listed, read_feature_files, read_label_files
from .features.feature_options import AVE_KINDS, STREAMS, UNAV_KINDS, FeatureOptions, evidence_in
from .features.packed import is_packed, read_packed_features
from .label_file import FILE_NAME, read_label_facts, read_pseudo_labels
from .names import join_names
from .shown import MOST_ROWS, frame_html, plot_clip
from .tables import Split

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from valor.eval.figures.style import Style

_LOG = logging.getLogger(__name__)

_BLOCK = 256
"""Clips looked at together."""
_MAP, _FOLDED = "audio.map", "audio.folded"
"""Store arrays that hold a HTSAT map [64, D] in place of segments, and the same folded to segments."""


_BY_CLASS = ("weak_labels", "modality_tags", "pseudo_labels", "truth")
"""Tensors of a ClipSet whose last axis are classes."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some clips, ready for the network."""

    clip_ids: tuple[str, ...]
    audio: Tensor
    """float32 [B, T, D_audio]."""
    visual: Tensor
    """float32 [B, T, D_visual]."""
    motion: Tensor | None
    """float32 [B, T, D_motion], None for parsers without a motion stream."""
    valid: Tensor | None
    """bool [B, T], None when all segments exist."""
    weak_labels: Tensor
    """float32 [B, C]."""
    pseudo_labels: Tensor | None
    """float32 [B, T, M, C], None where there are none."""
    modality_tags: Tensor | None = None
    """float32 [B, M, C], which tags are heard and which are seen; None where nobody says it."""
    tagged: Tensor | None = None
    """float32 [B], 0 where nobody has tagged the clip; None where all are tagged."""

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor to a device; what is there already is not copied."""
        return replace(self, **_moved(self, device))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ClipSet:
    """The clips of a split, everything in memory; `torch.utils.data.DataLoader` takes it as it is."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    audio: Tensor
    """float [N, T, D_audio]."""
    visual: Tensor
    """float [N, T, D_visual]."""
    weak_labels: Tensor
    """bool [N, C]."""
    motion: Tensor | None = None
    """float [N, T, D_motion]."""
    valid: Tensor | None = None
    """bool [N, T], True where a segment exists, at least one per clip; None when all do."""
    pseudo_labels: Tensor | None = None
    """bool [N, T, M, C]; soft ones float in 0..1."""
    truth: Tensor | None = None
    """bool [N, T, M, C], the human labels of val and test."""
    segment_seconds: float = 1.0
    """Length of a segment."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """Figures of the data set beside the ten F-scores, by name."""
    events: TrueEvents | None = None
    """The truth in seconds, where it does not lie on segments; its clips are positions on the axis N."""
    clip_seconds: Float64Array | None = None
    """float64 [N], how long each clip is, where a last segment may end beyond it."""
    modality_tags: Tensor | None = None
    """bool [N, M, C], those of the tags that are heard and that are seen; None where nobody says it."""
    subsets: Mapping[str, BoolArray] = field(default_factory=dict)
    """Kinds of clips by name, bool [N] each, of which figures are taken apart."""
    tagged: Tensor | None = None
    """bool [N], False where nobody has tagged the clip and its tags are what it is labelled with; None where all are
    tagged."""

    def __post_init__(self) -> None:
        """Refuse tensors that do not belong together, and numbers no network can learn from."""
        if not self.clip_ids or self.audio.dim() != 3:
            raise ValueError(
                f"a clip set needs at least one clip and audio [clips, segments, features], got {len(self.clip_ids)} "
                f"clips and {tuple(self.audio.shape)}"
            )
        for name in ("weak_labels", "valid", "pseudo_labels", "truth", "modality_tags"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.dtype == torch.bool and tensor.numel():
                held = tensor.view(torch.uint8)  # a mask of 255 called bool would count as 255
                object.__setattr__(self, name, held != 0 if held.max() > 1 else tensor)
        clips, segments, classes = len(self.clip_ids), self.audio.shape[1], len(self.class_names)
        for stream in STREAMS:
            self._check(stream, (clips, segments, None))
        self._check("weak_labels", (clips, classes), torch.bool)
        self._check("modality_tags", (clips, 2, classes), torch.bool)
        self._check("valid", (clips, segments), torch.bool)
        self._check("tagged", (clips,), torch.bool)
        labels = self.pseudo_labels
        soft = labels if labels is not None and labels.is_floating_point() else None
        self._check("pseudo_labels", (clips, segments, 2, classes), torch.bool if soft is None else soft.dtype)
        self._check("truth", (clips, segments, 2, classes), torch.bool)
        if soft is not None and not ((soft >= 0) & (soft <= 1)).all():
            wrong = (~((soft >= 0) & (soft <= 1))).flatten(1).any(dim=1).nonzero().flatten()
            clip_ids = listed([self.clip_ids[row] for row in wrong])
            raise ValueError(f"soft pseudo_labels must be probabilities in 0..1, got others in {clip_ids}; label again")
        if self.valid is not None and not self.valid.any(dim=1).all():
            empty = [self.clip_ids[row] for row in (~self.valid.any(dim=1)).nonzero().flatten()]
            raise ValueError(f"every clip needs a valid segment, got none in {listed(empty)}; leave them out")

    def _check(self, name: str, shape: tuple[int | None, ...], dtype: torch.dtype | None = None) -> None:
        tensor = getattr(self, name)
        if tensor is None:
            return
        fits = tensor.dim() == len(shape) and all(e in (None, g) for e, g in zip(shape, tensor.shape, strict=True))
        if not fits or (tensor.dtype != dtype if dtype else not tensor.is_floating_point()):
            wanted = ", ".join("features" if size is None else str(size) for size in shape)
            raise ValueError(
                f"{name} must be {dtype or 'float'} [{wanted}] for {len(self.clip_ids)} clips, got {tensor.dtype} "
                f"{tuple(tensor.shape)}"
            )
        if dtype is None and not _all_finite(tensor):
            rows = (~tensor.isfinite().flatten(1).all(dim=1)).nonzero().flatten()
            raise ValueError(
                f"{name} features must be finite, got NaN or Inf in {listed([self.clip_ids[row] for row in rows])}; "
                "make these features again, or drop the clips (features.missing=drop)"
            )

    @property
    def own_tags(self) -> Tensor:
        """What a modality alone is held to: bool [N, M, C], or the tags of the clip [N, C] where nobody says more."""
        return self.weak_labels if self.modality_tags is None else self.modality_tags

    def __len__(self) -> int:
        """Return the number of clips, N."""
        return len(self.clip_ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """One clip as a `DataLoader` collates it: `clip_id`, and each tensor there is; features and labels in float32.

        All clips have as many segments, those of unlike length are padded; `valid` says which exist.
        """
        held: dict[str, Any] = {"clip_id": self.clip_ids[row]}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Tensor):
                held[entry.name] = value[row] if entry.name in ("truth", "valid") else value[row].float()
        return held

    def to_frame(self) -> "pd.DataFrame":
        """A row for each clip: clip_id, its tags as event_labels, how many segments it has."""
        import pandas as pd

        tags = [
            join_names(name for name, held in zip(self.class_names, row, strict=True) if held)
            for row in self.weak_labels.tolist()
        ]
        counts = self.audio.shape[1] if self.segments is None else self.segments.tolist()
        return pd.DataFrame({"clip_id": self.clip_ids, "event_labels": tags, "segments": counts})

    def plot(self, clip_id: str | None = None, *, style: "Style | None" = None) -> "Figure":
        """Draw truth and pseudo labels of a clip, the first unless one is named.

        Raises:
            ValueError: There is no such clip, or the set has neither truth nor labels.
        """
        named = (("truth", self.truth), ("labels", self.pseudo_labels))
        tracks = {name: (held > 1 / 2).cpu().numpy() for name, held in named if held is not None}
        if not tracks:
            raise ValueError("these clips have neither truth nor pseudo labels to draw; read them with labels=DIR")
        valid = None if self.valid is None else self.valid.cpu().numpy()
        names, seconds = (self.clip_ids, self.class_names), self.segment_seconds
        return plot_clip(clip_id, *names, tracks, valid=valid, segment_seconds=seconds, style=style)

    def __repr__(self) -> str:
        """How many clips of what."""
        widths = ", ".join(f"{name} {of.shape[-1]}" for name in STREAMS if (of := getattr(self, name)) is not None)
        held = [name for name in ("truth", "pseudo_labels") if getattr(self, name) is not None]
        said = f"ClipSet of {len(self):,} clips: {self.audio.shape[1]} segments, {widths}, "
        return f"{said}{len(self.class_names)} classes, {' and '.join(held) or 'tags alone'}"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the first clips with their tags."""
        return frame_html(repr(self), self.take(range(min(len(self), MOST_ROWS))).to_frame(), rows=len(self))

    @property
    def segments(self) -> Tensor | None:
        """int64 [N], up to which segment each clip reaches; None for clips of one length."""
        if self.valid is None:
            return None
        return (self.valid.cpu() * torch.arange(1, self.valid.shape[1] + 1)).amax(dim=1)

    def batch(self, rows: Tensor, *, into: Batch | None = None) -> Batch:
        """Take some clips, up to the last segment that one of them has.

        Args:
            rows: int64 [B], which.
            into: A batch of this set that is no longer needed: where it has as many clips, its memory is written over,
                so that an epoch asks for no new memory. 5 to 11 percent faster (64 clips of VALOR++ from half
                precision: 0.30 ms of one core against 0.34).
        """
        where = rows.to(self.audio.device)
        valid = None if self.valid is None else self.valid[where]
        longest = self.audio.shape[1] if valid is None else int(valid.any(dim=0).nonzero().max()) + 1
        old = into if into is not None and into.audio.shape[:2] == (len(rows), longest) else None
        taken: dict[str, Any] = {
            name: _taken(getattr(self, name), where, getattr(old, name, None), longest)
            for name in (*STREAMS, "pseudo_labels")
        }
        taken["tagged"] = None if self.tagged is None else self.tagged[where].float()
        for name in ("weak_labels", "modality_tags"):
            taken[name] = _taken(getattr(self, name), where, getattr(old, name, None))
        valid = None if valid is None else valid[:, :longest]
        return Batch(clip_ids=tuple(self.clip_ids[row] for row in rows.tolist()), valid=valid, **taken)

    def take(self, rows: Sequence[int]) -> "ClipSet":
        """Keep the clips of these rows, in this order."""
        picked = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        tensors: dict[str, Any] = {
            name: value[list(rows)] for name, value in picked.items() if isinstance(value, Tensor)
        }
        events = None if self.events is None else self.events.of_clips(rows)
        seconds = None if self.clip_seconds is None else self.clip_seconds[list(rows)]
        clip_ids = tuple(self.clip_ids[row] for row in rows)
        subsets = {name: of[list(rows)] for name, of in self.subsets.items()}
        return replace(self, clip_ids=clip_ids, events=events, clip_seconds=seconds, subsets=subsets, **tensors)

    def to(self, device: torch.device | str) -> "ClipSet":
        """Move every tensor to a device."""
        return replace(self, **_moved(self, device))

    def widths(self) -> dict[str, int]:
        """Input widths by the names of ParserOptions, to build a parser that fits."""
        motion = 0 if self.motion is None else self.motion.shape[-1]
        return {
            "audio_width": self.audio.shape[-1],
            "visual_width": self.visual.shape[-1],
            "motion_width": motion,
            "num_classes": len(self.class_names),
        }

    def fingerprint(self) -> str:
        """sha256 over clips, features and labels: what a run must find again to be resumed."""
        digest = hashlib.sha256("\n".join((*self.clip_ids, "", *self.class_names)).encode())
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Tensor):
                digest.update(f"{entry.name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.contiguous().cpu().numpy().data)
        if self.events is not None:
            digest.update(repr(self.events.onset.tolist() + self.events.offset.tolist()).encode())
        return digest.hexdigest()


def read_clip_set(
    source: Path | str,
    split: Split,
    features: FeatureOptions,
    *,
    labels: Path | str | None = None,
    store: Place | str | None = None,
    any_classes: bool = False,
) -> ClipSet:
    """Read the features and pseudo labels of a split.

    Args:
        source: Folder of the published layout (`feats/`, `CLIP/`, `CLAP/`). What lies in its `packed/`, written by
            `valor import features`, is read from there instead.
        split: Clips, tags and, for val and test, truth.
        features: Which features.
        labels: A folder with `pseudo_labels.npz` or with the published `CLAP|CLIP/segment_pseudo_labels`, or such an
            .npz file; None reads no pseudo labels.
        store: Evidence store of the kinds with a dot in their name, on a disk or in an object store; None for `store/`
            in the source, or the source. Of its shards those that hold clips of the split are read, one by one.
        any_classes: Whether the split may have classes that the store has not.

    Returns:
        The clips in the order of the split.

    Raises:
        FileNotFoundError: A folder is not there.
        ValueError: Clips lack features or labels (unless features.missing is `drop`), or an array is not what its kind
            should be; the message names the clips.
    """
    clips, absent = len(split.clip_ids), set[str]()
    parts: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    kinds = {stream: kind for stream in STREAMS if (kind := getattr(features, stream)) is not None}
    where = evidence_in(Path(source), place_of(store) if store else None)
    evidence = _read_evidence(
        where,
        sorted({kind for kind in kinds.values() if "." in kind}),
        split,
        unfolded=features.unfolded,
        any_classes=any_classes,
    )
    for stream, kind in kinds.items():
        found = evidence[kind] if "." in kind else _read_files(Path(source), kind, split, features)
        is_half = found.tensor.dtype == torch.float16  # float32 would add nothing to it
        keeps_half = is_half or features.precision == "float16"
        parts[stream] = found.tensor.half() if keeps_half else found.tensor.float()
        counts |= {} if found.segments is None else {stream: found.segments}
        absent |= _missing(found, f"{kind} features", features.missing)
    if set(kinds.values()) == set(UNAV_KINDS):  # sound and picture of these are cut to one length
        counts = dict.fromkeys(counts, torch.stack([*counts.values()]).amin(dim=0))
    if labels is not None:
        found = _read_labels(Path(labels), split)
        parts["pseudo_labels"] = found.tensor
        counts |= {} if found.segments is None else {"pseudo_labels": found.segments}
        absent |= _missing(found, "pseudo labels", features.missing)
    said = {name: getattr(split, name) for name in ("truth", "valid", "weak_labels", "modality_tags")}
    parts |= {name: torch.from_numpy(array) for name, array in said.items() if array is not None}
    if split.valid is not None:
        _refuse_one_length({name: parts[name] for name in parts if name not in counts}, split)
    kept = [row for row in range(clips) if split.clip_ids[row] not in absent]
    if not kept:
        raise ValueError(f"no clip of the split {split.name!r} has all its features and labels under {source}")
    if len(kept) < clips:
        parts = {name: tensor[kept] for name, tensor in parts.items()}
    if counts:
        held = {name: count[kept] for name, count in counts.items()}
        parts = _of_any_length(parts, held, [split.clip_ids[row] for row in kept])
    return ClipSet(
        clip_ids=tuple(split.clip_ids[row] for row in kept),
        class_names=split.class_names,
        segment_seconds=split.segment_seconds,
        metrics=split.metrics,
        events=None if split.events is None else split.events.of_clips(kept),
        clip_seconds=None if split.clip_seconds is None else split.clip_seconds[kept],
        subsets={name: of[kept] for name, of in split.subsets.items()},
        **parts,
    )


def with_background(train: ClipSet, source: Path | str, features: FeatureOptions) -> ClipSet:
    """A training set with the clips of no event behind it that were published with AVE's features, where it wants them.

    Args:
        train: The clips of the training split.
        source: Folder of the features.
        features: Those of the training set; says whether.

    Raises:
        FileNotFoundError: A file of theirs is not there.
        ValueError: One is damaged, or they are not as many in each.
    """
    if not features.background_clips:
        return train
    parts = {stream: read_background(Path(source), getattr(features, stream)) for stream in ("audio", "visual")}
    counts = {len(part) for part in parts.values()}
    if len(counts) > 1:
        raise ValueError(
            f"{source}: background clips must be as many in each file, got {sorted(counts)}; fetch them again"
        )
    (count,) = counts
    names_of = ("weak_labels", "pseudo_labels", "truth", "valid", "modality_tags")
    held = {name: getattr(train, name) for name in names_of}
    for name, tensor in held.items():
        if tensor is not None:
            parts[name] = (torch.ones if name == "valid" else torch.zeros)(count, *tensor.shape[1:], dtype=tensor.dtype)
    tensors: dict[str, Any] = {
        name: torch.cat([getattr(train, name), part.to(getattr(train, name).dtype)]) for name, part in parts.items()
    }
    names = tuple(f"background-{number:03d}" for number in range(count))
    return replace(train, clip_ids=(*train.clip_ids, *names), **tensors)


def of_classes(clips: ClipSet, names: Sequence[str], *, emptied: bool = True) -> ClipSet:
    """Clips with the tags and labels of some classes alone.

    Args:
        clips: The clips.
        names: Classes to keep, in their new order.
        emptied: Whether clips that had other tags alone stay, without any.

    Raises:
        ValueError: A name is none of the classes, or no clip is left.
    """
    kept = [clips.class_names.index(name) for name in names]
    tensors = {entry.name: getattr(clips, entry.name) for entry in fields(clips) if entry.name in _BY_CLASS}
    taken: dict[str, Any] = {name: of[..., kept] for name, of in tensors.items() if of is not None}
    events = clips.events
    if events is not None:
        place = {index: position for position, index in enumerate(kept)}
        rows = np.flatnonzero(np.isin(events.class_index, kept))
        moved = np.array([place[index] for index in events.class_index[rows].tolist()], np.int64)
        events = replace(events.at(rows), class_index=moved)
    found = replace(clips, class_names=tuple(names), events=events, **taken)
    if emptied:
        return found
    stays = found.weak_labels.any(dim=1) | ~clips.weak_labels.any(dim=1)
    if not stays.any():
        raise ValueError("unseen must leave clips to be seen, got classes without which no clip has a tag")
    return found if stays.all() else found.take(stays.nonzero().flatten().tolist())


def _refuse_one_length(parts: Mapping[str, Tensor], split: Split) -> None:
    """Refuse features and labels that were made of the first segments of clips which are of any length."""
    assert split.valid is not None  # of such clips
    for name, tensor in parts.items():
        if name in (*STREAMS, "pseudo_labels") and tensor.shape[1] != split.valid.shape[1]:
            raise ValueError(
                f"{name} has {tensor.shape[1]} segments of each clip, where the clips of {split.name} are of any "
                "length; harvest them with length=whole, and label that"
            )


def _of_any_length(
    parts: dict[str, Tensor], counts: Mapping[str, Tensor], clip_ids: Sequence[str]
) -> dict[str, Tensor]:
    """Parts of clips of any length, padded to the longest with zeros, and `valid`: what is annotated and harvested.

    Args:
        parts: By the names of ClipSet.
        counts: int64 [N], how many segments each clip has in those parts that say so; the others have T of each.
        clip_ids: The N clips.
    """
    timed = {name: tensor for name, tensor in parts.items() if name not in ("weak_labels", "modality_tags")}
    first = next(iter(counts))
    segments = counts[first]
    for name, tensor in timed.items():
        held = counts.get(name, torch.full_like(segments, tensor.shape[1]))
        if name not in ("truth", "valid") and (other := (held != segments).nonzero().flatten().tolist()):
            raise ValueError(
                f"{len(other)} clips have other numbers of segments in {name} than in {first}, such as "
                f"{clip_ids[other[0]]} ({int(held[other[0]])} and {int(segments[other[0]])}); take both of one harvest"
            )
    longest = max(int(segments.max()), *(len(timed[name][0]) for name in ("truth",) if name in timed), 1)
    for name, tensor in timed.items():
        padding = tensor.new_zeros(len(tensor), max(longest - tensor.shape[1], 0), *tensor.shape[2:])
        parts[name] = torch.cat([tensor, padding], dim=1)[:, :longest]
    harvested = torch.arange(longest) < segments[:, None]
    return {**parts, "valid": parts["valid"] & harvested if "valid" in parts else harvested}


def _moved(held: Batch | ClipSet, device: torch.device | str) -> dict[str, Any]:
    """Every tensor of a value on a device."""
    values = {entry.name: getattr(held, entry.name) for entry in fields(held)}
    return {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}


def _all_finite(tensor: Tensor) -> bool:
    """Whether every number is finite, a block of clips at a time: the check itself needs some copies."""
    return all(bool(block.isfinite().all()) for block in torch.split(tensor, _BLOCK))


def _taken(tensor: Tensor | None, rows: Tensor, into: Tensor | None, longest: int | None = None) -> Tensor | None:
    """Rows of a tensor [N, ...] as float32, each copied in one piece, which is faster than indexing.

    Args:
        tensor: Whole clips.
        rows: Which.
        into: Memory to write to.
        longest: How much of the second axis; None for all of it.
    """
    if tensor is None:
        return None
    if longest is not None and longest < tensor.shape[1]:
        return tensor[:, :longest][rows].float()
    flat = tensor.flatten(1)
    if into is None:
        return flat.index_select(0, rows).float().view(len(rows), *tensor.shape[1:])
    if tensor.dtype == into.dtype:
        torch.index_select(flat, 0, rows, out=into.view(len(rows), -1))
        return into
    return into.copy_(flat.index_select(0, rows).view(into.shape))


def _read_files(source: Path, kind: str, split: Split, features: FeatureOptions) -> ClipArrays:
    if kind in AVE_KINDS:
        return read_ave_features(source, kind, split)
    if kind in UNAV_KINDS:
        return read_unav_features(source, kind, split)
    if features.unfolded and FEATURE_FILES[kind].lay is not None:
        try:
            return read_feature_files(source, kind, split, unfolded=True)
        except FileNotFoundError as error:
            packed = "; what was packed is folded" if is_packed(source, kind, split.name) else ""
            raise FileNotFoundError(f"{error}{packed}, and features.unfolded=true needs the files") from error
    read = read_packed_features if is_packed(source, kind, split.name) else read_feature_files
    return read(source, kind, split)


def _read_evidence(
    store: Place, kinds: Sequence[str], split: Split, *, unfolded: bool = False, any_classes: bool = False
) -> dict[str, ClipArrays]:
    """What a store has of the clips of a split, by kind."""
    if not kinds:
        return {}
    named = {kind: kind for kind in kinds}
    if named.keys() & {_MAP, _FOLDED}:  # whichever the store keeps; a folded one was folded by the matrix used here
        kept = store_manifest(store)["teachers"].get("audio", {}).get("maps", ())
        is_folded = any(entry.startswith("folded") for entry in kept)
        if unfolded and is_folded:
            raise ValueError(f"{store}: keeps audio maps folded, and features.unfolded=true needs them whole")
        named = {kind: (_FOLDED if is_folded else _MAP) if kind in (_MAP, _FOLDED) else kind for kind in kinds}
    evidence = read_store(store, names=sorted(set(named.values())), clip_ids=split.clip_ids)
    strange = [name for name in split.class_names if name not in evidence.class_names and not any_classes]
    if strange:
        raise ValueError(
            f"{store}: {', '.join(strange[:5])}{', ...' if strange[5:] else ''} is no class of the store, which has "
            f"{', '.join(evidence.class_names[:5])}, ...; take its classes, or harvest with these"
        )
    where, bring = f"the store {store}", lay_clap_map if unfolded else fold_clap_map
    return {kind: _of_evidence(evidence, name, split, where, bring) for kind, name in named.items()}


def _of_evidence(
    evidence: EvidenceStore, name: str, split: Split, where: str, bring: Callable[[Tensor], Tensor]
) -> ClipArrays:
    """An array of a store in the order of a split; a clip without it, or with NaN in a segment it has, is missing."""
    if name not in evidence.arrays:  # no shard with clips of the split has it
        return ClipArrays(torch.zeros(len(split.clip_ids), 1, 1), split.clip_ids, where)
    array = torch.from_numpy(evidence.arrays[name])
    if name == _MAP:
        array = bring(array.float())
    picked, found = _align(array, evidence.clip_ids, split)
    finite = picked.isfinite().all(dim=2)
    if evidence.segments is None:
        found &= finite.all(dim=1)
        return _clip_arrays(picked.masked_fill_(~found[:, None, None], 0), found, split, where)
    segments, _ = _align(torch.from_numpy(evidence.segments), evidence.clip_ids, split)
    valid = torch.arange(picked.shape[1]) < segments[:, None]
    found &= (finite | ~valid).all(dim=1) & (segments > 0)
    filled = picked.masked_fill_(~(found[:, None] & valid)[..., None], 0)
    return replace(_clip_arrays(filled, found, split, where), segments=segments)


def _read_labels(path: Path, split: Split) -> ClipArrays:
    if path.is_dir() and not (path / FILE_NAME).is_file():
        read_label_facts(path)  # which refuses labels whose file is gone
        return read_label_files(path, split)
    table = read_pseudo_labels(path)
    table.refuse_absent(str(path))
    if table.class_names != split.class_names:
        raise ValueError(
            f"{path}: pseudo labels must be for the {len(split.class_names)} classes of the split in their order, got "
            f"{len(table.class_names)} classes ({', '.join(table.class_names[:5])}, ...); label again"
        )
    labels, found = _align(torch.from_numpy(table.labels), table.clip_ids, split)
    arrays = _clip_arrays(labels, found, split, str(path))
    if table.segments is None:
        return arrays
    return replace(arrays, segments=_align(torch.from_numpy(table.segments), table.clip_ids, split)[0])


def _align(array: Tensor, clip_ids: Sequence[str], split: Split) -> tuple[Tensor, Tensor]:
    """Rows of the array in the order of the split, and bool [N], which of them there are; others repeat row 0."""
    if tuple(clip_ids) == split.clip_ids:
        return array, torch.ones(len(clip_ids), dtype=torch.bool)
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    rows = torch.tensor([row_of.get(clip_id, -1) for clip_id in split.clip_ids])
    return array[rows.clamp_min(0)], rows >= 0


def _clip_arrays(tensor: Tensor, found: Tensor, split: Split, where: str) -> ClipArrays:
    missing = tuple(split.clip_ids[row] for row in (~found).nonzero().flatten().tolist())
    return ClipArrays(tensor, missing, where)


def _missing(found: ClipArrays, what: str, policy: str) -> set[str]:
    """Clips to leave out; raises unless the policy is to drop them."""
    if not found.missing:
        return set()
    message = f"{found.where} has no {what} for {listed(found.missing)} of {found.tensor.shape[0]}"
    if policy == "refuse":
        raise ValueError(f"{message}; add them, or leave these clips out with features.missing=drop")
    _LOG.warning("%s: leaving these clips out", message)
    return set(found.missing)
