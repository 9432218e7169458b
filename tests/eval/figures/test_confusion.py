"""The confusion matrix as a picture."""

import numpy as np
import pytest

from valor.eval.figures.confusion import confusion_figure
from valor.eval.figures.style import Style

COUNTS = np.array([[8.0, 2.0, 0.0], [0.0, 0.0, 1500.0]])
ROWS, COLUMNS = ("Dog", "Cat"), ("Dog", "Cat", "nothing")


def test_rows_are_shaded_by_share_and_large_shares_get_their_number():
    axes = confusion_figure(COUNTS, ROWS, COLUMNS).axes[0]
    assert {(*text.get_position(), text.get_text()) for text in axes.texts} == {
        (0, 0, "80"),
        (1, 0, "20"),
        (2, 1, "100"),
        (1, 1, "0"),  # of what is there nothing was recognised
    }
    lightness = axes.images[0].get_array().mean(axis=2)
    assert lightness[0, 0] < lightness[0, 1] < lightness[0, 2] and lightness[0, 2] == pytest.approx(1)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Dog  10", "Cat  1,500"]


def test_what_was_recognised_is_framed():
    frames = confusion_figure(COUNTS, ROWS, COLUMNS).axes[0].patches
    assert [patch.get_xy() for patch in frames] == [(-0.5, -0.5), (0.5, 0.5)]


def test_a_row_without_a_segment_is_drawn_empty():
    assert not confusion_figure(np.zeros((2, 3)), ROWS, COLUMNS).axes[0].texts


def test_cells_too_small_for_numbers_have_none():
    names = [f"class {number}" for number in range(25)]
    counts = np.eye(25)
    assert len(confusion_figure(counts, names, names).axes[0].texts) == 25
    assert not confusion_figure(counts, names, names, style=Style(width=3.35)).axes[0].texts


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_labels_stay_within_the_figure(theme):
    names = [f"a class of a long name {number}" for number in range(12)]
    figure = confusion_figure(np.eye(12), names, names, title="t", style=Style(theme=theme))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box = axes.get_tightbbox()
    assert figure.bbox.x0 <= box.x0 and figure.bbox.y0 <= box.y0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("counts", [np.eye(2), np.zeros((0, 3)), -COUNTS, np.full((2, 3), np.nan)])
def test_what_is_no_matrix_is_refused(counts):
    with pytest.raises(ValueError, match=r"counts must be \[2 rows, 3 columns\], not empty and not negative"):
        confusion_figure(counts, ROWS, COLUMNS)
