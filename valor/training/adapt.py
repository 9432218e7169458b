"""Adapters trained in a frozen visual tower, on decoded clips and their tags, with the loss of a parser.

A small parser sits on what comes out of the tower for sound and for picture; its loss goes back through the frozen
layers to the adapters. The parser is thrown away: the adapters are what is kept, to harvest features with. What goes
into the tower is kept in RUN/clips, so that a stopped run decodes nothing twice, and the last whole epoch in
RUN/last.safetensors; both are removed at the end.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from valor.adapted.card import CARD, SEGMENT_SECONDS, WEIGHTS, AdapterCard, AdaptOptions, check_tower, read_card
from valor.adapted.extractor import write_adapters
from valor.adapted.towers import Tower, build_tower
from valor.data.datasets.dataset import DataSet
from valor.data.datasets.to_harvest import grid_of
from valor.data.label_file import read_pseudo_labels
from valor.data.tables import Split
from valor.label_harvest.cores import usable_cores
from valor.label_harvest.disk import locked
from valor.label_harvest.media.clip import ClipMedia, Grid, MediaError
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.videos import find_media
from valor.label_harvest.teachers.demo import SAMPLE_RATE
from valor.parsers.build import build_parser
from valor.parsers.losses import loss_terms, total_loss
from valor.parsers.options import ParserOptions

from .checkpoint import Progress, read_resume_point, read_tensors, write_resume_point, write_tensors
from .options import FitOptions

_LOG = logging.getLogger(__name__)
CLIPS, LAST, LOCK = "clips", "last.safetensors", "lock"
LEAST = 8
"""Clips with sound and picture below which nothing is trained."""
CLIPPED = 1.0
"""Norm that gradients are cut to."""
SMOOTHING = (FitOptions.audio_smoothing, FitOptions.visual_smoothing)
"""Of the guided loss, which tags alone are charged with."""
HIDDEN = 128
"""Width of the parser whose loss trains the adapters."""
GATES = 10
"""How much faster than the rest gates learn: while one is closed nothing goes through to the other."""


@dataclass(frozen=True, eq=False)
class AdaptResult:
    """Adapters that were trained."""

    clips: int
    losses: tuple[float, ...]
    """Mean of each epoch."""
    adapter_weights: int
    tower_weights: int
    problems: tuple[str, ...]
    """Of clips that were left out, a sentence each."""
    is_new: bool = True
    """Whether this call trained them."""


class Clips(NamedTuple):
    """What is trained on."""

    files: tuple[Path, ...]
    """What goes into the tower, of each clip."""
    tags: Tensor
    """float32 [N, C]."""
    labels: Tensor | None
    """float32 [N, T, M, C]; None to train on tags alone."""


class Adapted(nn.Module):
    """Adapters and the parser on top; the tower is no part of it."""

    def __init__(self, tower: Tower, num_classes: int) -> None:
        """Make both, from torch's generator."""
        super().__init__()
        self.adapters = tower.new_adapters()
        options = ParserOptions(
            audio_width=tower.width,
            visual_width=tower.width,
            motion_width=0,
            hidden_width=HIDDEN,
            feedforward_width=2 * HIDDEN,
            num_layers=1,
            num_classes=num_classes,
        )
        self.parser = build_parser(options)

    def loss(self, tower: Tower, clips: Clips, rows: Sequence[int], *, alone: bool) -> Tensor:
        """Of some clips: of clip tags and pseudo labels, or of tags in both ways HAN holds a parser to them."""
        held = [read_tensors(clips.files[row])[0] for row in rows]
        spectra, pictures, valid = (
            torch.stack([one[name] for one in held]).to(tower.device) for name in ("spectra", "pictures", "valid")
        )
        sounds = tower.picture_of(spectra.float().flatten(0, 1))
        found = tower.run(self.adapters, sounds, pictures.float().flatten(0, 1), alone=alone)
        heard, seen = (torch.unflatten(x, 0, valid.shape) for x in found)
        labels = None if clips.labels is None else clips.labels[rows].to(tower.device)
        smoothing = SMOOTHING if labels is None else None
        tags = clips.tags[rows].to(tower.device)
        return total_loss(loss_terms(self.parser(heard, seen, valid=valid), tags, labels, valid, smoothing=smoothing))


