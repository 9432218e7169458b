"""A linear probe, retrieval and seconds in step on vectors of which it is known what they hold."""

import numpy as np
import pytest

from valor.pretraining.measure import Seconds, in_step, probe, retrieved

N, T, D, C = 12, 4, 6, 3
RNG = np.random.default_rng(0)
TRUTH = RNG.random((2 * N, T, C)) < 0.4
VALID = np.ones((2 * N, T), bool)


def sets(vectors: np.ndarray, valid: np.ndarray = VALID) -> tuple[Seconds, Seconds]:
    one, other = (Seconds(vectors[rows], TRUTH[rows], valid[rows]) for rows in (slice(N), slice(N, None)))
    return one, other


def test_what_vectors_hold_is_found_and_nothing_where_they_hold_nothing():
    told = TRUTH @ RNG.normal(size=(C, D)) + 5
    found = probe(*sets(told), resamples=20)
    assert found.value == pytest.approx(100)
    noise = probe(*sets(RNG.normal(size=(2 * N, T, D))), resamples=20)
    share = 100 * TRUTH[N:].mean()
    assert noise.low < noise.value < noise.high
    assert abs(noise.value - share) < 20 < found.value - noise.value
    cut = VALID.copy()
    cut[:, 3:] = False
    hidden = np.where(cut[..., None], told, RNG.normal(size=told.shape))
    assert probe(*sets(hidden, cut), resamples=2).value == pytest.approx(100)


def test_a_clip_is_found_by_what_its_seconds_share_and_a_second_by_what_is_its_own():
    own, shared = RNG.normal(size=(N, T, D)), np.repeat(RNG.normal(size=(N, 1, D)), T, axis=1)
    valid = VALID[:N].copy()
    valid[0, 2:] = False
    assert retrieved(own, own, valid)[1] == in_step(own, own, valid)[0] == 100
    assert retrieved(shared, shared, valid)[1] == 100
    step, chance = in_step(shared, shared, valid)
    assert step == pytest.approx(chance) == pytest.approx(100 * (11 / T + 1 / 2) / N)
    junk = np.where(valid[..., None], own, 1e6)
    assert in_step(junk, own, valid)[0] == retrieved(junk, own, valid)[1] == 100
