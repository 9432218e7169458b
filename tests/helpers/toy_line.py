"""A toy data folder for the whole line: annotation tables, small MP4 files, weights of the demo teachers' shape."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.data.tables import write_event_table, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.teachers.demo import SAMPLE_RATE, TinyNetwork

NAMES = class_names(LLP_CLASSES)

SPLITS = {
    "train": ("trainclip-0_30_40", "trainclip-1_0_10", "trainclip-2_5_15", "gone-------_0_10", "torn-------_7_17"),
    "val": ("valclip---0_0_10", "valclip---1_9_19"),
    "test": ("testclip--0_20_30", "testclip--1_1_11"),
}
TABLES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
TAGS: dict[str, set[int]] = {clip: {row % 25, (7 * row + 3) % 25} for row, clip in enumerate(sum(SPLITS.values(), ()))}
WHOLE = tuple(clip for clip in TAGS if clip not in ("gone-------_0_10", "torn-------_7_17"))


def write_tables(folder: Path) -> Path:
    for split, clips in SPLITS.items():
        weak_labels = np.array([[index in TAGS[clip] for index in range(25)] for clip in clips])
        write_weak_table(folder / TABLES[split], clips, weak_labels, NAMES)
    offsets = {"val": 6, "test": 4}
    rows = [(clip, 0, end, NAMES[c]) for split, end in offsets.items() for clip in SPLITS[split] for c in TAGS[clip]]
    for modality in ("audio", "visual"):
        write_event_table(folder / f"AVVP_eval_{modality}.csv", rows)
    return folder


def write_videos(folder: Path) -> None:
    """Small whole MP4 files named by their short ids, one of them torn and one not there."""
    folder.mkdir()
    for number, clip in enumerate(WHOLE):
        video = ToyVideo(rate=8, width=32, height=32, first_number=20 * number)
        sound = ToySound(rate=SAMPLE_RATE, level=0.1 + 0.1 * number)
        write_toy_clip(folder / f"{clip[:11]}.mp4", video=video, sound=sound)
    whole = (folder / f"{WHOLE[0][:11]}.mp4").read_bytes()
    (folder / "torn-------.mp4").write_bytes(whole[: len(whole) // 2])


def write_weights(folder: Path) -> tuple[str, ...]:
    """Weight files of the demo teachers' shape, and how they are given."""
    given: tuple[str, ...] = ("--visual", "demo-visual", "--audio", "demo-audio")
    with torch.random.fork_rng(devices=[]):
        for seed, role in enumerate(("visual", "audio")):
            torch.manual_seed(seed)
            state = TinyNetwork(role).fold_norms().state_dict()
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / f"{role}.safetensors")
            given += ("--checkpoint", f"{role}={folder / role}.safetensors")
    return given
