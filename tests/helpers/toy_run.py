"""A toy LLP on which recipes train in a second: tables, published features, a store, labels, and small recipes."""

import json
from pathlib import Path

import numpy as np

from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.data.label_file import write_pseudo_labels
from valor.data.tables import write_event_table, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store
from valor.training.recipes import RECIPES, override

NAMES = class_names(LLP_CLASSES)
SPLITS = {
    name: tuple(f"{name:-<8}{row:03d}_{row}_{row + 10}" for row in range(clips))
    for name, clips in (("train", 7), ("val", 3), ("test", 2))
}
CLIPS = tuple(clip_id for clips in SPLITS.values() for clip_id in clips)
RNG = np.random.default_rng(0)
TAGS = RNG.random((len(CLIPS), 25)) < 0.1
TAGS[:, 3] = True
LABELS = (RNG.random((len(CLIPS), 10, 2, 25)) < 0.5) & TAGS[:, None, None]

SMALL = [
    *("parser.hidden_width=8", "parser.num_heads=2", "parser.feedforward_width=8", "parser.num_layers=1"),
    *("fit.epochs=2", "fit.warmup_epochs=1", "fit.batch_size=4"),
]
VALOR = override(RECIPES["valor"], SMALL)
FROM_STORE = override(RECIPES["demo"], [*SMALL, "parser.audio_width=5", "parser.visual_width=6"])


def write_tables(folder: Path) -> Path:
    """Annotation tables in which every tag is an event of the middle of its clip."""
    for split, table in (("train", "AVVP_train.csv"), ("val", "AVVP_val_pd.csv"), ("test", "AVVP_test_pd.csv")):
        rows = [CLIPS.index(clip_id) for clip_id in SPLITS[split]]
        write_weak_table(folder / table, SPLITS[split], TAGS[rows], NAMES)
    events = [(CLIPS[n], 2, 8, NAMES[c]) for n, c in np.argwhere(TAGS) if n >= 7]
    for modality in ("audio", "visual"):
        write_event_table(folder / f"AVVP_eval_{modality}.csv", events)
    return folder


def write_npy(folder: Path, clip_id: str, array: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{clip_id[:11]}.npy", array)


def write_toy_store(root: Path, *, weights: str = "ab" * 32, shard_clips: int = len(CLIPS)) -> None:
    """A store as a harvest leaves it."""
    rng = np.random.default_rng(2)
    teachers = {
        role: {"weights": weights, "prompts": list(NAMES), "logit_scale": 1.0, "logit_bias": 0.0}
        for role in ("audio", "visual")
    }
    arrays = {
        f"{role}.embedding": rng.normal(size=(len(CLIPS), 10, width)).astype(np.float16)
        for role, width in (("audio", 5), ("visual", 6))
    }
    folder = open_store(root, describe(NAMES, {"num_segments": 10}, teachers))
    with write_lock(folder):
        for index, start in enumerate(range(0, len(CLIPS), shard_clips)):
            held = slice(start, start + shard_clips)
            rows = [ShardRow(clip_id, "ok", "", ("Dog",)) for clip_id in CLIPS[held]]
            write_shard(folder, index, {name: array[held] for name, array in arrays.items()}, rows)


def write_labels(folder: Path, *, random: bool = False) -> Path:
    write_pseudo_labels(folder / "pseudo_labels.npz", CLIPS, NAMES, LABELS)
    (folder / "labels.json").write_text(json.dumps({"random_weights": random}))
    return folder


def write_published_layout(folder: Path) -> Path:
    """Tables, the published features of all clips, and labels of the training clips."""
    data = write_tables(folder)
    rng = np.random.default_rng(1)
    for row, clip_id in enumerate(CLIPS):
        for kind in ("vggish", "res152", "r2plus1d"):
            files = FEATURE_FILES[kind]
            write_npy(data / files.folder, clip_id, rng.normal(size=files.shape).astype(np.float32))
        if clip_id in SPLITS["train"]:
            for m, folder in enumerate(LABEL_FOLDERS):
                write_npy(data / folder, clip_id, LABELS[row, :, m].astype(np.int64))
    return data
