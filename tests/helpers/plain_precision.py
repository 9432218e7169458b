"""Average precision and threshold curves one decision at a time, written from the definitions."""

import numpy as np

from tests.helpers.plain_scores import runs


def plain_average_precision(entries, num_true, envelope):
    """AP of (score, is right) pairs; equal scores enter together."""
    if not num_true:
        return float("nan")
    points = []
    for score in sorted({score for score, _ in entries}, reverse=True):
        chosen = [right for other, right in entries if other >= score]
        points.append((sum(chosen) / num_true, sum(chosen) / len(chosen)))
    area, before = 0.0, 0.0
    for index, (recall, precision) in enumerate(points):
        best = max(later for _, later in points[index:]) if envelope else precision
        area, before = area + (recall - before) * best, recall
    return area


def plain_proposals(probs, valid, thresholds):
    """The (start, stop, score) of one track: distinct runs at the thresholds, scored by their contrast."""
    found = {
        run
        for threshold in thresholds
        for run in runs([v and p >= threshold for p, v in zip(probs, valid, strict=True)])
    }

    def contrast(start, stop):
        margin = max(1, round((stop - start) / 4))
        near = [*range(max(start - margin, 0), start), *range(stop, min(stop + margin, len(probs)))]
        around = [probs[index] for index in near if valid[index]]
        return float(np.mean(probs[start:stop]) - (np.mean(around) if around else 0))

    return [(start, stop, contrast(start, stop)) for start, stop in sorted(found)]


def plain_found(proposals, true, min_iou):
    """Greedy matching in one track: for each (start, stop, score), whether it takes a (start, stop) of the truth."""
    taken, found = set(), [False] * len(proposals)
    order = sorted(range(len(proposals)), key=lambda i: (-proposals[i][2], proposals[i][0], -proposals[i][1]))
    for index in order:
        start, stop, _ = proposals[index]
        overlaps = []
        for number, (first, last) in enumerate(true):
            shared = max(0, min(stop, last) - max(start, first))
            iou = shared / (stop - start + last - first - shared)
            if number not in taken and shared and iou >= min_iou - 1e-12:
                overlaps.append((-iou, number))
        if overlaps:
            taken.add(min(overlaps)[1])
            found[index] = True
    return found
