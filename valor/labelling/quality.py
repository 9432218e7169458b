"""How good pseudo labels are, class by class: as a table, as a file and as a figure."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valor.eval.events import MODALITIES
from valor.eval.figures.bars import ClassFigures, class_bars_figure
from valor.eval.figures.style import ON_SCREEN, Style
from valor.label_harvest.store.disk import replaced

from .labels import LabelQuality

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY_FILE = "label_quality.csv"
"""In the folder of the labels."""
MEASURES = {"precision": "precision", "recall": "recall", "F": "f"}
"""What is said of a class, and the `Breakdown` property it is."""
COLUMNS = ("class", "modality", *(name.lower() for name in MEASURES), "labelled", "true", "tags", "unlabelled_tags")


def class_rows(quality: LabelQuality, class_names: tuple[str, ...]) -> list[tuple]:
    """One row for each class and modality there are labels of, in the order of `COLUMNS`.

    Percentages are None where they are undefined.
    """
    classes = quality.classes
    rows = []
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
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in class_rows(quality, class_names):
            table.writerow([f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row])


def draw_label_classes(
    quality: LabelQuality, class_names: tuple[str, ...], *, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw precision, recall and F of every class that occurs, audible and visible, most frequent class on top.

    Args:
        quality: Of one set of labels.
        class_names: C names.
        title: A line above; what is shown unless given.
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
        title=title or f"Pseudo labels by class in seconds; to the right, how many are true{absent}",
        style=style,
    )