def adapt(
    dataset: DataSet,
    data: Path,
    videos: Path,
    out: Path,
    options: AdaptOptions,
    *,
    labels: Path | None = None,
    progress: bool = False,
) -> AdaptResult:
    """Train adapters and write them, or go on with a run that was stopped.

    Args:
        dataset: What the data folder holds.
        data: Its folder.
        videos: Folder of its clips.
        out: Folder of the run.
        options: How.
        labels: Pseudo labels of the training clips, as `valor labels` writes them; None to train on tags alone.
        progress: Whether to show progress bars on stderr.

    Raises:
        ValueError: The tower takes no adapters, there are too few clips, labels are not for them, or the folder holds
            something else.
        FileNotFoundError: A table, labels or weights are not there.
    """
    check_tower(options.visual)
    _refuse_folder(out)
    if dataset.seconds != SEGMENT_SECONDS:
        raise ValueError(f"adapters hear segments of {SEGMENT_SECONDS:g} s, those of {data} last {dataset.seconds:g} s")
    grid = replace(grid_of(data), sample_rate=SAMPLE_RATE)
    split = dataset.read_clips(data, dataset.split_for("train"))
    taught = None if labels is None else _read_labels(labels, split, grid)
    paths = find_media(videos, split.clip_ids)
    if (there := sum(path is not None for path in paths.values())) < LEAST:
        raise ValueError(f"expected at least {LEAST} clips of the split {split.name} in {videos}, got {there}")
    tower = build_tower(options.visual, options.checkpoint)
    identity = {
        "clips": _digest_of(paths),
        "labels": _digest(split.weak_labels, taught),
        "options": {**asdict(options), "checkpoint": tower.weights},
    }
    if (out / CARD).is_file():
        return _trained_before(out, tower, identity)
    out.mkdir(parents=True, exist_ok=True)
    with (
        locked(out / LOCK, f"{out}: another process trains these adapters", remove=True),
        torch.random.fork_rng(),
    ):
        torch.manual_seed(options.seed)
        training = _Training(tower, split.weak_labels.shape[1], out, identity, options)
        kept, problems = _prepared(tower, paths, out / CLIPS, grid, progress=progress)
        training.go_on(_clips_of(split, taught, kept, problems), progress=progress)
        card = AdapterCard(
            visual=options.visual,
            tower=tower.weights,
            weights="",
            alone=options.alone,
            made_of=identity,
            clips=len(kept),
            losses=tuple(training.losses),
        )
        write_adapters(out, training.net.adapters, card)
        (out / LAST).unlink(missing_ok=True)
        shutil.rmtree(out / CLIPS, ignore_errors=True)
    return _result(card, training.net.adapters, tower, problems)


def _trained_before(out: Path, tower: Tower, identity: Mapping[str, Any]) -> AdaptResult:
    """What there is, where it was made of the same."""
    card = read_card(out)
    differing = [what for what, value in identity.items() if card.made_of.get(what) != value]
    if differing:
        raise ValueError(f"{out} holds adapters of other {', '.join(differing)}; choose another `out`")
    with torch.random.fork_rng(devices=[]):
        return replace(_result(card, tower.new_adapters(), tower, ()), is_new=False)


def _result(card: AdapterCard, adapters: nn.Module, tower: Tower, problems: Sequence[str]) -> AdaptResult:
    weights, looking = (sum(w.numel() for w in part.parameters()) for part in (adapters, tower.network))
    return AdaptResult(card.clips, card.losses, weights, looking, tuple(problems))


def _clips_of(split: Split, taught: np.ndarray | None, kept: Mapping[str, Path], problems: Sequence[str]) -> Clips:
    """The clips of a split that are there, with what they teach."""
    rows = [row for row, clip_id in enumerate(split.clip_ids) if clip_id in kept]
    if len(rows) < LEAST:
        why = f"; {problems[0]}" if problems else ""
        raise ValueError(f"expected at least {LEAST} clips with sound and picture, got {len(rows)}{why}")
    return Clips(
        tuple(kept[split.clip_ids[row]] for row in rows),
        torch.from_numpy(split.weak_labels[rows].astype(np.float32)),
        None if taught is None else torch.from_numpy(taught[rows]),
    )


def _refuse_folder(out: Path) -> None:
    """Refuse a folder with anything but adapters, done or not."""
    mine = (CLIPS, LAST, LOCK, WEIGHTS, CARD)
    others = sorted(entry.name for entry in out.iterdir() if entry.name not in mine) if out.is_dir() else []
    if others:
        raise ValueError(f"{out} holds {others[0]}, no part of a run of adapters; choose another `out`")


def _read_labels(labels: Path, split: Split, grid: Grid) -> np.ndarray:
    """Pseudo labels of the clips of a split, float32 [N, T, M, C]."""
    table = read_pseudo_labels(labels)
    table.refuse_absent(str(labels))
    row_of = {clip_id: row for row, clip_id in enumerate(table.clip_ids)}
    lacking = [clip_id for clip_id in split.clip_ids if clip_id not in row_of]
    if lacking or table.class_names != split.class_names or table.labels.shape[1] != grid.num_segments:
        raise ValueError(
            f"{labels}: labels must be for all {len(split.clip_ids)} clips of the split {split.name}, its "
            f"{len(split.class_names)} classes and {grid.num_segments} segments, got {len(table.clip_ids)} clips, "
            f"{len(table.class_names)} classes and {table.labels.shape[1]} segments; label again"
        )
    return table.labels[[row_of[clip_id] for clip_id in split.clip_ids]].astype(np.float32)


def _digest_of(paths: Mapping[str, Path | None]) -> str:
    """Of names and sizes: the same media elsewhere are the same."""
    said = "\n".join(f"{clip_id} {path and path.stat().st_size}" for clip_id, path in paths.items())
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()


