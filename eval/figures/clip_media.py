"""The clip itself above a timeline: a strip of frames and the sound, on the clock of the rows below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .style import DPI, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAME_HEIGHT = 0.9
"""Inches a frame is high at most; frames that would be higher stand narrower in the middle of their time."""

WAVEFORM_HEIGHT, SPECTROGRAM_HEIGHT = 0.3, 0.5
"""Inches of height of the sound."""

FAINT_PEAK = 0.02
"""A waveform is drawn to its peak, but one that stays below this is drawn small, so that near silence looks so."""

LOUDNESS = (25.0, 99.7)
"""Percentiles of the spectrogram that are drawn as nothing and as full ink."""

LEAST_RANGE_DB, FAINTEST_DB = 35.0, -60.0
"""So many decibels at least lie between them, and full ink stands for no less than this: near silence looks so."""

MEDIA_TITLES = ("video", "sound")
"""How the strip of frames and the sound are called."""


@dataclass(frozen=True)
class Media:
    """What is seen and heard of one clip, from the start of its clock to the end; what is not there is None."""

    frames: npt.NDArray[np.uint8] | None = None
    """uint8 [K, H, W, 3] RGB, evenly spaced: frame k stands for the k-th of K equal parts of the clip."""
    waveform: npt.NDArray[np.float32] | None = None
    """float32 [S] mono, nominally in [-1, 1]."""

    def __post_init__(self) -> None:
        """Refuse arrays that are no pictures or no sound."""
        frames, waveform = self.frames, self.waveform
        if frames is not None and (
            frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size
        ):
            raise ValueError(
                f"frames must be uint8 [frames, height, width, 3] and at least one, "
                f"got {frames.dtype} {list(frames.shape)}; convert them to 8-bit RGB"
            )
        if waveform is not None and (waveform.dtype != np.float32 or waveform.ndim != 1 or not waveform.size):
            raise ValueError(
                f"waveform must be float32 [samples] and at least one, "
                f"got {waveform.dtype} {list(waveform.shape)}; average its channels and scale it to [-1, 1]"
            )
        if waveform is not None and not np.isfinite(waveform).all():
            raise ValueError(
                f"waveform must be finite, got {np.count_nonzero(~np.isfinite(waveform))} samples that are not, "
                f"the first at {np.argmin(np.isfinite(waveform))}; decode the clip again"
            )


def strip_heights(media: Media | None, inches: float) -> list[float]:
    """Heights in inches of what `draw_media` draws into axes of a width in inches, from top to bottom."""
    heights = []
    if media is not None and media.frames is not None:
        heights.append(_frame_height(media.frames.shape, inches))
    if media is not None and media.waveform is not None:
        heights.append(WAVEFORM_HEIGHT)
    return heights


def draw_media(column: "Sequence[Axes]", media: Media | None, seconds: float, inches: float, colours: Theme) -> None:
    """Draw the frames, then the waveform, each into its axes of `column`.

    Args:
        column: one axes for each of `strip_heights`, sharing their x axis with the rows below.
        media: frames, a waveform, both or neither.
        seconds: length of the clip.
        inches: about how wide the axes will be; frames keep their shape and their place on the clock if it is not so.
        colours: theme of the figure.
    """
    remaining = list(column)
    if media is not None and media.frames is not None:
        _draw_frames(remaining.pop(0), media.frames, seconds, inches, colours)
    if media is not None and media.waveform is not None:
        _draw_waveform(remaining.pop(0), media.waveform, seconds, inches, colours)


def _frame_height(shape: tuple[int, ...], inches: float) -> float:
    """Inches of height of a frame that fills its part of the strip, if it may be that high."""
    num_frames, height, width = shape[:3]
    return min(FRAME_HEIGHT, inches / num_frames * height / width)


def _draw_frames(axes: "Axes", frames: npt.NDArray[np.uint8], seconds: float, inches: float, colours: Theme) -> None:
    """Put each frame in the middle of its part of the clock, as wide as that part unless it would be too high.

    A second is as long upwards as it is to the right, so frames keep their shape: where the axes turn out higher or
    lower than planned, the y limits give way, never the clock.
    """
    part = seconds / len(frames)
    height = _frame_height(frames.shape, inches) * seconds / inches
    width = min(part, height * frames.shape[2] / frames.shape[1])
    for index, frame in enumerate(frames):
        left = (index + 0.5) * part - width / 2
        axes.imshow(frame, extent=(left, left + width, 0, height), interpolation="antialiased", zorder=1)
    axes.vlines(np.arange(1, len(frames)) * part, 0, height, colours.paper, linewidth=1.0, zorder=2)
    axes.set_xlim(0, seconds)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_yticks([height / 2], MEDIA_TITLES[:1])
    axes.tick_params(labelbottom=False)


def _draw_waveform(
    axes: "Axes", waveform: npt.NDArray[np.float32], seconds: float, inches: float, colours: Theme
) -> None:
    """Fill what lies between the lowest and the highest sample of each pixel column."""
    low, high = envelope(waveform, round(inches * DPI))
    middles = (np.arange(len(low)) + 0.5) * seconds / len(low)
    axes.fill_between(middles, low, high, facecolor=colours.quiet, edgecolor=colours.quiet, linewidth=0.4)
    reach = max(float(np.abs(waveform).max()), FAINT_PEAK)
    axes.set_xlim(0, seconds)
    axes.set_ylim(-1.05 * reach, 1.05 * reach)
    axes.set_yticks([0], MEDIA_TITLES[1:])
    axes.tick_params(labelbottom=False)


def envelope(waveform: npt.NDArray[np.float32], num_columns: int) -> npt.NDArray[np.float32]:
    """Find the lowest and the highest sample of each column of pixels.

    Args:
        waveform: float32 [S].
        num_columns: columns the samples are spread over; fewer are returned when there are fewer samples.

    Returns:
        float32 [2, columns]: lowest, highest. Every sample belongs to exactly one column, so no peak is lost.

    Example:
        >>> envelope(np.array([0.0, 0.5, -1.0, 0.25], dtype=np.float32), 2)
        array([[ 0.  , -1.  ],
               [ 0.5 ,  0.25]], dtype=float32)
    """
    num_columns = min(num_columns, len(waveform))
    starts = np.arange(num_columns) * len(waveform) // num_columns
    return np.stack([np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)])


def draw_spectrogram(
    axes: "Axes", spectrogram: npt.NDArray[np.float32], seconds: float, colours: Theme, *, covered: float
) -> None:
    """Draw decibels [bands, columns] of `covered` seconds up to `seconds`, loud parts in the ink of the theme."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("loudness", [colours.paper, colours.quiet, colours.ink])
    faint, loud = np.percentile(spectrogram, LOUDNESS)
    loud = max(float(loud), FAINTEST_DB)
    axes.imshow(
        spectrogram,
        extent=(0, covered, 0, 1),
        origin="lower",
        aspect="auto",
        cmap=shades,
        vmin=min(float(faint), loud - LEAST_RANGE_DB),
        vmax=loud,
        interpolation="antialiased",
    )
    axes.set_xlim(0, seconds)
    axes.set_yticks([0.5], MEDIA_TITLES[1:])
    axes.tick_params(labelbottom=False)
