"""The prediction file, matching it with a split, and the score file."""

import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from valor.data.predictions import (
    ARRAYS,
    Predictions,
    align,
    coverage,
    read_predictions,
    score_predictions,
    write_predictions,
)
from valor.data.score_file import write_scores_json
from valor.data.tables import PUBLISHED_TRUTH, Split
from valor.eval.decide import PRESETS, PostProcessing
from valor.eval.scores import score

N, T, C = 12, 10, 4
CLIPS = tuple(f"clip-{index:02}" for index in range(N))
CLASSES = ("Dog", "Speech", "Cello", "Car")


@pytest.fixture
def split():
    truth = np.random.default_rng(0).random((N, T, 2, C)) < 0.2
    return Split("test", CLIPS, CLASSES, truth.any(axis=(1, 2)), truth, "v2024", "ab" * 32)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(1)
    return Predictions(
        clip_ids=CLIPS,
        class_names=CLASSES,
        segment_probs=rng.random((N, T, 2, C)).astype(np.float32),
        clip_probs=rng.random((N, C)).astype(np.float32),
    )


def decisions(predictions, predicted):
    return replace(predictions, segment_probs=None, clip_probs=None, predicted=predicted)


def test_a_file_reads_back_as_it_was_written(tmp_path, predictions):
    full = replace(predictions, modality_probs=np.zeros((N, 2, C), np.float16), valid=np.ones((N, T), dtype=bool))
    for original in (predictions, full, decisions(predictions, predictions.segment_probs > 0.7)):
        write_predictions(tmp_path / "out" / "p.npz", original)
        back = read_predictions(tmp_path / "out" / "p.npz")
        assert (back.clip_ids, back.class_names) == (CLIPS, CLASSES)
        for name in ARRAYS:
            ours, theirs = getattr(original, name), getattr(back, name)
            assert (ours is None and theirs is None) or (ours.dtype == theirs.dtype and np.array_equal(ours, theirs))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["p.npz"]


def test_the_file_has_the_documented_names(tmp_path, predictions):
    write_predictions(tmp_path / "p.npz", predictions)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["classes", "clip_ids", "clip_probs", "segment_probs"]
        assert archive["clip_ids"].dtype.kind == archive["classes"].dtype.kind == "U"


def test_scores_are_those_of_the_decided_arrays(predictions, split):
    scores, report = score_predictions(predictions, split)
    marked = (predictions.segment_probs >= 0.5) & (predictions.clip_probs >= 0.5)[:, None, None]
    assert scores == score(marked, split.truth)
    assert report == score(marked, split.truth).to_dict() | {
        "clips_expected": N,
        "truth_sha256": "ab" * 32,
        "post_processing": {"segment_threshold": 0.5, "gate": "clip", "clip_threshold": 0.5},
    }


def test_clips_and_classes_are_matched_by_name(predictions, split):
    clips, classes = np.random.default_rng(2).permutation(N), [2, 0, 3, 1]
    shuffled = Predictions(
        clip_ids=tuple(CLIPS[row] for row in clips),
        class_names=tuple(CLASSES[index] for index in classes),
        segment_probs=predictions.segment_probs[clips][..., classes],
        clip_probs=predictions.clip_probs[clips][..., classes],
        valid=np.arange(T) < (np.arange(N) % T + 1)[clips][:, None],
    )
    in_order = replace(predictions, valid=np.arange(T) < (np.arange(N) % T + 1)[:, None])
    assert score_predictions(shuffled, split)[0] == score_predictions(in_order, split)[0]
    assert np.array_equal(align(shuffled, split).segment_probs, predictions.segment_probs)


def test_the_rule_follows_what_the_file_holds(predictions, split):
    by_modality = replace(predictions, clip_probs=None, modality_probs=np.ones((N, 2, C), np.float32))
    ungated = replace(predictions, clip_probs=None)
    expected = score(predictions.segment_probs >= 0.5, split.truth)
    for held, rule in ((by_modality, None), (ungated, PostProcessing(gate="none"))):
        scores, report = score_predictions(held, split, rule)
        assert scores == expected
    assert report["post_processing"]["gate"] == "none"
    with pytest.raises(ValueError, match="give one of them, or choose gate 'none'"):
        score_predictions(ungated, split)


def test_decisions_are_scored_as_they_are(predictions, split):
    decided = decisions(predictions, split.truth)
    scores, report = score_predictions(decided, split)
    assert scores.segment.type_av == scores.event.type_av == 100
    assert report["post_processing"]["gate"] == "as predicted"
    with pytest.raises(ValueError, match="decisions already"):
        score_predictions(decided, split, PostProcessing())


def test_a_subset_is_scored_only_when_asked_for(predictions, split):
    kept = [row for row in range(N) if row not in (3, 7)]
    part = Predictions(
        clip_ids=tuple(CLIPS[row] for row in kept),
        class_names=CLASSES,
        predicted=split.truth[kept],
    )
    with pytest.raises(ValueError, match=r"12 clips of the split, got 2 missing \(clip-03, clip-07\).* a subset"):
        score_predictions(part, split)
    scores, report = score_predictions(part, split, allow_subset=True)
    assert (scores.segment.type_av, report["clips"], report["clips_expected"]) == (100, 10, 12)


