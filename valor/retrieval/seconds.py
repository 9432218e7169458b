"""The seconds of a store as vectors that can be compared: read shard by shard, placed, and laid one after another.

A second is a segment of the store's grid. Row s of every array is one second; those of a clip follow one another. What
a clip lacks is NaN.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from valor.eval.events import MODALITIES, FloatArray
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.store.store import EvidenceStore, read_shards, store_manifest
from valor.label_harvest.teachers.teacher import SearchedTeacher

BLOCK = 65_536
"""Rows that are compared at once: 50 MB at the width of CLIP, however many the store has."""


class Placer(Protocol):
    """Brings what a store keeps of its clips to where they are compared."""

    @property
    def widths(self) -> Mapping[str, int]:
        """P by modality, of those it can place."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What must be the same for the same vectors, as JSON values."""

    def place(self, modality: str, features: FloatArray) -> FloatArray:
        """Embeddings float32 [n, T, D], NaN where absent, as float32 [n, T, P] of length 1, NaN where absent."""


@dataclass(frozen=True, eq=False)
class TeacherPlacer:
    """Where the captions of the teachers lie: each modality in the space of its own teacher."""

    teachers: Mapping[str, SearchedTeacher]
    """By modality."""

    @property
    def widths(self) -> Mapping[str, int]:
        """See `Placer`."""
        return {modality: teacher.caption_embeddings.shape[1] for modality, teacher in self.teachers.items()}

    @property
    def identity(self) -> Mapping[str, Any]:
        """See `Placer`."""
        return {"placed": "captions"}

    def place(self, modality: str, features: FloatArray) -> FloatArray:
        """See `Placer`."""
        rows = features.reshape(-1, features.shape[-1])
        placed: FloatArray = self.teachers[modality].among_captions(rows)
        return placed.reshape(*features.shape[:-1], -1)


@dataclass(frozen=True)
class Spread:
    """How vectors of a modality lie: what is needed to say how far above the others a score is."""

    mean: FloatArray
    """float64 [P]."""
    covariance: FloatArray
    """float64 [P, P]."""

    def of(self, query: FloatArray) -> tuple[float, float]:
        """Mean and deviation of the cosines of all seconds with a query float [P]."""
        q = query.astype(np.float64)
        return float(self.mean @ q), float(np.sqrt(max(0.0, float(q @ self.covariance @ q))))

    def of_all(self, queries: FloatArray) -> tuple[float, float]:
        """Mean and deviation of the cosines of all seconds with all of some queries float [n, P]."""
        each = [self.of(query) for query in queries]
        level = float(np.mean([mean for mean, _ in each]))
        square = float(np.mean([mean**2 + deviation**2 for mean, deviation in each]))
        return level, float(np.sqrt(max(0.0, square - level**2)))


@dataclass
class Sums:
    """What `Spread` is made of, block by block."""

    count: int = 0
    first: FloatArray = field(default_factory=lambda: np.zeros(0))
    second: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, rows: FloatArray) -> None:
        """Count in vectors float [n, P]; those that are absent are left out."""
        there = rows[~np.isnan(rows[:, 0])].astype(np.float32)
        self.count += len(there)
        self.first = there.sum(axis=0, dtype=np.float64) + (self.first if self.first.size else 0)
        self.second = (there.T @ there).astype(np.float64) + (self.second if self.second.size else 0)

    def spread(self) -> Spread:
        """Of all that was counted in."""
        mean = self.first / max(1, self.count)
        return Spread(mean, self.second / max(1, self.count) - np.outer(mean, mean))


