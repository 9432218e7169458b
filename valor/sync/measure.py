"""From codes to what is said: the offset of sound against picture, how sure that is, and a trained run on disk."""

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
from valor.parsers.sync import PICTURES_A_STEP, SPECTRA_A_STEP, StepCodes, shift_scores
from valor.training.checkpoint import read_tensors, write_tensors

from .media import Steps
from .options import LEAST_SECONDS, STEP

RUN = "sync.safetensors"
"""Name in the folder of a run."""
KIND = "synchronisation"
BESIDE = 2
"""Shifts to either side of the best that belong to its peak."""
MOVEMENTS, RISES = 3, 6
"""Numbers that a picture and a spectrum come down to."""
_CELL = 4  # pixels of a side
_BLOCK = 600  # steps that go through the towers at once; neighbours reach over the ends of a block
_REACH = 8  # steps, more than the layers behind the towers look at to either side


@dataclass(frozen=True, kw_only=True)
class SyncCard:
    """What a run says of itself."""

    reach: float
    """Offsets that it tells apart, in seconds to either side."""
    weights: tuple[float, float, float]
    """Of the confidence: constant, height and lead of the best shift."""
    files: int
    """How many it was trained on, those it was calibrated on among them."""
    right: float
    """Share of the calibration's own sounds whose offset was found within a step."""
    media: str
    """Digest of their names and sizes."""
    options: Mapping[str, Any]
    step: float = STEP
    """Seconds of a step."""


@dataclass(frozen=True)
class Peak:
    """The best of the shifts."""

    offset: float
    """Seconds by which the sound lies behind its picture."""
    height: float
    """Standard deviations of the other shifts by which it lies above their mean."""
    lead: float
    """The same, above the best of them."""


@dataclass(frozen=True, eq=False)
class SyncRun:
    """A trained network."""

    net: StepCodes
    card: SyncCard
    checksum: str = ""
    """Of the file."""

    def peak(self, steps: Steps) -> Peak:
        """Where sound and picture fit best."""
        return peak_of(scores_of(self.net, steps, self.card.reach))

    def confidence(self, peak: Peak) -> float:
        """How likely the offset is right, to a step; media whose sound is of something else have none."""
        return confidence_of(self.card.weights, peak)


def confidence_of(weights: tuple[float, float, float], peak: Peak) -> float:
    """A logistic function of height and lead of a peak."""
    at = weights[0] + weights[1] * peak.height + weights[2] * peak.lead
    return 1 / (1 + math.exp(-min(max(at, -30.0), 30.0)))


