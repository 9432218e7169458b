"""Events against the marks they are made of, words of bits against the same, and matching against a plain search."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.plain_scores import runs
from valor.eval.events import (
    Event,
    Runs,
    events_of,
    match_events,
    num_marked,
    overlap_fraction,
    packed,
    run_edges,
    run_starts,
    unpacked,
)

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 5)))


def mask_from(*lines):
    """One line of `#` and `.` for each class -> bool [T, C]."""
    return np.array([[mark == "#" for mark in line] for line in lines]).T


def test_events_are_maximal_runs_in_time_order():
    mask = mask_from(
        "##.#..",
        ".##.##",
        "......",
    )
    assert events_of(mask, 0.5) == [
        Event(0.0, 1.0, 0),
        Event(0.5, 1.5, 1),
        Event(1.5, 2.0, 0),
        Event(2.0, 3.0, 1),
    ]


@given(MASKS, st.sampled_from([1.0, 0.5, 0.32, 2.0]))
def test_a_mask_survives_the_way_to_events_and_back(mask, segment_seconds):
    events = events_of(mask, segment_seconds)
    marked = np.zeros_like(mask)
    for event in events:
        marked[round(event.onset / segment_seconds) : round(event.offset / segment_seconds), event.class_index] = True
    assert np.array_equal(marked, mask)
    assert events == sorted(events)
    assert len(events) == sum(len(runs(track.tolist())) for track in mask.T)


@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 6), st.integers(1, 12))))
def test_run_edges_find_every_run_of_every_track(tracks):
    stride = tracks.shape[1] + 1
    starts, stops = run_edges(tracks)
    found = [(start // stride, start % stride, stop % stride) for start, stop in zip(starts, stops, strict=True)]
    assert found == [(row, *run) for row, track in enumerate(tracks) for run in runs(track.tolist())]


@pytest.mark.parametrize(("onset", "offset"), [(1, 1), (2, 1), (-1, 1), (float("nan"), 1)])
def test_an_event_lasts_some_time_inside_its_clip(onset, offset):
    with pytest.raises(ValueError, match="0 <= onset < offset"):
        Event(onset, offset, 0)


def test_masks_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="threshold it first"):
        events_of(np.zeros((10, 25)))
    with pytest.raises(ValueError, match=r"bool \[segments, classes\]"):
        events_of(np.zeros((10, 2, 25), dtype=bool))
    with pytest.raises(ValueError, match="positive length"):
        events_of(np.zeros((10, 25), dtype=bool), 0)
    with pytest.raises(ValueError, match="positive length"):
        events_of(np.zeros((10, 25), dtype=bool), float("nan"))


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


TRACKS = st.tuples(st.integers(0, 6), st.sampled_from([1, 7, 8, 9, 16, 17, 33, 63, 64, 65, 130, 200])).flatmap(
    lambda shape: hnp.arrays(np.bool_, shape)
)


@given(TRACKS)
def test_packing_undoes_unpacking(tracks):
    words = packed(tracks)
    assert np.array_equal(unpacked(words, tracks.shape[1]), tracks)
    assert np.array_equal(num_marked(words), tracks.sum(axis=1))


@given(TRACKS)
def test_runs_start_where_a_mark_follows_none_across_the_borders_of_words(tracks):
    starts = tracks.copy()
    starts[:, 1:] &= ~tracks[:, :-1]
    assert np.array_equal(unpacked(run_starts(packed(tracks)), tracks.shape[1]), starts)


@pytest.mark.parametrize(
    ("segments", "words", "bits"),
    [(1, 1, 8), (8, 1, 8), (9, 1, 16), (16, 1, 16), (17, 1, 32), (32, 1, 32), (64, 1, 64), (65, 2, 64)],
)
def test_the_narrowest_words_are_used(segments, words, bits):
    planes = packed(np.zeros((3, segments, 2, 5), dtype=bool))
    assert planes.shape == (words, 3, 2, 5) and planes.dtype.itemsize * 8 == bits
