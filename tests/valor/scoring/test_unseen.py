"""Seen and unseen classes: mean F of each, the harmonic mean, and the constant that val chooses."""

import numpy as np
import pytest

from valor.data.predictions import Predictions
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.scoring.unseen import constant_for, kinds_of_classes, with_constant

UNSEEN = np.array([False, False, True])


def test_each_class_weighs_the_same_and_a_false_alarm_anywhere_counts():
    truth = np.zeros((2, 4, 2, 3), bool)
    truth[0, :, :, 0] = truth[0, :2, :, 1] = truth[1, :2, :, 2] = True
    predicted = truth.copy()
    predicted[0, 0, :, 2] = True  # in a clip without it: 2 hits, 1 false alarm, F 4 / 5
    predicted[0, 1, :, 1] = False  # 1 hit, 1 miss, F 2 / 3
    found = kinds_of_classes(predicted, truth, UNSEEN)
    seen = 100 * (1 + 2 / 3) / 2
    assert found["audio"] == pytest.approx((seen, 80, 2 * seen * 80 / (seen + 80)))
    assert found["type_av"] == pytest.approx(found["audio"])
    assert kinds_of_classes(truth & False, truth, UNSEEN)["audio"] == (0, 0, 0)
    assert np.isnan(kinds_of_classes(truth & False, truth & False, UNSEEN)["audio"]).all()


def test_a_constant_moves_the_logits_of_unseen_classes_and_val_chooses_the_smallest_that_is_best():
    logits = np.full((2, 4, 2, 3), -6.0)
    logits[0, :, :, 0] = 1.0
    logits[1, :, :, 2] = -1.9  # an unseen class, believed less than it should be
    clips = logits.max(axis=(1, 2))
    probs, gates = (1 / (1 + np.exp(-x)) for x in (logits, clips))
    held = Predictions(clip_ids=("x", "y"), class_names=("a", "b", "c"), segment_probs=probs, clip_probs=gates)
    moved = with_constant(held, UNSEEN, 2.0)
    assert np.allclose(np.log(moved.segment_probs / (1 - moved.segment_probs))[1, 0, 0], [-6, -6, 0.1])
    assert np.array_equal(moved.segment_probs[..., :2], probs[..., :2])
    truth = logits > -3
    split = Split("val", ("x", "y"), ("a", "b", "c"), truth.any(axis=(1, 2)), truth)
    assert constant_for(held, split, UNSEEN, PostProcessing()) == 2.0
    assert constant_for(held, split, np.array([False, True, False]), PostProcessing()) is None
