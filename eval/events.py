"""Events and the marks they are made of: listing them, packing tracks into words, and which event finds which.

Events
    An event is a maximal run of marked segments of one class in one modality.
Words
    Bit t of a track's word is set where segment t is marked. A track of T segments takes one unsigned word of 8, 16, 32
    or 64 bits, or several of 64 where T is larger. One operation on a word then does what would take T operations on
    marks, which is what makes scoring fast. The word axis W comes first, so that a plane of words keeps the axes of the
    marks without T.
Matching
    A predicted event finds a true event of its track if the two overlap by IoU >= `min_iou` (equality counts). Two
    events overlap exactly where prediction and truth are both marked, and every maximal run of such segments belongs to
    one pair of events. So the pairs are read off those runs, all tracks at once. For min_iou >= 0.5 an event can match
    only one other: two matches would have to share out the event without the gap between them.
    Lengths are whole segments and `min_iou` is a fraction, so no IoU falls on the wrong side by rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

BoolArray = npt.NDArray[np.bool_]

CountArray = npt.NDArray[np.int64]

FloatArray = npt.NDArray[np.floating[Any]]
"""Probabilities and logits, of any precision."""

Float64Array = npt.NDArray[np.float64]
"""Scores, which are never computed in less."""

Words = npt.NDArray[np.unsignedinteger[Any]]
"""Tracks as whole numbers, unsigned [W, ...]."""

Positions = npt.NDArray[np.intp]
"""Places on tracks laid one after the other, see `run_edges`."""

MODALITIES = ("audio", "visual")
"""The axis M of every array, always in this order."""


def plain_marks(marks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Marks whose bytes are 0 and 1: a mask of 255 that is called bool counts as True, and adds up as something else.

    Example:
        >>> plain_marks(np.array([0, 255], dtype=np.uint8).view(np.bool_)).view(np.uint8)
        array([0, 1], dtype=uint8)
    """
    if marks.dtype != np.bool_ or not marks.size or marks.view(np.uint8).max() <= 1:
        return marks
    plain: npt.NDArray[Any] = marks.view(np.uint8) != 0
    return plain


