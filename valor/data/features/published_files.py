"""The published layout in and out: the per-clip files of features and pseudo labels that other projects load.

In: files are looked through, checked and packed; the labels become one file. Nothing is written of a kind and split, or
of the labels, until every file of it has been read and found good. Clips without a file are refused unless that was
allowed; a damaged file is always refused, since leaving it out in silence would hide it.

Out: what a packed store, a label file or a harvest holds, under the published names, dtypes and shapes. What is folded
to one row per segment cannot be unfolded: a CLAP map unless it was harvested raw, and ResNet-152, of whose eight frames
a second the mean is kept. On demand these rows go into a folder under another name, so that no loader takes them for
the published ones.
"""

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from valor.data.label_file import LABEL_FACTS, refuse_soft, write_label_facts
from valor.eval.events import MODALITIES
from valor.label_harvest.disk import replaced
from valor.label_harvest.places.place import Place
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.manifest import check_clip_id, media_id
from valor.label_harvest.store.store import EvidenceStore, read_shards

from ..label_file import FILE_NAME, PseudoLabels, write_pseudo_labels
from ..provenance import of_folder, of_labels, pass_mark, told_by
from ..tables import Split
from .feature_files import (
    FEATURE_FILES,
    LABEL_FOLDERS,
    SEGMENTS,
    ClipArrays,
    check_kinds,
    find_feature_files,
    fold_features,
    listed,
    npy_stems,
    read_feature_file,
    read_label_files,
)
from .feature_options import PACKED
from .packed import PRECISIONS, PackedCard, packed_cards, read_packed, write_packed

_LOG = logging.getLogger(__name__)

_CHUNK = 64
"""Files read before they are folded together."""
_SHOWN = 5
FOLDED = "_folded"
"""Ending of the folder of a kind that is exported as ten rows a clip."""
ARRAYS = {
    "clap": "audio.map",
    "clip": "visual.embedding",
    "vggish": "vggish.features",
    "r2plus1d": "r2plus1d.features",
}
"""Array of a store that is a published feature kind, row for row."""
FOLDED_ARRAYS = {"clap": "audio.folded", "res152": "res152.features"}
"""Array of a store that holds a published kind folded to segments."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What is there of one feature kind, or of the labels, for one split."""

    kind: str
    split: str
    clips: int
    """Clips of the split."""
    missing: tuple[str, ...]
    """Those without a file."""


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
    check_kinds(kinds)
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
    stems = npy_stems(data / FEATURE_FILES[kind].folder)
    return tuple(f"{stems[name]}.npy" for name in sorted(stems.keys() - known))


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
            "name fewer `splits` or `kinds`"
            if allow_missing
            else "add them, or pass allow_missing=True to go on without"
        )
        raise ValueError(f"files are missing: {where}; {remedy}; nothing was written")


def import_features(
    data: Path,
    split: Split,
    kind: str,
    *,
    out: Path | None = None,
    precision: str = PACKED,
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


def _read_all(paths: Sequence[Path], kind: str, *, precision: str, progress: bool) -> Tensor:
    """Read, fold and round; every file is looked at before the damaged ones are reported."""
    features = torch.empty(len(paths), SEGMENTS, FEATURE_FILES[kind].shape[1], dtype=PRECISIONS[precision])
    damaged: list[str] = []
    with progress_bar(total=len(paths), desc=f"import {kind}", unit="clip", enabled=progress) as bar:
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
    write_pseudo_labels(out / FILE_NAME, labels.clip_ids, labels.class_names, labels.labels, described=True)
    write_label_facts(out, provenance)
    return labels, coverages


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
                "order or other tables? Pass allow_untagged=True if they are meant so; nothing was written"
            )


def _refuse_two_files(folder: Path, split: Split) -> None:
    """Refuse a clip that has a file by its full name and one by its media name."""
    if not folder.is_dir():
        return
    held = npy_stems(folder)
    twice = [i for i in split.clip_ids if media_id(i) != i and {i, media_id(i)} <= held.keys()]
    if twice:
        raise ValueError(
            f"{folder}: {listed(twice)} of {split.name} have two files, <clip>.npy and <first 11 characters>.npy; "
            "keep one"
        )


def _refuse_random(data: Path) -> None:
    if of_labels(data).random_teachers:
        raise ValueError(
            f"{data}: {LABEL_FACTS} says that teachers with random weights made these files, so they mean nothing and "
            "are not imported; harvest with real weights"
        )


