"""The strip of stills beneath the film strip of a parse: where in the picture visible events were found.

A still stands in a free place near its time, all in the order of times, above it a line from its second, under it the
class and the second. What speaks
for the class keeps its light and is tinted, the rest is darkened; a ring stands at the peak.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .style import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STILLS_TITLE = "where"
CAPTION_HEIGHT = 0.24
"""Inches of height of the two lines under a still."""
LEADER_HEIGHT = 0.12
"""Inches of height of the lines that lead to them from their seconds."""
STILLS_EXTRA = CAPTION_HEIGHT + LEADER_HEIGHT
"""Inches that the strip is higher than a still."""
LETTER = 0.047
"""Inches of width of a letter of them, about."""
TINT, TINTED, DARKENED = (1.0, 0.55, 0.0), 0.3, 0.55
"""Colour of what speaks for a class, how strong it is laid over that, and how much the rest loses of its light."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Still:
    """A frame in which a visible event was found."""

    frame: npt.NDArray[np.uint8]
    """uint8 [H, W, 3]."""
    values: npt.NDArray[np.float32]
    """float [rows, columns] in [0, 1]."""
    peak: tuple[float, float]
    """Shares of its width and height."""
    area: tuple[float, float, float, float]
    """What the values cover: left, top, right, bottom, as shares."""
    seconds: float
    """When, from the start of the media."""
    name: str
    """Of the class."""
    said: str
    """The second in words."""


def placed_stills(stills: Sequence[Still], seconds: float, places: int) -> dict[int, Still]:
    """By place on the strip, the still that stands there: near its time, in the order of times.

    The first of them choose first, and those that find no place are left out.

    Args:
        stills: The most important first.
        seconds: Length of the media.
        places: Of the strip.
    """
    taken: list[int] = []
    for still in stills[:places]:
        nearest = still.seconds / seconds * places - 0.5
        free = [place for place in range(places) if place not in taken]
        taken.append(min(free, key=lambda place: abs(place - nearest)))
    return dict(zip(sorted(taken), sorted(stills[:places], key=lambda still: still.seconds), strict=True))


def lit(still: Still, height: int, width: int) -> npt.NDArray[np.float64]:
    """RGBA to be laid over a still drawn of this many pixels: dark and clear where nothing is, tinted where it is."""
    heat = heat_on(still.values, still.area, height, width)
    over = np.zeros((height, width, 4))
    over[..., :3] = np.array(TINT) * heat[..., None]
    over[..., 3] = DARKENED * (1 - heat) + TINTED * heat
    return over


def heat_on(
    values: npt.NDArray[np.float32], area: tuple[float, float, float, float], height: int, width: int
) -> npt.NDArray[np.float64]:
    """Values of cells at each pixel of a picture, float [height, width], between the middles of cells linearly."""
    left, top, right, bottom = area
    rows, columns = values.shape
    down = ((np.arange(height) + 0.5) / height - top) / (bottom - top)
    across = ((np.arange(width) + 0.5) / width - left) / (right - left)
    between = np.array(
        [np.interp(across * columns - 0.5, np.arange(columns), row, left=row[0], right=row[-1]) for row in values]
    )
    heat = np.array([np.interp(down * rows - 0.5, np.arange(rows), column) for column in between.T]).T
    seen = ((down >= 0) & (down <= 1))[:, None] & ((across >= 0) & (across <= 1))
    return np.where(seen, heat, 0.0)


def draw_stills(
    axes: "Axes", stills: Sequence[Still], places: int, seconds: float, inches: float, height: float, colours: Theme
) -> None:
    """Draw the strip.

    Args:
        axes: Where, on the clock of the media.
        stills: The most important first.
        places: Of the film strip above.
        seconds: Length of the media.
        inches: About how wide the axes will be.
        height: Of a still, in inches at most.
        colours: Theme of the figure.
    """
    part, scale = seconds / places, seconds / inches
    for place, still in placed_stills(stills, seconds, places).items():
        tall, wide = still.frame.shape[:2]
        up = min(height * scale, part * tall / wide)
        middle, half = (place + 0.5) * part, up * wide / tall / 2
        extent = (middle - half, middle + half, 0.0, up)
        axes.imshow(still.frame, extent=extent, interpolation="antialiased", zorder=1)
        axes.imshow(lit(still, tall, wide), extent=extent, interpolation="antialiased", zorder=2)
        led = (
            [still.seconds, still.seconds, middle],
            [(height + LEADER_HEIGHT) * scale, (height + 0.6 * LEADER_HEIGHT) * scale, up],
        )
        axes.plot(*led, color=colours.quiet, linewidth=0.8, zorder=3)
        ring = (extent[0] + still.peak[0] * 2 * half, up * (1 - still.peak[1]))
        for size, colour in ((2.4, "black"), (1.2, "white")):
            axes.plot(*ring, marker="o", markersize=7, markerfacecolor="none", markeredgecolor=colour, mew=size)
        most = max(4, int(part / scale / LETTER))
        name = still.name.replace("_", " ")
        short = (name if len(name) <= most else name[: most - 1] + "…").replace("$", r"\$")
        caption = f"{short}\n{still.said}"
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 5.5, "linespacing": 1.0, "color": colours.ink}
        axes.annotate(caption, (middle, 0), xytext=(0, -1.5), textcoords="offset points", **look)
    axes.set_xlim(0, seconds)
    axes.set_ylim(-CAPTION_HEIGHT * scale, (height + LEADER_HEIGHT) * scale, auto=True)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_yticks([height * scale / 2], [STILLS_TITLE])
    axes.tick_params(labelbottom=False)