def test_missing_and_extra_names_are_listed_and_counted(predictions, split):
    renamed = replace(predictions, clip_ids=(*CLIPS[:4], *(f"other-{index}" for index in range(8))))
    with pytest.raises(ValueError, match=r"8 missing \(clip-04, .*, \.\.\.\) and 8 extra \(other-0, .*other-4, \.\.\."):
        score_predictions(renamed, split)
    with pytest.raises(ValueError, match="8 extra"):
        score_predictions(renamed, split, allow_subset=True)
    with pytest.raises(ValueError, match="12 missing"):  # nothing in common is no subset
        score_predictions(replace(predictions, clip_ids=tuple("abcdefghijkl")), split, allow_subset=True)
    with pytest.raises(ValueError, match=r"4 classes of the split, got 1 missing \(Car\) and 1 extra \(Cat\)"):
        score_predictions(replace(predictions, class_names=("Dog", "Speech", "Cello", "Cat")), split)


def test_duplicate_names_are_refused(predictions):
    with pytest.raises(ValueError, match=r"clip_ids must be unique and at least one, got 1 duplicate \(clip-00\)"):
        replace(predictions, clip_ids=("clip-00", "clip-00", *CLIPS[2:]))
    with pytest.raises(ValueError, match=r"classes must be unique .* got 1 duplicate \(Dog\)"):
        replace(predictions, class_names=("Dog", "Dog", "Dog", "Car"))


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="clip_ids must be unique and at least one, got none"):
        Predictions(clip_ids=(), class_names=CLASSES, predicted=np.zeros((0, T, 2, C), dtype=bool))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment_probs": None}, "either predicted or segment_probs, got clip_probs"),
        ({"predicted": np.zeros((N, T, 2, C), dtype=bool)}, "either predicted or segment_probs"),
        ({"segment_probs": np.zeros((N, T, 2, C), dtype=int)}, "segment_probs must be float"),
        ({"segment_probs": np.zeros((N, T, 3, C))}, r"segment_probs must be .* \(12, 10, 2, 4\), got \(12, 10, 3, 4\)"),
        ({"segment_probs": np.zeros((N, 2, C, T))}, r"segment_probs must be .* got \(12, 2, 4, 10\)"),
        ({"segment_probs": np.zeros(N)}, r"segment_probs must be .* got \(12,\)"),
        ({"segment_probs": np.full((N, T, 2, C), np.nan)}, "probabilities in 0..1, got nan"),
        ({"clip_probs": np.full((N, C), 1.01)}, "clip_probs must be probabilities in 0..1, got 1.01"),
        ({"clip_probs": np.zeros((N, C + 1))}, r"clip_probs must be \[clips, classes\] \(12, 4\), got \(12, 5\)"),
        ({"valid": np.full((N, T), 0.5)}, "valid must be bool, got float64"),
        ({"valid": np.ones((N, T + 1), dtype=bool)}, r"valid must be \[clips, segments\] \(12, 10\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(predictions, change, message):
    with pytest.raises(ValueError, match=message):
        replace(predictions, **change)


def test_another_segment_grid_is_refused(predictions, split):
    other = decisions(predictions, np.zeros((N, 20, 2, C), dtype=bool))
    with pytest.raises(ValueError, match="must have the 10 segments of the annotations for each clip, got 20"):
        score_predictions(other, split)


def test_a_split_without_truth_is_refused(predictions, split):
    with pytest.raises(ValueError, match="'train' has no dense truth to score against; mark its clips"):
        score_predictions(predictions, replace(split, name="train", truth=None, truth_sha256=None))


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self):
        return (open, ("unpickled.tmp", "w"))


