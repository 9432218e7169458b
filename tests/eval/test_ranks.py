"""Rank correlations: known values, ties, and what orders nothing."""

import math

import pytest

from valor.eval.ranks import kendall, spearman


def test_the_same_order_is_one_and_the_opposite_minus_one():
    for correlation in (spearman, kendall):
        assert correlation([1, 2, 3, 9], [0.1, 5, 6, 7]) == pytest.approx(1)
        assert correlation([1, 2, 3, 9], [7, 6, 5, 0.1]) == pytest.approx(-1)


def test_ties_share_their_ranks():
    # Kendall's tau-b by hand: 4 pairs agree, 1 disagrees, one is tied in the first list
    assert kendall([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(5 / math.sqrt(5 * 6))
    # ranks 0 1.5 1.5 3 and 0 2 1 3
    assert spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_what_orders_nothing_has_no_correlation():
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3])) and math.isnan(kendall([2.0], [1.0]))


@pytest.mark.parametrize("other", [[1.0], [1.0, math.nan], [1.0, math.inf]])
def test_lists_that_are_no_pair_are_refused(other):
    with pytest.raises(ValueError, match="two lists of as many finite numbers"):
        spearman([1.0, 2.0], other)
