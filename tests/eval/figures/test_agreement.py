"""Dots against the diagonal: where they stand, and which are hollow."""

import pytest

from valor.eval.figures.agreement import AgreementDot, agreement_figure

DOTS = [
    AgreementDot("hit", 2.0, 3.0, (1.5, 4.5), "one"),
    AgreementDot("miss", 5.0, 1.0, (0.0, 2.0), "two"),
    AgreementDot("exact", 4.0, 4.0),
]


def test_dots_stand_where_they_are_and_are_hollow_where_the_interval_misses_the_diagonal():
    (axes,) = agreement_figure(DOTS, known="published", foretold="here", title="a bench").axes
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    found = [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() == line.get_color()) for line in marks
    ]
    assert found == [(2.0, 3.0, True), (5.0, 1.0, False), (4.0, 4.0, True)]
    assert [text.get_text() for text in axes.texts] == ["hit", "miss", "exact"]
    assert axes.get_xlim() == axes.get_ylim() and axes.get_xlabel() == "published"


def test_names_cover_no_other_name_and_no_interval():
    near = [AgreementDot(f"method {n}", 2 + 0.3 * n, 3 - 0.1 * n, (1.0, 5.0), "one") for n in range(4)]
    figure = agreement_figure([*near, AgreementDot("far", 9.0, 9.0)], known="published", foretold="here")
    (axes,) = figure.axes
    names = [text.get_window_extent() for text in axes.texts]
    bars = [line.get_window_extent().padded(1) for line in axes.lines if line.get_marker() != "o"][1:]
    assert not any(one.overlaps(other) for n, one in enumerate(names) for other in names[:n])
    assert (
        sum(name.overlaps(bar) for name in names for bar in bars) <= 2
    )  # of the two in the middle, which have no room


def test_a_figure_without_a_dot_is_refused():
    with pytest.raises(ValueError, match="at least one dot"):
        agreement_figure([], known="x", foretold="y")


def test_hollow_dots_have_a_line_of_the_legend_where_there_are_any():
    said = [text.get_text() for text in agreement_figure(DOTS, known="x", foretold="y").legends[0].get_texts()]
    assert said[-1] == "interval misses the diagonal"
    hit = [dot for dot in DOTS if dot.name != "miss"]
    alone = agreement_figure(hit, known="x", foretold="y").legends
    assert not any("misses" in text.get_text() for legend in alone for text in legend.get_texts())
