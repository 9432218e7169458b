"""Media of any length as a sequence of clips: overlapping windows of the segment grid, each read as a clip file is.

Conventions

* The media is cut into segments from the start of the container's clock. One whose length is that of the grid within
  its tolerance has exactly the segments of the grid. Any other has as many as it begins, where a last one that holds
  less than a tenth of a segment does not count.
* Windows of T segments begin every `hop` segments; the last one ends with the last segment. Shorter media are one
  window, whose rest is padding: the last frame repeated, silence, and `valid` False.
* A window is read as `read_clip` reads a file cut there: T frames at the slots of the published rule, the waveform from
  its first sample on. Media of the length of the grid are one window, equal to what `read_clip` gives to the bit.
* A stream is present in the segments of which it covers at least a tenth; one that begins within the tolerance of the
  grid begins at once. Where a stream is present in no segment of a window, the window has no frames or no waveform;
  where it begins or ends within a window, the others have its first or last frame, or silence.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .clip import ClipMedia, Grid, MediaError, frame_indices
from .frames import slot_image
from .resample import sound_at
from .streams import DirectReader, MediaReader
from .survey import MediaSurvey

LEAST_SHARE = 0.1
"""Share of a segment a stream must cover to be present in it."""


@dataclass(frozen=True, eq=False)
class Window:
    """One stretch of a media file, ready for teachers that judge clips."""

    start: int
    """Its first segment, counted from the start of the media."""
    clip: ClipMedia
    """Its frames and its waveform on the whole grid; a stream that is not there is None."""
    present: np.ndarray
    """bool [T, M=2], in which segments there is sound, and a picture."""
    valid: np.ndarray
    """bool [T], False for padding after the end of short media."""


def num_segments(seconds: float, grid: Grid) -> int:
    """How many segments media of a length have.

    >>> [num_segments(seconds, Grid()) for seconds in (0.4, 9.2, 10.4, 10.6, 23.05)]
    [1, 10, 10, 11, 23]
    """
    if abs(seconds - grid.seconds) <= grid.tolerance_seconds:
        return grid.num_segments
    return max(1, math.ceil(seconds / grid.segment_seconds - LEAST_SHARE))


def window_starts(segments: int, window: int, hop: int) -> tuple[int, ...]:
    """First segments of the windows over so many segments.

    Raises:
        ValueError: The hop leaves gaps or does not move.

    >>> window_starts(23, 10, 5)
    (0, 5, 10, 13)
    """
    if not 1 <= hop <= window:
        raise ValueError(f"hop must be 1 to {window} segments, the length of a window, got {hop}")
    last = max(0, segments - window)
    return (*range(0, last, hop), last)


def read_windows(
    survey: MediaSurvey, grid: Grid, *, hop: int, slots: bool = False, reader: MediaReader | None = None
) -> Iterator[Window]:
    """Read a media file window by window, decoding each stream once.

    Args:
        survey: Of the file, from `survey_media`.
        grid: T segments of a window, and the rates.
        hop: Segments from one window to the next, at most T.
        slots: Whether the frames of all slots are wanted, beside one per segment.
        reader: Who decodes, the one that made the survey; None for this process.

    Raises:
        MediaError: The file is damaged, or cannot be brought to the grid.
        ValueError: The hop leaves gaps or does not move.
    """
    reader = reader or DirectReader()
    segments = num_segments(survey.seconds, grid)
    starts = window_starts(segments, grid.num_segments, hop)
    spans = ((survey.audio_start, survey.audio_seconds), (survey.video_start, survey.video_seconds))
    present = np.stack([_covered(start, end, segments, grid) for start, end in spans], axis=1)
    pictures = _picture_windows(reader, survey, grid, starts, present[:, 1], slots=slots)
    waveforms = _sound_windows(reader, survey, grid, starts, present[:, 0])
    for start, picture, waveform in zip(starts, pictures, waveforms, strict=True):
        here = present[start : start + grid.num_segments]
        padding = grid.num_segments - len(here)
        clip = ClipMedia(picture[0], waveform, grid, slots=picture[1])
        valid = np.arange(grid.num_segments) < len(here)
        yield Window(start, clip, np.pad(here, ((0, padding), (0, 0))), valid)


def _covered(start: float, end: float | None, segments: int, grid: Grid) -> np.ndarray:
    """Whether a stream with this start and end in seconds covers enough of each segment, bool [segments].

    However short a stream is, there is one segment at least.
    """
    if end is None:
        return np.zeros(segments, bool)
    start = 0.0 if start <= grid.tolerance_seconds else start
    edges = np.arange(segments + 1) * grid.segment_seconds
    least = LEAST_SHARE * grid.segment_seconds
    covered: np.ndarray = (end - edges[:-1] >= least) & (edges[1:] - start >= least)
    if not covered.any():
        covered[min(int(start / grid.segment_seconds), segments - 1)] = True
    return covered


_Pictures = tuple[np.ndarray | None, np.ndarray | None]
"""Frames of the segments, uint8 [T, H, W, 3], and those of all slots."""


def _picture_windows(
    reader: MediaReader,
    survey: MediaSurvey,
    grid: Grid,
    starts: tuple[int, ...],
    present: np.ndarray,
    *,
    slots: bool,
) -> Iterator[_Pictures]:
    """Pictures of each window, None where no frame is present; holds the frames of two windows at most."""
    length = min(len(present), grid.num_segments)
    num_slots = _num_slots(survey, grid, len(present))
    chosen = frame_indices(num_slots, length)
    picks = np.arange(max(num_slots, grid.num_slots)) if slots else chosen
    offsets = (picks + 0.5) / grid.frame_rate
    shown = [bool(present[start : start + length].any()) for start in starts]
    times = [start * grid.segment_seconds + offsets for start, seen in zip(starts, shown, strict=True) if seen]
    cutoffs, place = np.unique(np.concatenate([np.zeros(0), *times]), return_inverse=True)
    images: Iterator[np.ndarray] = iter(())
    if times:
        images = reader.frames(survey, cutoffs, grid)
    held, taken = dict[int, np.ndarray](), 0
    rows = iter(place.reshape(-1, len(picks)).tolist())
    for seen in shown:
        if not seen:
            yield None, None
            continue
        row = next(rows)
        held = {index: image for index, image in held.items() if index >= row[0]}
        held |= {index: next(images) for index in range(taken, row[-1] + 1)}
        taken = max(taken, row[-1] + 1)
        window = [held[index] for index in row]
        frames = [window[index] for index in chosen] if slots else window
        padded = np.stack(frames + frames[-1:] * (grid.num_segments - length))
        yield padded, np.stack([slot_image(image) for image in window[: grid.num_slots]]) if slots else None


def _num_slots(survey: MediaSurvey, grid: Grid, segments: int) -> int:
    """Frame slots of a window: those of the grid, or of a single window as many as its video lasts."""
    seconds = survey.video_seconds or 0.0
    wanted = min(segments, grid.num_segments) * grid.segment_seconds
    tolerance = grid.tolerance_seconds if segments >= grid.num_segments else grid.segment_seconds
    if segments <= grid.num_segments and abs(seconds - wanted) <= tolerance:
        return max(1, round(seconds * grid.frame_rate))
    return max(1, round(wanted * grid.frame_rate))


def _sound_windows(
    reader: MediaReader, survey: MediaSurvey, grid: Grid, starts: tuple[int, ...], present: np.ndarray
) -> Iterator[np.ndarray | None]:
    """float32 [S] of each window, filled up with silence, None where no sound is present."""
    blocks: Iterator[np.ndarray] = iter(())
    if present.any():
        blocks = _named(survey, sound_at(reader.sound(survey), grid.sample_rate))
    held, first = np.zeros(0, np.float32), 0
    for start in starts:
        if not present[start : start + grid.num_segments].any():
            yield None
            continue
        begin = round(start * grid.segment_seconds * grid.sample_rate)
        held, first = _dropped(held, first, begin)
        while first + len(held) < begin + grid.num_samples and (block := next(blocks, None)) is not None:
            held, first = _dropped(np.concatenate([held, block]), first, begin)
        window = held[: grid.num_samples]
        yield np.pad(window, (0, grid.num_samples - len(window)))


def _named(survey: MediaSurvey, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same blocks; an error says of which file."""
    try:
        yield from blocks
    except MediaError as error:
        if str(error).startswith(f"{survey.path.name}: "):
            raise
        raise MediaError(f"{survey.path.name}: {error}", error.status) from error


def _dropped(held: np.ndarray, first: int, begin: int) -> tuple[np.ndarray, int]:
    """What is held from sample `begin` on, and the number of its first sample; `held` begins with sample `first`."""
    passed = min(len(held), begin - first)
    return held[passed:], first + passed
