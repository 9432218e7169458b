"""The harvest loop: clips and tags -> cached evidence. Skips what is done, records what fails, can be resumed."""

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from .cores import usable_cores
from .did_you_mean import did_you_mean
from .engine import Batch, Clock, Decoding, Engine, LocalEngine
from .inputs import CHANGED, Scope
from .media.clip import CLIP, FAILURES, LENGTHS, STATUSES, Grid
from .media.decoders import PYAV, check_decoder
from .media.process import DecodeLimits
from .media.tracks import check_track
from .places.elsewhere import Media
from .places.place import Place
from .progress import LINE_SECONDS, Progress
from .store.evidence import ShardEvidence
from .store.listing import has_lost_list, write_list
from .store.manifest import HarvestManifest
from .store.origins import note_own_files, own_digests, write_origins
from .store.owed import write_owed
from .store.plan import ShardPlan, check_tags, damaged_shards, named_as_in_store, replaced_files
from .store.shards import (
    LIST,
    KnownClip,
    Marker,
    Markers,
    ShardRow,
    finish_rewrites,
    known_clips,
    read_marker,
    read_shard,
    write_failures,
    write_shard,
)
from .store.share import WHOLE, Share, list_lock, remove_leftovers, runs_at_work, write_lock
from .store.store import describe, open_store
from .store.tars import TarIndex
from .store.videos import Videos, find_clips, listable
from .teachers.own import check_members
from .teachers.teacher import Teacher, needs_of
from .unjudged import have_judged, settled
from .whole import WholeEngine

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

RETRIED = ("undecodable", "timeout", "unjudged")
"""Statuses of clips that are read again when nothing else is asked for."""
LONGEST_SECONDS = 86_400.0
"""A clip may be given a day; the system's clocks do not take much more."""
_MOST_MEMORY = 2**30
"""MiB a clip may be given; the system counts bytes in 64 bits."""


