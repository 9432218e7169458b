"""Clips of any length: windows of the grid are read one after another, judged, and joined to one row of evidence.

    clip       the published way: the first segments of the grid and no more; what is left out is the status `cut`
    whole      windows end to end; of the last, which ends with the last segment, what no other holds
    windows    windows that overlap by half, as `valor parse` has them; segments in two of them get the weighted mean

A clip as long as the grid is one window, so that its evidence is the same in all three. Any other ends where its sound
or its picture does, whichever is first, where the other goes on for less than a segment (`segments_of_both`): labels
and training take clips with evidence of both in every segment. Each stream is decoded once, in
a process that can be killed; memory does not grow with the length of a clip but for its evidence.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .engine import Batch, Clock, Decoding, Judged, file_facts, put_unless
from .fetch import fetched
from .media.clip import (
    NO_AUDIO,
    NO_VIDEO,
    STILL,
    WHOLE,
    Grid,
    MediaError,
    all_equal,
    lacks_segments,
    lone_end,
    short_by_note,
    silence,
    status_of,
)
from .media.cuts import shots_of
from .media.stream_reader import ProcessReader
from .media.streams import DirectReader, MediaReader
from .media.survey import MediaSurvey
from .media.windows import Merger, Window, read_windows, segments_of, segments_of_both, window_starts
from .places.elsewhere import Media
from .store.evidence import Answers, Faults, judge_batch, prepare_batch
from .store.manifest import MODALITIES
from .store.shards import SEGMENTS, KnownClip, ShardRow, row_of
from .teachers.own import ClipFaultError
from .teachers.teacher import Evidence, Teacher, needs_of

MOST_SEGMENTS = 43_200
"""Half a day of seconds; the evidence of more is not one row of a table."""


def hop_of(length: str, grid: Grid) -> int:
    """Segments from one window to the next, `whole` or `windows`."""
    return grid.num_segments if length == WHOLE else max(1, grid.num_segments // 2)


@dataclass
class _Clip:
    """One clip under way: its windows come from a thread, its evidence is joined in another."""

    row: KnownClip
    media: Media | None
    windows: "queue.Queue[Any]"
    """A survey, then windows, then None; or the error that ended it."""
    unwanted: threading.Event = field(default_factory=threading.Event)
    """Set once no more of it is wanted."""


class WholeEngine:
    """Decodes and judges clips of any length; see `engine.Engine`."""

    def __init__(self, teachers: Sequence[Teacher], *, length: str, windows_per_batch: int) -> None:
        """Keep the teachers.

        Args:
            teachers: One per role.
            length: `whole` or `windows`.
            windows_per_batch: Windows of a clip given to a teacher together.
        """
        self._teachers, self._length, self._batch = teachers, length, windows_per_batch
        self.clock = Clock()

    def judged(self, batches: Iterator[Batch], decoding: Decoding) -> Generator[tuple[Batch, Judged], None, None]:
        """See `Engine.judged`."""
        stop = threading.Event()
        read = _Reading(decoding, hop_of(self._length, decoding.grid), stop)
        opened = deque[tuple[Batch, list[_Clip]]]()
        try:
            with ThreadPoolExecutor(max(decoding.workers, 1), thread_name_prefix="read") as threads:
                try:
                    for batch in batches:
                        clips = [
                            _Clip(row, path, queue.Queue(maxsize=2 * self._batch))
                            for row, path in zip(batch.rows, batch.paths, strict=True)
                        ]
                        for clip in clips:
                            threads.submit(read, clip)
                        opened.append((batch, clips))
                        if sum(len(held) for _, held in opened) > decoding.workers:
                            yield self._finished(*opened.popleft(), decoding)
                    while opened:
                        yield self._finished(*opened.popleft(), decoding)
                finally:
                    stop.set()
                    threads.shutdown(cancel_futures=True)
        finally:
            read.close()

    def _finished(self, batch: Batch, clips: Sequence[_Clip], decoding: Decoding) -> tuple[Batch, Judged]:
        """Judge a batch to its end."""
        rows, answers, faults = [], Answers(), Faults()
        answers.update({teacher.role: [] for teacher in self._teachers})
        for place, clip in enumerate(clips):
            row, found = self._judge(clip, decoding)
            if isinstance(found, ClipFaultError):
                faults[place], found = found, {}
            rows.append(row)
            for role, evidence in answers.items():
                evidence.append(found.get(role))
        return batch, Judged(rows, answers, faults)

    def _judge(self, clip: _Clip, decoding: Decoding) -> tuple[ShardRow, dict[str, Evidence] | ClipFaultError]:
        """What became of one clip, and what each teacher says of it or the first that fails raises."""
        known = clip.row
        if clip.media is None:
            message = "no file of this name among the videos"
            return row_of(known, "missing", message, {SEGMENTS: 0}), {}
        facts: dict[str, object] = {**file_facts(clip.media), SEGMENTS: 0}
        try:
            windows = _received(clip.windows, self.clock)
            survey = next(windows)
            joined = _Joined(survey, decoding.grid, self._teachers, self._length)
            while some := list(islice(windows, self._batch)):
                started = time.monotonic()
                inputs = prepare_batch(self._teachers, [(_placeholder(known), window.clip) for window in some])
                prepared = time.monotonic()
                answers, faults = judge_batch(self._teachers, inputs)
                self.clock.host += prepared - started
                self.clock.network += time.monotonic() - prepared
                if faults:
                    clip.unwanted.set()
                    deque(windows, maxlen=0)  # so that its thread does not wait for room
                    first, *others = faults.values()
                    for fault in others:
                        fault.forget()
                    return row_of(known, "ok", "", facts | file_facts(clip.media, facts)), first
                for n, window in enumerate(some):
                    joined.add(window, {role: found[n] for role, found in answers.items()})
        except MediaError as error:
            facts |= file_facts(clip.media, facts)
            return row_of(known, error.status, str(error), facts), {}
        status, message = joined.status()
        facts |= {**file_facts(clip.media, facts), **joined.facts()}
        return row_of(known, status, message, facts), joined.evidence()


def _placeholder(known: KnownClip) -> ShardRow:
    """The row of a clip of which nothing is known yet: its name, for messages."""
    return row_of(known, "ok", "")


def _received(windows: "queue.Queue[Any]", clock: Clock) -> Iterator[Any]:
    """What a thread puts into a queue, until it says that nothing comes any more or what ended it."""
    while True:
        started = time.monotonic()
        item = windows.get()
        clock.decode += time.monotonic() - started
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


class _Reading:
    """Reads clips in threads, each with a process of its own."""

    def __init__(self, decoding: Decoding, hop: int, stop: threading.Event) -> None:
        """Start nothing yet."""
        self._decoding, self._hop, self._stop = decoding, hop, stop
        self._held = threading.local()
        self._all: list[AbstractContextManager[MediaReader]] = []
        self._guard = threading.Lock()

    def __call__(self, clip: _Clip) -> None:
        """Put what is read of a clip into its queue."""
        if self._stop.is_set():
            return
        try:
            if clip.media is not None:
                with fetched(clip.media) as path:
                    for item in self._items(path):
                        if not put_unless(self._stop, clip.windows, item):
                            return
                        if clip.unwanted.is_set():
                            break
            put_unless(self._stop, clip.windows, None)
        except BaseException as error:
            put_unless(self._stop, clip.windows, error)

    def close(self) -> None:
        """End the processes."""
        for reader in self._all:
            reader.__exit__(None, None, None)

    def _items(self, path: Path) -> Iterator[MediaSurvey | Window]:
        reader, grid = self._reader(), self._decoding.grid
        survey = reader.survey(path, self._decoding.audio_track)
        if (segments := segments_of_both(survey, grid)) > MOST_SEGMENTS:
            raise MediaError(
                f"{path.name}: {survey.seconds / 3600:.1f} h are {segments:,} segments, and a clip may have "
                f"{MOST_SEGMENTS:,}; cut it"
            )
        yield survey
        shots = shots_of((), segments, grid)
        yield from read_windows(survey, grid, hop=self._hop, shots=shots, slots=self._decoding.slots, reader=reader)

    def _reader(self) -> MediaReader:
        """That of this thread."""
        if not hasattr(self._held, "reader"):
            process = self._decoding.workers > 0
            made: AbstractContextManager[MediaReader]
            made = ProcessReader(self._decoding.limits) if process else nullcontext(DirectReader())
            with self._guard:
                self._all.append(made)
            self._held.reader = made.__enter__()
        reader: MediaReader = self._held.reader
        return reader


@dataclass
class _Joined:
    """What is known of one clip, window by window."""

    survey: MediaSurvey
    grid: Grid
    teachers: Sequence[Teacher]
    length: str
    _merged: dict[tuple[str, str], Merger] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _first: np.ndarray | None = None
    _still: bool = True
    _peak: float = 0.0

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.segments = segments_of_both(self.survey, self.grid)
        self._present = np.zeros((self.segments, len(MODALITIES)), bool)
        self._next = 0

    def add(self, window: Window, answers: dict[str, Evidence | None]) -> None:
        """Take in a window and what the teachers say of it."""
        fresh = slice(max(self._next - window.start, 0) if self.length == WHOLE else 0, None)
        for teacher in self.teachers:
            if (answer := answers[teacher.role]) is not None:
                there = np.all([window.present[:, _track(need)] for need in needs_of(teacher)], axis=0)
                arrays = dict(answer.features)
                if answer.similarity is not None:
                    arrays["similarity"] = answer.similarity
                for name, array in arrays.items():
                    self._add(window, teacher.role, name, np.where(there[:, None], array, np.nan)[fresh], fresh.start)
        self._present[window.start : window.start + len(window.present)] = window.present[window.valid]
        self._next = window.start + self.grid.num_segments
        self._notes += window.notes
        self._look(window)

    def _add(self, window: Window, role: str, name: str, array: np.ndarray, skipped: int) -> None:
        if len(array) + skipped != self.grid.num_segments:
            raise ValueError(
                f"{self.survey.path.name}: {name} of the {role} teacher has {len(array)} rows for a window of "
                f"{self.grid.num_segments} segments; raw maps are of clips of one length: harvest them with length=clip"
            )
        merger = self._merged.setdefault((role, name), Merger(self.segments, array.shape[1:]))
        merger.add(window.start + skipped, array)

    def _look(self, window: Window) -> None:
        """Whether the picture ever changes, and how loud the sound is."""
        if window.clip.frames is not None:
            frames = window.clip.frames[window.valid & window.present[:, 1]]
            if self._still and len(frames):
                first = frames[0].copy() if self._first is None else self._first
                self._still = all_equal(frames, first)
                self._first = first
        if window.clip.waveform is not None:
            self._peak = max(self._peak, float(np.abs(window.clip.waveform).max()))

    def status(self) -> tuple[str, str]:
        """The worst trouble of the clip, and all of them in words."""
        troubles = [] if self._first is None or not self._still else [STILL]
        heard, seen = bool(self._present[:, 0].any()), bool(self._present[:, 1].any())
        if heard:
            troubles += silence(self._peak)
        for modality, what in enumerate(("sound", "picture")):
            lacking = np.flatnonzero(~self._present[:, modality])
            if len(lacking) and self._present[:, modality].any():
                seconds = len(lacking) * self.grid.segment_seconds
                first = lacking[0] * self.grid.segment_seconds
                troubles.append(lacks_segments(what, seconds, first))
        if self.segments < segments_of(self.survey, self.grid):
            rest = self.survey.seconds - self.survey.lead - self.segments * self.grid.segment_seconds
            hears_on = (self.survey.audio_seconds or 0.0) > (self.survey.video_seconds or 0.0)
            troubles.append(lone_end(rest, *(("sound", "picture") if hears_on else ("picture", "sound"))))
        troubles += [short_by_note(note) for note in (*self.survey.notes, *self._notes)]
        if not seen:
            troubles.append(NO_VIDEO)
        if not heard:
            troubles.append(NO_AUDIO)
        return status_of(troubles)

    def facts(self) -> dict[str, object]:
        """What was read, as JSON values."""
        survey = self.survey
        video = {"seconds": survey.video_seconds, "size": [survey.width, survey.height], "rate": survey.frame_rate}
        audio = {"seconds": survey.audio_seconds, "peak": round(self._peak, 6)}
        windows = len(window_starts(self.segments, self.grid.num_segments, hop_of(self.length, self.grid)))
        return {
            SEGMENTS: self.segments,
            "seconds": round(survey.seconds, 4),
            "windows": windows,
            "video": video if survey.video_seconds is not None else None,
            "audio": audio if survey.audio_seconds is not None else None,
        }

    def evidence(self) -> dict[str, Evidence]:
        """By role, arrays of one row per segment, NaN where the streams a teacher needs are not there."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for (role, name), merger in self._merged.items():
            found.setdefault(role, {})[name] = merger.result()
        return {role: Evidence(arrays, arrays.pop("similarity", None)) for role, arrays in found.items()}


def _track(need: str) -> int:
    """The column of `Window.present` of a stream a teacher needs."""
    return MODALITIES.index("audio" if need == "waveform" else "visual")
