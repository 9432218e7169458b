"""Reading a split with its features and labels: from files as published, from packed ones, or from a store.

`valor.data.features` reads the published per-clip files (feature_files.py) and what `valor import` made of them
(packed.py), and `valor.label_harvest.store.store` the evidence of a harvest. All end here, on the segment grid, and
only clips whose parts are all there get through.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.store import EvidenceStore, read_store, store_manifest
from valor.parsers.folding import fold_clap_map, lay_clap_map

from .clips import ClipSet
from .datasets.ave_features import read_ave_features, read_background
from .datasets.unav_features import read_unav_features
from .features.feature_files import FEATURE_FILES, ClipArrays, listed, read_feature_files, read_label_files
from .features.feature_options import AVE_KINDS, STREAMS, UNAV_KINDS, FeatureOptions, evidence_in
from .features.packed import is_packed, read_packed_features
from .label_file import FILE_NAME, read_label_facts, read_pseudo_labels
from .provenance import Provenance, of_features, of_labels
from .tables import Split

_LOG = logging.getLogger(__name__)

_MAP, _FOLDED = "audio.map", "audio.folded"
"""Store arrays that hold a HTSAT map [64, D] in place of segments, and the same folded to segments."""


def read_clip_set(
    source: Path | str,
    split: Split,
    features: FeatureOptions,
    *,
    labels: Path | str | None = None,
    store: Place | str | None = None,
    any_classes: bool = False,
    allowed: Collection[str] = (),
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
        allowed: Clips that may lack something, see `allowed_left_out`: they are left out with a warning.

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
        absent |= _missing(found, f"{kind} features", features.missing, allowed)
    if set(kinds.values()) == set(UNAV_KINDS):  # sound and picture of these are cut to one length
        counts = dict.fromkeys(counts, torch.stack([*counts.values()]).amin(dim=0))
    if labels is not None:
        found = _read_labels(Path(labels), split)
        parts["pseudo_labels"] = found.tensor
        counts |= {} if found.segments is None else {"pseudo_labels": found.segments}
        absent |= _missing(found, "pseudo labels", features.missing, allowed)
    said = {name: getattr(split, name) for name in ("truth", "valid", "weak_labels", "modality_tags")}
    parts |= {name: torch.from_numpy(array) for name, array in said.items() if array is not None}
    if split.valid is not None:
        _refuse_one_length({name: parts[name] for name in parts if name not in counts}, split)
    if known := [clip_id for clip_id in split.clip_ids if clip_id in absent and clip_id in allowed]:
        _LOG.warning(
            "%s: leaving out %s of %d without complete evidence, as was allowed when the labels were made",
            split.name,
            listed(known),
            clips,
        )
    kept = [row for row in range(clips) if split.clip_ids[row] not in absent]
    if not kept:
        raise ValueError(f"no clip of the split {split.name!r} has all its features and labels under {source}")
    if len(kept) < clips:
        parts = {name: tensor[kept] for name, tensor in parts.items()}
    if counts:
        held = {name: count[kept] for name, count in counts.items()}
        parts = _of_any_length(parts, held, [split.clip_ids[row] for row in kept])
    found_in = of_features(features, Path(source), [split], place_of(store) if store else None)
    found_in |= Provenance() if labels is None else of_labels(Path(labels))
    return ClipSet(
        clip_ids=tuple(split.clip_ids[row] for row in kept),
        class_names=split.class_names,
        segment_seconds=split.segment_seconds,
        metrics=split.metrics,
        events=None if split.events is None else split.events.of_clips(kept),
        clip_seconds=None if split.clip_seconds is None else split.clip_seconds[kept],
        subsets={name: of[kept] for name, of in split.subsets.items()},
        simulated=found_in.simulated,
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


def _missing(found: ClipArrays, what: str, policy: str, allowed: Collection[str]) -> set[str]:
    """Clips to leave out; raises where there are others than allowed, unless the policy is to drop them."""
    others = [clip_id for clip_id in found.missing if clip_id not in allowed]
    if not others:
        return set(found.missing)
    message = f"{found.where} has no {what} for {listed(others)} of {found.tensor.shape[0]}"
    if policy == "refuse":
        raise ValueError(f"{message}; add them, or leave these clips out with features.missing=drop")
    _LOG.warning("%s: leaving these clips out", message)
    return set(found.missing)
