"""What an event is: a maximal run of marked segments of one class in one modality, and the way there and back."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MODALITIES = ("audio", "visual")
"""The axis M of every array, always in this order."""


@dataclass(frozen=True, order=True)
class Event:
    """One event on the clock of its clip, half open: it lasts from `onset` up to, not including, `offset`."""

    onset: float
    """Seconds from the start of the clip."""
    offset: float
    """Seconds from the start of the clip, later than `onset`."""
    class_index: int
    """Position on the class axis C."""

    def __post_init__(self) -> None:
        """Refuse an event that lasts no time or starts before its clip."""
        if not 0 <= self.onset < self.offset:
            raise ValueError(
                f"an event needs 0 <= onset < offset in seconds, got onset {self.onset} and offset {self.offset}"
            )


def run_edges(tracks: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find where the runs of True of many tracks start and stop.

    A position p stands for segment p % (T + 1) of track p // (T + 1); a run that lasts to the end of its track
    stops at segment T. Positions ascend, so the run that holds a position is found by bisection.

    Args:
        tracks: bool [K, T], one row per track.

    Returns:
        Two int arrays [runs] of positions: the first segment of each run and the one after its last.

    Example:
        One track of five segments, `.##.#`:

        >>> run_edges(np.array([[False, True, True, False, True]]))
        (array([1, 4]), array([3, 5]))
    """
    num_tracks, num_segments = tracks.shape
    ended = np.zeros((num_tracks, num_segments + 1), dtype=np.bool_)  # one silent segment parts a track from the next
    ended[:, :-1] = tracks
    line = ended.reshape(-1)
    changes = np.empty_like(line)
    np.not_equal(line[1:], line[:-1], out=changes[1:])
    changes[:1] = line[:1]
    edges = np.flatnonzero(changes)
    return edges[::2], edges[1::2]


def events_of(mask: npt.NDArray[np.bool_], segment_seconds: float = 1.0) -> list[Event]:
    """List the events of one clip and modality, earliest first.

    Args:
        mask: bool [T, C], True where a class is marked.
        segment_seconds: length of a segment in seconds.

    Returns:
        The maximal runs of every class, ordered by onset, then offset, then class.

    Raises:
        ValueError: The mask is not bool [T, C], or a segment has no length.

    Example:
        Class 0 is `##.#` and class 1 is `.##.`:

        >>> mask = np.array([[True, False], [True, True], [False, True], [True, False]])
        >>> [(event.class_index, event.onset, event.offset) for event in events_of(mask)]
        [(0, 0.0, 2.0), (1, 1.0, 3.0), (0, 3.0, 4.0)]
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise ValueError(f"mask must be bool [segments, classes], got {mask.dtype} {mask.shape}; threshold it first")
    _check_segment_seconds(segment_seconds)
    starts, stops = run_edges(mask.T)
    stride = mask.shape[0] + 1
    runs = zip((starts // stride).tolist(), (starts % stride).tolist(), (stops % stride).tolist(), strict=True)
    return sorted(Event(start * segment_seconds, stop * segment_seconds, index) for index, start, stop in runs)


def mask_of(
    events: Iterable[Event], num_segments: int, num_classes: int, segment_seconds: float = 1.0
) -> npt.NDArray[np.bool_]:
    """Mark the segments that events cover: the inverse of `events_of`.

    Args:
        events: events of one clip and modality; overlapping or touching events of a class merge.
        num_segments: T of the clip.
        num_classes: C.
        segment_seconds: length of a segment in seconds; events start and end on segment borders.

    Returns:
        bool [T, C], True where an event of the class lasts.

    Raises:
        ValueError: An event ends beyond the clip, is of no class, or starts or ends inside a segment.
    """
    _check_segment_seconds(segment_seconds)
    mask = np.zeros((num_segments, num_classes), dtype=np.bool_)
    for event in events:
        start, stop = round(event.onset / segment_seconds), round(event.offset / segment_seconds)
        on_grid = np.allclose([start * segment_seconds, stop * segment_seconds], [event.onset, event.offset], atol=1e-6)
        if not (0 <= event.class_index < num_classes and on_grid and stop <= num_segments):
            raise ValueError(
                f"events must lie on a grid of {num_segments} segments of {segment_seconds} s and {num_classes} "
                f"classes, got {event}; round or cut it first"
            )
        mask[start:stop, event.class_index] = True
    return mask


def _check_segment_seconds(segment_seconds: float) -> None:
    if not 0 < segment_seconds < float("inf"):
        raise ValueError(f"segment_seconds must be a positive length, got {segment_seconds}")
