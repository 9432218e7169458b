"""Gates and cuts of every class: the best pair there is, found by trying all, and what is left as it was."""

import itertools

import numpy as np
import pytest

from valor.eval.curves import best_thresholds
from valor.eval.decide import PostProcessing, decide
from valor.eval.tuning import GATES_TRIED, TUNED, tuned_rule


def world(clips=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((clips, 10, 2, classes)) < 0.2
    probs = np.clip(rng.normal(0.3, 0.15, truth.shape) + 0.2 * truth, 0, 1).astype(np.float32)
    return probs, truth, probs.max(axis=1)


def counted_f(marked, truth):
    hits = (marked & truth).sum(axis=(0, 1))
    return 2 * hits / (marked.sum(axis=(0, 1)) + truth.sum(axis=(0, 1)))


def test_no_gate_tried_with_any_cut_does_better_in_any_class():
    probs, truth, of_modality = world()
    rule = tuned_rule(probs, truth, PostProcessing(gate="modality"), modality_probs=of_modality)
    got = counted_f(decide(probs, modality_probs=of_modality, options=rule), truth)
    for gate in GATES_TRIED:
        eligible = np.broadcast_to((of_modality >= gate)[:, np.newaxis], probs.shape)
        best = best_thresholds(probs, truth, eligible=eligible).f_scores
        assert (got >= np.nan_to_num(best) - 1e-9).all()
    assert rule.preset == TUNED and rule.gate == "modality"


def test_it_is_at_least_as_good_as_any_one_pair_for_all_classes():
    probs, truth, of_modality = world(seed=1)
    of_clip = of_modality.max(axis=1)
    rule = tuned_rule(probs, truth, PostProcessing(), clip_probs=of_clip)
    got = counted_f(decide(probs, clip_probs=of_clip, options=rule), truth)
    for cut, gate in itertools.product((0.2, 0.3, 0.4, 0.5), (0.0, 0.3, 0.5)):
        fixed = PostProcessing(segment_threshold=cut, clip_threshold=gate)
        assert (got >= counted_f(decide(probs, clip_probs=of_clip, options=fixed), truth) - 1e-9).all()


def test_a_class_that_is_never_true_keeps_its_thresholds_and_equal_scores_pass_together():
    probs, truth, _ = world()
    truth[..., 2] = False
    probs[:20, ..., 0], probs[20:, ..., 0] = 0.5, 0.25
    rule = tuned_rule(probs, truth, PostProcessing(gate="none", segment_threshold=0.4))
    cuts = np.array(rule.segment_threshold)
    assert (cuts[:, 2] == 0.4).all()
    assert set(cuts[:, 0].tolist()) <= {0.125, 0.375}


def test_segments_that_do_not_exist_have_no_say():
    probs, truth, _ = world(classes=1)
    valid = np.zeros(truth.shape[:2], dtype=bool)
    valid[:, :4] = True
    whole = tuned_rule(probs[:, :4], truth[:, :4], PostProcessing(gate="none"))
    probs[:, 4:], truth[:, 4:] = 0.99, False
    assert tuned_rule(probs, truth, PostProcessing(gate="none"), valid=valid) == whole


def test_probabilities_of_the_gate_are_asked_for():
    probs, truth, _ = world()
    with pytest.raises(ValueError, match="the gate clip needs clip_probs"):
        tuned_rule(probs, truth, PostProcessing())
