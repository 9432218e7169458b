"""What all figures share."""

import subprocess
import sys
from itertools import combinations

import pytest

from valor.eval.figures.style import (
    THEMES,
    Style,
    add_legend,
    grid_axes,
    settle,
    stacked_axes,
    swatches,
    to_pdf,
    to_png,
    to_svg,
)

LIGHT = THEMES["light"]


@pytest.mark.parametrize("theme", THEMES)
def test_the_first_systems_and_the_truth_differ_in_grey(theme):
    def grey(colour):
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    shades = [grey(colour) for colour in (THEMES[theme].ink, *THEMES[theme].systems[:3])]
    assert min(abs(one - other) for one, other in combinations(shades, 2)) > 20


def test_no_colour_is_of_a_modality_and_of_a_system():
    for colours in THEMES.values():
        assert not {*colours.modalities} & {*colours.systems} and len({*colours.modalities, *colours.systems}) == 7
    assert [theme.modalities[1] for theme in THEMES.values()] == ["#e69f00"] * 2  # orange is what is visible


def test_systems_take_colours_in_the_order_given_and_the_truth_takes_the_ink():
    style = Style(colour_order=("two", "one"))
    first, second, third, *_ = style.colours.systems
    assert style.fills(["truth", "one", "new"], "truth") == {"truth": style.colours.ink, "one": second, "new": third}
    assert list(Style().fills(["one", "two"]).values()) == [first, second]
    many = [str(number) for number in range(12)]
    assert set(Style().fills(many).values()) == set(style.colours.systems)  # taken in turn when they run out


def test_styles_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="theme must be one of light, dark, got 'sepia'"):
        Style(theme="sepia")
    for width in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="width must be a positive number of inches"):
            Style(width=width)


def test_axes_stand_above_each_other_at_the_heights_wanted():
    figure, column = stacked_axes([0.5, 0.25, 2.0], Style(width=6.0))
    for axes in column:
        axes.set_yticks([])
    column[-1].set_xlabel("seconds")
    add_legend(figure, swatches({"one": "#000000"}), "a title", LIGHT)
    figure.draw_without_rendering()
    heights = [axes.get_window_extent().height / figure.dpi for axes in column]
    assert heights == pytest.approx([0.5, 0.25, 2.0], rel=0.06)
    assert column[0].get_shared_x_axes().joined(column[0], column[-1])


def test_axes_of_a_grid_share_both_scales_and_have_the_height_wanted():
    figure, grid = grid_axes(2, 3, 1.0, Style(width=6.0))
    grid[0].set_xlim(0, 7)
    grid[0].set_ylim(0, 5)
    assert {(axes.get_xlim(), axes.get_ylim()) for axes in grid} == {((0, 7), (0, 5))}
    grid[-1].set_xlabel("probability")
    add_legend(figure, swatches({"one": "#000000"}), "a title", LIGHT)
    figure.draw_without_rendering()
    assert [axes.get_window_extent().height / figure.dpi for axes in grid] == pytest.approx([1.0] * 6, rel=0.1)
    assert not any(spine.get_visible() for axes in grid for spine in axes.spines.values())


def test_a_long_title_and_a_long_legend_make_the_figure_higher_not_the_axes_lower():
    def height(title, names):
        figure, (axes,) = stacked_axes([1.0], Style(width=3.0))
        add_legend(figure, swatches(dict.fromkeys(names, "#000000")), title, LIGHT)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        return axes.get_window_extent().height / figure.dpi

    short = height("a clip", ["one"])
    assert height("a clip of many words " * 6, [f"a system {number}" for number in range(9)]) > 0.9 * short


def test_scoring_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys, valor.eval.scores, valor.eval.decide, valor.eval.tables\n"
        "import valor.eval.figures.style, valor.eval.figures.timeline, valor.eval.figures.bars\n"
        "import valor.eval.figures.bars, valor.eval.figures.curves, valor.eval.figures.confusion\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_settled_figure_gives_the_same_bytes_in_any_order():
    def made():
        figure, column = stacked_axes([0.5, 1.0], Style(width=3.0))
        column[0].set_ylabel("a label that takes room")
        add_legend(figure, swatches({"one": "#000000"}), "a title of more than one line in so narrow a figure", LIGHT)
        settle(figure)
        return figure

    first, second = made(), made()
    image, drawing = to_png(first, dpi=50), to_svg(first)
    page = to_pdf(first)
    assert to_svg(second) == drawing and to_png(second, dpi=50) == image and to_pdf(second) == page
    assert to_png(first, dpi=50) == image and to_svg(first) == drawing


def test_letters_that_a_font_lacks_are_boxes_and_no_warning(recwarn):
    figure, column = stacked_axes([0.5], Style(width=3.0))
    column[0].set_ylabel("\u72d7")
    settle(figure)
    assert to_png(figure, dpi=20) and to_svg(figure) and to_pdf(figure) and not recwarn.list


def test_columns_of_a_legend_are_as_wide_as_their_longest_entry():
    figure, _ = stacked_axes([1.0], Style(width=3.35))
    names = ["truth", "SIMULATED mine/seed-87", "SIMULATED valor++/seed-87"]
    add_legend(figure, swatches(dict.fromkeys(names, "#000000")), "a clip", LIGHT)
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1
