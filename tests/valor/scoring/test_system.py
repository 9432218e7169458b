"""One system on one split.

What lies behind the ten figures.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.toy_scores import NAMES, write_toy_scores
from valor.data.predictions import read_predictions
from valor.eval.average_precision import segment_precision
from valor.eval.breakdown import breakdown
from valor.eval.decide import PRESETS, PostProcessing
from valor.eval.intervals import bootstrap, compare
from valor.eval.scores import score
from valor.scoring.system import (
    anchor_scores,
    class_sections,
    detail_sections,
    difference_section,
    interval_section,
    score_system,
)


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    toy = write_toy_scores(tmp_path_factory.mktemp("toy"))
    return [score_system(path.stem, read_predictions(path), toy.split) for path in (toy.good, toy.poor)]


def test_intervals_are_those_of_the_bootstrap(systems):
    frame = interval_section(systems[0]).frame.set_index(["level", "figure"])
    expected = bootstrap(systems[0].scores).of("event", "visual")
    assert tuple(frame.loc[("event", "visual")]) == (expected.value, expected.low, expected.high)
    assert len(frame) == 10


def test_differences_are_paired_and_say_the_main_one_in_the_title(systems):
    section = difference_section(*systems)
    expected = compare(systems[0].scores, systems[1].scores).of("segment", "type_av")
    assert f"good - poor = {expected.text()}" in section.title and expected.low > 0
    row = section.frame.set_index(["level", "figure"]).loc[("segment", "type_av")]
    assert (row["value"], row["p"]) == (expected.value, expected.p_value)


def test_differences_of_other_clips_are_refused(systems):
    good, poor = systems
    shuffled = replace(good, predictions=replace(good.predictions, clip_ids=good.predictions.clip_ids[::-1]))
    with pytest.raises(ValueError, match="good and poor must be predictions of the same clips, got 32 and 32"):
        difference_section(shuffled, poor)


def test_what_knows_nothing_is_judged_by_the_metrics_of_the_data_set(systems, tmp_path):
    plain = anchor_scores(systems[0], write_toy_scores(tmp_path).split)
    assert [name for name, _ in plain] == ["nothing predicted", "tags copied"] and not plain[0][1].figures
    metrics = {"length": lambda held: 100 * held.segment_seconds, "marked": lambda held: 100 * held.predicted.mean()}
    split = replace(write_toy_scores(tmp_path).split, metrics=metrics, segment_seconds=0.5)
    found = {name: scores.figures for name, scores in anchor_scores(systems[0], split)}
    assert list(found) == ["nothing predicted", "tags copied", "commonest class copied", "its own class copied"]
    assert {figures["length"] for figures in found.values()} == {50}
    one_of_all = pytest.approx(100 / len(NAMES))
    assert found["commonest class copied"]["marked"] == found["its own class copied"]["marked"] == one_of_all
    assert found["nothing predicted"]["marked"] == 0


def test_classes_have_counts_ratios_and_a_mean_in_every_modality(systems):
    sections = class_sections(systems[0], NAMES)
    assert [section.key for section in sections] == ["per_class_segment", "per_class_event"]
    frame = sections[0].frame
    assert frame["modality"].unique().tolist() == ["audio", "visual", "audio_visual"]
    table = breakdown(systems[0].predicted, systems[0].truth)
    dog = frame.set_index(["modality", "class"]).loc[("visual", "Dog")]
    assert dog["true"] == table.true[1, 3] and dog["f"] == pytest.approx(100 * table.f[1, 3])
    means = frame[frame["class"] == "mean of classes"].set_index("modality")["f"]
    assert means["audio"] == pytest.approx(100 * table.macro_f[0])
    assert frame["true"].dtype == "Int64" and pd.isna(means.index).sum() == 0


def test_classes_that_occur_nowhere_are_not_shown_but_counted_and_stay_in_json(systems):
    without = [array.copy() for array in (systems[0].predicted, systems[0].truth)]
    for array in without:
        array[..., 3:] = False
    without[0][0, 0, 1, 5] = True  # predicted alone, in one modality
    of_few = replace(systems[0], predicted=without[0], truth=without[1])
    for section in class_sections(of_few, NAMES):
        assert section.title.endswith(
            f"; {len(NAMES) - 4} of {len(NAMES)} classes are neither annotated nor predicted and left out"
        )
        shown = section.shown["class"].unique().tolist()
        assert shown == [*NAMES[:3], NAMES[5], "mean of classes"] and len(section.frame) == 3 * (len(NAMES) + 1)
    whole = class_sections(replace(systems[0], truth=np.ones_like(without[1])), NAMES)
    assert [section.shown for section in whole] == [None, None] and "left out" not in whole[0].title


def test_classes_get_intervals_when_asked(systems):
    frame = class_sections(systems[0], NAMES, intervals=True)[1].frame
    known = frame[(frame["true"].fillna(0) > 3) & frame["f"].notna()]
    assert (known["f_low"] <= known["f"]).all() and (known["f"] <= known["f_high"]).all() and len(known) > 6


def test_details_hold_every_further_measure(systems):
    sections = {section.key: section.frame for section in detail_sections(systems[0])}
    assert list(sections) == ["exclusive", "overlaps", "durations", "probabilities"]
    assert sections["overlaps"]["IoU"].tolist() == [">= 0.5", ">= 0.6", ">= 0.7", ">= 0.8", ">= 0.9"]
    assert sections["overlaps"]["audio"][0] == systems[0].scores.event.audio
    whole = sections["durations"]
    assert (
        whole[whole["modality"] == "audio"]["true"].sum()
        == breakdown(systems[0].predicted, systems[0].truth, level="event").true[0].sum()
    )
    mean = segment_precision(systems[0].probs(), systems[0].truth).mean
    assert sections["probabilities"]["segment mAP"][:2].tolist() == pytest.approx((100 * mean).tolist())


def test_decisions_have_no_measures_of_probabilities(systems):
    held = systems[0].predictions
    decided = replace(held, predicted=systems[0].predicted, segment_probs=None, clip_probs=None, modality_probs=None)
    sections = detail_sections(replace(systems[0], predictions=decided))
    assert [section.key for section in sections] == ["exclusive", "overlaps", "durations"]
    assert all(np.isfinite(section.frame.select_dtypes("number").fillna(0)).all(axis=None) for section in sections)


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
    assert (system.report["clips"], system.report["clips_expected"]) == (3, 32)


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
    with pytest.raises(ValueError, match="HAN: the predictions must cover the 32 clips"):
        score_system("HAN", part, toy.split)
