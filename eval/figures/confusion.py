"""A confusion matrix as a picture: truth down, prediction across, shares of each row by lightness and number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..events import Float64Array
from .style import ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 0.26
"""Inches a row is high at most."""

SHOWN = 0.05
"""Shares below this are shaded but get no number, and in cells too small for one none does."""


def confusion_figure(
    counts: npt.NDArray[np.number],
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw what true segments of each class were taken for.

    Args:
        counts: [R, K] how often row r was taken for column k, not negative; rows are shaded by their shares.
        row_names: R names of what was true.
        column_names: K names of what was predicted, the columns named as the rows standing in the same order.
        title: a line above the figure.
        style: width and theme; the height follows from the content.

    Returns:
        A matplotlib figure; the cells where truth and prediction are of one name are framed.

    Raises:
        ValueError: The counts are not [R, K], empty, negative or no numbers.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.shape != (len(row_names), len(column_names)) or not values.size or not (values >= 0).all():
        raise ValueError(
            f"counts must be [{len(row_names)} rows, {len(column_names)} columns], not empty and not negative, "
            f"got {values.shape}"
        )
    totals = values.sum(axis=1)
    shares = values / np.maximum(totals, np.finfo(float).tiny)[:, np.newaxis]
    colours = style.colours
    cell = min(CELL, 0.7 * style.width / len(column_names))
    size = min(7.0, 65 * cell)  # points, so that names stand apart
    names_below = 0.2 + size / 120 * max(len(name) for name in column_names)
    figure, (axes,) = stacked_axes([len(row_names) * cell + names_below], style)
    _draw_cells(axes, shares, SHOWN if cell > 0.15 else 2.0, colours)
    _frame_diagonal(axes, row_names, column_names, shares if cell > 0.15 else None, colours)
    rows = [f"{_plain(name)}  {total:,.0f}" for name, total in zip(row_names, totals.tolist(), strict=True)]
    axes.set_yticks(range(len(rows)), rows, fontsize=size, color=colours.ink)
    axes.set_xticks(range(len(column_names)), [_plain(name) for name in column_names], rotation=90, fontsize=size)
    axes.tick_params(axis="x", labelcolor=colours.ink)
    axes.set_xlabel("predicted", fontsize=8, color=colours.quiet)
    axes.set_ylabel("true, and how many", fontsize=8, color=colours.quiet)
    add_legend(figure, _scale(colours), title, colours)
    figure.draw_without_rendering()  # names that stand upright find their place only at the second layout
    settle(figure)
    return figure


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _mixed(share: float, colours: Theme) -> tuple[float, float, float]:
    """A colour between paper and the darkest shade; its lightness alone tells the share."""
    from matplotlib.colors import to_rgb

    paper, full = np.array(to_rgb(colours.paper)), np.array(to_rgb(colours.systems[0]))
    mixed = paper + (full - paper) * share**0.6  # small shares must be seen beside large ones
    return (float(mixed[0]), float(mixed[1]), float(mixed[2]))


def _draw_cells(axes: "Axes", shares: Float64Array, shown: float, colours: Theme) -> None:
    """Shade every cell by its share of its row and write shares from `shown` on in percent."""
    image = np.array([[_mixed(share, colours) for share in row] for row in shares.tolist()])
    axes.imshow(image, aspect="auto", interpolation="nearest")
    height, width = shares.shape
    axes.set_xticks(np.arange(width + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(height + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=colours.shade, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    dark = colours.paper != "#ffffff"
    for row, column in np.argwhere(shares >= shown).tolist():
        share = shares[row, column]
        ink = "#ffffff" if dark or share > 0.35 else colours.ink
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=ink)


def _frame_diagonal(
    axes: "Axes", rows: Sequence[str], columns: Sequence[str], shares: Float64Array | None, colours: Theme
) -> None:
    """Frame the cells of what was recognised, and write a zero where nothing was of what is there."""
    from matplotlib.patches import Rectangle

    for row, name in enumerate(rows):
        if name in columns:
            column = list(columns).index(name)
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=colours.ink, linewidth=0.9))
            if shares is not None and shares[row, column] == 0 < shares[row].sum():
                axes.text(column, row, "0", ha="center", va="center", fontsize=6, color=colours.ink)


def _scale(colours: Theme) -> "list[Artist]":
    """Legend entries: how dark some shares are."""
    from matplotlib.patches import Patch

    steps = (0.0, 0.1, 0.25, 0.5, 1.0)
    return [
        Patch(facecolor=_mixed(share, colours), edgecolor=colours.shade, label=f"{100 * share:.0f} %")
        for share in steps
    ]
