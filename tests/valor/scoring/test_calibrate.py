"""Thresholds found on a split, for parsers and for teachers."""

from dataclasses import replace

import numpy as np
import pytest

from valor.data.prediction_files import write_any_predictions
from valor.data.predictions import Predictions, decisions
from valor.data.tables import Split, read_split
from valor.data.thresholds import apply_calibration, read_calibration, read_thresholds, write_calibration
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.counts import event_counts, segment_counts
from valor.eval.decide import PRESETS, PostProcessing
from valor.eval.scores import f_scores
from valor.label_harvest.pseudo_labels import label_store
from valor.label_harvest.store.store import EvidenceStore
from valor.scoring.calibrate import ON_TEST, calibrate_predictions, calibrate_store, sources_of

N, T, C = 60, 8, 3
CLIPS = tuple(f"clip-{index:02}" for index in range(N))
CLASSES = ("Dog", "Speech", "Cello")
FALLBACK = {"audio": np.full(C, 1.5), "visual": np.full(C, 2.5)}


@pytest.fixture
def split():
    truth = np.random.default_rng(0).random((N, T, 2, C)) < 0.3
    return Split("val", CLIPS, CLASSES, truth.any(axis=(1, 2)), truth, "v2024", "ab" * 32)


@pytest.fixture
def predictions(split):
    """Probabilities that mark each class of each modality best at a threshold of its own: 0.2 to 0.7."""
    rng = np.random.default_rng(1)
    best = np.linspace(0.2, 0.7, 2 * C).reshape(2, C)
    probs = np.where(split.truth, best + 0.25 * rng.random(split.truth.shape), best * rng.random(split.truth.shape))
    probs = probs.astype(np.float32)
    return Predictions(
        clip_ids=CLIPS,
        class_names=CLASSES,
        segment_probs=probs,
        clip_probs=probs.max(axis=(1, 2)),
        modality_probs=probs.max(axis=1),
    )


@pytest.fixture
def store(split):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=split.truth.shape).astype(np.float32) + 3 * split.truth
    arrays = {f"{role}.similarity": logits[:, :, m] / 4 for m, role in enumerate(("audio", "visual"))}
    arrays["fused.similarity"] = logits.mean(axis=2) / 4
    arrays["audio.similarity"][3, 2:] = np.nan
    teachers = {role: {"logit_scale": 4.0, "logit_bias": -1.0} for role in ("audio", "visual", "fused")}
    manifest = {"fingerprint": "f" * 64, "teachers": teachers}
    return EvidenceStore(CLIPS, CLASSES, split.weak_labels, ("ok",) * N, ("",) * N, arrays, manifest)


def f_of(marked, truth, counts=segment_counts):
    return f_scores(counts(marked, truth).sum(axis=0))[0]


@pytest.mark.parametrize(("criterion", "counts"), [("segment-f", segment_counts), ("event-f", event_counts)])
@pytest.mark.parametrize("gate", ["none", "clip", "modality"])
def test_the_f_in_the_file_is_that_of_the_decisions_and_beats_any_common_threshold(
    predictions, split, criterion, counts, gate
):
    rule = PostProcessing(gate=gate, clip_threshold=0.4)
    calibration = calibrate_predictions(predictions, split, criterion=criterion, rule=rule)
    decided, _ = decisions(predictions, apply_calibration(calibration))
    reached = f_of(decided, split.truth, counts)
    stored = np.array([calibration.f_scores[role] for role in ("audio", "visual")], dtype=float)
    assert np.allclose(reached, stored)
    for threshold in np.arange(0.05, 1, 0.05):
        common = replace(rule, segment_threshold=float(threshold))
        assert (f_of(decisions(predictions, common)[0], split.truth, counts) <= reached + 1e-12).all()


def test_every_class_and_modality_gets_its_own_threshold(predictions, split):
    calibration = calibrate_predictions(predictions, split, rule=PostProcessing(gate="none"))
    found = np.array([calibration.thresholds[role] for role in ("audio", "visual")])
    assert np.abs(found - np.linspace(0.2, 0.7, 2 * C).reshape(2, C)).max() < 0.05
    assert set(sum(calibration.f_scores.values(), ())) == {1.0}


