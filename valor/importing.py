"""The published layout in: per-clip files are looked through, checked and packed; the labels become one file.

Nothing is written of a kind and split, or of the labels, until every file of it has been read and found good. Clips
without a file are refused unless that was allowed; a damaged file is always refused, since leaving it out in silence
would hide it.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from valor.annotations import WEAK_TABLES, Split, media_id, read_weak_table
from valor.feature_files import (
    FEATURE_FILES,
    LABEL_FOLDERS,
    SEGMENTS,
    ClipArrays,
    find_feature_files,
    fold_features,
    listed,
    read_feature_file,
    read_label_files,
)
from valor.files import replaced
from valor.labelling import PROVENANCE, made_by_random_teachers
from valor.labels_file import FILE_NAME, PseudoLabels, write_pseudo_labels
from valor.packed_store import PRECISIONS, PackedCard, write_packed

_LOG = logging.getLogger(__name__)

_CHUNK = 64
"""Files read before they are folded together."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What is there of one feature kind, or of the labels, for one split."""

    kind: str
    split: str
    clips: int
    """Clips of the split."""
    missing: tuple[str, ...]
    """Those without a file."""


def read_clips(annotations: Path, split: str, class_names: Sequence[str]) -> Split:
    """Read the clips and tags of a split; features and labels need no dense truth.

    Raises:
        FileNotFoundError: The table is not there.
        ValueError: The split is unknown or the table is not in LLP's layout.
    """
    if split not in WEAK_TABLES:
        raise ValueError(f"split must be one of {', '.join(WEAK_TABLES)}, got {split!r}")
    clip_ids, weak_labels = read_weak_table(annotations / WEAK_TABLES[split], class_names)
    return Split(split, clip_ids, tuple(class_names), weak_labels)


def kinds_there(data: Path) -> tuple[str, ...]:
    """Published feature kinds whose folder exists.

    Raises:
        FileNotFoundError: There is none.
    """
    kinds = tuple(kind for kind, files in FEATURE_FILES.items() if (data / files.folder).is_dir())
    if not kinds:
        folders = ", ".join(files.folder for files in FEATURE_FILES.values())
        raise FileNotFoundError(f"{data}: none of the published feature folders is here; expected some of {folders}")
    return kinds


def feature_coverage(data: Path, splits: Sequence[Split], kinds: Sequence[str]) -> list[Coverage]:
    """Say which clips have a file of each kind; no file is opened.

    Raises:
        ValueError: A kind is unknown, or a clip has two files.
        FileNotFoundError: The folder of a kind is not there.
    """
    unknown = [kind for kind in kinds if kind not in FEATURE_FILES]
    if unknown:
        raise ValueError(f"feature kinds are {', '.join(FEATURE_FILES)}, got {', '.join(unknown)}")
    found = []
    for kind in kinds:
        for split in splits:
            _refuse_two_files(data / FEATURE_FILES[kind].folder, split)
            _, missing = find_feature_files(data, kind, split)
            found.append(Coverage(kind=kind, split=split.name, clips=len(split.clip_ids), missing=missing))
    return found


def files_of_no_clip(data: Path, splits: Sequence[Split], kind: str) -> tuple[str, ...]:
    """Names of the .npy files of a kind that belong to no clip of the splits, sorted."""
    known = {name for split in splits for clip_id in split.clip_ids for name in (clip_id, media_id(clip_id))}
    stems = {path.stem for path in (data / FEATURE_FILES[kind].folder).glob("*.npy")}
    return tuple(f"{stem}.npy" for stem in sorted(stems - known))


def coverage_table(coverages: Sequence[Coverage]) -> str:
    """Lay out what is there and what is not, a row per kind and split."""
    lines = [f"{'kind':14}{'split':7}{'clips':>8}{'there':>8}{'missing':>9}"]
    for row in coverages:
        first = f"   {', '.join(row.missing[:_SHOWN])}{', ...' * (len(row.missing) > _SHOWN)}" if row.missing else ""
        there = row.clips - len(row.missing)
        lines.append(f"{row.kind:14}{row.split:7}{row.clips:8,}{there:8,}{len(row.missing):9,}{first}")
    return "\n".join(lines)


