"""What all figures share: sizes, colours, an empty canvas, the legend, and the way to PNG, SVG and PDF.

Colour tells what is audible from what is visible, and systems apart, and no colour does both. It never carries meaning
alone: systems also keep one order and differ in lightness. Blue and orange of Okabe and Ito (the dark theme lightens
the blue) are of the modalities, as in the viewer; systems have those of Tol's muted colours that are like neither.
Figures are built without pyplot, so no window, backend or global state is involved.
"""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from ..xml_text import xml_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORT_WIDTH = 9.0
"""Inches, for a report on a screen."""

PAPER_WIDTH = 6.9
"""Inches, the text width of a two-column conference paper."""

COLUMN_WIDTH = 3.35
"""Inches, one column of such a paper."""

GAP = 0.09
"""Inches the layout leaves between axes that stand one above the other."""

LINE = 0.16
"""Inches of height of a line of the legend."""

DPI = 200
"""Pixels per inch of an image, and of the images within an SVG or a PDF."""

PICTURES = (".png", ".svg", ".pdf")
"""What the file of a picture may end in."""
ENDINGS = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
"""The same, as messages say it."""


@dataclass(frozen=True)
class Theme:
    """The colours of a figure."""

    paper: str
    """Background."""
    ink: str
    """Text, and the truth."""
    quiet: str
    """Lines and text that should step back."""
    shade: str
    """The truth behind the predictions."""
    modalities: tuple[str, str]
    """What is audible, and what is visible."""
    systems: tuple[str, ...]
    """One colour for each system besides the truth, taken in turn, of unlike lightness."""


THEMES = {
    "light": Theme(
        *("#ffffff", "#1b1f24", "#6b7280", "#e6e8ec"),
        ("#0072b2", "#e69f00"),
        ("#44aa99", "#882255", "#cfc06a", "#aa4499", "#117733"),
    ),
    "dark": Theme(
        *("#14171c", "#eceef1", "#9aa3af", "#2b3038"),
        ("#2a86c8", "#e69f00"),
        ("#44aa99", "#a83f78", "#ddcc77", "#c77cba", "#3f9a57"),
    ),
}
"""Themes by name."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a figure looks, whatever it shows."""

    width: float = REPORT_WIDTH
    """Inches, such as REPORT_WIDTH, PAPER_WIDTH or COLUMN_WIDTH; the height follows from the content."""
    theme: str = "light"
    """Colours for light or dark pages."""
    colour_order: Sequence[str] = ()
    """Names of systems in the order they take their colours, so that a system keeps its colour from figure to figure;
    without it they take them as they come."""

    def __post_init__(self) -> None:
        """Refuse themes there are none of, and figures without a width."""
        if self.theme not in THEMES:
            raise ValueError(f"theme must be one of {', '.join(THEMES)}, got {self.theme!r}")
        if not self.width > 0:
            raise ValueError(f"width must be a positive number of inches, got {self.width}")

    @property
    def colours(self) -> Theme:
        """The colours of the theme."""
        return THEMES[self.theme]

    def fills(self, names: Sequence[str], truth: str | None = None) -> dict[str, str]:
        """Give the truth the ink and every other system its colour, in the order of the names."""
        systems = list(dict.fromkeys([*self.colour_order, *(name for name in names if name != truth)]))
        palette = self.colours.systems
        return {
            name: self.colours.ink if name == truth else palette[systems.index(name) % len(palette)] for name in names
        }


ON_SCREEN = Style()
"""A wide light figure."""


def to_png(figure: "Figure", *, dpi: int = DPI) -> bytes:
    """Render a figure as a PNG image; the same figure gives the same bytes."""
    image = io.BytesIO()
    with _settings():
        figure.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
    return image.getvalue()


def to_svg(figure: "Figure") -> str:
    """Render a figure as SVG, text drawn as outlines so that it looks alike everywhere; the same in, the same out."""
    image = io.BytesIO()
    with _settings():
        figure.savefig(image, format="svg", dpi=DPI, metadata={"Date": None})
    return xml_text(image.getvalue().decode("utf-8"))


def to_pdf(figure: "Figure") -> bytes:
    """Render a figure as PDF for LaTeX, its letters embedded as TrueType; the same figure gives the same bytes."""
    image = io.BytesIO()
    with _settings():
        nothing_of_now = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        figure.savefig(image, format="pdf", dpi=DPI, metadata=nothing_of_now)
    return image.getvalue()


def to_picture(figure: "Figure", suffix: str) -> bytes:
    """Render a figure by the ending of its file, one of PICTURES."""
    return to_svg(figure).encode() if suffix == ".svg" else to_pdf(figure) if suffix == ".pdf" else to_png(figure)


