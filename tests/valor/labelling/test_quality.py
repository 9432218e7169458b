"""Pseudo labels class by class: counted by hand, printed, written and drawn."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from valor.data.label_file import PseudoLabels
from valor.data.tables import Split
from valor.eval.figures.style import to_png
from valor.labelling.quality import class_rows, class_table, draw_label_classes, label_quality, write_class_table

CLASSES = ("Dog", "Cello", "Speech")


def quality_case():
    """Two labelled clips of a split of three, counted by hand."""
    truth = np.zeros((3, 5, 2, 3), dtype=bool)
    marked = np.zeros_like(truth)
    truth[0, :4, 0, 0] = marked[0, 2:, 0, 0] = True  # audio: 2 hits, 1 false alarm, 2 misses
    truth[1, :, 1, 1] = marked[1, :4, 1, 1] = True  # visual: 4 hits, 1 miss
    truth[2, :, :, 2] = True  # not labelled: must not count
    tags = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
    names = ("x", "y", "z")
    split = Split("test", names, CLASSES, tags, truth)
    return PseudoLabels(("y", "elsewhere", "x"), CLASSES, marked[[1, 2, 0]]), split


def test_quality_is_counted_over_the_clips_with_labels():
    quality = label_quality(*quality_case())
    assert quality.scores.clips == 2
    assert quality.precision == pytest.approx({"audio": 100 * 2 / 3, "visual": 100})
    assert quality.recall == pytest.approx({"audio": 50, "visual": 80})
    assert quality.unlabelled_tags == pytest.approx(100 / 3)  # the third tag of "y"
    assert quality.scores.segment.audio == pytest.approx(100 * (2 * 2 / (2 * 2 + 1 + 2) + 1) / 2)


def test_quality_of_labels_that_say_nothing_is_nought():
    labels, split = quality_case()
    quality = label_quality(replace(labels, labels=np.zeros_like(labels.labels)), split)
    assert (quality.precision["audio"], quality.recall["audio"], quality.unlabelled_tags) == (0, 0, 100)


def test_quality_of_one_modality_says_nothing_of_the_other():
    labels, split = quality_case()
    heard = labels.labels.copy()
    heard[:, :, 1] = False
    quality = label_quality(replace(labels, labels=heard, absent=("visual",)), split)
    assert quality.precision == pytest.approx({"audio": 100 * 2 / 3}) and list(quality.recall) == ["audio"]


def test_quality_needs_truth_of_the_same_classes_and_a_clip(tmp_path):
    labels, split = quality_case()
    for unfit in (replace(split, truth=None), replace(split, class_names=CLASSES[::-1])):
        with pytest.raises(ValueError, match="labels need a split of their classes with dense truth, got 'test'"):
            label_quality(labels, unfit)
    with pytest.raises(ValueError, match="no clip of the split 'test' has labels; harvest that split first"):
        label_quality(labels, replace(split, clip_ids=("a", "b", "c")))


@pytest.fixture(scope="module")
def quality():
    return label_quality(*quality_case())


def test_every_class_and_modality_has_its_counts(quality):
    rows = {row[:2]: row[2:] for row in class_rows(quality, CLASSES)}
    first, second, third = CLASSES
    assert len(rows) == 2 * len(CLASSES)
    assert rows[first, "audio"] == pytest.approx(
        (100 * 2 / 3, 50, 100 * 4 / 7, 3, 4, 1, 0)
    )  # 2 hits, 1 false, 2 missed
    assert rows[second, "visual"] == pytest.approx((100, 80, 100 * 8 / 9, 4, 5, 1, 0))
    assert rows[first, "visual"] == (None, None, None, 0, 0, 1, 0)
    assert rows[third, "audio"][-2:] == (1, 1)  # its one tag has no label anywhere


def test_the_table_has_a_line_for_each_class_and_says_what_is_undefined(quality):
    lines = class_table(quality, CLASSES).splitlines()
    assert len(lines) == 1 + len(CLASSES)
    assert lines[1].split() == [CLASSES[0], "66.7", "50.0", "57.1", "–", "–", "–", "1", "0"]
    assert len({len(line) for line in lines}) == 1


def test_the_file_leaves_undefined_figures_empty(quality, tmp_path):
    write_class_table(tmp_path / "quality.csv", quality, CLASSES)
    rows = list(csv.DictReader((tmp_path / "quality.csv").open(encoding="utf-8")))
    assert (rows[0]["precision"], rows[1]["precision"], rows[0]["labelled"]) == ("66.67", "", "3")


def test_classes_that_occur_are_drawn_the_most_frequent_on_top(quality):
    figure = draw_label_classes(quality, CLASSES)
    names = [label.get_text().replace(" ", "_") for label in figure.axes[0].get_yticklabels()]
    assert names == [CLASSES[1], CLASSES[0]]
    assert to_png(figure).startswith(b"\x89PNG")


def test_quality_of_soft_labels_is_that_of_what_they_mark():
    labels, split = quality_case()
    soft = replace(labels, labels=np.where(labels.labels, 0.75, 0.25))
    assert label_quality(soft, split).precision == label_quality(labels, split).precision
