"""Corrections as other commands read them: evaluate, calibrate and train accept them."""

import json

import numpy as np
import pytest
import torch

from tests.test_runs import CLIPS, SMALL, published  # noqa: F401
from tests.test_runs import NAMES as LLP
from tests.toy_scores import write_toy_scores
from tests.toy_viewer import CLASSES, TRUTH, mask, parse_record, toy_document, without_truth, write_parse
from tests.typed import typed
from valor.annotations import read_split
from valor.labels_file import read_pseudo_labels
from valor.prediction_tables import read_prediction_tables
from valor.predictions import Predictions, read_predictions, write_predictions
from valor.viewer.correction_files import CorrectedEvent, mask_of_events, whole_seconds, write_correction_files
from valor.viewer.corrections import Corrections
from valor.viewer.sources import SourceOptions, read_document

EVENTS = (CorrectedEvent("Speech", "audio", 1.4, 3.6), CorrectedEvent("Dog", "visual", 9.7, 9.9))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_events_move_to_the_nearest_seconds_and_last_at_least_one():
    moved = [(e.onset, e.offset) for e in whole_seconds(EVENTS, 10)]
    assert moved == [(1, 4), (9, 10)]
    assert [(e.onset, e.offset) for e in whole_seconds(EVENTS[:1], 2.5)] == [(1, 3)]


def test_labels_are_the_nearest_segments():
    clip = toy_document().clips[0]
    assert np.array_equal(mask_of_events(EVENTS, clip, CLASSES), mask((0, 0, 1, 4), (1, 1, 9, 10)))


def test_where_people_annotated_the_other_clips_keep_their_annotation(tmp_path):
    write_correction_files(tmp_path, toy_document(), {"b_clip": EVENTS})
    split = read_split(tmp_path, "test", CLASSES)
    assert split.clip_ids == ("a_clip", "b_clip", "c_clip")
    assert np.array_equal(split.truth, np.stack([TRUTH, mask((0, 0, 1, 4), (1, 1, 9, 10)), TRUTH]))
    assert split.weak_labels.tolist() == [[True, True, False]] * 3


def test_without_annotations_only_corrected_clips_are_there_even_when_nothing_happens_in_them(tmp_path):
    write_correction_files(tmp_path, without_truth(toy_document()), {"c_clip": (), "b_clip": EVENTS})
    split = read_split(tmp_path, "test", CLASSES)
    assert split.clip_ids == ("b_clip", "c_clip") and not split.truth[1].any()
    assert read_predictions(tmp_path / "systems" / "one.npz").clip_ids == ("b_clip", "c_clip")
    assert read_pseudo_labels(tmp_path).clip_ids == ("b_clip", "c_clip")


def test_times_as_drawn_are_kept(tmp_path):
    write_correction_files(tmp_path, toy_document(), {"b_clip": EVENTS})
    assert "b_clip\t1.400\t3.600\tSpeech\n" in (tmp_path / "exact" / "audio.tsv").read_text()
    from valor.event_lists import SegmentGrid

    grid = SegmentGrid(num_segments=10, segment_seconds=1.0, rounding="cover")
    read = read_prediction_tables(tmp_path / "exact", CLASSES, grid)
    assert read.predicted[read.clip_ids.index("b_clip")][1:4, 0, 0].all()


def corrected(toy, out, *, data, count=2):
    """Correct some clips of a toy split as the page does, by messages."""
    document = read_document([f"good={toy.good}"], SourceOptions(class_names=LLP, data=data))
    corrections = Corrections(out, document)
    for clip in document.clips[:count]:
        events = [[LLP[0], "audio", 0, 4], [LLP[3], "visual", 2.6, 7]]
        corrections.save({"clip": clip.clip_id, "revision": 0, "checked": True, "events": events})
    corrections.close()
    return out


def test_evaluate_accepts_corrected_annotations(tmp_path):
    toy = write_toy_scores(tmp_path)
    on = ("--split", "test", "--json", tmp_path / "s.json")
    before = typed("evaluate", toy.good, "--annotations", toy.data, *on)
    old = json.loads((tmp_path / "s.json").read_text())
    out = corrected(toy, tmp_path / "c", data=toy.data)
    done = typed("evaluate", toy.good, "--annotations", out, *on)
    new = json.loads((tmp_path / "s.json").read_text())
    assert (before.code, done.code) == (0, 0), done
    assert (new["clips"], new["clips_expected"]) == (24, 24)
    assert new["truth_sha256"] != old["truth_sha256"] and new["segment"]["audio"] != old["segment"]["audio"]