@dataclass(frozen=True, eq=False, kw_only=True)
class Seconds:
    """Seconds of clips."""

    clip_ids: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    """[N + 1], first row of each clip, and the number of all rows."""
    segment_seconds: float
    vectors: Mapping[str, FloatArray]
    """By modality, float [S, P] of length 1, NaN where absent."""
    spreads: Mapping[str, Spread]
    """By modality, of all seconds of the store."""

    def __len__(self) -> int:
        """Rows."""
        return int(self.starts[-1])

    def clip_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which clip each row is of."""
        found: npt.NDArray[np.int64] = np.searchsorted(self.starts, rows, side="right") - 1
        return found

    def comparable(self) -> tuple[int, int]:
        """How many seconds have something that can be compared, and of how many clips; reads all vectors."""
        there = np.zeros(len(self), bool)
        for vectors in self.vectors.values():
            there |= ~np.isnan(vectors[:, 0])
        rows = np.flatnonzero(there)
        return len(rows), len(np.unique(self.clip_of(rows)))

    def only(self, clips: npt.NDArray[np.int64]) -> "Seconds":
        """Those of some clips, in their order, in memory; what is known of all seconds stays."""
        counts = self.starts[clips + 1] - self.starts[clips]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(starts[-1]) + np.repeat(self.starts[clips] - starts[:-1], counts)
        return Seconds(
            clip_ids=tuple(self.clip_ids[clip] for clip in clips),
            starts=starts,
            segment_seconds=self.segment_seconds,
            vectors={name: vectors[rows].astype(np.float32) for name, vectors in self.vectors.items()},
            spreads=self.spreads,
        )


@dataclass(frozen=True, eq=False)
class Block:
    """Clips of one shard, placed."""

    clip_ids: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    """Seconds of each."""
    vectors: Mapping[str, FloatArray]
    """By modality, float32 [seconds of all, P]."""


def read_blocks(
    folder: Place, placer: Placer, modalities: Sequence[str], *, clip_ids: Collection[str] | None = None
) -> Iterator[Block]:
    """Read and place a store shard by shard, all of it or the shards that hold some of these clips.

    Raises:
        ValueError: As of `read_shards`.
    """
    names = {modality: f"{modality}.embedding" for modality in modalities}
    wanted = None if clip_ids is None else frozenset(map(composed, clip_ids))
    for shard in read_shards(folder, names=list(names.values()), clip_ids=wanted):
        if wanted is None or not wanted.isdisjoint(map(composed, shard.clip_ids)):
            yield _placed(shard, names, placer)


def _placed(shard: EvidenceStore, names: Mapping[str, str], placer: Placer) -> Block:
    held = [array for name in names.values() if (array := shard.arrays.get(name)) is not None]
    longest = held[0].shape[1] if held else int(shard.manifest["grid"]["num_segments"])
    counts = np.full(len(shard.clip_ids), longest) if shard.segments is None else np.asarray(shard.segments)
    exists = np.arange(longest) < counts[:, None]  # [n, T]
    vectors = {}
    for modality, name in names.items():
        array = shard.arrays.get(name)
        if array is None:
            placed = np.full((*exists.shape, placer.widths[modality]), np.nan, np.float32)
        else:
            placed = placer.place(modality, array.astype(np.float32))
        vectors[modality] = placed[exists]
    return Block(shard.clip_ids, counts.astype(np.int64), vectors)


def read_seconds(folder: Place, placer: Placer, modalities: Sequence[str]) -> Seconds:
    """Read all seconds of a store into memory; arguments and errors as of `read_blocks`."""
    ids: list[str] = []
    counts, parts = [], dict[str, list[FloatArray]]((modality, []) for modality in modalities)
    sums = {modality: Sums() for modality in modalities}
    for block in read_blocks(folder, placer, modalities):
        ids += block.clip_ids
        counts.append(block.counts)
        for modality, rows in block.vectors.items():
            parts[modality].append(rows)
            sums[modality].add(rows)
    return Seconds(
        clip_ids=tuple(ids),
        starts=np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64),
        segment_seconds=float(store_manifest(folder)["grid"].get("segment_seconds", 1.0)),
        vectors={modality: np.concatenate(rows) for modality, rows in parts.items()},
        spreads={modality: of.spread() for modality, of in sums.items()},
    )


def searchable(folder: Place, manifest: Mapping[str, Any], within: str | None, able: Collection[str]) -> list[str]:
    """What is compared in a search.

    Args:
        folder: The store, for messages.
        manifest: Of the store.
        within: What was asked for; None for all there is.
        able: Modalities that the query can be compared in.

    Raises:
        ValueError: The store has no teacher of what was asked for, or the query cannot be compared in it.
    """
    judged = [name for name in MODALITIES if "prompts" in manifest["teachers"].get(name, {})]
    wanted = list(MODALITIES) if within == "both" else [within] if within else [name for name in judged if name in able]
    absent = [name for name in wanted if name not in judged]
    if absent or not judged:
        has = " and ".join(judged) or "features that read no captions alone"
        raise ValueError(
            f"{folder}: has no {' and '.join(absent or MODALITIES)} teacher whose embeddings could be searched, it has "
            f"{has}; harvest with one, or search what is there"
        )
    mute = [name for name in wanted if name not in able]
    if mute or not wanted:
        raise ValueError(
            f"what is searched for cannot be compared with {' and '.join(mute or MODALITIES)} embeddings by itself; a "
            "space in which it can is made by `valor search fit STORE --out MODEL`, and given as `space`"
        )
    return wanted
