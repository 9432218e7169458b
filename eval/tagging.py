"""Figures of clips that have several labels and no times: sets of classes, and how well probabilities rank clips.

Of labels bool [N, C] and the classes marked, likewise:
    F1 clips    F of the set of each clip, the mean over the clips that have a label
    F1 micro    F of hits, false alarms and misses added over all clips
    jaccard     classes marked and true by classes marked or true, the mean over the clips that have a label
and of probabilities float [N, C]:
    hit         share of the clips that have a label whose likeliest class, of equal ones the first, is one of theirs
    mAP         average precision of the clips by class, the mean over the classes some clip has
A clip without a label counts only where its false alarms do, in F1 micro and mAP.
"""

import math

import numpy as np

from .average_precision import segment_precision
from .counts import segment_counts
from .events import BoolArray, FloatArray
from .scores import f_scores

TAG_FIGURES = ("mAP", "F1 clips", "F1 micro", "hit", "jaccard")
"""What `tag_figures` gives."""


def tag_figures(marked: BoolArray, truth: BoolArray, probs: FloatArray | None = None) -> dict[str, float]:
    """The figures of clips, in percent.

    Args:
        marked: bool [N, C], the classes each clip is said to have.
        truth: bool [N, C], those it has.
        probs: float [N, C]; None where there are decisions alone.

    Returns:
        TAG_FIGURES; without the first and `hit` where there are no probabilities, nothing where no clip has a label.

    Raises:
        ValueError: The arrays are not of one shape, or no marks and probabilities.

    Example:
        One clip of two classes of which one is found, and one of none:

        >>> truth = np.array([[True, True, False], [False, False, False]])
        >>> found = tag_figures(np.array([[True, False, False], [False, False, True]]), truth)
        >>> {name: round(figure, 1) for name, figure in found.items()}
        {'F1 clips': 66.7, 'F1 micro': 50.0, 'jaccard': 50.0}
    """
    counts = segment_counts(marked[:, np.newaxis, np.newaxis], truth[:, np.newaxis, np.newaxis])  # [N, M=1, C, 3]
    by_clip = counts.sum(axis=(1, 2))
    labelled = truth.any(axis=1)
    if not labelled.any():
        return {}
    found = {
        "F1 clips": f_scores(by_clip)[0][labelled].mean(),
        "F1 micro": f_scores(by_clip.sum(axis=0))[0],
        "jaccard": (by_clip[:, 0] / np.maximum(by_clip.sum(axis=1), 1))[labelled].mean(),
    }
    if probs is not None:
        mean = segment_precision(probs[:, np.newaxis, np.newaxis], truth[:, np.newaxis, np.newaxis]).mean.item()
        found |= {"mAP": mean, "hit": truth[np.arange(len(truth)), probs.argmax(axis=1)][labelled].mean()}
    return {name: 100 * float(found[name]) for name in TAG_FIGURES if name in found and not math.isnan(found[name])}
