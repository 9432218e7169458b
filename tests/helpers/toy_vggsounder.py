"""A folder of VGGSounder in small, predictions of its clips, and a store of what two teachers say of them."""

from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import dataset_of
from valor.data.predictions import Predictions, write_predictions
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import ShardRow, read_markers, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store

CLASSES = ("wind noise", "male speech, man speaking", "cat purring", "playing cello")
"""In an order that is not that of the alphabet."""
ROWS = """\
aaaaaaaaaaa_000000,cat purring,AV,False,False,True
aaaaaaaaaaa_000000,"male speech, man speaking",A,False,False,True
bbbbbbbbbbb_000030,playing cello,AV,True,False,False
ccccccccccc_000110,wind noise,A,False,False,False
ddddddddddd_000007,playing cello,V,False,True,False
ddddddddddd_000007,wind noise,A,False,True,False
eeeeeeeeeee_000000,"male speech, man speaking",AV,False,False,True
fffffffffff_000210,cat purring,A,False,False,False
fffffffffff_000210,cat purring,V,False,False,False
"""
TRAIN = """\
ggggggggggg,30,cat purring,train
hhhhhhhhhhh,0,"male speech, man speaking",train
aaaaaaaaaaa,0,cat purring,test
"""


def write_vggsounder(folder: Path, *, listed: bool = True, train: bool = False) -> Path:
    """Write the published table, and perhaps a list of its classes and VGG-Sound's own table."""
    folder.mkdir(parents=True, exist_ok=True)
    header = "video_id,label,modality,background_music,static_image,voice_over\n"
    (folder / "vggsounder.csv").write_text(header + ROWS)
    if listed:
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    if train:
        (folder / "vggsound.csv").write_text(TRAIN)
    return folder


def write_vggsounder_store(folder: Path) -> Path:
    """Evidence of every label in all ten seconds of its modality."""
    split = dataset_of(folder).read_split(folder, "test")
    assert split.modality_tags is not None
    teacher = {"teacher": "sure", "weights": "ab" * 32, "prompts": list(CLASSES), "logit_scale": 1.0, "logit_bias": 0.0}
    grid = {"num_segments": 10, "segment_seconds": 1.0, "sample_rate": 48_000}
    store = open_store(folder / "store", describe(CLASSES, grid, dict.fromkeys(("audio", "visual"), teacher)))
    arrays, rows = {}, []
    for clip_id, by in zip(split.clip_ids, split.modality_tags, strict=True):
        for role, tags in zip(("audio", "visual"), by, strict=True):
            arrays.setdefault(f"{role}.similarity", []).append(np.tile(30 * tags, (10, 1)).astype(np.float32))
        names = [tuple(name for name, on in zip(CLASSES, of, strict=True) if on) for of in (by.any(axis=0), *by)]
        rows.append(ShardRow(clip_id, "ok", "", names[0], {}, (names[1], names[2])))
    with write_lock(store):
        write_shard(store, 0, {name: np.stack(of) for name, of in arrays.items()}, rows)
        write_list(store, read_markers(store))
    return folder / "store"


def write_vggsounder_world(root: Path) -> None:
    """A folder `vggsounder` and predictions of its clips: the truth in one second of ten."""
    folder = write_vggsounder(root / "vggsounder")
    split = dataset_of(folder).read_split(folder, "test")
    assert split.truth is not None
    probs = np.full(split.truth.shape, 0.1, np.float32)
    probs[:, 4] = np.where(split.truth[:, 4], 0.9, 0.1)
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names}
    write_predictions(root / "guess.npz", Predictions(**held, segment_probs=probs, clip_probs=probs.max(axis=(1, 2))))
