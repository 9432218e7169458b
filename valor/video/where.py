"""Where in the picture the visible events of a parse are: a map of one frame for each, by the visual teacher.

The frame is the one that the parse saw in the event's most probable segment. Frames of such segments are decoded once
more, and no others go through the network again.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from valor.data.parse_file import Parse, ParsedEvent
from valor.data.vocabulary import named_classes, prompts
from valor.data.where import Where, found_at
from valor.eval.events import MODALITIES
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.cuts import Shot, own_of_film
from valor.label_harvest.media.streams import MediaReader
from valor.label_harvest.media.survey import MediaSurvey
from valor.label_harvest.media.windows import placed, stretches, window_weights
from valor.label_harvest.teachers.teacher import SegmentTeacher, all_captions, class_embeddings
from valor.label_harvest.teachers.where import directions_of, locate

from .picture import thumbnail
from .recalled import RecalledTeacher
from .trained import ParsingSystem, TrainedSystem

_LOG = logging.getLogger(__name__)

MOST_EVENTS = 50
"""Visible events of a parse for which it is said where they are: the most probable ones."""
_Most = tuple[ParsedEvent, int]
"""An event, and its most probable segment."""


def with_where(
    parse: Parse,
    system: ParsingSystem,
    survey: MediaSurvey,
    shots: Sequence[Shot],
    reader: MediaReader,
    *,
    hop: int,
    shared: bool,
    by_windows: bool = False,
) -> Parse:
    """A parse that says where its visible events are, or in a note why it does not.

    Args:
        parse: Of the media.
        system: Who parsed.
        survey: Of the media.
        shots: Of the media.
        reader: Who decodes.
        hop: Segments from one window that was parsed to the next.
        shared: Whether a segment had the same picture in every window.
        by_windows: Show windows alone to any teacher.
    """
    events = [_most_probable(parse, event) for event in parse.events if event.modality == "visual"]
    notes, found = [], list[Where]()
    teacher = _who_looks(system)
    if events and teacher is None:
        roles = ", ".join(teacher.role for teacher in system.teachers)
        notes = [f"none of its teachers ({roles}) judges single pictures by captions, so none can say where in them"]
    elif events and teacher is not None:
        kept = sorted(events, key=lambda one: -one[0].prob)[:MOST_EVENTS]
        if len(kept) < len(events):
            notes = [f"where in the picture is said of the {MOST_EVENTS} most probable of {len(events)} visible events"]
        times = _picture_times(survey, system.grid, shots, hop, shared=shared)
        try:
            for place in _located(kept, times, system, teacher, survey, reader, by_windows=by_windows):
                found.append(place)  # noqa: PERF402, what was found before an error stays
        except MediaError as error:
            notes.append(f"where in the picture is said as far as it decoded once more ({error})")
        if not notes and len(found) < len(kept):
            notes = [f"of {len(kept) - len(found)} visible events nothing in the picture stands out"]
    for note in notes:
        _LOG.warning("%s: %s", parse.media.name, note)
    found.sort(key=lambda place: (place.onset, place.offset, place.class_name))
    return replace(parse, where=tuple(found), notes=(*parse.notes, *notes))


def _most_probable(parse: Parse, event: ParsedEvent) -> _Most:
    first, last = (
        round((time - parse.media.start_time) / parse.segment_seconds) for time in (event.onset, event.offset)
    )
    track = parse.segment_probs[first:last, MODALITIES.index("visual"), parse.class_names.index(event.class_name)]
    return event, first + int(track.argmax())


def _who_looks(system: ParsingSystem) -> SegmentTeacher | None:
    """The teacher that judges single pictures, with its network."""
    for teacher in system.teachers:
        whole = teacher.network if isinstance(teacher, RecalledTeacher) else teacher
        if whole.role == "visual" and isinstance(whole, SegmentTeacher):
            return whole
    return None


def _vectors(system: ParsingSystem, teacher: SegmentTeacher) -> np.ndarray:
    """What the teacher reads in the classes, and then in decoys where there are any, float32 [C + D, P].

    A run has its teacher read names in place of captions.
    """
    if not isinstance(system, TrainedSystem) or not hasattr(teacher, "encode_captions"):
        return teacher.caption_embeddings
    captions = system.captions.get("visual") or prompts(named_classes(system.class_names), "visual")
    vectors = torch.from_numpy(teacher.encode_captions(all_captions(captions)))
    return np.asarray(class_embeddings(vectors, captions).numpy())


def _picture_times(
    survey: MediaSurvey, grid: Grid, shots: Sequence[Shot], hop: int, *, shared: bool
) -> Sequence[float]:
    """When the picture of each segment is shown, by the window that it lies most in the middle of."""
    times: dict[int, tuple[float, float]] = {}
    nothing = np.zeros((shots[-1].own.stop, len(MODALITIES)), bool)
    for window in stretches(grid, hop, shots):
        place = placed(survey, grid, window, nothing, shared=shared)
        for offset, weight in enumerate(window_weights(len(place.times)).tolist()):
            segment = window.start + offset
            times[segment] = max(times.get(segment, (0.0, 0.0)), (weight, float(place.times[offset])))
    return [times[segment][1] for segment in own_of_film(shots, grid).tolist()]


def _located(
    events: Sequence[_Most],
    times: Sequence[float],
    system: ParsingSystem,
    teacher: SegmentTeacher,
    survey: MediaSurvey,
    reader: MediaReader,
    *,
    by_windows: bool,
) -> Iterator[Where]:
    """One for each event of which something stands out, picture by picture."""
    directions = directions_of(_vectors(system, teacher))
    cutoffs = sorted({times[segment] for _, segment in events})
    for time, frame in zip(cutoffs, reader.frames(survey, np.array(cutoffs), system.grid), strict=False):
        here = [event for event, segment in events if times[segment] == time]
        rows = [system.class_names.index(event.class_name) for event in here]
        maps = locate(teacher, frame, directions[rows], by_windows=by_windows)
        still = thumbnail(frame, survey.pixel_shape)
        for event, values in zip(here, maps.values, strict=True):
            if (found := found_at(values, maps.area)) is not None:
                yield Where(
                    class_name=event.class_name,
                    onset=event.onset,
                    offset=event.offset,
                    time=round(survey.start_time + time, 3),
                    values=found[0],
                    peak=found[1],
                    area=maps.area,
                    method=maps.method,
                    still=still,
                )
