"""A linear probe, retrieval and seconds in step on vectors of which it is known what they hold."""

import numpy as np
import pytest

from valor.eval.average_precision import segment_precision
from valor.eval.intervals import Interval
from valor.pretraining.measure import Seconds, draws_of, fit_probe, in_step, over_clips, retrieved

N, T, D, C = 12, 4, 6, 3
RNG = np.random.default_rng(0)
TRUTH = RNG.random((2 * N, T, C)) < 0.4
VALID = np.ones((2 * N, T), bool)


def probed(vectors: np.ndarray, valid: np.ndarray = VALID) -> Interval:
    one, other = (Seconds(vectors[rows], TRUTH[rows], valid[rows]) for rows in (slice(N), slice(N, None)))
    return fit_probe(one).judge(other, draws_of(N, 20)).interval()


def test_what_vectors_hold_is_found_and_nothing_where_they_hold_nothing():
    told = TRUTH @ RNG.normal(size=(C, D)) + 5
    found = probed(told)
    assert found.value == pytest.approx(100)
    noise = probed(RNG.normal(size=(2 * N, T, D)))
    share = 100 * TRUTH[N:].mean()
    assert noise.low < noise.value < noise.high
    assert abs(noise.value - share) < 20 < found.value - noise.value
    cut = VALID.copy()
    cut[:, 3:] = False
    hidden = np.where(cut[..., None], told, RNG.normal(size=told.shape))
    assert probed(hidden, cut).value == pytest.approx(100)


def test_a_clip_is_found_by_what_its_seconds_share_and_a_second_by_what_is_its_own():
    own, shared = RNG.normal(size=(N, T, D)), np.repeat(RNG.normal(size=(N, 1, D)), T, axis=1)
    valid = VALID[:N].copy()
    valid[0, 2:] = False
    assert retrieved(own, own, valid)[1].all() and (in_step(own, own, valid) == 1).all()
    assert retrieved(shared, shared, valid)[1].all()
    assert in_step(shared, shared, valid).tolist() == pytest.approx([1 / 2, *[1 / T] * 11])
    junk = np.where(valid[..., None], own, 1e6)
    assert retrieved(junk, own, valid)[1].all() and (in_step(junk, own, valid) == 1).all()


def test_figures_of_the_same_clips_are_drawn_in_pairs():
    times = draws_of(N, 30)
    hard = RNG.random(N)  # what is hard for one is as hard for the other
    one, other = over_clips(hard, times), over_clips(hard / 2 + 1 / 4, times)
    assert one.value == pytest.approx(100 * hard.mean())
    assert one.draws.tolist() == pytest.approx((100 * (times @ hard)[1:] / N).tolist())
    over, unpaired = one.minus(other).interval(), one.interval()
    assert over.low <= over.value <= over.high
    assert over.high - over.low == pytest.approx((unpaired.high - unpaired.low) / 2)
    rows = np.repeat(np.arange(N), times[3])
    vectors = TRUTH[N:] @ RNG.normal(size=(C, D)) + RNG.normal(size=(N, T, D))
    asked = Seconds(vectors, TRUTH[N:], VALID[N:])
    found = fit_probe(asked)
    scores = 1 / (1 + np.exp(-(((vectors - found.mean) / found.deviation) @ found.weights[:-1] + found.weights[-1])))
    expected = segment_precision(scores[rows][:, :, None], TRUTH[N:][rows][:, :, None]).mean[0]
    assert found.judge(asked, times).draws[2] == pytest.approx(100 * expected)