def test_a_class_that_the_table_gains_nothing_by_keeps_the_threshold_of_the_rule(predictions, split):
    truth = split.truth.copy()
    truth[..., 2], truth[:2, :, 1, 2] = False, True  # and its probabilities say nothing of it
    split = replace(split, truth=truth)
    rule = PostProcessing(gate="none", segment_threshold=0.9)
    everywhere = calibrate_predictions(predictions, split, criterion="segment-f", rule=rule)
    found = calibrate_predictions(predictions, split, criterion="segment-table", rule=rule)
    assert found.thresholds["visual"][2] == 0.9 > everywhere.thresholds["visual"][2]
    assert found.provenance["visual_kept"] == "Cello" and found.f_scores["visual"][2] is None
    assert found.thresholds["visual"][:2] == everywhere.thresholds["visual"][:2]


def test_probabilities_that_are_the_threshold_of_the_rule_reach_it(predictions, split):
    exact = replace(predictions, segment_probs=np.where(split.truth, 0.45, 0.1).astype(np.float32))
    rule = PostProcessing(gate="none", segment_threshold=0.45)
    found = calibrate_predictions(exact, split, criterion="segment-table", rule=rule)
    assert set(sum(found.thresholds.values(), ())) == {0.45}, "all is marked right by the rule"


def test_clips_and_classes_are_matched_by_name(predictions, split):
    rows, columns = np.random.default_rng(3).permutation(N), [2, 0, 1]
    shuffled = Predictions(
        clip_ids=tuple(CLIPS[row] for row in rows),
        class_names=tuple(CLASSES[column] for column in columns),
        segment_probs=predictions.segment_probs[rows][..., columns],
        clip_probs=predictions.clip_probs[rows][:, columns],
    )
    assert calibrate_predictions(shuffled, split) == calibrate_predictions(predictions, split)


@pytest.mark.parametrize(
    ("gate", "truth_of"),
    [
        ("clip", lambda truth: np.stack([truth.any(axis=(1, 2))] * 2, axis=1)),
        ("modality", lambda truth: truth.any(axis=1)),
    ],
)
def test_the_gate_is_found_by_which_clips_a_class_is_in(predictions, split, gate, truth_of):
    calibration = calibrate_predictions(predictions, split, criterion="clip-f", rule=PostProcessing(gate=gate))
    assert calibration.applies_to == "clip_threshold"
    limits = np.array([calibration.thresholds[role] for role in ("audio", "visual")])
    probs = predictions.modality_probs if gate == "modality" else np.stack([predictions.clip_probs] * 2, axis=1)
    present = truth_of(split.truth)
    reached = f_of((probs >= limits)[:, None], present[:, None])
    assert np.allclose(reached, np.array([calibration.f_scores[role] for role in ("audio", "visual")], dtype=float))
    if gate == "clip":
        assert calibration.thresholds["audio"] == calibration.thresholds["visual"]
    assert calibration.support["audio"] == tuple(present[:, 0].sum(axis=0).tolist())


def test_the_preset_with_unknown_thresholds_is_filled(predictions, split):
    calibration = calibrate_predictions(predictions, split, criterion="clip-f", rule=PRESETS["cmpae"])
    filled = apply_calibration(calibration, PRESETS["cmpae"])
    assert filled.clip_threshold == ((0.45,), calibration.thresholds["visual"])
    assert decisions(predictions, filled)[1]["preset"] == "cmpae"


