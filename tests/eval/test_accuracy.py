"""Segment accuracy: the three published rules on their golden vectors, and what each figure says of small worlds."""

import json

import numpy as np
import pytest

from tests.helpers.golden_recipe import uniform
from valor.eval.accuracy import (
    ONE_EVENT_METRICS,
    accuracy,
    is_partial,
    label_event_f,
    labels_by_gate,
    labels_by_score,
    labels_by_track,
    mean_of_batches,
)
from valor.eval.metrics import Judged, figures_of

SEED, CLASSES = 20270, 28


@pytest.fixture(scope="module", params=["val", "test"])
def golden(request, shared):
    """The split, what the published functions gave, and a reader of the arrays of a rule."""
    folder = shared / "golden_ave_unav"
    if not folder.is_dir():
        pytest.skip(f"no golden vectors of AVE at {folder}")

    def arrays(rule):
        with np.load(folder / f"ave_{rule}_{request.param}.npz", allow_pickle=False) as archive:
            return dict(archive)

    return request.param, json.loads((folder / "ave_acc.json").read_text()), arrays


def test_the_class_per_second_is_the_published_one(golden):
    split, published, arrays = golden
    held = arrays("argmax")
    truth = held["truth"].astype(int)
    families = published["rule_argmax"][split]
    assert len(families) == 12
    for family, of_family in families.items():
        if family == "recipe_logits":
            scores = uniform(SEED, f"ave:{split}:logits", (402, 10, 29), -4, 4)
            scores += 2.5 * (truth[..., None] == np.arange(29))
            scores = scores.astype(np.float32)
        else:
            scores = held[f"scores__{family}"].astype(np.float32) / 256
        labels = labels_by_score(scores)
        assert np.array_equal(labels, held[f"pred__{family}"]), family
        assert int((labels == truth).sum()) == of_family["correct"], family
        assert accuracy(labels, truth) == pytest.approx(100 * of_family["accuracy"], abs=1e-12), family


def test_gate_and_clip_class_are_the_published_ones(golden):
    split, published, arrays = golden
    held = arrays("gate")
    truth = held["truth"].astype(int)
    families = published["rule_gate"][split]
    assert len(families) == 9
    for family, of_family in families.items():
        labels = labels_by_gate(held[f"gate__{family}"], held[f"clip__{family}"], CLASSES)
        assert np.array_equal(labels, held[f"pred__{family}"]), family
        assert accuracy(labels, truth) == pytest.approx(of_family["accuracy_percent"], abs=1e-12), family
        assert accuracy(labels, truth) == pytest.approx(of_family["batches16_weighted_by_clips"], abs=1e-12), family
        assert mean_of_batches(labels, truth, 16) == pytest.approx(of_family["batches16_plain_mean"], abs=1e-12), family


def test_tracks_are_scored_as_published(golden):
    split, published, arrays = golden
    held = arrays("tracks")
    truth = arrays("argmax")["truth"].astype(int)
    families = dict(published["rule_tracks"][split])
    assert families.pop("two_events_in_one_segment") == "AssertionError" and len(families) == 8
    for family, of_family in families.items():
        bits = np.unpackbits(held[f"tracks__{family}"], axis=1, count=CLASSES * 10)
        tracks = bits.reshape(-1, CLASSES, 10).swapaxes(1, 2).astype(bool)
        labels = labels_by_track(tracks)
        assert int((labels == truth).sum()) == of_family["correct"], family
        ours = accuracy(labels, truth) * truth.size / (truth.size + 1e-8)  # which the published function adds
        assert ours == pytest.approx(of_family["accuracy_percent"], abs=1e-12), family
    tracks[0, 3, :2] = True
    with pytest.raises(ValueError, match="have more, first in row 0 segment 3"):
        labels_by_track(tracks)


def test_of_equal_scores_the_first_class_wins_and_not_background():
    assert labels_by_score(np.zeros((1, 2, 3))).tolist() == [[0, 0]]


def test_a_tiny_gate_is_shut_in_single_precision_alone():
    gate, clip = np.array([[1e-8, -1e9]]), np.array([[1.0, 0.0]])
    assert labels_by_gate(gate, clip, 2).tolist() == [[0, 2]]
    assert labels_by_gate(gate.astype(np.float32), clip, 2).tolist() == [[2, 2]]
    assert labels_by_gate(gate + 1, np.array([[0.0, 0.0, 1.0]]), 2).tolist() == [[2, 2]]  # background is its class


