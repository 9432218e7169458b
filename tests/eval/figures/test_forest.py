"""Dots with intervals: what is drawn where, what is hollow, and what becomes an arrow."""

from dataclasses import replace

import pytest

from valor.eval.figures.forest import DotPanel, DotRow, dots_figure
from valor.eval.figures.style import Style, to_png

ROWS = [
    DotRow("better", "labels", 2.0, (1.0, 3.0), (0.5, 3.5), (1.5, 2.5)),
    DotRow("unclear", "labels", 1.0, (0.5, 1.5), (-1.0, 3.0), (0.0, 2.0)),
    DotRow("far worse", "layers", -40.0, (-42.0, -38.0), (-44.0, -36.0), (-41.0, -39.0)),
]


def drawn(rows=ROWS, **options):
    return dots_figure([DotPanel(rows)], measure="points", inner="clips", outer="seeds", points="each seed", **options)


def dots(axes):
    """Where the large dots are, and whether they are filled."""
    marks = [line for line in axes.lines if line.get_marker() == "o" and line.get_markersize() > 5]
    return [(line.get_xdata()[0], line.get_markerfacecolor() == line.get_color()) for line in marks]


def colours_of(axes):
    return [line.get_color() for line in axes.lines if line.get_markersize() == 5.5 and line.get_marker() == "o"]


def test_dots_stand_where_the_differences_are_and_are_hollow_where_zero_is_inside():
    axes = drawn().axes[0]
    assert dots(axes) == [(2.0, True), (1.0, False), (-40.0, True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["better", "unclear", "far worse"]
    spans = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() > 3]
    assert spans == [(1.0, 3.0), (0.5, 1.5), (-42.0, -38.0)]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["labels", "+2.0", "+1.0", "layers", "-40.0"]
    low, high = axes.get_xlim()
    assert low < -44 and high > 3.5


def test_the_legend_leaves_out_what_no_row_has():
    bare = [DotRow("one", "labels", 2.0, (1.0, 3.0))]
    labels = [text.get_text() for text in drawn(bare).legends[0].get_texts()]
    assert labels == ["clips", "clear of zero", "not clear"]
    labels = [text.get_text() for text in drawn().legends[0].get_texts()]
    assert labels == ["clips", "seeds", "each seed", "clear of zero", "not clear"]


def test_the_same_figure_gives_the_same_bytes_and_the_dark_one_others():
    assert to_png(drawn()) == to_png(drawn())
    assert to_png(drawn()) != to_png(drawn(style=Style(theme="dark")))


def test_panels_have_scales_of_their_own_and_colours_are_of_systems_alone():
    figure = dots_figure([DotPanel(ROWS[2:]), DotPanel(ROWS[:2])], measure="points", inner="clips")
    wide, narrow = figure.axes
    assert wide.get_xlim()[0] < -40 and narrow.get_xlim()[0] > -2
    assert (wide.get_xlabel(), narrow.get_xlabel()) == ("", "points")
    theme = Style().colours
    assert colours_of(wide) == [theme.ink] and colours_of(narrow) == [theme.ink] * 2, "variants, in groups with titles"
    named = [replace(row, system=name) for row, name in zip(ROWS, ("HAN", "", "HAN"), strict=True)]
    assert colours_of(drawn(named).axes[0]) == [theme.systems[0], theme.ink, theme.systems[0]]
    ordered = drawn(named, style=Style(colour_order=("VALOR", "HAN")))
    assert colours_of(ordered.axes[0])[0] == theme.systems[1], "as in other figures"


def test_no_rows_and_torn_groups_are_refused():
    with pytest.raises(ValueError, match="got none"):
        drawn([])
    with pytest.raises(ValueError, match=r"those of a group next to one another, got \['labels'\]"):
        drawn([*ROWS, ROWS[0]])
    with pytest.raises(ValueError, match="rows in every panel"):
        dots_figure([], measure="points", inner="clips")


def test_estimates_and_intervals_over_clips_are_whole_and_long_whiskers_end_in_arrows():
    """Over two seeds one row's whisker is longer than all differences together."""
    worst = DotRow("worst", "layers", -4.3, (-6.6, -2.2), (-9.0, -1.0), (-5.4, -3.3))
    unsure = DotRow("unsure", "layers", 0.2, (-1.0, 1.4), (-25.0, 27.0), (-1.9, 2.3))
    axes = drawn([worst, unsure]).axes[0]
    low, high = axes.get_xlim()
    assert dots(axes) == [(-4.3, True), (0.2, False)] and -12 < low < -9 and 5 < high < 8
    thick = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() > 3]
    assert thick == [(-6.6, -2.2), (-1.0, 1.4)] and not [text for text in axes.texts if text.get_text() == ""]
    (left,) = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "<"]
    (right,) = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == ">"]
    assert (left, right) == (pytest.approx(-6.6 - 0.5 * 8.9), pytest.approx(2.3 + 0.5 * 8.9))
    bars = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
    assert bars == [-9.0, -1.0], "of the row whose whisker is whole"
    assert all(low < end < high for line in axes.lines for end in line.get_xdata() if end not in (0, 1))
    assert not [line for line in drawn([worst]).axes[0].lines if line.get_marker() in "<>"]
