"""The harvest loop: clips and tags -> cached evidence. Skips what is done, records what fails, can be resumed."""

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .evidence import Evidence, Teacher
from .manifest import HarvestManifest, find_media
from .media import FAILURES, ClipMedia, Grid, MediaError, read_clip
from .store import ShardRow, describe, done_shards, open_store, write_failures, write_lock, write_shard

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HarvestOptions:
    """How clips become evidence. Only `grid` changes the evidence; the rest is about time and memory."""

    grid: Grid = field(default_factory=Grid)
    """Segment grid; its sample rate is replaced by the one the teachers hear at."""
    shard_size: int = 256
    """Clips per shard, which is what an interruption can cost."""
    clips_per_batch: int = 4
    """Clips in memory together, and given to a teacher together."""
    decode_workers: int = 2
    """Threads that decode the clips of a batch."""

    def __post_init__(self) -> None:
        """Refuse values that would do nothing."""
        for name in ("shard_size", "clips_per_batch", "decode_workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class HarvestReport:
    """What a run found. Rows are those of the manifest, in its order."""

    folder: Path
    """The fingerprint folder with the evidence."""
    rows: tuple[ShardRow, ...]
    skipped: int
    """Clips that were already in the store."""
    seconds: float
    """Wall time of this run."""

    @property
    def failures(self) -> tuple[ShardRow, ...]:
        """Clips with a status that counts as a failure (`label_harvest.media.FAILURES`)."""
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
) -> HarvestReport:
    """Decode every clip once, let every teacher judge it, and cache the answers.

    Clips that are in the store already are skipped, so an interrupted run resumes and a longer manifest appends. Clips
    that cannot be used become rows with a status and are listed in `failures.csv`; they do not stop the run.

    Args:
        manifest: Clips and their tags.
        videos: Folder of media files, see `find_media`.
        store: Folder of evidence stores; the fingerprint of the teachers and the grid names the one inside.
        teachers: One per role; either an audio and a visual one, only one of these, or a fused one beside or instead.
        options: None for the defaults.
        progress: Whether to show a progress bar with the time left on stderr.

    Raises:
        ValueError: Two teachers share a role or hear at different rates, the folders cannot be used, a clip has two
            candidate files, another run is writing, or the store holds a clip with other tags.
    """
    options = options or HarvestOptions()
    started = time.monotonic()
    grid = _grid_of(options.grid, teachers)
    paths = find_media(videos, manifest.clip_ids)
    identities = {teacher.role: teacher.identity() for teacher in teachers}
    folder = open_store(store, describe(manifest.class_names, dataclasses.asdict(grid), identities))
    with write_lock(folder):
        done = done_shards(folder)
        known = {row.clip_id: row for rows in done.values() for row in rows}
        todo = _undone_rows(manifest, known)
        skipped = len(manifest.clip_ids) - len(todo)
        if skipped:
            logger.info("%s: %d of %d clips are cached already", folder, skipped, len(manifest.clip_ids))
        with tqdm(total=len(todo), desc="harvest", unit="clip", disable=not (progress and todo)) as bar:
            free = _free_indices(done)
            for start in range(0, len(todo), options.shard_size):
                rows, arrays = _shard(todo[start : start + options.shard_size], paths, teachers, grid, options, bar)
                write_shard(folder, next(free), arrays, rows)
                known.update((row.clip_id, row) for row in rows)
        write_failures(folder, [row for row in known.values() if row.status in FAILURES])
    rows = tuple(known[clip_id] for clip_id in manifest.clip_ids)
    return HarvestReport(folder, rows, skipped, time.monotonic() - started)


def _grid_of(grid: Grid, teachers: Sequence[Teacher]) -> Grid:
    """The grid at the one sample rate the teachers hear at."""
    roles = [teacher.role for teacher in teachers]
    if len(set(roles)) != len(roles):
        raise ValueError(f"teachers must have different roles, got {roles}; pass one per role")
    rates = {teacher.sample_rate for teacher in teachers} - {None}
    if len(rates) > 1:
        raise ValueError(f"teachers must hear at one sample rate, got {sorted(rates)} Hz; harvest into two stores")
    return dataclasses.replace(grid, sample_rate=rates.pop()) if rates else grid


def _undone_rows(manifest: HarvestManifest, known: dict[str, ShardRow]) -> list[ShardRow]:
    """Rows still to be filled, in manifest order."""
    todo, changed = [], []
    for clip_id, labels in zip(manifest.clip_ids, manifest.weak_labels, strict=True):
        tags = tuple(manifest.class_names[index] for index in np.flatnonzero(labels))
        if clip_id not in known:
            todo.append(ShardRow(clip_id, "ok", "", tags))
        elif known[clip_id].tags != tags:
            changed.append(f"{clip_id} (store {','.join(known[clip_id].tags)}; manifest {','.join(tags)})")
    if changed:
        raise ValueError(
            f"the store holds {len(changed)} clips with other tags, such as {changed[0]}; "
            "mend the manifest or harvest into another store"
        )
    return todo


