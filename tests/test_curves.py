"""Threshold curves against scoring every threshold for itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.counts import event_counts, segment_counts
from eval.curves import scores_at_thresholds, threshold_curves
from eval.scores import score
from tests.drawn import probable, shuffled


@given(probable(), st.sampled_from([("segment", 0.5), ("event", 0.5), ("event", 0.8)]))
def test_every_point_is_what_its_threshold_scores(arrays, kind):
    probs, truth, valid = arrays
    level, min_iou = kind
    kept = np.ones(truth.shape[:2], dtype=bool) if valid is None else valid
    curves = threshold_curves(probs, truth, level=level, valid=valid, min_iou=min_iou)
    for modality, name in np.ndindex(*truth.shape[2:]):
        curve = curves[modality][name]
        distinct = np.unique(probs[:, :, modality, name][kept])[::-1]
        assert np.array_equal(curve.thresholds, distinct)
        for index in {0, len(distinct) // 3, len(distinct) // 2, len(distinct) - 1}:
            marks = probs[..., modality : modality + 1, name : name + 1] >= distinct[index]
            pair = marks, truth[..., modality : modality + 1, name : name + 1]
            counts = (
                segment_counts(*pair, valid=valid)
                if level == "segment"
                else event_counts(*pair, valid=valid, min_iou=min_iou)
            )
            assert curve.counts[index].tolist() == counts.sum(axis=(0, 1, 2)).tolist()


@given(probable(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter(arrays, random):
    mixed, classes = shuffled(random, arrays)
    whole, other = (threshold_curves(*each[:2], valid=each[2], level="event") for each in (arrays, mixed))
    for modality in range(2):
        for place, name in enumerate(classes):
            assert np.array_equal(whole[modality][name].counts, other[modality][place].counts)


@given(probable(), st.floats(0, 1))
def test_counts_at_any_threshold_are_those_of_the_next_one_up(arrays, threshold):
    probs, truth, valid = arrays
    curve = threshold_curves(probs, truth, valid=valid)[0][0]
    kept = np.ones(truth.shape[:2], dtype=bool) if valid is None else valid
    ours, true = (probs[:, :, 0, 0] >= threshold)[kept], truth[:, :, 0, 0][kept]
    assert curve.at(threshold).tolist() == [(ours & true).sum(), (ours & ~true).sum(), (true & ~ours).sum()]


def test_the_best_threshold_of_a_drawn_curve():
    probs = np.array([0.9, 0.8, 0.6, 0.6, 0.2]).reshape(1, 5, 1, 1)
    truth = np.array([True, False, True, True, False]).reshape(1, 5, 1, 1)
    curve = threshold_curves(probs, truth)[0][0]
    assert curve.counts.tolist() == [[1, 0, 2], [1, 1, 2], [3, 1, 0], [3, 2, 0]]
    assert curve.thresholds[curve.best] == 0.6 and curve.f[curve.best] == pytest.approx(6 / 7)
    assert curve.precision.tolist() == [1, 0.5, 0.75, 0.6]
    assert curve.recall == pytest.approx([1 / 3, 1 / 3, 1, 1])
    assert curve.at(0.95).tolist() == [0, 0, 3] and curve.at(0.0).tolist() == [3, 2, 0]


def test_scores_at_thresholds_are_the_ten_figures():
    rng = np.random.default_rng(0)
    probs, truth = rng.random((20, 10, 2, 4)).astype(np.float32), rng.random((20, 10, 2, 4)) < 0.3
    found = scores_at_thresholds(probs, truth, (0.2, 0.7))
    assert found[0.7].to_dict() == score(probs >= 0.7, truth).to_dict() and list(found) == [0.2, 0.7]
    with pytest.raises(ValueError, match="thresholds must be probabilities in 0..1"):
        scores_at_thresholds(probs, truth, (1.2,))


def test_wrong_input_is_refused():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    with pytest.raises(ValueError, match="level must be one of segment, event"):
        threshold_curves(probs, truth, level="clip")
    with pytest.raises(ValueError, match="min_iou must lie in"):
        threshold_curves(probs, truth, level="event", min_iou=0.1)
    with pytest.raises(ValueError, match="segment_probs and truth must both be"):
        threshold_curves(probs, truth[:1])
    with pytest.raises(ValueError, match="curves need at least one valid segment"):
        threshold_curves(probs, truth, valid=np.zeros((2, 10), dtype=bool))
