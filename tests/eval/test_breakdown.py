"""Breakdowns by class, confusion, duration and modality alone: drawn clips, plain references, properties."""

from fractions import Fraction
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import clip_of, marked, shuffled
from tests.helpers.plain_scores import count_events, count_segments, f_of_clip, iou_reaches_half, runs
from valor.eval.breakdown import (
    breakdown,
    by_duration,
    confusion,
    exclusive_marks,
    exclusive_scores,
    mean_defined,
    ratio,
    scores_at_overlaps,
)
from valor.eval.counts import event_counts, segment_counts, with_audio_visual
from valor.eval.scores import PER_CLIP, score

COUNTERS = {"segment": count_segments, "event": count_events}


def plain_cell(predicted, truth, valid, count, tracks_of):
    """Counts of one class added over clips, and the mean F and number of the clips that mark it."""
    total, values = [0, 0, 0], []
    for index in range(len(truth)):
        lasts = True if valid is None else valid[index][:, None]  # a hole ends an event, so it stays in
        pairs = zip(tracks_of(predicted[index] & lasts), tracks_of(truth[index] & lasts), strict=True)
        counts = np.sum([count(ours.tolist(), true.tolist()) for ours, true in pairs], axis=0).tolist()
        total = [sum(pair) for pair in zip(total, counts, strict=True)]
        if any(counts):
            values.append(2 * counts[0] / (2 * counts[0] + counts[1] + counts[2]))
    return total, fmean(values) if values else float("nan"), len(values)


@given(marked(), st.sampled_from(["segment", "event"]))
def test_every_cell_agrees_with_the_plain_reference(arrays, level):
    predicted, truth, valid = arrays
    table = breakdown(predicted, truth, level=level, valid=valid)
    kinds = {
        "audio": lambda marks: [marks[:, 0]],
        "visual": lambda marks: [marks[:, 1]],
        "audio_visual": lambda marks: [marks[:, 0] & marks[:, 1]],
        "event_av": lambda marks: [marks[:, 0], marks[:, 1]],
    }
    for row, name in enumerate(PER_CLIP):
        for index in range(truth.shape[3]):
            pair = predicted[..., index], truth[..., index]
            counts, clip_f, clips = plain_cell(*pair, valid, COUNTERS[level], kinds[name])
            assert table.counts[row, index].tolist() == counts
            assert table.clip_f[row, index] == pytest.approx(clip_f, abs=1e-12, nan_ok=True)
            assert table.clips[row, index] == clips


@given(marked(), st.randoms(use_true_random=False), st.sampled_from(["segment", "event"]))
def test_the_order_of_clips_and_classes_does_not_matter(arrays, random, level):
    mixed, classes = shuffled(random, arrays)
    table = breakdown(*arrays[:2], valid=arrays[2], level=level)
    other = breakdown(*mixed[:2], valid=mixed[2], level=level)
    assert np.array_equal(table.counts[:, classes], other.counts)
    assert table.clip_f[:, classes] == pytest.approx(other.clip_f, nan_ok=True)


@given(marked(), st.sampled_from(["segment", "event"]))
def test_swapping_prediction_and_truth_swaps_precision_and_recall(arrays, level):
    predicted, truth, valid = arrays
    table, swapped = (breakdown(*pair, valid=valid, level=level) for pair in ((predicted, truth), (truth, predicted)))
    assert np.array_equal(table.precision, swapped.recall, equal_nan=True)
    assert np.array_equal(table.f, swapped.f, equal_nan=True)
    assert np.array_equal(table.true, swapped.predicted)


def test_the_two_means_of_a_class_differ_as_documented():
    # clip 0: heard ####, predicted ####   F = 1;  clip 1: heard #..., predicted .###   F = 0
    predicted, truth = (
        np.concatenate([clip_of(one, "...."), clip_of(other, "....")])
        for one, other in (("####", ".###"), ("####", "#..."))
    )
    table = breakdown(predicted, truth)
    assert table.counts[0, 0].tolist() == [4, 3, 1]
    assert table.f[0, 0] == pytest.approx(8 / 12) and table.clip_f[0, 0] == 0.5
    assert np.isnan(table.f[1, 0]) and np.isnan(table.macro_f[1]) and table.clips[1, 0] == 0


def test_the_macro_mean_is_of_the_classes_that_occur():
    predicted, truth = np.zeros((2, 1, 4, 2, 3), dtype=bool)
    truth[0, :, 0, 0] = predicted[0, :, 0, 0] = True  # four hits
    truth[0, 0, 0, 1] = True  # a miss; class 2 never occurs
    table = breakdown(predicted, truth)
    assert table.macro_f[0] == 0.5