def as_array(given: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """A tensor of any device as an array, with or without a gradient; anything else as NumPy reads it.

    Floats that NumPy has not, such as bfloat16, become float32.
    """
    if not hasattr(given, "detach"):
        return np.asarray(given)
    plain = given.detach().cpu()
    known = str(plain.dtype) in ("torch.float16", "torch.float32", "torch.float64")
    return np.asarray(plain.float() if plain.is_floating_point() and not known else plain)


def as_marks(marks: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers that are all 0 or 1 as bool, of an array or a tensor; anything else as it is.

    Example:
        >>> as_marks([0, 1]).tolist(), as_marks([0.0, 1.0]).tolist(), as_marks([0, 255]).tolist()
        ([False, True], [False, True], [0, 255])
    """
    held = as_array(marks)
    if held.dtype.kind not in "iuf" or not held.size or not ((held == 0) | (held == 1)).all():
        return held
    return held.astype(np.bool_)


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


def events_of(mask: BoolArray, segment_seconds: float = 1.0) -> list[Event]:
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
    if not 0 < segment_seconds < float("inf"):
        raise ValueError(f"segment_seconds must be a positive length, got {segment_seconds}")
    starts, stops = run_edges(mask.T)
    stride = mask.shape[0] + 1
    runs = zip((starts // stride).tolist(), (starts % stride).tolist(), (stops % stride).tolist(), strict=True)
    return sorted(Event(start * segment_seconds, stop * segment_seconds, index) for index, start, stop in runs)


def event_frame(
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    marked: BoolArray,
    *,
    segment_seconds: float = 1.0,
    start_times: Sequence[float] | None = None,
) -> "pd.DataFrame":
    """List the events of many clips as a table with the columns of annotation tables.

    Args:
        clip_ids: N names.
        class_names: C names.
        marked: bool [N, T, M=2, C], modalities (audio, visual).
        segment_seconds: Length of a segment in seconds.
        start_times: Where the first segment of each clip begins, in seconds; None for 0.

    Returns:
        A row for each event, clip by clip and earliest first: filename, modality, event_label, onset, offset (seconds).

    Example:
        >>> event_frame(["dog.mp4"], ["Dog"], np.array([[[[True], [False]], [[True], [True]]]]))
          filename modality event_label  onset  offset
        0  dog.mp4    audio         Dog    0.0     2.0
        1  dog.mp4   visual         Dog    1.0     2.0
    """
    import pandas as pd

    rows = [
        (clip_id, modality, class_names[event.class_index], event.onset + start, event.offset + start)
        for clip_id, marks, start in zip(clip_ids, marked, start_times or [0.0] * len(clip_ids), strict=True)
        for number, modality in enumerate(MODALITIES)
        for event in events_of(marks[:, number], segment_seconds)
    ]
    frame = pd.DataFrame(rows, columns=["filename", "modality", "event_label", "onset", "offset"])
    return frame.astype({"onset": float, "offset": float})


def run_edges(tracks: BoolArray) -> tuple[Positions, Positions]:
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


def packed(marks: BoolArray) -> Words:
    """Pack the segments of every track into words.

    Args:
        marks: bool [N, T, ...].

    Returns:
        Unsigned words [W, N, ...]; the lowest bit of the first is segment 0. Bits beyond T are clear.

    Example:
        One track of five segments, `##..#`:

        >>> packed(np.array([[True, True, False, False, True]]))
        array([[19]], dtype=uint8)
    """
    num_segments = marks.shape[1]
    width = next((width for width in (8, 16, 32) if num_segments <= width), 64)
    words = np.zeros((-(-num_segments // width), marks.shape[0], *marks.shape[2:]), dtype=f"uint{width}")
    bits = marks.view(np.uint8)
    for segment in reversed(range(num_segments)):
        word = words[segment // width]
        word <<= 1
        word |= bits[:, segment]
    return words


def unpacked(words: Words, num_segments: int) -> BoolArray:
    """Undo `packed` for tracks in a row.

    Args:
        words: unsigned words [W, K].
        num_segments: T.

    Returns:
        bool [K, T].
    """
    width = words.dtype.itemsize * 8
    segments = np.arange(num_segments)
    shifts = (segments % width).astype(words.dtype)
    bits = (words[segments // width].T >> shifts) & words.dtype.type(1)
    return bits.astype(np.bool_)


def run_starts(words: Words) -> Words:
    """Keep of every maximal run of marked segments its first segment.

    Args:
        words: unsigned words [W, ...].

    Returns:
        Unsigned words [W, ...].

    Example:
        `##..#` starts at segments 0 and 4:

        >>> run_starts(np.array([[0b10011]], dtype=np.uint8)) == 0b10001
        array([[ True]])
    """
    before = np.left_shift(words, 1, dtype=words.dtype)  # segment t holds the mark of segment t - 1
    before[1:] |= words[:-1] >> (words.dtype.itemsize * 8 - 1)
    return np.bitwise_and(words, ~before, dtype=words.dtype)


def num_marked(words: Words) -> CountArray:
    """Count the set bits of every track: unsigned words [W, ...] -> int64 [...]."""
    counted: CountArray = np.bitwise_count(words).sum(axis=0, dtype=np.int64)
    return counted


@dataclass(frozen=True)
class Runs:
    """The maximal runs of tracks bool [K, T], earliest first.

    A position p stands for segment p % (T + 1) of track p // (T + 1), as in `run_edges`.
    """

    start: Positions
    """Positions [runs] of the first segment of each run."""
    stop: Positions
    """Positions [runs] of the segment after its last."""
    num_segments: int
    """T."""

    @staticmethod
    def of(tracks: BoolArray) -> "Runs":
        """Find the runs of tracks bool [K, T]."""
        return Runs(*run_edges(tracks), tracks.shape[1])

    @property
    def track(self) -> Positions:
        """Row of each run's track, 0 to K - 1."""
        return self.start // (self.num_segments + 1)

    @property
    def length(self) -> Positions:
        """Segments each run lasts."""
        return self.stop - self.start


@dataclass(frozen=True)
class Matches:
    """The events of prediction and truth, and which of them found each other."""

    predicted: Runs
    true: Runs
    of_predicted: Positions
    """For each match, the index of its predicted event."""
    of_true: Positions
    """For each match, the index of its true event."""


def match_events(predicted: BoolArray, truth: BoolArray, min_iou: Fraction) -> Matches:
    """Match the events of many tracks.

    Args:
        predicted: bool [K, T], one row per track.
        truth: bool [K, T], the same tracks.
        min_iou: the overlap two events need, from 0.5 to 1, inclusive.

    Returns:
        The events and their matches.

    Example:
        Predicted `##..####`, true `.####.##`. The first pair shares 1 of 5 segments, the second, which starts at the
        fifth segment, 1 of 7, the third 2 of 4, which is enough: event 1 of the prediction finds event 1 of the truth.

        >>> predicted = np.array([[True, True, False, False, True, True, True, True]])
        >>> truth = np.array([[False, True, True, True, True, False, True, True]])
        >>> found = match_events(predicted, truth, Fraction(1, 2))
        >>> found.of_predicted, found.of_true
        (array([1]), array([1]))
    """
    ours, true, shared = Runs.of(predicted), Runs.of(truth), Runs.of(predicted & truth)
    of_predicted = np.searchsorted(ours.start, shared.start, side="right") - 1
    of_true = np.searchsorted(true.start, shared.start, side="right") - 1
    union = ours.length[of_predicted] + true.length[of_true] - shared.length
    matched = shared.length * min_iou.denominator >= union * min_iou.numerator
    return Matches(ours, true, of_predicted[matched], of_true[matched])


def overlap_fraction(min_iou: float) -> Fraction:
    """Read an overlap as the fraction it is written as: 0.55 is 11/20.

    Raises:
        ValueError: It lies outside 0.5..1.
    """
    if not 0.5 <= min_iou <= 1:
        raise ValueError(f"min_iou must lie in 0.5..1, where no event can match two others, got {min_iou}")
    return Fraction(str(float(min_iou)))
