"""Training on media whose own sound and picture belong together, no matter what they show.

Of every piece a stretch of sound and one of the picture are cut, each somewhere, so that how far they are apart is
known and lies at no special place; that one is to be told among all shifts. A fifth of the files is kept for the
confidence. A stopped run goes on: pieces that were decoded lie in RUN/pieces, the training of the last whole epoch in
RUN/last.safetensors; both are removed once RUN/sync.safetensors is written.
"""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from valor.label_harvest.disk import locked
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.progress import progress_bar
from valor.parsers.sync import SPECTRA_A_STEP, ShiftHead, shift_loss
from valor.training.checkpoint import Progress, read_resume_point, read_tensors, write_resume_point, write_tensors

from .measure import (
    CORRELATIONS,
    DRAWS,
    FILMS,
    KEPT,
    RUN,
    Peak,
    SyncCard,
    SyncRun,
    calibrated,
    evidence_of,
    peak_of,
    read_run,
    volume_of,
    window_scores,
    write_run,
)
from .media import Steps, read_steps
from .options import FOUND, STEP, FitOptions

_LOG = logging.getLogger(__name__)
PIECES, LAST, LOCK = "pieces", "last.safetensors", "lock"
LEAST_FILES = 10
"""Media with sound and picture below which nothing is trained: there is nothing to tell them from."""
LENGTHS = (1, 2, 4, 8, 16)
"""Windows of the films that are made of such pieces, as far as there are so many: what is sure of one window is not of
sixteen."""
CLIPPED = 1.0
"""Norm that gradients are cut to."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """A run that was trained."""

    run: SyncRun
    files: int
    losses: tuple[float, ...]
    """Mean of each epoch of this call; none where the run was there."""
    problems: tuple[str, ...]
    """Of media that were left out, a sentence each."""


def fit_sync(paths: Sequence[Path], out: Path, options: FitOptions, *, progress: bool = False) -> FitResult:
    """Train a run, or go on with one.

    Args:
        paths: Media files.
        out: Folder of the run.
        options: How.
        progress: Whether to show progress bars on stderr.

    Raises:
        ValueError: There are too few media with sound and picture, or the folder holds another run or something else.
    """
    identity = {"media": _digest_of(paths), "options": asdict(options)}
    if (out / RUN).is_file():
        run = read_run(out)
        for what, value in identity.items():
            if getattr(run.card, what) != value:
                raise ValueError(f"{out} holds a run of other {what}; choose another `out`")
        return FitResult(run, run.card.files, (), ())
    others = [entry.name for entry in out.iterdir() if entry.name not in (PIECES, LAST, LOCK)] if out.is_dir() else []
    if others:
        raise ValueError(f"{out} holds {sorted(others)[0]}, no part of a run of this kind; choose another `out`")
    if len(paths) < LEAST_FILES:
        raise ValueError(f"expected at least {LEAST_FILES} media files to train on, got {len(paths)}")
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK, f"{out}: another process trains this run", remove=True):
        return _fit(paths, out, identity, options, progress=progress)


def _fit(
    paths: Sequence[Path], out: Path, identity: dict[str, Any], options: FitOptions, *, progress: bool
) -> FitResult:
    held, problems = _decode_all(paths, out / PIECES, options, progress=progress)
    files = list(held)
    if len(files) < LEAST_FILES:
        raise ValueError(
            f"expected at least {LEAST_FILES} media with sound and picture that move, got {len(files)}"
            + "".join(f"; {problem}" for problem in problems[:1])
        )
    kept = [number for number, name in enumerate(files) if number % KEPT == KEPT - 1]
    learned = [steps for number, name in enumerate(files) if number not in kept for steps in held[name]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        net = ShiftHead(CORRELATIONS)
        losses = _train(net, learned, out, identity, options, progress=progress)
        left = [steps for number in kept for steps in held[files[number]]]
        weights, right = _confidence(net.eval(), left, options, progress=progress)
    card = SyncCard(reach=options.reach, weights=weights, files=len(files), right=right, **identity)
    write_run(out, SyncRun(net, card))
    (out / LAST).unlink(missing_ok=True)
    shutil.rmtree(out / PIECES, ignore_errors=True)
    return FitResult(read_run(out), len(files), tuple(losses), tuple(problems))


def _digest_of(paths: Sequence[Path]) -> str:
    """Of names and sizes: the same media elsewhere are the same."""
    said = "\n".join(f"{path.name} {path.stat().st_size if path.is_file() else None}" for path in paths)
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()


def _decode_all(
    paths: Sequence[Path], folder: Path, options: FitOptions, *, progress: bool
) -> tuple[dict[str, list[Steps]], list[str]]:
    """The pieces of all media by name, and what is wrong with the others; pieces that were decoded before are read."""
    held: dict[str, list[Steps]] = {}
    problems: list[str] = []
    with (
        ProcessReader(DecodeLimits()) as reader,
        progress_bar(paths, enabled=progress, desc="decode", unit="file") as bar,
    ):
        for path in bar:
            facts = path.stat() if path.is_file() else None
            said = f"{path.absolute()} {facts and facts.st_size} {facts and facts.st_mtime_ns}"
            said += f" {options.piece_seconds} {options.pieces}"
            name = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:24]
            place = folder / f"{name}.safetensors"
            try:
                if not place.is_file():
                    found = read_steps(path, reader, seconds=options.piece_seconds, pieces=options.pieces)
                    _write_pieces(place, found)
                pieces = [steps for steps in _read_pieces(place) if not steps.nothing]
            except MediaError as error:
                problems.append(str(error))
                continue
            if pieces and len(pieces[0]) * STEP >= options.reach + 2:
                held[name] = pieces
            elif pieces:
                problems.append(f"{path.name}: is shorter than reach={options.reach:g} and 2 seconds more")
            else:
                problems.append(f"{path.name}: {_read_pieces(place)[0].nothing}")
    for problem in problems:
        _LOG.info("left out: %s", problem)
    return held, problems


def _write_pieces(path: Path, pieces: Sequence[Steps]) -> None:
    names = ("pictures", "spectra")
    tensors = {name: torch.from_numpy(np.stack([getattr(steps, name) for steps in pieces])) for name in names}
    said = {name: [getattr(steps, name) for steps in pieces] for name in ("nothing", "start")}
    write_tensors(path, tensors, {"format": 1, **said})


def _read_pieces(path: Path) -> list[Steps]:
    tensors, header = read_tensors(path)
    arrays = (tensors["pictures"].numpy(), tensors["spectra"].numpy())
    return [Steps(*row) for row in zip(*arrays, header["start"], header["nothing"], strict=True)]


def _train(
    net: ShiftHead,
    pieces: Sequence[Steps],
    out: Path,
    identity: dict[str, Any],
    options: FitOptions,
    *,
    progress: bool,
) -> list[float]:
    """Train with Adam, its rate falling to nothing along a cosine; the mean loss of each epoch."""
    order = torch.Generator().manual_seed(options.seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.rate)
    done, losses = 0, []
    if (out / LAST).is_file():
        done = read_resume_point(out / LAST, net, optimiser, order, identity=identity)[0].epoch
    with progress_bar(total=options.epochs, initial=done, enabled=progress, desc="epochs", unit="epoch") as bar:
        for epoch in range(done, options.epochs):
            optimiser.param_groups[0]["lr"] = options.rate * 0.5 * (1 + np.cos(np.pi * epoch / options.epochs))
            losses.append(_epoch(net, pieces, optimiser, order, options))
            if not np.isfinite(losses[-1]):
                raise ValueError(f"rate must be lower than {options.rate:g}, the loss is no number any more")
            write_resume_point(out / LAST, net, optimiser, order, progress=Progress(epoch=epoch + 1), identity=identity)
            bar.update(1)
    return losses


def _epoch(
    net: ShiftHead,
    pieces: Sequence[Steps],
    optimiser: torch.optim.Optimizer,
    order: torch.Generator,
    options: FitOptions,
) -> float:
    charged = []
    drawn = torch.randperm(len(pieces), generator=order).tolist()
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=order)))
    for start in range(0, max(1, len(drawn) - options.batch_size + 1), options.batch_size):
        some = [pieces[row] for row in drawn[start : start + options.batch_size]]
        pictures, spectra, shift = cut(some, options.reach, rng)
        most = round(options.reach / STEP)
        loss = shift_loss(net(volume_of(pictures, spectra, most)), torch.from_numpy(shift).float() + most)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIPPED)
        optimiser.step()
        charged.append(loss.item())
    return float(np.mean(charged))


def cut(
    pieces: Sequence[Steps], reach: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """Cut a stretch of sound and one of the picture out of each piece, all of one length.

    Returns:
        Pictures [B, T, H, W], spectra [B, 5 T, bands], and by how many steps the sound lies behind, float64 [B].
    """
    whole = min(len(steps) for steps in pieces)
    most = min(round(reach / STEP), whole - round(2 / STEP))
    length = whole - most
    pictures, spectra, shifts = [], [], []
    for steps in pieces:
        shift = int(rng.integers(-most * SPECTRA_A_STEP, most * SPECTRA_A_STEP + 1))  # in spectra
        room = len(steps) - length  # steps; the picture begins at one, the sound `shift` spectra earlier
        low, high = max(0, -(-shift // SPECTRA_A_STEP)), min(room, room + shift // SPECTRA_A_STEP)
        begin = int(rng.integers(low, high + 1))
        first = SPECTRA_A_STEP * begin - shift
        pictures.append(steps.pictures[begin : begin + length])
        spectra.append(steps.spectra[first : first + SPECTRA_A_STEP * length])
        shifts.append(shift / SPECTRA_A_STEP)
    return np.stack(pictures), np.stack(spectra), np.array(shifts)


def apart(seen: Steps, heard: Steps, shift: int) -> Steps:
    """All there is of pictures and of a sound that is to lie `shift` spectra behind them."""
    begin = max(0, -(-shift // SPECTRA_A_STEP))
    count = min(len(seen), len(heard)) + min(-begin, shift // SPECTRA_A_STEP)
    first = SPECTRA_A_STEP * begin - shift
    spectra = heard.spectra[first : first + SPECTRA_A_STEP * count]
    return Steps(seen.pictures[begin : begin + count], spectra, seen.start)


def _confidence(
    net: ShiftHead, pieces: Sequence[Steps], options: FitOptions, *, progress: bool = False
) -> tuple[tuple[float, float, float, float], float]:
    """Weights of the confidence, from pieces that were not trained on, and the share of offsets found of one piece.

    Films are made of them: what several say at one offset is summed, of own sounds and of others'.
    """
    rng = np.random.default_rng([options.seed, 1])
    most = round(options.reach / STEP)
    shifts = rng.integers(-most * SPECTRA_A_STEP, most * SPECTRA_A_STEP + 1, DRAWS).tolist()
    said = np.zeros((DRAWS, len(pieces), 2, 2 * most + 1))  # own, foreign
    with progress_bar(total=DRAWS * len(pieces), enabled=progress, desc="confidence", unit="piece") as bar:
        for draw, shift in enumerate(shifts):
            by = 1 + int(rng.integers(max(1, len(pieces) - 1)))
            for row, steps in enumerate(pieces):
                for kind, heard in enumerate((steps, pieces[(row + by) % len(pieces)])):
                    scores = window_scores(net, apart(steps, heard, shift), options.reach, options.piece_seconds)
                    said[draw, row, kind] = evidence_of(scores, most)[0]
                bar.update(1)
    peaks: list[Peak] = []
    right: list[bool] = []
    films = min(FILMS, DRAWS * len(pieces))
    for length in LENGTHS:
        for _ in range(films if length <= len(pieces) else 0):
            draw, rows = int(rng.integers(DRAWS)), rng.permutation(len(pieces))[:length]
            for kind in range(2):
                peaks.append(peak_of(said[draw, rows, kind].sum(axis=0), length))
                right.append(kind == 0 and abs(peaks[-1].offset - shifts[draw] / SPECTRA_A_STEP * STEP) <= FOUND)
    return calibrated(peaks, right), float(np.mean(right[: 2 * films : 2]))
