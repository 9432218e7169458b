"""Intervals over seeds: Student's table, coverage on drawn differences, and what is refused."""

import numpy as np
import pytest

from eval.seed_intervals import seed_interval, student_quantile, student_share


@pytest.mark.parametrize(
    ("freedom", "at_95", "at_99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (9, 2.262, 3.250),
        (30, 2.042, 2.750),
    ],
)
def test_quantiles_are_those_of_students_table(freedom, at_95, at_99):
    assert student_quantile(0.95, freedom) == pytest.approx(at_95, abs=6e-4)
    assert student_quantile(0.99, freedom) == pytest.approx(at_99, abs=6e-4)
    assert student_share(student_quantile(0.95, freedom), freedom) == pytest.approx(0.95)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [seed_interval(rng.normal(1.0, 2.0, 5)) for _ in range(2000)]
    share = np.mean([interval.low < 1.0 < interval.high for interval in held])
    assert share == pytest.approx(0.95, abs=0.015)
    nothing = [seed_interval(rng.normal(0.0, 2.0, 5)).p_value for _ in range(2000)]
    assert np.mean(np.array(nothing) < 0.05) == pytest.approx(0.05, abs=0.015)


def test_equal_differences_leave_no_doubt():
    assert seed_interval([0.5, 0.5, 0.5]).text() == "+0.5 [0.5, 0.5]"
    assert seed_interval([0.5, 0.5]).p_value == 0.0
    assert seed_interval([0.0, 0.0]).p_value == 1.0


@pytest.mark.parametrize(("differences", "confidence"), [([1.0], 0.95), ([], 0.95), ([1.0, 2.0], 1.0)])
def test_one_seed_makes_no_interval(differences, confidence):
    with pytest.raises(ValueError, match="needs at least two and a confidence between 0 and 1"):
        seed_interval(differences, confidence=confidence)
