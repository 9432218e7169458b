"""Any media file -> `Parse`: windows are read, judged by teachers, parsed in batches, and merged.

survey (lengths) -> cuts -> windows (valor.label_harvest.media.windows) -> teachers -> parser or thresholds -> merged
probabilities

Windows lie within shots: media longer than a window are looked through once for cuts of the picture, or without one for
changes of the sound, before any network runs. On the demo's test clips joined to films, segments score 6 to 13 points
more so, 1 to 7 in sound alone (`benchmarks.films`).
Probabilities of overlapping windows are merged without seams, see `windows.Merger`; decisions are made on the means,
those of the gate as well.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.parse_file import Parse
from valor.data.parsed_media import MediaInfo, modified_at
from valor.data.provenance import by_drawings
from valor.eval.decide import PostProcessing, gate_probs
from valor.eval.events import MODALITIES
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.cuts import CUT_RULES, Shot, find_cuts, own_of_film, shots_of
from valor.label_harvest.media.stream_reader import DecoderDeathError, ProcessReader
from valor.label_harvest.media.streams import KEPT_PIXELS, DirectReader, MediaReader
from valor.label_harvest.media.survey import MediaSurvey
from valor.label_harvest.media.tracks import listed_tracks
from valor.label_harvest.media.windows import (
    Merger,
    Stretch,
    Window,
    WindowPlace,
    placed,
    read_windows,
    segments_of,
    stretches,
)
from valor.label_harvest.progress import Bar
from valor.label_harvest.teachers.teacher import needs_of

from .kept import RULES, KeptFolder, digest_of, kept_media
from .once import Gatherer
from .options import AUTO, BY_WINDOWS, NONE, SHARED, ParseOptions
from .trained import ParsingSystem, Settled, SettlingSystem, WindowProbs

_LOG = logging.getLogger(__name__)

BATCH_PIXELS = 24_000_000
"""Pixels of all frames of a batch, more only where one window has more; a float frame takes 12 bytes for each."""
CUT_OFF_SECONDS = 2.0
"""A file that ends so much earlier than its header says is called cut off."""


def media_reader(options: ParseOptions) -> AbstractContextManager[MediaReader]:
    """Who decodes, for a `with` block around the parse of one file or of many."""
    return ProcessReader(options.limits) if options.limits else nullcontext(DirectReader())


def parse_media(
    system: ParsingSystem,
    path: Path,
    options: ParseOptions | None = None,
    *,
    watch: Callable[[MediaSurvey, Window], None] | None = None,
    bar: Bar | None = None,
    reader: MediaReader | None = None,
) -> Parse:
    """Parse one media file.

    Args:
        system: Who parses.
        path: The file.
        options: None for the defaults.
        watch: Sees every window as it is read, in order, to draw the media beside its parse.
        bar: A progress bar that is moved by seconds of media.
        reader: Who decodes, from `media_reader`; None for one that is there for this file alone.

    Raises:
        MediaError: The file cannot be parsed; says why.
        ValueError: The options do not fit the system.
    """
    options = options or ParseOptions()
    if reader is None:
        with media_reader(options) as reader:
            return parse_media(system, path, options, watch=watch, bar=bar, reader=reader)
    begun = 0 if bar is None else bar.n
    try:
        try:
            return _parse(system, path, options, watch, bar, reader)
        except DecoderDeathError as death:  # somebody may have ended it; of the file it dies again
            _LOG.debug("%s; once more, in a new process", death)
            if bar is not None:
                bar.update(begun - bar.n)
            return _parse(system, path, options, watch, bar, reader)
    except MediaError as error:
        if not error.salvageable or options.salvage:
            raise
        raise MediaError(f"{error}, or parse what can be decoded of it with salvage=True", error.status) from error


def _parse(
    system: ParsingSystem,
    path: Path,
    options: ParseOptions,
    watch: Callable[[MediaSurvey, Window], None] | None,
    bar: Bar | None,
    reader: MediaReader,
) -> Parse:
    """See `parse_media`."""
    rule = rule_of(system, options)
    survey = reader.survey(path, options.audio_track, salvage=options.salvage)
    is_long = segments_of(survey, system.grid) > system.grid.num_segments
    kept = kept_media(options.evidence, path) if options.evidence is not None and is_long else None
    film = _film(system, survey, options, reader, kept)
    settling = system if isinstance(system, SettlingSystem) else None
    shape = (len(MODALITIES), len(system.class_names) if settling is None else settling.columns)
    probs, gates = Merger(film.own_segments, shape), Merger(film.own_segments, shape)
    moved = _Progress(bar, survey.seconds, len(film.windows))
    gatherer = Gatherer(system.teachers, survey, system.grid, kept)
    found = _Found(film, kept)
    windows_of = found.windows(gatherer, reader, media_needed=watch is not None)
    size = 1 if film.slots else _batch_size(survey, system, options)
    while windows := list(islice(windows_of, size)):
        if watch is not None:
            for window in windows:
                assert isinstance(window, Window)  # media were asked for
                watch(survey, window)
        heard_or_seen = [window for window in windows if window.present.any()]
        if heard_or_seen:
            _judge(system, heard_or_seen, gatherer, str(rule.gate), probs, gates)
        moved.by(len(windows))
    rows = own_of_film(film.shots, film.grid)
    merged = probs.result()[rows]
    settled = Settled(merged) if settling is None else settling.settle(merged, film.shots)
    parse = Parse(
        media=_media_info(survey, kept, hashed=options.hashed),
        class_names=system.class_names,
        segment_seconds=system.grid.segment_seconds,
        segment_probs=settled.segment_probs,
        background_probs=settled.background_probs,
        evidence=settled.evidence,
        gate_probs=None if rule.gate == "none" else gates.result()[rows],
        decision=rule,
        system=describe_options(system, options),
        cuts=tuple(round(survey.start_time + cut, 3) for cut in film.cuts),
        notes=(*caveats(system), *_notes(survey, [*found.notes, *dict.fromkeys(kept.notes if kept else ())])),
    )
    if not options.where:
        return parse
    from .where import with_where

    by_windows = options.where_by == BY_WINDOWS
    hop, shared = film.hop, film.shared
    return with_where(parse, system, survey, film.shots, reader, hop=hop, shared=shared, by_windows=by_windows)


def rule_of(system: ParsingSystem, options: ParseOptions) -> PostProcessing:
    """Thresholds and gate of a parse.

    Raises:
        ValueError: The modalities have two gates, or the system has no probabilities for one.
    """
    rule = options.rule or system.default_rule
    if not isinstance(rule.gate, str):
        raise ValueError(f"a parse has one gate for both modalities, got {rule.gate}; choose clip, modality or none")
    if rule.gate != "none" and system.default_rule.gate == "none":
        raise ValueError(f"this system has no probabilities for the gate {rule.gate}; choose the gate none")
    return rule


@dataclass(frozen=True, eq=False, kw_only=True)
class _Film:
    """One media file laid out in windows."""

    survey: MediaSurvey
    grid: Grid
    cuts: tuple[float, ...]
    """In seconds from its start."""
    shots: tuple[Shot, ...]
    hop: int
    slots: bool
    """Whether a teacher needs the frames of all slots."""
    shared: bool
    """Whether a segment has the same picture in every window."""

    @property
    def windows(self) -> tuple[Stretch, ...]:
        return stretches(self.grid, self.hop, self.shots)

    @property
    def own_segments(self) -> int:
        """Of all shots, on which windows lie."""
        return self.shots[-1].own.stop


def _film(
    system: ParsingSystem, survey: MediaSurvey, options: ParseOptions, reader: MediaReader, kept: KeptFolder | None
) -> _Film:
    cuts = _cuts(survey, system.grid, options.cuts, reader, kept)
    slots = any("slots" in needs_of(teacher) for teacher in system.teachers)
    return _Film(
        survey=survey,
        grid=system.grid,
        cuts=cuts,
        shots=shots_of(cuts, segments_of(survey, system.grid), system.grid, survey.seconds - survey.lead),
        hop=options.hop or max(1, system.grid.num_segments // 2),
        slots=slots,
        shared=options.frames == SHARED and not slots,
    )


class _Found:
    """The windows of a film, and what was found while they were decoded, now or in an earlier parse."""

    def __init__(self, film: _Film, kept: KeptFolder | None) -> None:
        """Begin with nothing."""
        self._film, self._kept = film, kept
        shots = [[shot.begin, len(shot.own)] for shot in film.shots]
        what = [RULES, film.survey.audio_track, shots, film.grid.segment_seconds]
        left_out = [film.survey.video_holes, film.survey.audio_holes] if film.survey.salvage else []
        self._name = f"found-{digest_of([*what, *left_out])[:16]}"
        self.notes: list[str] = []

    def windows(self, gatherer: Gatherer, reader: MediaReader, *, media_needed: bool) -> Iterator[WindowPlace]:
        """The windows in order, without media where all there is to say of them is kept."""
        film, held = self._film, self._kept and self._kept.recall(self._name)
        if held and not media_needed:
            present = np.array([[mark == "1" for mark in marks] for marks in held["present"]]).T
            self.notes = list(held["notes"])
            if gatherer.knows(self._placed(present)):
                yield from self._placed(present)
                return
            self.notes = []
        present = np.zeros((film.own_segments, len(MODALITIES)), bool)
        for window in read_windows(
            film.survey, film.grid, hop=film.hop, shots=film.shots, slots=film.slots, shared=film.shared, reader=reader
        ):
            present[window.start : window.start + len(window.times)] = window.present[window.valid]
            self.notes += window.notes
            yield window
        if self._kept is not None:
            marks = ["".join("01"[here] for here in column) for column in present.T.tolist()]
            self._kept.note(self._name, {"present": marks, "notes": self.notes})

    def _placed(self, present: np.ndarray) -> Iterator[WindowPlace]:
        film = self._film
        return (placed(film.survey, film.grid, window, present, shared=film.shared) for window in film.windows)


def _cuts(
    survey: MediaSurvey, grid: Grid, cuts: str | tuple[float, ...], reader: MediaReader, kept: KeptFolder | None
) -> tuple[float, ...]:
    """Seconds from the start of the film at which it is cut, ascending; see `ParseOptions.cuts`."""
    if not isinstance(cuts, str):
        times = tuple(cut - survey.start_time for cut in cuts)
        if times and not (times[0] > 0 and times[-1] < survey.seconds):
            outside = cuts[0] if times[0] <= 0 else cuts[-1]
            begin, end = survey.start_time, survey.start_time + survey.seconds
            raise ValueError(
                f"{survey.path.name}: its cuts must lie within it, between {begin:.3f} and {end:.3f} s, got "
                f"{outside} s; are they those of another film?"
            )
        return times
    if cuts == NONE or segments_of(survey, grid) <= grid.num_segments:
        return ()
    name = f"cuts-{digest_of([CUT_RULES, grid.frame_rate, survey.lead])[:16]}"
    found = kept.recall(name) if kept is not None else None
    if found is None:
        found = find_cuts(survey, grid, reader)
        if kept is not None:
            kept.note(name, list(found))
    return tuple(found)


def _judge(
    system: ParsingSystem, windows: Sequence[WindowPlace], gatherer: Gatherer, gate: str, probs: Merger, gates: Merger
) -> None:
    """Add what the system says of some windows, where their streams are there."""
    answer = system.judge(windows, gatherer.gather(windows))
    gated = _gated(answer, gate, len(windows[0].valid))
    for row, window in enumerate(windows):
        here = window.present[:, :, None] & window.valid[:, None, None]
        probs.add(window.start, np.where(here, answer.segment[row], np.nan).astype(np.float32))
        gates.add(window.start, np.where(here, gated[row], np.nan).astype(np.float32))


def _gated(answer: WindowProbs, gate: str, segments: int) -> np.ndarray:
    """float32 [B, T, M, C], the probability the gate reads in every segment of each window; NaN without a gate."""
    shape = (len(answer.segment), segments, *answer.segment.shape[2:])
    if gate == "none":
        return np.full(shape, np.nan, np.float32)
    assert answer.clip is not None  # see `rule_of`
    known = {"clip_probs": answer.clip, "modality_probs": None if answer.modality is None else answer.modality}
    absent = np.isnan(answer.segment).any(axis=1)  # [B, M, C]
    filled = {name: None if probs is None else np.nan_to_num(probs) for name, probs in known.items()}
    read = gate_probs(np.nan_to_num(answer.segment), gate=gate, **filled)
    gated = np.where(absent, np.nan, np.stack([probs for probs in read if probs is not None], axis=1))
    return np.broadcast_to(gated[:, None], shape)


def _batch_size(survey: MediaSurvey, system: ParsingSystem, options: ParseOptions) -> int:
    """Windows that go through the networks together: fewer of large frames, which teachers hold as floats."""
    pixels = min((survey.width or 1) * (survey.height or 1), KEPT_PIXELS) * system.grid.num_segments
    return max(1, min(options.windows_per_batch, BATCH_PIXELS // pixels))


@dataclass
class _Progress:
    """Moves a bar by seconds of media, window by window."""

    bar: Bar | None
    seconds: float
    windows: int
    done: int = 0

    def __post_init__(self) -> None:
        """Say how long it will be."""
        if self.bar is not None:
            self.bar.reset(total=self.seconds)

    def by(self, windows: int) -> None:
        """So many windows more are parsed."""
        before, self.done = self.done, self.done + windows
        if self.bar is not None:
            self.bar.update(self.seconds * (self.done - before) / self.windows)


def _media_info(survey: MediaSurvey, kept: KeptFolder | None = None, *, hashed: bool) -> MediaInfo:
    facts = survey.path.stat()
    sha256 = kept.recall("sha256") if hashed and kept is not None else None
    if hashed and sha256 is None:
        sha256 = file_sha256(survey.path)
        if kept is not None:
            kept.note("sha256", sha256)
    return MediaInfo(
        name=survey.path.name,
        path=str(survey.path.absolute()),
        duration=round(survey.seconds, 6),
        start_time=survey.start_time,
        has_audio=survey.audio_seconds is not None,
        has_visual=survey.video_seconds is not None,
        width=survey.width,
        height=survey.height,
        frame_rate=survey.frame_rate,
        constant_rate=survey.constant_rate,
        audio_track=survey.audio_track,
        audio_tracks=survey.audio_tracks,
        sha256=sha256,
        size=facts.st_size,
        modified=modified_at(facts),
    )


def caveats(system: ParsingSystem) -> tuple[str, ...]:
    """What is to be said of everything the system parses."""
    return by_drawings(teacher.identity() for teacher in system.teachers)


def _notes(survey: MediaSurvey, found: Sequence[str]) -> tuple[str, ...]:
    """What is odd about a file that could be parsed, as its packets say and as was found while decoding it."""
    notes = [*survey.notes, *survey.oddities, *found]
    if survey.missing_seconds > CUT_OFF_SECONDS:
        notes.append(
            f"ends at {survey.seconds:.1f} s of the {survey.promised_seconds:.1f} s its header says; was it cut off?"
        )
    if len(survey.audio_tracks) > 1:
        tracks = listed_tracks(survey.audio_tracks)
        notes.append(f"has several audio tracks ({tracks}); track {survey.audio_track} was heard")
    if len(survey.video_tracks) > 1:
        tracks = listed_tracks(survey.video_tracks)
        notes.append(f"has several pictures ({tracks}); picture {survey.video_track} alone was looked at")
    for note in notes:
        _LOG.warning("%s: %s", survey.path.name, note)
    return tuple(notes)


def describe_options(system: ParsingSystem, options: ParseOptions) -> dict[str, Any]:
    """What `Parse.system` will say: by it a parse is known to be of this system and these windows."""
    hop = options.hop or max(1, system.grid.num_segments // 2)
    track = {} if options.audio_track is None else {"audio_track": options.audio_track}
    given = options.cuts if options.cuts == AUTO else list(options.cuts)
    cuts = {} if options.cuts == NONE else {"cuts": given, "shots": "begin at cuts"}  # once at the nearest second
    frames = {"frames": SHARED} if options.frames == SHARED else {}
    windows = {"segments": system.grid.num_segments, "hop": hop, **cuts, **frames}
    return {**system.describe(), "windows": windows, **track}
