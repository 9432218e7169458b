"""Bars of pseudo labels and bars by class: what is drawn where."""

import numpy as np
import pytest

from valor.eval.figures.bars import (
    ClassFigures,
    LabelFigures,
    class_bars_figure,
    label_bars_figure,
)
from valor.eval.figures.style import COLUMN_WIDTH, PAPER_WIDTH, REPORT_WIDTH, Style


def test_label_bars_show_precision_recall_and_f_of_both_modalities():
    labels = LabelFigures(name="VALOR", precision=(1.0, 2.0), recall=(3.0, 4.0), f_score=(5.0, 6.0), type_av=7.0)
    axes = label_bars_figure([labels]).axes[0]
    groups = [label.get_text() for label in axes.get_yticklabels()]
    assert dict(zip(groups, [patch.get_width() for patch in axes.patches], strict=True)) == {
        "precision, audible": 1,
        "recall, audible": 3,
        "F by clip, audible": 5,
        "precision, visible": 2,
        "recall, visible": 4,
        "F by clip, visible": 6,
        "Type@AV": 7,
    }


def test_bars_of_several_labels_stand_below_each_other_with_their_numbers():
    labels = [
        LabelFigures(name=name, precision=(p, 2.0), recall=(3.0, 4.0), f_score=(5.0, 6.0), type_av=7.0)
        for name, p in (("fused", 40.0), ("VALOR", 75.0))
    ]
    figure = label_bars_figure(labels, title="pseudo labels")
    axes = figure.axes[0]
    upper, lower = axes.patches[0], axes.patches[7]
    assert [upper.get_width(), lower.get_width()] == [40, 75]
    assert upper.get_y() + upper.get_height() < lower.get_y() and lower.get_y() + lower.get_height() < 0.5
    assert [text.get_text() for text in axes.texts][::7] == ["40.0", "75.0"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fused", "VALOR"]
    with pytest.raises(ValueError, match="at least one set of labels"):
        label_bars_figure([])


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("width", [COLUMN_WIDTH, PAPER_WIDTH, REPORT_WIDTH])
def test_bars_of_labels_cover_nothing_and_lie_within_the_figure_at_every_width(width, count):
    labels = [
        LabelFigures(name=f"set {n}", precision=(100.0, 99.9), recall=(100.0, 0.0), f_score=(55.5, 60.0), type_av=100.0)
        for n in range(count)
    ]
    figure = label_bars_figure(labels, title="Pseudo labels against the truth", style=Style(width=width))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    words = [axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
    boxes = [text.get_window_extent() for text in words] + [figure.legends[0].get_window_extent()]
    for n, box in enumerate(boxes):
        inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
        assert inside and box.y1 <= figure.bbox.y1, n
        assert not any(box.overlaps(other) for other in boxes[:n]), n


NAMES = ("Speech", "Frying_(food)", "Dog")
VALUES = np.array([[80.0, 40.0, np.nan], [10.0, 20.0, 30.0]])


def systems():
    return [
        ClassFigures(name="HAN", values=VALUES / 2),
        ClassFigures(name="VALOR", values=VALUES, low=VALUES - 5, high=VALUES + 7),
    ]


def test_each_system_has_a_bar_for_each_class_in_each_modality():
    figure = class_bars_figure(systems(), NAMES, title="by class")
    audible, visible = figure.axes
    assert [patch.get_width() for patch in audible.patches] == [40, 20, 0, 80, 40, 0]
    assert [patch.get_width() for patch in visible.patches] == [5, 10, 15, 10, 20, 30]
    assert (audible.get_title("left"), visible.get_title("left")) == ("audible", "visible")
    assert [label.get_text() for label in audible.get_yticklabels()] == ["Speech", "Frying (food)", "Dog"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["HAN", "VALOR"]


def test_bars_of_a_class_stand_together_first_system_on_top():
    patches = class_bars_figure(systems(), NAMES).axes[0].patches
    middles = [patch.get_y() + patch.get_height() / 2 for patch in patches]
    first, second = middles[:3], middles[3:]
    assert all(a < row < b for row, (a, b) in enumerate(zip(first, second, strict=True)))
    assert all(b - a < 0.5 for a, b in zip(first, second, strict=True))


def test_whiskers_span_the_interval():
    visible = class_bars_figure(systems(), NAMES).axes[1]
    spans = [segment[:, 0].tolist() for lines in visible.collections for segment in lines.get_segments()]
    assert spans == [[5, 17], [15, 27], [25, 37]] * 2  # rim and line
    assert not class_bars_figure(systems()[:1], NAMES).axes[0].collections


def test_the_rim_of_a_whisker_cuts_no_bar_in_two():
    rim, line = (lines.get_linewidths()[0] for lines in class_bars_figure(systems(), NAMES).axes[1].collections[:2])
    assert line < rim < line + 0.5


def test_support_is_written_and_its_absence_said():
    figure = class_bars_figure(systems(), NAMES, support=np.array([[1200, 3, 0], [1, 2, 3]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1,200", "3", "none"]


def test_a_narrow_figure_has_fewer_ticks():
    wide, narrow = (class_bars_figure(systems(), NAMES, style=Style(width=width)).axes[0] for width in (9, 3.35))
    assert (len(wide.get_xticks()), len(narrow.get_xticks())) == (6, 3)


@pytest.mark.parametrize("width", [COLUMN_WIDTH, PAPER_WIDTH, REPORT_WIDTH])
def test_a_figure_for_a_paper_fits_its_page_with_a_caption(width):
    values, names = np.full((2, 25), 50.0), [f"class {number}" for number in range(25)]
    title = "a title that goes over several lines of a narrow figure, as those of worlds and splits do; " * 2
    for count in (1, 2, 6):
        held = [ClassFigures(name=f"system {number}", values=values) for number in range(count)]
        figure = class_bars_figure(held, names, title=title, style=Style(width=width))
        wanted = (0.105 * count + 0.09) * 25 + 0.9
        high = figure.get_figheight()
        assert high > wanted if width == REPORT_WIDTH else high < min(8.2, wanted + 1.5)
        bars = figure.axes[0].patches
        assert len(bars) == 25 * count and bars[0].get_height() * count < 1, "none covers another class"
    many = class_bars_figure([ClassFigures(name="a", values=np.ones((2, 100)))], list(map(str, range(100))))
    narrow = class_bars_figure(
        [ClassFigures(name="a", values=np.ones((2, 100)))], list(map(str, range(100))), style=Style(width=width)
    )
    assert 12 < narrow.get_figheight() <= many.get_figheight(), "names can still be read"


@pytest.mark.parametrize(("given", "names", "message"), [
    ([], NAMES, "got no system with"),
    (systems(), NAMES[:2], r"\(2, 2\), got \['HAN', 'VALOR'\] with \[\(2, 3\)"),
    (systems()[:1] * 2, NAMES, "systems of different names"),
    ([ClassFigures(name="a", values=VALUES, low=VALUES[:1], high=VALUES)], NAMES, r"with \[\(1, 3\)\]"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(given, names, message):
    with pytest.raises(ValueError, match=message):
        class_bars_figure(given, names)
