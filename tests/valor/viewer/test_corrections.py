"""Corrections: nothing saved is lost, nothing that existed is overwritten, and other commands read what comes out."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_run import CLIPS, SMALL
from tests.helpers.toy_run import NAMES as LLP
from tests.helpers.toy_scores import write_toy_scores
from tests.helpers.toy_viewer import CLASSES, TRUTH, mask, parse_record, toy_document, without_truth, write_parse
from tests.helpers.typed import typed
from valor.data.journal import JOURNAL, CorrectedEvent, read_journal
from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.data.prediction_files import read_prediction_tables
from valor.data.predictions import Predictions, read_predictions, write_predictions
from valor.data.tables import read_split
from valor.verbs import view
from valor.viewer.corrections import (
    BusyError,
    ConflictError,
    Corrections,
    mask_of_events,
    opened_with,
    whole_seconds,
    write_correction_files,
)
from valor.viewer.documents import with_classes
from valor.viewer.server import ViewerSite
from valor.viewer.sources import SourceOptions, read_document

pytestmark = pytest.mark.usefixtures("one_thread")

EVENTS = (CorrectedEvent("Speech", "audio", 1.4, 3.6), CorrectedEvent("Dog", "visual", 9.7, 9.9))


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
    from valor.data.segment_grid import SegmentGrid

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
    assert (new["clips"], new["clips_expected"]) == (32, 32)
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
    assert "must have the 10 segments of the annotations for each clip, got 20" in done.complaint()


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
    document, out = read_document([str(source)], SourceOptions()), tmp_path / "c"
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
    corrections.save({"clip": "4", "revision": 0, "checked": False, "events": []})
    shutil.rmtree(tmp_path / "c" / "exact")
    (tmp_path / "c" / "exact").write_text("in the way")
    for revision in (1, 2):
        corrections.save({"clip": "4", "revision": revision, "checked": False, "events": []})
    corrections.close()
    assert sum("exact: not written" in line for line in caplog.messages) == 1
    assert list(corrections.notes) == ["exact"]  # the page is told by every answer


def test_labels_that_nobody_asked_for_are_missed_by_nobody(tmp_path):
    """Clips of unlike length can be no labels: said where labels were there, and not of what never was."""
    files = [write_parse(tmp_path / f"{t}.json", parse_record(f"{t}.mp4", segments=t)) for t in (4, 6)]
    corrections = Corrections(tmp_path / "c", read_document(list(map(str, files)), SourceOptions(class_names=CLASSES)))
    first, second = ({"clip": clip, "revision": 0, "checked": False, "events": []} for clip in ("4", "6"))
    corrections.save_all([first, second])
    assert not corrections.notes
    corrections.save_all([{**first, "revision": 1, "events": None}])
    assert (tmp_path / "c" / FILE_NAME).is_file() and not corrections.notes
    corrections.save_all([{**first, "revision": 2}])
    corrections.close()
    assert list(corrections.notes) == [FILE_NAME] and not (tmp_path / "c" / FILE_NAME).exists()


def test_train_accepts_corrected_labels(published, tmp_path):  # noqa: F811
    """Pseudo labels of the training clips are opened, one clip is corrected, and the parser learns from the result."""
    from valor.data.label_file import write_pseudo_labels
    from valor.data.read_clips import read_clip_set
    from valor.training.recipes import RECIPES

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


EVENT = ["Speech", "audio", 1.0, 3.0]


def message(*events, clip="a_clip", revision=0, checked=False, **more):
    return {"clip": clip, "revision": revision, "checked": checked, "events": list(events), **more}


@pytest.fixture
def held(tmp_path):
    corrections = Corrections(tmp_path / "c", toy_document())
    yield corrections
    corrections.close()


def spans(correction):
    return [(e.class_name, e.modality, e.onset, e.offset) for e in correction.events]


def test_nothing_is_written_before_the_first_correction(held):
    assert not held.folder.exists()


def test_what_is_saved_is_read_back(held):
    held.save(message(EVENT))
    held.save(message(EVENT, ["Dog", "visual", 0.25, 0.75], revision=1, checked=True))
    held.close()
    again = Corrections(held.folder, toy_document()).current["a_clip"]
    assert spans(again) == [("Dog", "visual", 0.25, 0.75), tuple(EVENT)]
    assert (again.revision, again.checked) == (2, True)
    assert len((held.folder / JOURNAL).read_text().splitlines()) == 2  # the first state is still there


def test_overlapping_and_touching_events_merge(held):
    saved = held.save(
        message(EVENT, ["Speech", "audio", 3.0, 4.5], ["Speech", "audio", 6, 8], ["Speech", "audio", 7, 9])
    )
    assert spans(saved) == [("Speech", "audio", 1.0, 4.5), ("Speech", "audio", 6.0, 9.0)]


def test_taking_back_is_a_state_like_any_other(held):
    held.save(message(EVENT))
    assert held.save(message(revision=1) | {"events": None}).events is None
    assert held.save(message(revision=2)).events == ()  # which is not the same: nothing happens in the clip


def test_a_line_torn_by_a_crash_costs_that_line_alone(held, caplog):
    held.save(message(EVENT))
    held.close()
    with (held.folder / JOURNAL).open("ab") as journal:
        journal.write(b'{"clip": "a_clip", "revis')
    again = Corrections(held.folder, toy_document())
    assert again.current["a_clip"].revision == 1
    assert "this line is torn" in caplog.text
    again.save(message(revision=1))
    again.close()
    assert read_journal(held.folder / JOURNAL)["a_clip"].revision == 2


def with_added_classes(held):
    """The same corrections, of which some are of a class that the document does not know."""
    held.save(message(EVENT))
    held.close()
    line = {"clip": "a_clip", "events": [["Whale", "audio", 0.0, 1.0], EVENT, ["Whale", "visual", 0.0, 2.0]]}
    with (held.folder / JOURNAL).open("a") as journal:
        journal.write(json.dumps(line | {"checked": False, "revision": 2}) + "\n")
    (held.folder / "classes.json").write_text(json.dumps([*CLASSES, "Wind"]))
    return Corrections(held.folder, toy_document())


def tables_in(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_classes_added_before_are_known_whoever_opens_the_folder(held):
    """Those of its classes.json, which nothing is of, and those of the journal alone, whose tables a crash took."""
    again = with_added_classes(held)
    assert again.document.class_names == (*CLASSES, "Wind", "Whale")
    assert again.document.clips[0].marks[0].predicted.shape[-1] == 5
    assert '"Wind","Whale"' in ViewerSite(again.document, again).page().decode()
    again.repair()
    assert "a_clip\t0\t1\tWhale" in (held.folder / "AVVP_eval_audio.csv").read_text()
    assert json.loads((held.folder / "classes.json").read_text()) == [*CLASSES, "Wind", "Whale"]
    assert spans(again.save(message(["Wind", "audio", 0, 1], revision=2))) == [("Wind", "audio", 0, 1)]
    again.close()


@pytest.mark.parametrize("typed_out", [True, False])
def test_opening_rewrites_no_table_to_less(tmp_path, typed_out):
    """Neither without the classes that were added, nor without the annotations that were shown."""
    source = write_parse(tmp_path / "film.json", parse_record())
    names = SourceOptions(class_names=(*CLASSES, "Whale"))
    corrections = Corrections(tmp_path / "film.corrections", read_document([str(source)], names))
    corrections.save({"clip": "film", "revision": 0, "checked": True, "events": [["Whale", "audio", 0.0, 1.0], EVENT]})
    corrections.close()
    before = tables_in(corrections.folder)
    page = tmp_path / "page.html"
    if typed_out:
        assert typed("view", source, "--out", page).code == 0
    else:
        view(source, out=page)
    assert '"Car_alarm","Whale"' in page.read_text()
    viewer = view(source, open_browser=False)
    viewer.close()
    assert tables_in(corrections.folder) == before and "Whale" in before["AVVP_eval_audio.csv"].decode()


def test_annotations_in_the_tables_stay_when_they_are_not_shown_next_time(held):
    held.save(message(EVENT))
    held.close()
    before = tables_in(held.folder)
    assert b"c_clip" in before["AVVP_test_pd.csv"]
    Corrections(held.folder, without_truth(toy_document())).repair()
    assert tables_in(held.folder) == before


def test_a_class_that_another_viewer_added_meanwhile_is_not_saved_over(held):
    """Both were opened before; the second knows nothing of the class, and its page cannot show it."""
    other = Corrections(held.folder, toy_document())
    wide = Corrections(held.folder, with_classes(toy_document(), ("Whale",)))
    wide.save(message(["Whale", "audio", 0, 1]))
    wide.close()
    with pytest.raises(BusyError, match="another viewer has added Whale meanwhile, which this page does not show"):
        other.save(message(EVENT, clip="b_clip"))
    assert "Whale" in (held.folder / "AVVP_eval_audio.csv").read_text()


def test_evaluate_names_corrected_clips_that_are_in_no_table(tmp_path):
    """As an earlier version left them."""
    source = write_parse(tmp_path / "film.json", parse_record())
    write_parse(tmp_path / "yard.json", parse_record("yard.mp4"))
    corrections = Corrections(
        tmp_path / "c", read_document([str(source), str(tmp_path / "yard.json")], SourceOptions())
    )
    for clip in ("film", "yard"):
        corrections.save({"clip": clip, "revision": 0, "checked": True, "events": [EVENT]})
    corrections.close()
    write_correction_files(tmp_path / "c", corrections.document, {"film": corrections.current["film"].events})
    done = typed("evaluate", source, "--annotations", tmp_path / "c", "--split", "test")
    assert done.code == 0 and "note: 1 corrected clips are in no table of" in done.err and "(yard)" in done.err, done


@pytest.mark.parametrize("line", [
    '{"clip": {"a": 1}, "revision": 2, "checked": true, "events": []}',
    '{"clip": "a_clip", "revision": "2", "checked": true, "events": []}',
    '{"clip": "a_clip", "revision": 2, "checked": 1, "events": []}',
    '{"clip": "a_clip", "revision": 2, "checked": true}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": "no"}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [["Speech", "smell", 0, 1]]}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [[["Speech"], "audio", 0, 1]]}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [["Speech", {}, 0, 1]]}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [["Speech", "audio", 0, NaN]]}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [["Speech", "audio", 3, 1]]}',
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [["Speech", "audio", 0, 1' + "0" * 400 + "]]}",
    '{"clip": "a_clip", "revision": 2, "checked": true, "events": [["Speech", "audio", 0]]}',
    "[" * 100_000,
    "[]", "7", "null",
])  # fmt: skip
def test_a_line_that_is_no_correction_is_passed_over(held, caplog, line):
    held.save(message(EVENT))
    held.close()
    with (held.folder / JOURNAL).open("a") as journal:
        journal.write(line + "\n")
    again = Corrections(held.folder, toy_document())
    again.repair()
    assert again.current == held.current and "journal.jsonl:2: this line is torn and passed over" in caplog.text


@pytest.mark.parametrize("taken", [0, 10])
def test_a_line_the_disk_does_not_take_is_not_half_there(held, monkeypatch, taken):
    held.save(message(EVENT))
    before, write, room = (held.folder / JOURNAL).read_bytes(), os.write, [taken]

    def full(descriptor, line):
        if not room.pop():
            raise OSError(28, "No space left on device")
        room.append(0)
        return write(descriptor, line[:taken])

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(OSError, match="No space left"):
            held.save(message(revision=1))
    assert (held.folder / JOURNAL).read_bytes() == before
    assert held.save(message(revision=1)).revision == 2 and read_journal(held.folder / JOURNAL) == held.current


def test_a_folder_that_cannot_be_written_is_shown_all_the_same(held, caplog):
    held.save(message(EVENT))
    held.close()
    (held.folder / "AVVP_eval_audio.csv").unlink()
    (held.folder / "AVVP_eval_audio.csv").mkdir()
    again = Corrections(held.folder, toy_document())
    again.repair()
    assert list(again.notes) == ["tables"] and "tables: not written" in caplog.text
    assert "a_clip" in (held.folder / "exact" / "audio.tsv").read_text()


def test_killed_between_journal_and_tables_the_tables_are_made_again(held):
    held.save(message(EVENT))
    for table in held.folder.glob("AVVP*"):
        table.unlink()
    held.close()
    Corrections(held.folder, toy_document()).repair()
    assert "a_clip\t1\t3\tSpeech" in (held.folder / "AVVP_eval_audio.csv").read_text()


def test_kill_9_while_saving_loses_nothing_that_was_confirmed(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.helpers.toy_viewer import toy_document\n"
        "from valor.viewer.corrections import Corrections\n"
        "held = Corrections(Path(sys.argv[1]), toy_document())\n"
        "for n in range(10_000):\n"
        "    events = [['Dog', 'audio', 0, 1 + n % 9]]\n"
        "    held.save({'clip': 'a_clip', 'revision': n, 'checked': False, 'events': events})\n"
        "    print(n + 1, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path / "c"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    confirmed = [int(child.stdout.readline()) for _ in range(8)][-1]
    child.kill()
    child.wait()
    again = Corrections(tmp_path / "c", toy_document())
    assert again.current["a_clip"].revision >= confirmed
    again.save(message(EVENT, revision=again.current["a_clip"].revision))
    again.close()


def test_a_clip_saved_elsewhere_is_not_written_over(held):
    held.save(message(EVENT))
    with pytest.raises(ConflictError, match="a_clip was saved elsewhere, revision 1"):
        held.save(message())
    assert spans(held.current["a_clip"]) == [tuple(EVENT)]
    held.save(message(EVENT))  # the same as is held: nothing to be in conflict about
    assert held.current["a_clip"].revision == 1 and len((held.folder / JOURNAL).read_text().splitlines()) == 1


def test_two_viewers_do_not_write_at_once_but_one_after_the_other(held):
    other = Corrections(held.folder, toy_document())
    held.save(message(EVENT))
    with pytest.raises(BusyError, match="another viewer is saving"):
        other.save(message(clip="b_clip"))
    held.close()
    with pytest.raises(ConflictError):  # it has read meanwhile what the first wrote
        other.save(message())
    other.save(message(revision=1))
    other.close()


@pytest.mark.parametrize(("change", "reason"), [
    ({"clip": "../a_clip"}, r"no such clip: '\.\./a_clip'"),
    ({"clip": 3}, "clip must be str, got 3"),
    ({"revision": True}, "revision must be int, got True"),
    ({"checked": "yes"}, "checked must be bool"),
    ({"events": "all"}, "events must be a list"),
    ({"events": [["Speech", "audio", 1]]}, "an event is"),
    ({"events": [["Rain", "audio", 1, 2]]}, "an event is"),
    ({"events": [["Speech", "smell", 1, 2]]}, "an event is"),
    ({"events": [["Speech", "audio", 1, float("nan")]]}, "an event is"),
    ({"events": [["Speech", "audio", True, 2]]}, "an event is"),
    ({"events": [["Speech", "audio", 3, 2]]}, "within 0 and 10 s"),
    ({"events": [["Speech", "audio", -1, 2]]}, "within 0 and 10 s"),
    ({"events": [["Speech", "audio", 9, 11]]}, "within 0 and 10 s"),
])  # fmt: skip
def test_what_is_no_correction_is_refused_and_changes_nothing(held, change, reason):
    with pytest.raises(ValueError, match=reason):
        held.save(message(EVENT) | change)
    assert not held.current


def test_corrections_are_opened_with_the_parses_beside_them(tmp_path):
    """Whose media play; of labels, predictions and tables they are opened as they are."""
    (tmp_path / "films").mkdir()
    write_parse(tmp_path / "films" / "a.json", parse_record("a.mp4"))
    source, folder = str(tmp_path / "films"), tmp_path / "films.corrections"
    assert opened_with([source], None) == ([source], folder)
    assert opened_with([str(folder)], None)[0] == [str(folder)]
    corrections = Corrections(folder, read_document([source], SourceOptions(class_names=CLASSES)))
    corrections.save({"clip": "a", "revision": 0, "checked": True, "events": [["Dog", "audio", 0, 2]]})
    corrections.close()
    assert opened_with([str(folder)], None) == ([source], folder)
    assert opened_with([str(folder)], tmp_path)[0] == opened_with([str(folder), source], None)[0][:1] == [str(folder)]
    page = view(folder, out=tmp_path / "v.html", class_names=CLASSES)
    assert "a.mp4" in page.read_text() and not folder.with_name("films.corrections.corrections").exists()
    (tmp_path / "films" / "a.json").unlink()
    assert opened_with([str(folder)], None)[0] == [str(folder)]


def test_the_original_is_never_written_to(tmp_path):
    (tmp_path / "AVVP_eval_audio.csv").write_text("original")
    with pytest.raises(ValueError, match="holds other files and no journal.jsonl"):
        Corrections(tmp_path, toy_document())
    with pytest.raises(ValueError, match="this is a file"):
        Corrections(tmp_path / "AVVP_eval_audio.csv", toy_document())
    assert (tmp_path / "AVVP_eval_audio.csv").read_text() == "original"


def test_corrections_of_clips_that_are_not_shown_stay_in_the_tables(held):
    bare = replace(held.document, clips=tuple(replace(clip, truth=None) for clip in held.document.clips))
    held.save(message(EVENT))
    held.close()
    fewer = Corrections(held.folder, replace(bare, clips=bare.clips[1:]))
    fewer.save(message(["Dog", "audio", 0, 1], clip="b_clip"))
    fewer.close()
    rows = (held.folder / "AVVP_eval_audio.csv").read_text().splitlines()[1:]
    assert rows == ["b_clip\t0\t1\tDog", "a_clip\t1\t3\tSpeech"]


def test_a_state_is_on_disk_before_the_page_is_told(held, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda _: synced.append((held.folder / JOURNAL).read_text()))
    held.save(message(EVENT))
    assert '"revision": 1' in synced[0]


def test_the_journal_says_when(held):
    held.save(message(EVENT))
    assert json.loads((held.folder / JOURNAL).read_text())["saved"].startswith("20")


@pytest.mark.parametrize("offset", [10**400, float("nan"), float("inf")])
def test_numbers_beyond_all_measure_are_refused(held, offset):
    with pytest.raises(ValueError, match=r"lies within|an event is"):
        held.save(message(["Speech", "audio", 1.0, offset]))
