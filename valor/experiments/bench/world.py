"""A simulated LLP on disk: its tables, an evidence store with features and scores, and the labels that follow.

    OUT/SIMULATED-llp-<size>/
        SIMULATED.json          what it was made from
        AVVP_*.csv              LLP's tables, whole or thinned out evenly; invented ones where there are none
        store/                  audio.embedding, visual.embedding and .similarity (CLAP, CLIP), vggish.embedding,
                                resnet.embedding
        labels/teachers/        of the training clips by the scores and the tags; labels/generator/ soft ones of UWAV's
        label_vectors.npy       of class names

The truth of val and test is LLP's own, that of train is lent by val (`truth`); scores and features are drawn
(`evidence`). The quality of the labels is the published one, measured on test.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.datasets.dataset import LLP
from valor.data.label_file import FILE_NAME, LABEL_FACTS, write_label_facts, write_pseudo_labels
from valor.data.provenance import MARK
from valor.data.tables import Split
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.eval.scores import TenScores, score
from valor.label_harvest.disk import replaced, write_json
from valor.label_harvest.pseudo_labels import pseudo_labels, pseudo_probs
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import ShardRow, read_markers, write_shard
from valor.label_harvest.store.store import describe, open_store
from valor.label_harvest.strict_json import as_number, as_object, loads, reason

from ..simulated import claim, copy_tables, invent_tables, llp_tables, tables_digest
from .evidence import (
    Clips,
    directions,
    draw_clips,
    draw_features,
    draw_scores,
    matched_cuts,
    quality_noise,
)
from .options import AUDIO_TRACE, SHARES, BenchSize, Knobs
from .truth import lent_truth

QUALITY = {
    "teachers": {"audio": 80.5, "visual": 61.7, "audio_visual": 55.7, "type_av": 66.0, "event_av": 74.6},
    "generator": {"audio": 78.4, "visual": 74.5, "audio_visual": 65.5, "type_av": 72.8, "event_av": 78.4},
}
"""Published segment-level quality of the labels of VALOR's teachers and of UWAV's generator on the test clips, by UWAV,
CVPR 2025, table 3. The noise of the scores is set by the first two of each; the other three are a check."""

KINDS = ({"joint": "audio", "classic": "vggish"}, {"joint": "visual", "classic": "resnet"})
"""By modality: roles of the store for the two kinds of features."""

GENERATOR_TEMPERATURE = 2.0
"""Of UWAV's soft labels, in logits of deviation LOGITS."""

LOGITS = 4.0
"""What a score of 1 is in logits, so that soft labels are neither all but hard nor all but 1/2. Not fitted."""

LABEL_VECTORS, LABEL_WIDTH = "label_vectors.npy", 300
"""Of class names, for LEAP; GloVe's are as long."""

Said = dict[str, dict[str, dict[str, tuple[FloatArray, FloatArray]]]]
"""By kind of labels, role and split: scores without noise, and noise of deviation 1."""

QUALITY_FILE = "label_quality.json"
_SHARD = 500
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class BenchWorld:
    """A world on disk."""

    data: Path
    title: str
    """What it is, for tables and figures; begins with SIMULATED."""
    quality: Mapping[str, Mapping[str, float]]
    """Segment-level figures of each kind of labels on test, as QUALITY has them."""
    size: BenchSize
    """How rows are trained in it."""
    one_kind: bool = False
    """Whether it has the features of its teachers alone, for rows of either kind."""


def make_llp(data: Path | None, out: Path, name: str, size: BenchSize, knobs: Knobs, seed: int = 0) -> BenchWorld:
    """Draw a simulated LLP; one that is there is used again.

    Args:
        data: A folder that may hold LLP's tables; nothing is written there.
        out: Gets a folder of its own for it.
        name: Of the size.
        size: Clips and width.
        knobs: What is fitted.
        seed: Of all that is drawn.

    Raises:
        ValueError: The folder holds another simulation.
    """
    folder = out / f"{MARK}-llp-{name}"
    has_tables = data is not None and all((data / table).is_file() for table in llp_tables())
    made: dict[str, Any] = {"clips": dict(size.clips), "width": size.width, "knobs": asdict(knobs), "seed": seed}
    tables = tables_digest(data, llp_tables()) if data is not None and has_tables else MARK
    claim(folder, {"simulated": True, "bench": made, "tables": tables})
    if not all((folder / table).is_file() for table in llp_tables()):
        (copy_tables if has_tables else invent_tables)(data or folder, folder, size.clips, seed)
    splits = {split: LLP.read_split(folder, split) for split in _SPLITS}
    if not (folder / "labels" / QUALITY_FILE).is_file():  # written last
        _write_evidence(folder, splits, size.width, knobs, seed)
    clips = ", ".join(f"{len(splits[split].clip_ids):,} {split}" for split in _SPLITS)
    tables = "LLP's tables" if has_tables else "tables invented by LLP's statistics, since its own were not given"
    title = f"{MARK}: {tables}, features and teachers drawn, {clips} clips"
    return BenchWorld(data=folder, title=title, quality=read_quality(folder), size=size)


