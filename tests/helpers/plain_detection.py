"""Mean average precision and soft-NMS of events in seconds, one detection at a time, written from the definitions."""

import math


def plain_iou(one, other):
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / ((one[1] - one[0]) + (other[1] - other[0]) - shared)


def plain_map(detections, truth, num_classes, min_iou):
    """AP of each class; rows (clip, class, onset, offset) and for detections a score; NaN where nothing is true."""
    found = []
    for name in range(num_classes):
        true = [row for row in truth if row[1] == name]
        said = sorted(
            (-row[4], -place, row) for place, row in enumerate(detections) if row[1] == name
        )  # of equal scores the later row first
        hits, taken = [], set()
        for _, _, row in said:
            rivals = [(plain_iou(row[2:4], other[2:4]), n) for n, other in enumerate(true) if other[0] == row[0]]
            free = [(iou, n) for iou, n in rivals if iou >= min_iou and n not in taken]
            hits.append(bool(free))
            if free:
                taken.add(max(free)[1])
        found.append(plain_area(hits, len(true)))
    return found


def plain_area(hits, num_true):
    if not num_true:
        return math.nan
    precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    best = [0.0]
    for precision in reversed(precisions):
        best.append(max(best[-1], precision))
    return sum(b for hit, b in zip(hits, best[:0:-1], strict=True) if hit) / num_true


def plain_soft_nms(rows, sigma, floor):
    """(onset, offset, score) of one class -> the same, surest first, with the scores they are left with."""
    left, kept = list(rows), []
    while left:
        best = max(range(len(left)), key=lambda n: (left[n][2], -n))
        onset, offset, score = left.pop(best)
        kept.append((onset, offset, score))
        fallen = [(a, b, s * math.exp(-(plain_iou((a, b), (onset, offset)) ** 2) / sigma)) for a, b, s in left]
        left = [row for row in fallen if row[2] >= floor]
    return kept
