"""One clip of a demo run as a picture: what happens in it, and what two trainings make of it."""

from pathlib import Path

import numpy as np

from valor.data.predictions import align, decisions
from valor.eval.figures.clip_media import Media
from valor.eval.figures.style import Style, to_png
from valor.eval.figures.timeline import timeline_figure
from valor.label_harvest.disk import replaced
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.store.manifest import media_id
from valor.scoring.figures import typical_clip

from .report import clip_scores
from .run import DemoResult

TITLES = {"tags-only": "trained on tags only", "valor": "trained with VALOR"}
"""The arms in the picture, and what it calls them."""

WIDTH = 7.0
"""Inches, which is 1400 pixels: sharp on a page that shows it half as large."""

GRID = Grid(sample_rate=32000)
"""How the clip is decoded; the demo world sounds at this rate, so nothing is resampled."""


def typical_row(result: DemoResult) -> int:
    """The clip in the picture: `typical_clip` of the test split by both trainings."""
    truth = result.test.truth
    assert truth is not None  # the demo world is annotated
    scores = np.stack([clip_scores(result, arm) for arm in TITLES])  # [2, N]
    return typical_clip(truth, result.test.weak_labels, scores)


def write_demo_picture(path: Path, result: DemoResult, row: int) -> None:
    """Draw one clip with its frames and its sound above what is audible and visible, and write it as PNG.

    Args:
        path: The file to write, whole or not at all.
        result: A demo run whose videos are still there.
        row: Which clip of the test split.

    Raises:
        ValueError: The test split has no such row.
        MediaError: The clip cannot be decoded.
    """
    test = result.test
    if test.truth is None:
        raise ValueError("the test split has no dense truth to draw; read it with its event tables")
    if not 0 <= row < len(test.clip_ids):
        raise ValueError(f"row must be one of the {len(test.clip_ids)} clips of the test split, from 0, got {row}")
    tracks = [("truth", test.truth[row])]
    tracks += [(title, decisions(align(result.predictions[arm], test))[0][row]) for arm, title in TITLES.items()]
    clip = read_clip(result.world.videos / f"{media_id(test.clip_ids[row])}.mp4", grid=GRID)
    tags = [test.class_names[index].replace("_", " ") for index in np.flatnonzero(test.weak_labels[row])]
    figure = timeline_figure(
        tracks,
        test.class_names,
        segment_seconds=GRID.segment_seconds,
        title=f"Tagged “{', '.join(tags)}”: what is audible, what visible, and when?",
        media=Media(clip.frames, clip.waveform),
        style=Style(width=WIDTH),
    )
    with replaced(path) as temporary:
        temporary.write_bytes(to_png(figure))
