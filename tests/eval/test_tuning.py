"""Gates and cuts of every class: the best pair, taken where the table gains by it, and what is left as it was."""

from dataclasses import replace

import numpy as np
import pytest

from valor.eval.curves import best_thresholds
from valor.eval.decide import PostProcessing, decide
from valor.eval.scores import score
from valor.eval.tuning import GATES_TRIED, PAIRS_TRIED, TUNED, clear_wins, tuned_pair, tuned_rule


def world(clips=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((clips, 10, 2, classes)) < 0.2
    probs = np.clip(rng.normal(0.3, 0.15, truth.shape) + 0.2 * truth, 0, 1).astype(np.float32)
    return probs, truth, probs.max(axis=1)


def counted_f(marked, truth):
    hits = (marked & truth).sum(axis=(0, 1))
    return 2 * hits / np.maximum(marked.sum(axis=(0, 1)) + truth.sum(axis=(0, 1)), 1)


def figure_of(predicted, truth, m):
    scores = score(predicted, truth).segment
    return (scores.audio, scores.visual)[m]


def test_of_a_class_by_itself_no_gate_tried_with_any_cut_does_better():
    probs, truth, of_modality = world(classes=1)
    rule = tuned_rule(probs, truth, PostProcessing(gate="modality"), modality_probs=of_modality)
    got = counted_f(decide(probs, modality_probs=of_modality, options=rule), truth)
    for gate in GATES_TRIED:
        eligible = np.broadcast_to((of_modality >= gate)[:, np.newaxis], probs.shape)
        best = best_thresholds(probs, truth, eligible=eligible).f_scores
        assert (got >= np.nan_to_num(best) - 1e-9).all()
    assert rule.preset == TUNED and rule.gate == "modality"


@pytest.mark.parametrize("cut", [0.2, 0.3, 0.4, 0.5])
def test_no_figure_falls_on_the_clips_it_is_found_on(cut):
    probs, truth, of_modality = world(seed=1, classes=6)
    of_clip = of_modality.max(axis=1)
    fixed = PostProcessing(segment_threshold=cut, clip_threshold=0.3)
    rule = tuned_rule(probs, truth, fixed, clip_probs=of_clip)
    for m in range(2):
        was, got = (figure_of(decide(probs, clip_probs=of_clip, options=r), truth, m) for r in (fixed, rule))
        assert got >= was - 1e-9


def test_a_class_of_two_clips_that_is_never_found_is_not_marked_everywhere_for_it():
    probs, truth, _ = world()
    truth[..., 2] = False
    truth[:2, :, 1, 2] = True
    probs[..., 2] = np.random.default_rng(2).uniform(0.05, 0.2, probs.shape[:3])  # that class is not known at all
    rule = tuned_rule(probs, truth, PostProcessing(gate="none", segment_threshold=0.35))
    marked = decide(probs, options=rule)
    assert not marked[..., 2].any()
    assert figure_of(marked, truth, 1) > figure_of(probs >= 0.35, truth, 1)  # by the others
    everywhere = marked.copy()
    everywhere[:, :, 1, 2] = True  # what counts added over clips prefer
    assert counted_f(everywhere, truth)[1, 2] > counted_f(marked, truth)[1, 2]
    assert figure_of(everywhere, truth, 1) < figure_of(marked, truth, 1) - 10


def test_one_pair_for_all_is_taken_where_all_classes_gain_by_it_and_else_the_rule_stays():
    probs, truth, of_modality = world(classes=6, seed=3)
    rule = PostProcessing(segment_threshold=0.7, gate="modality")
    pair = tuned_pair(probs, truth, rule, modality_probs=of_modality)
    assert pair.segment_threshold in PAIRS_TRIED and pair.clip_threshold in PAIRS_TRIED
    assert tuned_pair(probs, truth, pair, modality_probs=of_modality) is pair


def test_nothing_is_clear_from_one_clip():
    probs, truth, of_modality = world(clips=1, seed=3)
    rule = PostProcessing(segment_threshold=0.9, gate="modality")
    assert tuned_pair(probs, truth, rule, modality_probs=of_modality) is rule
    assert tuned_rule(probs, truth, replace(rule, preset=TUNED), modality_probs=of_modality).to_dict() == {
        "segment_threshold": [[0.9] * 3] * 2, "gate": "modality", "clip_threshold": [[0.5] * 3] * 2, "preset": TUNED
    }  # fmt: skip
    assert not clear_wins(np.zeros_like(truth), truth, truth).any()


def test_two_clips_that_gain_and_one_that_loses_are_no_clear_win():
    truth = np.zeros((50, 10, 2, 1), dtype=bool)
    truth[:2] = True
    other = truth.copy()
    other[2] = True
    assert not clear_wins(np.zeros_like(truth), other, truth).any()
    truth[3:12] = other[3:12] = True
    assert clear_wins(np.zeros_like(truth), other, truth).all()


def test_a_class_that_is_never_true_keeps_its_thresholds_and_equal_scores_pass_together():
    probs, truth, _ = world()
    truth[..., 2] = False
    probs[:20, ..., 0], probs[20:, ..., 0] = 0.5, 0.25
    fixed = PostProcessing(gate="none", segment_threshold=0.4)
    rule = tuned_rule(probs, truth, fixed)
    cuts = np.array(rule.segment_threshold)
    assert (cuts[:, 2] == tuned_pair(probs, truth, fixed).segment_threshold).all()
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