def refuse_missing(coverages: Sequence[Coverage], *, allow_missing: bool) -> None:
    """Stop where clips have no file, unless that was allowed and some clips are left.

    Raises:
        ValueError: Says where and how many.
    """
    empty = [row for row in coverages if len(row.missing) == row.clips]
    gaps = empty if allow_missing else [row for row in coverages if row.missing]
    if gaps:
        where = "; ".join(f"{row.kind} of {row.split}: {listed(row.missing)} of {row.clips:,}" for row in gaps)
        remedy = (
            "name fewer --splits or --kinds" if allow_missing else "add them, or pass --allow-missing to go on without"
        )
        raise ValueError(f"files are missing: {where}; {remedy}; nothing was written")


def import_features(
    data: Path,
    split: Split,
    kind: str,
    *,
    out: Path | None = None,
    precision: str = "float16",
    allow_missing: bool = False,
    progress: bool = True,
) -> PackedCard:
    """Check and pack one published kind for one split.

    Args:
        data: Folder of the published layout.
        split: Whose clips; rows are packed in its order.
        kind: A key of FEATURE_FILES.
        out: Data folder whose store is written; None for `data` itself.
        precision: float16, or float32 to keep every bit of what is not folded.
        allow_missing: Pack the clips that have a file; the card names the others.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The card of the packed file.

    Raises:
        FileNotFoundError: The folder is not there.
        ValueError: Clips are missing, files are damaged (all of them are counted, the first few named), teachers with
            random weights made them, or a number does not fit the precision.
    """
    _refuse_random(data)
    coverage = feature_coverage(data, (split,), (kind,))
    refuse_missing(coverage, allow_missing=allow_missing)
    paths, missing = find_feature_files(data, kind, split)
    rows = sorted(paths)
    features = _read_all([paths[row] for row in rows], kind, precision=precision, progress=progress)
    files = FEATURE_FILES[kind]
    card = PackedCard(
        kind=kind,
        split=split.name,
        clip_ids=tuple(split.clip_ids[row] for row in rows),
        dtype=precision,
        shape=tuple(features.shape),
        source=str((data / files.folder).resolve()),
        source_shape=files.shape,
        exact=precision == "float32" and files.fold is None,
        missing=missing,
    )
    return write_packed(out or data, features, card)


def import_labels(
    data: Path, splits: Sequence[Split], out: Path, *, allow_missing: bool = False, allow_untagged: bool = False
) -> tuple[PseudoLabels, list[Coverage]]:
    """Check the published pseudo labels of some splits and write them as one label file with its provenance.

    Args:
        data: Folder that holds `CLAP/segment_pseudo_labels` and `CLIP/segment_pseudo_labels`.
        splits: Whose clips, with their classes in the order the labels were made in: the files do not say it.
        out: Label folder; gets `pseudo_labels.npz` and `labels.json`.
        allow_missing: Go on without the clips that lack a file of either modality.
        allow_untagged: Accept labels of classes that are not among a clip's tags. The published rule gives none, so
            they are the one sign of another class order that the files can show.

    Returns:
        The labels, and what was there of each split.

    Raises:
        FileNotFoundError: A folder is not there.
        ValueError: Clips are missing, a file is damaged or holds something else, labels lie outside the tags, or
            teachers with random weights made them.
    """
    _refuse_random(data)
    for folder in LABEL_FOLDERS:
        for split in splits:
            _refuse_two_files(data / folder, split)
    read = [read_label_files(data, split) for split in splits]
    coverages = [
        Coverage(kind="labels", split=split.name, clips=len(split.clip_ids), missing=found.missing)
        for split, found in zip(splits, read, strict=True)
    ]
    refuse_missing(coverages, allow_missing=allow_missing)
    if not allow_untagged:
        _refuse_untagged(splits, read)
    labels = _merged(splits, read)
    provenance = {
        "imported_from": str(data.resolve()),
        "labels_sha256": hashlib.sha256(labels.labels.tobytes()).hexdigest(),
        "random_weights": False,
        "left_out": {clip_id: "missing" for row in coverages for clip_id in row.missing},
    }
    with replaced(out / PROVENANCE) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
    write_pseudo_labels(out / FILE_NAME, labels.clip_ids, labels.class_names, labels.labels)
    return labels, coverages


