"""What hypothesis draws for the tests of scores: marks, probabilities with ties, clips of unlike length."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def marked(draw, modalities=2, longest=12):
    """(predicted, truth, valid): bool [N, T, M, C] twice, from nearly empty to full, and bool [N, T] or None."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, longest), st.just(modalities), st.integers(1, 4)))
    seed, *densities = draw(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1)))
    rng = np.random.default_rng(seed)
    predicted, truth = (rng.random(shape) < density for density in densities)
    valid = draw(lasting(rng, shape))
    return predicted, truth if valid is None else truth & valid[:, :, None, None], valid


@st.composite
def probable(draw, modalities=2, longest=12):
    """(probabilities, truth, valid): float [N, T, M, C], coarse enough for ties, bool [N, T, M, C], bool [N, T]."""
    predicted, truth, valid = draw(marked(modalities, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([2, 5, 20, 10**6]))
    probs = np.round(rng.random(truth.shape) * steps) / steps
    return np.where(predicted, np.maximum(probs, 0.5), probs).astype(draw(st.sampled_from(["f4", "f8"]))), truth, valid


@st.composite
def lasting(draw, rng, shape):
    """None, or a prefix of every clip, or holes anywhere: bool [N, T] with a segment in every clip."""
    kind = draw(st.sampled_from(["none", "prefix", "holes"]))
    if kind == "none":
        return None
    if kind == "prefix":
        return np.arange(shape[1]) < rng.integers(1, shape[1] + 1, shape[0])[:, None]
    valid = rng.random(shape[:2]) < 0.7
    valid[:, 0] |= ~valid.any(axis=1)
    return valid


def shuffled(random, arrays):
    """The arrays [N, ..., C] (or [N, T]) with clips and classes in another order, and the order of classes."""
    clips, classes = list(range(arrays[1].shape[0])), list(range(arrays[1].shape[-1]))
    random.shuffle(clips)
    random.shuffle(classes)
    first, second, valid = arrays
    return (
        (first[clips][..., classes], second[clips][..., classes], None if valid is None else valid[clips]),
        classes,
    )


def track(line):
    """A line of `#` and `.` -> bool [T]."""
    return np.array([mark == "#" for mark in line])


def clip_of(audio, visual):
    """Two lines of `#` and `.` -> bool [N=1, T, M=2, C=1]."""
    return np.stack([track(audio), track(visual)], axis=1)[np.newaxis, :, :, np.newaxis]
