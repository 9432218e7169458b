"""One reader and one writer for every format of predictions, and the same scores from all of them."""

import shutil

import numpy as np
import pytest

from eval.post_processing import PostProcessing
from valor.annotations import Split
from valor.prediction_formats import read_any_predictions, write_any_predictions
from valor.predictions import Predictions, coverage, score_predictions

N, T = 12, 10
CLIPS = tuple(f"clip-{index:02}" for index in range(N))
CLASSES = ("Dog", "Speech", "Cello", "Car")
PATHS = ("p.npz", "p.json", "p.audio.tsv", "p.visual.tsv", "p")


@pytest.fixture
def split():
    truth = np.random.default_rng(0).random((N, T, 2, 4)) < 0.2
    return Split("test", CLIPS, CLASSES, truth.any(axis=(1, 2)), truth, "v2024", "ab" * 32)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(1)
    probs = rng.random((N, T, 2, 4)).astype(np.float32)
    return Predictions(
        clip_ids=CLIPS,
        class_names=CLASSES,
        segment_probs=probs * (np.arange(N) > 1)[:, None, None, None],  # nothing is found in the first two
        clip_probs=rng.random((N, 4)).astype(np.float32),
    )


@pytest.mark.parametrize("name", PATHS)
def test_every_format_scores_the_same(tmp_path, predictions, split, name):
    write_any_predictions(tmp_path / name, predictions)
    read = read_any_predictions(tmp_path / name, CLASSES)
    assert coverage(read, split).missing == ()
    assert score_predictions(read, split)[0] == score_predictions(predictions, split)[0]


@pytest.mark.parametrize("name", PATHS[1:])
def test_events_are_those_of_the_rule_asked_for(tmp_path, predictions, split, name):
    rule = PostProcessing(segment_threshold=(0.2, 0.4, 0.6, 0.8), gate="none")
    write_any_predictions(tmp_path / name, predictions, options=rule)
    scores, report = score_predictions(read_any_predictions(tmp_path / name, CLASSES), split)
    assert scores == score_predictions(predictions, split, rule)[0]
    assert report["post_processing"] == {
        "segment_threshold": None,
        "gate": "as predicted",
        "clip_threshold": None,
    }


def test_npz_keeps_probabilities_and_json_their_mean(tmp_path, predictions):
    write_any_predictions(tmp_path / "p.npz", predictions)
    kept = read_any_predictions(tmp_path / "p.npz", CLASSES)
    assert np.array_equal(kept.segment_probs, predictions.segment_probs)
    write_any_predictions(tmp_path / "p.json", predictions)
    scored = read_any_predictions(tmp_path / "p.json", CLASSES, use_scores=True).segment_probs
    marked = read_any_predictions(tmp_path / "p.json", CLASSES).predicted
    assert (scored[marked] >= 0.5).all() and not scored[~marked].any()


def test_rounding_lands_in_the_score_file(tmp_path, split):
    folder = tmp_path / "p"
    folder.mkdir()
    header = "filename\tonset\toffset\tevent_label\n"
    (folder / "audio.tsv").write_text(header + "clip-00\t0.4\t2.2\tDog\n")
    (folder / "visual.tsv").write_text(header)
    (folder / "clips.txt").write_text("\n".join(CLIPS))
    with pytest.raises(ValueError, match="do not lie on the grid"):
        read_any_predictions(folder, CLASSES)
    report = score_predictions(read_any_predictions(folder, CLASSES, rounding="nearest"), split)[1]
    assert report["post_processing"]["rounding"] == "nearest"
    read = read_any_predictions(folder, CLASSES, rounding="cover", num_segments=5, segment_seconds=2)
    assert read.predicted[0, :, 0, 0].tolist() == [True, True, False, False, False]


def test_missing_extra_and_partial_clips_are_told_for_events_too(tmp_path, predictions, split):
    write_any_predictions(tmp_path / "p", predictions)
    (tmp_path / "p" / "clips.txt").unlink()  # now the two clips without events look as if they were never parsed
    read = read_any_predictions(tmp_path / "p", CLASSES)
    assert coverage(read, split).missing == CLIPS[:2]
    assert str(coverage(read, split)) == "10 of 12 clips"
    with pytest.raises(ValueError, match=r"2 missing \(clip-00, clip-01\).* a subset meant"):
        score_predictions(read, split)
    assert score_predictions(read, split, allow_subset=True)[1]["clips"] == 10
    with (tmp_path / "p" / "audio.tsv").open("a") as file:
        file.write("stranger\t0\t1\tDog\n")
    read = read_any_predictions(tmp_path / "p", CLASSES)
    assert coverage(read, split).extra == ("stranger",)
    with pytest.raises(ValueError, match=r"1 extra \(stranger\)"):
        score_predictions(read, split, allow_subset=True)


def test_clips_of_unlike_length_are_written_as_arrays_only(tmp_path, predictions):
    valid = np.arange(T) < np.arange(1, N + 1)[:, None]
    unlike = Predictions(clip_ids=CLIPS, class_names=CLASSES, predicted=predictions.segment_probs > 0.5, valid=valid)
    write_any_predictions(tmp_path / "p.npz", unlike)
    assert np.array_equal(read_any_predictions(tmp_path / "p.npz", CLASSES).valid, valid)
    for name in PATHS[1:]:
        with pytest.raises(ValueError, match="write .npz for clips of unlike length"):
            write_any_predictions(tmp_path / name, unlike)


def test_paths_that_are_no_predictions_are_refused(tmp_path, predictions):
    with pytest.raises(FileNotFoundError, match="no such prediction file or folder; `valor predict`"):
        read_any_predictions(tmp_path / "none.npz", CLASSES)
    (tmp_path / "p.txt").write_text("x")
    with pytest.raises(ValueError, match=r"p.txt: expected a prediction file .*, a folder .* got a file .txt"):
        read_any_predictions(tmp_path / "p.txt", CLASSES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"audio.tsv: no such table; events come as a pair"):
        read_any_predictions(tmp_path / "empty", CLASSES)
    write_any_predictions(tmp_path / "p.npz", predictions)
    shutil.copy(tmp_path / "p.npz", tmp_path / "p.json")  # an archive under the wrong name
    with pytest.raises(ValueError, match=r"p.json: expected predictions as JSON"):
        read_any_predictions(tmp_path / "p.json", CLASSES)
    (tmp_path / "q.npz").write_text('{"format": "valor predictions 1"}')
    with pytest.raises(ValueError, match=r"q.npz: expected a prediction file"):
        read_any_predictions(tmp_path / "q.npz", CLASSES)
    with pytest.raises(ValueError, match="only JSON events have scores"):
        read_any_predictions(tmp_path / "p.npz", CLASSES, use_scores=True)
