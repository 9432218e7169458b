"""Where a film is cut, and its shots on the segment grid, so that no window lies across a cut.

Of media without a picture the cuts are where the sound changes (changes.py).

Cuts of the picture are PySceneDetect's: its adaptive detector looks at the frames of the even grid of slots (eight a
second), small. It compares how much hue, saturation and lightness change from one frame to the next with how much they
change around it, so that a pan or a thing that moves is no cut. Frames an eighth of a second apart change more than the
neighbours it was made for, so the least change is that of its plain detector. A cut is known to half a slot, and the
pictures of a window keep that far from it.

A cut seldom lies between two segments of the film. Every shot has segments of its own, the first of which begins at the
cut, and is judged on these; a segment of the film is what that of the shot is in which its middle lies. Neighbours that
are both short are joined, as far as a window holds them: sound mostly goes on over quick cuts, and networks were
trained on clips that have some. A short shot beside long ones stays alone, lest it be judged with what is none of it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .changes import CHANGE_RULES, changes_in
from .clip import LEAST_SHARE, EndsError, Grid
from .streams import MediaReader
from .survey import MediaSurvey

FloatArray = npt.NDArray[np.float64]

SHORT_SHARE = 0.5
"""Shots shorter than this share of a window are joined with short neighbours."""
LEAST_CHANGE = 27.0
"""Of a cut, as PySceneDetect's ContentDetector counts it. On 32 films joined from the demo's test clips, 2 of 160 cuts
are missed with 15, its adaptive default, as with 27, and 12 against 4 are found where none is."""
_WIDTH = 160
"""Pixels of the width of the frames that are compared; the detector's thresholds are for frames of about this size."""
CUT_RULES = (1, LEAST_CHANGE, _WIDTH, *CHANGE_RULES)
"""What must be the same for the same cuts; the first is raised whenever they are found otherwise."""


@dataclass(frozen=True)
class Shot:
    """Segments of the film from `start` up to, not including, `stop`, between two cuts, and those it is judged on."""

    start: int
    stop: int
    own: range
    """Its own segments, counted through all shots."""
    begin: float = 0.0
    """When the first of its own begins, in seconds from the start of the film."""
    end: float = math.inf
    """When the next shot begins."""


def shots_of(cuts: Sequence[float], segments: int, grid: Grid, seconds: float | None = None) -> tuple[Shot, ...]:
    """The shots of a film, one after the other, without a gap.

    Args:
        cuts: In seconds from the start of the film, ascending.
        segments: Of the film.
        grid: How long a segment and a window are.
        seconds: Length of the film; None for that of its segments.

    >>> [(shot.start, shot.stop) for shot in shots_of([4.3, 12.6, 13.2], 20, Grid())]
    [(0, 4), (4, 13), (13, 20)]
    >>> [(shot.start, shot.stop) for shot in shots_of([3, 6, 9, 12, 13, 30, 31, 40], 50, Grid())]
    [(0, 9), (9, 13), (13, 30), (30, 31), (31, 40), (40, 50)]
    >>> shots_of([4.3], 20, Grid())[1]
    Shot(start=4, stop=20, own=range(4, 20), begin=4.3, end=inf)
    >>> [shot.own for shot in shots_of([4.6, 14.4], 20, Grid())]
    [range(0, 5), range(5, 15), range(15, 21)]
    """
    held: dict[int, list[float]] = {}  # cuts by the place between segments they fall on
    for cut in cuts:
        if 0 < (place := math.ceil(cut / grid.segment_seconds - 0.5)) < segments:
            held.setdefault(place, []).append(cut)
    all_edges, edges = [0, *sorted(held), segments], [0]
    for before, here, after in zip(all_edges, all_edges[1:], all_edges[2:], strict=False):
        both_short = max(here - before, after - here) < SHORT_SHARE * grid.num_segments
        if not both_short or after - edges[-1] > grid.num_segments:
            edges.append(here)
    shots, film = list[Shot](), segments * grid.segment_seconds if seconds is None else seconds
    for start, stop in zip(edges, [*edges[1:], segments], strict=True):
        begin, end = max(held.get(start, [0.0])), min(held.get(stop, [math.inf]))
        count = segments
        if (start, stop) != (0, segments):
            length = (min(end, film) - begin) / grid.segment_seconds
            count = max(1, round(length) if stop < segments else math.ceil(length - LEAST_SHARE - 1e-9))
        first = shots[-1].own.stop if shots else 0
        shots.append(Shot(start, stop, range(first, first + count), begin, end))
    return tuple(shots)


def own_begins(shots: Sequence[Shot], grid: Grid) -> FloatArray:
    """float64 [own segments of all shots], when each begins, in seconds from the start of the film."""
    return np.concatenate([shot.begin + np.arange(len(shot.own)) * grid.segment_seconds for shot in shots])


def own_of_film(shots: Sequence[Shot], grid: Grid) -> npt.NDArray[np.int64]:
    """int64 [segments of the film], which of the own segments of its shot holds the middle of each, or is nearest.

    >>> own_of_film(shots_of([9.4, 21.6], 30, Grid()), Grid()).tolist()[8:23]
    [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 20, 21]
    """
    return np.concatenate([
        shot.own.start + np.clip(
            np.floor(np.arange(shot.start, shot.stop) + 0.5 - shot.begin / grid.segment_seconds).astype(np.int64),
            0, len(shot.own) - 1,
        )
        for shot in shots
    ])  # fmt: skip


def find_cuts(survey: MediaSurvey, grid: Grid, reader: MediaReader) -> tuple[float, ...]:
    """When the picture is cut, in seconds from the start of the film, ascending; decodes it once, to its end.

    Of media without a picture, when the sound changes.

    Raises:
        MediaError: The file is damaged; where it ends early for that, there are the cuts before.
    """
    if survey.video_seconds is None:
        changes = changes_in(reader.sound(survey))
        _forget_lost(survey, reader)
        return tuple(change for change in changes if change < survey.seconds)
    slots = np.arange(max(0, round((survey.video_seconds - survey.lead) * grid.frame_rate)))
    times = (slots + 0.5) / grid.frame_rate + survey.lead
    first = np.searchsorted(times, survey.video_start)  # nothing is shown before
    found: list[float] = []
    with suppress(EndsError):
        images = reader.frames(survey, times[first:], grid) if first < len(times) else iter(())
        for place in cuts_in(images, grid.frame_rate):
            found.append(float((first + place) / grid.frame_rate))
    _forget_lost(survey, reader)
    return tuple(found)


def _forget_lost(survey: MediaSurvey, reader: MediaReader) -> None:
    """What is lost is counted when the windows are read."""
    if reader.lost:
        reader.survey(survey.path, None if survey.audio_track is None else str(survey.audio_track))


def cuts_in(images: Iterable[np.ndarray], rate: float) -> Iterator[int]:
    """Positions of the images that are the first of a shot; the same array again is no new image.

    Args:
        images: uint8 [H, W, 3] RGB, at an even rate.
        rate: Images per second.
    """
    import cv2
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector

    detector = AdaptiveDetector(min_scene_len=1, min_content_val=LEAST_CHANGE)
    last: np.ndarray | None = None
    small: np.ndarray = np.zeros((0, 0, 3), np.uint8)
    for place, image in enumerate(images):
        if image is not last:
            last, scale = image, min(1.0, _WIDTH / image.shape[1])
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            small = cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_AREA)
        for cut in detector.process_frame(FrameTimecode(place, fps=float(rate)), small):
            yield cut.frame_num
