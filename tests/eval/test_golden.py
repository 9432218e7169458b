"""The scorer against the published one: every family of predictions, every pair of ten-segment tracks, both splits."""

import json
from dataclasses import astuple

import numpy as np
import pytest

from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.counts import event_counts
from valor.eval.decide import decide
from valor.eval.scores import nothing_predicted, score, tags_copied

PER_CLIP_COLUMNS = ["seg_a", "seg_v", "seg_av", "seg_event", "event_a", "event_v", "event_av", "event_event"]
"""The published per-clip columns in the order of our per_clip array."""
STORED_COLUMNS = ["seg_a", "seg_v", "seg_event", "seg_av", "event_a", "event_v", "event_event", "event_av"]
ORDER = [STORED_COLUMNS.index(column) for column in PER_CLIP_COLUMNS]


def ten(scores):
    return np.array([*astuple(scores.segment), *astuple(scores.event)])


def unpacked(rows):
    """Packed rows of (M, T, C) bits -> bool [N, T, M, C]."""
    bits = np.unpackbits(rows, axis=1, count=2 * 10 * 25)
    return bits.astype(bool).reshape(-1, 2, 10, 25).transpose(0, 2, 1, 3)


@pytest.fixture(scope="module", params=["val", "test"])
def golden(request, shared):
    with np.load(shared / "golden" / f"metrics_{request.param}.npz", allow_pickle=False) as archive:
        return request.param, dict(archive)


def test_every_family_scores_as_published(golden):
    _, arrays = golden
    truth = unpacked(arrays["gt"])
    families = [name.removeprefix("pred__") for name in arrays if name.startswith("pred__")]
    assert len(families) >= 27
    for family in families:
        scores = score(unpacked(arrays[f"pred__{family}"]), truth)
        assert np.abs(ten(scores) - arrays[f"agg__{family}"]).max() < 1e-9, family
        per_clip = scores.per_clip.reshape(len(truth), 8)
        assert np.abs(per_clip - arrays[f"pervideo__{family}"][:, ORDER]).max() < 1e-12, family


def test_the_ten_figures_stand_under_their_published_names(golden, shared):
    split, arrays = golden
    truth = unpacked(arrays["gt"])
    families = json.loads((shared / "golden" / "metrics.json").read_text())[split]["families"]
    names = {"a": "audio", "v": "visual", "av": "audio_visual", "type": "type_av", "event": "event_av"}
    figures = score(unpacked(arrays["pred__gt_shift+1"]), truth).to_dict()
    for level, prefix in (("segment", "Seg"), ("event", "Event")):
        for theirs, ours in names.items():
            stored = families["gt_shift+1"][f"{prefix}-{theirs}"]
            assert figures[level][ours] == pytest.approx(stored, abs=1e-9)


def test_annotations_read_as_the_published_truth_and_tags(golden, shared):
    split, arrays = golden
    ours = read_split(shared / "llp", split, class_names(LLP_CLASSES))
    assert list(ours.clip_ids) == [name.decode() for name in arrays["names"]]
    assert np.array_equal(ours.truth, unpacked(arrays["gt"]))
    assert np.array_equal(ours.weak_labels, np.unpackbits(arrays["weak_labels"], axis=1, count=25).astype(bool))


@pytest.mark.parametrize("split", ["val", "test"])
def test_probabilities_are_decided_and_scored_as_published(split, shared):
    with np.load(shared / "golden" / f"probs_{split}.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    truth = read_split(shared / "llp", split, class_names(LLP_CLASSES)).truth
    scores = score(decide(arrays["frame_prob"], clip_probs=arrays["global_prob"]), truth)
    assert np.abs(ten(scores) - arrays["agg"]).max() < 1e-9
    assert np.abs(scores.per_clip.reshape(len(truth), 8) - arrays["pervideo"][:, ORDER]).max() < 1e-12


def test_every_pair_of_ten_segment_tracks_counts_as_published(shared):
    with np.load(shared / "golden" / "event_pairs.npz", allow_pickle=False) as archive:
        pairs = dict(archive)
    tracks = (np.arange(1024)[:, None] >> np.arange(10)) & 1 == 1  # [1024, T]
    for first in range(0, 1024, 128):  # 128 predictions at a time against all truths
        block = slice(first, first + 128)
        predicted = np.broadcast_to(tracks[block, :, None, None], (128, 10, 1, 1024))
        truth = np.broadcast_to(tracks.T[None, :, None, :], (128, 10, 1, 1024))
        counts = event_counts(predicted, truth)[:, 0]
        assert np.array_equal(counts, np.stack([pairs[name][block] for name in ("tp", "fp", "fn")], axis=-1))


def test_the_anchors_of_the_llp_test_split(shared):
    split = read_split(shared / "llp", "test", class_names(LLP_CLASSES))
    nothing = score(nothing_predicted(split.truth), split.truth)
    copied = score(tags_copied(split.weak_labels, 10), split.truth)
    assert np.round(ten(nothing)[:5], 1).tolist() == [0.5, 10.1, 14.5, 8.4, 0.0]
    assert np.round(ten(copied), 1).tolist() == [76.1, 60.3, 52.6, 63.0, 71.7, 63.0, 55.8, 44.7, 54.5, 61.6]
