"""A store of the demo's teachers in which it is known what is heard and seen when, and a stand-in for faiss."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from valor.data.tables import write_weak_table
from valor.label_harvest.store.shards import ShardRow, known_clips, read_markers, write_failures, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store
from valor.label_harvest.teachers.build import build_teacher
from valor.label_harvest.teachers.demo import SAMPLE_RATE

CLASSES = ("Dog", "Car", "Singing", "Chainsaw")
SAID = {"Dog": "a dog barks", "Car": "a car", "Singing": "people singing", "Chainsaw": "a chainsaw"}
SEGMENTS = 6
GRID = {
    "num_segments": SEGMENTS,
    "segment_seconds": 1.0,
    "frame_rate": 8,
    "sample_rate": SAMPLE_RATE,
    "tolerance_seconds": 0.5,
}

Planted = Mapping[str, Sequence[tuple[str, str, int, int]]]
"""By clip, (modality, class, first second, the one behind the last)."""


@cache
def teacher(role: str):
    return build_teacher(f"demo-{role}", [SAID[name] for name in CLASSES])


@cache
def towards(role: str, name: str) -> np.ndarray:
    """A feature that the teacher places where the caption of a class lies."""
    projection = teacher(role).network.head.projection
    weight, bias = projection.weight.numpy(), projection.bias.numpy()
    caption = teacher(role).caption_embeddings[CLASSES.index(name)]
    return np.linalg.pinv(weight) @ (8 * caption - bias)


def features_of(clip_id: str, role: str, planted: Sequence[tuple[str, str, int, int]]) -> np.ndarray:
    """float16 [T, 128]: noise, and more where something is planted."""
    rng = np.random.default_rng(list(f"{clip_id}{role}".encode()))
    rows = rng.normal(0, 0.3, (SEGMENTS, 128))
    for modality, name, start, stop in planted:
        if modality == role:
            rows[start:stop] += towards(role, name)
    return rows.astype(np.float16)


def write_searched_store(
    root: Path,
    planted: Planted,
    *,
    shard_clips: int = 4,
    silent: Sequence[str] = (),
    roles=("audio", "visual"),
    first=0,
) -> Path:
    """A store as a harvest leaves it; the folder of its fingerprint. Called again it writes shards from `first` on."""
    folder = open_store(root, describe(CLASSES, GRID, {role: teacher(role).identity() for role in roles}))
    clips = list(planted)
    with write_lock(folder):
        for number, start in enumerate(range(0, len(clips), shard_clips), first):
            held = clips[start : start + shard_clips]
            arrays: dict[str, np.ndarray] = {}
            for role in roles:
                rows = np.stack([features_of(clip, role, planted[clip]) for clip in held])
                if role == "audio":
                    rows[[clip in silent for clip in held]] = np.nan
                flat = teacher(role).among_captions(rows.reshape(-1, 128).astype(np.float32))
                cosines = flat @ teacher(role).caption_embeddings.T
                arrays[f"{role}.embedding"] = rows
                arrays[f"{role}.similarity"] = cosines.reshape(len(held), SEGMENTS, -1).astype(np.float32)
            tags = [tuple(sorted({event[1] for event in planted[clip]})) for clip in held]
            statuses = ["no_audio" if clip in silent else "ok" for clip in held]
            rows_of = [ShardRow(*row[:2], "", row[2]) for row in zip(held, statuses, tags, strict=True)]
            write_shard(folder, number, arrays, rows_of)
        write_failures(folder, [clip for clip in known_clips(read_markers(folder)) if clip.status != "ok"])
    return folder


def world(count: int, seed: int = 0) -> dict[str, list[tuple[str, str, int, int]]]:
    """Clips in which something is heard and seen at the same time, and mostly something else is not."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        name = CLASSES[number % len(CLASSES)]
        start = int(rng.integers(0, SEGMENTS - 3))
        found[f"clip-{seed}-{number:03d}"] = [(role, name, start, start + 4) for role in ("audio", "visual")]
    return found


def write_searched_world(folder: Path) -> None:
    """A store and a space that was trained on it, hardly."""
    from valor.retrieval.fit import fit_space
    from valor.retrieval.options import FitOptions

    write_searched_store(folder / "store", world(8))
    fit_space(folder / "store", folder / "s.safetensors", FitOptions(epochs=1, width=8))


def write_split(folder: Path, planted: Planted, split: str = "test") -> Path:
    """The table of tags of a split of LLP."""
    tags = np.array([[name in {event[1] for event in events} for name in CLASSES] for events in planted.values()])
    table = {"train": "AVVP_train.csv", "test": "AVVP_test_pd.csv"}[split]
    write_weak_table(folder / table, tuple(planted), tags, CLASSES)
    return folder


class _Lists:
    """What of a list of faiss is used, exact."""

    def __init__(self, rows=None, ids=None):
        self.rows = rows if rows is not None else np.zeros((0, 1), np.float32)
        self.ids = ids if ids is not None else np.zeros(0, np.int64)
        self.cp, self.nprobe, self.trained = SimpleNamespace(), 1, 0

    def train(self, rows):
        self.trained = len(rows)

    def add_with_ids(self, rows, ids):
        self.rows = rows if not len(self.ids) else np.concatenate([self.rows, rows])
        self.ids = np.concatenate([self.ids, ids])

    def search(self, query, count):
        cosines = query @ self.rows.T
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        ids = np.full((len(query), count), -1, np.int64)
        ids[:, : order.shape[1]] = self.ids[order]
        return None, ids


def _write(lists: _Lists, path: str) -> None:
    with open(path, "wb") as file:
        np.savez(file, rows=lists.rows, ids=lists.ids)


def _read(path: str, _flags: int = 0) -> _Lists:
    with np.load(path) as held:
        return _Lists(held["rows"], held["ids"])


PLAIN_FAISS = SimpleNamespace(
    IO_FLAG_MMAP=0,
    METRIC_INNER_PRODUCT=0,
    index_factory=lambda *_: _Lists(),
    read_index=_read,
    write_index=_write,
)
"""Does without rounding and without lists what faiss does with them."""
