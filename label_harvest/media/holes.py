"""Where a stream has nothing, or too much, between its start and its end, as the times of its packets say.

The one rule for clips and recordings of any length: sound that lacks up to `HOLE_SECONDS` is silence there, and a
picture stays until the next one. A longer stretch is a hole, in which the stream is absent. A picture may be held for
longer: its own duration says so, or sound that goes on under it; in broadcasts, whose pictures come evenly, its
duration alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .packets import HOLE_SECONDS, WHOLE_FRAMES, Recording

if TYPE_CHECKING:
    import av
    from av.stream import Stream

GAP_SECONDS = 0.05
"""Audio timestamps may stray this far from gapless before silence is filled in, or what overlaps is left out."""
_LOST_SECONDS = 0.01
"""Broadcasts do not stray: there sound that lacks more than this was lost."""
_ABOUT = 0.9
"""A packet that says it lasts for a smaller share of a frame was cut short by the next one."""

Span = tuple[float, float]
"""Onset and offset in seconds from the start of the clock."""


@dataclass
class Tally:
    """How often something happens, when first, and for how long in all, in seconds."""

    first: float = math.inf
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    opening: float = 0.0
    """How long it was the first time."""

    def add(self, when: float, seconds: float) -> None:
        """Count one more, of some seconds, at a time in seconds."""
        self.opening = self.opening if self.count else seconds
        self.first = min(self.first, when)
        self.count += 1
        self.seconds += seconds
        self.longest = max(self.longest, seconds)

    def said(self) -> str:
        """In words.

        >>> Tally(4.6, 2, 0.12).said()
        '0.12 s in all, at 4.6 s and once more'
        """
        if self.count == 1:
            return f"{self.seconds:.2f} s at {self.first:.1f} s"
        more = "once more" if self.count == 2 else f"{self.count - 1} times more"
        return f"{self.seconds:.2f} s in all, at {self.first:.1f} s and {more}"


class Reach:
    """How far the packets of a stream reach, and what they leave out or have twice."""

    def __init__(self, stream: "Stream", media: Recording) -> None:
        """Know no packet yet."""
        self.holes: list[Span] = []
        """Stretches longer than `HOLE_SECONDS` in which no packet is shown or heard."""
        self.gaps = Tally()
        """Shorter ones, of sound."""
        self.overlaps = Tally()
        """Sound at times at which there was sound already."""
        self._sound = stream.type == "audio"
        self._media = media
        self._rough = HOLE_SECONDS if not self._sound else _LOST_SECONDS if media.is_broadcast else GAP_SECONDS
        self._least = 0.0
        if self._sound:
            context: av.AudioCodecContext = stream.codec_context  # type: ignore[assignment]
            if context.name in WHOLE_FRAMES and context.sample_rate:
                self._least = context.frame_size / context.sample_rate
        self._end = self._placed = math.nan
        self.start = math.inf
        """When the first packet is shown or heard, in seconds from the start of the clock."""

    @property
    def lost(self) -> bool:
        """Whether its gaps are what got lost on its way."""
        return self._media.loses and self.gaps.count > 0

    @property
    def end(self) -> float:
        """When the last packet ends, in seconds from the start of the clock."""
        return 0.0 if math.isnan(self._end) else self._end

    def add(self, span: Span) -> None:
        """The next packet in the order of the file, when it is shown or heard."""
        start, end = span
        self.start = min(self.start, start)
        if end - start < _ABOUT * self._least:
            end = start + self._least
        if start - self._end > HOLE_SECONDS:
            self.holes.append((self._end, start))
        elif start - self._end > self._rough and not self._is_join(start):
            self.gaps.add(self._end, start - self._end)
        if self._sound:
            self._place(start, end)
            self._end = end
        else:
            if self.holes and start < self.holes[-1][1]:  # frames come in the order in which they are decoded
                self.holes = [rest for hole in self.holes for rest in _without(hole, (start, end))]
            self._end = end if math.isnan(self._end) else max(self._end, end)

    def _is_join(self, start: float) -> bool:
        """Whether what comes before the time was another recording, which may have ended with another stream."""
        joins = [join - self._media.clock for join in self._media.restarts]
        return any(self._end - GAP_SECONDS <= join <= start + GAP_SECONDS for join in joins)

    def _place(self, start: float, end: float) -> None:
        """Put sound behind what there is, as `streams.gapless` does."""
        drift = self._placed - start
        if abs(drift) <= GAP_SECONDS:
            self._placed += end - start
            return
        if drift > 0:
            self.overlaps.add(start, min(drift, end - start))
        self._placed = max(self._placed, end) if drift > 0 else end


def _without(hole: Span, span: Span) -> list[Span]:
    """What is left of a hole, where it is still one.

    >>> _without((0, 10), (4, 5)), _without((0, 3), (0, 1.5))
    ([(0, 4), (5, 10)], [])
    """
    rests = [(hole[0], min(hole[1], span[0])), (max(hole[0], span[1]), hole[1])]
    return [hole] if span[1] <= hole[0] or span[0] >= hole[1] else [rest for rest in rests if _is_hole(rest)]


def _is_hole(span: Span) -> bool:
    return span[1] - span[0] > HOLE_SECONDS


def unseen(video: Reach, audio: Reach | None, media: Recording) -> list[Span]:
    """Stretches in which there is no picture, not even one that is held.

    Args:
        video: Of the pictures.
        audio: Of the sound, where there is any.
        media: Whose they are.
    """
    if media.is_broadcast:
        return video.holes
    silent = audio.holes if audio else []
    both = [(max(one[0], other[0]), min(one[1], other[1])) for one in video.holes for other in silent]
    return [span for span in both if _is_hole(span)]


def before(start: float) -> list[Span]:
    """What a stream that begins then leaves out at the start, where that is a hole.

    >>> before(1.9), before(2.5)
    ([], [(0.0, 2.5)])
    """
    return [(0.0, start)] if _is_hole((0.0, start)) else []


def left_of(span: Span, holes: Sequence[Span]) -> float:
    """How many seconds of a stretch lie in no hole.

    >>> left_of((0, 10), [(2, 3), (9, 12)])
    8.0
    """
    return span[1] - span[0] - sum(max(0.0, min(span[1], end) - max(span[0], start)) for start, end in holes)