def marked(*clips):
    """Marks bool [N, T, M=2, C=3]: a class a letter, `.` for none, alike in sound and picture."""
    of_class = np.array([[[letter == name for name in "abc"] for letter in clip] for clip in clips])
    return of_class[:, :, None].repeat(2, axis=2)


def judged(predicted, truth, **more):
    return Judged(predicted=predicted, truth=truth, weak_labels=truth.any(axis=(1, 2)), **more)


def test_a_class_copied_everywhere_is_seen_through_where_events_end():
    truth = marked("aaaa", "bbbb", ".cc.")
    found = figures_of(judged(marked("aaaa", "bbbb", "cccc"), truth), ONE_EVENT_METRICS)
    assert found["accuracy"] == found["accuracy_per_second"] == found["accuracy_tracks"] == 100 * 10 / 12
    assert found["accuracy_partial"] == 50 and found["event_f"] == 100
    assert found["boundary_f"] == pytest.approx(200 / 3)
    exact = figures_of(judged(truth, truth), ONE_EVENT_METRICS)
    assert set(exact.values()) == {100.0}


def test_what_is_heard_but_not_seen_is_background():
    heard = marked("aa")
    heard[0, 0, 1] = False
    assert figures_of(judged(heard, marked("aa")), ONE_EVENT_METRICS)["accuracy"] == 50


def test_of_several_classes_the_rules_choose_each_in_its_way():
    marks = np.zeros((1, 3, 2, 3), bool)
    marks[0, :, :, 0] = True
    marks[0, 1:, :, 1] = True
    probs = np.where(marks, 0.6, 0.1)
    probs[0, 2, :, 1] = 0.9
    held = judged(marks, marked("aab"), segment_probs=probs, clip_probs=np.array([[0.7, 0.9, 0.1]]))
    found = figures_of(held, ONE_EVENT_METRICS)
    assert found["accuracy"] == pytest.approx(100 / 3)  # class b, not marked in the first second
    assert found["accuracy_per_second"] == 100 and found["accuracy_tracks"] is None


def test_two_true_classes_at_once_have_no_accuracy():
    truth = np.ones((1, 2, 2, 3), bool)
    held = Judged(predicted=truth, truth=truth, weak_labels=truth[:, 0, 0])
    assert set(figures_of(held, ONE_EVENT_METRICS).values()) == {None}


def test_segments_that_do_not_exist_count_for_nothing():
    valid = np.array([[True, True, False]])
    truth = np.array([[0, 0, 3]])
    assert accuracy(np.array([[0, 1, 0]]), truth, valid=valid) == 50
    assert not is_partial(truth, 3, valid=valid).any() and is_partial(truth, 3).all()
    assert label_event_f(np.array([[0, 0, 0]]), truth, 3, valid=valid, min_iou=1) == 100
    assert label_event_f(np.full((1, 3), 3), np.full((1, 3), 3), 3) is None


@pytest.mark.parametrize(("make", "message"), [
    (lambda: labels_by_score(np.array([[[0.0, np.nan]]])), "scores must be numbers .* with NaN"),
    (lambda: labels_by_score(np.zeros((1, 3))), r"scores must be numbers .*float64 \(1, 3\)"),
    (lambda: labels_by_gate(np.zeros((1, 3)), np.zeros((1, 28)), 29), r"clip_scores \[clips, 29 classes\]"),
    (lambda: labels_by_track(np.zeros((1, 3, 2))), "tracks must be bool"),
    (lambda: accuracy(np.zeros((1, 3), int), np.zeros((1, 2), int)), r"int64 \(1, 3\), int64 \(1, 2\)"),
    (lambda: accuracy(np.zeros((0, 3), int), np.zeros((0, 3), int)), "there must be a segment"),
    (lambda: mean_of_batches(np.zeros((1, 3), int), np.zeros((1, 3), int), 0), "batch_size must be 1 or more"),
])  # fmt: skip
def test_what_does_not_belong_together_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
