"""A plain scorer, one clip and one class at a time, written from the definitions: slow, and easy to check by eye."""

from statistics import fmean


def runs(track):
    """The maximal runs of a list of bools as (start, stop)."""
    found, start = [], None
    for index, marked in enumerate([*track, False]):
        if marked and start is None:
            start = index
        if not marked and start is not None:
            found.append((start, index))
            start = None
    return found


def iou_reaches_half(one, other):
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    together = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return 2 * shared >= together


def count_segments(predicted, truth):
    pairs = list(zip(predicted, truth, strict=True))
    return pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True))


def count_events(predicted, truth):
    predicted, truth = runs(predicted), runs(truth)
    hits = sum(any(iou_reaches_half(event, true) for true in truth) for event in predicted)
    misses = sum(not any(iou_reaches_half(event, true) for event in predicted) for true in truth)
    return hits, len(predicted) - hits, misses


def f_of_clip(counts):
    """Mean F over the classes with any count; 1 if there is none. `counts` has one triple for each class."""
    scores = [2 * hit / (2 * hit + extra + missed) for hit, extra, missed in counts if hit or extra or missed]
    return fmean(scores) if scores else 1.0


def clip_figures(predicted, truth, count):
    """Audio, visual, audio-visual and pooled F of one clip; arrays are bool [T, 2, C]."""
    counts = []
    for kind in (0, 1, None):  # None stands for audio-visual
        tracks = [array.all(axis=1) if kind is None else array[:, kind] for array in (predicted, truth)]
        counts.append([count(p.tolist(), t.tolist()) for p, t in zip(tracks[0].T, tracks[1].T, strict=True)])
    pooled = [tuple(a + v for a, v in zip(*pair, strict=True)) for pair in zip(counts[0], counts[1], strict=True)]
    return [f_of_clip(track) for track in (*counts, pooled)]


def plain_score(predicted, truth, valid=None):
    """Per-clip figures [N][2 levels][4] and the ten aggregates in percent."""
    per_clip = []
    for index in range(len(predicted)):
        keep = slice(None) if valid is None else valid[index]
        clip = predicted[index][keep], truth[index][keep]
        per_clip.append([clip_figures(*clip, count) for count in (count_segments, count_events)])
    ten = []
    for level in (0, 1):
        audio, visual, audio_visual, pooled = (100 * fmean(clip[level][k] for clip in per_clip) for k in range(4))
        ten += [audio, visual, audio_visual, fmean([audio, visual, audio_visual]), pooled]
    return per_clip, ten
