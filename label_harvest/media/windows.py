"""Media of any length as a sequence of clips: overlapping windows of the segment grid, each read as a clip file is.

Conventions

* The media is cut into segments from the start of the container's clock. One whose length is that of the grid within
  its tolerance has exactly the segments of the grid. Any other has as many as it begins, where a last one that holds
  less than a tenth of a segment does not count.
* Windows of T segments begin every `hop` segments; the last one ends with the last segment. Shorter media are one
  window, whose rest is padding: the last frame repeated, silence, and `valid` False.
* Where cuts are given (cuts.py), every shot is a film of its own to these rules, on own segments, which are counted
  through all shots: windows begin at cuts and hold nothing of what lies behind the next one. In a last segment that a
  cut ends early, the sound before it is heard once more, backwards: with silence films score half a point less.
* A window is read as `read_clip` reads a file cut there: T frames at the slots of the published rule, the waveform from
  its first sample on. Media of the length of the grid are one window, equal to what `read_clip` gives to the bit.
* With `shared`, media longer than a window have one picture for each segment, whichever windows it lies in, so that a
  teacher looks at each second once: the slot it has in clips of `TILE_SECONDS` laid end to end from the start of the
  media (and within its shot). By the published rule the place of a picture within its second depends on the window, and
  no two overlapping windows have a picture in common. Sound is the same in every window.
* A stream is present in the segments of which it covers at least a tenth; one that begins within the tolerance of the
  grid begins at once, and a hole in it (holes.py) is no part of it. Where a stream is present in no segment of a
  window, the window has no frames or no waveform; where it begins, ends or has a hole within a window, the others have
  its first or last frame, or silence.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .clip import LEAST_SHARE, ClipMedia, EndsError, Grid, MediaError, frame_indices
from .cuts import FloatArray, Shot, own_begins, shots_of
from .frames import slot_image
from .holes import Span, left_of
from .resample import sound_at
from .streams import DirectReader, Lost, MediaReader
from .survey import MediaSurvey

TILE_SECONDS = 10.0
"""Length of the clips whose pictures shared segments have, whatever the length of a window."""


@dataclass(frozen=True, eq=False)
class WindowPlace:
    """Where a window of a media file lies, and what there is in it."""

    start: int
    """Its first segment, counted from the start of the media, or through the own segments of all shots."""
    present: np.ndarray
    """bool [T, M=2], in which segments there is sound, and a picture."""
    valid: np.ndarray
    """bool [T], False for padding after the end of short media."""
    spans: np.ndarray
    """float [valid segments, 2], when each begins and ends, in seconds from the start of the media; a cut ends it."""
    times: np.ndarray
    """float [valid segments], when the picture of each is shown."""

    @property
    def streams(self) -> tuple[bool, bool]:
        """Whether it has sound, and a picture, anywhere."""
        return bool(self.present[:, 0].any()), bool(self.present[:, 1].any())


@dataclass(frozen=True, eq=False, kw_only=True)
class Window(WindowPlace):
    """One stretch of a media file, ready for teachers that judge clips."""

    clip: ClipMedia
    """Its frames and its waveform on the whole grid; a stream that is not there is None."""
    notes: tuple[str, ...] = ()
    """What turned out to be damaged while it was decoded, which the survey could not know."""


def num_segments(seconds: float, grid: Grid) -> int:
    """How many segments media of a length have.

    >>> [num_segments(seconds, Grid()) for seconds in (0.4, 9.2, 10.4, 10.6, 23.05)]
    [1, 10, 10, 11, 23]
    """
    if abs(seconds - grid.seconds) <= grid.tolerance_seconds:
        return grid.num_segments
    return max(1, math.ceil(seconds / grid.segment_seconds - LEAST_SHARE))


def segments_of(survey: MediaSurvey, grid: Grid) -> int:
    """How many segments a file has, without the lead of its sound."""
    return num_segments(survey.seconds - survey.lead, grid)


def segments_of_both(survey: MediaSurvey, grid: Grid) -> int:
    """How many segments a file has up to where its sound or its picture ends, whichever is first.

    Where the other goes on for a segment or more (or half a second, the tolerance of the grid, where segments are
    shorter), where there is no other, or where the file is as long as the grid, these are those of `segments_of`.
    """
    segments, ends = segments_of(survey, grid), [survey.video_seconds, survey.audio_seconds]
    seconds = [end - survey.lead for end in ends if end is not None]
    alone, is_grid = max(seconds) - min(seconds), abs(max(seconds) - grid.seconds) <= grid.tolerance_seconds
    if len(seconds) < len(ends) or is_grid or alone >= max(grid.segment_seconds, grid.tolerance_seconds):
        return segments
    reached = math.floor(min(seconds) / grid.segment_seconds - LEAST_SHARE) + 1
    return max(1, min(segments, reached))


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


@dataclass(frozen=True)
class Stretch:
    """What a window holds of a media file: own segments of a shot from `start` up to, not including, `stop`."""

    start: int
    stop: int
    shot: Shot

    def begin(self, grid: Grid) -> float:
        """When it begins, in seconds from the start of the media."""
        return self.shot.begin + (self.start - self.shot.own.start) * grid.segment_seconds


def stretches(grid: Grid, hop: int, shots: Sequence[Shot]) -> tuple[Stretch, ...]:
    """The windows over a media file, shot by shot.

    Raises:
        ValueError: The hop leaves gaps or does not move.

    >>> [(window.start, window.stop) for window in stretches(Grid(), 5, [Shot(0, 23, range(23))])]
    [(0, 10), (5, 15), (10, 20), (13, 23)]
    >>> shots = [Shot(0, 4, range(4)), Shot(4, 16, range(4, 16), 3.9)]
    >>> [(window.start, window.stop, window.begin(Grid())) for window in stretches(Grid(), 5, shots)]
    [(0, 4, 0.0), (4, 14, 3.9), (6, 16, 5.9)]
    """
    window = grid.num_segments
    return tuple(
        Stretch(shot.own.start + first, min(shot.own.start + first + window, shot.own.stop), shot)
        for shot in shots
        for first in window_starts(len(shot.own), window, hop)
    )


def read_windows(
    survey: MediaSurvey,
    grid: Grid,
    *,
    hop: int,
    shots: Sequence[Shot] = (),
    slots: bool = False,
    shared: bool = False,
    reader: MediaReader | None = None,
) -> Iterator[Window]:
    """Read a media file window by window, decoding each stream once.

    Args:
        survey: Of the file, from `survey_media`.
        grid: T segments of a window, and the rates.
        hop: Segments from one window to the next, at most T.
        shots: Of the whole file, from `cuts.shots_of`; without any it is taken for one.
        slots: Whether the frames of all slots are wanted, beside one per segment; by the published rule.
        shared: Whether a segment has the same picture in every window.
        reader: Who decodes, the one that made the survey; None for this process.

    Raises:
        MediaError: The file is damaged, or cannot be brought to the grid.
        ValueError: The hop leaves gaps or does not move.
    """
    reader = reader or DirectReader()
    shots = shots or shots_of((), segments_of(survey, grid), grid)
    windows, begins = stretches(grid, hop, shots), own_begins(shots, grid)
    lead = survey.lead  # what is heard at the end of a stretch is as much late
    ends = tuple(None if end is None else end - lead for end in (survey.audio_seconds, survey.video_seconds))
    holes = tuple(tuple((start - lead, end) for start, end in of) for of in (survey.audio_holes, survey.video_holes))
    streams = ((survey.audio_start, ends[0], holes[0]), (survey.video_start, ends[1], holes[1]))
    present = np.stack([_covered(start, end, holes, begins, grid) for start, end, holes in streams], axis=1)
    found = _Found(present, begins, grid)
    pictures = _picture_windows(reader, survey, grid, windows, found, slots=slots, shared=shared)
    waveforms = _sound_windows(reader, survey, grid, windows, found)
    for window, picture, waveform in zip(windows, pictures, waveforms, strict=True):
        place = placed(survey, grid, window, present, shared=shared)
        if window is windows[-1]:
            found.notes += lost_notes(reader.lost)
        clip = ClipMedia(picture[0], waveform, grid, slots=picture[1])
        yield Window(**vars(place), clip=clip, notes=found.said())


def placed(survey: MediaSurvey, grid: Grid, window: Stretch, present: np.ndarray, *, shared: bool) -> WindowPlace:
    """What a window is without its media.

    Args:
        survey: Of the file.
        grid: T segments of a window, and the rates.
        window: From `stretches`.
        present: bool [own segments of all shots, M=2].
        shared: See `read_windows`.
    """
    here = present[window.start : window.stop]
    padding = grid.num_segments - len(here)
    valid = np.arange(grid.num_segments) < len(here)
    begins = window.begin(grid) + np.arange(len(here)) * grid.segment_seconds
    spans = np.stack([begins, np.minimum(begins + grid.segment_seconds, window.shot.end)], axis=1)
    times = _picture_times(survey, grid, window, len(present), shared=shared)
    return WindowPlace(window.start, np.pad(here, ((0, padding), (0, 0))), valid, spans, times)


def lost_notes(lost: Lost) -> list[str]:
    """What is to be said of what was bridged."""
    stays = {"audio": "silence is heard there", "video": "the last good picture stays until the next whole one"}
    return [
        f"its {kind} cannot be decoded: {tally.said()}; {stays[kind]}"
        for kind, tally in sorted(lost.items())
        if tally.count
    ]


@dataclass
class _Found:
    """Where the streams are, which gets less when one turns out to end before its packets do."""

    present: np.ndarray
    """bool [segments, M=2]."""
    starts: FloatArray
    """float64 [segments], when each begins."""
    grid: Grid
    notes: list[str] = field(default_factory=list)

    def begins(self, modality: int, begin: float) -> None:
        """A stream begins here, in seconds from the start of the clock, since what comes before does not decode."""
        if begin > self.grid.tolerance_seconds:
            ends = self.starts + self.grid.segment_seconds
            self.present[:-1, modality] &= (ends - begin >= LEAST_SHARE * self.grid.segment_seconds)[:-1]

    def ends(self, modality: int, end: float, note: str, *, steps: bool = False) -> None:
        """A stream ends here, in seconds from the start of the clock; with `steps` the note says which segment ends."""
        seconds = self.grid.segment_seconds
        self.present[1:, modality] &= (end - self.starts >= LEAST_SHARE * seconds)[1:]
        first = next((start for start in self.starts[1:] if end - start < LEAST_SHARE * seconds), end)
        if steps and f"{first:.1f}" != f"{end:.1f}":
            note += f"; segments last {seconds:g} s, and those from {first:g} s on count as without picture"
        self.notes.append(note)

    def has(self, modality: int, window: Stretch) -> bool:
        """Whether there is anything of a stream in a window."""
        return bool(self.present[window.start : window.stop, modality].any())

    def said(self) -> tuple[str, ...]:
        """What has been found since this was last asked."""
        notes, self.notes = tuple(self.notes), []
        return notes


def _why_it_ends(survey: MediaSurvey, end: float, grid: Grid) -> str:
    """What is said of a video that ends early: with salvage good pictures would go on behind a key frame."""
    seconds = survey.video_seconds or 0.0
    if not survey.salvage or seconds - end <= grid.tolerance_seconds:
        return f"its video is damaged from {end:.1f} s on, where it ends"
    return (
        f"its video is damaged, and no key frame that decodes comes behind: the last good picture ends at {end:.1f} s, "
        f"and the rest, up to {seconds:.1f} s, builds on what is lost and is left out"
    )


def _covered(start: float, end: float | None, holes: Sequence[Span], begins: FloatArray, grid: Grid) -> np.ndarray:
    """Whether a stream with this start, end and holes in seconds covers enough of each segment, bool [segments].

    However short a stream is, there is one segment at least.
    """
    if end is None:
        return np.zeros(len(begins), bool)
    start = 0.0 if start <= grid.tolerance_seconds else start
    ends, least = begins + grid.segment_seconds, LEAST_SHARE * grid.segment_seconds
    covered: np.ndarray = (end - begins >= least) & (ends - start >= least)
    for first, last in holes:
        for segment in np.flatnonzero((begins <= last) & (ends > first)):
            whole = (max(start, begins[segment]), min(end, ends[segment]))
            covered[segment] &= left_of(whole, holes) >= least
    if not covered.any():
        covered[max(0, int(np.searchsorted(begins, start, "right")) - 1)] = True
    return covered


_Pictures = tuple[np.ndarray | None, np.ndarray | None]
"""Frames of the segments, uint8 [T, H, W, 3], and those of all slots."""


def _picture_windows(
    reader: MediaReader,
    survey: MediaSurvey,
    grid: Grid,
    windows: tuple[Stretch, ...],
    found: _Found,
    *,
    slots: bool,
    shared: bool,
) -> Iterator[_Pictures]:
    """Pictures of each window, None where no frame is present; holds the frames of two windows at most."""
    shown = [window for window in windows if found.has(1, window)]
    segments = len(found.present)
    times = [_picture_times(survey, grid, window, segments, slots=slots, shared=shared) for window in shown]
    cutoffs, place = np.unique(np.concatenate([np.zeros(0), *times]), return_inverse=True)
    ends = np.cumsum([len(of) for of in times])[:-1]
    rows = dict(zip(shown, (of.tolist() for of in np.split(place, ends)), strict=False))
    images: Iterator[np.ndarray] = iter(())
    if times:
        images = reader.frames(survey, cutoffs, grid)
    held, taken, last = dict[int, np.ndarray](), 0, np.zeros((0, 0, 3), np.uint8)
    for window in windows:
        row = rows[window] if window in rows and found.has(1, window) else None
        if row is None:
            yield None, None
            continue
        held = {index: image for index, image in held.items() if index >= row[0]}
        wanted, taken = range(taken, row[-1] + 1), max(taken, row[-1] + 1)
        try:
            for index, image in zip(wanted, images, strict=False):  # none come any more behind an end
                last = held[index] = image
            if taken == len(cutoffs):
                next(images, None)  # whether it ends there
        except EndsError as error:
            found.ends(1, error.end, _why_it_ends(survey, error.end, grid), steps=True)
        lost = reader.lost.get("video")
        if window is windows[0] and lost and lost.first <= survey.video_start:
            found.begins(1, lost.first + lost.opening)
        if not found.has(1, window):
            yield None, None
            continue
        pictures = [held.get(index, last) for index in row]
        length = window.stop - window.start
        chosen = frame_indices(_num_slots(survey, grid, window, segments), length)
        frames = [pictures[index] for index in chosen] if slots else pictures
        padded = np.stack(frames + frames[-1:] * (grid.num_segments - length))
        yield padded, np.stack([slot_image(image) for image in pictures[: grid.num_slots]]) if slots else None


def _picture_times(
    survey: MediaSurvey, grid: Grid, window: Stretch, segments: int, *, slots: bool = False, shared: bool = False
) -> np.ndarray:
    """Ascending times in seconds at which the pictures of a window are shown: of its segments, or of all slots."""
    num_slots = _num_slots(survey, grid, window, segments)
    begin: float | np.ndarray = window.begin(grid)
    picks = frame_indices(num_slots, window.stop - window.start)
    if slots:
        picks = np.arange(max(num_slots, grid.num_slots))
    elif shared and segments > grid.num_segments:
        count = max(1, round(TILE_SECONDS / grid.segment_seconds))  # segments of such a clip
        numbers = np.arange(window.start, window.stop) - window.shot.own.start + window.shot.start
        parts, places = np.divmod(numbers, count)
        picks = frame_indices(max(1, round(count * grid.segment_seconds * grid.frame_rate)), count)[places]
        begin += (parts * count - numbers[0]) * grid.segment_seconds
    times: np.ndarray = begin + (picks + 0.5) / grid.frame_rate
    if abs(survey.seconds - grid.seconds) > grid.tolerance_seconds:  # else equal to a clip to the bit
        times = times + survey.lead
    margin, shot = 0.5 / grid.frame_rate, window.shot  # a cut is known to half a slot
    within: np.ndarray = np.clip(times, shot.begin + margin if shot.start else -math.inf, shot.end - margin)
    return within


def _num_slots(survey: MediaSurvey, grid: Grid, window: Stretch, segments: int) -> int:
    """Frame slots of a window: those of its segments, or of a single window as many as its video lasts."""
    length = window.stop - window.start
    seconds = survey.video_seconds or 0.0
    wanted = length * grid.segment_seconds
    if length < grid.num_segments:  # the rest of a segment that does not count is in no other
        seconds = min(seconds, wanted)
    tolerance = grid.tolerance_seconds if length >= grid.num_segments else grid.segment_seconds
    if length == segments and abs(seconds - wanted) <= tolerance:
        return max(1, round(seconds * grid.frame_rate))
    return max(1, round(wanted * grid.frame_rate))


def _sound_windows(
    reader: MediaReader, survey: MediaSurvey, grid: Grid, windows: tuple[Stretch, ...], found: _Found
) -> Iterator[np.ndarray | None]:
    """float32 [S] of each window, filled up with silence, None where no sound is present."""
    blocks: Iterator[np.ndarray] = iter(())
    if found.present[:, 0].any():
        blocks = _named(survey, sound_at(reader.sound(survey), grid.sample_rate))
    held, first, going = np.zeros(0, np.float32), 0, True
    for window in windows:
        if not found.has(0, window):
            yield None
            continue
        begin = round(window.begin(grid) * grid.sample_rate)
        held, first = _dropped(held, first, begin)
        wanted = grid.num_samples
        if window.stop < len(found.present):  # else all there is, up to the length of a window
            wanted = round((window.stop - window.start) * grid.segment_seconds * grid.sample_rate)
        while going and first + len(held) < begin + wanted:
            block = next(blocks, None)
            if block is not None:
                held, first = _dropped(np.concatenate([held, block]), first, begin)
                continue
            going, end, promised = False, (first + len(held)) / grid.sample_rate, survey.audio_seconds or 0.0
            if promised - end > grid.tolerance_seconds:
                said = f"its audio decodes to {end:.1f} s of the {promised:.1f} s its packets promise, where it ends"
                found.ends(0, end, said)
        if not found.has(0, window):
            yield None
            continue
        sound = _within(held[:wanted], window.shot.end * grid.sample_rate - begin)
        yield np.pad(sound, (0, grid.num_samples - len(sound)))


def _within(sound: np.ndarray, left: float) -> np.ndarray:
    """As many samples of one shot: what lies behind the cut, `left` samples on, is what lies before it, mirrored."""
    if not 0 < left < len(sound):
        return sound
    left = round(left)
    mirrored = sound[:left][::-1][: len(sound) - left]
    return np.concatenate([sound[:left], np.resize(mirrored, len(sound) - left)])


def _named(survey: MediaSurvey, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same blocks; an error says of which file."""
    try:
        yield from blocks
    except MediaError as error:
        if str(error).startswith(f"{survey.path.name}: "):
            raise
        said = f"{survey.path.name}: {error}"
        raise MediaError(said, error.status, salvageable=error.salvageable) from error