def _digest(*arrays: np.ndarray | None) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"none" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _prepared(
    tower: Tower, paths: Mapping[str, Path | None], folder: Path, grid: Grid, *, progress: bool
) -> tuple[dict[str, Path], list[str]]:
    """Of each clip the file of what goes into the tower, and what is wrong with the others."""
    kept, problems = dict[str, Path](), list[str]()
    places = {clip_id: folder / f"{hashlib.sha256(clip_id.encode()).hexdigest()[:24]}.safetensors" for clip_id in paths}
    wanted = {clip_id: path for clip_id, path in paths.items() if path is not None and not places[clip_id].is_file()}
    with (
        DecodePool(usable_cores(), DecodeLimits()) as pool,
        progress_bar(paths, enabled=progress, desc="decode", unit="clip") as bar,
    ):
        clips = _decoded(pool, wanted, grid)
        for clip_id in bar:
            try:
                if paths[clip_id] is None:
                    raise MediaError(f"{clip_id}: no file of that name")
                if clip_id in wanted:
                    clip = next(clips).result()
                    if clip.frames is None or clip.waveform is None:
                        raise MediaError(f"{wanted[clip_id].name}: {clip.message}")
                    _write_clip(places[clip_id], tower, clip)
                kept[clip_id] = places[clip_id]
            except MediaError as error:
                problems.append(str(error))
    for problem in problems:
        _LOG.info("left out: %s", problem)
    return kept, problems


def _decoded(pool: DecodePool, paths: Mapping[str, Path], grid: Grid) -> Iterator["Future[ClipMedia]"]:
    """Clips in their order, a few of them decoded ahead."""
    waiting = iter(paths.values())
    ahead = [pool.submit(path, grid) for path in islice(waiting, 2 * usable_cores())]
    while ahead:
        yield ahead.pop(0)
        ahead += [pool.submit(path, grid) for path in islice(waiting, 1)]


def _write_clip(place: Path, tower: Tower, clip: ClipMedia) -> None:
    """Keep what goes into the tower, in half."""
    spectra, pictures = tower.prepare(clip)
    present = clip.frames_present
    valid = torch.ones(len(spectra), dtype=torch.bool) if present is None else torch.from_numpy(present)
    write_tensors(place, {"spectra": spectra.half(), "pictures": pictures.half(), "valid": valid}, {"format": 1})


def optimiser_of(net: nn.Module, rate: float) -> torch.optim.AdamW:
    """For adapters and what is on top of them; each group says at what rate it `first` learns."""
    gates = [weight for name, weight in net.named_parameters() if name.endswith("gate")]
    rest = [weight for name, weight in net.named_parameters() if not name.endswith("gate")]
    groups = [{"params": rest, "first": rate}, {"params": gates, "first": GATES * rate, "lr": GATES * rate}]
    return torch.optim.AdamW(groups, lr=rate)


class _Training:
    """AdamW, its rate falling to nothing along a cosine; where a run was stopped, from there on."""

    def __init__(
        self, tower: Tower, num_classes: int, out: Path, identity: Mapping[str, Any], options: AdaptOptions
    ) -> None:
        """Draw the weights, or read them.

        Raises:
            ValueError: The folder holds the training of something else.
        """
        self.net = Adapted(tower, num_classes).to(tower.device)
        self.losses = list[float]()
        self._tower, self._last, self._identity, self._options = tower, out / LAST, identity, options
        self._order = torch.Generator().manual_seed(options.seed)
        self._optimiser = optimiser_of(self.net, options.rate)
        if self._last.is_file():
            _, extra = read_resume_point(self._last, self.net, self._optimiser, self._order, identity=identity)
            self.losses = extra["losses"].tolist()

    def go_on(self, clips: Clips, *, progress: bool) -> None:
        """Train the epochs that are left."""
        epochs, done = self._options.epochs, len(self.losses)
        self.net.train()
        with progress_bar(total=epochs, initial=done, enabled=progress, desc="epochs", unit="epoch") as bar:
            for epoch in range(done, epochs):
                for group in self._optimiser.param_groups:
                    group["lr"] = group["first"] * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
                self.losses.append(self._epoch(clips))
                if not np.isfinite(self.losses[-1]):
                    raise ValueError(f"rate must be lower than {self._options.rate:g}, the loss is no number any more")
                self._keep(epoch + 1)
                bar.update(1)

    def _epoch(self, clips: Clips) -> float:
        charged = []
        drawn = torch.randperm(len(clips.files), generator=self._order)
        for rows in torch.split(drawn, self._options.batch_size):
            loss = self.net.loss(self._tower, clips, rows.tolist(), alone=self._options.alone)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.net.parameters(), CLIPPED)
            self._optimiser.step()
            charged.append(loss.item())
        return float(np.mean(charged))

    def _keep(self, epoch: int) -> None:
        write_resume_point(
            self._last,
            self.net,
            self._optimiser,
            self._order,
            progress=Progress(epoch=epoch),
            identity=self._identity,
            extra={"losses": torch.tensor(self.losses, dtype=torch.float64)},
        )