def test_blocks_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((2, 25, 10, 2, 5)) < 0.3
    whole = breakdown(predicted, truth, level="event", min_iou=0.7)
    monkeypatch.setattr("valor.eval.breakdown.BLOCK", 10)
    parts = breakdown(predicted, truth, level="event", min_iou=0.7)
    assert np.array_equal(parts.counts, whole.counts) and parts.clip_f == pytest.approx(whole.clip_f)


def test_rows_name_modality_and_class_and_speak_in_percent():
    rows = breakdown(clip_of("##..", "...."), clip_of("####", "....")).rows(["Dog"])
    assert [row["modality"] for row in rows] == list(PER_CLIP)
    assert rows[0]["class"] == "Dog" and (rows[0]["true"], rows[0]["predicted"], rows[0]["misses"]) == (4, 2, 2)
    assert (rows[0]["precision"], rows[0]["recall"], rows[0]["f"]) == (100, 50, pytest.approx(200 / 3))
    with pytest.raises(ValueError, match="class_names must name 1 classes, got 2"):
        breakdown(clip_of("#", "#"), clip_of("#", "#")).rows(["Dog", "Cat"])


def test_event_scores_at_several_overlaps():
    predicted, truth = clip_of("###..", "....."), clip_of("#####", ".....")  # 3 of 5
    found = scores_at_overlaps(predicted, truth)
    assert {overlap: scores.audio for overlap, scores in found.items()} == {0.5: 100, 0.6: 100, 0.7: 0, 0.8: 0, 0.9: 0}
    assert found[0.5] == score(predicted, truth).event
    with pytest.raises(ValueError, match=r"min_iou must lie in 0.5..1"):
        scores_at_overlaps(predicted, truth, min_ious=(0.3,))


def test_what_is_undefined_is_left_out_of_means():
    assert ratio(np.array([1, 0]), np.array([2, 0])) == pytest.approx([0.5, np.nan], nan_ok=True)
    assert mean_defined(np.array([[1.0, np.nan], [np.nan, np.nan]])) == pytest.approx([1, np.nan], nan_ok=True)


def test_wrong_input_is_refused():
    marks = np.zeros((2, 10, 2, 5), dtype=bool)
    with pytest.raises(ValueError, match="level must be one of segment, event, got 'clip'"):
        breakdown(marks, marks, level="clip")
    with pytest.raises(ValueError, match="turn probabilities into decisions"):
        breakdown(marks.astype(float), marks)
    with pytest.raises(ValueError, match=r"2 modalities \(audio, visual\)"):
        breakdown(marks[:, :, :1], marks[:, :, :1])


def plain_confusion(predicted, truth, valid):
    """Exact shares [M][C][C + 1]."""
    clips, segments, modalities, classes = truth.shape
    matrix = [[[Fraction(0)] * (classes + 1) for _ in range(classes)] for _ in range(modalities)]
    for clip, segment, modality in np.ndindex(clips, segments, modalities):
        if valid is not None and not valid[clip, segment]:
            continue
        ours, true = predicted[clip, segment, modality], truth[clip, segment, modality]
        false = [name for name in range(classes) if ours[name] and not true[name]]
        for name in range(classes):
            if true[name] and ours[name]:
                matrix[modality][name][name] += 1
            elif true[name]:
                for other in false or [classes]:
                    matrix[modality][name][other] += Fraction(1, max(len(false), 1))
    return np.array(matrix, dtype=float)


@given(st.integers(1, 3).flatmap(lambda modalities: marked(modalities)))
def test_every_cell_agrees_with_the_plain_reference_confusion(arrays):
    predicted, truth, valid = arrays
    matrix = confusion(predicted, truth, valid=valid)
    assert np.abs(matrix - plain_confusion(predicted, truth, valid)).max() < 1e-9
    counts = segment_counts(predicted, truth, valid=valid).sum(axis=0)
    assert matrix.sum(axis=2) == pytest.approx(counts[..., 0] + counts[..., 2])  # every true segment once