def _write_evidence(folder: Path, splits: Mapping[str, Split], width: int, knobs: Knobs, seed: int) -> None:
    """Draw everything of each modality, and write store, labels and their quality."""
    val = splits["val"]
    truth = {"train": lent_truth(splits["train"].weak_labels, val, np.random.default_rng([seed, 1]))}
    truth |= {name: split.truth for name, split in splits.items() if split.truth is not None}
    arrays: dict[str, dict[str, FloatArray]] = {split: {} for split in splits}
    said: Said = {kind: {} for kind in QUALITY}
    for modality, role in enumerate(MODALITIES):
        trace = knobs.trace if role == "visual" else AUDIO_TRACE
        clips = {s: draw_clips(truth[s], modality, (seed, 2, n)) for n, s in enumerate(splits)}
        along = _draw_kinds(arrays, clips, modality, trace, width, knobs, seed)
        for number, kind in enumerate(QUALITY):
            said[kind][role] = {
                s: draw_scores(clips[s].evidence(trace), along[s], LLP.names, (seed, 5, number, modality, n))
                for n, s in enumerate(splits)
            }
    finish_world(folder, splits, arrays, said, seed)


def finish_world(
    folder: Path,
    splits: Mapping[str, Split],
    arrays: Mapping[str, dict[str, FloatArray]],
    said: "Said",
    seed: int,
) -> None:
    """Bring what teachers say to the published quality, and write store, labels, label vectors and what was reached.

    Args:
        folder: Of the world.
        splits: With truth of val and test.
        arrays: By split and name of the store; gets the scores.
        said: Scores without noise and their noise.
        seed: Of the label vectors.
    """
    test, tags = splits["test"], splits["train"].weak_labels
    assert test.truth is not None  # of every world
    labels = {kind: np.zeros((len(tags), *test.truth.shape[1:]), np.float32) for kind in QUALITY}
    tested = {kind: np.zeros(test.truth.shape, np.bool_) for kind in QUALITY}
    for kind, of_roles in said.items():
        for modality, role in enumerate(MODALITIES):
            scores, cuts = _at_quality(of_roles[role], splits, modality, QUALITY[kind][role])
            tested[kind][:, :, modality] = pseudo_labels(scores["test"], test.weak_labels, cuts)
            if kind == "teachers":
                labels[kind][:, :, modality] = pseudo_labels(scores["train"], tags, cuts)
                for split in splits:
                    arrays[split][f"{role}.similarity"] = LOGITS * (scores[split] - cuts)
            else:
                soft = pseudo_probs(LOGITS * scores["train"], tags, LOGITS * cuts, temperature=GENERATOR_TEMPERATURE)
                labels[kind][:, :, modality] = soft
    _write_store(folder, splits, arrays, seed)
    for kind, made in labels.items():
        _write_labels(folder / "labels" / kind, splits["train"], made > 0.5 if kind == "teachers" else made, kind)
    vectors = directions(LLP.names, LABEL_WIDTH, (seed, 6))
    with replaced(folder / LABEL_VECTORS) as temporary, temporary.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
    quality = {kind: label_figures(marks, test.truth) for kind, marks in tested.items()}
    write_json(folder / "labels" / QUALITY_FILE, {"simulated": True, "quality": quality})


