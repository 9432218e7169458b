"""The harvest loop: clips and tags -> cached evidence. Skips what is done, records what fails, can be resumed."""

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from .clip_media import FAILURES, Grid
from .decode_pool import DecodeLimits, usable_cores
from .engine import Batch, Clock, Decoding, Engine, LocalEngine
from .evidence import NEEDS, Teacher
from .manifest import HarvestManifest, find_media
from .shard_evidence import ShardEvidence
from .shard_plan import ShardPlan, check_tags, damaged_shards, new_shards, shards_to_mend
from .shards import Marker, ShardRow, finish_rewrites, read_markers, read_shard, write_failures, write_shard
from .share import WHOLE, Share
from .store import describe, open_store
from .store_files import list_lock, remove_leftovers, write_lock

logger = logging.getLogger(__name__)

RETRIED = ("undecodable", "timeout")
"""Statuses of clips that `HarvestOptions.retry` has read again; missing ones are whenever their file has come."""


@dataclass(frozen=True, kw_only=True)
class HarvestOptions:
    """How clips become evidence. Only `grid` changes the evidence; the rest is about time and memory."""

    grid: Grid = field(default_factory=Grid)
    """Segment grid; its sample rate is replaced by the one the teachers hear at."""
    shard_size: int = 256
    """Clips per shard, which is what an interruption can cost."""
    clips_per_batch: int = 4
    """Clips given to a teacher together."""
    decode_workers: int = field(default_factory=usable_cores)
    """Processes that decode; 0 decodes in this one, without limits, for a debugger."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    """What decoding one clip may take."""
    retry: bool = False
    """Whether clips that could not be decoded, or not in time, are read again."""
    share: Share = WHOLE
    """Which shards this run makes, where several runs divide a manifest."""

    def __post_init__(self) -> None:
        """Refuse values that would do nothing."""
        for name, least in (("shard_size", 1), ("clips_per_batch", 1), ("decode_workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class HarvestReport:
    """What a run found. Rows are those of the manifest, in its order, as far as they are in the share of the run."""

    folder: Path
    """The fingerprint folder with the evidence."""
    rows: tuple[ShardRow, ...]
    skipped: int
    """Clips that were already in the store."""
    seconds: float
    """Wall time of this run."""
    clock: Clock = field(default_factory=Clock)
    """Where these went."""

    @property
    def failures(self) -> tuple[ShardRow, ...]:
        """Clips with a status that counts as a failure (`label_harvest.clip_media.FAILURES`)."""
        return tuple(row for row in self.rows if row.status in FAILURES)

    @property
    def counts(self) -> dict[str, int]:
        """Clips by status, most frequent first."""
        return dict(Counter(row.status for row in self.rows).most_common())


def harvest(
    manifest: HarvestManifest,
    videos: str | Path,
    store: str | Path,
    teachers: Sequence[Teacher],
    *,
    options: HarvestOptions | None = None,
    progress: bool = True,
    engine: Engine | None = None,
) -> HarvestReport:
    """Decode every clip once, let every teacher judge it, and cache the answers.

    Clips that are in the store already are skipped, so an interrupted run resumes and a longer manifest appends. Clips
    that cannot be used become rows with a status and are listed in `failures.csv`; they do not stop the run. Whatever
    ends a run, a later one makes of the store what an undisturbed one had made, to the byte.

    Args:
        manifest: Clips and their tags.
        videos: Folder of media files, see `find_media`.
        store: Folder of evidence stores; the fingerprint of the teachers and the grid names the one inside.
        teachers: One per role; either an audio and a visual one, only one of these, or a fused one beside or instead.
        options: None for the defaults.
        progress: Whether to show a progress bar with the time left on stderr.
        engine: Who decodes and judges; None for this process. With an engine that has teachers of its own, `teachers`
            say who they are.

    Raises:
        ValueError: Two teachers share a role or hear at different rates, the folders cannot be used, a clip has two
            candidate files, another run is writing, or the store holds a clip with other tags.
        OSError: The disk is full, or decoding processes do not work on this machine.
    """
    options, engine = options or HarvestOptions(), engine or LocalEngine(teachers)
    started = time.monotonic()
    grid = _grid_of(options.grid, teachers)
    paths = find_media(videos, manifest.clip_ids)
    identities = {teacher.role: teacher.identity() for teacher in teachers}
    folder = open_store(store, describe(manifest.class_names, dataclasses.asdict(grid), identities))
    with write_lock(folder, options.share):
        remove_leftovers(folder, options.share)
        finish_rewrites(folder, options.share.holds)
        markers = read_markers(folder)
        check_tags(manifest, markers)
        plans = _plan(manifest, folder, markers, paths, options)
        mine = {index: marker.rows for index, marker in markers.items() if options.share.holds(index)}
        paths = {**paths, **find_media(videos, _strangers(plans, paths))}
        run = _Run(folder, paths, teachers, dataclasses.replace(options, grid=grid), engine)
        made = run.make(plans, _bar(plans, mine, manifest, folder, enabled=progress))
        with list_lock(folder):
            rows = [row for _, marker in sorted(read_markers(folder).items()) for row in marker.rows]
            write_failures(folder, [row for row in rows if row.status in FAILURES])
    seconds = time.monotonic() - started
    if made:
        logger.info("%.2f clips/s, %s", _num_clips(plans) / seconds, engine.clock)
    found = {row.clip_id: row for rows in {**mine, **made}.values() for row in rows}
    rows = tuple(found[clip_id] for clip_id in manifest.clip_ids if clip_id in found)
    skipped = len(rows) - _num_clips(plans)
    return HarvestReport(folder, rows, skipped, seconds, engine.clock)


def _grid_of(grid: Grid, teachers: Sequence[Teacher]) -> Grid:
    """The grid at the one sample rate the teachers hear at."""
    roles = [teacher.role for teacher in teachers]
    if len(set(roles)) != len(roles):
        raise ValueError(f"teachers must have different roles, got {roles}; pass one per role")
    rates = {teacher.sample_rate for teacher in teachers} - {None}
    if len(rates) > 1:
        raise ValueError(f"teachers must hear at one sample rate, got {sorted(rates)} Hz; harvest into two stores")
    return dataclasses.replace(grid, sample_rate=rates.pop()) if rates else grid


def _plan(
    manifest: HarvestManifest,
    folder: Path,
    markers: Mapping[int, Marker],
    paths: Mapping[str, Path | None],
    options: HarvestOptions,
) -> list[ShardPlan]:
    """The shards this run has to make, in the order of their numbers."""
    mine = {index: marker for index, marker in markers.items() if options.share.holds(index)}
    damaged = damaged_shards(manifest, mine, folder)
    statuses = ("missing", *RETRIED) if options.retry else ("missing",)
    new = [plan for plan in new_shards(manifest, markers, options.shard_size) if options.share.holds(plan.index)]
    plans = [*damaged, *shards_to_mend(mine, paths, damaged, statuses), *new]
    return sorted(plans, key=lambda plan: plan.index)


def _strangers(plans: Sequence[ShardPlan], paths: Mapping[str, Path | None]) -> list[str]:
    """Clips of another manifest that share a shard with clips to be read again."""
    return [row.clip_id for plan in plans for row in plan.rows if row.clip_id not in paths]


def _num_clips(plans: Sequence[ShardPlan]) -> int:
    """Clips of which something new will be known."""
    return sum(len(plan.rows) if plan.again is None else len(plan.again) for plan in plans)


def _bar(
    plans: Sequence[ShardPlan],
    mine: Mapping[int, Sequence[ShardRow]],
    manifest: HarvestManifest,
    folder: Path,
    *,
    enabled: bool,
) -> tqdm:
    """The progress bar, and a word on what needs none."""
    todo, wanted = _num_clips(plans), set(manifest.clip_ids)
    cached = sum(row.clip_id in wanted for rows in mine.values() for row in rows)
    cached -= sum(_num_clips([plan]) for plan in plans if plan.index in mine)
    if cached:
        logger.info("%s: %d of %d clips are cached already", folder, cached, cached + todo)
    return tqdm(total=todo, desc="harvest", unit="clip", disable=not (enabled and todo))


@dataclass(frozen=True)
class _Run:
    """What the steps of one run share."""

    folder: Path
    paths: Mapping[str, Path | None]
    teachers: Sequence[Teacher]
    options: HarvestOptions
    """With the grid the teachers need."""
    engine: Engine

    def make(self, plans: Sequence[ShardPlan], bar: tqdm) -> dict[int, tuple[ShardRow, ...]]:
        """Make the shards; a shard is written when its last batch is judged.

        Returns:
            Rows by the number of their shard.
        """
        made: dict[int, tuple[ShardRow, ...]] = {}
        begun: dict[int, ShardEvidence] = {}
        failed = 0
        with bar, closing(self.engine.judged(self._batches(plans, begun), self._decoding())) as judged:
            for batch, found in judged:
                shard = begun[batch.shard]
                shard.add(batch.positions, found.rows, found.answers)
                again = shard.plan.again
                bar.update(len(batch.positions) if again is None else len(again.intersection(batch.positions)))
                failed += sum(row.status in FAILURES for row in found.rows)
                if failed:
                    bar.set_postfix(failed=failed)
                if shard.is_complete:
                    made[batch.shard] = tuple(shard.rows)
                    if shard.is_changed:
                        write_shard(self.folder, batch.shard, shard.arrays(), shard.rows)
                    del begun[batch.shard]
        return made

    def _decoding(self) -> Decoding:
        """How clips are decoded; all frame slots are handed over where a teacher looks at them."""
        slots = any("slots" in NEEDS[teacher.role] for teacher in self.teachers)
        options = self.options
        return Decoding(grid=options.grid, limits=options.limits, workers=options.decode_workers, slots=slots)

    def _batches(self, plans: Sequence[ShardPlan], begun: dict[int, ShardEvidence]) -> Iterator[Batch]:
        """Batches of all shards; a shard is begun when its first batch is asked for."""
        for plan in plans:
            batches = list(plan.batches(self.options.clips_per_batch))
            old = {} if plan.again is None else read_shard(self.folder, plan.index)[1]
            begun[plan.index] = ShardEvidence(plan, self.teachers, self.options.grid.num_segments, old, len(batches))
            for positions in batches:
                rows = tuple(plan.rows[position] for position in positions)
                yield Batch(plan.index, positions, rows, tuple(self.paths[row.clip_id] for row in rows))
