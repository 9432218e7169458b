"""Counting hits, false alarms and misses: drawn timelines, properties, and a plain reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.plain_scores import count_events, count_segments
from valor.eval.counts import event_counts, segment_counts, with_audio_visual


def track(line):
    """A line of `#` and `.` -> bool [N=1, T, M=1, C=1]."""
    return np.array([mark == "#" for mark in line]).reshape(1, -1, 1, 1)


@st.composite
def pairs(draw):
    """Two arrays bool [N, T, M, C] of one shape."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 3), st.integers(1, 4)))
    return draw(hnp.arrays(np.bool_, shape)), draw(hnp.arrays(np.bool_, shape))


def plain(predicted, truth, count):
    """Counts of every track, one at a time: int [N, M, C, 3]."""
    clips, _, modalities, classes = predicted.shape
    counts = np.zeros((clips, modalities, classes, 3), dtype=int)
    for index in np.ndindex(clips, modalities, classes):
        clip, modality, name = index
        counts[index] = count(predicted[clip, :, modality, name].tolist(), truth[clip, :, modality, name].tolist())
    return counts


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ("##........", "..########", (0, 1, 1)),  # no overlap
        ("####......", "####......", (1, 0, 0)),  # the same
        ("##........", "####......", (1, 0, 0)),  # 2 of 4: exactly half is enough
        ("##........", "#####.....", (0, 1, 1)),  # 2 of 5 is not
        ("##.##.....", "#####.....", (0, 2, 1)),  # a hole makes two events, neither reaches half
        ("###.#.....", "#####.....", (1, 1, 0)),  # 3 of 5 does, the second is a false alarm
        ("##########", "####..####", (0, 1, 2)),  # one long prediction hits neither of two: 4 of 10
        ("##########", "######.###", (1, 0, 1)),  # 6 of 10 hits the longer one
        ("..........", "##..##..##", (0, 0, 3)),
        ("#.#.#.#.#.", "..........", (0, 5, 0)),
    ],
)
def test_drawn_events(predicted, truth, expected):
    assert tuple(event_counts(track(predicted), track(truth))[0, 0, 0]) == expected


def test_drawn_segments():
    predicted, truth = track("##..#"), track(".##.#")
    assert segment_counts(predicted, truth)[0, 0, 0].tolist() == [2, 1, 1]


@given(pairs())
def test_both_levels_agree_with_the_plain_reference(arrays):
    predicted, truth = arrays
    assert np.array_equal(segment_counts(predicted, truth), plain(predicted, truth, count_segments))
    assert np.array_equal(event_counts(predicted, truth), plain(predicted, truth, count_events))


@given(pairs())
def test_swapping_prediction_and_truth_swaps_false_alarms_and_misses(arrays):
    predicted, truth = arrays
    for count in (segment_counts, event_counts):
        assert np.array_equal(count(predicted, truth)[..., [0, 2, 1]], count(truth, predicted))


@given(pairs())
def test_hits_and_misses_are_the_true_events_and_time_may_run_backwards(arrays):
    predicted, truth = arrays
    counts = event_counts(predicted, truth)
    onsets = truth.copy()
    onsets[:, 1:] &= ~truth[:, :-1]
    assert np.array_equal(counts[..., 0] + counts[..., 2], onsets.sum(axis=1))
    assert np.array_equal(event_counts(predicted[:, ::-1], truth[:, ::-1]), counts)


@given(pairs(), st.data())
def test_adding_a_missed_event_never_lowers_hits(arrays, data):
    predicted, truth = arrays
    lasts = truth.any(axis=(0, 2, 3))
    if not (truth & ~predicted).any():
        return
    clip, segment, modality, name = data.draw(st.sampled_from(np.argwhere(truth & ~predicted).tolist()))
    start = segment
    while start > 0 and truth[clip, start - 1, modality, name]:
        start -= 1
    stop = segment + 1
    while stop < len(lasts) and truth[clip, stop, modality, name]:
        stop += 1
    alone = predicted.copy()
    alone[clip, max(start - 1, 0) : stop + 1, modality, name] = False  # nothing touches the event that is added
    added = alone.copy()
    added[clip, start:stop, modality, name] = True
    for count in (segment_counts, event_counts):
        gain = count(added, truth) - count(alone, truth)
        assert (gain[..., 0] >= 0).all() and gain[clip, modality, name, 0] >= 1
        assert (gain[..., 1] == 0).all()