def test_evaluate_and_calibrate_accept_what_was_corrected_without_any_annotations(tmp_path):
    toy = write_toy_scores(tmp_path)
    out = corrected(toy, tmp_path / "c", data=None, count=5)
    done = typed("evaluate", out / "systems" / "good.npz", "--annotations", out, "--split", "test")
    assert done.code == 0 and "5 of 5 test clips" in done.out, done
    thresholds = ("--out", tmp_path / "t.json", "--annotations", out, "--split", "test")
    done = typed("calibrate", out / "systems" / "good.npz", *thresholds)
    assert done.code == 0 and "5 of 5 test clips" in done.out, done


def of_film(tmp_path, segments):
    """Correct a parse of one film, an event near its end."""
    source = write_parse(tmp_path / "film.json", parse_record(segments=segments, classes=LLP))
    document = read_document([str(source)], SourceOptions(class_names=LLP))
    corrections = Corrections(tmp_path / "c", document)
    events = [[LLP[0], "audio", segments - 2, segments]]
    corrections.save({"clip": "film", "revision": 0, "checked": True, "events": events})
    corrections.close()
    return next((tmp_path / "c" / "systems").glob("*.npz")), tmp_path / "c"


@pytest.mark.parametrize("segments", [6, 14])
def test_evaluate_and_calibrate_accept_a_film_of_any_length(tmp_path, segments):
    system, out = of_film(tmp_path, segments)
    on = ("--annotations", out, "--split", "test")
    done = typed("evaluate", system, *on, "--json", tmp_path / "s.json")
    assert done.code == 0 and "1 of 1 test clips" in done.out, done
    probs = np.full((1, segments, 2, len(LLP)), 0.4, np.float32)
    write_predictions(tmp_path / "p.npz", Predictions(clip_ids=("film",), class_names=LLP, segment_probs=probs))
    done = typed("calibrate", tmp_path / "p.npz", *on, "--gate", "none", "--out", tmp_path / "t.json")
    assert done.code == 0 and "1 of 1 test clips" in done.out, done


def test_predictions_of_too_few_segments_for_the_truth_are_refused(tmp_path):
    _, out = of_film(tmp_path, 10)
    said = np.zeros((1, 6, 2, len(LLP)), bool)
    write_predictions(tmp_path / "p.npz", Predictions(clip_ids=("film",), class_names=LLP, predicted=said))
    done = typed("evaluate", tmp_path / "p.npz", "--annotations", out, "--split", "test")
    assert "has 6 segments, and events of" in done.complaint()


def test_clips_named_as_those_of_llp_have_ten_segments(tmp_path):
    toy = write_toy_scores(tmp_path)
    ids = read_split(toy.data, "test", LLP).clip_ids
    said = np.zeros((len(ids), 20, 2, len(LLP)), bool)
    write_predictions(tmp_path / "p.npz", Predictions(clip_ids=ids, class_names=LLP, predicted=said))
    done = typed("evaluate", tmp_path / "p.npz", "--annotations", toy.data, "--split", "test")
    assert "must have 10 segments for each clip, got 20" in done.complaint()


