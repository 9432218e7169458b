"""A data folder in the published layout: annotation tables, a file per clip and feature kind, pseudo labels."""

from pathlib import Path

import numpy as np

from tests.helpers.toy_line import NAMES, SPLITS
from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.data.tables import write_weak_table
from valor.label_harvest.store.manifest import media_id

TABLES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}


def write_published(folder: Path, *, kinds: tuple[str, ...] = tuple(FEATURE_FILES)) -> Path:
    """Write the layout for the clips of tests.helpers.toy_line; labels lie inside the tags, as published ones do."""
    rng = np.random.default_rng(3)
    for split, clip_ids in SPLITS.items():
        tags = np.zeros((len(clip_ids), len(NAMES)), dtype=bool)
        tags[np.arange(len(clip_ids)), np.arange(len(clip_ids))] = True
        folder.mkdir(parents=True, exist_ok=True)
        write_weak_table(folder / TABLES[split], clip_ids, tags, NAMES)
        for clip_id, clip_tags in zip(clip_ids, tags, strict=True):
            for kind in kinds:
                shape = FEATURE_FILES[kind].shape
                save(folder / FEATURE_FILES[kind].folder, clip_id, rng.normal(size=shape).astype(np.float32))
            for name in LABEL_FOLDERS:
                save(folder / name, clip_id, (rng.random((10, len(NAMES))) < 0.5).astype(np.int64) * clip_tags)
    return folder


def save(folder: Path, clip_id: str, array: np.ndarray) -> Path:
    """Write a .npy under the name a clip's files go by."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{media_id(clip_id)}.npy"
    np.save(path, array)
    return path
