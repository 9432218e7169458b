"""Threshold curves and the thresholds chosen from them, against trying every threshold for itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.drawn import probable, shuffled
from valor.eval.counts import event_counts, segment_counts
from valor.eval.curves import best_thresholds, rate_thresholds, threshold_curves
from valor.eval.scores import f_scores


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


COUNTS = {"segment": segment_counts, "event": event_counts}
FEW = st.sampled_from(np.float32([-2, -0.5, 0, 0.1, 0.25, 3]).tolist())
"""Few values, so that ties are common; no probabilities, since logits are calibrated as well."""


@st.composite
def scored(draw):
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 2), st.integers(1, 2)))
    scores = draw(hnp.arrays(np.float32, shape, elements=FEW))
    return scores, *(draw(hnp.arrays(np.bool_, shape)) for _ in range(2))


def f_of(marked, truth, level):
    """F of each modality and class by counts added over clips: float [M, C]."""
    return f_scores(COUNTS[level](marked, truth).sum(axis=0))[0]


@settings(max_examples=150)
@given(scored(), st.sampled_from(["segment", "event"]), st.booleans())
def test_no_threshold_is_better_than_the_best(arrays, level, inclusive):
    scores, truth, eligible = arrays
    choice = best_thresholds(scores, truth, eligible=eligible, level=level, inclusive=inclusive)
    over = np.greater_equal if inclusive else np.greater
    tried = np.stack(
        [f_of((scores >= value) & eligible, truth, level) for value in np.unique(scores)] + [np.zeros(scores.shape[2:])]
    ).max(axis=0)
    found = ~np.isnan(choice.thresholds)
    assert np.array_equal(found, tried > 0)
    with np.errstate(invalid="ignore"):
        reached = f_of(over(scores, choice.thresholds) & eligible, truth, level)
    assert np.allclose(reached[found], tried[found], atol=1e-12)
    assert np.allclose(choice.f_scores[found], tried[found], atol=1e-12)
    assert np.array_equal(choice.support, COUNTS[level](truth, truth).sum(axis=0)[..., 0])


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_threshold_is_a_short_number_between_two_scores(inclusive):
    for marked, unmarked, expected in (
        (0.9, 0.1, 0.5),
        (0.63, 0.62, 0.625),
        (7.0, 3.0, 5),
        (0.7, 0.61, 0.66),
        (2, -9, -4),
    ):
        scores = np.float64([[marked, unmarked]])[..., None, None]
        choice = best_thresholds(scores, scores == marked, inclusive=inclusive)
        assert unmarked < choice.thresholds[0, 0] < marked
        assert len(repr(choice.thresholds.item())) <= len(repr(float(expected)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("inclusive", [True, False])
def test_neighbouring_floats_are_told_apart_as_they_will_be_compared(dtype, inclusive):
    low = dtype(0.3)
    scores = np.array([[np.nextafter(low, dtype(1)), low]])[..., None, None]
    threshold = best_thresholds(scores, scores > low, inclusive=inclusive).thresholds
    marked = scores >= threshold.astype(dtype) if inclusive else scores > threshold
    assert marked.ravel().tolist() == [True, False]


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_class_that_is_always_there_is_always_marked(inclusive):
    scores = np.float32([[0.4, 0.2, 0.3]])[..., None, None]
    threshold = best_thresholds(scores, np.ones(scores.shape, bool), inclusive=inclusive).thresholds
    assert (scores >= threshold if inclusive else scores > threshold).all()
    assert not ((scores - np.float32(1e-3)) >= threshold).all()  # and no lower than it must be


def test_of_equal_thresholds_the_highest_is_taken():
    scores = np.array([0.9, 0.7, 0.5, 0.3])[None, :, None, None]
    truth = np.array([True, False, False, True])[None, :, None, None]  # F 2/3 at 0.9, and again at 0.3
    assert 0.7 < best_thresholds(scores, truth).thresholds[0, 0] < 0.9


def test_without_anything_true_or_eligible_there_is_no_threshold():
    scores = np.full((2, 3, 1, 3), 0.5)
    truth = np.zeros(scores.shape, dtype=bool)
    truth[..., 1:] = True
    eligible = np.broadcast_to([True, True, False], scores.shape)
    choice = best_thresholds(scores, truth, eligible=eligible)
    assert np.isnan(choice.thresholds).tolist() == [[True, False, True]]
    assert choice.support.tolist() == [[0, 6, 6]]


def test_what_is_true_but_not_eligible_counts_as_missed():
    scores = np.array([0.9, 0.8, 0.1, 0.7])[None, :, None, None]
    truth = np.array([True, False, True, True])[None, :, None, None]
    eligible = np.array([True, True, True, False])[None, :, None, None]
    choice = best_thresholds(scores, truth, eligible=eligible)
    assert choice.f_scores[0, 0] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1)) and choice.thresholds[0, 0] <= 0.1


@settings(max_examples=100)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.just(2), st.just(2)), elements=FEW), st.data())
def test_no_threshold_is_nearer_to_the_rate(scores, data):
    rates = data.draw(hnp.arrays(np.float64, (2, 2), elements=st.floats(0, 1)))
    thresholds = rate_thresholds(scores, rates)
    for m, c in np.ndindex(2, 2):
        tried = [0.0] + [(scores[:, m, c] >= value).mean() for value in np.unique(scores[:, m, c])]
        reached = 0.0 if np.isnan(thresholds[m, c]) else (scores[:, m, c] >= thresholds[m, c]).mean()
        assert abs(reached - rates[m, c]) == pytest.approx(min(abs(rate - rates[m, c]) for rate in tried), abs=1e-12)


def test_a_rate_counts_what_cannot_be_marked_among_all():
    scores = np.array([0.9, 0.6, -np.inf, -np.inf])[:, None, None]
    assert rate_thresholds(scores, np.array([[0.25]])) == pytest.approx(0.8, abs=0.1)
    assert rate_thresholds(scores, np.array([[1.0]])) == pytest.approx(0.6)  # as near as can be
    assert np.isnan(rate_thresholds(scores, np.array([[0.0]])))
    assert np.isnan(rate_thresholds(np.full((3, 1, 1), -np.inf), np.array([[0.5]])))


SCORES, TRUTH = np.zeros((2, 3, 2, 4)), np.zeros((2, 3, 2, 4), dtype=bool)


@pytest.mark.parametrize(
    ("scores", "truth", "more", "message"),
    [
        (SCORES.astype(int), TRUTH, {}, "scores must be float and truth bool .* got int64"),
        (SCORES, TRUTH.astype(float), {}, "scores must be float and truth bool"),
        (SCORES[0], TRUTH[0], {}, r"\[clips, segments, modalities, classes\] of one shape"),
        (SCORES[:, :2], TRUTH, {}, r"got float64 \(2, 2, 2, 4\) and bool \(2, 3, 2, 4\)"),
        (SCORES[:0], TRUTH[:0], {}, "of one shape"),
        (SCORES, TRUTH, {"eligible": TRUTH[0]}, r"eligible must be bool \(2, 3, 2, 4\), got bool \(3, 2, 4\)"),
        (SCORES, TRUTH, {"level": "clip"}, "level must be one of segment, event, got 'clip'"),
        (np.full(SCORES.shape, np.nan), TRUTH, {}, "scores must be finite numbers, got 48 that are not; leave out"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(scores, truth, more, message):
    with pytest.raises(ValueError, match=message):
        best_thresholds(scores, truth, **more)


def test_rates_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"rates must lie in 0..1, got 1.5 to 1.5"):
        rate_thresholds(np.zeros((3, 1, 1)), np.array([[1.5]]))
    for scores, rates in ((np.zeros((3, 1, 2)), np.zeros((1, 1))), (np.full((3, 1, 1), np.nan), np.zeros((1, 1)))):
        with pytest.raises(ValueError, match="without NaN and rates"):
            rate_thresholds(scores, rates)
