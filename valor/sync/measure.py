"""From streams to what is said: the offset of sound against picture, how sure that is, and a trained run on disk."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from valor.label_harvest.disk import file_sha256
from valor.parsers.sync import SPECTRA_A_STEP, ShiftHead, correlations
from valor.training.checkpoint import read_tensors, write_tensors

from .media import Steps
from .options import FOUND, LEAST_SECONDS, STEP

RUN = "sync.safetensors"
"""Name in the folder of a run."""
KIND = "synchronisation"
KEPT = 5
"""One of so many files is kept for the confidence."""
DRAWS, FILMS = 12, 200
"""Offsets at which the pieces that are kept are judged, each with its own sound and with that of another, and films
that are made of them of each length at most."""
LEAST_SPREADS = 3.0
"""A run has learned something where the share it finds lies so many standard deviations above chance."""
BESIDE = 2
"""Shifts to either side of the best that belong to its peak."""
UNTIED = 0.5
"""How likely it is that nothing in a window ties sound to picture; so no window counts for more than it can know."""
CORRELATIONS = 24
"""At each shift."""
_CELL = 4  # pixels of a side
_BLOCK = 30  # windows that are compared at once


@dataclass(frozen=True, kw_only=True)
class SyncCard:
    """What a run says of itself."""

    reach: float
    """Offsets that it tells apart, in seconds to either side."""
    weights: tuple[float, float, float, float]
    """Of the confidence: constant, height and lead of the best shift, logarithm of the windows."""
    files: int
    """How many it was trained on, those it was calibrated on among them."""
    right: float
    """Share of the calibration's own sounds whose offset was found to a tenth of a second."""
    media: str
    """Digest of their names and sizes."""
    options: Mapping[str, Any]
    step: float = STEP
    """Seconds of a step."""

    @property
    def chance(self) -> float:
        """Share of offsets that would be found by guessing."""
        return FOUND / self.reach

    @property
    def learned(self) -> bool:
        """Whether offsets were found by more than chance, and anything of a peak tells right ones from wrong ones.

        Weights alone do not say it: of a run of too few media some come out above 0 by accident.
        """
        judged = min(FILMS, DRAWS * max(1, self.files // KEPT))  # at least; of a file there may be several pieces
        spread = math.sqrt(self.chance * (1 - self.chance) / judged)
        return self.right > self.chance + LEAST_SPREADS * spread and any(weight > 0 for weight in self.weights[1:3])


@dataclass(frozen=True)
class Peak:
    """The best of the shifts."""

    offset: float
    """Seconds by which the sound lies behind its picture."""
    height: float
    """Logarithm of the odds that it is one of its peak, by the scores alone."""
    lead: float
    """How far its evidence lies above the best outside its peak: little where strokes fit at a second shift."""
    windows: int = 1
    """Of how many windows this is the sum."""


@dataclass(frozen=True, eq=False)
class SyncRun:
    """A trained network."""

    net: ShiftHead
    card: SyncCard
    checksum: str = ""
    """Of the file."""

    def evidence(self, steps: Steps) -> npt.NDArray[np.float64]:
        """What each window says of each shift, float64 [W, 2 S + 1]; sums of these are what all windows say."""
        seconds = float(self.card.options["piece_seconds"])
        return evidence_of(window_scores(self.net, steps, self.card.reach, seconds), round(self.card.reach / STEP))

    def confidence(self, peak: Peak) -> float:
        """How likely the offset is right, to a tenth of a second; media whose sound is of something else have none."""
        return confidence_of(self.card.weights, peak)


def confidence_of(weights: Sequence[float], peak: Peak) -> float:
    """A logistic function of what is known of a peak."""
    at = float(np.dot(weights, _known(peak)))
    return 1 / (1 + math.exp(-min(max(at, -30.0), 30.0)))


def _known(peak: Peak) -> list[float]:
    return [1.0, peak.height, peak.lead, math.log(peak.windows)]


def volume_of(pictures: npt.NDArray[np.uint8], spectra: npt.NDArray[np.floating[Any]], most: int) -> torch.Tensor:
    """Correlations float [B, 24, 2 most + 1] at shifts of up to `most` steps, of [B, T, H, W] and [B, 5 T, bands]."""
    return _compared(_changes(pictures), _quick(_rises(spectra), 0.2), most)


def _changes(pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
    """How much changes in each cell from one picture to the next, float [B, T, cells]."""
    seen = torch.from_numpy(pictures).float()
    change = torch.zeros_like(seen)
    change[:, 1:] = (seen[:, 1:] - seen[:, :-1]).abs()
    return functional.avg_pool2d(change, _CELL).flatten(2)


def _compared(cells: torch.Tensor, heard: torch.Tensor, most: int, there: torch.Tensor | None = None) -> torch.Tensor:
    """Correlations float [B, 24, 2 most + 1] of what changes, [B, T, cells], with what is heard, [B, T + margins, 6].

    Of the change in cells of a picture, as a logarithm above its median over time: the largest, the mean and that of
    the three largest, with each stream of the sound. And of every cell, with the first two: the largest, a mean in
    which large ones weigh most, and the mean of the four largest, so that what moves of its own elsewhere is no harm.
    The sound may reach over either end of the pictures by the same margin; `there`, [B, T + margins, 1], says where.
    """
    margin = (heard.shape[1] - cells.shape[1]) // 2

    def laid(x: torch.Tensor) -> torch.Tensor:
        return functional.pad(x, (0, 0, margin, margin))

    known = None if there is None else (laid(torch.ones_like(cells[..., :1])), there)
    cells = (cells - cells.median(dim=1, keepdim=True).values).clamp(min=0).log1p()
    whole = torch.stack((cells.amax(-1), cells.mean(-1), cells.topk(3, dim=-1).values.mean(-1)), dim=-1)
    found = correlations(laid(_quick(whole, 0.05)), heard, most, known).flatten(1, 2)
    each = correlations(laid(_quick(cells, 0.15)), heard[..., :2], most, known)  # [B, cells, 2, shifts]
    best = each.topk(4, dim=1).values
    sharp = each.clamp(min=0).pow(4).sum(dim=1).pow(0.25)
    return torch.cat((found, best[:, 0], sharp, best.mean(dim=1)), dim=1)


def _rises(spectra: npt.NDArray[np.floating[Any]]) -> torch.Tensor:
    """How much a sound rises within 20 ms, float [B, T, 6].

    The mean over bands, over the eight that rise most, and over low, middle and high ones; and its level.
    """
    level = torch.from_numpy(np.asarray(spectra, np.float32))
    rise = torch.zeros_like(level)
    rise[:, 2:] = (level[:, 2:] - level[:, :-2]).clamp(min=0)
    parts = (rise, rise.topk(8, dim=-1).values, rise[..., :8], rise[..., 8:20], rise[..., 20:], level)
    rises = torch.stack([part.mean(dim=-1) for part in parts], dim=-1)
    return functional.avg_pool1d(rises.mT, SPECTRA_A_STEP).mT


def _quick(x: torch.Tensor, least: float) -> torch.Tensor:
    """Rows [B, T, F] without their mean over a second around each, over their spread, which is `least` more."""
    reach = round(0.5 / STEP)
    slow = functional.avg_pool1d(x.mT, 2 * reach + 1, 1, reach, count_include_pad=False).mT
    x = x - slow
    return x / (x.std(dim=1, keepdim=True) + least)


@torch.inference_mode()
def window_scores(net: ShiftHead, steps: Steps, reach: float, seconds: float) -> npt.NDArray[np.float64]:
    """Scores float64 [W, 2 S + 1] of shifts from -S to S steps, of windows of the picture that follow one another.

    Each is compared with the sound from S steps before it to S after it, as far as there is any, so that nothing is
    lost between windows. Media of no more than one and a half windows are one.

    Args:
        net: A trained network.
        steps: Of the media.
        reach: Seconds of the furthest shift; it is less where too little would be in common.
        seconds: Length of a window, about.
    """
    most = min(round(reach / STEP), len(steps) - round(LEAST_SECONDS / 2 / STEP))
    count = max(1, round(len(steps) * STEP / seconds))
    length = len(steps) // count
    cells = _changes(steps.pictures[None])[0, : count * length].reshape(count, length, -1)
    heard = _quick(_rises(steps.spectra[None]), 0.2)[0]
    sound, there = (
        functional.pad(x, (0, 0, most, most)).unfold(0, length + 2 * most, length)[:count].mT
        for x in (heard, torch.ones_like(heard[:, :1]))
    )
    blocks = [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]
    scores = [net(_compared(cells[some], sound[some], most, there[some])) for some in blocks]
    return torch.cat(scores).double().numpy()


def evidence_of(scores: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.float64]:
    """Logarithms of how likely each window [W, 2 S + 1] makes each shift of up to `most`, float64 [W, 2 most + 1].

    With `UNTIED` it says nothing. Nor does it of shifts that were too far for it.
    """
    shifts = scores.shape[1]
    logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    logs = np.logaddexp(np.log1p(-UNTIED) + logs, np.log(UNTIED / shifts))
    beyond = most - shifts // 2
    return np.pad(logs, ((0, 0), (beyond, beyond)), constant_values=-np.log(shifts))


def peak_of(evidence: npt.NDArray[np.float64], windows: int = 1) -> Peak:
    """The best shift, between steps by a parabola through it and its neighbours.

    >>> peak_of(np.array([0, 1, 0, 1, 0, 1, 9, 9, 1, 0, 1.0])).offset
    0.075
    """
    best, middle = int(evidence.argmax()), len(evidence) // 2
    is_near = np.abs(np.arange(len(evidence)) - best) <= BESIDE
    between = 0.0
    if 0 < best < len(evidence) - 1:
        left, top, right = evidence[best - 1 : best + 2].tolist()
        bend = 2 * top - left - right
        between = 0.5 * (right - left) / bend if bend > 0 else 0.0
    others = evidence[~is_near]
    height = float(np.logaddexp.reduce(evidence[is_near]) - np.logaddexp.reduce(others))
    lead = float(evidence[best] - others.max())
    return Peak(round((best - middle + between) * STEP, 3), height, lead, windows)


def calibrated(peaks: Sequence[Peak], right: Sequence[bool]) -> tuple[float, float, float, float]:
    """Weights of the confidence that make what was found likeliest, those of height and lead not below 0.

    Newton's method on the logistic loss, with Platt's targets: one more of either kind than was seen keeps few pieces
    from saying that they are sure.
    """
    x = np.array([_known(peak) for peak in peaks])
    seen = np.array(right, np.bool_)
    y = np.where(seen, (seen.sum() + 1) / (seen.sum() + 2), 1 / ((~seen).sum() + 2))
    free = [0, 1, 2, 3]
    while True:
        weights = np.zeros(4)
        weights[free] = _likeliest(x[:, free], y)
        below = [place for place in (1, 2) if weights[place] < 0]
        if not below:
            constant, height, lead, windows = weights.tolist()
            return constant, height, lead, windows
        free.remove(below[0])


def _likeliest(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights float64 [K] of least logistic loss, for float64 [N, K] and targets in (0, 1)."""

    def loss(at: npt.NDArray[np.float64]) -> float:
        return float((np.logaddexp(0, x @ at) - y * (x @ at)).sum() + 1e-6 * at @ at)

    weights = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -50, 50)))
        slope = x.T @ (p - y) + 2e-6 * weights
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + 2e-6 * np.eye(x.shape[1]), slope)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def write_run(folder: Path, run: SyncRun) -> Path:
    """Write a run, whole or not at all, with a checksum."""
    path = folder / RUN
    write_tensors(path, run.net.state_dict(), {"format": 1, "kind": KIND, **asdict(run.card)})
    return path


def read_run(folder: Path) -> SyncRun:
    """Read a run.

    Args:
        folder: Of `valor sync fit`, or the file in it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is of another kind, or damaged.
    """
    path = folder / RUN if folder.is_dir() else folder
    if not path.is_file():
        kind = "a run of another kind, or one that is not finished" if folder.is_dir() else "no such file"
        raise FileNotFoundError(f"{path}: {kind}; `valor sync fit VIDEO --out RUN` makes one")
    tensors, header = read_tensors(path)
    if header.pop("kind", None) != KIND:
        raise ValueError(f"{path}: is no run of synchronisation; `valor sync fit VIDEO --out RUN` makes one")
    try:
        card = SyncCard(**{**header, "weights": tuple(header["weights"])})
        if len(card.weights) != 4:
            raise ValueError("it was trained before windows were summed; train it again")
        if card.step != STEP:
            raise ValueError(f"steps of {card.step:g} s, not {STEP:g}")
        with torch.random.fork_rng(devices=[]):
            net = ShiftHead(CORRELATIONS)
        net.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: the weights and their description do not fit this version ({error})") from error
    return SyncRun(net.eval(), card, file_sha256(path))