def exportable(data: Path, splits: Sequence[str], kinds: Sequence[str], *, folded: bool = False) -> list[PackedCard]:
    """Cards of what is to be exported.

    Args:
        data: Data folder with a packed store.
        splits: Whose clips.
        kinds: Which kinds, each a key of FEATURE_FILES.
        folded: Accept kinds that were folded.

    Raises:
        FileNotFoundError: The store holds none of it.
        ValueError: A kind is unknown, or was folded and that was not accepted.
    """
    check_kinds(kinds)
    cards = packed_cards(data, splits, kinds)
    if not cards:
        raise FileNotFoundError(f"{data}: no packed features of {', '.join(kinds)} for {', '.join(splits)} to export")
    gone = sorted({card.kind for card in cards if card.is_folded})
    if gone and not folded:
        raise ValueError(
            f"{', '.join(gone)} were folded to ten rows a clip and cannot be unfolded; leave them out of `kinds`, or "
            f"pass folded=True to write the ten rows into folders that end in {FOLDED}, which other loaders do not read"
        )
    return cards


def export_features(data: Path, card: PackedCard, out: Path, *, progress: bool = True) -> Path:
    """Write the packed features of a kind and split, a float32 .npy per clip.

    Args:
        data: Data folder with the packed store.
        card: What to write, one of `exportable`.
        out: Folder that gets `feats/`, `CLIP/` or `CLAP/`, and the mark of simulated features.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The folder of the files. Their values are those of the published files bit for bit where the card says exact,
        and rounded to float16 or folded where it does not.

    Raises:
        ValueError: The packed file is damaged, two clips go by one name, or a file of other contents is in the way.
    """
    features, card = read_packed(data, card.kind, card.split)
    folder = out / (FEATURE_FILES[card.kind].folder + FOLDED * card.is_folded)
    names = file_names(card.clip_ids)
    if (of_folder(data) | told_by({"source": card.source})).simulated:
        pass_mark(data, out, {"source": card.source})
    arrays = (features[row].float().numpy() for row in range(len(names)))
    _write_all(folder, names, arrays, label=f"export {card.kind}" if progress else None)
    return folder


def export_labels(labels: PseudoLabels, out: Path, *, overwrite: bool = False, progress: bool = True) -> int:
    """Write pseudo labels as `{CLAP,CLIP}/segment_pseudo_labels/<id>.npy`, int64 [T, C] of 0 and 1.

    A modality that is absent from the labels gets no files.

    Args:
        labels: What to write.
        out: Folder that gets `CLAP/` and `CLIP/`.
        overwrite: Replace files of other contents.
        progress: Whether to show a progress bar on stderr.

    Returns:
        How many files were written.

    Raises:
        ValueError: Two clips go by one name, a file of other contents is in the way, or the labels are soft.
    """
    refuse_soft(labels)
    names = file_names(labels.clip_ids)
    for modality in labels.modalities:
        m = MODALITIES.index(modality)
        arrays = (clip[:, m].astype(np.int64) for clip in labels.by_clip())
        bar = f"export {LABEL_FOLDERS[m]}" if progress else None
        _write_all(out / LABEL_FOLDERS[m], names, arrays, label=bar, overwrite=overwrite)
    return len(names) * len(labels.modalities)


def file_names(clip_ids: Sequence[str]) -> list[str]:
    """Names of the published files of some clips.

    Raises:
        ValueError: Two clips go by one name, or one by a name that is no plain file name.
    """
    for clip_id in clip_ids:
        check_clip_id(clip_id)
    names = [f"{media_id(clip_id)}.npy" for clip_id in clip_ids]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"the published layout names a file by the first 11 characters of an LLP name, and {len(twice)} such names "
            f"stand for several clips, such as {twice[0]}; export fewer splits at a time"
        )
    return names


def _write_all(
    folder: Path, names: Sequence[str], arrays: Iterator[np.ndarray], *, label: str | None, overwrite: bool = False
) -> None:
    pairs = zip(names, arrays, strict=True)
    for name, array in progress_bar(pairs, total=len(names), desc=label, unit="file", enabled=label is not None):
        write_array(folder / name, array, overwrite=overwrite)


def write_array(path: Path, array: np.ndarray, *, overwrite: bool = False) -> None:
    """Write an array as .npy; unless `overwrite`, one of other contents that is there may be somebody's original.

    Raises:
        ValueError: A file of other contents is in the way.
    """
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    contents = buffer.getvalue()
    if path.exists() and not overwrite:
        if path.stat().st_size == len(contents) and path.read_bytes() == contents:
            return
        raise ValueError(f"{path}: another file is in the way; export into an empty folder")
    with replaced(path, flush=False) as temporary:
        temporary.write_bytes(contents)