@contextmanager
def _settings() -> Iterator[None]:
    """Settings matplotlib takes from nowhere but its globals, put back afterwards.

    Letters that its font lacks are boxes in the picture, which needs no warning with lines of code.
    """
    import matplotlib

    salt = "valor.eval.figures.style"
    with matplotlib.rc_context({"hatch.linewidth": 0.9, "svg.hashsalt": salt, "pdf.fonttype": 42}):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield


def stacked_axes(
    heights: Sequence[float], style: Style, *, columns: int = 1, share_x: bool = True
) -> "tuple[Figure, list[Axes]]":
    """Make an empty figure with rows of frameless axes of these heights in inches, all on one x axis.

    With share_x=False each has an x axis of its own, and room for its ticks.

    Room for a title and a legend of one line each and the ticks of the lowest axes is added.
    """
    from matplotlib.figure import Figure

    colours = style.colours
    gap = GAP if share_x else GAP + 0.2
    figure = Figure(
        figsize=(style.width, sum(heights) + 0.75 + gap * (len(heights) - 1)),
        dpi=DPI,
        layout="constrained",
        facecolor=colours.paper,
    )
    axes = figure.subplots(len(heights), columns, sharex=share_x, squeeze=False, height_ratios=heights)
    rows = list(axes.flat)
    _undress(rows, colours)
    return figure, rows


def grid_axes(rows: int, columns: int, height: float, style: Style) -> "tuple[Figure, list[Axes]]":
    """Make an empty figure with rows of frameless axes of one height in inches that share both their axes.

    Room for a title and a legend of one line each and the ticks of the lowest axes is added.
    """
    from matplotlib.figure import Figure

    colours = style.colours
    size = (style.width, rows * height + 0.75 + GAP * (rows - 1))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor=colours.paper)
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    _undress(grid, colours)
    return figure, grid


def _undress(several: "Sequence[Axes]", colours: Theme) -> None:
    """Take frames and tick marks away."""
    for axes in several:
        axes.set_facecolor(colours.paper)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7.5, labelcolor=colours.quiet, pad=3)
        axes.set_axisbelow(True)


def row_fills(systems: Sequence[str], style: Style) -> dict[str, str]:
    """The colour of each system that rows are of, in their order, and ink for "", rows of none."""
    return style.fills(["", *dict.fromkeys(systems)], truth="")


def swatches(fills: dict[str, str]) -> "list[Artist]":
    """Legend entries: the colour of each system, in its order."""
    from matplotlib.patches import Patch

    return [Patch(facecolor=fill, label=name) for name, fill in fills.items()]


def add_legend(figure: "Figure", handles: "Sequence[Artist]", title: str | None, colours: Theme) -> None:
    """Put title and legend above the axes, the legend in as few lines as the figure is wide enough for."""
    inches = [0.5 + 0.065 * len(str(handle.get_label())) for handle in handles]
    columns = len(handles)
    while columns > 1 and _legend_width(inches, columns) > figure.get_figwidth():
        columns -= 1
    title = title and textwrap.fill(title, int(figure.get_figwidth() / 0.085))
    lines = ceil(len(handles) / columns) + (title.count("\n") + 1 if title else 0)
    figure.set_figheight(figure.get_figheight() + LINE * (lines - 2))  # which has room for two
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        title=title,
        title_fontproperties={"weight": "bold", "size": 10},
        alignment="left",
        frameon=False,
        fontsize=7.5,
        labelcolor=colours.ink,
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.1,
    ).get_title().set_color(colours.ink)


def _legend_width(inches: Sequence[float], columns: int) -> float:
    """How wide a legend of entries of these widths is, which fill one column after the other."""
    rows, longer = divmod(len(inches), columns)
    starts = [n * rows + min(n, longer) for n in range(columns + 1)]
    return sum(max(inches[start:stop]) for start, stop in pairwise(starts))


def write_beside(
    axes: "Axes",
    text: str,
    place: tuple[float, float],
    shift: float,
    colours: Theme,
    *,
    size: float,
    bold: bool = False,
) -> None:
    """Write beside the axes: place is (share of the width, line), shift is in points, the text ends there."""
    axes.annotate(
        text,
        place,
        xycoords=("axes fraction", "data"),
        xytext=(shift, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=size,
        weight="bold" if bold else "normal",
        color=colours.ink,
    )


def settle(figure: "Figure") -> None:
    """Lay a finished figure out, once: a second layout would start from the first and could differ by a pixel."""
    engine = figure.get_layout_engine()
    with _settings():
        if engine is not None:
            engine.execute(figure)
    figure.set_layout_engine("none")
