"""Matching of events against a plain search over all pairs."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.matches import Runs, match_events, overlap_fraction
from tests.plain_scores import runs

PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 14)).flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)


def plain_matches(predicted, truth, min_iou):
    """(index of the predicted event, index of the true event), events numbered through all tracks."""
    found, ours, true = set(), 0, 0
    for one, other in zip(predicted.tolist(), truth.tolist(), strict=True):
        for i, (start, stop) in enumerate(runs(one)):
            for j, (first, last) in enumerate(runs(other)):
                shared = max(0, min(stop, last) - max(start, first))
                if Fraction(shared, (stop - start) + (last - first) - shared) >= min_iou:
                    found.add((ours + i, true + j))
        ours, true = ours + len(runs(one)), true + len(runs(other))
    return found


@given(PAIRS, st.sampled_from([Fraction(1, 2), Fraction(3, 5), Fraction(9, 10), Fraction(1)]))
def test_the_matches_are_those_of_a_search_over_all_pairs(pair, min_iou):
    found = match_events(*pair, min_iou)
    pairs = list(zip(found.of_predicted.tolist(), found.of_true.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) and set(pairs) == plain_matches(*pair, min_iou)
    assert len(set(found.of_predicted.tolist())) == len(set(found.of_true.tolist())) == len(pairs)


def test_runs_know_their_track_and_length():
    found = Runs.of(np.array([[True, True, False, True], [False, True, True, True]]))
    assert (found.track.tolist(), found.length.tolist()) == ([0, 0, 1], [2, 1, 3])


@pytest.mark.parametrize("min_iou", [0.49, 0, 1.01, float("nan")])
def test_an_overlap_that_could_match_twice_is_refused(min_iou):
    with pytest.raises(ValueError, match=r"min_iou must lie in 0.5..1, where no event can match two others, got"):
        overlap_fraction(min_iou)


def test_an_overlap_is_the_fraction_it_is_written_as():
    assert [overlap_fraction(value) for value in (0.55, 1, np.float64(0.7))] == [Fraction(11, 20), 1, Fraction(7, 10)]
