"""Detections in seconds: against plain loops, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.plain_detection import plain_map, plain_soft_nms
from valor.eval.detection import TIOUS, Detections, TrueEvents, detection_precision, merged
from valor.eval.soft_nms import Nms, soft_nms

CLASSES = 3
times = st.tuples(st.integers(0, 8), st.integers(1, 6)).map(lambda pair: (float(pair[0]), float(sum(pair))))
true_rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, CLASSES - 1), times), max_size=12, unique=True)
said_rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, CLASSES - 1), times, st.sampled_from([0.1, 0.4, 0.5, 0.9])), max_size=16
)


def columns(rows):
    clips, names = (np.array([row[k] for row in rows], dtype=int) for k in (0, 1))
    onset, offset = (np.array([row[2][k] for row in rows], dtype=float) for k in (0, 1))
    return {"clip": clips, "class_index": names, "onset": onset, "offset": offset}


def detections(rows):
    return Detections(**columns(rows), score=np.array([row[3] for row in rows], dtype=float))


@settings(max_examples=60)
@given(said_rows, true_rows)
def test_map_agrees_with_the_plain_reference(said, true):
    ours = detection_precision(detections(said), TrueEvents(**columns(true)), CLASSES)
    for level, min_iou in enumerate(TIOUS):
        plain = plain_map(
            [(c, k, *span, s) for c, k, span, s in said], [(c, k, *span) for c, k, span in true], CLASSES, min_iou
        )
        np.testing.assert_allclose(ours.per_class[level], plain, atol=1e-12)


@settings(max_examples=30)
@given(said_rows, true_rows, st.randoms())
def test_the_order_of_rows_matters_only_where_scores_are_equal(said, true, random):
    distinct = [(clip, name, span, n + 1.0) for n, (clip, name, span, _) in enumerate(said)]
    shuffled = random.sample(distinct, len(distinct))
    truth = TrueEvents(**columns(true))
    one, other = (detection_precision(detections(rows), truth, CLASSES) for rows in (distinct, shuffled))
    np.testing.assert_array_equal(one.per_class, other.per_class)


def test_the_truth_finds_itself_and_a_class_without_detections_scores_nothing():
    rows = [(0, 0, (0.0, 4.0)), (0, 0, (6.0, 9.0)), (1, 1, (2.0, 3.0))]
    truth = TrueEvents(**columns(rows))
    whole = detection_precision(detections([(*row, 1.0) for row in rows]), truth, CLASSES)
    assert whole.mean.tolist() == [1.0] * 9 and whole.average == 1.0
    assert np.isnan(whole.per_class[:, 2]).all()
    half = detection_precision(detections([(*row, 1.0) for row in rows[:2]]), truth, CLASSES)
    assert half.average == pytest.approx(0.5)


def test_an_overlap_of_exactly_the_threshold_hits_but_for_two():
    truth = TrueEvents(**columns([(0, 0, (0.0, 10.0))]))
    hits = [
        detection_precision(detections([(0, 0, (0.0, float(n)), 1.0)]), truth, 1, min_ious=(TIOUS[n - 1],)).average
        for n in range(1, 10)
    ]
    assert hits == [1, 1, 0, 1, 1, 1, 0, 1, 1]


@pytest.mark.parametrize(("second", "found"), [((0.0, 4.0), 1.0), ((6.0, 10.0), 0.5)])
def test_of_equal_overlaps_the_later_true_event_is_taken(second, found):
    truth = TrueEvents(**columns([(0, 0, (0.0, 4.0)), (0, 0, (6.0, 10.0))]))
    rows = [(0, 0, (2.0, 8.0), 0.9), (0, 0, second, 0.5)]
    assert detection_precision(detections(rows), truth, 1, min_ious=(0.2,)).average == found


def test_true_events_a_millisecond_apart_are_one():
    near = [(0, 0, (1.0, 2.0)), (0, 0, (1.0005, 2.0005)), (0, 1, (1.0, 2.0)), (0, 0, (1.0, 2.5))]
    assert len(merged(TrueEvents(**columns(near)))) == 3


@settings(max_examples=40)
@given(said_rows, st.sampled_from([Nms(), Nms(sigma=0.8, min_score=0.2), Nms(most=3)]))
def test_soft_nms_agrees_with_the_plain_reference(said, nms):
    distinct = [(clip, name, span, (n + 1) / 20) for n, (clip, name, span, _) in enumerate(said)]
    left = soft_nms(detections(distinct), nms)
    for clip in {row[0] for row in distinct}:
        plain = []
        for name in range(CLASSES):
            rows = [(*span, s) for c, k, span, s in distinct if (c, k) == (clip, name)]
            plain += [(score, onset, name) for onset, _, score in plain_soft_nms(rows, nms.sigma, nms.min_score)]
        ours = left.at(left.clip == clip)
        assert len(ours) == min(len(plain), nms.most)
        assert (np.diff(ours.score) <= 0).all()
        np.testing.assert_allclose(ours.score, sorted((s for s, *_ in plain), reverse=True)[: nms.most], atol=1e-5)


def test_blocks_of_soft_nms_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(0)
    rows = [(int(c), int(k), (float(a), float(a + b)), float(s)) for c, k, a, b, s in zip(
        rng.integers(0, 9, 200), rng.integers(0, 3, 200), rng.random(200), rng.random(200) + 0.1, rng.random(200),
        strict=True)]  # fmt: skip
    whole = soft_nms(detections(rows))
    monkeypatch.setattr("valor.eval.soft_nms._CELLS", 16)
    parts = soft_nms(detections(rows))
    for name in ("clip", "class_index", "onset", "offset", "score"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_of_clips_renumbers():
    truth = TrueEvents(**columns([(0, 0, (0.0, 1.0)), (2, 1, (1.0, 2.0)), (2, 0, (3.0, 4.0))]))
    chosen = truth.of_clips([2, 1])
    assert chosen.clip.tolist() == [0, 0] and chosen.onset.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(0, 0, (1.0, 1.0), 1.0)], "events must last for something, got 1 that do not, first row 0: 1 to 1 s"),
        ([(0, 0, (0.0, 1.0), 1.0), (0, 0, (2.0, 1.0), 1.0)], "first row 1: 2 to 1 s"),
        ([(0, 0, (0.0, float("nan")), 1.0)], "events must last for something"),
        ([(0, 0, (0.0, 1.0), float("inf"))], "scores of detections must be finite"),
    ],
)
def test_what_no_detection_is_is_refused(rows, says):
    with pytest.raises(ValueError, match=says):
        detections(rows)


def test_columns_and_options_that_do_not_fit_are_refused():
    one = columns([(0, 0, (0.0, 1.0))])
    with pytest.raises(ValueError, match="columns of events must be of one length"):
        TrueEvents(**one | {"onset": np.zeros(2)})
    with pytest.raises(ValueError, match="clip must be whole numbers, got float64"):
        TrueEvents(**one | {"clip": np.zeros(1)})
    with pytest.raises(ValueError, match="classes of truth must be from 0 to 0"):
        detection_precision(detections([]), TrueEvents(**one | {"class_index": np.array([1])}), 1)
    with pytest.raises(ValueError, match="min_ious must be at least one overlap"):
        detection_precision(detections([]), TrueEvents(**one), 1, min_ious=())
    with pytest.raises(ValueError, match="sigma and most must be above 0"):
        Nms(sigma=0)
