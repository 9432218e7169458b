"""Each second once: what teachers say of windows, where whatever lies in several of them goes through a network once.

A teacher that judges every segment by itself (`SegmentTeacher`: CLIP, CLAP, the demo's) is given segments, of all
windows of a batch together, that no window before had. What is of a window as a whole, CLAP's map and the features of
extractors, is computed for each window. Both are kept on the disk where that is asked for (kept.py), and then taken
from there; another teacher that says nothing of segments judges every window, every time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from valor.label_harvest.media.clip import ClipMedia, Grid, audio_segments
from valor.label_harvest.media.survey import MediaSurvey
from valor.label_harvest.media.windows import Window, WindowPlace
from valor.label_harvest.teachers.teacher import Evidence, SegmentTeacher, Teacher, needs_of

from .kept import RULES, KeptFolder, KeptRows, Row
from .trained import Evidences, brief_identity

MICROSECONDS = 1_000_000


class Gatherer:
    """Evidence of the windows of one media file, in their order."""

    def __init__(self, teachers: Sequence[Teacher], survey: MediaSurvey, grid: Grid, kept: KeptFolder | None) -> None:
        """Begin a media file.

        Args:
            teachers: One per role.
            survey: Of the file.
            grid: Of its windows.
            kept: What is kept of it; None for nothing.
        """
        self._segments: dict[str, _Known] = {}
        self._wholes: dict[str, _Known] = {}
        self._teachers, self._grid = tuple(teachers), grid
        for teacher in teachers:
            who = {**brief_identity(teacher), "rules": RULES, "rate": grid.sample_rate, "frames": grid.frame_rate}
            who |= {"segment": grid.segment_seconds, "track": survey.audio_track if _listens(teacher) else None}
            whole = {**who, "maps": teacher.identity().get("maps"), "window": grid.num_segments}
            if isinstance(teacher, SegmentTeacher):
                self._segments[teacher.role] = _Known(kept.teacher(teacher.role, who) if kept else None)
            if not isinstance(teacher, SegmentTeacher) or teacher.of_whole_clips:
                keeps = kept if "prompts" not in teacher.identity() or isinstance(teacher, SegmentTeacher) else None
                self._wholes[teacher.role] = _Known(keeps.teacher(f"{teacher.role}-windows", whole) if keeps else None)

    def knows(self, places: Iterable[WindowPlace]) -> bool:
        """Whether all there is to say of windows is kept, so that no media are needed."""
        return all(self._knows(teacher, place) for place in places for teacher in self._teachers)

    def gather(self, windows: Sequence[WindowPlace]) -> Evidences:
        """What each teacher says of each window, None where the window lacks a stream it needs.

        Args:
            windows: With their media, unless `knows` says that none are needed.
        """
        return {teacher.role: self._gather(teacher, windows) for teacher in self._teachers}

    def _knows(self, teacher: Teacher, place: WindowPlace) -> bool:
        if not _usable(teacher, place):
            return True
        segments, wholes = self._segments.get(teacher.role), self._wholes.get(teacher.role)
        known = segments is None or all(segments.has(key) for key in _segment_keys(teacher, place, self._grid))
        return known and (wholes is None or wholes.has(_whole_key(teacher, place, self._grid)))

    def _gather(self, teacher: Teacher, windows: Sequence[WindowPlace]) -> list[Evidence | None]:
        usable = [window for window in windows if _usable(teacher, window)]
        parts: list[dict[str, np.ndarray]] = [{} for _ in usable]
        if (segments := self._segments.get(teacher.role)) is not None:
            assert isinstance(teacher, SegmentTeacher)  # no others have segments
            self._judge_segments(teacher, usable, segments)
            for part, window in zip(parts, usable, strict=True):
                rows = [segments.near[key] for key in _segment_keys(teacher, window, self._grid)]
                rows += rows[-1:] * (self._grid.num_segments - len(rows))  # padding, which nothing rests on
                part |= {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        if (wholes := self._wholes.get(teacher.role)) is not None:
            self._judge_wholes(teacher, usable, wholes)
            for part, window in zip(parts, usable, strict=True):
                part |= wholes.near[_whole_key(teacher, window, self._grid)]
        answers = iter([Evidence(part, part.pop("similarity", None)) for part in parts])
        return [next(answers) if _usable(teacher, window) else None for window in windows]

    def _judge_segments(self, teacher: SegmentTeacher, windows: Sequence[WindowPlace], known: "_Known") -> None:
        """Have what is not known of segments judged."""
        places = {
            key: (window, position)
            for window in windows
            for position, key in enumerate(_segment_keys(teacher, window, self._grid))
        }
        fresh = known.missing(places)
        if fresh:
            found = teacher.encode_segments(_joined([places[key] for key in fresh], self._grid))
            known.add({key: {name: rows[n] for name, rows in found.items()} for n, key in enumerate(fresh)})

    def _judge_wholes(self, teacher: Teacher, windows: Sequence[WindowPlace], known: "_Known") -> None:
        """Have what is not known of windows as wholes judged."""
        places = {_whole_key(teacher, window, self._grid): window for window in windows}
        fresh = known.missing(places)
        clips = [clip_of(places[key]) for key in fresh]
        if isinstance(teacher, SegmentTeacher):
            found = teacher.encode_wholes(clips) if clips else []
        else:
            answers = teacher.encode_many(clips) if clips else []
            found = [
                {**answer.features, **({} if answer.similarity is None else {"similarity": answer.similarity})}
                for answer in answers
            ]
        known.add(
            dict(zip(fresh, found, strict=True))
            if known.kept is None
            else {key: _small(rows) for key, rows in zip(fresh, found, strict=True)}
        )


class _Known:
    """Rows by key: those of the windows at hand, and those that are kept."""

    def __init__(self, kept: KeptRows | None) -> None:
        self.kept = kept
        self.near: dict[str, Row] = {}

    def has(self, key: str) -> bool:
        return key in self.near or (self.kept is not None and self.kept.has(key))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those that nobody has judged; of all others those that are asked for are held, and no more."""
        wanted, before, kept = list(keys), self.near, self.kept
        self.near = {key: before[key] for key in wanted if key in before}
        if kept is not None:
            self.near |= {key: kept.row(key) for key in wanted if key not in before and kept.has(key)}
        return [key for key in wanted if key not in self.near]

    def add(self, rows: Mapping[str, Row]) -> None:
        """Hold and keep what has been judged."""
        self.near |= rows
        if self.kept is not None:
            self.kept.add({key: row for key, row in rows.items() if row and _is_finite(row)})


