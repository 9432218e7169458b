"""A folder of AVE in small: six rows, three splits, and plain HDF5 files as h5py writes them."""

import json
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np

from valor.data.datasets.ave import AVE_NAMES
from valor.data.datasets.dataset import AVE
from valor.data.predictions import Predictions, write_predictions
from valor.data.vocabulary import LLP_CLASSES
from valor.demo.world.render import render_clip
from valor.demo.world.schedule import ClipPlan, PlannedEvent

ROWS = (
    "Church bell&aaaaaaaaaaa&good&0&10",
    "Male speech, man speaking&bbbbbbbbbbb&good&2&6",
    "Female speech, woman speaking&bbbbbbbbbbb&good&2&6",
    "Bark&ccccccccccc&good&0&0",
    "Bark&ddddddddddd&good&0&10",
    "Church bell&eeeeeeeeeee&good&5&10",
)
ORDERS = {"train": [2, 0, 1], "val": [3], "test": [5, 4]}
_LETTERS = {"i": (0x10, 0x08), "u": (0x10, 0x00), "f": (0x11, 0x20)}


def write_ave(folder: Path, rows: tuple[str, ...] = ROWS, orders: dict[str, list[int]] = ORDERS) -> Path:
    """Write the annotation and the orders."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Annotations.txt").write_text("\n".join(rows), encoding="utf-8")
    for split, order in orders.items():
        write_hdf5(folder / f"{split}_order.h5", "order", np.array(order, np.int64))
    return folder


def write_ave_world(root: Path) -> None:
    """A folder `ave` that says what it is, with published labels and features, and predictions of its test clips."""
    folder = write_ave(root / "ave")
    write_labels(folder)
    write_hdf5(folder / "audio_feature.h5", "avadataset", np.random.default_rng(0).random((len(ROWS), 10, 128)))
    (folder / "dataset.json").write_text('{"dataset": "ave"}')
    write_guess(root / "guess.npz", folder)


def write_guess(file: Path, folder: Path) -> None:
    """Predictions of the two test clips: certain of a bark everywhere, which one of them has."""
    split = AVE.read_split(folder, "test")
    probs = np.full((2, 10, 2, 28), 0.1, np.float32)
    probs[:, :, :, 2] = 0.9
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names}
    write_predictions(file, Predictions(**held, segment_probs=probs, clip_probs=probs.mean(axis=(1, 2))))


def write_labels(folder: Path, num_columns: int = 29) -> None:
    """Write the tags of the rows as published."""
    tags = np.zeros((len(ROWS), num_columns), np.float32)
    for number, row in enumerate(ROWS):
        tags[number, AVE_NAMES.index(row.split("&")[0])] = 1
    write_hdf5(folder / "mil_labels.h5", "avadataset", tags)


def write_hdf5(path: Path, name: str, array: np.ndarray, *, more: bytes = b"", layout: bytes = b"\3\1") -> None:
    """Write one array: superblock, tree, heap, header, names, numbers."""
    tree, heap, node, header = 96, 160, 256, 384
    kind, bits = _LETTERS[array.dtype.kind]
    held = array.tobytes()
    numbers = header + 16 + 512
    messages = [
        (1, bytes([1, array.ndim, 0, 0, 0, 0, 0, 0]) + struct.pack(f"<{array.ndim}Q", *array.shape)),
        (3, bytes([kind, bits, 0, 0]) + struct.pack("<I", array.itemsize) + bytes(8)),
        (8, layout + struct.pack("<QQ", numbers, len(held)) + bytes(6)),
        *([(11, more)] if more else []),
    ]
    text = b"".join(struct.pack("<HHBxxx", number, len(body), 0) + body for number, body in messages)
    out = bytearray(numbers)
    out[:24] = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0" + struct.pack("<HHI", 4, 16, 0)
    out[24:96] = struct.pack("<QqQqQQIIQQ", 0, -1, numbers + len(held), -1, 0, tree, 1, 0, tree, heap)
    out[tree : tree + 48] = b"TREE\0\0" + struct.pack("<HqqQQQ", 1, -1, -1, 0, node, 8)
    out[heap : heap + 32] = b"HEAP\0\0\0\0" + struct.pack("<QqQ", 64, -1, heap + 32)
    out[heap + 40 : heap + 40 + len(name)] = name.encode()
    out[node : node + 24] = b"SNOD\1\0" + struct.pack("<HQQ", 1, 8, header)
    out[header : header + 16 + len(text)] = struct.pack("<BxHII4x", 1, len(messages), 1, len(text)) + text
    path.write_bytes(bytes(out) + held)


FILMED = ("Dog", "Chainsaw", "Violin_fiddle")
"""Classes of the demo world that the small AVE on real files has."""


def write_filmed_ave(folder: Path, sizes: dict[str, int], *, seed: int = 0) -> Path:
    """A small AVE of real files, `videos/<video>.mp4`: one event in each clip, audible and visible for part of it.

    Of the last class only parts are shown; the first video of train has a second row, of another class.
    """
    rng, classes = np.random.default_rng(seed), [entry for entry in LLP_CLASSES if entry.name in FILMED]
    rows, orders, count = [], {}, 0
    (folder / "videos").mkdir(parents=True)
    for split, size in sizes.items():
        orders[split] = list(range(count, count + size))
        for number in range(count, count + size):
            video, name = f"film{number:07d}", FILMED[number % len(FILMED)]
            start, stop = (0, 10) if number % 3 else (int(rng.integers(0, 4)), int(rng.integers(6, 11)))
            rows.append(f"{name}&{video}&good&{start}&{stop}")
            events = tuple(PlannedEvent(name, modality, start, stop) for modality in ("audio", "visual"))
            render_clip(ClipPlan(video, split, events, (name,)), folder / "videos" / f"{video}.mp4", seed)
        count += size
    rows.append(f"{FILMED[1]}&film0000000&good&0&2")
    orders["train"].append(count)
    write_ave(folder, tuple(rows), orders)
    held = [asdict(entry) for entry in classes]
    said = {"dataset": "ave", "name": "filmed", "title": "AVE in small", "classes": "classes.json"}
    for name, value in (("classes.json", held), ("dataset.json", said)):
        (folder / name).write_text(json.dumps(value))
    return folder