def test_pickled_arrays_are_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "p.npz", clip_ids=np.array([Bomb()], dtype=object), classes=np.array(["Dog"]))
    with pytest.raises(ValueError, match=r"\(clip_ids: .*pickled arrays are refused"):
        read_predictions(tmp_path / "p.npz")
    np.savez(tmp_path / "c.npz", clip_ids=np.array(["a"]), classes=np.array(["Dog"], dtype=object))
    with pytest.raises(ValueError, match=r"\(classes: .*store that one with a plain dtype, names as str"):
        read_predictions(tmp_path / "c.npz")
    (tmp_path / "q.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="something else"):
        read_predictions(tmp_path / "q.npz")
    assert not (tmp_path / "unpickled.tmp").exists()


def test_files_that_are_none_are_refused(tmp_path, predictions):
    path = tmp_path / "p.npz"
    for content in (b"", b"\x00\xff" * 500, b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"p.npz: expected a prediction file .* {len(content)} bytes of something"
        ):
            read_predictions(path)
    write_predictions(path, predictions)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # an interrupted copy
    with pytest.raises(ValueError, match="expected a prediction file"):
        read_predictions(path)
    path.write_bytes(whole[:300] + bytes(60) + whole[360:])  # a damaged one
    with pytest.raises(ValueError, match="could not be read"):
        read_predictions(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clip_ids", b"no array")
    with pytest.raises(ValueError, match="clip_ids is no array"):
        read_predictions(path)
    with pytest.raises(FileNotFoundError, match="`valor predict` writes one"):
        read_predictions(tmp_path / "none.npz")


def test_a_file_that_lacks_a_part_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "p.npz", segment_prob=np.zeros((1, 1, 2, 1)), classes=np.array(["Dog"]))
    said = r"clip_ids is missing \(the file holds segment_prob, classes\); a prediction file has clip_ids, .*save"
    with pytest.raises(ValueError, match=said):
        read_predictions(tmp_path / "p.npz")
    np.savez(tmp_path / "p.npz", clip_ids=np.array([b"clip"]), classes=np.array(["Dog"]))
    with pytest.raises(ValueError, match=r"clip_ids must be one row of text \(dtype str\), got \|S4"):
        read_predictions(tmp_path / "p.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path, predictions, monkeypatch):
    path = tmp_path / "p.npz"
    write_predictions(path, predictions)
    before = path.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_predictions(path, predictions)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match=r"named \*.npz"):
        write_predictions(tmp_path / "p.bin", predictions)


def test_the_score_file_is_the_documented_json(tmp_path, predictions, split):
    scores, report = score_predictions(predictions, split)
    write_scores_json(tmp_path / "runs" / "scores.json", report)
    stored = json.loads((tmp_path / "runs" / "scores.json").read_text())
    assert list(stored)[:2] == ["format", "checksum"]
    assert list(stored)[2:] == ["segment", "event", "clips", "clips_expected", "truth_sha256", "post_processing"]
    for level in ("segment", "event"):
        assert list(stored[level]) == ["audio", "visual", "audio_visual", "type_av", "event_av"]
    assert stored["segment"]["type_av"] == scores.segment.type_av  # unrounded


def test_the_record_names_the_preset_and_its_values(predictions, split):
    both = replace(predictions, modality_probs=np.random.default_rng(3).random((N, 2, C)).astype(np.float32))
    scores, report = score_predictions(both, split, PRESETS["coleaf"])
    assert report["post_processing"] == {
        "segment_threshold": 0.25,
        "gate": "modality",
        "clip_threshold": 0.52,
        "comparison": ["reach", "reach-double"],
        "preset": "coleaf",
    }
    marked = (both.segment_probs >= np.float32(0.25)) & (both.modality_probs >= np.float32(0.52))[:, None]
    assert scores == score(marked, split.truth)
    per_class = PostProcessing(segment_threshold=(0.1, 0.2, 0.3, 0.4))
    record = score_predictions(predictions, split, per_class)[1]["post_processing"]
    assert record == json.loads(json.dumps(record)) and record["segment_threshold"] == [0.1, 0.2, 0.3, 0.4]


def test_coverage_lists_both_sides(predictions, split):
    part = replace(predictions, clip_ids=("stranger", *CLIPS[1:]))
    found = coverage(part, split)
    assert (found.covered, found.expected, found.missing, found.extra) == (11, 12, ("clip-00",), ("stranger",))
    assert str(found) == "11 of 12 clips"


def test_clips_of_any_length_are_scored_as_long_as_they_last(split, predictions):
    lengths = np.arange(N) % 4 + 6
    valid = np.arange(T) < lengths[:, None]
    truth = split.truth & valid[:, :, None, None]
    beyond = {"beyond": lambda judged: 100 * judged.predicted[~judged.valid].mean()}
    longer = replace(split, truth=truth, valid=valid, metrics=beyond)
    for held in (predictions, replace(predictions, valid=valid)):
        scores, _ = score_predictions(held, longer, PostProcessing(gate="none", segment_threshold=0.0))
        cut = [score(np.ones((1, n, 2, C), bool), truth[k : k + 1, :n]).per_clip[0] for k, n in enumerate(lengths)]
        np.testing.assert_array_equal(scores.per_clip, cut)
        assert scores.figures == {"beyond": 0.0}
    early = np.arange(T) < 3
    short = replace(predictions, valid=np.broadcast_to(early, (N, T)))  # what it calls missing is nothing found
    cut = replace(predictions, segment_probs=predictions.segment_probs * early[:, None, None])
    assert score_predictions(short, longer)[0].to_dict() == score_predictions(cut, longer)[0].to_dict()


def test_the_world_of_the_truth_is_told_by_its_tables_and_stands_in_scores_of_the_demo(predictions, split):
    demo = replace(split, of_demo=True)
    assert score_predictions(predictions, demo)[1]["world"] == demo.world == "demo world"
    assert (demo.version_in_words, replace(split, truth_version="v2024").version_in_words) == (
        "of the demo world",
        "of own tables",
    )
    llp = replace(split, truth_version="v2020", truth_sha256=PUBLISHED_TRUTH["v2020"])
    assert (llp.world, llp.version_in_words) == ("LLP", "v2020")
    assert "world" not in score_predictions(predictions, llp)[1]
