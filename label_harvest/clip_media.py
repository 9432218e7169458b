"""What is known of one clip on its grid: the grid, the frames, the waveform, and the statuses; nothing is read here."""

from dataclasses import dataclass, field

import numpy as np

STATUSES = ("ok", "still", "silent", "short", "no_audio", "no_video", "undecodable", "timeout", "missing")
"""What can be said of a clip, mildest first; a clip with several troubles carries the last one that applies."""
FAILURES = STATUSES[2:]
"""Statuses that make a run end with a failure: some evidence of the clip is absent or speaks of silence.

A `still` clip (a photograph under a sound) has whole evidence and is only pointed out.
"""


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


@dataclass(frozen=True)
class ClipMedia:
    """One clip on its grid. A stream that cannot be used is None and the status says why."""

    frames: np.ndarray | None
    """uint8 [T, H, W, 3] RGB, one frame per segment."""
    waveform: np.ndarray | None
    """float32 [S] mono, nominally in [-1, 1]; exactly `grid.num_samples` long."""
    grid: Grid
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
    """A clip of which nothing can be used; `status` is `undecodable`, `timeout` or `missing`."""

    def __init__(self, message: str, status: str = "undecodable") -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status = status