def _free_indices(done: dict[int, list[ShardRow]]) -> Iterator[int]:
    """Shard numbers without a finished shard, ascending, so that a resumed run writes the shards it would have."""
    index = 0
    while True:
        if index not in done:
            yield index
        index += 1


def _shard(
    rows: Sequence[ShardRow],
    paths: dict[str, Path | None],
    teachers: Sequence[Teacher],
    grid: Grid,
    options: HarvestOptions,
    bar: tqdm,
) -> tuple[list[ShardRow], dict[str, np.ndarray]]:
    """Evidence of one shard of clips, batch by batch."""
    filled: list[ShardRow] = []
    evidence: dict[str, list[Evidence | None]] = {teacher.role: [] for teacher in teachers}
    with ThreadPoolExecutor(options.decode_workers) as pool:
        for start in range(0, len(rows), options.clips_per_batch):
            batch = rows[start : start + options.clips_per_batch]
            medias = list(pool.map(lambda row: _read(paths[row.clip_id], row, grid), batch))
            for teacher in teachers:
                evidence[teacher.role].extend(_encode(teacher, medias))
            filled.extend(row for row, _ in medias)
            bar.update(len(batch))
            failed = sum(row.status in FAILURES for row in filled)
            if failed:
                bar.set_postfix(failed=failed)
    arrays: dict[str, np.ndarray] = {}
    for teacher in teachers:
        arrays.update(_stack(teacher, evidence[teacher.role], grid.num_segments))
    return filled, arrays


def _read(path: Path | None, row: ShardRow, grid: Grid) -> tuple[ShardRow, ClipMedia | None]:
    """Decode one clip; trouble becomes the status of its row."""
    if path is None:
        return dataclasses.replace(row, status="missing", message="no file of this name among the videos"), None
    try:
        media = read_clip(path, grid=grid)
    except MediaError as error:
        return dataclasses.replace(row, status=error.status, message=str(error)), None
    provenance = {"file": path.name, **media.provenance}
    return dataclasses.replace(row, status=media.status, message=media.message, provenance=provenance), media


def _encode(teacher: Teacher, clips: Sequence[tuple[ShardRow, ClipMedia | None]]) -> list[Evidence | None]:
    """Evidence of the clips that have the streams the teacher needs, None for the others."""
    usable = {row.clip_id: media for row, media in clips if media is not None and _has_streams(teacher, media)}
    answers: dict[str, Evidence] = {}
    if usable:
        for clip_id, answer in zip(usable, teacher.encode_many(list(usable.values())), strict=True):
            _check_finite(teacher, clip_id, answer)
            answers[clip_id] = _mask_absent(answer, usable[clip_id]) if teacher.role != "audio" else answer
    return [answers.get(row.clip_id) for row, _ in clips]


def _check_finite(teacher: Teacher, clip_id: str, answer: Evidence) -> None:
    """Refuse evidence the store could not hold: NaN would read as absent."""
    largest = np.finfo(np.float16).max
    for name, array in {"similarity": answer.similarity, **answer.features}.items():
        if not (np.abs(array) <= largest).all():
            raise ValueError(
                f"{clip_id}: {name} of the {teacher.role} teacher must be finite and at most {largest:.0f}, got NaN or "
                "more; check its weights"
            )


def _has_streams(teacher: Teacher, media: ClipMedia) -> bool:
    """Whether the clip has what the role of the teacher needs."""
    seen, heard = media.frames is not None, media.waveform is not None
    return {"visual": seen, "audio": heard, "fused": seen and heard}[teacher.role]


def _mask_absent(answer: Evidence, media: ClipMedia) -> Evidence:
    """NaN for the segments past the end of a short video, in every array that has one row per segment."""
    if media.frames_present is None or media.frames_present.all():
        return answer
    absent = ~media.frames_present

    def masked(array: np.ndarray) -> np.ndarray:
        return np.where(absent[:, None], np.array(np.nan, array.dtype), array) if len(array) == len(absent) else array

    features = {name: masked(array) for name, array in answer.features.items()}
    return Evidence(features, masked(answer.similarity))


def _stack(teacher: Teacher, answers: Sequence[Evidence | None], num_segments: int) -> dict[str, np.ndarray]:
    """Arrays of one teacher for a shard: float32 similarity, float16 features, NaN where a clip has no evidence."""
    num_classes = len(teacher.identity()["prompts"])
    arrays = {f"{teacher.role}.similarity": np.full((len(answers), num_segments, num_classes), np.nan, np.float32)}
    for row, answer in enumerate(answers):
        if answer is None:
            continue
        arrays[f"{teacher.role}.similarity"][row] = answer.similarity
        for feature, array in answer.features.items():
            name = f"{teacher.role}.{feature}"
            if name not in arrays:
                arrays[name] = np.full((len(answers), *array.shape), np.nan, np.float16)
            arrays[name][row] = array
    return arrays
