"""What is known of one clip on its grid: the grid, the frames, the waveform, and what is wrong; nothing is read here.

The index rules of the published label generator: which frame, which samples; pure and exact. What is wrong with a clip
is a list of troubles, each a status and a message; when a clip is still, silent or short is decided here alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np


def frame_indices(num_slots: int, num_segments: int) -> np.ndarray:
    """Choose one of n frame slots for each segment: evenly spaced, first and last included.

    Returns:
        int64 [T], i * (n - 1) / (T - 1) rounded half to even; all 0 for one segment or one slot.

    Raises:
        ValueError: There is no slot or no segment.

    Source:
        The published label generator (VALOR, NeurIPS 2023); `frame_index.json` of its golden vectors.
    """
    _check_positive(num_slots=num_slots, num_segments=num_segments)
    return np.rint(np.arange(num_segments) * (num_slots - 1) / max(num_segments - 1, 1)).astype(np.int64)


def audio_segments(num_samples: int, num_segments: int) -> np.ndarray:
    """Cut n samples into T pieces of one length; neighbours may skip or share a sample.

    Returns:
        int64 [T, 2] in samples, half-open: start = i * n / T rounded half to even, length n // T.

    Raises:
        ValueError: There are fewer samples than segments.

    Source:
        The published label generator; `audio_segments.json` of its golden vectors.
    """
    _check_positive(num_samples=num_samples // max(num_segments, 1), num_segments=num_segments)
    start = np.rint(np.arange(num_segments) * num_samples / num_segments).astype(np.int64)
    return np.stack([start, start + num_samples // num_segments], axis=1)


def resample_by_index(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Bring [..., n] samples to `num_samples` by repeating or dropping samples, without a filter.

    Sample i is taken from i * (n - 1) / (num_samples - 1), rounded half to even; so many samples are returned as given.

    Source:
        The published feature extraction; `clap_resample.json` of its golden vectors.
    """
    _check_positive(samples=waveform.shape[-1], num_samples=num_samples)
    if waveform.shape[-1] == num_samples:
        return waveform
    index = np.arange(num_samples) * (waveform.shape[-1] - 1) / max(num_samples - 1, 1)
    return waveform[..., np.rint(index).astype(np.int64)]


def _check_positive(**counts: int) -> None:
    """Refuse empty inputs of the index rules."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}; there is nothing to choose from")


LEAST_SHARE = 0.1
"""Share of a segment a stream must cover to be present in it."""
STATUSES = (
    *("ok", "still", "cut", "silent", "short", "no_audio", "no_video"),
    *("undecodable", "timeout", "unjudged", "missing"),
)
"""What can be said of a clip, mildest first; a clip with several troubles carries the last one that applies."""
FAILURES = STATUSES[3:]
"""Statuses that make a run end with a failure: some evidence of the clip is absent or speaks of silence.