def test_without_dense_labels_classes_are_found_as_often_as_they_are_tagged(predictions, split):
    untrue = replace(split, name="train", truth=None, truth_version=None, truth_sha256=None)
    rule = PostProcessing(gate="none")
    calibration = calibrate_predictions(predictions, untrue, criterion="tag-rate", rule=rule, present_share=(1.0, 0.5))
    found = decisions(predictions, apply_calibration(calibration))[0].any(axis=1).sum(axis=0)
    tagged = split.weak_labels.sum(axis=0)
    assert np.abs(found - np.outer([1, 0.5], tagged)).max() <= 1
    assert calibration.support["visual"] == tuple(tagged.tolist())
    assert "truth_sha256" not in calibration.provenance
    assert calibration.provenance["present_share"] == {"audio": 1.0, "visual": 0.5}
    assert not any(isinstance(value, list | tuple) for value in calibration.provenance.values())
    with pytest.raises(
        ValueError, match="segment-f needs dense labels, which the split 'train' has not; use val, or tag"
    ):
        calibrate_predictions(predictions, untrue)


def test_a_class_without_truth_keeps_the_threshold_it_had_and_is_named(predictions, split):
    split.truth[..., 1] = False
    rule = PostProcessing(segment_threshold=0.35, gate="none")
    calibration = calibrate_predictions(predictions, split, rule=rule)
    assert calibration.thresholds["audio"][1] == calibration.thresholds["visual"][1] == 0.35
    assert calibration.f_scores["audio"][1] is None and calibration.support["audio"][1] == 0
    assert calibration.provenance["audio_kept"] == calibration.provenance["visual_kept"] == "Speech"


def test_segments_that_do_not_exist_play_no_part(predictions, split):
    valid = np.arange(T) < np.arange(N)[:, None] % T + 1
    upset = np.where(valid[:, :, None, None], predictions.segment_probs, 1)  # nonsense where nothing is
    held = replace(predictions, segment_probs=upset, valid=valid)
    calibration = calibrate_predictions(held, split, rule=PostProcessing(gate="none"))
    cut = replace(split, truth=split.truth & valid[:, :, None, None])
    found = calibrate_predictions(held, cut, rule=PostProcessing(gate="none"))
    assert set(sum(found.f_scores.values(), ())) == {1.0}
    assert sum(calibration.support["audio"]) == split.truth[:, :, 0].sum()  # what they leave out is missed


def test_the_file_says_where_its_numbers_come_from(tmp_path, predictions, split):
    write_any_predictions(tmp_path / "p.npz", predictions)
    sources = sources_of(tmp_path / "p.npz")
    assert list(sources) == ["p.npz"] and len(sources["p.npz"]) == 64
    calibration = calibrate_predictions(predictions, split, sources=sources)
    write_calibration(tmp_path / "t.json", calibration)
    assert read_calibration(tmp_path / "t.json", CLASSES).provenance == {
        "criterion": "segment-f",
        "meaning": "the highest segment-level F of each class, its counts added over clips",
        "split": "val",
        "clips": N,
        "clips_expected": N,
        "truth_version": "v2024",
        "truth_sha256": "ab" * 32,
        "sources": sources,
    }
    write_any_predictions(tmp_path / "p", predictions)
    assert list(sources_of(tmp_path / "p")) == ["audio.tsv", "visual.tsv", "clips.txt"]


@pytest.mark.parametrize("criterion", ["segment-f", "tag-rate"])
def test_thresholds_chosen_on_test_say_so(predictions, store, split, criterion):
    on_test = replace(split, name="test")
    assert "note" not in calibrate_predictions(predictions, split, criterion=criterion).provenance
    assert calibrate_predictions(predictions, on_test, criterion=criterion).provenance["note"] == ON_TEST
    assert calibrate_store(store, on_test, FALLBACK, criterion=criterion).provenance["note"] == ON_TEST


def test_a_part_of_a_split_is_used_only_when_asked_for(predictions, split):
    part = replace(
        predictions,
        clip_ids=CLIPS[:40],
        segment_probs=predictions.segment_probs[:40],
        clip_probs=predictions.clip_probs[:40],
        modality_probs=predictions.modality_probs[:40],
    )
    with pytest.raises(ValueError, match="20 missing"):
        calibrate_predictions(part, split)
    calibration = calibrate_predictions(part, split, allow_subset=True)
    assert (calibration.provenance["clips"], calibration.provenance["clips_expected"]) == (40, N)


