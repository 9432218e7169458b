"""How well a store is searched: what belongs to each clip is looked for among all clips of a split, beside controls.

    words -> clip      the captions of a clip's tags; a clip scores, for each caption, what its best second does
    sound <-> picture  the sound of a clip looks for its picture, and the other way round; in a trained space by the
                       vectors of whole clips, else by what the captions of the classes say of either

R@k is the percentage of queries whose own clip is among the first k; a tie counts as the mean of its ranks. MAP counts
every clip that shares a tag as right. Controls: captions shuffled among classes, sound tracks shuffled among clips,
which must fall to chance; and what the tags themselves would find, where clips of the same tags are one tie.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.datasets.dataset import dataset_of
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.eval.retrieval import FIRST, mean_average_precision, retrieval_scores
from valor.eval.tables import RULE, Sheet
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.store.store import EvidenceStore, read_store, store_folder, store_manifest

from .fit import said_tokens, words_of
from .options import EvaluateOptions
from .seconds import searchable
from .space import SpacePlacer, read_space


@dataclass(frozen=True, kw_only=True)
class RetrievalRow:
    """Figures of one way to look, in percent but for the rank."""

    name: str
    recall: Mapping[int, float]
    median_rank: float
    map: float
    is_control: bool = False


@dataclass(frozen=True, kw_only=True)
class RetrievalReport:
    """How well the clips of a split are found."""

    split: str
    clips: int
    rows: tuple[RetrievalRow, ...]
    notes: tuple[str, ...] = ()

    def sheet(self) -> Sheet:
        """As a table; controls stand at its foot."""
        rows = sorted(self.rows, key=lambda row: row.is_control)
        first = next((n for n, row in enumerate(rows) if row.is_control), len(rows))
        cells = [
            [
                row.name,
                *(f"{row.recall[count]:.1f}" for count in FIRST),
                f"{row.median_rank:g}",
                "-" if np.isnan(row.map) else f"{row.map:.1f}",
            ]
            for row in rows
        ]
        columns = ["search", *(f"R@{count}" for count in FIRST), "median rank", "MAP"]
        return Sheet(columns=columns, rows=cells, gaps={first: [RULE]})

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [
            {
                "name": row.name,
                **{f"R@{count}": round(row.recall[count], 3) for count in FIRST},
                "median_rank": row.median_rank,
                "MAP": None if np.isnan(row.map) else round(row.map, 3),
                "control": row.is_control,
            }
            for row in self.rows
        ]
        return {"split": self.split, "clips": self.clips, "rows": rows, "notes": list(self.notes)}


def evaluate_search(store: Place, options: EvaluateOptions) -> RetrievalReport:
    """Look for every clip of a split by its words, its sound and its picture.

    Args:
        store: The store, or the folder of a fingerprint.
        options: Which clips, and in which space.

    Raises:
        ValueError: The store has fewer than two of the clips with sound, picture and tags, or the space has seen them.
    """
    folder = store_folder(store)
    manifest = store_manifest(folder)
    searchable(folder, manifest, "both", MODALITIES)
    dataset = dataset_of(options.data)
    split = options.split or dataset.split_for("test")
    of = dataset.read_clips(options.data, split, tuple(manifest["class_names"]))
    placer = None if options.space is None else read_space(options.space, manifest)
    if placer is not None:
        refuse_seen(options.space, placer, of.clip_ids)
    whats = ("similarity",) if placer is None else ("similarity", "embedding")
    names = [f"{name}.{what}" for name in MODALITIES for what in whats]
    held = read_store(folder, names=names, clip_ids=set(of.clip_ids))
    place = {composed(clip_id): row for row, clip_id in enumerate(of.clip_ids)}
    tags = of.weak_labels[[place[composed(clip_id)] for clip_id in held.clip_ids]]
    whole = np.all([~np.isnan(held.arrays[f"{name}.similarity"][..., 0]).all(axis=1) for name in MODALITIES], axis=0)
    kept = np.flatnonzero(whole & tags.any(axis=1))
    if len(kept) < 2:
        raise ValueError(
            f"{folder}: expected at least two clips of {split} with sound, picture and tags, got {len(kept)}; harvest "
            "them"
        )
    rows = _rows(held, tags[kept], kept, options, placer)
    left = len(of.clip_ids) - len(kept)
    notes = [f"{left} clips of {split} are not in it, or lack sound, picture or tags"] * bool(left)
    return RetrievalReport(split=split, clips=len(kept), rows=tuple(rows), notes=tuple(notes))


def refuse_seen(path: Path | None, placer: SpacePlacer, clip_ids: Sequence[str]) -> None:
    """Refuse a space that was trained on clips it is judged by.

    Raises:
        ValueError: It was; names some.
    """
    seen = sorted({composed(name) for name in placer.card.clip_ids} & {composed(name) for name in clip_ids})
    if seen:
        raise ValueError(
            f"{path}: was trained on {len(seen)} of the {len(clip_ids)} clips it is judged by, such as {seen[0]}; "
            "train it on others with `valor search fit STORE --data DATA --out MODEL`"
        )


def _rows(
    held: EvidenceStore, tags: BoolArray, kept: Any, options: EvaluateOptions, placer: SpacePlacer | None
) -> list[RetrievalRow]:
    rng = np.random.default_rng(options.seed)
    classes, clips = deranged(tags.shape[1], rng), deranged(len(tags), rng)
    alike = (tags.astype(int) @ tags.T.astype(int)) > 0
    heard = {name: _best(held.arrays[f"{name}.similarity"][kept]) for name in MODALITIES}
    heard["both"] = (heard["audio"] + heard["visual"]) / 2
    said = tags / tags.sum(axis=1, keepdims=True)
    rows = []
    for name, title in (("audio", "sound"), ("visual", "picture"), ("both", "both")):
        rows.append(row_of(f"words -> {title}", said @ heard[name].T, alike))
        shuffled = said @ heard[name][:, classes].T
        rows.append(row_of(f"words -> {title}, captions shuffled", shuffled, alike, is_control=True))
    pairs = {"by captions": (heard["audio"], heard["visual"])}
    if placer is not None:
        sound, picture = (placer.place_clips(name, _embeddings(held, name, kept)) for name in MODALITIES)
        pairs[f"in the space ({placer.card.net})"] = (sound, picture)
        if "t" in placer.card.in_widths:
            rows += _by_words(held, tags, (sound + picture) / 2, alike, classes, placer)
    for how, (sound, picture) in pairs.items():
        similar = sound @ picture.T
        rows.append(row_of(f"sound -> picture, {how}", similar, alike))
        rows.append(row_of(f"picture -> sound, {how}", similar.T, alike))
        rows.append(row_of(f"sound -> picture, {how}, clips shuffled", similar[clips], alike, is_control=True))
    shared = tags.astype(float) @ tags.T
    counts = tags.sum(axis=1)
    rows.append(
        row_of("words -> clip, were tags all", shared / (counts[:, None] + counts - shared), alike, is_control=True)
    )
    rows.append(_chance(len(tags), alike))
    return rows


def _by_words(
    held: EvidenceStore, tags: BoolArray, clips: FloatArray, alike: BoolArray, classes: Any, placer: SpacePlacer
) -> list[RetrievalRow]:
    """Words to clips in the space."""
    words = words_of("the store", held.manifest, {})
    found = []
    for told, shown in ((words, "words -> both"), (words[classes], "words -> both")):
        tokens, there = said_tokens(tags, told)
        x = np.where(there.numpy()[..., None], tokens.numpy(), np.nan)
        is_control = told is not words
        name = f"{shown}, in the space ({placer.card.net})" + ", captions shuffled" * is_control
        found.append(row_of(name, placer.place_text(x) @ clips.T, alike, is_control=is_control))
    return found


def _embeddings(held: EvidenceStore, name: str, kept: Any) -> FloatArray:
    found: FloatArray = held.arrays[f"{name}.embedding"][kept].astype(np.float32)
    return found


def _best(similarity: FloatArray) -> FloatArray:
    """What the best second of each clip says of each class, standardised over clips: float [N, C]."""
    best = np.nanmax(similarity.astype(np.float64), axis=1)
    spread: FloatArray = (best - best.mean(axis=0)) / np.maximum(best.std(axis=0), 1e-9)
    return spread


def deranged(count: int, rng: np.random.Generator) -> Any:
    """A random order of `count` things in which none is in its place: int [count]."""
    order = rng.permutation(count)
    found = np.empty(count, int)
    found[order] = np.roll(order, 1)  # one circle through all
    return found


def row_of(name: str, similarity: FloatArray, alike: BoolArray, *, is_control: bool = False) -> RetrievalRow:
    """The figures of a matrix of similarities, of which query i belongs to clip i."""
    scores = retrieval_scores(similarity)
    precision = mean_average_precision(similarity, alike)
    return RetrievalRow(
        name=name, recall=scores.recall, median_rank=scores.median_rank, map=precision, is_control=is_control
    )


def _chance(count: int, alike: BoolArray) -> RetrievalRow:
    recall = {first: 100 * min(1.0, first / count) for first in FIRST}
    return RetrievalRow(
        name="chance", recall=recall, median_rank=(count + 1) / 2, map=100 * float(alike.mean()), is_control=True
    )
