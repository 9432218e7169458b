"""How often a video shows a new frame, by the times of its frames: headers round, guess, or say a clock's ticks."""

from array import array
from fractions import Fraction

import numpy as np

from .holes import Tally
from .packets import HOLE_SECONDS

_AGREES = 0.01
"""Part of a rate by which a header's may differ from the measured one: it counts the ends otherwise, or rounds."""

_FEW = 20
"""Of fewer frames nobody can say whether they are even."""
_EVEN_SHARE = 0.95
"""Of an even video so many steps from frame to frame are alike."""


class FrameTimes:
    """When the frames of a video are shown; eight bytes a frame."""

    def __init__(self) -> None:
        """Know no frame yet."""
        self._ticks = array("q")

    def add(self, ticks: int) -> None:
        """One frame more, in whatever order they are decoded."""
        self._ticks.append(ticks)

    def rate(self, base: Fraction, promised: float | None, clock: float = 0.0) -> tuple[float | None, bool | None]:
        """Frames per second, and whether frame n is shown at n / rate, half a frame more or less, from the start on.

        Args:
            base: Seconds of a tick.
            promised: What the header says, kept where it agrees with the frames.
            clock: The start of the container's clock, in seconds.

        Returns:
            The promised rate and None where there are fewer than two frames, or days lie between them.
        """
        times = np.sort(np.frombuffer(self._ticks, np.int64)) * float(base) if len(self._ticks) > 1 else np.zeros(0)
        if not times.size or times[-1] <= times[0]:
            return promised, None
        measured = round(float((len(times) - 1) / (times[-1] - times[0])), 6)
        if not measured:
            return promised, None
        agrees = promised is not None and abs(promised / measured - 1) <= _AGREES
        rates = [promised, measured] if agrees and promised else [measured]
        for rate in rates:
            if np.abs(times - clock - np.arange(len(times)) / rate).max() <= 0.5 / rate:
                return rate, True
        return rates[0], False

    def lost(self, base: Fraction, clock: float = 0.0) -> Tally:
        """How often a video that is even lacks frames, up to the length of a hole.

        Where two frames have one time, times were counted from those of packets that hold several, and stray: as many
        frames seem to be missing elsewhere.

        Args:
            base: Seconds of a tick.
            clock: The start of the container's clock, in seconds.
        """
        found = Tally()
        times = np.sort(np.frombuffer(self._ticks, np.int64)) * float(base) - clock
        if len(times) < _FEW:
            return found
        steps = np.diff(times)
        usual = float(np.median(steps))
        twice = int(np.sum(steps <= 0.5 * usual))
        if usual <= 0 or round(float(times[-1] - times[0]) / usual) - twice < len(times):  # as many as there should be
            return found
        if np.mean(np.abs(steps - usual) <= 0.1 * usual) < _EVEN_SHARE:
            return found
        for place in np.flatnonzero((steps > 1.5 * usual) & (steps <= HOLE_SECONDS)).tolist():
            found.add(float(times[place] + usual), float(steps[place] - usual))
        return found
