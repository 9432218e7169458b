"""Thresholds and gates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.decide import decide
from eval.post_processing import GATES, PRESETS, PostProcessing, preset

PROBS = st.floats(0, 1, width=32)


@st.composite
def outputs(draw):
    """Probabilities of a parser: segments, clips, modalities."""
    n, t, c = draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3)))
    shapes = ((n, t, 2, c), (n, c), (n, 2, c))
    return [draw(hnp.arrays(np.float32, shape, elements=PROBS)) for shape in shapes]


@given(outputs(), st.sampled_from(GATES), PROBS, PROBS)
def test_a_segment_needs_both_thresholds(arrays, gate, segment_threshold, clip_threshold):
    segment_probs, clip_probs, modality_probs = arrays
    options = PostProcessing(segment_threshold=segment_threshold, gate=gate, clip_threshold=clip_threshold)
    marked = decide(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=options)
    for n, t, m, c in np.ndindex(segment_probs.shape):
        gates = {"clip": clip_probs[n, c], "modality": modality_probs[n, m, c], "none": 1.0}
        assert marked[n, t, m, c] == (segment_probs[n, t, m, c] >= segment_threshold and gates[gate] >= clip_threshold)


def test_reaching_a_threshold_is_enough_and_one_bit_below_is_not():
    half, below = np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(0))
    segment_probs = np.array([half, below], dtype=np.float32).reshape(1, 1, 1, 2)
    clip_probs = np.array([[half, half]])
    assert decide(segment_probs, clip_probs=clip_probs).tolist() == [[[[True, False]]]]
    assert not decide(segment_probs, clip_probs=np.array([[below, half]])).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_stored_threshold_reaches_itself(dtype):
    segment_probs = np.full((1, 2, 2, 3), 0.45, dtype=dtype)
    assert decide(segment_probs, options=PostProcessing(segment_threshold=0.45, gate="none")).all()


def test_a_gate_without_its_probabilities_is_refused():
    segment_probs = np.zeros((2, 10, 2, 25))
    with pytest.raises(ValueError, match=r"the gate clip needs clip_probs \[clips, classes\] \(2, 25\)"):
        decide(segment_probs)
    with pytest.raises(ValueError, match=r"modality_probs \[clips, modalities, classes\] \(2, 2, 25\); give them"):
        decide(segment_probs, options=PostProcessing(gate="modality"))
    with pytest.raises(ValueError, match=r"clip_probs must be \[clips, classes\] \(2, 25\) to fit"):
        decide(segment_probs, clip_probs=np.zeros((1, 25)))


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (1.5, "1.5"), (-0.25, "-0.25"), (np.inf, "inf")])
def test_what_is_no_probability_is_refused_with_its_place(value, shown):
    segment_probs = np.zeros((2, 10, 2, 25))
    segment_probs[1, 3, 0, 24] = value
    with pytest.raises(ValueError, match=rf"got {shown} at \[clips, segments, modalities, classes\] \[1, 3, 0, 24\]"):
        decide(segment_probs, clip_probs=np.zeros((2, 25)))
    clip_probs = np.full((2, 25), value)
    with pytest.raises(ValueError, match="clip_probs must be probabilities in 0..1"):
        decide(np.zeros((2, 10, 2, 25)), clip_probs=clip_probs)


@pytest.mark.parametrize(
    "probs", [np.zeros((2, 10, 2, 25), dtype=bool), np.zeros((2, 10, 25)), np.zeros((1, 1, 1, 1), int)]
)
def test_arrays_of_another_kind_are_refused(probs):
    with pytest.raises(ValueError, match=r"float \[clips, segments, modalities, classes\]"):
        decide(probs, options=PostProcessing(gate="none"))


def test_options_are_checked_when_made():
    with pytest.raises(ValueError, match="gate must be one of clip, modality, none, got 'video'"):
        PostProcessing(gate="video")
    for options in ({"segment_threshold": 1.5}, {"clip_threshold": -0.1}, {"clip_threshold": float("nan")}):
        with pytest.raises(ValueError, match="must be a probability in 0..1"):
            PostProcessing(**options)


@given(outputs(), st.data())
def test_every_class_and_modality_has_its_own_thresholds(arrays, data):
    segment_probs, clip_probs, modality_probs = arrays
    m_c = segment_probs.shape[2:]
    limits, gates = (data.draw(hnp.arrays(np.float64, m_c, elements=PROBS)) for _ in range(2))
    options = PostProcessing(segment_threshold=limits, clip_threshold=gates, gate=("clip", "modality"))
    marked = decide(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=options)
    for n, t, m, c in np.ndindex(segment_probs.shape):
        gate = clip_probs[n, c] if m == 0 else modality_probs[n, 1, c]
        assert marked[n, t, m, c] == (segment_probs[n, t, m, c] >= limits[m, c] and gate >= gates[m, c])


def test_thresholds_per_class_and_per_modality_are_laid_out_by_name():
    segment_probs = np.full((1, 1, 2, 3), 0.5)
    per_class = PostProcessing(segment_threshold=(0.4, 0.5, 0.6), gate="none")
    assert decide(segment_probs, options=per_class)[0, 0].tolist() == [[True, True, False]] * 2
    per_modality = PostProcessing(segment_threshold=((0.6,), (0.4, 0.5, 0.6)), gate="none")
    assert decide(segment_probs, options=per_modality)[0, 0].tolist() == [[False] * 3, [True, True, False]]
    one_gate = PostProcessing(gate=("none", "clip"))
    marked = decide(segment_probs, clip_probs=np.array([[0.5, 0.4, 0.6]]), options=one_gate)
    assert marked[0, 0].tolist() == [[True] * 3, [True, False, True]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_threshold_of_one_class_reaches_itself_in_any_precision(dtype):
    values = np.array([0.45, 0.7, 0.1], dtype=dtype)
    options = PostProcessing(segment_threshold=values.tolist(), clip_threshold=(0.45, 0.7, 0.1), gate="clip")
    assert decide(np.broadcast_to(values, (2, 4, 2, 3)), clip_probs=np.stack([values] * 2), options=options).all()


def test_the_presets_decide_by_the_gate_of_their_modality():
    segment_probs = np.full((1, 1, 2, 1), 0.5)
    clip_probs, modality_probs = np.array([[0.6]]), np.array([[[0.4], [0.4]]])
    decided = {
        name: decide(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=rule).ravel().tolist()
        for name, rule in PRESETS.items()
        if name != "cmpae"
    }
    assert decided == {
        "han": [True, True],
        "valor": [True, True],
        "jomold": [False, False],
        "coleaf": [False, False],
        "mm-cse": [True, False],
    }
    with pytest.raises(ValueError, match="clip_threshold: this rule needs the thresholds of the visual gate"):
        decide(segment_probs, modality_probs=modality_probs, options=PRESETS["cmpae"])
    cmpae = preset("cmpae", visual_clip_thresholds=[0.4])
    assert decide(segment_probs, modality_probs=modality_probs, options=cmpae).ravel().tolist() == [False, True]


def test_thresholds_and_gates_of_another_number_are_refused():
    segment_probs = np.zeros((2, 10, 2, 25))
    for thresholds in ((0.5, 0.5), ((0.5,), (0.5,), (0.5,)), ((0.5, 0.5), (0.5,))):
        options = PostProcessing(segment_threshold=thresholds, gate="none")
        with pytest.raises(ValueError, match="must be one number, 25 for the classes, or 2 rows of one or 25"):
            decide(segment_probs, options=options)
    with pytest.raises(ValueError, match="gate must be one for all or one for each of 2 modalities"):
        decide(segment_probs, options=PostProcessing(gate=("clip", "modality", "none")))
