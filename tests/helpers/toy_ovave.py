"""A folder of OV-AVEBench in small, and a store of what two teachers say of its clips."""

import json
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import OVAVE
from valor.data.predictions import Predictions, write_predictions
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import ShardRow, read_markers, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store

SEEN, UNSEEN = "arc welding", "helicopter"
CLIPS = {
    "learn-a": ("train", SEEN, range(2, 6)),
    "learn-b": ("train", SEEN, range(0)),
    "val-a": ("val", SEEN, range(10)),
    "val-b": ("val", UNSEEN, range(4, 9)),
    "test-a": ("test", SEEN, range(3)),
    "test-b": ("test", UNSEEN, range(10)),
    "test-c": ("test", UNSEEN, range(0)),
}
"""Split, class and seconds."""


def write_ovave(folder: Path) -> Path:
    """Write both files where they are published."""
    held = folder / "meta_anno_files"
    held.mkdir(parents=True, exist_ok=True)
    kinds = {SEEN: "close", UNSEEN: "open"}
    rows = [f"{split},{name},{kinds[name]},{clip}\n" for clip, (split, name, _) in CLIPS.items()]
    (held / "ovave_dataset_meta.csv").write_text("split,cls_name,cls_type,vid_name\n" + "".join(rows))
    labels = {
        clip: {"category": name, "label": json.dumps([int(second in own) for second in range(10)])}
        for clip, (_, name, own) in CLIPS.items()
    }
    (held / "ovavel_dataset_anno.json").write_text(json.dumps(labels))
    return folder


def write_ovave_store(folder: Path, *, other: bool = False, embeddings: bool = True) -> Path:
    """Teachers that agree where the event is; elsewhere they name different classes, or both the further one."""
    names = (*OVAVE.names, *["other"] * other)
    teacher = {"teacher": "sure", "weights": "ab" * 32, "prompts": list(names), "logit_scale": 1.0, "logit_bias": 0.0}
    grid = {"num_segments": 10, "segment_seconds": 1.0, "sample_rate": 48_000}
    store = open_store(folder / "store", describe(names, grid, dict.fromkeys(("audio", "visual"), teacher)))
    rng, arrays, rows = np.random.default_rng(0), {}, []
    for clip, (_, name, own) in CLIPS.items():
        at = OVAVE.names.index(name)
        for number, (role, width) in enumerate((("audio", 512), ("visual", 768))):
            logits = np.zeros((10, len(names)), np.float32)
            for second in range(10):
                logits[second, at if second in own else (len(names) - 1 if other else number)] = 5
            arrays.setdefault(f"{role}.similarity", []).append(logits)
            if embeddings:
                arrays.setdefault(f"{role}.embedding", []).append(rng.normal(size=(10, width)).astype(np.float16))
        rows.append(ShardRow(clip, "ok", "", (name,) if own else ()))
    with write_lock(store):
        write_shard(store, 0, {name: np.stack(of) for name, of in arrays.items()}, rows)
        write_list(store, read_markers(store))
    return folder / "store"


def write_ovave_world(root: Path) -> None:
    """A folder `ovave`, and predictions of its test clips: sure of the seen class everywhere."""
    split = OVAVE.read_split(write_ovave(root / "ovave"), "test")
    probs = np.full(split.truth.shape, 0.1, np.float32)
    probs[..., OVAVE.names.index(SEEN)] = 0.9
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names}
    write_predictions(root / "guess.npz", Predictions(**held, segment_probs=probs, clip_probs=probs.mean(axis=(1, 2))))