def tensors_of(
    pictures: npt.NDArray[np.uint8], spectra: npt.NDArray[np.floating[Any]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the towers take, of arrays [B, 2 T, H, W] and [B, 5 T, bands].

    Returns:
        How much moves, wherever it is: of the changes in cells of a picture the largest, the mean and that of the three
        largest, as logarithms above the median over time. How much a sound rises: the mean over bands, over the eight
        that rise most, and over low, middle and high ones, and its level. Each without what is slow, and in units of
        its own spread.
    """
    seen = torch.from_numpy(pictures).float()
    change = torch.zeros_like(seen)
    change[:, 1:] = (seen[:, 1:] - seen[:, :-1]).abs()
    cells = functional.avg_pool2d(change, _CELL).flatten(2)  # [B, 2 T, cells]
    cells = (cells - cells.median(dim=1, keepdim=True).values).clamp(min=0).log1p()
    movement = torch.stack((cells.amax(-1), cells.mean(-1), cells.topk(3, dim=-1).values.mean(-1)), dim=-1)
    level = torch.from_numpy(np.asarray(spectra, np.float32))
    rise = torch.zeros_like(level)
    rise[:, 1:] = (level[:, 1:] - level[:, :-1]).clamp(min=0)
    parts = (rise, rise.topk(8, dim=-1).values, rise[..., :8], rise[..., 8:20], rise[..., 20:], level)
    rises = torch.stack([part.mean(dim=-1) for part in parts], dim=-1)
    return _quick(movement, PICTURES_A_STEP, 0.05), _quick(rises, SPECTRA_A_STEP, 0.2)


def _quick(x: torch.Tensor, a_step: int, least: float) -> torch.Tensor:
    """Rows [B, N, F] without their mean over a second around each, over their spread, which is `least` more."""
    reach = round(0.5 / STEP) * a_step
    slow = functional.avg_pool1d(x.mT, 2 * reach + 1, 1, reach, count_include_pad=False).mT
    x = x - slow
    return x / (x.std(dim=1, keepdim=True) + least)


@torch.inference_mode()
def scores_of(net: StepCodes, steps: Steps, reach: float) -> npt.NDArray[np.float64]:
    """Scores float64 [2 S + 1] of shifts from -S to S steps: `reach`, or less where too little would be in common."""
    movement, rises = tensors_of(steps.pictures[None], steps.spectra[None])
    seen, heard = [], []
    for start in range(0, len(steps), _BLOCK):
        stop = min(start + _BLOCK, len(steps))
        low, high = max(0, start - _REACH), min(len(steps), stop + _REACH)
        inner = slice(start - low, stop - low)
        frames = slice(PICTURES_A_STEP * low, PICTURES_A_STEP * high)
        seen.append(net.visual(movement[:, frames])[:, inner])
        heard.append(net.audio(rises[:, SPECTRA_A_STEP * low : SPECTRA_A_STEP * high])[:, inner])
    most = min(round(reach / STEP), len(steps) - round(LEAST_SECONDS / 2 / STEP))
    found = shift_scores(torch.cat(seen, dim=1), torch.cat(heard, dim=1), most)[0]
    return found.double().numpy()


def peak_of(scores: npt.NDArray[np.float64]) -> Peak:
    """The best shift, between steps by a parabola through it and its neighbours.

    >>> peak_of(np.array([0, 0.1, 0, 0.1, 0, 0.1, 0.9, 0.9, 0.1, 0, 0.1])).offset
    0.15
    """
    best, middle = int(scores.argmax()), len(scores) // 2
    others = scores[np.abs(np.arange(len(scores)) - best) > BESIDE]
    spread = float(others.std()) + 1e-9
    between = 0.0
    if 0 < best < len(scores) - 1:
        left, top, right = scores[best - 1 : best + 2].tolist()
        bend = 2 * top - left - right
        between = 0.5 * (right - left) / bend if bend > 0 else 0.0
    height, lead = (float(scores[best] - below) / spread for below in (others.mean(), others.max()))
    return Peak(round((best - middle + between) * STEP, 3), height, lead)


def calibrated(peaks: Sequence[Peak], right: Sequence[bool]) -> tuple[float, float, float]:
    """Weights of the confidence that make what was found likeliest, neither of the last two below 0.

    Newton's method on the logistic loss, with Platt's targets: one more of either kind than was seen keeps few pieces
    from saying that they are sure.
    """
    x = np.array([[1.0, peak.height, peak.lead] for peak in peaks])
    seen = np.array(right, np.bool_)
    y = np.where(seen, (seen.sum() + 1) / (seen.sum() + 2), 1 / ((~seen).sum() + 2))
    free = [0, 1, 2]
    while True:
        weights = np.zeros(3)
        weights[free] = _likeliest(x[:, free], y)
        below = [place for place in free[1:] if weights[place] < 0]
        if not below:
            return float(weights[0]), float(weights[1]), float(weights[2])
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
        if card.step != STEP:
            raise ValueError(f"steps of {card.step:g} s")
        with torch.random.fork_rng(devices=[]):
            net = StepCodes(MOVEMENTS, RISES)
        net.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: the weights and their description do not fit this version ({error})") from error
    return SyncRun(net.eval(), card, file_sha256(path))
