"""Labels as probabilities: how likely a tag is heard, or seen, in a second, by what a teacher says and how often it is.

With x the logits of a class among the tags of a clip, for each modality apart:

    logit p_t = own x_t + near (x_t-1 + x_t+1) / 2 + clip mean x + bias_c

A logistic regression on the seconds of annotated clips finds the numbers. Three are those of all classes; the bias of
a class is its own, and a ridge holds it to the mean of all, so that rare classes keep near it. A class that is hardly
ever seen, such as Speech of LLP, then has to be shown to be seen, and a teacher that knows little is hardly asked.

Source:
    Ours. UWAV's cuts of each class are chosen on the same truth, and a cut beyond all logits is such a bias; the
    clip beside the second is what `presence` decides by.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

TERMS = ("own", "near", "clip")
"""What the weights of a modality are of, in this order."""


class Posterior(NamedTuple):
    """The numbers of the rule."""

    weights: np.ndarray
    """float64 [M, 3], of TERMS."""
    biases: np.ndarray
    """float64 [M, C]; NaN for classes nothing is known of, which count as the mean of the others."""
    temperature: float | None = None
    """What the logit of a soft label is divided by; None for labels of 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class FitNumbers:
    """How the numbers are found; the defaults were chosen by five-fold cross-validation on val of two simulations."""

    ridge: float = 10.0
    """What holds the bias of a class to that of all, in seconds of evidence."""
    ridge_of_terms: float = 1.0
    """What holds the weights to 0, for terms of deviation 1."""
    rounds: int = 50
    """Steps of Newton's at most; a dozen do."""


def terms_of(logits: np.ndarray) -> np.ndarray:
    """TERMS of one modality, float64 [N, T, C, 3]; NaN where there is no second.

    Args:
        logits: float [N, T, C]; NaN where a clip has no segment.
    """
    own = logits.astype(np.float64)
    near = np.zeros((2, *own.shape))
    near[0], near[1] = own, own  # at an end the second stands for its neighbour
    near[0, :, 1:], near[1, :, :-1] = own[:, :-1], own[:, 1:]
    there = np.isfinite(own)
    near = np.where(np.isfinite(near), near, own)
    counts = there.sum(axis=1, keepdims=True).clip(1)
    mean = np.where(there, own, 0).sum(axis=1, keepdims=True) / counts
    found: np.ndarray = np.stack((own, near.mean(axis=0), np.where(there, mean, np.nan)), axis=-1)
    return found


def posterior(logits: np.ndarray, tags: np.ndarray, numbers: Posterior) -> np.ndarray:
    """Labels bool [N, T, M, C], or probabilities float32; 0 for what is no tag and where there is no second.

    Args:
        logits: float [N, T, M, C]; NaN where a clip has no segment.
        tags: bool [N, M, C].
        numbers: Of the rule, for the same modalities and classes.
    """
    found = np.zeros(logits.shape, np.float32)
    for m, biases in enumerate(numbers.biases):
        known = np.where(np.isnan(biases), np.nanmean(biases), biases)
        said = (terms_of(logits[:, :, m]) @ numbers.weights[m] + known) / (numbers.temperature or 1)
        found[:, :, m] = np.where(np.isfinite(said) & tags[:, None, m], 1 / (1 + np.exp(-np.nan_to_num(said))), 0)
    return found > 1 / 2 if numbers.temperature is None else found


def fit_posterior(
    logits: np.ndarray, tags: np.ndarray, truth: np.ndarray, numbers: FitNumbers | None = None
) -> Posterior:
    """Find the numbers of the rule.

    Args:
        logits: float [N, T, M, C]; NaN where a clip has no segment.
        tags: bool [N, M, C].
        truth: bool [N, T, M, C].
        numbers: How.

    Raises:
        ValueError: No second of a modality is tagged.
    """
    weights, biases = [], []
    for m in range(logits.shape[2]):
        asked = np.isfinite(logits[:, :, m]) & tags[:, None, m]
        if not asked.any():
            raise ValueError("the rule posterior learns from tagged seconds, and the clips of this split have none")
        classes = np.broadcast_to(np.arange(logits.shape[3]), asked.shape)[asked]
        own, bias = _regressed(
            terms_of(logits[:, :, m])[asked], classes, truth[:, :, m][asked], numbers or FitNumbers()
        )
        bias = np.append(bias, np.full(logits.shape[3] - len(bias), np.nan))
        bias[~tags[:, m].any(axis=0)] = np.nan
        weights.append(own)
        biases.append(bias)
    return Posterior(np.stack(weights), np.stack(biases))


def _regressed(
    terms: np.ndarray, classes: np.ndarray, truth: np.ndarray, numbers: FitNumbers
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [3] and the biases of classes 0 to the highest, of float [n, 3], int [n] and bool [n]."""
    scale = terms.std(axis=0)
    scale[scale < 1e-9] = 1
    held = np.column_stack((terms / scale, np.ones(len(terms))))  # and the bias of all
    ridge = np.append(np.full(len(scale), numbers.ridge_of_terms), 0)
    common, apart = np.zeros(held.shape[1]), np.zeros(classes.max() + 1)
    for _ in range(numbers.rounds):
        p = 1 / (1 + np.exp(-(held @ common + apart[classes])))
        steep = p * (1 - p)
        slope = held.T @ (p - truth) + ridge * common
        slopes = np.bincount(classes, p - truth) + numbers.ridge * apart
        both = np.stack([np.bincount(classes, steep * column) for column in held.T])  # [4, C]
        own = np.bincount(classes, steep) + numbers.ridge
        curved = (held * steep[:, None]).T @ held + np.diag(ridge) - (both / own) @ both.T
        step = np.linalg.solve(curved + 1e-9 * np.eye(len(curved)), slope - both @ (slopes / own))
        common -= step
        steps = (slopes - step @ both) / own
        apart -= steps
        if max(np.abs(step).max(), np.abs(steps).max()) < 1e-8:
            break
    return common[:-1] / scale, common[-1] + apart
