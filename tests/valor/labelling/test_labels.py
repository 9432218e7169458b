"""From evidence to labels: which clips get any, what is written about them, and how good they are."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from valor.data.label_file import read_pseudo_labels
from valor.data.provenance import Provenance, of_labels, told_by
from valor.data.thresholds import Calibration, read_thresholds, threshold_origin, write_calibration
from valor.data.vocabulary import LLP_CLASSES
from valor.label_harvest.store.store import EvidenceStore
from valor.labelling.labels import label_clips, provenance_of, thresholds_for, thresholds_of, write_label_folder
from valor.scoring.calibrate import ON_TEST

CLASSES = ("Dog", "Cello", "Speech")
CLIPS = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_5_15", "plain-name", "ccccccccccc_30_40")
STATUSES = ("ok", "no_audio", "still", "short")
SEGMENTS = 4
ZERO = {"audio": np.zeros(3), "visual": np.zeros(3)}


def identity(scale, bias, weights="ab" * 32):
    return {"teacher": "toy", "weights": weights, "logit_scale": scale, "logit_bias": bias, "prompts": list(CLASSES)}


@pytest.fixture
def store() -> EvidenceStore:
    """Four clips: the second has no sound, the last one's picture ends early."""
    rng = np.random.default_rng(0)
    arrays = {f"{role}.similarity": rng.uniform(-1, 1, (4, SEGMENTS, 3)).astype(np.float32) for role in ZERO}
    arrays["audio.map"] = rng.normal(size=(4, 64, 5)).astype(np.float16)
    arrays["visual.embedding"] = rng.normal(size=(4, SEGMENTS, 7)).astype(np.float16)
    for name in ("audio.similarity", "audio.map"):
        arrays[name][1] = np.nan
    arrays["visual.similarity"][3, 2:] = np.nan
    weak_labels = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=bool)
    manifest = {"fingerprint": "f" * 64, "teachers": {"audio": identity(10.0, -1.0), "visual": identity(50.0, 5.0)}}
    return EvidenceStore(CLIPS, CLASSES, weak_labels, STATUSES, ("",) * 4, arrays, manifest)


def with_weights(store, role, weights):
    teachers = store.manifest["teachers"]
    changed = teachers | {role: teachers[role] | {"weights": weights}}
    return replace(store, manifest=store.manifest | {"teachers": changed})


def test_labels_are_logits_above_the_threshold_of_a_tagged_class(store):
    thresholds = {"audio": np.array([-4.0, 0.0, 2.0]), "visual": np.array([0.0, 20.0, -20.0])}
    labels, _ = label_clips(store, thresholds)
    assert labels.class_names == CLASSES and labels.labels.shape == (2, SEGMENTS, 2, 3)
    for row, clip in enumerate((0, 2)):
        heard = 10 * store.arrays["audio.similarity"][clip] - 1 > thresholds["audio"]
        seen = 50 * store.arrays["visual.similarity"][clip] + 5 > thresholds["visual"]
        assert np.array_equal(labels.labels[row, :, 0], heard & store.weak_labels[clip])
        assert np.array_equal(labels.labels[row, :, 1], seen & store.weak_labels[clip])
    assert 0 < labels.labels.sum() < labels.labels.size


def test_clips_without_whole_evidence_get_no_labels_and_are_listed(store):
    labels, left_out = label_clips(store, ZERO)
    assert labels.clip_ids == (CLIPS[0], CLIPS[2])
    assert left_out == {CLIPS[1]: "no_audio", CLIPS[3]: "short"}


def test_a_fused_teacher_labels_both_modalities_by_its_own_evidence(store):
    fused = replace(
        store,
        arrays=store.arrays | {"fused.similarity": np.full((4, SEGMENTS, 3), 0.5, np.float32)},
        manifest=store.manifest | {"teachers": store.manifest["teachers"] | {"fused": identity(2.0, 0.0)}},
    )
    labels, left_out = label_clips(fused, {"fused": np.array([0.9, 1.0, 0.0])})
    assert left_out == {} and labels.clip_ids == CLIPS
    expected = store.weak_labels & np.array([True, False, True])
    assert np.array_equal(labels.labels, np.broadcast_to(expected[:, None, None], (4, SEGMENTS, 2, 3)))


def test_a_store_without_a_whole_clip_is_refused(store):
    arrays = store.arrays | {"audio.similarity": np.full((4, SEGMENTS, 3), np.nan, np.float32)}
    with pytest.raises(ValueError, match="none of the 4 clips of the store has evidence of audio and visual"):
        label_clips(replace(store, arrays=arrays), ZERO)


def test_the_folder_says_how_its_labels_were_made(store, tmp_path):
    labels, left_out = write_label_folder(tmp_path / "labels", store, ZERO)
    assert np.array_equal(read_pseudo_labels(tmp_path / "labels").labels, labels.labels)
    provenance = json.loads((tmp_path / "labels" / "labels.json").read_text())
    assert provenance["store"] == "f" * 64 and provenance["left_out"] == left_out
    assert provenance["thresholds"] == {"audio": [0, 0, 0], "visual": [0, 0, 0]}
    assert provenance["teachers"] == store.manifest["teachers"]
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["labels.json", "pseudo_labels.npz"]


@pytest.mark.parametrize("role", [None, "audio", "visual"])
def test_random_teachers_are_told_from_the_store_and_from_its_labels(store, tmp_path, role):
    store = with_weights(store, role, "random") if role else store
    write_label_folder(tmp_path, store, ZERO)
    assert told_by(store.manifest).random_teachers is bool(role)
    assert of_labels(tmp_path).random_teachers is bool(role)
    assert of_labels(tmp_path / "pseudo_labels.npz").random_teachers is bool(role)  # the file is as good as the folder


