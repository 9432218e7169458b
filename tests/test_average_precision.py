"""Average precision of segments and events against a plain reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.average_precision import MIN_IOUS, event_precision, precision_of_proposals, segment_precision
from eval.counts import with_audio_visual
from eval.probabilities import probs_with_audio_visual
from eval.proposals import THRESHOLDS, proposals_of
from tests.drawn import probable, shuffled
from tests.plain_precision import plain_average_precision, plain_found, plain_proposals
from tests.plain_scores import runs


def lasting(truth, valid):
    return np.ones(truth.shape[:2], dtype=bool) if valid is None else valid


@given(probable())
def test_segment_precision_agrees_with_the_plain_reference(arrays):
    probs, truth, valid = arrays
    kept = lasting(truth, valid)
    table = segment_precision(probs, truth, valid=valid)
    for modality, name in np.ndindex(*truth.shape[2:]):
        chosen = probs[:, :, modality, name][kept].tolist(), truth[:, :, modality, name][kept].tolist()
        plain = plain_average_precision(list(zip(*chosen, strict=True)), sum(chosen[1]), envelope=False)
        assert table.per_class[modality, name] == pytest.approx(plain, abs=1e-12, nan_ok=True)


@given(probable(longest=8), st.sampled_from([(0.5,), (0.1, 0.4, 0.9)]))
def test_event_precision_agrees_with_the_plain_reference(arrays, min_ious):
    probs, truth, valid = arrays
    probs = np.round(probs.astype(np.float64) * 8) / 8  # sums are exact, so equal scores are equal in both
    kept = lasting(truth, valid)
    marks = truth & kept[:, :, None, None]
    table = event_precision(probs, truth, valid=valid, min_ious=min_ious)
    for modality, name in np.ndindex(*truth.shape[2:]):
        for kind, min_iou in enumerate(min_ious):
            entries, num_true = [], 0
            for clip in range(len(truth)):
                true = runs(marks[clip, :, modality, name].tolist())
                found = plain_proposals(probs[clip, :, modality, name].tolist(), kept[clip].tolist(), THRESHOLDS)
                found = [(start, stop, round(score, 9)) for start, stop, score in found]
                num_true += len(true)
                entries += zip([row[2] for row in found], plain_found(found, true, min_iou), strict=True)
            plain = plain_average_precision(entries, num_true, envelope=True)
            assert table.per_class[kind, modality, name] == pytest.approx(plain, abs=1e-9, nan_ok=True)


@given(probable(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter(arrays, random):
    mixed, classes = shuffled(random, arrays)
    for measure in (segment_precision, event_precision):
        whole, other = (measure(*each[:2], valid=each[2]).per_class for each in (arrays, mixed))
        assert whole[..., classes] == pytest.approx(other, abs=1e-12, nan_ok=True)


@given(probable())
def test_probabilities_that_rank_the_truth_first_score_one(arrays):
    _, truth, valid = arrays
    for measure in (segment_precision, event_precision):
        found = measure(truth.astype(float), truth, valid=valid).per_class
        assert np.isnan(found[~np.isclose(found, 1)]).all()


@given(probable())
def test_only_the_ranking_of_segments_counts(arrays):
    probs, truth, valid = arrays
    squeezed = np.float64(probs) ** 3 / 2
    whole, other = (segment_precision(each, truth, valid=valid).per_class for each in (np.float64(probs), squeezed))
    assert np.array_equal(whole, other, equal_nan=True)


def test_equal_scores_enter_together_whatever_their_order():
    truth = np.array([True, False, True, False]).reshape(1, 4, 1, 1)
    same = np.full(truth.shape, 0.5)
    assert (
        segment_precision(same, truth).mean.tolist() == segment_precision(same, truth[:, ::-1]).mean.tolist() == [0.5]
    )


def test_a_class_without_truth_has_no_precision_and_no_part_in_the_mean():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    truth[0, :, 0, 0] = True
    for table in (segment_precision(probs, truth), event_precision(probs, truth)):
        assert np.isnan(table.per_class[..., 1:]).all() and np.isnan(np.atleast_2d(table.mean)[0, 1])
        assert not np.isnan(np.atleast_2d(table.mean)[0, 0])


def test_event_precision_falls_with_the_overlap_and_averages_over_it():
    rng = np.random.default_rng(0)
    truth = rng.random((30, 10, 2, 4)) < 0.3
    probs = np.clip(0.5 * truth + 0.5 * rng.random(truth.shape), 0, 1)
    table = event_precision(probs_with_audio_visual(probs), with_audio_visual(truth))
    assert table.min_ious == MIN_IOUS and table.mean.shape == (9, 3)
    assert (np.diff(table.mean, axis=0) <= 1e-12).all()
    assert table.average == pytest.approx(table.mean.mean(axis=0))
    assert 0.3 < table.average.min() < 1


def test_a_false_alarm_that_ranks_above_costs_and_one_that_ranks_below_does_not():
    truth = np.zeros((2, 6, 1, 1), dtype=bool)
    truth[0, :3] = True
    probs = np.where(truth, 0.8, 0.0)
    probs[1, :2] = 0.3
    assert event_precision(probs, truth).mean.min() == 1
    probs[1, :2] = 0.95
    assert event_precision(probs, truth).mean.max() == 0.5


def test_proposals_from_elsewhere_can_be_scored():
    truth = np.zeros((2, 6, 1, 1), dtype=bool)
    truth[:, :3] = True
    proposals = proposals_of(np.where(truth, 0.7, 0.0))
    assert precision_of_proposals(proposals, truth, min_ious=(0.5,)).mean.tolist() == [[1.0]]


def test_nothing_predicted_and_no_clip():
    truth = np.ones((2, 6, 1, 1), dtype=bool)
    assert event_precision(np.zeros(truth.shape), truth).mean.tolist() == [[0.0]] * 9
    assert np.isnan(segment_precision(np.zeros((0, 6, 1, 1)), truth[:0]).mean).all()


def test_wrong_input_is_refused():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    for measure in (segment_precision, event_precision):
        with pytest.raises(ValueError, match="segment_probs and truth must both be"):
            measure(probs, truth[:1])
        with pytest.raises(ValueError, match="pass logits through a sigmoid"):
            measure(probs + 1, truth)
        with pytest.raises(ValueError, match="valid must be bool"):
            measure(probs, truth, valid=np.ones((2, 9), dtype=bool))
