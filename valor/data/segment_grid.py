"""Events with times in seconds -> marked segments: the one place where a time off the segment grid is judged.

Events of one class in one modality of a clip merge by union, as annotation rows do. What is done about times between
segment borders is named, since it moves scores:
    exact    such a time is an error, and so is an event beyond its clip;
    nearest  an event marks the segments it covers at least half of, perhaps none;
    cover    an event marks every segment it touches.
With nearest and cover an event is cut at the end of its clip.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from valor.eval.events import MODALITIES
from valor.label_harvest.did_you_mean import did_you_mean

from .predictions import Predictions

ROUNDINGS = ("exact", "nearest", "cover")
"""What is done about times between segment borders."""

TOLERANCE = 1e-6
"""A time this close to a border, in segments, lies on it: decimals such as 0.1 are not exact."""

_MOST_CELLS = 2**30
"""Marks of all clips together: 4 GiB of them."""

SHOWN = 5
"""How many events an error lists before it only counts."""


@dataclass(frozen=True, kw_only=True)
class SegmentGrid:
    """How the clips of a list of events are cut into segments."""

    num_segments: int = 10
    """T of every clip."""
    segment_seconds: float = 1.0
    """Length of a segment in seconds."""
    rounding: str = "exact"
    """What is done about times between segment borders, see ROUNDINGS."""

    def __post_init__(self) -> None:
        """Refuse a grid without segments and unknown roundings."""
        if self.num_segments < 1 or not 0 < self.segment_seconds < math.inf:
            raise ValueError(
                "a grid needs at least one segment and a positive length of it, "
                f"got {self.num_segments} segments of {self.segment_seconds} s"
            )
        if self.rounding not in ROUNDINGS:
            raise ValueError(
                f"rounding must be one of {', '.join(ROUNDINGS)}, got {self.rounding!r}"
                f"{did_you_mean(self.rounding, ROUNDINGS)}"
            )


@dataclass(frozen=True, kw_only=True)
class ListedEvent:
    """One predicted event as a file lists it."""

    clip_id: str
    modality: str
    class_name: str
    onset: float
    """Seconds from the start of the clip."""
    offset: float
    """Seconds from the start of the clip; the event lasts up to, not including, this time."""
    score: float | None = None
    """How sure the system is, 0..1."""
    where: str = ""
    """File and line, for messages."""

    def __post_init__(self) -> None:
        """Refuse events that last no time and scores that are none."""
        if not 0 <= self.onset < self.offset < math.inf:
            raise ValueError(
                f"{self.where}: an event needs 0 <= onset < offset in seconds, got {self.onset} and {self.offset}"
            )
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"{self.where}: a score must lie in 0..1, got {self.score}")


def predictions_of(
    events: Iterable[ListedEvent],
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    grid: SegmentGrid,
    *,
    use_scores: bool = False,
) -> Predictions:
    """Mark the segments that events cover.

    Args:
        events: events in any order.
        clip_ids: every clip that was parsed, also those without an event.
        class_names: every class, in the order wanted on the class axis.
        grid: how clips are cut into segments.
        use_scores: give probabilities instead of decisions: in each segment the highest score of the events that
            cover it, 0 where there is none. They come without any for a gate.

    Raises:
        ValueError: An event is of an unknown clip or class, does not lie on the grid, or lacks a score it needs.
    """
    events = list(events)
    _check_names("clip", "listed among the clips that were parsed", [(e.clip_id, e.where) for e in events], clip_ids)
    _check_names("class", f"one of {', '.join(class_names)}", [(e.class_name, e.where) for e in events], class_names)
    moved = _check_grid(events, grid)
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    column_of = {name: column for column, name in enumerate(class_names)}
    cells = len(clip_ids) * grid.num_segments * len(MODALITIES) * len(class_names)
    if cells > _MOST_CELLS:
        raise ValueError(
            f"{len(clip_ids):,} clips of {grid.num_segments:,} segments and {len(class_names):,} classes are more than "
            "memory is given to; say fewer segments"
        )
    highest = np.zeros((len(clip_ids), grid.num_segments, len(MODALITIES), len(class_names)), dtype=np.float32)
    for event in events:
        height = event.score if use_scores else 1.0
        if height is None:
            raise ValueError(f"{event.where}: every event needs a score to be used as a probability, got one without")
        start, stop = _segments(event, grid)
        track = highest[
            row_of[event.clip_id], start:stop, MODALITIES.index(event.modality), column_of[event.class_name]
        ]
        np.maximum(track, height, out=track)
    return Predictions(
        clip_ids=tuple(clip_ids),
        class_names=tuple(class_names),
        predicted=None if use_scores else highest > 0,
        segment_probs=highest if use_scores else None,
        rounding=grid.rounding if moved else None,
    )


def _segments(event: ListedEvent, grid: SegmentGrid) -> tuple[int, int]:
    """First segment of an event and the one after its last."""
    onset, offset = event.onset / grid.segment_seconds, event.offset / grid.segment_seconds
    start, stop = math.floor(onset + TOLERANCE), math.ceil(offset - TOLERANCE)
    if grid.rounding == "nearest":
        half = 0.5 - TOLERANCE
        if stop - start == 1:
            stop -= offset - onset < half
        else:
            start, stop = start + (start + 1 - onset < half), stop - (offset - (stop - 1) < half)
    return start, stop  # a slice ends with the clip


def _check_grid(events: Sequence[ListedEvent], grid: SegmentGrid) -> bool:
    """Whether an event lies off the grid or ends beyond its clip; refuse it unless a rounding is asked for."""
    off = []
    for event in events:
        start, stop = event.onset / grid.segment_seconds, event.offset / grid.segment_seconds
        between = max(abs(start - round(start)), abs(stop - round(stop))) > TOLERANCE
        if between or stop > grid.num_segments + TOLERANCE:
            off.append(event)
    if off and grid.rounding == "exact":
        listed = "; ".join(f"{event.where}: {event.onset:g} to {event.offset:g}" for event in off[:SHOWN])
        raise ValueError(
            f"{len(off)} events do not lie on the grid of {grid.num_segments} segments of {grid.segment_seconds:g} s: "
            f"{listed}{'; ...' if len(off) > SHOWN else ''}; round them with rounding 'nearest' or 'cover', which the "
            "score file then says"
        )
    return bool(off)


def _check_names(kind: str, expected: str, found: Sequence[tuple[str, str]], known: Sequence[str]) -> None:
    """Refuse events of unknown names, with the place where each first stands."""
    accepted = set(known)
    first: dict[str, str] = {}
    for name, where in found:
        if name not in accepted:
            first.setdefault(name, where)
    if first:
        shown = list(first.items())[:SHOWN]
        listed = "; ".join(f"{where}: {name!r}{did_you_mean(name, known)}" for name, where in shown)
        raise ValueError(
            f"the {kind} of an event must be {expected}, got {len(first)} unknown: "
            f"{listed}{'; ...' if len(first) > SHOWN else ''}"
        )