A `still` clip (a photograph under a sound) and one that is `cut` to the grid have whole evidence and are only pointed
out.
"""

Trouble = tuple[str, str]
"""A status and what is to be said of it."""
STILL: Trouble = ("still", "all frames equal")
NO_VIDEO: Trouble = ("no_video", "no video stream")
NO_AUDIO: Trouble = ("no_audio", "no audio stream")

STILL_LEVELS = 2
"""Largest difference of any pixel, in levels of 255, between the frames of a clip called still (codec noise)."""
SILENCE_PEAK = 1e-4
"""Largest absolute sample of a waveform called silent (-80 dB of full scale)."""


def all_equal(frames: Iterable[np.ndarray], first: np.ndarray) -> bool:
    """Whether frames uint8 [H, W, 3] show what the first one shows, codec noise apart."""
    return all(np.abs(frame.astype(np.int16) - first).max() <= STILL_LEVELS for frame in frames)


def silence(peak: float) -> list[Trouble]:
    """The trouble of sound with this largest absolute sample, if it is one."""
    return [("silent", f"audio peaks at {peak:.1e} of full scale")] if peak < SILENCE_PEAK else []


def ends_early(what: str, seconds: float, grid: "Grid", *, damaged: bool) -> Trouble:
    """The trouble of a stream, video or audio, that ends before the grid does, where its rest is damaged or not."""
    rest = "; the rest is damaged" if damaged else ""
    return "short", f"{seconds:.1f} s of {what}, the grid has {grid.seconds:.1f} s{rest}"


def has_hole(what: str, start: float, end: float) -> Trouble:
    """The trouble of a stretch, in seconds, without a picture or sound."""
    return "short", f"no {what} from {start:.1f} s to {end:.1f} s"


def lacks_segments(what: str, seconds: float, first: float) -> Trouble:
    """The trouble of a clip of any length that has no picture or sound for so many seconds in all."""
    return "short", f"no {what} in {seconds:g} s, from {first:g} s on"


def short_by_note(note: str) -> Trouble:
    """The trouble of a clip whose reading left this note."""
    return "short", note


def cut_to_grid(unread: object, grid: "Grid") -> Trouble:
    """The trouble of a clip that is cut to the grid."""
    return "cut", f"the {unread} s behind the {grid.seconds:g} s of the grid were not read"


def lone_end(seconds: float, what: str, lacking: str) -> Trouble:
    """The trouble of a clip of any length that ends with sound or picture alone, which is left out."""
    return "cut", f"the last {seconds:.1f} s are {what} without {lacking} and were not read"


def status_of(troubles: Sequence[Trouble]) -> tuple[str, str]:
    """The worst status, and all troubles in words."""
    status = max((status for status, _ in troubles), key=STATUSES.index, default="ok")
    return status, "; ".join(dict.fromkeys(message for _, message in troubles))


CLIP, WHOLE, WINDOWS = "clip", "whole", "windows"
LENGTHS = (CLIP, WHOLE, WINDOWS)
"""How much of a clip is harvested, see whole.py."""

UNREAD = "unread_seconds"
"""In the provenance of the streams of a clip that is longer than the grid: seconds of the file that were not read."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How a clip is cut into segments, and what is sampled from each."""

    num_segments: int = 10
    """Segments per clip, T."""
    segment_seconds: float = 1.0
    """Length of a segment in seconds."""
    frame_rate: int = 8
    """Slots per second of the even frame grid from which one frame per segment is taken."""
    sample_rate: int = 48000
    """Samples per second of the waveform."""
    tolerance_seconds: float = 0.5
    """How much a stream may differ from the grid in length and still count as whole."""

    def __post_init__(self) -> None:
        """Refuse grids that hold nothing."""
        for name in ("num_segments", "segment_seconds", "frame_rate", "sample_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.tolerance_seconds < self.seconds:
            raise ValueError(f"tolerance_seconds must be in [0, {self.seconds}), got {self.tolerance_seconds}")

    @property
    def seconds(self) -> float:
        """Length of the whole grid in seconds."""
        return self.num_segments * self.segment_seconds

    @property
    def num_samples(self) -> int:
        """Samples of the whole grid, S."""
        return round(self.seconds * self.sample_rate)

    @property
    def num_slots(self) -> int:
        """Frame slots of the whole grid."""
        return max(1, round(self.seconds * self.frame_rate))

    def of_segments(self, segment_seconds: float) -> "Grid":
        """The same time in segments of another length.

        Raises:
            ValueError: They do not fill it.
        """
        count = round(self.seconds / segment_seconds) if segment_seconds > 0 else 0
        if count < 1 or abs(count * segment_seconds - self.seconds) > 1e-6 * self.seconds:
            raise ValueError(
                f"segment_seconds must divide the {self.seconds:g} s of the grid, such as 0.5 or 0.2, got "
                f"{segment_seconds:g}"
            )
        return replace(self, num_segments=count, segment_seconds=segment_seconds)


@dataclass(frozen=True)
class ClipMedia:
    """One clip on its grid. A stream that cannot be used is None and the status says why."""

    frames: np.ndarray | None
    """uint8 [T, H, W, 3] RGB, one frame per segment."""
    waveform: np.ndarray | None
    """float32 [S] mono, nominally in [-1, 1]; exactly `grid.num_samples` long."""
    grid: Grid
    """Of the clip; those of a batch may have other numbers of segments."""
    status: str = "ok"
    """One of `STATUSES`."""
    message: str = ""
    """The troubles in words, empty for `ok`."""
    provenance: dict[str, object] = field(default_factory=dict)
    """What was read and what was cut or filled, as JSON values."""
    frames_present: np.ndarray | None = None
    """bool [T], False where the video ended before the segment (its frame repeats the last one); None means all."""
    slots: np.ndarray | None = None
    """uint8 [grid.num_slots, H, W, 3] RGB, the frame of every slot; None unless asked for, since it is large."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not lie on the grid."""
        if self.frames is not None and (
            self.frames.dtype != np.uint8 or self.frames.ndim != 4 or len(self.frames) != self.grid.num_segments
        ):
            raise ValueError(
                f"frames must be uint8 [{self.grid.num_segments}, height, width, 3], "
                f"got {self.frames.dtype} {list(self.frames.shape)}"
            )
        if self.waveform is not None and (
            self.waveform.dtype != np.float32 or self.waveform.shape != (self.grid.num_samples,)
        ):
            raise ValueError(
                f"waveform must be float32 [{self.grid.num_samples}], "
                f"got {self.waveform.dtype} {list(self.waveform.shape)}"
            )


class MediaError(Exception):
    """A clip of which nothing can be used; `status` is `undecodable`, `timeout` or `missing`.

    `salvageable` says that good media lie around the damage, which `survey_media` with `salvage` leaves out.
    """

    def __init__(self, message: str, status: str = "undecodable", *, salvageable: bool = False) -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status, self.salvageable = status, salvageable


class EndsError(MediaError):
    """A stream is damaged from `end` on, in seconds from the start of the clock, and good up to there."""

    def __init__(self, message: str, end: float) -> None:
        """Keep the end beside the message."""
        super().__init__(message)
        self.end = end
