"""Events by duration: drawn clips, a plain reference, properties."""

import numpy as np
import pytest
from hypothesis import given

from eval.counts import event_counts, with_audio_visual
from eval.durations import by_duration
from tests.drawn import clip_of, marked
from tests.plain_scores import iou_reaches_half, runs


def plain_tables(predicted, truth, valid, edges):
    """hits, misses, predicted hits, false alarms: int [M=3, C, D] each, one event at a time."""
    shape = (3, truth.shape[3], len(edges) + 1)
    hits, misses, right, wrong = (np.zeros(shape, dtype=int) for _ in range(4))
    for index in range(len(truth)):
        lasts = len(truth[index]) if valid is None else valid[index].sum()
        for modality in range(3):
            for name in range(truth.shape[3]):
                kept = True if valid is None else valid[index][:, None]  # a hole ends an event, so it stays in
                marks = [array[index, :, :, name] & kept for array in (predicted, truth)]
                ours, true = (runs((m.all(axis=1) if modality == 2 else m[:, modality]).tolist()) for m in marks)

                def cell(event, lasts=lasts, modality=modality, name=name):
                    length = event[1] - event[0]
                    below = sum(edge <= length for edge in edges) - 1
                    return modality, name, len(edges) if length == lasts else below

                for event in true:
                    (hits if any(iou_reaches_half(event, o) for o in ours) else misses)[cell(event)] += 1
                for event in ours:
                    (right if any(iou_reaches_half(event, t) for t in true) else wrong)[cell(event)] += 1
    return hits, misses, right, wrong


@given(marked())
def test_every_bin_agrees_with_the_plain_reference(arrays):
    predicted, truth, valid = arrays
    table = by_duration(predicted, truth, valid=valid)
    edges = [edge for edge in (1, 2, 4) if edge < truth.shape[1]]
    tables = (table.hits, table.misses, table.predicted_hits, table.false_alarms)
    for ours, plain in zip(tables, plain_tables(predicted, truth, valid, edges), strict=True):
        assert np.array_equal(ours, plain)


@given(marked())
def test_bins_add_up_to_the_event_counts(arrays):
    predicted, truth, valid = arrays
    table = by_duration(predicted, truth, valid=valid, min_iou=0.7, edges=(1, 3))
    counts = event_counts(with_audio_visual(predicted), with_audio_visual(truth), valid=valid, min_iou=0.7).sum(axis=0)
    tables = table.hits, table.false_alarms, table.misses
    assert np.array_equal(np.stack([cells.sum(axis=2) for cells in tables], axis=-1), counts)
    assert table.predicted_hits.sum() == table.hits.sum()


@given(marked())
def test_swapping_prediction_and_truth_swaps_the_two_sides(arrays):
    predicted, truth, valid = arrays
    table, swapped = by_duration(predicted, truth, valid=valid), by_duration(truth, predicted, valid=valid)
    assert np.array_equal(table.hits, swapped.predicted_hits)
    assert np.array_equal(table.misses, swapped.false_alarms)


def test_drawn_events_fall_into_their_bins():
    truth = clip_of("##########", "#..###.##.")
    predicted = clip_of("#########.", "#..#....##")
    table = by_duration(predicted, truth)
    assert table.bins == ("1", "2-3", "4-9", "whole clip")
    assert table.hits[0, 0].tolist() == [0, 0, 0, 1] and table.predicted_hits[0, 0].tolist() == [0, 0, 1, 0]
    assert table.hits[1, 0].tolist() == [1, 0, 0, 0] and table.misses[1, 0].tolist() == [0, 2, 0, 0]
    assert table.false_alarms[1, 0].tolist() == [1, 1, 0, 0]
    assert table.recall[1].tolist()[:2] == [1, 0] and np.isnan(table.recall[1][2])
    assert table.precision[1].tolist()[:2] == [0.5, 0]


def test_the_whole_of_a_short_clip_is_a_whole_clip():
    valid = np.array([[True, True, False, False]])
    table = by_duration(clip_of("##..", "...."), clip_of("####", "...."), valid=valid)
    assert table.bins == ("1", "2-3", "whole clip") and table.hits[0, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("segments", "bins"), [(1, ("whole clip",)), (2, ("1", "whole clip")), (5, ("1", "2-3", "4", "whole clip"))]
)
def test_bins_that_only_a_whole_clip_reaches_are_left_out(segments, bins):
    marks = np.ones((1, segments, 2, 1), dtype=bool)
    table = by_duration(marks, marks)
    assert table.bins == bins and table.hits[:, 0, -1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("edges", [(), (2, 4), (1, 4, 4), (1, 3, 2)])
def test_edges_that_do_not_ascend_from_one_are_refused(edges):
    marks = np.ones((1, 10, 2, 1), dtype=bool)
    with pytest.raises(ValueError, match="edges must be whole segments that ascend from 1"):
        by_duration(marks, marks, edges=edges)


def test_wrong_input_is_refused():
    marks = np.ones((1, 10, 2, 1), dtype=bool)
    with pytest.raises(ValueError, match="min_iou must lie in"):
        by_duration(marks, marks, min_iou=0.2)
    with pytest.raises(ValueError, match="of one shape"):
        by_duration(marks, marks[:, :5])
    with pytest.raises(ValueError, match="valid must be bool"):
        by_duration(marks, marks, valid=np.ones((1, 9), dtype=bool))
