"""One system on one split."""

from dataclasses import replace

import numpy as np
import pytest

from eval.post_processing import PRESETS, PostProcessing
from eval.scores import score
from tests.toy_scores import write_toy_scores
from valor.predictions import read_predictions
from valor.scored import score_system


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scores(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def predictions(toy):
    return read_predictions(toy.good)


def test_everything_is_of_the_same_clips_in_the_order_of_the_split(toy, predictions):
    kept = np.array([5, 3, 20])
    part = replace(
        predictions,
        clip_ids=tuple(predictions.clip_ids[row] for row in kept),
        segment_probs=predictions.segment_probs[kept],
        clip_probs=predictions.clip_probs[kept],
        modality_probs=None,
    )
    system = score_system("part", part, toy.split, allow_subset=True)
    rows = np.sort(kept)
    assert system.predictions.clip_ids == tuple(toy.split.clip_ids[row] for row in rows)
    assert np.array_equal(system.truth, toy.split.truth[rows])
    assert np.array_equal(system.weak_labels, toy.split.weak_labels[rows])
    assert system.scores == score(system.predicted, system.truth)
    assert (system.report["clips"], system.report["clips_expected"]) == (3, 24)


@pytest.mark.parametrize(
    "rule", [None, PRESETS["han"], PRESETS["jomold"], PRESETS["mm-cse"], PostProcessing(gate="none")]
)
def test_probabilities_are_under_the_gate_of_the_rule(toy, predictions, rule):
    system = score_system("s", predictions, toy.split, rule)
    assert np.array_equal(system.probs() >= np.float32(0.5), system.predicted)


def test_probabilities_of_decisions_are_refused(toy, predictions):
    marks = predictions.segment_probs > 0.5
    decided = replace(predictions, predicted=marks, segment_probs=None, clip_probs=None, modality_probs=None)
    system = score_system("mine", decided, toy.split)
    with pytest.raises(ValueError, match="mine: mAP needs probabilities, these predictions are decisions already"):
        system.probs("mAP")


def test_a_refusal_names_the_system(toy, predictions):
    part = replace(predictions, clip_ids=("somewhere", *predictions.clip_ids[1:]))
    with pytest.raises(ValueError, match="HAN: the predictions must cover the 24 clips"):
        score_system("HAN", part, toy.split)