def read_quality(folder: Path) -> dict[str, dict[str, float]]:
    """What labels of a world reached, as QUALITY has it."""
    path = folder / "labels" / QUALITY_FILE
    try:
        told = as_object(loads(path.read_text(encoding="utf-8"))["quality"], "quality")
        return {
            kind: {figure: as_number(told[kind][figure], figure, 0, 100) for figure in QUALITY[kind]}
            for kind in QUALITY
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the quality of labels, got {reason(error)}; remove {folder}") from error


def _draw_kinds(
    arrays: Mapping[str, dict[str, FloatArray]],
    clips: Mapping[str, Clips],
    modality: int,
    trace: float,
    width: int,
    knobs: Knobs,
    seed: int,
) -> dict[str, FloatArray]:
    """Draw both kinds of features; returns how much of the noise of the joint one lies along each class, by split."""
    along: dict[str, FloatArray] = {}
    for number, (kind, role) in enumerate(KINDS[modality].items()):
        axes = directions(LLP.names, width, (seed, 3, modality, number))
        for n, split in enumerate(clips):
            drawn, noise = draw_features(
                clips[split].evidence(trace),
                axes,
                getattr(knobs, f"{kind}_{MODALITIES[modality]}"),
                (seed, 4, modality, number, n),
            )
            arrays[split][f"{role}.embedding"] = drawn
            if kind == "joint":
                along[split] = noise
    return along


def _at_quality(
    said: Mapping[str, tuple[FloatArray, FloatArray]], splits: Mapping[str, Split], modality: int, wanted: float
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Scores at the noise that makes labels as good as wanted on test, and their thresholds, chosen on val."""
    val, test, role = splits["val"], splits["test"], MODALITIES[modality]
    assert val.truth is not None and test.truth is not None  # of every world
    known, truth = val.truth[:, :, modality], test.truth

    def cuts_at(noise: float) -> tuple[dict[str, FloatArray], FloatArray]:
        scores = {s: quiet + np.float32(noise) * drawn for s, (quiet, drawn) in said.items()}
        return scores, matched_cuts(scores["val"], known, val.weak_labels, SHARES[role])

    def quality(noise: float) -> float:
        scores, cuts = cuts_at(noise)
        marks = truth.copy()
        marks[:, :, modality] = pseudo_labels(scores["test"], test.weak_labels, cuts)
        return label_figures(marks, truth)[role]

    return cuts_at(quality_noise(quality, wanted))


def label_figures(marks: BoolArray, truth: BoolArray) -> dict[str, float]:
    """Segment-level figures of labels taken as predictions."""
    found = TenScores.from_dict(score(marks, truth).to_dict()).segment
    return {figure: round(float(getattr(found, figure)), 2) for figure in QUALITY["teachers"]}


def _write_store(
    folder: Path, splits: Mapping[str, Split], arrays: Mapping[str, Mapping[str, FloatArray]], seed: int
) -> None:
    """Write the store as a harvest leaves it."""
    names, roles = LLP.names, {name.partition(".")[0] for name in arrays["train"]}
    teachers: dict[str, dict[str, Any]] = {}
    for role in sorted(roles):
        teachers[role] = {"teacher": f"{MARK}-{role}", "weights": f"{MARK}, seed {seed}", "simulated": True}
        if role in MODALITIES:
            teachers[role] |= {"prompts": list(names), "logit_scale": 1.0, "logit_bias": 0.0}
    store = open_store(folder / "store", describe(names, {"num_segments": 10, "segment_seconds": 1.0}, teachers))
    index = 0
    for name, split in splits.items():
        for first in range(0, len(split.clip_ids), _SHARD):
            held = slice(first, first + _SHARD)
            rows = [
                ShardRow(clip, "ok", "", tuple(c for c, has in zip(names, tags, strict=True) if has))
                for clip, tags in zip(split.clip_ids[held], split.weak_labels[held], strict=True)
            ]
            write_shard(store, index, {key: a[held].astype(np.float16) for key, a in arrays[name].items()}, rows)
            index += 1
    write_list(store, read_markers(store))


def _write_labels(folder: Path, train: Split, labels: np.ndarray, kind: str) -> None:
    if not all((folder / name).is_file() for name in (FILE_NAME, LABEL_FACTS)):
        write_pseudo_labels(folder / FILE_NAME, train.clip_ids, train.class_names, labels, described=True)
        write_label_facts(folder, {"simulated": True, "source": kind, "random_weights": False, "left_out": {}})