def _read_all(paths: Sequence[Path], kind: str, *, precision: str, progress: bool) -> Tensor:
    """Read, fold and round; every file is looked at before the damaged ones are reported."""
    features = torch.empty(len(paths), SEGMENTS, FEATURE_FILES[kind].shape[1], dtype=PRECISIONS[precision])
    damaged: list[str] = []
    with tqdm(total=len(paths), desc=f"import {kind}", unit="clip", disable=not progress) as bar:
        for start in range(0, len(paths), _CHUNK):
            arrays = []
            for path in paths[start : start + _CHUNK]:
                try:
                    arrays.append(read_feature_file(path, kind))
                except ValueError as error:
                    damaged.append(str(error))
            if not damaged:
                features[start : start + len(arrays)] = fold_features(np.stack(arrays), kind)
            bar.update(min(_CHUNK, len(paths) - start))
    if damaged:
        shown = "; ".join(damaged[:_SHOWN]) + "; ..." * (len(damaged) > _SHOWN)
        raise ValueError(
            f"{len(damaged)} of {len(paths):,} {kind} files are damaged or of another kind: {shown}; mend or delete "
            "them; nothing was written"
        )
    return features


def _merged(splits: Sequence[Split], read: Sequence[ClipArrays]) -> PseudoLabels:
    """Labels of all splits one after the other, without the missing clips."""
    ids, parts = [], []
    for split, found in zip(splits, read, strict=True):
        absent = set(found.missing)
        kept = [row for row, clip_id in enumerate(split.clip_ids) if clip_id not in absent]
        ids += [split.clip_ids[row] for row in kept]
        parts.append(found.tensor.numpy()[kept])
    return PseudoLabels(tuple(ids), splits[0].class_names, np.concatenate(parts))


def _refuse_untagged(splits: Sequence[Split], read: Sequence[ClipArrays]) -> None:
    for split, found in zip(splits, read, strict=True):
        outside = found.tensor.numpy().any(axis=(1, 2)) & ~split.weak_labels
        rows = np.flatnonzero(outside.any(axis=1))
        if len(rows):
            raise ValueError(
                f"{found.where}: {int(outside.sum()):,} labels of {split.name} are of classes outside their clip's "
                f"tags, in {listed([split.clip_ids[row] for row in rows])}; made for other classes, another class "
                "order or other tables? Pass --allow-untagged if they are meant so; nothing was written"
            )


def _refuse_two_files(folder: Path, split: Split) -> None:
    """Refuse a clip that has a file by its full name and one by its media name."""
    if not folder.is_dir():
        return
    held = {path.stem for path in folder.glob("*.npy")}
    twice = [i for i in split.clip_ids if media_id(i) != i and {i, media_id(i)} <= held]
    if twice:
        raise ValueError(
            f"{folder}: {listed(twice)} of {split.name} have two files, <clip>.npy and <first 11 characters>.npy; "
            "keep one"
        )


def _refuse_random(data: Path) -> None:
    if made_by_random_teachers(data):
        raise ValueError(
            f"{data}: {PROVENANCE} says that teachers with random weights made these files, so they mean nothing and "
            "are not imported; harvest with real weights"
        )
