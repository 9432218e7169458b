"""What notebooks and `save` need, whatever is shown: a table under a line, one clip as a timeline, a picture file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valor.eval.events import BoolArray, as_marks, event_frame
from valor.eval.figures.style import ON_SCREEN, PICTURES, Style, to_picture
from valor.eval.figures.timeline import timeline_figure
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced
from valor.label_harvest.store.manifest import composed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_ROWS, MOST_CLIPS = 12, 4
"""Rows of a table that a notebook shows, and clips whose events are looked for to fill them."""


def write_figure(path: Path | str, figure: "Figure") -> None:
    """Write a figure as PNG, SVG or PDF, whole or not at all.

    Raises:
        ValueError: The name ends in none of these.
    """
    suffix = Path(path).suffix
    if suffix not in PICTURES:
        raise ValueError(f"{path}: a picture is named *{', *'.join(PICTURES)}")
    image = to_picture(figure, suffix)
    with replaced(path) as temporary:
        temporary.write_bytes(image)


def picture_html(said: str, png: bytes) -> str:
    """A picture that words stand for, as notebooks show it: both, the first line of the words before the others."""
    words, picture = escape(said), b64encode(png).decode()
    return (
        f'<img src="data:image/png;base64,{picture}" alt="{words}" style="max-width: 100%">'
        f"<details><summary>{words.partition(chr(10))[0]}</summary><pre>{words}</pre></details>"
    )


def frame_html(said: str, frame: "pd.DataFrame", *, rows: int | None = None, most: int = MOST_ROWS) -> str:
    """A line and the first rows of a table, as notebooks show them; what stands in it stays text.

    Args:
        said: The line.
        frame: The table, or its first rows.
        rows: How many rows the whole table has; None for those of `frame`.
        most: How many are shown.
    """
    shown = frame.head(most)
    left = (len(frame) if rows is None else rows) - len(shown)
    more = f"<p>... {left:,} more rows: <code>.to_frame()</code></p>" if left > 0 else ""
    return f"<p>{escape(said)}</p>{shown.to_html(border=0)}{more}"


def clips_html(
    said: str,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    marked: BoolArray,
    *,
    segment_seconds: float | None = None,
) -> str:
    """A line and the events of the first clips, as notebooks show them.

    Args:
        said: The line.
        clip_ids: N names.
        class_names: C names.
        marked: bool [N, T, M, C], or that of the first clips.
        segment_seconds: Length of a segment; None for a second.
    """
    few = clip_ids[:MOST_CLIPS]
    shown = event_frame(few, class_names, marked[: len(few)], segment_seconds=segment_seconds or 1.0).head(MOST_ROWS)
    left = len(clip_ids) > len(few) or len(shown) == MOST_ROWS
    more = "<p>... more rows: <code>.to_frame()</code>; a clip: <code>.plot(clip_id)</code></p>" if left else ""
    return f"<p>{escape(said)}</p>{shown.to_html(border=0)}{more}"


def plot_clip(
    clip_id: str | None,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    tracks: Mapping[str, BoolArray],
    *,
    valid: BoolArray | None = None,
    segment_seconds: float = 1.0,
    style: Style | None = None,
) -> "Figure":
    """Draw one clip as a timeline.

    Args:
        clip_id: Which; None for the first.
        clip_ids: N names.
        class_names: C names.
        tracks: By name bool [N, T, M, C], from top to bottom; one that is called truth is shaded behind the others.
        valid: bool [N, T], where a segment exists; None for clips of one length.
        segment_seconds: Length of a segment.
        style: Width, theme and colours; None for a wide light figure.

    Raises:
        ValueError: There is no such clip, or marks of other clips.
    """
    wanted, clips = clip_ids[0] if clip_id is None else composed(clip_id), f"{len(clip_ids):,} clips"
    if wanted not in clip_ids:
        near = did_you_mean(clip_id, clip_ids)
        raise ValueError(f"clip_id must be one of the {clips}, {clip_ids[0]} the first, got {clip_id!r}{near}")
    if other := [name for name, marked in tracks.items() if len(marked) != len(clip_ids)]:
        raise ValueError(f"{other[0]}: must be marks of the same {clips}, got {len(tracks[other[0]]):,}")
    tracks = {name: as_marks(marked) for name, marked in tracks.items()}
    row = list(clip_ids).index(wanted)
    stop = None if valid is None else int(np.flatnonzero(valid[row])[-1]) + 1
    return timeline_figure(
        [(name, marked[row, :stop]) for name, marked in tracks.items()],
        class_names,
        segment_seconds=segment_seconds,
        title=wanted,
        style=style or ON_SCREEN,
    )
