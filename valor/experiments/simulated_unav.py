"""Simulated features of UnAV-100: a part of the published annotation or an invented one, and evidence of a harvest.

Clips are of unlike length, which no published layout holds, so the features lie in an evidence store, as `valor
harvest --length whole` leaves them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from valor.data.datasets.dataset import DATASET_FILE, DataSet
from valor.data.datasets.unav import UNAV_FILE, UNAV_NAMES
from valor.data.datasets.unav_features import FEATURES, FRAME_RATE, HOP, SUFFIXES, WINDOW
from valor.data.label_file import FILE_NAME, LABEL_FACTS, write_label_facts, write_pseudo_labels
from valor.data.provenance import MARK
from valor.data.tables import Split
from valor.label_harvest.disk import replaced, write_json
from valor.label_harvest.media.clip import WHOLE
from valor.label_harvest.places.place import Place
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import SEGMENTS, ShardRow, read_markers, write_shard
from valor.label_harvest.store.store import describe, open_store
from valor.label_harvest.strict_json import loads

from .options import SimulationOptions

UNAV_TABLES = (UNAV_FILE,)
"""What is looked for in the data."""
UNAV_LISTS = (UNAV_FILE, DATASET_FILE)
"""What is written."""
WIDTHS = {"audio": 512, "visual": 768}
"""Of embeddings of CLAP and CLIP."""

_STORE = "store"
_SHARD = 500
"""Clips of a shard."""


def write_unav_file(data: Path | None, out: Path, options: SimulationOptions, dataset: DataSet) -> None:
    """Write an annotation file into a folder.

    Args:
        data: A folder of UnAV-100, of whose videos as many at even distances are taken; None to invent videos.
        out: The folder.
        options: How many, and the seed.
        dataset: The one of its grids that is wanted.
    """
    database: dict[str, Any] = {}
    held = {} if data is None else dict(loads((data / UNAV_FILE).read_bytes())["database"])
    for number, (split, size) in enumerate(options.split_sizes(dataset).items()):
        if data is None:
            database |= _invented(split, size, np.random.default_rng([options.seed, 4, number]))
            continue
        ids = [clip_id for clip_id, video in held.items() if str(video["subset"]).lower() == split]
        rows = np.linspace(0, len(ids) - 1, min(size, len(ids))).round().astype(int)
        database |= {ids[row]: held[ids[row]] for row in rows}
    write_json(out / UNAV_FILE, {"version": "unav100", "database": database}, indent=None)
    with replaced(out / DATASET_FILE) as temporary:
        temporary.write_text(json.dumps({"dataset": dataset.name}), encoding="utf-8")


def _invented(split: str, size: int, rng: np.random.Generator) -> dict[str, Any]:
    """Videos of 10 to 60 s with one to five events each, of one or two classes."""
    videos: dict[str, Any] = {}
    for number, main in enumerate(rng.permutation(np.arange(size) % len(UNAV_NAMES)).tolist()):
        seconds = round(float(rng.uniform(10, 60)), 2)
        names = [main, *rng.integers(0, len(UNAV_NAMES), int(rng.random() < 0.4)).tolist()]
        events = []
        for name in [main, *rng.choice(names, rng.integers(0, 5)).tolist()]:
            lasts = min(seconds, 0.3 + float(rng.exponential(10)))
            onset = float(rng.uniform(0, seconds - lasts))
            ends = [round(onset, 2), round(min(onset + lasts, seconds), 2)]
            events.append({"segment": ends, "label": UNAV_NAMES[name], "label_id": name})
        events.sort(key=lambda event: event["segment"])
        videos[f"{split[:5]:-<5}{number:06d}"] = {"duration": seconds, "subset": split, "annotations": events}
    return videos


def write_unav_evidence(out: Path, splits: list[Split], options: SimulationOptions, *, progress: bool = True) -> None:
    """Write embeddings with the classes in them, and labels of the training clips; what is there is used again."""
    grid = {"num_segments": 10, "segment_seconds": splits[0].segment_seconds, "sample_rate": 48_000}
    teachers = {
        role: {"teacher": MARK, "weights": f"{MARK}, seed {options.seed}, signal {options.signal:g}"} for role in WIDTHS
    }
    folder = open_store(out / _STORE, describe(splits[0].class_names, grid, teachers, length=WHOLE))
    done = {clip.clip_id for marker in read_markers(folder).values() for clip in marker.clips}
    blocks = [
        (split, range(first, min(first + _SHARD, len(split.clip_ids))))
        for split in splits
        for first in range(0, len(split.clip_ids), _SHARD)
    ]
    total = sum(len(rows) for _, rows in blocks)
    with progress_bar(total=total, desc=f"{MARK} features", unit="clip", enabled=progress) as bar:
        for index, (split, rows) in enumerate(blocks):
            if split.clip_ids[rows[0]] not in done:
                _write_shard(folder, index, split, rows, options)
            bar.update(len(rows))
    write_list(folder, read_markers(folder))
    if not all((out / name).is_file() for name in (FILE_NAME, LABEL_FACTS)):  # written in this order
        _write_labels(out, splits[0], options)


def _write_shard(folder: Place, index: int, split: Split, rows: range, options: SimulationOptions) -> None:
    assert split.truth is not None and split.valid is not None  # of this data set
    here = slice(rows.start, rows.stop)
    valid, truth = split.valid[here], split.truth[here]
    arrays = {}
    for number, (role, width) in enumerate(WIDTHS.items()):
        axes = np.random.default_rng([options.seed, 5, number]).standard_normal((truth.shape[3], width), np.float32)
        axes *= options.signal / np.linalg.norm(axes, axis=1, keepdims=True)
        noise = np.random.default_rng([options.seed, 6, number, index])
        marks = truth[:, :, number][valid].astype(np.float32)  # [segments of all clips, C]
        embedding = noise.standard_normal((len(marks), width), np.float32) + marks @ axes
        arrays[f"{role}.embedding"] = embedding.astype(np.float16)
    written = []
    for row, count in zip(rows, valid.sum(axis=1).tolist(), strict=True):
        tags = tuple(name for name, has in zip(split.class_names, split.weak_labels[row], strict=True) if has)
        written.append(ShardRow(split.clip_ids[row], "ok", "", tags, {SEGMENTS: count}))
    write_shard(folder, index, arrays, written)


def write_unav_features(out: Path, splits: list[Split], options: SimulationOptions, *, progress: bool = True) -> None:
    """Write features of the published form with the classes in them; what is there is used again."""
    folder = out / FEATURES
    folder.mkdir(exist_ok=True)
    total = sum(len(split.clip_ids) for split in splits)
    with progress_bar(total=total, desc=f"{MARK} features", unit="clip", enabled=progress) as bar:
        for number, split in enumerate(splits):
            assert split.truth is not None and split.clip_seconds is not None  # of this data set
            for row, clip_id in enumerate(split.clip_ids):
                steps = max(1, int(split.clip_seconds[row] * FRAME_RATE - WINDOW) // HOP + 1)
                marks = split.truth[row, :steps, 0].astype(np.float32)
                for ending, width in (part for parts in SUFFIXES.values() for part in parts):
                    file = folder / f"{clip_id}_{ending}.npy"
                    if file.is_file():
                        continue
                    axes = np.random.default_rng([options.seed, 8, width]).standard_normal((marks.shape[1], width))
                    axes *= options.signal / np.linalg.norm(axes, axis=1, keepdims=True)
                    noise = np.random.default_rng([options.seed, 9, number, row, width])
                    array = (noise.standard_normal((len(marks), width)) + marks @ axes).astype(np.float32)
                    with replaced(file) as temporary, temporary.open("wb") as opened:
                        np.save(opened, array, allow_pickle=False)
                bar.update(1)


def _write_labels(out: Path, train: Split, options: SimulationOptions) -> None:
    """Labels as a teacher would make them that is wrong now and then, and only about tagged classes."""
    assert train.truth is not None and train.valid is not None
    draw = torch.Generator().manual_seed(options.seed + 7)
    labels = train.truth.copy()
    for row in range(len(labels)):  # a clip at a time: the whole set of random numbers would be four times the labels
        labels[row] ^= (torch.rand(labels.shape[1:], generator=draw) < options.label_errors).numpy()
    labels &= train.weak_labels[:, None, None] & train.valid[:, :, None, None]
    segments = train.valid.sum(axis=1)
    write_pseudo_labels(out / FILE_NAME, train.clip_ids, train.class_names, labels, segments=segments, described=True)
    facts = {"simulated": True, "random_weights": False, "label_errors": options.label_errors, "left_out": {}}
    write_label_facts(out, facts)