@pytest.mark.parametrize(("min_iou", "hits"), [(0.5, 1), (0.55, 1), (0.6, 1), (0.6000001, 0), (0.7, 0), (1, 0)])
def test_a_stricter_overlap_is_compared_exactly(min_iou, hits):
    predicted, truth = track("###.."), track("#####")  # 3 of 5
    assert event_counts(predicted, truth, min_iou=min_iou)[0, 0, 0, 0] == hits


def test_every_overlap_that_is_a_short_decimal_counts_as_reached():
    for hundredths in range(50, 101):  # 0.55 * 20 is above 11 in floating point, and the like
        truth = np.ones((1, 100, 1, 1), dtype=bool)
        predicted = np.arange(100).reshape(truth.shape) < hundredths
        assert event_counts(predicted, truth, min_iou=hundredths / 100)[0, 0, 0, 0] == 1, hundredths


@given(pairs(), st.data())
def test_segments_that_are_not_valid_count_as_if_cut_off(arrays, data):
    predicted, truth = arrays
    length = data.draw(st.integers(1, predicted.shape[1]))
    valid = np.zeros(predicted.shape[:2], dtype=bool)
    valid[:, :length] = True
    truth = truth & valid[:, :, None, None]
    for count in (segment_counts, event_counts):
        assert np.array_equal(count(predicted, truth, valid=valid), count(predicted[:, :length], truth[:, :length]))


def test_long_clips_do_not_overflow_the_narrow_counter():
    everything = np.ones((1, 70_000, 1, 1), dtype=bool)
    assert segment_counts(everything, everything)[0, 0, 0].tolist() == [70_000, 0, 0]
    assert event_counts(everything, everything)[0, 0, 0].tolist() == [1, 0, 0]


def test_a_strided_view_counts_like_its_copy():
    rng = np.random.default_rng(3)
    predicted, truth = rng.random((2, 4, 3, 2, 9)) < 0.5
    predicted, truth = predicted.transpose(0, 3, 2, 1), truth.transpose(0, 3, 2, 1)  # class first, as published
    for count in (segment_counts, event_counts):
        assert np.array_equal(count(predicted, truth), count(predicted.copy(), truth.copy()))


def test_audio_visual_is_where_both_are():
    marks = np.array([[[True, True, False], [True, False, False]]])
    assert with_audio_visual(marks).tolist() == [[*marks[0].tolist(), [True, False, False]]]


@pytest.mark.parametrize("marks", [np.zeros((2, 5)), np.zeros((3, 5), dtype=bool), np.zeros(2, dtype=bool)])
def test_audio_visual_needs_two_modalities(marks):
    with pytest.raises(ValueError, match=r"2 modalities \(audio, visual\)"):
        with_audio_visual(marks)


@pytest.mark.parametrize("count", [segment_counts, event_counts])
def test_arrays_that_do_not_belong_together_are_refused(count):
    marks = np.zeros((2, 10, 3, 25), dtype=bool)
    for other in (marks[:1], marks.astype(float), marks[:, :, :, 0], marks.astype(np.uint8)):
        with pytest.raises(ValueError, match="of one shape"):
            count(other, marks)
    with pytest.raises(ValueError, match="at least one segment"):
        count(marks[:, :0], marks[:, :0])
    for valid in (np.ones((2, 9), dtype=bool), np.ones((2, 10))):
        with pytest.raises(ValueError, match=r"valid must be bool \[clips, segments\] \(2, 10\)"):
            count(marks, marks, valid=valid)


@pytest.mark.parametrize("min_iou", [0.3, 0.0, 1.1, float("nan")])
def test_an_overlap_below_half_is_refused(min_iou):
    with pytest.raises(ValueError, match="min_iou must lie in 0.5..1"):
        event_counts(track("#"), track("#"), min_iou=min_iou)
