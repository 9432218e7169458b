"""A folder of LFAV in small, with every known defect of the published tables, and a store of its clips."""

from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import LFAV
from valor.data.predictions import Predictions, write_predictions
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import SEGMENTS, ShardRow, read_markers, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store

TAGS = {
    "train_audio_weakly": {"learn-a": "speech, playing_badminton", "learn-b": "dog,silent"},
    "train_visual_weakly": {"learn-a": "speech", "learn-b": "cat"},
    "train_weakly": {"learn-a": "speech,playing_badminton", "learn-b": "dog"},
    "val_audio_weakly": {"val-a": "speech"},
    "val_visual_weakly": {"val-a": "dog,train,speech"},
    "val_weak_av": {"val-a": "speech,dog"},
    "test_audio_weakly": {"test-a": "speech", "test-b": "dog"},
    "test_visual_weakly": {"test-a": "cat,toilet_flush", "test-b": "dog"},
}
EVENTS = {
    "val_audio": [("val-a", 0, 3, "speech")],
    "val_visual": [("val-a", 2, 2, "dog"), ("val-a", 5, 3, "dog"), ("val-a", 6, 7, "dog"), ("val-a", 1, 2, "speech")],
    "test_audio": [("test-a", 1, 2, "speech"), ("test-a", 1, 2, "speech"), ("test-a", 5, 116117, "speech")],
    "test_visual": [("test-a", 0, 4, "cat"), ("test-b", 3, 20, "dog"), ("test-x", 0, 1, "dog")],
}
DURATIONS = {"val-a": 9.5, "test-a": 8, "test-b": 6, "test-x": 3}
LENGTHS = {"learn-a": 7, "learn-b": 4, "val-a": 10, "test-a": 8, "test-b": 7}
"""Segments of the store; that of test-b goes on behind what the durations say."""


def write_lfav(folder: Path, *, durations: bool = True) -> Path:
    """Write the tables in the folders they are published in."""
    for name, rows in (TAGS | EVENTS).items():
        table = folder / name.partition("_")[0] / f"{name}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(rows, dict):
            text = "filename\tevent_labels\n" + "".join(f"{clip}\t{tags}\n" for clip, tags in rows.items())
        else:
            text = "filename\tonset\toffset\tevent_labels\n" + "".join("{}\t{}\t{}\t{}\n".format(*row) for row in rows)
        table.write_text(text)
    if durations:
        rows = "".join(f"{clip}\t{seconds}\n" for clip, seconds in DURATIONS.items())
        (folder / "durations.tsv").write_text(f"filename\tseconds\n{rows}")
    return folder


def write_lfav_store(folder: Path) -> Path:
    """Evidence of whole clips, a little of each tag and some noise, with the tags of each modality."""
    splits = [LFAV.read_split(folder, split) for split in LFAV.splits]
    teacher = {"teacher": "sure", "weights": "ab" * 32, "prompts": list(LFAV.names), "logit_scale": 1.0}
    grid = {"num_segments": 10, "segment_seconds": 1.0, "sample_rate": 48_000}
    roles = {role: {**teacher, "logit_bias": 0.0} for role in ("audio", "visual")}
    store = open_store(folder / "store", describe(LFAV.names, grid, roles, length="whole"))
    rng, arrays, rows = np.random.default_rng(0), {}, []
    for split in splits:
        for clip_id, by in zip(split.clip_ids, split.modality_tags, strict=True):
            count = LENGTHS[clip_id]
            for role, width, tags in (("audio", 512, by[0]), ("visual", 768, by[1])):
                logits = rng.uniform(0, 5, (count, 35)) + 10 * tags
                arrays.setdefault(f"{role}.similarity", []).append(logits.astype(np.float32))
                embedding = np.tile(tags, (count, 1)) @ np.eye(35, width) + 0.01 * rng.normal(size=(count, width))
                arrays.setdefault(f"{role}.embedding", []).append(embedding.astype(np.float16))
            names = [tuple(name for name, on in zip(LFAV.names, of, strict=True) if on) for of in (by.any(axis=0), *by)]
            rows.append(ShardRow(clip_id, "ok", "", names[0], {SEGMENTS: count}, (names[1], names[2])))
    with write_lock(store):
        write_shard(store, 0, {name: np.concatenate(of) for name, of in arrays.items()}, rows)
        write_list(store, read_markers(store))
    return folder / "store"


def write_lfav_world(root: Path) -> None:
    """A folder `lfav` and predictions of its test clips: the truth, but for a doubt."""
    split = LFAV.read_split(write_lfav(root / "lfav"), "test")
    probs = np.where(split.truth, 0.9, 0.05).astype(np.float32)
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names, "valid": split.valid}
    write_predictions(root / "found.npz", Predictions(**held, segment_probs=probs, clip_probs=probs.max(axis=(1, 2))))
