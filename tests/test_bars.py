"""Bars of F-scores: what is drawn where."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from eval.bars import Bars, LabelFigures, grouped_bars_figure, label_bars_figure, score_bars_figure
from eval.scores import LevelScores, TenScores


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