@given(marked(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter_confusion(arrays, random):
    mixed, classes = shuffled(random, arrays)
    matrix = confusion(*arrays[:2], valid=arrays[2])[:, classes][:, :, [*classes, len(classes)]]
    assert confusion(*mixed[:2], valid=mixed[2]) == pytest.approx(matrix)


def test_a_miss_is_shared_by_the_classes_falsely_marked_there():
    predicted, truth = np.zeros((2, 1, 2, 1, 4), dtype=bool)
    truth[0, :, 0, [0, 1]] = True
    predicted[0, 0, 0, [1, 2, 3]] = True  # class 0 missed, 2 and 3 false; in the second segment both missed, none false
    assert confusion(predicted, truth)[0].tolist() == [
        [0, 0, 0.5, 0.5, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_wrong_input_is_refused_confusion():
    marks = np.zeros((1, 2, 2, 3), dtype=bool)
    with pytest.raises(ValueError, match="of one shape"):
        confusion(marks, marks[..., :2])
    with pytest.raises(ValueError, match="valid must be bool"):
        confusion(marks, marks, valid=np.ones((2, 2), dtype=bool))


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


def test_wrong_input_is_refused_durations():
    marks = np.ones((1, 10, 2, 1), dtype=bool)
    with pytest.raises(ValueError, match="min_iou must lie in"):
        by_duration(marks, marks, min_iou=0.2)
    with pytest.raises(ValueError, match="of one shape"):
        by_duration(marks, marks[:, :5])
    with pytest.raises(ValueError, match="valid must be bool"):
        by_duration(marks, marks, valid=np.ones((1, 9), dtype=bool))


def plain_exclusive(predicted, truth, valid):
    """Per-clip values [N][2 levels][2 figures]."""
    values = []
    for index in range(len(truth)):
        only = []
        for marks in (predicted[index], truth[index]):
            if valid is not None:
                marks = marks & valid[index][:, None, None]
            only.append((marks[:, 0] & ~marks[:, 1], marks[:, 1] & ~marks[:, 0]))
        values.append(
            [
                [
                    f_of_clip([count(p.tolist(), t.tolist()) for p, t in zip(only[0][k].T, only[1][k].T, strict=True)])
                    for k in (0, 1)
                ]
                for count in (count_segments, count_events)
            ]
        )
    return np.array(values)


@given(marked())
def test_per_clip_values_agree_with_the_plain_reference(arrays):
    predicted, truth, valid = arrays
    scores = exclusive_scores(predicted, truth, valid=valid)
    plain = plain_exclusive(predicted, truth, valid)
    assert np.abs(scores.per_clip - plain).max() < 1e-12
    figures = scores.to_dict()
    assert figures["segment"]["audible_only"] == pytest.approx(100 * plain[:, 0, 0].mean(), abs=1e-9)
    assert figures["event"]["visible_only"] == pytest.approx(100 * plain[:, 1, 1].mean(), abs=1e-9)
    assert figures["clips"] == len(truth)


@given(marked())
def test_swapping_the_modalities_swaps_the_figures(arrays):
    predicted, truth, valid = arrays
    scores = exclusive_scores(predicted, truth, valid=valid)
    swapped = exclusive_scores(predicted[:, :, ::-1], truth[:, :, ::-1], valid=valid)
    assert np.array_equal(scores.per_clip, swapped.per_clip[:, :, ::-1])


def test_an_event_seen_in_its_middle_is_audible_only_twice():
    marks = clip_of("######", "..##..")
    assert exclusive_marks(marks)[0, :, :, 0].T.astype(int).tolist() == [[1, 1, 0, 0, 1, 1], [0] * 6]
    scores = exclusive_scores(clip_of("##....", "......"), marks)  # finds the first of the two
    assert scores.event.audible_only == pytest.approx(200 / 3) and scores.event.visible_only == 100


def test_copying_sounds_to_the_picture_earns_nothing():
    truth = clip_of("####", "....")
    both = clip_of("####", "####")
    assert exclusive_scores(both, truth).segment.audible_only == 0
    assert exclusive_scores(truth, truth).segment.audible_only == 100


def test_blocks_join_without_a_seam_exclusive(monkeypatch):
    rng = np.random.default_rng(4)
    predicted, truth = rng.random((2, 25, 10, 2, 5)) < 0.3
    whole = exclusive_scores(predicted, truth)
    monkeypatch.setattr("valor.eval.breakdown.BLOCK", 10)
    assert np.array_equal(exclusive_scores(predicted, truth).per_clip, whole.per_clip)


def test_wrong_input_is_refused_exclusive():
    marks = np.zeros((2, 10, 2, 5), dtype=bool)
    with pytest.raises(ValueError, match="at least one clip"):
        exclusive_scores(marks[:0], marks[:0])
    with pytest.raises(ValueError, match=r"2 modalities \('audio', 'visual'\)"):
        exclusive_scores(marks[:, :, :1], marks[:, :, :1])
    with pytest.raises(ValueError, match="every clip needs a valid segment"):
        exclusive_scores(marks, marks, valid=np.zeros((2, 10), dtype=bool))
