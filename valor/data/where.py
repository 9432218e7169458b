"""Where in the picture a visible event was found: a small map of one frame, and its JSON in a parse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from valor.label_harvest.strict_json import MOST_SECONDS, as_list, as_number, as_object, as_text

if TYPE_CHECKING:
    from valor.eval.figures.stills import Still

FloatArray = npt.NDArray[np.float32]

MOST_SIDE = 32
"""Rows and columns of a map at most."""
MOST_MAPS = 1000
"""Maps of one parse at most."""
_FARTHEST = 1e4
"""An area may reach so far beyond its picture, which is that much longer than wide."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Where:
    """Where a visible event was found in the picture of its most probable second."""

    class_name: str
    onset: float
    """Of the event, in seconds on the clock of the container."""
    offset: float
    time: float
    """When the picture is shown."""
    values: FloatArray
    """float32 [rows, columns] in [0, 1], how much each cell speaks for the class: 1 is its largest, 0 no more than the
    middle cell."""
    peak: tuple[float, float]
    """The middle of the cell that speaks most for it, as shares of the picture's width and height."""
    area: tuple[float, float, float, float]
    """What the cells cover: left, top, right, bottom, as shares; beyond 0..1 where the teacher saw a margin."""
    method: str
    """How it was found, in words."""
    still: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    """The picture made small, uint8 [H, W, 3]; None in what is read from a file."""

    def __post_init__(self) -> None:
        """Refuse maps that are none."""
        values = self.values
        if values.ndim != 2 or not 1 <= min(values.shape) <= max(values.shape) <= MOST_SIDE:
            raise ValueError(f"a map must be [rows, columns], 1 to {MOST_SIDE} of each, got {list(values.shape)}")
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"a map must have values in 0..1, got {values.min()} to {values.max()}")
        if not all(0 <= share <= 1 for share in self.peak):
            raise ValueError(f"the peak must lie in the picture, shares in 0..1, got {self.peak}")
        left, top, right, bottom = self.area
        if not (left < right and top < bottom):
            raise ValueError(f"an area must be left, top, right, bottom, got {self.area}")


def found_at(
    values: np.ndarray, area: tuple[float, float, float, float]
) -> tuple[FloatArray, tuple[float, float]] | None:
    """(values, peak) of `Where` for a map on any scale; None where nothing in it stands out.

    >>> found_at(np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.3]]), (0.0, 0.0, 1.0, 1.0))[1]
    (0.833, 0.75)
    """
    values = np.asarray(values, np.float64)
    while max(values.shape) > MOST_SIDE:
        padded = np.pad(values, [(0, size % 2) for size in values.shape], mode="edge")
        values = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).mean(axis=(1, 3))
    (rows, columns), (left, top, right, bottom) = values.shape, area
    across = left + (np.arange(columns) + 0.5) * (right - left) / columns
    down = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    inside = ((down >= 0) & (down <= 1))[:, None] & ((across >= 0) & (across <= 1))
    if not inside.any() or not np.isfinite(values).all():
        return None
    raised = np.where(inside, values - np.median(values[inside]), 0.0).clip(0)
    if raised.max() < 1e-6:
        return None
    row, column = np.unravel_index(raised.argmax(), raised.shape)
    peak = (round(float(across[column]), 3), round(float(down[row]), 3))
    return (raised / raised.max()).round(2).astype(np.float32), peak


def where_to_json(places: Sequence[Where]) -> list[dict[str, Any]]:
    """Maps as JSON values."""
    return [
        {
            "class": place.class_name,
            "onset": place.onset,
            "offset": place.offset,
            "time": place.time,
            "grid": list(place.values.shape),
            "peak": list(place.peak),
            "area": [round(share, 4) for share in place.area],
            "method": place.method,
            "values": [[round(value, 2) for value in row] for row in place.values.tolist()],
        }
        for place in places
    ]


def where_from_json(value: object, class_names: Sequence[str]) -> tuple[Where, ...]:
    """Maps from their JSON values.

    Raises:
        ValueError: They are none, or of classes that the parse does not know.
        KeyError: A key is missing.
    """
    listed = as_list(value, "where")
    if len(listed) > MOST_MAPS:
        raise ValueError(f"where: expected at most {MOST_MAPS} maps, got {len(listed)}")
    return tuple(_from_json(as_object(one, "where"), class_names) for one in listed)


def _from_json(held: Any, class_names: Sequence[str]) -> Where:  # noqa: ANN401
    name = as_text(held["class"], "where: class")
    if name not in class_names:
        raise ValueError(f"where: {name!r:.80} is none of the classes of the parse")
    onset, offset, time = (as_number(held[key], f"where: {key}", *_CLOCK) for key in ("onset", "offset", "time"))
    rows = [as_list(row, "where: values") for row in as_list(held["values"], "where: values")]
    if not 1 <= len(rows) <= MOST_SIDE or len({len(row) for row in rows}) > 1 or not 1 <= len(rows[0]) <= MOST_SIDE:
        raise ValueError(f"where: values must be rows of one length, 1 to {MOST_SIDE} of 1 to {MOST_SIDE}")
    if held["grid"] != (shape := [len(rows), len(rows[0])]):
        raise ValueError(f"where: values are {shape} rows and columns, and grid says {held['grid']!r:.80}")
    return Where(
        class_name=name,
        onset=onset,
        offset=offset,
        time=time,
        values=np.array([[as_number(cell, "where: values", 0, 1) for cell in row] for row in rows], np.float32),
        peak=_shares(held["peak"], "peak", 2),  # type: ignore[arg-type]
        area=_shares(held["area"], "area", 4),  # type: ignore[arg-type]
        method=as_text(held["method"], "where: method"),
    )


_CLOCK = (-MOST_SECONDS, 2 * MOST_SECONDS)


def _shares(value: object, name: str, count: int) -> tuple[float, ...]:
    shares = tuple(as_number(share, f"where: {name}", -_FARTHEST, _FARTHEST) for share in as_list(value, "where"))
    if len(shares) != count:
        raise ValueError(f"where: {name} must be {count} numbers, got {len(shares)}")
    return shares


def stills_of(
    where: Sequence[Where], probs: Mapping[tuple[str, float], float], *, start: float, end: float
) -> "tuple[Still, ...]":
    """What is drawn of them: where there are pictures, the most probable event first.

    Args:
        where: Places.
        probs: Of events, by class and onset.
        start: When the media starts, in seconds on the clock of the container.
        end: When they end.
    """
    from valor.eval.figures.stills import Still
    from valor.eval.figures.timeline import clock_text

    held = [(place, place.still) for place in where if place.still is not None]
    held.sort(key=lambda one: -probs.get((one[0].class_name, one[0].onset), 0.0))
    return tuple(
        Still(
            frame=frame,
            values=place.values,
            peak=place.peak,
            area=place.area,
            seconds=place.time - start,
            name=place.class_name,
            said=f"at {clock_text(round(place.time, 1), end)}{' s' if end < 120 else ''}",
        )
        for place, frame in held
    )