def of_lengths(tmp_path, lengths, **more):
    """Parses of clips called by their lengths, in one document."""
    files = []
    for t in lengths:
        record = parse_record(f"{t}.mp4", segments=t, classes=LLP, **more)
        record["gate_probs"] = more.get("gate_probs") and [record["gate_probs"][min(s // 3, 1)] for s in range(t)]
        files.append(write_parse(tmp_path / f"{t}.json", record))
    return read_document(list(map(str, files)), SourceOptions(class_names=LLP))


def test_clips_of_unlike_length_are_scored_and_no_labels_of_before_stay(tmp_path):
    """The first save is of one length; the second adds a longer clip."""
    document, out = of_lengths(tmp_path, (10, 13)), tmp_path / "c"
    events = (CorrectedEvent(LLP[0], "audio", 1, 3),)
    assert not write_correction_files(out, document, {"10": events})
    assert (out / "pseudo_labels.npz").is_file()
    notes = write_correction_files(out, document, {"10": events, "13": events})
    assert not (out / "pseudo_labels.npz").exists() and list(notes) == ["pseudo_labels.npz"]
    assert "10 and 13 segments" in notes["pseudo_labels.npz"]
    (system,) = (out / "systems").iterdir()
    assert read_predictions(system).valid.sum(axis=1).tolist() == [10, 13]
    done = typed("evaluate", system, "--annotations", out, "--split", "test")
    assert done.code == 0 and "2 of 2 test clips" in done.out, done


def test_systems_keep_probabilities_where_the_gate_changes_along_a_clip(tmp_path):
    """Open in the first three seconds, closed after: what the page shows is scored, and thresholds can be found."""
    gates = [[[0.9] * len(LLP)] * 2, [[0.2] * len(LLP)] * 2]
    rule = {"segment_threshold": 0.5, "gate": "clip", "clip_threshold": 0.5}
    document, out = of_lengths(tmp_path, (10,), gate_probs=gates, decision=rule), tmp_path / "c"
    shown = document.clips[0].marks[0].predicted
    assert shown[1:3, 0, 0].all() and not shown[3:].any()
    write_correction_files(out, document, {"10": (CorrectedEvent(LLP[0], "audio", 1, 3),)})
    (system,) = (out / "systems").iterdir()
    held = read_predictions(system)
    assert held.segment_probs is not None and held.clip_probs is None
    assert np.array_equal(held.segment_probs[0] >= 0.5, shown)
    on = (system, "--annotations", out, "--split", "test")
    for line in (("evaluate", *on), ("calibrate", *on, "--out", tmp_path / "t.json")):
        done = typed(*line)
        assert done.code == 0 and "1 of 1 test clips" in done.out, done


def test_named_classes_are_known_from_the_folder_or_typed(tmp_path):
    names = ("Speech", "Dog", "Car alarm")
    source = write_parse(tmp_path / "film.json", parse_record(classes=names))
    document, out = read_document([str(source)], SourceOptions(class_names=LLP)), tmp_path / "c"
    write_correction_files(out, document, {"film": (CorrectedEvent("Car alarm", "audio", 1, 3),)})
    (system,) = (out / "systems").iterdir()
    on = ("evaluate", system, "--annotations", out, "--split", "test")
    done = typed(*on)
    assert done.code == 0 and "1 of 1 test clips" in done.out, done
    (out / "classes.json").unlink()
    assert "unknown class 'Car alarm'" in typed(*on).complaint()
    assert typed(*on, "--classes", "Car alarm, Dog,Speech").out == done.out


def test_what_cannot_be_written_is_said_once(tmp_path, caplog):
    files = [write_parse(tmp_path / f"{t}.json", parse_record(f"{t}.mp4", segments=t)) for t in (4, 6, 8)]
    corrections = Corrections(tmp_path / "c", read_document(list(map(str, files)), SourceOptions(class_names=CLASSES)))
    for revision in range(3):
        for clip in ("4", "6", "8"):
            corrections.save({"clip": clip, "revision": revision, "checked": False, "events": []})
    corrections.close()
    assert sum("pseudo_labels.npz: not written" in line for line in caplog.messages) == 1
    assert list(corrections.notes) == ["pseudo_labels.npz"]  # the page is told by every answer


def test_train_accepts_corrected_labels(published, tmp_path):  # noqa: F811
    """Pseudo labels of the training clips are opened, one clip is corrected, and the parser learns from the result."""
    from valor.dataset import read_clip_set
    from valor.labels_file import write_pseudo_labels
    from valor.recipes import RECIPES

    train = read_split(published, "train", LLP)
    before = read_clip_set(published, train, RECIPES["valor"].features, labels=published).pseudo_labels.numpy()
    write_pseudo_labels(tmp_path / "labels" / "pseudo_labels.npz", train.clip_ids, LLP, before)
    options = SourceOptions(class_names=LLP, data=published, split="train")
    document = read_document([str(tmp_path / "labels")], options)
    corrections = Corrections(tmp_path / "c", document)
    corrections.save({"clip": CLIPS[2], "revision": 0, "checked": True, "events": [[LLP[3], "visual", 5, 9]]})
    corrections.close()
    after = read_pseudo_labels(tmp_path / "c")
    assert after.clip_ids == train.clip_ids
    assert [n for n in range(7) if not np.array_equal(before[n], after.labels[n])] == [2]
    assert after.labels[2].sum() == 4 and after.labels[2, 5:9, 1, 3].all()
    small = [word for change in SMALL for word in ("--set", change)]
    done = typed("train", "valor", "--data", published, "--labels", tmp_path / "c", "--out", tmp_path / "run", *small)
    assert done.code == 0 and (tmp_path / "run" / "best.safetensors").is_file(), done
