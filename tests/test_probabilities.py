"""Probabilities beside the truth: the rules of the smaller one, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.counts import with_audio_visual
from eval.decide import PostProcessing, decide
from eval.probabilities import check_pair, gated_probs, probs_with_audio_visual
from tests.drawn import probable


@given(probable(), st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0]), st.integers(0, 2**32 - 1))
def test_gated_probabilities_decide_like_both_thresholds(arrays, threshold, seed):
    probs = arrays[0]
    rng = np.random.default_rng(seed)
    for gate, name, shape in (
        ("clip", "clip_probs", (len(probs), probs.shape[3])),
        ("modality", "modality_probs", (len(probs), 2, probs.shape[3])),
    ):
        clip_probs = (np.round(rng.random(shape) * 10) / 10).astype(probs.dtype)
        options = PostProcessing(segment_threshold=threshold, clip_threshold=threshold, gate=gate)
        decided = decide(probs, **{name: clip_probs}, options=options)
        assert np.array_equal(gated_probs(probs, clip_probs) >= threshold, decided)


@given(probable(), st.sampled_from([0.25, 0.5, 0.8]))
def test_the_audio_visual_probability_decides_like_both_modalities(arrays, threshold):
    probs = arrays[0]
    assert np.array_equal(probs_with_audio_visual(probs) >= threshold, with_audio_visual(probs >= threshold))


def test_a_gate_of_another_shape_is_refused():
    probs = np.full((4, 10, 2, 5), 0.5)
    for shape in ((3, 5), (4, 6), (4, 3, 5)):
        with pytest.raises(ValueError, match=r"clip_probs must be \[clips, classes\] \(4, 5\) or"):
            gated_probs(probs, np.full(shape, 0.5))
    with pytest.raises(ValueError, match="clip_probs must be probabilities in 0..1, got 1.5"):
        gated_probs(probs, np.full((4, 5), 1.5))
    with pytest.raises(ValueError, match=r"2 modalities \('audio', 'visual'\)"):
        probs_with_audio_visual(probs[:, :, :1])


def test_wrong_pairs_are_refused():
    probs, truth = np.full((4, 10, 2, 5), 0.5), np.zeros((4, 10, 2, 5), dtype=bool)
    check_pair(probs, truth)
    with pytest.raises(ValueError, match="add audio-visual to both or to neither"):
        check_pair(probs_with_audio_visual(probs), truth)
    with pytest.raises(ValueError, match="segment_probs must be float"):
        check_pair(truth, truth)
    with pytest.raises(ValueError, match="must be bool"):
        check_pair(probs, truth.astype(float))
    with pytest.raises(ValueError, match="valid must be bool"):
        check_pair(probs, truth, np.ones((4, 9), dtype=bool))
    probs[1, 2, 0, 3] = np.nan
    with pytest.raises(ValueError, match=r"got nan at \[clips, segments, modalities, classes\] \[1, 2, 0, 3\]"):
        check_pair(probs, truth)
