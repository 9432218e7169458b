"""How good pseudo labels are where dense annotations say so: counted, and class by class as table, file and figure."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.data.label_file import PseudoLabels
from valor.data.tables import Split
from valor.eval.breakdown import Breakdown, breakdown
from valor.eval.counts import segment_counts
from valor.eval.events import MODALITIES
from valor.eval.figures.bars import ClassFigures, class_bars_figure
from valor.eval.figures.style import ON_SCREEN, Style
from valor.eval.scores import Scores, score

from .review import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY_FILE = "label_quality.csv"
"""In the folder of the labels."""
MEASURES = {"precision": "precision", "recall": "recall", "F": "f"}
"""What is said of a class, and the `Breakdown` property it is."""
COLUMNS = ("class", "modality", *(name.lower() for name in MEASURES), "labelled", "true", "tags", "unlabelled_tags")


@dataclass(frozen=True, kw_only=True)
class LabelQuality:
    """How labels compare with dense annotations."""

    scores: Scores
    """The ten F-scores of the labels taken as predictions."""
    precision: dict[str, float]
    """By modality there are labels of, percent of labelled seconds that are true, over all clips and classes."""
    recall: dict[str, float]
    """By modality, percent of true seconds that are labelled."""
    unlabelled_tags: float
    """Percent of (clip, tag) pairs without a label in any modality."""
    classes: Breakdown
    """The labels class by class, counted in segments."""
    tags: np.ndarray
    """int64 [C, 2], clips tagged with each class, and those of them without a label of it in any modality."""


def label_quality(labels: PseudoLabels, split: Split) -> LabelQuality:
    """Compare labels with the dense truth of the clips of a split that have any.

    Args:
        labels: Labels of clips in any order; soft ones count as labels above 1/2.
        split: val or test, with its truth.

    Raises:
        ValueError: The split has no truth, other classes, or no clip with labels.
    """
    if split.truth is None or labels.class_names != split.class_names:
        raise ValueError(f"labels need a split of their classes with dense truth, got {split.name!r}; use val or test")
    row_of = {clip_id: row for row, clip_id in enumerate(labels.clip_ids)}
    kept = np.array([clip_id in row_of for clip_id in split.clip_ids])
    if not kept.any():
        raise ValueError(f"no clip of the split {split.name!r} has labels; harvest that split first")
    marked = labels.marked[[row_of[clip_id] for clip_id in split.clip_ids if clip_id in row_of]]
    truth, tagged = split.truth[kept], split.weak_labels[kept]
    valid = None if split.valid is None else split.valid[kept]
    if valid is not None:  # labels are as long as the longest clip of all splits
        padding = np.zeros((len(marked), max(truth.shape[1] - marked.shape[1], 0), *marked.shape[2:]), np.bool_)
        marked = np.concatenate([marked, padding], axis=1)[:, : truth.shape[1]]
        marked = marked & valid[:, :, None, None]
    hits, false_alarms, misses = np.moveaxis(segment_counts(marked, truth).sum(axis=(0, 2)), -1, 0)
    silent = tagged & ~marked.any(axis=(1, 2))
    return LabelQuality(
        scores=score(marked, truth, valid=valid),
        precision=_percent(labels.modalities, hits, hits + false_alarms),
        recall=_percent(labels.modalities, hits, hits + misses),
        unlabelled_tags=100 * silent.sum() / max(tagged.sum(), 1),
        classes=breakdown(marked, truth, valid=valid),
        tags=np.stack([tagged.sum(axis=0), silent.sum(axis=0)], axis=1),
    )


def _percent(modalities: tuple[str, ...], part: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    shares = dict(zip(MODALITIES, (100 * part / np.maximum(whole, 1)).tolist(), strict=True))
    return {modality: shares[modality] for modality in modalities}


def class_rows(quality: LabelQuality, class_names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """One row for each class and modality there are labels of, in the order of `COLUMNS`.

    Percentages are None where they are undefined.
    """
    classes = quality.classes
    rows: list[tuple[Any, ...]] = []
    for index, name in enumerate(class_names):
        for modality in quality.precision:
            m = MODALITIES.index(modality)
            values = (100 * getattr(classes, figure)[m, index] for figure in MEASURES.values())
            shares = [None if np.isnan(value) else float(value) for value in values]
            seconds = (int(classes.predicted[m, index]), int(classes.true[m, index]))
            rows.append((name, modality, *shares, *seconds, *(int(n) for n in quality.tags[index])))
    return rows


def class_table(quality: LabelQuality, class_names: tuple[str, ...]) -> str:
    """Precision, recall and F of each class, audible and visible, and its tags that got no label."""
    width = max(map(len, (*class_names, "class")))
    modalities = len(quality.precision)
    titles = "".join(f"{f'{modality}: P     R     F':>26s}" for modality in quality.precision)
    lines = [f"{'class'.ljust(width)}{titles}   tags  without label"]
    rows = class_rows(quality, class_names)
    for start in range(0, len(rows), modalities):
        own = rows[start : start + modalities]  # of one class
        figures = ("".join("     –" if value is None else f"{value:6.1f}" for value in row[2:5]) for row in own)
        cells = "".join(f"{text:>26s}" for text in figures)
        lines.append(f"{own[0][0].ljust(width)}{cells}{own[0][-2]:7,}{own[0][-1]:15,}")
    return "\n".join(lines)


def write_class_table(path: Path, quality: LabelQuality, class_names: tuple[str, ...]) -> None:
    """Write `class_rows` as comma-separated text; undefined figures are empty."""
    rows = (
        [f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row] for row in class_rows(quality, class_names)
    )
    write_csv(path, COLUMNS, rows)


def draw_label_classes(
    quality: LabelQuality, class_names: tuple[str, ...], *, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw precision, recall and F of every class that occurs, audible and visible, most frequent class on top.

    Args:
        quality: Of one set of labels.
        class_names: C names.
        title: A line above, none for ""; what is shown unless given.
        style: Width, theme and colours.
    """
    support = quality.classes.true[: len(MODALITIES)]
    order = np.argsort(-support.sum(axis=0), kind="stable")
    order = order[(support + quality.classes.predicted[: len(MODALITIES)])[:, order].any(axis=0)]
    judged = np.array([[modality in quality.precision] for modality in MODALITIES])
    bars = [
        ClassFigures(
            name=name,
            values=np.where(judged, 100 * getattr(quality.classes, figure)[: len(MODALITIES), order], np.nan),
        )
        for name, figure in MEASURES.items()
    ]
    absent = "".join(f"; no labels of {modality}" for modality in MODALITIES if modality not in quality.precision)
    return class_bars_figure(
        bars,
        [class_names[index] for index in order],
        support=support[:, order],
        measure="%",
        title=f"Pseudo labels by class in seconds; to the right, how many are true{absent}" if title is None else title,
        style=style,
    )
