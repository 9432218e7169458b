"""Pseudo labels class by class: counted by hand, printed, written and drawn."""

import csv

import pytest

from tests.valor.labelling.test_labels import CLASSES, quality_case
from valor.eval.figures.style import to_png
from valor.labelling.labels import label_quality
from valor.labelling.quality import class_rows, class_table, draw_label_classes, write_class_table


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