@dataclass(frozen=True)
class ExportPlan:
    """Which folders of the published layout a store can give."""

    features: Mapping[str, str]
    """Array of the store by folder."""
    labels: tuple[str, ...]
    """Folders of the labels."""
    lacking: tuple[str, ...]
    """What of the published layout the store cannot give, why, and what can be done, in words."""

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders that are written."""
        return (*self.labels, *self.features)


@dataclass(frozen=True)
class ExportedFeatures:
    """One folder of features that was written."""

    folder: str
    files: int
    shape: tuple[int, ...]
    """Shape of the float32 array in every file."""


def plan_export(store: EvidenceStore, labels: PseudoLabels, *, folded: bool = False) -> ExportPlan:
    """Choose what can be written.

    Args:
        store: No array of it need be read.
        labels: Of the modalities to write.
        folded: Also write what is folded, under another folder name.

    Raises:
        ValueError: The labels are soft.
    """
    refuse_soft(labels)
    held = store.held
    features = {FEATURE_FILES[kind].folder: array for kind, array in ARRAYS.items() if array in held}
    if folded:
        coarse = {kind: array for kind, array in FOLDED_ARRAYS.items() if array in held}
        features |= {FEATURE_FILES[kind].folder + FOLDED: array for kind, array in coarse.items()}
    folder_of = dict(zip(MODALITIES, LABEL_FOLDERS, strict=True))
    return ExportPlan(
        features, tuple(folder_of[modality] for modality in labels.modalities), tuple(_lacking(store, folded=folded))
    )


def _lacking(store: EvidenceStore, *, folded: bool) -> Iterator[str]:
    """What the teachers of a store make and it did not keep as it is published."""
    held = store.held
    for kind, files in FEATURE_FILES.items():
        exact, coarse = ARRAYS.get(kind, ""), FOLDED_ARRAYS.get(kind)
        remedy = "; harvest into another store with raw_maps=True for them" if kind == "clap" else ""
        if coarse in held and exact not in held:
            place = f"{files.folder}{FOLDED}, which other loaders do not read"
            yield (
                f"no {files.folder}: the store keeps {coarse}, one row per segment, of which "
                f"[{_by(files.shape)}] cannot be made{remedy}; "
                f"{'the rows are in' if folded else 'folded=True writes the rows to'} {place}"
            )
        elif exact not in held and exact.partition(".")[0] in store.roles:
            yield f"no {files.folder}: the store does not hold {exact}{remedy}"


def export_store(
    out: Path, store: Place, labels: PseudoLabels, plan: ExportPlan, *, progress: bool = True
) -> tuple[int, list[ExportedFeatures]]:
    """Write labels and features of the clips that have labels; features go shard by shard, one in memory at a time.

    What is there is replaced: `valor.labelling.make` has said whose it is.

    Args:
        out: Folder that gets `feats/`, `CLIP/` and `CLAP/`.
        store: The store the labels were made of.
        labels: Of the clips to write. Clips without labels get no files, so that a loader stops rather than learns
            from zeros.
        plan: What to write.
        progress: Whether to show a progress bar on stderr.

    Returns:
        How many files of labels there are, and what was written of features. A clip whose features are not all numbers
        has no file of them.

    Raises:
        ValueError: Two clips go by one name, the labels are soft, or a shard is damaged.
    """
    counted = export_labels(labels, out, overwrite=True, progress=progress)
    if not plan.features:
        return counted, []
    name_of = dict(zip(labels.clip_ids, file_names(labels.clip_ids), strict=True))
    files, shapes = Counter[str](), {}
    shards = read_shards(store, names=tuple(plan.features.values()))
    for shard in progress_bar(shards, desc="export features", unit="shard", enabled=progress):
        for folder, array in plan.features.items():
            for n, (clip_id, rows) in enumerate(zip(shard.clip_ids, shard.arrays.get(array, ()), strict=False)):
                rows = rows if shard.segments is None else rows[: shard.segments[n]]
                if clip_id in name_of and np.isfinite(rows).all():
                    write_array(out / folder / name_of[clip_id], rows.astype(np.float32), overwrite=True)
                    files[folder] += 1
                    shapes[folder] = rows.shape
    return counted, [ExportedFeatures(folder, files[folder], shapes.get(folder, ())) for folder in plan.features]


def unlike_published(found: ExportedFeatures) -> str:
    """How the shape of exported features differs from the published one, in words; nothing where it does not."""
    published = {files.folder: files.shape for files in FEATURE_FILES.values()}.get(found.folder)
    return "" if published in (None, found.shape) or not found.files else f" (published: [{_by(published)}])"


def _by(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
