"""Rules for decisions: their forms, their records, and those of published systems."""

import json

import numpy as np
import pytest

from eval.post_processing import HAN_RULE, PRESETS, PostProcessing, fill, is_complete, preset, rule_text

VISUAL = tuple(np.linspace(0.25, 0.7, 25).round(3).tolist())


def test_the_presets_are_those_of_the_published_code():
    values = {
        name: (rule.segment_threshold, rule.gate, rule.clip_threshold)
        for name, rule in PRESETS.items()
        if name != "cmpae"
    }
    assert values == {
        "han": (0.5, "clip", 0.5),
        "valor": (0.5, "clip", 0.5),
        "jomold": (0.5, "modality", 0.5),
        "coleaf": (0.25, "modality", 0.52),
        "mm-cse": (0.5, ("clip", "modality"), 0.5),
    }
    assert all(rule.preset == name for name, rule in PRESETS.items())
    cmpae = preset("cmpae", visual_clip_thresholds=VISUAL)
    assert (cmpae.segment_threshold, cmpae.gate, cmpae.preset) == (0.25, "modality", "cmpae")
    assert cmpae.clip_threshold == ((0.45,), VISUAL)


def test_what_was_not_published_must_be_given_and_nothing_else():
    with pytest.raises(
        ValueError, match="the preset cmpae needs the thresholds of the visual gate, .* are not published"
    ):
        preset("cmpae")
    with pytest.raises(ValueError, match="the preset jomold is complete and takes no thresholds"):
        preset("jomold", visual_clip_thresholds=VISUAL)
    with pytest.raises(ValueError, match="a preset is one of han, valor, jomold, cmpae, coleaf, mm-cse, got 'HAN'"):
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
    with pytest.raises(ValueError, match="a rule needs segment_threshold, gate and clip_threshold, got"):
        PostProcessing.from_dict(record)


def test_a_rule_is_said_in_one_line():
    assert rule_text(HAN_RULE.to_dict()) == "han: segments >= 0.5, gate clip >= 0.5"
    assert rule_text(PostProcessing(gate="none").to_dict()) == "segments >= 0.5, gate none"
    cmpae = preset("cmpae", visual_clip_thresholds=VISUAL)
    assert rule_text(cmpae.to_dict()) == "cmpae: segments >= 0.25, gate modality >= 0.25 to 0.7 by class"
    assert rule_text(PRESETS["mm-cse"].to_dict()) == "mm-cse: segments >= 0.5, gate clip and modality >= 0.5"
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