@dataclass(frozen=True, kw_only=True)
class HarvestOptions:
    """How clips become evidence. Only grid, decoder and audio track change it; the rest is about time and memory."""

    grid: Grid = field(default_factory=Grid)
    """Segment grid; its sample rate is replaced by the one the teachers hear at."""
    segment_seconds: float | None = None
    """Cut the grid into segments of this length; finer than a second for teachers that can tell such segments apart
    (those of the data set, LLP's last a second)."""
    shard_size: int = 256
    """Clips per file of the store, which is what an interruption can cost."""
    clips_per_batch: int = 4
    """Clips given to a teacher together. Another number may round the last bit of evidence differently."""
    preparers: int = 1
    """Threads that bring decoded clips to what the networks take in; beside a GPU one may be too slow."""
    decode_workers: int = field(default_factory=usable_cores)
    """Processes that decode (one per core); 0 decodes without them and without limits, for a debugger."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    """What decoding one clip may take."""
    decoder: str = PYAV
    """Library that decodes the clips; all but pyav are extras to install, and a store is of one decoder. Whatever else
    reads media takes pyav."""
    audio_track: str | None = None
    """Which of several audio tracks of a clip is heard: its position, from 0 as FFmpeg's 0:a:N counts, or its language,
    such as eng (the one FFmpeg plays); a store is of one choice."""
    length: str = CLIP
    """How much of a clip is read: its first ten segments (clip), all of it (whole), or all of it in windows that
    overlap by half (windows); a store is of one choice. Of what is cut off, the status and the end of the run say how
    much it was."""
    retry: tuple[str, ...] = ()
    """Clips with these statuses are read again, and with `CHANGED` those whose file has another size now. Missing ones
    always are, once their file has come. What cannot be read this time keeps the evidence it has."""
    log_json: Path | None = None
    """Append progress to this file, an object of JSON a line: clips done, in all and failed, clips a second, seconds
    left, the last shard; when the run starts, ends, has written a shard, and every so often."""
    log_every: float = LINE_SECONDS
    """Seconds between such lines, and between those that stand for a progress bar where stderr is no terminal."""
    allow_edited: bool = False
    """Go on in a store that was begun with another version of the file of a teacher of one's own, where both judge
    alike; the marker of each shard has the sha256 of the file it is by."""
    share: Share = WHOLE
    """Do the i-th of n shares, such as 1/4; runs of all shares may work on one store at the same time, or on stores of
    their own that `valor store merge` unites."""

    def __post_init__(self) -> None:
        """Refuse values that would do nothing."""
        for name, least in (("shard_size", 1), ("clips_per_batch", 1), ("preparers", 1), ("decode_workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.segment_seconds is not None:
            object.__setattr__(self, "grid", self.grid.of_segments(self.segment_seconds))
        check_track(self.audio_track)
        if self.length not in LENGTHS:
            raise ValueError(
                f"length must be one of {', '.join(LENGTHS)}, got {self.length!r}{did_you_mean(self.length, LENGTHS)}"
            )
        if self.length != CLIP and self.decoder != PYAV:
            raise ValueError(f"{self.decoder} reads clips of one length alone; choose decoder={PYAV} or length={CLIP}")
        if not 0 <= self.log_every <= LONGEST_SECONDS:
            raise ValueError(f"log_every must be from 0 to {LONGEST_SECONDS:g} s, got {self.log_every:g}")
        if not self.limits.seconds <= LONGEST_SECONDS:
            raise ValueError(
                f"the time limit of a clip must be at most {LONGEST_SECONDS:g} s (a day), got {self.limits.seconds:g}"
            )
        if self.limits.memory > _MOST_MEMORY:
            raise ValueError(f"the memory limit of a clip must be at most {_MOST_MEMORY} MiB, got {self.limits.memory}")
        unknown = [status for status in self.retry if status not in (*STATUSES, CHANGED)]
        if unknown:
            known = (*STATUSES, CHANGED, *_GROUPS)
            named, near = ", ".join(known), did_you_mean(unknown[0], known)
            raise ValueError(f"clips to be read again are named by {named}, got {unknown[0]!r}{near}")

    @property
    def scope(self) -> Scope:
        """Which shards the run makes."""
        return Scope(shard_size=self.shard_size, retry=self.retry, share=self.share)


_GROUPS = {"failed": FAILURES, "all": STATUSES}
"""What several statuses are called together."""


def read_retry(text: str) -> tuple[str, ...]:
    """Read which clips are to be read again: statuses, `changed`, `failed` or `all`, joined by commas.

    >>> read_retry("short,changed")
    ('short', 'changed')
    """
    words = filter(None, (word.strip() for word in text.split(",")))
    return tuple(dict.fromkeys(status for word in words for status in _GROUPS.get(word, (word,))))


@dataclass(frozen=True, repr=False)
class HarvestReport:
    """What a run found. Rows are those of the manifest, in its order, as far as they are in the share of the run."""

    folder: Place
    """The fingerprint folder with the evidence."""
    rows: tuple[KnownClip, ...]
    skipped: int
    """Clips that were already in the store."""
    seconds: float
    """Wall time of this run."""
    clock: Clock = field(default_factory=Clock)
    """Where these went."""

    def to_frame(self) -> "pd.DataFrame":
        """The clips as a table, a row each: clip_id, status, message."""
        import pandas as pd

        rows = [(row.clip_id, row.status, row.message) for row in self.rows]
        return pd.DataFrame(rows, columns=["clip_id", "status", "message"])

    def __repr__(self) -> str:
        """How many clips are how, and where their evidence lies."""
        counts = ", ".join(f"{count:,} {status}" for status, count in self.counts.items()) or "none"
        return f"Harvest of {len(self.rows):,} clips in {self.folder}: {counts}"

    def _repr_html_(self) -> str:
        """What notebooks show: that line, and the clips that failed."""
        frame = self.to_frame()
        lost = frame[frame["status"].isin(list(FAILURES))]
        return f"<p>{escape(repr(self))}</p>{lost.head(12).to_html(border=0) if len(lost) else ''}"

    @property
    def failures(self) -> tuple[KnownClip, ...]:
        """Clips with a status that counts as a failure (`valor.label_harvest.media.clip.FAILURES`)."""
        return tuple(row for row in self.rows if row.status in FAILURES)

    @property
    def longer(self) -> tuple[KnownClip, ...]:
        """Clips that go on behind the grid, each with the seconds that were not read."""
        return tuple(row for row in self.rows if row.unread_seconds)

    @property
    def counts(self) -> dict[str, int]:
        """Clips by status, most frequent first."""
        return dict(Counter(row.status for row in self.rows).most_common())


def harvest(
    manifest: HarvestManifest,
    videos: Videos,
    store: str | Place,
    teachers: Sequence[Teacher],
    *,
    options: HarvestOptions | None = None,
    progress: bool = True,
    engine: Engine | None = None,
    media: Mapping[str, Media | None] | None = None,
) -> HarvestReport:
    """Decode every clip once, let every teacher judge it, and cache the answers.

    Clips that are in the store already are skipped, so an interrupted run resumes and a longer manifest appends. Clips
    that cannot be used become rows with a status and are listed in `failures.csv`; they do not stop the run. Whatever
    ends a run, a later one makes of the store what an undisturbed one had made, to the byte.

    Args:
        manifest: Clips and their tags.
        videos: Where the media lie, one place or several, see `find_clips`.
        store: Folder of evidence stores; the fingerprint of the teachers and the grid names the one inside.
        teachers: One per role; either an audio and a visual one, only one of these, or a fused one beside or instead.
        options: None for the defaults.
        progress: Whether to show a progress bar with the time left on stderr.
        engine: Who decodes and judges; None for this process. With an engine that has teachers of its own, `teachers`
            say who they are.
        media: The file of each clip, where `check_inputs` has looked already; None looks now.

    Raises:
        ValueError: Two teachers share a role or hear at different rates, the decoder cannot be used here or is not that
            of the store, the folders cannot be used, a clip has two candidate files, another run is writing, or the
            store holds a clip with other tags.
        OSError: The disk is full, or decoding processes do not work on this machine.
    """
    options = options or HarvestOptions()
    started, facts = time.monotonic(), {"share": str(options.share), "store": str(store)}
    with ExitStack() as held:
        said = held.enter_context(Progress(options.log_json, facts, every=options.log_every))
        engine = engine or _engine_here(teachers, options)
        check_decoder(options.decoder)
        grid = _grid_of(options.grid, teachers)
        tars = TarIndex(store, keep=True)
        paths = find_clips(videos, manifest.clip_ids, manifest.paths, tars=tars) if media is None else media
        folder = _store_for(manifest.class_names, grid, teachers, options, store)
        said.found({"store": str(folder)})
        held.enter_context(write_lock(folder, options.share))
        remove_leftovers(folder, options.share)
        finish_rewrites(folder, options.share.holds)
        there = Markers(folder)
        markers = there.read()
        files = [paths[clip_id] for clip_id in manifest.clip_ids]
        manifest = named_as_in_store(manifest, markers)
        paths = dict(zip(manifest.clip_ids, files, strict=True))
        check_tags(manifest, markers)
        _note_other_cut(folder, markers, options)
        with list_lock(folder):
            note_own_files(folder, teachers, markers, allow_edited=options.allow_edited)
            if not (folder / LIST).is_file() and not has_lost_list(folder, markers):  # a lost one once all is there
                write_list(folder, markers)
            write_owed(folder, manifest.clip_ids, markers)
        plans = _plan(manifest, folder, markers, paths, options)
        mine = {index: marker.clips for index, marker in markers.items() if options.share.holds(index)}
        # clips of another manifest that share a shard with clips to be read again
        if strangers := [row.clip_id for plan in plans for row in plan.rows if row.clip_id not in paths]:
            paths = {**paths, **find_clips(listable(videos), strangers, tars=tars)}
        named = {clip_id: path for clip_id, path in zip(manifest.clip_ids, manifest.paths, strict=True) if path}
        run = _Run(folder, paths, named, teachers, dataclasses.replace(options, grid=grid), engine)
        _start(said, plans, mine, manifest, folder, bar=progress)
        made = run.make(plans, said, are_proven=have_judged(markers))
        _write_lists(folder, there, teachers)
        found = {row.clip_id: row for rows in {**mine, **made}.values() for row in rows}
        rows = tuple(found[clip_id] for clip_id in manifest.clip_ids if clip_id in found)
        said.end({"clips": len(rows), "by_status": dict(Counter(row.status for row in rows).most_common())})
    seconds = time.monotonic() - started
    if made:
        logger.info("%.2f clips/s, %s", _num_clips(plans) / seconds, engine.clock)
    skipped = len(rows) - _num_clips(plans)
    return HarvestReport(folder, rows, skipped, seconds, engine.clock)


def _engine_here(teachers: Sequence[Teacher], options: HarvestOptions) -> Engine:
    """Who decodes and judges in this process, once the teachers are sure to have what they are asked."""
    for teacher in teachers:
        check_members(teacher)
    if options.length == CLIP:
        return LocalEngine(teachers)
    return WholeEngine(teachers, length=options.length, windows_per_batch=options.clips_per_batch)


def _grid_of(grid: Grid, teachers: Sequence[Teacher]) -> Grid:
    """The grid at the one sample rate the teachers hear at."""
    roles = [teacher.role for teacher in teachers]
    if len(set(roles)) != len(roles):
        raise ValueError(f"teachers must have different roles, got {roles}; pass one per role")
    rates = {teacher.sample_rate for teacher in teachers if teacher.sample_rate is not None}
    if len(rates) > 1:
        raise ValueError(f"teachers must hear at one sample rate, got {sorted(rates)} Hz; harvest into two stores")
    return dataclasses.replace(grid, sample_rate=rates.pop()) if rates else grid


def _store_for(
    class_names: Sequence[str], grid: Grid, teachers: Sequence[Teacher], options: HarvestOptions, store: str | Place
) -> Place:
    """The fingerprint folder of what changes evidence, opened or made in a folder of stores."""
    return open_store(
        store,
        describe(
            class_names,
            dataclasses.asdict(grid),
            {teacher.role: teacher.identity() for teacher in teachers},
            decoder=options.decoder,
            audio_track=options.audio_track and options.audio_track.lower(),
            length=options.length,
        ),
    )


def _write_lists(folder: Place, there: Markers, teachers: Sequence[Teacher]) -> None:
    """Write what stands beside the shards: clips that failed or are owed, where weights come from, which shards."""
    with list_lock(folder):
        markers = there.read()
        write_failures(folder, [row for row in known_clips(markers) if row.status in FAILURES])
        write_origins(folder, teachers)
        write_list(folder, markers)
        write_owed(folder, (), markers)


def _plan(
    manifest: HarvestManifest,
    folder: Place,
    markers: Mapping[int, Marker],
    paths: Mapping[str, Media | None],
    options: HarvestOptions,
) -> list[ShardPlan]:
    """The shards this run has to make, in the order of their numbers."""
    mine = {index: marker for index, marker in markers.items() if options.share.holds(index)}
    damaged, replaced = damaged_shards(manifest, mine, folder), _replaced(mine, paths, options.retry)
    return options.scope.shards(manifest, folder, markers, paths, damaged=damaged, replaced=replaced)


def _note_other_cut(folder: Place, markers: Mapping[int, Marker], options: HarvestOptions) -> None:
    """A word where runs before this one cut the clips otherwise: tasks of one array must do it alike."""
    sizes = Counter(len(marker.clips) for marker in markers.values())
    largest = max(sizes, default=options.shard_size)
    if largest > options.shard_size or (largest < options.shard_size and sizes[largest] > 1):
        logger.log(
            logging.INFO if options.share.is_whole else logging.WARNING,
            "%s: has shards of %d clips, which stay; shard_size=%d cuts new ones alone, and tasks of one array must "
            "all have the same: `valor store verify STORE --manifest MANIFEST` says whether clips are in no shard",
            folder,
            largest,
            options.shard_size,
        )
    if options.share.is_whole:
        return
    begun = [
        share for shares in runs_at_work(folder) for share in shares if not share.endswith(f"/{options.share.count}")
    ]
    if begun:
        logger.warning(
            "%s: share %s was begun, and this is share %s: tasks of one array must all have the same number, or some "
            "clips are made by none; `valor store verify STORE --manifest MANIFEST` says which",
            folder,
            begun[0],
            options.share,
        )


def _replaced(mine: Mapping[int, Marker], paths: Mapping[str, Media | None], retry: Sequence[str]) -> list[KnownClip]:
    """Clips whose file was replaced; where they are not asked for, also a word on them."""
    replaced = replaced_files(mine, paths)
    unasked = [row.clip_id for row in replaced if row.status not in retry]
    if unasked and CHANGED not in retry:
        logger.warning(
            "%d clips have a file of another size than the one they were harvested from, such as %s; what the store "
            "holds of them stays: retry=changed reads them again, retry=all every clip",
            len(unasked),
            unasked[0],
        )
    return replaced


def _num_clips(plans: Sequence[ShardPlan]) -> int:
    """Clips of which something new will be known."""
    return sum(len(_asked(plan)) for plan in plans)


def _asked(plan: ShardPlan) -> Sequence[KnownClip]:
    """The clips of a shard that are read."""
    return plan.rows if plan.again is None else [plan.rows[n] for n in plan.again]


def _start(
    said: Progress,
    plans: Sequence[ShardPlan],
    mine: Mapping[int, Sequence[KnownClip]],
    manifest: HarvestManifest,
    folder: Place,
    *,
    bar: bool,
) -> None:
    """Begin to say how far the run is, with a word on what needs nothing."""
    todo, wanted = _num_clips(plans), set(manifest.clip_ids)
    held = [row for rows in mine.values() for row in rows if row.clip_id in wanted]
    cached = len(held) - sum(_num_clips([plan]) for plan in plans if plan.index in mine)
    again = {row.clip_id for plan in plans if plan.index in mine for row in _asked(plan)}
    before = sum(row.status in FAILURES and row.clip_id not in again for row in held)
    if cached:
        logger.info("%s: %d of %d clips are cached already", folder, cached, cached + todo)
    said.start(todo, bar=bar, cached=cached, failed_before=before)


@dataclass(frozen=True)
class _Run:
    """What the steps of one run share."""

    folder: Place
    paths: Mapping[str, Media | None]
    named: Mapping[str, str]
    """What the table says of where a clip is, of those it says it of."""
    teachers: Sequence[Teacher]
    options: HarvestOptions
    """With the grid the teachers need."""
    engine: Engine

    def make(self, plans: Sequence[ShardPlan], said: Progress, *, are_proven: bool) -> dict[int, tuple[KnownClip, ...]]:
        """Make the shards; a shard is written when its last batch is judged.

        Args:
            plans: What is to be made.
            said: Says how far it is.
            are_proven: Whether the teachers have judged clips of the store, see `settled`.

        Returns:
            Rows by the number of their shard.
        """
        made: dict[int, tuple[KnownClip, ...]] = {}
        begun: dict[int, ShardEvidence] = {}
        with closing(self.engine.judged(self._batches(plans, begun), self._decoding())) as judged:
            for batch, found in settled(judged, are_proven=are_proven):
                shard = begun[batch.shard]
                rows = [self._looked_for(row) for row in found.rows]
                shard.add(batch.positions, rows, found.answers)
                again = shard.plan.again
                new = [row for n, row in zip(batch.positions, rows, strict=True) if again is None or n in again]
                said.update(len(new), sum(row.status in FAILURES for row in new))
                if shard.is_complete:
                    made[batch.shard] = tuple(row.known for row in shard.rows)
                    arrays = shard.arrays()
                    if shard.differs(arrays):
                        write_shard(self.folder, batch.shard, arrays, shard.rows, self._own(shard))
                    del begun[batch.shard]
                    said.written(batch.shard, _num_clips([shard.plan]))
        return made

    def _looked_for(self, row: ShardRow) -> ShardRow:
        """A row of a clip that is not where its path leads says that path."""
        if row.status != "missing" or row.clip_id not in self.named:
            return row
        path = self.named[row.clip_id]
        tar, inside, member = path.partition(".tar/")
        where = f"no member {member} of {tar}.tar" if inside else f"no file {path}"
        return dataclasses.replace(row, message=f"{where} among the videos")

    def _own(self, shard: ShardEvidence) -> dict[str, list[str]]:
        """By which files of one's own a shard is, with those of what is left of it as it was."""
        own = {role: [digest] for role, digest in own_digests(self.teachers).items()}
        if shard.is_made_anew:
            return own
        was = read_marker(self.folder / f"{shard.plan.index:05d}.json").own
        return {role: list({*own.get(role, ()), *was.get(role, ())}) for role in {*own, *was}}

    def _decoding(self) -> Decoding:
        """How clips are decoded; all frame slots are handed over where a teacher looks at them."""
        slots = any("slots" in needs_of(teacher) for teacher in self.teachers)
        options = self.options
        return Decoding(
            grid=options.grid,
            limits=options.limits,
            workers=options.decode_workers,
            preparers=options.preparers,
            slots=slots,
            decoder=options.decoder,
            audio_track=options.audio_track,
        )

    def _batches(self, plans: Sequence[ShardPlan], begun: dict[int, ShardEvidence]) -> Iterator[Batch]:
        """Batches of all shards; a shard is begun when its first batch is asked for."""
        for plan in plans:
            batches = list(plan.batches(self.options.clips_per_batch))
            old = None if plan.again is None else read_shard(self.folder, plan.index)
            segments = self.options.grid.num_segments if self.options.length == CLIP else None
            begun[plan.index] = ShardEvidence(plan, self.teachers, segments, old, len(batches))
            for positions in batches:
                rows = tuple(plan.rows[position] for position in positions)
                yield Batch(plan.index, positions, rows, tuple(self.paths[row.clip_id] for row in rows))
