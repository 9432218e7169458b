"""The picture of a parse, as a figure and as PNG or SVG."""

from pathlib import Path
from typing import TYPE_CHECKING

from eval.canvas import ON_SCREEN, Style, to_png, to_svg
from eval.parse_plot import DrawnParse, clock_text, parse_figure
from valor.files import replaced
from valor.parses import Parse
from valor.parsing_sketch import MediaSketch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
"""What a picture may be named."""


def draw_parse(
    parse: Parse, sketch: MediaSketch | None = None, *, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw what is audible and visible, under frames and sound where a sketch of the media is given."""
    drawn = DrawnParse(
        class_names=parse.class_names,
        probs=parse.segment_probs,
        predicted=parse.predicted,
        segment_seconds=parse.segment_seconds,
        start=parse.media.start_time,
        frames=sketch.strip() if sketch else None,
        spectrogram=sketch.spectrogram() if sketch else None,
    )
    length = clock_text(round(parse.media.duration, 1), parse.media.duration)
    unit = " s" if ":" not in length else " min" if length.count(":") == 1 else " h"
    return parse_figure(drawn, title=title or f"{_shortened(parse.media.name)}, {length}{unit}", style=style)


def write_picture(
    path: Path, parse: Parse, sketch: MediaSketch | None = None, *, title: str | None = None, style: Style = ON_SCREEN
) -> None:
    """Write the picture of a parse as PNG or SVG, whole or not at all.

    Raises:
        ValueError: The name ends in neither.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a picture is named *{' or *'.join(SUFFIXES)}")
    figure = draw_parse(parse, sketch, title=title, style=style)
    with replaced(path) as temporary:
        if path.suffix == ".png":
            temporary.write_bytes(to_png(figure))
        else:
            temporary.write_text(to_svg(figure), encoding="utf-8", newline="\n")


def _shortened(name: str) -> str:
    """A file name that fits above a figure; dollar signs would begin a formula."""
    short = name if len(name) <= 70 else f"{name[:45]}...{name[-20:]}"
    return "".join(letter if letter.isprintable() else " " for letter in short).replace("$", r"\$")