def _dropped(held: np.ndarray, first: int, begin: int) -> tuple[np.ndarray, int]:
    """What is held from sample `begin` on, and the number of its first sample; `held` begins with sample `first`."""
    passed = min(len(held), begin - first)
    return held[passed:], first + passed


def window_weights(num_segments: int) -> np.ndarray:
    """float64 [T], how much each segment of a window counts.

    >>> window_weights(10).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    """
    position = np.arange(num_segments, dtype=np.float64)
    return np.minimum(position, num_segments - 1 - position) + 1


class Merger:
    """What was found in overlapping windows -> what there is in each segment of the whole media, without seams.

    A segment that lies in several windows gets their weighted mean. The weight of a window falls linearly from its
    middle to its ends (`window_weights`): where one window takes over from the next, it does so gradually, and what is
    far from the edge of a window, where a network knows its surroundings best, counts most. A segment in one window
    only, such as every one of a clip, keeps its value to the bit. Takes as much memory as the result.
    """

    def __init__(self, num_segments: int, shape: tuple[int, ...]) -> None:
        """Begin with nothing.

        Args:
            num_segments: Of the whole media.
            shape: What there is in a segment, such as (M, C) probabilities.
        """
        self._sums = np.zeros((num_segments, *shape))
        self._weights = np.zeros((num_segments, *shape))
        self._only = np.full((num_segments, *shape), np.nan, np.float32)
        self._counts = np.zeros((num_segments, *shape), np.int32)

    def add(self, start: int, values: np.ndarray) -> None:
        """Add a window.

        Args:
            start: Its first segment.
            values: float [T, ...], NaN where there is nothing to add; what lies beyond the end is left out.
        """
        there = slice(start, start + len(values))
        kept = values[: len(self._sums) - start]
        known = ~np.isnan(kept)
        weights = window_weights(len(values))[: len(kept)].reshape(-1, *[1] * (kept.ndim - 1))
        weights = np.where(known, weights, 0)
        self._sums[there] += np.where(known, kept, 0) * weights
        self._weights[there] += weights
        self._counts[there] += known
        self._only[there] = np.where(known, kept, self._only[there])

    def result(self) -> np.ndarray:
        """float32 [segments, ...], NaN where nothing was added."""
        with np.errstate(invalid="ignore"):
            means = (self._sums / self._weights).astype(np.float32)
        merged: np.ndarray = np.where(self._counts == 1, self._only, means)
        return merged
