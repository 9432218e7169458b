"""Bars of F-scores: what is drawn where.

Bars by class: what is drawn where.
"""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from valor.eval.figures.bars import (
    Bars,
    ClassFigures,
    LabelFigures,
    class_bars_figure,
    grouped_bars_figure,
    label_bars_figure,
    score_bars_figure,
)
from valor.eval.figures.style import Style
from valor.eval.scores import LevelScores, TenScores


def scores(audio):
    level = LevelScores(audio=audio, visual=60.0, audio_visual=50.0, type_av=55.0, event_av=65.0)
    return TenScores(segment=level, event=replace(level, audio=10.0), clips=5)


def test_bars_stand_for_means_and_whiskers_for_deviations():
    figure = score_bars_figure(
        [("fused", scores(40.0)), ("VALOR", [scores(70.0), scores(80.0)])],
        anchors=[("tags copied", scores(30.0))],
        title="pseudo labels",
    )
    axes = figure.axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == [40, 60, 50, 55, 65, 75, 60, 50, 55, 65]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "V", "AV", "Type@AV", "Event@AV"]
    assert [text.get_text() for text in axes.texts][:6] == ["40.0", "60.0", "50.0", "55.0", "65.0", "75.0"]
    ((whisker,),) = [container.lines[2] for container in axes.containers if isinstance(container, ErrorbarContainer)]
    low, high = whisker.get_segments()[0][:, 1]
    assert (low + high) / 2 == pytest.approx(75) and (high - low) / 2 == pytest.approx(np.std([70, 80], ddof=1))
    assert 30.0 in {line.get_ydata()[0] for line in axes.lines}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fused", "VALOR", "tags copied"]
    assert score_bars_figure([("fused", scores(40.0))], level="event").axes[0].patches[0].get_height() == 10


def test_bars_without_scores_are_refused():
    for rows, level in (([], "segment"), ([("one", [])], "segment"), ([("one", scores(1.0))], "clip")):
        with pytest.raises(ValueError, match="at least one score each and a level of segment, event"):
            score_bars_figure(rows, level=level)


def test_label_bars_show_precision_recall_and_f_of_both_modalities():
    labels = LabelFigures(name="VALOR", precision=(1.0, 2.0), recall=(3.0, 4.0), f_score=(5.0, 6.0), type_av=7.0)
    axes = label_bars_figure([labels]).axes[0]
    groups = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
    assert dict(zip(groups, [patch.get_height() for patch in axes.patches], strict=True)) == {
        "precision audible": 1,
        "recall audible": 3,
        "F audible": 5,
        "precision visible": 2,
        "recall visible": 4,
        "F visible": 6,
        "Type@AV both": 7,
    }


@pytest.mark.parametrize(("systems", "anchors", "named"), [
    ([], [], "no system"),
    ([Bars("one", [[1.0]])], [], "one"),
    ([Bars("one", [])], [], "one"),
    ([Bars("one", [[1.0, 2.0]])], [("anchor", [1.0])], "anchor"),
])  # fmt: skip
def test_bars_without_a_value_for_each_group_are_refused(systems, anchors, named):
    with pytest.raises(ValueError, match=f"a value for each of 2 groups, got .*{named}"):
        grouped_bars_figure(systems, ["a", "b"], measure="%", anchors=anchors)


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


def test_support_is_written_and_its_absence_said():
    figure = class_bars_figure(systems(), NAMES, support=np.array([[1200, 3, 0], [1, 2, 3]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1,200", "3", "none"]


def test_a_narrow_figure_has_fewer_ticks():
    wide, narrow = (class_bars_figure(systems(), NAMES, style=Style(width=width)).axes[0] for width in (9, 3.35))
    assert (len(wide.get_xticks()), len(narrow.get_xticks())) == (6, 3)


@pytest.mark.parametrize(("given", "names", "message"), [
    ([], NAMES, "got no system with"),
    (systems(), NAMES[:2], r"\(2, 2\), got \['HAN', 'VALOR'\] with \[\(2, 3\)"),
    (systems()[:1] * 2, NAMES, "systems of different names"),
    ([ClassFigures(name="a", values=VALUES, low=VALUES[:1], high=VALUES)], NAMES, r"with \[\(1, 3\)\]"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(given, names, message):
    with pytest.raises(ValueError, match=message):
        class_bars_figure(given, names)
