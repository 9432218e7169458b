"""Thresholds and gates, rules and their records, those of published systems, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.drawn import probable
from valor.eval.counts import with_audio_visual
from valor.eval.decide import (
    CMPAE_VISUAL_GATES,
    COMPARISONS,
    GATES,
    HAN_RULE,
    PRESETS,
    PostProcessing,
    check_pair,
    decide,
    fill,
    gated_probs,
    is_complete,
    preset,
    probs_with_audio_visual,
    rule_text,
)

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


def test_a_probability_is_compared_as_the_rule_says():
    edge = np.array([0.45, np.nextafter(np.float32(0.45), 1)], dtype=np.float32)  # the first lies below 0.45
    probs = np.broadcast_to(edge, (1, 3, 2, 2))
    marked = {}
    for how in COMPARISONS:
        rule = PostProcessing(segment_threshold=0.45, clip_threshold=0.45, comparison=how)
        marked[how] = [decide(probs, clip_probs=edge[None], options=rule)[0, 0, 0].tolist()]
        marked[how] += [decide(np.ones_like(probs), clip_probs=edge[None], options=rule)[0, 0, 1].tolist()]
    assert marked == {
        "reach": [[True, True]] * 2, "reach-double": [[False, True]] * 2, "exceed": [[False, True]] * 2
    }  # fmt: skip
    exact = np.full((1, 1, 2, 1), 0.5)
    each = PostProcessing(comparison=("exceed", "reach"), gate="none")
    assert decide(exact, options=each).ravel().tolist() == [False, True]
    record = json.loads(json.dumps(each.to_dict()))
    assert record["comparison"] == ["exceed", "reach"] and PostProcessing.from_dict(record) == each
    assert "comparison" not in HAN_RULE.to_dict()
    with pytest.raises(ValueError, match="comparison must be one of reach, reach-double, exceed, got 'above'"):
        PostProcessing(comparison="above")
    with pytest.raises(ValueError, match="comparison must be one for all or one for each of 2 modalities"):
        PostProcessing.from_dict(record | {"comparison": ["reach"] * 3})
    with pytest.raises(ValueError, match="comparison must be one for all or one for each of 1 modalities"):
        decide(exact[:, :, :1], options=each)


def test_the_presets_decide_by_the_gate_of_their_modality():
    segment_probs = np.full((1, 1, 2, 1), 0.5)
    clip_probs, modality_probs = np.array([[0.6]]), np.array([[[0.4], [0.4]]])
    decided = {
        name: decide(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=rule).ravel().tolist()
        for name, rule in PRESETS.items()
        if not name.startswith("cmpae")  # one has thresholds yet to be given, the other those of 25 classes
    }
    assert decided == {
        "han": [True, True],
        "valor": [True, True],
        "jomold": [False, False],
        "coleaf": [False, False],
        "mm-cse": [True, False],
        "nrep": [False, False],
        "uwav": [False, False],
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


VISUAL = tuple(np.linspace(0.25, 0.7, 25).round(3).tolist())


def test_the_presets_are_those_of_the_published_code():
    values = {
        name: (rule.segment_threshold, rule.gate, rule.clip_threshold)
        for name, rule in PRESETS.items()
        if not name.startswith("cmpae")
    }
    assert values == {
        "han": (0.5, "clip", 0.5),
        "valor": (0.5, "clip", 0.5),
        "jomold": (0.5, "modality", 0.5),
        "coleaf": (0.25, "modality", 0.52),
        "mm-cse": (0.5, ("clip", "modality"), 0.5),
        "nrep": (0.25, "modality", 0.45),
        "uwav": (0.5, "clip", 0.5),
    }
    published = PRESETS["cmpae-2023"]
    assert published.clip_threshold == ((0.45,), CMPAE_VISUAL_GATES) and len(CMPAE_VISUAL_GATES) == 25
    assert all(rule.preset == name for name, rule in PRESETS.items())
    cmpae = preset("cmpae", visual_clip_thresholds=VISUAL)
    assert (cmpae.segment_threshold, cmpae.gate, cmpae.preset) == (0.25, "modality", "cmpae")
    assert cmpae.clip_threshold == ((0.45,), VISUAL)


def test_what_was_not_published_must_be_given_and_nothing_else():
    with pytest.raises(
        ValueError, match="the preset cmpae needs the thresholds of the visual gate, .* for each trained network"
    ):
        preset("cmpae")
    with pytest.raises(ValueError, match="the preset jomold is complete and takes no thresholds"):
        preset("jomold", visual_clip_thresholds=VISUAL)
    with pytest.raises(ValueError, match="a preset is one of han, valor, jomold, cmpae, .*, got 'HAN'"):
        preset("HAN")
    assert [name for name, rule in PRESETS.items() if not is_complete(rule)] == ["cmpae"]
    filled = fill(PRESETS["cmpae"], [[0.9] * 25, VISUAL])
    assert filled == preset("cmpae", visual_clip_thresholds=VISUAL)  # what it has stays
    assert is_complete(filled)


def test_thresholds_of_any_form_become_plain_and_hashable():
    per_class, rows = [0.25, 0.5], np.array([[0.25, 0.5], [0.75, 1]], dtype=np.float32)
    rule = PostProcessing(segment_threshold=per_class, clip_threshold=rows, gate=["none", "clip"])
    assert rule.segment_threshold == (0.25, 0.5)
    assert rule.clip_threshold == ((0.25, 0.5), (0.75, 1.0))
    assert rule.gate == ("none", "clip")
    assert {rule: 1}[PostProcessing(segment_threshold=(0.25, 0.5), clip_threshold=rows.tolist(), gate=("none", "clip"))]
    assert PostProcessing(clip_threshold=[0.45, per_class]).clip_threshold == ((0.45,), (0.25, 0.5))
    assert PostProcessing(gate=("clip", "clip")) == PostProcessing(gate="clip")
    assert PostProcessing(segment_threshold=np.float64(0.5)) == PostProcessing()


def test_a_name_is_no_difference_and_a_value_is():
    assert PRESETS["valor"] == PRESETS["han"] == HAN_RULE == PostProcessing()
    assert PRESETS["jomold"] != PRESETS["han"]


@pytest.mark.parametrize("rule", [*PRESETS.values(), PostProcessing(segment_threshold=VISUAL)])
def test_a_rule_survives_json(rule):
    record = json.loads(json.dumps(rule.to_dict()))
    assert record == rule.to_dict()
    back = PostProcessing.from_dict(record)
    assert (back, back.preset) == (rule, rule.preset)
    assert ("preset" in record) == (rule.preset is not None)


@pytest.mark.parametrize(
    "record",
    [{}, {"segment_threshold": 0.5, "gate": 3, "clip_threshold": 0.5}, {"gate": "clip", "clip_threshold": 0.5}],
)
def test_a_record_that_is_no_rule_is_refused(record):
    with pytest.raises(ValueError, match="a rule needs segment_threshold|gate must be one of"):
        PostProcessing.from_dict(record)


def test_a_rule_is_said_in_one_line():
    assert rule_text(HAN_RULE.to_dict()) == "han: segments >= 0.5, gate clip >= 0.5"
    assert rule_text(PostProcessing(gate="none").to_dict()) == "segments >= 0.5, gate none"
    cmpae = preset("cmpae", visual_clip_thresholds=VISUAL)
    assert rule_text(cmpae.to_dict()) == "cmpae: segments >= 0.25, gate modality >= 0.25 to 0.7 by class"
    assert rule_text(PRESETS["mm-cse"].to_dict()) == "mm-cse: segments >= 0.5, gate clip and modality >= 0.5"
    assert rule_text(PRESETS["uwav"].to_dict()) == "uwav: segments > 0.5, gate clip > 0.5"
    made = {"segment_threshold": None, "gate": "as predicted", "clip_threshold": None}
    assert rule_text(made) == "decisions as predicted"
    assert rule_text(made | {"rounding": "cover"}) == "decisions as predicted, times rounded (cover)"


@pytest.mark.parametrize("threshold", [1.5, -0.1, float("nan"), True, "0.5", None, [], [0.5, 2.0], [[0.5], [None]]])
def test_thresholds_that_are_no_probabilities_are_refused(threshold):
    for name in ("segment_threshold", "clip_threshold"):
        with pytest.raises(ValueError, match=f"{name} must be a probability in 0..1"):
            PostProcessing(**{name: threshold})


def test_gates_and_rows_that_do_not_exist_are_refused():
    for gate in ("video", (), ("clip", "video")):
        with pytest.raises(ValueError, match="gate must be one of clip, modality, none, got"):
            PostProcessing(gate=gate)
    with pytest.raises(ValueError, match="segment_threshold must be whole"):
        PostProcessing(segment_threshold=((0.5,), ()))


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
