"""The published layout of a store: its features and labels as the per-clip files other projects load.

Names, dtypes and shapes are those of the published files. What a store keeps folded to one row per segment cannot be
unfolded: a CLAP map unless it was harvested raw, and ResNet-152, of whose eight frames a second the mean is kept. On
demand these rows go into a folder under another name, so that no loader takes them for the published ones.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.events import MODALITIES
from label_harvest.store import EvidenceStore, read_shards
from valor.exporting import FOLDED, export_labels, file_names, write_array
from valor.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.labelling import refuse_soft
from valor.labels_file import PseudoLabels

ARRAYS = {
    "clap": "audio.map",
    "clip": "visual.embedding",
    "vggish": "vggish.features",
    "r2plus1d": "r2plus1d.features",
}
"""Array of a store that is a published feature kind, row for row."""

FOLDED_ARRAYS = {"clap": "audio.folded", "res152": "res152.features"}
"""Array of a store that holds a published kind folded to segments."""


@dataclass(frozen=True)
class ExportPlan:
    """What is written of a store."""

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
    """Of every file, float32."""


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
        remedy = "; harvest into another store with --raw-maps for them" if kind == "clap" else ""
        if coarse in held and exact not in held:
            place = f"{files.folder}{FOLDED}, which other loaders do not read"
            yield (
                f"no {files.folder}: the store keeps {coarse}, one row per segment, of which "
                f"[{_by(files.shape)}] cannot be made{remedy}; "
                f"{'the rows are in' if folded else '--folded writes the rows to'} {place}"
            )
        elif exact not in held and exact.partition(".")[0] in store.roles:
            yield f"no {files.folder}: the store does not hold {exact}{remedy}"


def export_store(
    out: Path, store: Path, labels: PseudoLabels, plan: ExportPlan, *, progress: bool = True
) -> tuple[int, list[ExportedFeatures]]:
    """Write labels and features of the clips that have labels; features go shard by shard, one in memory at a time.

    What is there is replaced: `valor.label_folder` has said whose it is.

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
    for shard in tqdm(shards, desc="export features", unit="shard", disable=not progress):
        for folder, array in plan.features.items():
            for clip_id, rows in zip(shard.clip_ids, shard.arrays.get(array, ()), strict=False):
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