@pytest.mark.parametrize(("criterion", "counts"), [("segment-f", segment_counts), ("event-f", event_counts)])
def test_labels_with_the_thresholds_of_teachers_reach_the_f_in_the_file(tmp_path, store, split, criterion, counts):
    calibration = calibrate_store(store, split, FALLBACK, criterion=criterion)
    write_calibration(tmp_path / "t.json", calibration)
    thresholds = read_thresholds(tmp_path / "t.json", C)
    complete = np.arange(N) != 3
    reached = f_of(label_store(store, thresholds)[complete], split.truth[complete], counts)
    stored = np.array([calibration.f_scores[role] for role in ("audio", "visual")], dtype=float)
    assert np.allclose(reached, stored, atol=1e-12)
    by_default = f_of(label_store(store, FALLBACK)[complete], split.truth[complete], counts)
    assert (reached >= by_default).all() and (reached > by_default).any()
    assert calibration.provenance["clips"] == N - 1
    assert calibration.provenance["sources"] == {"store": "f" * 64}


def test_thresholds_of_a_store_name_the_teachers_that_judged(tmp_path, store, split):
    who = {"teacher": "loudness", "weights": "none"}
    judging = {role: {**held, **who, "prompts": []} for role, held in store.manifest["teachers"].items()}
    known = replace(store, manifest={**store.manifest, "teachers": {**judging, "visual2": {"teacher": "features"}}})
    write_calibration(tmp_path / "t.json", calibrate_store(known, split, FALLBACK))
    judges = read_calibration(tmp_path / "t.json", CLASSES).provenance["teachers"]
    assert judges == dict.fromkeys(judging, who)


def test_a_fused_teacher_gets_one_threshold_for_both_modalities(store, split):
    calibration = calibrate_store(store, split, {"fused": np.zeros(C)})
    assert list(calibration.thresholds) == ["fused"]
    labels = label_store(store, {"fused": np.array(calibration.thresholds["fused"])})
    counts = segment_counts(labels, split.truth).sum(axis=(0, 1))
    assert np.allclose(f_scores(counts)[0], np.array(calibration.f_scores["fused"], dtype=float))
    rate = calibrate_store(store, split, {"fused": np.zeros(C)}, criterion="tag-rate", present_share=(0.75, 0.25))
    found = (store.logits("fused") > np.array(rate.thresholds["fused"])).any(axis=1).sum(axis=0)
    assert np.abs(found - split.weak_labels.sum(axis=0) / 2).max() <= 1


@pytest.mark.parametrize("criterion", ["segment-f", "event-f", "tag-rate"])
@pytest.mark.parametrize("role", ["audio", "visual"])
def test_one_modality_alone_gets_the_thresholds_it_has_beside_the_other(store, split, role, criterion):
    options = {"criterion": criterion, "present_share": (0.75, 0.25)}
    complete = replace(store, arrays={name: np.nan_to_num(array) for name, array in store.arrays.items()})
    both = calibrate_store(complete, split, FALLBACK, **options)
    alone = calibrate_store(complete, split, {role: FALLBACK[role]}, **options)
    assert alone.thresholds == {role: both.thresholds[role]}
    assert alone.support[role] == both.support[role]


def test_only_clips_of_the_split_are_used(store, split):
    few = replace(
        split, clip_ids=CLIPS[10:50][::-1], weak_labels=split.weak_labels[10:50][::-1], truth=split.truth[10:50][::-1]
    )
    calibration = calibrate_store(store, few, FALLBACK)
    assert calibration.provenance["clips"] == 40
    thresholds = {role: np.array(values) for role, values in calibration.thresholds.items()}
    reached = f_of(label_store(store, thresholds)[10:50], split.truth[10:50])
    assert np.allclose(reached, np.array([calibration.f_scores[role] for role in ("audio", "visual")], dtype=float))


