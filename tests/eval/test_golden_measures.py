"""Measures of LFAV and OV-AVEL, and decisions of MM-CSE, LEAP and CoLeaF, against the golden vectors of their codes."""

import numpy as np
import pytest

from tests.helpers.golden_methods import Golden
from valor.eval.accuracy import accuracy, labels_of_first_agreement, mean_clip_f
from valor.eval.average_precision import lfav_precision
from valor.eval.breakdown import exclusive_marks, exclusive_ten
from valor.eval.counts import with_audio_visual
from valor.eval.decide import PRESETS, decide
from valor.eval.scores import FIGURES, LEVELS, PER_CLIP, score


def test_lfav(shared):
    golden = Golden(shared, "lfav_measures")
    lengths = golden["lengths"]
    longest, classes = int(lengths.max()), golden["clip0__prob"].shape[-1]
    arrays = {
        kind: np.zeros((len(lengths), longest, 2, classes), dtype=kept)
        for kind, kept in (("prob", float), ("truth", bool), ("marked", bool))
    }
    for clip, length in enumerate(lengths):
        for kind, array in arrays.items():
            array[clip, :length] = golden[f"clip{clip}__{kind}"]
    valid = np.arange(longest) < lengths[:, np.newaxis]
    found = score(arrays["marked"], arrays["truth"], valid=valid).per_clip
    order = [PER_CLIP.index(name) for name in ("audio", "visual", "event_av", "audio_visual")]
    for level, name in enumerate(("f_segment", "f_event")):
        assert np.abs(found[:, level][:, order] - golden[name]).max() < 1e-12
    precision = lfav_precision(arrays["prob"], arrays["truth"], valid=valid)
    assert np.abs(precision.mean - golden["map_a_v_av"]).max() < 1e-12


@pytest.mark.parametrize("setting", ["plain", "other"])
def test_ov_avel(shared, setting):
    golden = Golden(shared, "ovavel_rule")
    background = len(golden["text"]) - 1
    truth = np.where(golden["truth_is_event"].astype(bool), golden["truth_class"][:, None], background)
    decided = (golden[f"{setting}__is_event"].astype(bool), golden[f"{setting}__class"])
    labels, of_f = labels_of_first_agreement(*decided, background)
    assert accuracy(labels, truth) == pytest.approx(100 * float(golden[f"{setting}__accuracy"]), rel=1e-12)
    for events, name in ((False, "segment_f"), (True, "event_f")):
        expected = 100 * float(golden[f"{setting}__{name}"])
        assert mean_clip_f(of_f, truth, background, events=events) == pytest.approx(expected, rel=1e-12), name


def test_what_has_no_label_is_a_miss_and_no_false_alarm():
    truth = np.array([[0, 0, 1, 1]])
    assert mean_clip_f(np.array([[0, -1, 1, 1]]), truth, 1) > mean_clip_f(np.array([[0, 1, 1, 1]]), truth, 1)
    with pytest.raises(ValueError):
        mean_clip_f(truth, truth[:, :2], 1)


def _check_tracks(golden, marked, prefix=""):
    tracks = with_audio_visual(marked)
    for modality, name in enumerate(("a", "v", "av")):
        assert np.array_equal(tracks[:, :, modality], golden[f"{prefix}pred_{name}"].astype(bool)), name
    return score(marked, golden["truth"].astype(bool))


def _ten(found):
    return [getattr(getattr(found, level), figure) for level in LEVELS for figure in FIGURES]


def test_mm_cse(shared):
    golden = Golden(shared, "mmcse_decision")
    gates = np.stack([golden["prob_v"], golden["prob_v"]], axis=1)
    given = {"clip_probs": golden["prob_global"], "modality_probs": gates, "options": PRESETS["mm-cse"]}
    found = _check_tracks(golden, decide(golden["frame_prob"], **given))
    assert _ten(found) == pytest.approx(golden["scores"].tolist(), rel=1e-12)


def test_leap(shared):
    golden = Golden(shared, "leap_decision")
    probs = golden.both("frame_prob").numpy()
    marked = decide(probs, clip_probs=np.maximum(golden["prob_a"], golden["prob_v"]))
    assert _check_tracks(golden, marked).segment.type_av == pytest.approx(float(golden["segment_type"]), rel=1e-12)


def test_coleaf(shared):
    golden = Golden(shared, "coleaf_decision")
    frames = 0.7 * golden["frame_prob_cross"] + 0.3 * golden["frame_prob_alone"]
    gates = [0.7 * golden[f"prob_{name}_cross"] + 0.3 * golden[f"prob_{name}_alone"] for name in "av"]
    marked = decide(frames, modality_probs=np.stack(gates, axis=1), options=PRESETS["coleaf"])
    found = _check_tracks(golden, marked)
    ten = golden["scores"].tolist()
    assert _ten(found) == pytest.approx(ten[:10], rel=1e-12)
    assert np.mean(_ten(found)) == pytest.approx(ten[10], rel=1e-12)
    only = np.concatenate([exclusive_marks(marked), with_audio_visual(marked)[:, :, 2:]], axis=2)
    for modality, name in enumerate(("a", "v", "av")):
        assert np.array_equal(only[:, :, modality], golden[f"only__pred_{name}"].astype(bool)), name
    alone = _ten(exclusive_ten(marked, golden["truth"].astype(bool)))
    assert [*alone, np.mean(alone)] == pytest.approx(golden["scores_only"].tolist(), rel=1e-12)
