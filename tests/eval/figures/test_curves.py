"""Threshold curves: what is drawn where."""

import numpy as np
import pytest

from valor.eval.figures.curves import DrawnCurve, threshold_curves_figure
from valor.eval.figures.style import Style

CURVE = DrawnCurve(thresholds=np.array([0.9, 0.2, 0.6]), f_scores=np.array([0.1, 0.4, 0.8]), used=0.5)


def test_a_curve_is_a_staircase_whose_steps_end_at_their_threshold():
    axes = threshold_curves_figure([("Dog", [CURVE, None])]).axes[0]
    curve, dot, tick = axes.lines
    assert curve.get_xdata().tolist() == [0.2, 0.6, 0.9] and curve.get_ydata().tolist() == [40, 80, 10]
    assert curve.get_drawstyle() == "steps-pre"
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([0.6], [80])
    assert list(tick.get_xdata()) == [0.5, 0.5]


def test_audible_and_visible_differ_without_colour():
    axes = threshold_curves_figure([("Dog", [CURVE, CURVE])]).axes[0]
    curves = [line for line in axes.lines if line.get_drawstyle() == "steps-pre"]
    assert len({str(line.get_linestyle()) for line in curves}) == 2


def test_a_long_curve_is_thinned_but_keeps_its_best_and_its_ends():
    thresholds = np.linspace(0, 1, 20_001)
    f_scores = np.where(np.arange(20_001) == 7777, 1.0, 0.5)
    axes = threshold_curves_figure([("Dog", [DrawnCurve(thresholds=thresholds, f_scores=f_scores), None])]).axes[0]
    line, dot = axes.lines
    assert len(line.get_xdata()) < 600
    assert {0.0, 1.0, thresholds[7777]} <= set(line.get_xdata().tolist())
    assert list(dot.get_xdata()) == [thresholds[7777]]


def test_panels_are_as_many_beside_each_other_as_there_is_room_for():
    panels = [(f"class {number}", [CURVE, CURVE]) for number in range(7)]
    wide = threshold_curves_figure(panels, unit="logit", title="F")
    assert wide.axes[0].get_gridspec().ncols == 5
    assert threshold_curves_figure(panels, style=Style(width=3.35)).axes[0].get_gridspec().ncols == 2
    shown = [axes for axes in wide.axes if axes.axison]
    assert [axes.get_title("left") for axes in shown] == [name for name, _ in panels]
    assert [axes.get_xlabel() for axes in shown] == ["", "", *["logit"] * 5]  # the lowest of each column


@pytest.mark.parametrize(("panels", "message"), [
    ([], "at least one class, got none"),
    ([("Dog", [CURVE])], "Dog: expected 2 curves .* got 1"),
    ([("Dog", [DrawnCurve(thresholds=np.zeros(3), f_scores=np.zeros(2)), None])], r"got 2 with \[\(\(3,\), \(2,\)\)\]"),
    ([("Dog", [DrawnCurve(thresholds=np.zeros(0), f_scores=np.zeros(0)), None])], "Dog: expected"),
])  # fmt: skip
def test_what_is_no_curve_is_refused(panels, message):
    with pytest.raises(ValueError, match=message):
        threshold_curves_figure(panels)
