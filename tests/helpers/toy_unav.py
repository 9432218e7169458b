"""A few untrimmed videos as UnAV-100's file holds them, and predictions of them."""

import json
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import UNAV
from valor.data.datasets.unav import UNAV_FILE, UNAV_NAMES
from valor.data.predictions import Predictions, write_predictions

DOG, CAT = "dog barking", "cat meowing"


def event(name, onset, offset):
    return {"segment": [onset, offset], "label": name, "label_id": UNAV_NAMES.index(name)}


def video(subset, duration, *events):
    return {"subset": subset, "duration": duration, "annotations": list(events)}


def toy():
    return {
        "aaaaaaaaaa1": video("train", 12, event(DOG, 1, 3.5)),
        "aaaaaaaaaa2": video("test", 10.4, event(DOG, 0.2, 2.9), event(CAT, 2.5, 4), event(DOG, 3.3, 10.4)),
        "aaaaaaaaaa3": video("Validation", 20, event(CAT, 0, 20)),
        "aaaaaaaaaa4": video("test", 4, event(CAT, 1.25, 2.75)),
    }


def written(folder, database, said="unav"):
    folder.mkdir(exist_ok=True)
    (folder / UNAV_FILE).write_text(json.dumps({"version": "unav100", "database": database}))
    (folder / "dataset.json").write_text(json.dumps({"dataset": said}))
    return folder


def write_unav_world(root: Path) -> None:
    """A folder `unav` and predictions of its two test videos: the truth, but for a doubt."""
    split = UNAV.read_split(written(root / "unav", toy()), "test")
    probs = np.where(split.truth, 0.9, 0.05).astype(np.float32)
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names, "valid": split.valid}
    write_predictions(root / "found.npz", Predictions(**held, segment_probs=probs, clip_probs=probs.max(axis=(1, 2))))