def test_nothing_is_known_against_labels_without_provenance(tmp_path):
    assert of_labels(tmp_path) == Provenance()


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00"])
def test_damaged_provenance_is_refused_not_believed(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"labels.json: expected what `valor labels` wrote"):
        of_labels(tmp_path)


def test_thresholds_of_the_vocabulary_keep_its_order():
    thresholds = thresholds_of(LLP_CLASSES)
    assert thresholds["audio"].tolist() == [entry.audio_threshold for entry in LLP_CLASSES]
    assert thresholds["visual"].tolist() == [entry.visual_threshold for entry in LLP_CLASSES]
    assert thresholds["audio"].dtype == float


@pytest.mark.parametrize(("role", "kept"), [("audio", [0, 2, 3]), ("visual", [0, 1, 2])])
def test_a_store_of_one_modality_gives_labels_of_that_one_and_says_which_is_absent(store, tmp_path, role, kept):
    other = {"audio": "visual", "visual": "audio"}[role]
    manifest = store.manifest | {"teachers": {role: store.manifest["teachers"][role]}}
    alone = replace(store, manifest=manifest, arrays={f"{role}.similarity": store.arrays[f"{role}.similarity"]})
    labels, left_out = write_label_folder(tmp_path, alone, ZERO)
    assert (labels.absent, labels.modalities) == ((other,), (role,))
    assert labels.clip_ids == tuple(CLIPS[n] for n in kept) and len(left_out) == 1
    m = ("audio", "visual").index(role)
    assert labels.labels[:, :, m].any() and not labels.labels[:, :, 1 - m].any()
    assert json.loads((tmp_path / "labels.json").read_text())["absent"] == [other]
    assert read_pseudo_labels(tmp_path).absent == (other,)
    soft, _ = label_clips(alone, ZERO, temperature=1.0)
    assert np.array_equal(soft.marked, labels.labels) and soft.absent == (other,)


def test_default_thresholds_are_those_of_the_teachers_there_are(store):
    published = {"audio": identity(1, 0) | {"teacher": "clap"}, "visual": identity(1, 0) | {"teacher": "clip"}}
    vggish = {"vggish": {"teacher": "vggish", "weights": "w"}}
    assert set(thresholds_for({"teachers": published | vggish}, LLP_CLASSES)) == {"audio", "visual"}
    assert list(thresholds_for({"teachers": {"audio": published["audio"]}}, LLP_CLASSES)) == ["audio"]
    with pytest.raises(ValueError, match="there are no label thresholds for the teachers clap"):
        thresholds_for({"teachers": {"visual": published["audio"]}}, LLP_CLASSES)
    with pytest.raises(ValueError, match="the store holds features alone"):
        thresholds_for({"teachers": vggish}, LLP_CLASSES)


def test_labels_say_where_their_thresholds_are_from(store, tmp_path):
    path = tmp_path / "found.json"
    calibrated = {role: (0.0, 0.0, 0.0) for role in ZERO}
    told = {"criterion": "segment-f", "split": "test", "note": ON_TEST, "sources": {"store": "f"}}
    write_calibration(
        path, Calibration(applies_to="labels", class_names=CLASSES, thresholds=calibrated, provenance=told)
    )
    origin = threshold_origin(path)
    assert origin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and origin["file"] == "found.json"
    assert (origin["split"], origin["criterion"], origin["note"]) == ("test", "segment-f", ON_TEST)
    made = provenance_of(store.manifest, read_thresholds(path, 3), {}, origin=origin)
    assert made["thresholds_from"] == origin and made["thresholds"]["audio"] == [0, 0, 0]


def test_labels_that_were_being_written_are_refused(tmp_path):
    (tmp_path / "labels.json").write_text('{"random_weights": false, "under_way": true}')
    with pytest.raises(ValueError, match=r"labels.json: `valor labels` was interrupted .* run it again"):
        of_labels(tmp_path)


def test_thresholds_for_other_roles_than_the_store_has_are_refused(store):
    for roles, message in (
        (("audio",), "labels need thresholds for audio and visual, or for fused"),
        (("fused",), "thresholds for fused need evidence of these teachers"),
    ):
        with pytest.raises(ValueError, match=message):
            label_clips(store, {role: np.zeros(3) for role in roles})


def test_thresholds_of_a_fused_teacher_beside_the_others_change_nothing(store):
    both = {role: np.zeros(3) for role in ("audio", "visual")}
    labels, left_out = label_clips(store, both)
    again, _ = label_clips(store, both | {"fused": np.ones(3)})
    np.testing.assert_array_equal(labels.labels, again.labels)
    assert left_out


def test_a_folder_of_soft_labels_says_so_and_marks_what_hard_labels_mark(store, tmp_path):
    hard, _ = label_clips(store, ZERO)
    soft, left_out = write_label_folder(tmp_path, store, ZERO, temperature=2.0)
    assert soft.soft and soft.clip_ids == hard.clip_ids and np.array_equal(soft.marked, hard.labels)
    heard = (10 * store.arrays["audio.similarity"][0] - 1) / 2
    expected = np.where(store.weak_labels[0], 1 / (1 + np.exp(-heard)), 0)
    assert np.allclose(soft.labels[0, :, 0], expected, atol=1e-6)
    back = read_pseudo_labels(tmp_path)
    assert np.array_equal(back.labels, soft.labels.astype(np.float16))
    provenance = json.loads((tmp_path / "labels.json").read_text())
    assert provenance["soft"] == {"temperature": 2.0} and provenance["left_out"] == left_out
    write_label_folder(tmp_path, store, ZERO)
    assert "soft" not in json.loads((tmp_path / "labels.json").read_text())
