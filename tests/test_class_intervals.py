"""Intervals around the F of every class."""

import numpy as np
import pytest

from eval.breakdown import breakdown
from eval.class_intervals import class_intervals

RNG = np.random.default_rng(3)
TRUTH = RNG.random((60, 10, 2, 4)) > 0.6
PREDICTED = TRUTH ^ (RNG.random(TRUTH.shape) > 0.8)


@pytest.mark.parametrize("level", ["segment", "event"])
def test_the_interval_holds_the_figure_and_narrows_with_clips(level):
    low, high = class_intervals(PREDICTED, TRUTH, level=level)
    f_scores = breakdown(PREDICTED, TRUTH, level=level).f[:2]
    assert (low < f_scores).all() and (f_scores < high).all()
    many = class_intervals(*(np.tile(marks, (9, 1, 1, 1)) for marks in (PREDICTED, TRUTH)), level=level)
    assert np.allclose((many[1] - many[0]) / (high - low), 1 / 3, rtol=0.35)


def test_it_is_the_spread_of_resampled_clips():
    low, high = class_intervals(PREDICTED, TRUTH, resamples=4000)
    rng = np.random.default_rng(9)
    drawn = [rng.integers(0, 60, 60) for _ in range(800)]
    plain = np.quantile([breakdown(PREDICTED[rows], TRUTH[rows]).f[:2] for rows in drawn], [0.025, 0.975], axis=0)
    assert np.allclose([low, high], plain, atol=0.012)


def test_a_class_that_never_occurs_has_none_and_a_perfect_one_no_width():
    truth = TRUTH.copy()
    truth[:, :, 0, 1] = False
    low, high = class_intervals(truth, truth)
    assert np.isnan(low[0, 1]) and np.isnan(high[0, 1])
    assert low[1, 1] == high[1, 1] == 1


def test_segments_that_do_not_exist_do_not_count():
    valid = np.zeros((60, 10), dtype=bool)
    valid[:, :4] = True
    expected = class_intervals(PREDICTED[:, :4], TRUTH[:, :4])
    assert np.array_equal(class_intervals(PREDICTED, TRUTH, valid=valid), expected)


@pytest.mark.parametrize("options", [{"level": "clip"}, {"resamples": 0}, {"confidence": 1.0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="level must be one of segment, event, resamples at least 1 and confidence"):
        class_intervals(PREDICTED, TRUTH, **options)
