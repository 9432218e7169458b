"""The label rule on small timelines, and which teacher labels which modality."""

import numpy as np
import pytest

from valor.label_harvest.pseudo_labels import judges_of, label_store, pseudo_labels, pseudo_probs
from valor.label_harvest.store.store import EvidenceStore


def store_of(**similarities: np.ndarray) -> EvidenceStore:
    """A store of two clips and two classes in memory, scale 10 and bias -1 for every teacher."""
    return EvidenceStore(
        clip_ids=("a", "b"),
        class_names=("Dog", "Cat"),
        weak_labels=np.array([[True, False], [True, True]]),
        statuses=("ok", "ok"),
        messages=("", ""),
        arrays={f"{role}.similarity": array for role, array in similarities.items()},
        manifest={"teachers": {role: {"logit_scale": 10.0, "logit_bias": -1.0} for role in similarities}},
    )


def test_strictly_above_the_threshold_and_only_tagged_classes():
    #            Dog  Cat
    logits = np.array(
        [
            [2.0, 9.0],  # at the threshold; not tagged
            [2.1, 9.0],
            [np.nan, 9.0],  # no evidence
            [1.9, 9.0],
        ]
    )
    labels = pseudo_labels(logits, np.array([True, False]), np.array([2.0, 2.0]))
    assert labels.tolist() == [[False, False], [True, False], [False, False], [False, False]]


def test_leading_axes_are_free():
    rng = np.random.default_rng(0)
    logits, weak = rng.normal(size=(3, 2, 5, 4)), rng.random((3, 2, 4)) < 0.5
    whole = pseudo_labels(logits, weak, np.zeros(4))
    assert whole.shape == (3, 2, 5, 4)
    assert (whole[1, 0] == pseudo_labels(logits[1, 0], weak[1, 0], np.zeros(4))).all()


def test_each_modality_is_labelled_by_its_own_teacher():
    audio, visual = np.full((2, 3, 2), 0.5, np.float32), np.full((2, 3, 2), 0.2, np.float32)  # logits 4 and 1
    labels = label_store(
        store_of(audio=audio, visual=visual), {"audio": np.array([3.9, 4.0]), "visual": np.ones(2) * 2}
    )
    assert labels.shape == (2, 3, 2, 2)
    assert labels[:, :, 0, 0].all() and not labels[:, :, 0, 1].any() and not labels[:, :, 1].any()


def test_a_fused_teacher_labels_both_modalities_alike():
    similarity = np.random.default_rng(0).uniform(-1, 1, (2, 3, 2)).astype(np.float32)
    labels = label_store(store_of(fused=similarity), {"fused": np.zeros(2)})
    assert (labels[:, :, 0] == labels[:, :, 1]).all() and labels.any()


@pytest.mark.parametrize(("given", "roles", "found"), [
    (("audio", "visual"), ("audio", "visual"), {"audio": "audio", "visual": "visual"}),
    (("audio", "visual", "fused"), ("audio", "visual", "fused"), {"audio": "audio", "visual": "visual"}),
    (("fused",), ("audio", "visual", "fused"), {"audio": "fused", "visual": "fused"}),
    (("audio", "fused"), ("audio", "visual", "fused"), {"audio": "fused", "visual": "fused"}),
    (("audio", "visual"), ("audio",), {"audio": "audio"}),
    (("audio", "visual"), ("visual", "vggish"), {"visual": "visual"}),
    (("visual",), ("visual",), {"visual": "visual"}),
])  # fmt: skip
def test_a_modality_is_decided_by_its_own_teacher_by_the_fused_one_or_not_at_all(given, roles, found):
    assert judges_of(dict.fromkeys(given, np.zeros(2)), roles) == found


def test_a_store_of_one_modality_labels_nothing_in_the_other():
    visual = np.full((2, 3, 2), 0.5, np.float32)
    labels = label_store(store_of(visual=visual), {"audio": np.zeros(2), "visual": np.zeros(2)})
    assert labels[:, :, 1].any() and not labels[:, :, 0].any()


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match=r"weak_labels must be bool .* got bool \[3\] and logits \[4, 2\]"):
        pseudo_labels(np.zeros((4, 2)), np.zeros(3, bool), np.zeros(2))
    with pytest.raises(ValueError, match="got int64"):
        pseudo_labels(np.zeros((4, 2)), np.zeros(2, np.int64), np.zeros(2))
    with pytest.raises(ValueError, match=r"thresholds must be 2 numbers, one per class, got \[2\] with 1 NaN"):
        pseudo_labels(np.zeros((4, 2)), np.zeros(2, bool), np.array([0.0, np.nan]))


def test_a_store_or_thresholds_that_lack_a_modality_are_refused():
    audio = np.zeros((2, 3, 2), np.float32)
    with pytest.raises(ValueError, match=r"thresholds for visual need evidence .* the store holds \['audio'\]"):
        label_store(store_of(audio=audio), {"visual": np.zeros(2)})
    with pytest.raises(ValueError, match=r"thresholds for audio and visual, or for fused, got \['audio'\]"):
        label_store(store_of(audio=audio, visual=audio), {"audio": np.zeros(2)})


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_labels_are_sigmoids_of_tagged_classes(temperature):
    rng = np.random.default_rng(0)
    logits, weak, thresholds = rng.normal(size=(3, 5, 4)) * 9, rng.random((3, 4)) < 0.6, rng.normal(size=4)
    logits[1, 2] = np.nan
    soft = pseudo_probs(logits, weak, thresholds, temperature=temperature)
    for n, t, c in np.ndindex(soft.shape):
        known = weak[n, c] and not np.isnan(logits[n, t, c])
        expected = 1 / (1 + np.exp(-(logits[n, t, c] - thresholds[c]) / temperature)) if known else 0
        assert soft[n, t, c] == pytest.approx(expected, abs=1e-6)
    assert soft.dtype == np.float64 and pseudo_probs(logits.astype(np.float32), weak, thresholds).dtype == np.float32
    assert np.array_equal(soft > 0.5, pseudo_labels(logits, weak, thresholds))


def test_soft_labels_of_extreme_logits_are_0_and_1_without_a_warning():
    with np.errstate(all="raise"):
        soft = pseudo_probs(np.array([[1e5, -1e5]]), np.array([True, True]), np.zeros(2))
    assert soft.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_a_positive_number(temperature):
    with pytest.raises(ValueError, match="temperature must be a positive number of logits, got"):
        pseudo_probs(np.zeros((1, 2)), np.array([True, True]), np.zeros(2), temperature=temperature)


def test_a_store_is_labelled_softly_by_the_same_teachers():
    audio, visual = np.full((2, 3, 2), 0.5, np.float32), np.full((2, 3, 2), 0.2, np.float32)  # logits 4 and 1
    thresholds = {"audio": np.array([3.0, 4.0]), "visual": np.array([1.0, 2.0])}
    soft = label_store(store_of(audio=audio, visual=visual), thresholds, temperature=2.0)
    half = 1 / (1 + np.exp(-0.5))
    assert soft[0, 0].tolist() == [[pytest.approx(half), 0], [pytest.approx(0.5), 0]]
    assert soft[1, 0].tolist() == [
        [pytest.approx(half), pytest.approx(0.5)],
        [pytest.approx(0.5), pytest.approx(1 - half)],
    ]