def _small(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Features of a window in 16 bits, as parsers and stores take them; similarities in 32."""
    return {name: array if name == "similarity" else array.astype(np.float16) for name, array in rows.items()}


def _is_finite(row: Row) -> bool:
    return all(np.isfinite(array).all() for array in row.values())


def _listens(teacher: Teacher) -> bool:
    return "waveform" in needs_of(teacher)


def _looks(teacher: Teacher) -> bool:
    return needs_of(teacher) != ("waveform",)


def _usable(teacher: Teacher, place: WindowPlace) -> bool:
    """Whether a window has the streams a teacher needs."""
    heard, seen = place.streams
    return (heard or not _listens(teacher)) and (seen or not _looks(teacher))


def _segment_keys(teacher: Teacher, place: WindowPlace, grid: Grid) -> list[str]:
    """What names the picture and the sound of each segment that is no padding: where they lie in the media."""
    heard = [_sound_key(span, grid.segment_seconds) * _listens(teacher) for span in place.spans.tolist()]
    seen = [f"p{round(time * MICROSECONDS)}" * _looks(teacher) for time in place.times.tolist()]
    return [one + other for one, other in zip(heard, seen, strict=True)]


def _whole_key(teacher: Teacher, place: WindowPlace, grid: Grid) -> str:
    """What names a window: when it begins, how many segments it has, and where it looks."""
    seen = "".join(f"p{round(time * MICROSECONDS)}" for time in place.times[[0, -1]].tolist()) * _looks(teacher)
    heard = _sound_key(place.spans[-1].tolist(), grid.segment_seconds) * _listens(teacher)
    return f"w{round(place.spans[0, 0] * MICROSECONDS)}-{len(place.times)}{heard}{seen}"


def _sound_key(span: Sequence[float], seconds: float) -> str:
    """What names the sound of a segment: when it begins, and ends where a cut ends it."""
    begin, end = span
    cut = f"-{round(end * MICROSECONDS)}" * (end < begin + seconds * (1 - 1e-6))
    return f"s{round(begin * MICROSECONDS)}{cut}"


def clip_of(place: WindowPlace) -> ClipMedia:
    """The media of a window.

    Raises:
        TypeError: There are none.
    """
    if not isinstance(place, Window):
        raise TypeError(f"the window at segment {place.start} has no media, and not all is known of it")
    return place.clip


def _joined(places: Sequence[tuple[WindowPlace, int]], grid: Grid) -> ClipMedia:
    """One clip of the media of many segments, given as windows and positions in them."""
    clips = [(clip_of(window), position) for window, position in places]
    cuts = audio_segments(grid.num_samples, grid.num_segments)
    streams: dict[str, Any] = {"frames": None, "waveform": None}
    if all(clip.frames is not None for clip, _ in clips):
        streams["frames"] = np.stack([clip.frames[position] for clip, position in clips if clip.frames is not None])
    if all(clip.waveform is not None for clip, _ in clips):
        pieces = [clip.waveform[slice(*cuts[position])] for clip, position in clips if clip.waveform is not None]
        streams["waveform"] = np.concatenate(pieces)
    return ClipMedia(**streams, grid=replace(grid, num_segments=len(clips)))