def test_what_cannot_be_calibrated_is_refused(predictions, store, split):
    with pytest.raises(
        ValueError, match="one of segment-f, event-f, segment-table, clip-f, event-table, tag-rate, got 'f1'"
    ):
        calibrate_predictions(predictions, split, criterion="f1")
    with pytest.raises(ValueError, match="criterion must be one of segment-f, event-f, uwav, tag-rate, got 'clip-f'"):
        calibrate_store(store, split, FALLBACK, criterion="clip-f")
    decided = Predictions(clip_ids=CLIPS, class_names=CLASSES, predicted=split.truth)
    with pytest.raises(ValueError, match="thresholds are found on probabilities, got decisions already made"):
        calibrate_predictions(decided, split)
    for gate in ("none", ("clip", "none")):
        with pytest.raises(ValueError, match="clip-f finds thresholds of a gate, and the gate is"):
            calibrate_predictions(predictions, split, criterion="clip-f", rule=PostProcessing(gate=gate))
    longer = replace(split, truth=np.zeros((N, T + 1, 2, C), dtype=bool))
    with pytest.raises(ValueError, match="scores must be of the 9 segments of the annotations, got 8 for each clip"):
        calibrate_predictions(predictions, longer)
    for shares in ((0.5,), (1.5, 0.5)):
        with pytest.raises(ValueError, match=r"present_share must be 2 shares in 0..1, one per modality"):
            calibrate_predictions(predictions, split, criterion="tag-rate", present_share=shares)


def test_stores_that_do_not_fit_are_refused(store, split):
    for roles in (("visual", "audio"), ("audio", "fused"), ("smell",), ()):
        with pytest.raises(ValueError, match="thresholds are found for audio, visual or both, or for fused, got"):
            calibrate_store(store, split, dict.fromkeys(roles, np.zeros(C)))
    with pytest.raises(ValueError, match="the split 'val': the classes are not those of the store .* another order"):
        calibrate_store(store, replace(split, class_names=CLASSES[::-1]), FALLBACK)
    with pytest.raises(ValueError, match="no clip of the split 'val' has complete evidence in this store"):
        calibrate_store(store, replace(split, clip_ids=tuple(f"x{n}" for n in range(N))), FALLBACK)


def test_the_golden_probabilities_score_no_less_per_class_when_calibrated(shared):
    """On real truth: chosen on val, every class gains on val over the common 0.5, and the file is for 25 classes."""
    names = class_names(LLP_CLASSES)
    split = read_split(shared / "llp", "val", names)
    with np.load(shared / "golden" / "probs_val.npz", allow_pickle=False) as archive:
        held = Predictions(
            clip_ids=split.clip_ids,
            class_names=names,
            segment_probs=archive["frame_prob"],
            clip_probs=archive["global_prob"],
        )
    calibration = calibrate_predictions(held, split)
    before = f_of(decisions(held)[0], split.truth)
    after = f_of(decisions(held, apply_calibration(calibration))[0], split.truth)
    assert (after >= before).all() and after.mean() > before.mean()
    assert len(calibration.thresholds["audio"]) == 25


def test_a_class_that_never_had_a_threshold_gets_the_highest_that_was_found(store, split):
    split.truth[..., 1] = False
    kept = {"audio": np.array([1.0, np.nan, np.nan]), "visual": np.array([np.nan, 2.5, np.nan])}
    calibration = calibrate_store(store, split, kept)
    heard, seen = calibration.thresholds["audio"], calibration.thresholds["visual"]
    assert heard[1] == max(heard[0], heard[2]) and calibration.provenance["audio_highest"] == "Speech"
    assert seen[1] == 2.5 and calibration.provenance["visual_kept"] == "Speech"
    assert "audio_kept" not in calibration.provenance and "visual_highest" not in calibration.provenance
    split.truth[:] = False
    with pytest.raises(ValueError, match="no class has anything to find a threshold on, and none had one before"):
        calibrate_store(store, split, dict.fromkeys(("audio", "visual"), np.full(C, np.nan)))
