"""Masks and events: one is the other, written differently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.events import Event, events_of, mask_of, run_edges
from tests.plain_scores import runs

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
    assert np.array_equal(mask_of(events, *mask.shape, segment_seconds), mask)
    assert events == sorted(events)
    assert len(events) == sum(len(runs(track.tolist())) for track in mask.T)


@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 6), st.integers(1, 12))))
def test_run_edges_find_every_run_of_every_track(tracks):
    stride = tracks.shape[1] + 1
    starts, stops = run_edges(tracks)
    found = [(start // stride, start % stride, stop % stride) for start, stop in zip(starts, stops, strict=True)]
    assert found == [(row, *run) for row, track in enumerate(tracks) for run in runs(track.tolist())]


def test_touching_and_overlapping_events_merge():
    mask = mask_of([Event(0, 2, 0), Event(2, 3, 0), Event(1, 3, 0)], num_segments=4, num_classes=1)
    assert np.array_equal(mask, mask_from("###."))


@pytest.mark.parametrize(("onset", "offset"), [(1, 1), (2, 1), (-1, 1), (float("nan"), 1)])
def test_an_event_lasts_some_time_inside_its_clip(onset, offset):
    with pytest.raises(ValueError, match="0 <= onset < offset"):
        Event(onset, offset, 0)


@pytest.mark.parametrize("event", [Event(0, 11, 0), Event(0, 1, 2), Event(0, 1, -1), Event(0.5, 1, 0)])
def test_events_off_the_grid_are_refused(event):
    with pytest.raises(ValueError, match="grid of 10 segments of 1.0 s and 2 classes"):
        mask_of([event], num_segments=10, num_classes=2)


def test_masks_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="threshold it first"):
        events_of(np.zeros((10, 25)))
    with pytest.raises(ValueError, match=r"bool \[segments, classes\]"):
        events_of(np.zeros((10, 2, 25), dtype=bool))
    with pytest.raises(ValueError, match="positive length"):
        events_of(np.zeros((10, 25), dtype=bool), 0)
    with pytest.raises(ValueError, match="positive length"):
        mask_of([], 10, 25, float("nan"))
