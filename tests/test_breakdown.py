"""Scores class by class: drawn clips, a plain reference, properties."""

from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.breakdown import breakdown, mean_defined, ratio, scores_at_overlaps
from eval.scores import PER_CLIP, score
from tests.drawn import clip_of, marked, shuffled
from tests.plain_scores import count_events, count_segments

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


def test_macro_and_micro_means_differ_as_documented():
    predicted, truth = np.zeros((2, 1, 4, 2, 3), dtype=bool)
    truth[0, :, 0, 0] = predicted[0, :, 0, 0] = True  # four hits
    truth[0, 0, 0, 1] = True  # a miss; class 2 never occurs
    table = breakdown(predicted, truth)
    assert table.macro_f[0] == 0.5 and table.micro_f[0] == pytest.approx(8 / 9)


def test_blocks_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((2, 25, 10, 2, 5)) < 0.3
    whole = breakdown(predicted, truth, level="event", min_iou=0.7)
    monkeypatch.setattr("eval.breakdown.BLOCK", 10)
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
