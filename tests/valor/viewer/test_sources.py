"""From what a user names to a document, parses of anyone among it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_parse import unsure_parse
from tests.helpers.toy_scores import NAMES, write_toy_scores
from tests.helpers.toy_viewer import CLASSES, NASTY, parse_record, write_parse
from valor.data import parse_file
from valor.data.label_file import write_pseudo_labels
from valor.data.parse_file import OF_DRAWINGS, read_parse
from valor.data.parse_folder import is_parse
from valor.data.predictions import decisions, read_predictions
from valor.data.tables import write_event_table, write_weak_table
from valor.eval.decide import PostProcessing
from valor.video.formats.formats import events_text
from valor.viewer.corrections import events_of_mask, write_correction_files
from valor.viewer.page import pack_clip, pack_mask
from valor.viewer.sources import SourceOptions, parsed_limits, parsed_marks, read_document, system_name

GATED = {"segment_threshold": 0.5, "gate": "modality", "clip_threshold": 0.4}


def read(tmp_path, record):
    return read_parse(write_parse(tmp_path / "a.json", record))


def test_decisions_follow_the_rule_of_the_file(tmp_path):
    gate = [[[0.9, 0.9, 0.9], [0.3, 0.9, 0.9]]] * 4
    parse = read(tmp_path, parse_record(gate_probs=gate, decision=GATED))
    marks, found = parsed_marks(parse), parsed_limits(parse)
    segment, limits = found.segment, found.gate
    assert marks.gate_probs.shape == (1, 2, 3)
    assert marks.predicted[:, 0, 0].tolist() == [False, True, True, False]
    assert not marks.predicted[:, 1].any()  # seen, but the gate is shut
    assert (segment.tolist(), limits.tolist()) == ([[0.5] * 3] * 2, [[0.4] * 3] * 2)


def test_gates_that_change_over_time_keep_their_rows(tmp_path):
    gate = [[[t / 4] * 3, [1.0] * 3] for t in range(4)]
    marks = parsed_marks(read(tmp_path, parse_record(gate_probs=gate, decision=GATED)))
    assert marks.gate_probs.shape == (4, 2, 3)
    assert marks.predicted[:, 0, 0].tolist() == [False, False, True, False]


def test_a_missing_stream_marks_nothing(tmp_path):
    record = parse_record()
    record["segment_probs"]["audio"] = None
    parse = read(tmp_path, record)
    marks = parsed_marks(parse)
    assert np.isnan(marks.segment_probs[:, 0]).all() and not marks.predicted[:, 0].any()
    assert parsed_limits(parse).gate is None


@pytest.mark.parametrize(("system", "name"), [
    ({"run": "runs/valor++"}, "valor++"), ({"zero_shot": True}, "zero-shot"), ({}, "parse"), ({"run": 7}, "parse"),
    ({"run": "/x/valor/seed-3"}, "valor/seed-3"),
])  # fmt: skip
def test_a_parse_is_called_by_its_run(tmp_path, system, name):
    assert system_name(read(tmp_path, parse_record(system=system))) == name


@pytest.mark.parametrize(("media", "change", "message"), [
    ({"duration": float("nan")}, {}, "NaN is no number"),
    ({"duration": "long"}, {}, "duration: expected a number"),
    ({"start_time": None}, {}, "start_time: expected a number"),
    ({"duration": -1.0}, {}, "duration: expected a number"),
    ({}, {"segment_seconds": 0}, "segment_seconds: expected a number"),
    ({"name": ["x"]}, {}, "name: expected text"),
    ({}, {"classes": ["a", "a", "b"]}, "classes: expected names that are unique"),
    ({}, {"version": 2}, "could not be read"),
])  # fmt: skip
def test_a_strangers_parse_is_looked_at_twice(tmp_path, media, change, message):
    record = parse_record(**change)
    record["media"] |= media
    with pytest.raises(ValueError, match=rf"a\.json: .*{message}"):
        read(tmp_path, record)


@pytest.mark.parametrize(("content", "expected"), [
    (b'{"format": "valor-parse"', True), (b'{"format": "other"}', False), (b"\xff\xfe", False), (b"", False),
])  # fmt: skip
def test_a_parse_says_that_it_is_one(tmp_path, content, expected):
    (tmp_path / "a.json").write_bytes(content)
    assert is_parse(tmp_path / "a.json") is expected
    assert not is_parse(tmp_path)


PLAIN = SourceOptions(class_names=CLASSES)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scores(tmp_path_factory.mktemp("toy"))


def test_systems_are_named_and_decided_by_their_own_rule(toy):
    options = SourceOptions(class_names=NAMES, data=toy.data)
    document = read_document([f"VALOR={toy.good}", str(toy.poor)], options)
    assert [system.name for system in document.systems] == ["VALOR", "poor"]
    assert [clip.clip_id for clip in document.clips] == list(toy.split.clip_ids)
    decided, _ = decisions(read_predictions(toy.good))
    assert np.array_equal(np.stack([clip.marks[0].predicted for clip in document.clips]), decided)
    assert np.array_equal(np.stack([clip.truth for clip in document.clips]), toy.split.truth)
    assert document.systems[0].gate_thresholds.tolist() == [[0.5] * 25] * 2


def test_another_rule_gates_each_modality_by_its_own(toy):
    rule = PostProcessing(segment_threshold=0.3, gate=("clip", "none"), clip_threshold=0.6)
    options = SourceOptions(class_names=NAMES, rule=lambda _: rule)
    document = read_document([str(toy.good)], options)
    held = read_predictions(toy.good)
    assert np.array_equal(document.clips[3].marks[0].predicted, decisions(held, rule)[0][3])
    assert document.systems[0].gate_thresholds.tolist() == [[0.6] * 25, [0.0] * 25]
    assert np.array_equal(document.clips[3].marks[0].gate_probs[0, 0], held.clip_probs[3])
    assert document.clips[3].truth is None


def test_annotations_alone_are_shown_whole(toy):
    document = read_document([], SourceOptions(class_names=NAMES, data=toy.data, split="val"))
    assert len(document.clips) == 32 and not document.systems and document.clips[0].truth.shape == (10, 2, 25)


def test_parses_of_one_system_are_gathered_and_others_kept_apart(tmp_path):
    write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    write_parse(tmp_path / "b.json", parse_record("b.mp4", segments=7))
    (tmp_path / "c.json").write_text("{}")
    zero = write_parse(tmp_path / "zero", parse_record("a.mp4", system={"zero_shot": True}))
    document = read_document([str(tmp_path), f"other={zero.rename(tmp_path / 'z.json')}"], PLAIN)
    assert [system.name for system in document.systems] == ["valor++", "zero-shot", "other"]
    assert {clip.clip_id: clip.num_segments for clip in document.clips} == {"a": 4, "b": 7}
    assert [marks is None for marks in document.clips[1].marks] == [False, True, True]


def test_systems_that_know_drawings_alone_are_named(tmp_path):
    drawn = write_parse(tmp_path / "a.json", parse_record("a.mp4") | {"notes": ["has a gap", OF_DRAWINGS]})
    other = write_parse(tmp_path / "b.json", parse_record("a.mp4", system={"zero_shot": True}))
    both = read_document([str(drawn), str(other)], PLAIN)
    assert both.notes == (f"valor++: {OF_DRAWINGS}.",)
    assert both.clips[0].notes == ("valor++: has a gap", f"valor++: {OF_DRAWINGS}")
    assert read_document([str(drawn)], PLAIN).clips[0].notes == ("has a gap", OF_DRAWINGS)
    assert read_document([str(other)], PLAIN).notes == read_document([str(other)], PLAIN).clips[0].notes == ()


def test_classes_beyond_those_of_a_parse_are_shown_empty(tmp_path):
    file = write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    document = read_document([str(file)], SourceOptions(class_names=("Rain", *CLASSES)))
    (marks,) = document.clips[0].marks
    assert document.class_names == (*CLASSES, "Rain") and marks.predicted.shape[-1] == len(CLASSES) + 1
    assert not marks.predicted[..., -1].any() and not marks.segment_probs[..., -1].any()
    assert (document.systems[0].thresholds[:, -1] == 1).all()


def test_classes_of_unlike_systems_are_brought_together(tmp_path):
    first = write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    second = write_parse(tmp_path / "b.json", parse_record("a.mp4", classes=("Rain", "Speech"), system={"run": "x"}))
    document = read_document([str(first), str(second)], PLAIN)
    assert document.class_names == (*CLASSES, "Rain")
    marks = document.clips[0].marks[1]
    assert marks.predicted.any(axis=(0, 1)).tolist() == [False, False, False, True]
    assert document.systems[1].thresholds[0].tolist() == [0.5, 1, 1, 0.5]


def test_a_parse_finds_its_clip_among_the_annotations(tmp_path):
    write_weak_table(tmp_path / "AVVP_test_pd.csv", ["abcdefghijk_10_20"], np.array([[True, False, False]]), CLASSES)
    for modality in ("audio", "visual"):
        write_event_table(tmp_path / f"AVVP_eval_{modality}.csv", [("abcdefghijk_10_20", 1, 3, "Speech")])
    file = write_parse(tmp_path / "a.json", parse_record("abcdefghijk.mp4"))
    (clip,) = read_document([str(file)], replace(PLAIN, data=tmp_path)).clips
    assert (clip.clip_id, clip.tags, int(clip.truth.sum())) == ("abcdefghijk_10_20", (0,), 4)
    assert clip.truth.shape == (4, 2, 3)


def test_names_of_media_cannot_break_a_table(tmp_path):
    for number, name in enumerate(("-rf, a\tb.mp4", NASTY + ".mp4", "x.mp4", "x.webm")):
        write_parse(tmp_path / f"{number}.json", parse_record(name))
    document = read_document([str(tmp_path)], PLAIN)
    ids = [clip.clip_id for clip in document.clips]
    assert ids[0] == "-rf_ a_b" and document.clips[0].name == "-rf, a\tb.mp4"
    assert ids[2] == "x" and re.fullmatch("x-[0-9a-f]{8}", ids[3])
    assert not any(mark in clip_id for clip_id in ids for mark in "\t\r\n,")
    assert all(len(clip_id.splitlines()) == 1 for clip_id in ids)  # by the other line breaks of Unicode too


def test_a_parse_may_not_name_just_any_file_as_its_media(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"film")
    for name, path in (("a", "/etc/passwd"), ("b", str(tmp_path / "film.mp4")), ("c", "http://example.org/film.mp4")):
        record = parse_record(f"{name}.mp4")
        record["media"]["path"] = path
        write_parse(tmp_path / f"{name}.json", record)
    document = read_document([str(tmp_path)], PLAIN)
    assert [clip.media for clip in document.clips] == [None, tmp_path / "film.mp4", None]


def test_media_that_browsers_do_not_play_is_named_and_gives_way_to_what_they_do(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "film.ts").write_bytes(b"film")
    record = parse_record("film.ts")
    record["media"]["path"] = str(tmp_path / "film.ts")
    file = write_parse(tmp_path / "film.json", record)
    clips = []
    for name in ("film.mxf", "film.mp4"):
        (tmp_path / "films" / name).write_bytes(b"film")
        clips += read_document([str(file)], replace(PLAIN, videos=tmp_path / "films")).clips
        (tmp_path / "films" / name).unlink()
    clips += read_document([str(file)], PLAIN).clips
    assert [clip.media and clip.media.name for clip in clips] == [None, "film.mp4", None]
    assert [clip.unplayed for clip in clips] == [".mxf", ".ts", ".ts"]


def test_the_viewer_counts_from_0_where_the_container_does_not(tmp_path):
    """As docs/view.md says: corrections equal the tables of `--clock zero`, those of the container are later."""
    record = parse_record("film.ts")
    record["media"]["start_time"] = 18.936
    file = write_parse(tmp_path / "film.json", record)
    document = read_document([str(file)], PLAIN)
    (clip,) = document.clips
    events = events_of_mask(clip.marks[0].predicted, CLASSES, 1.0)
    write_correction_files(tmp_path / "c", document, {"film": events})
    rows = (tmp_path / "c" / "exact" / "audio.tsv").read_text().splitlines()[1:]
    zero, container = (
        events_text([read_parse(file)], "llp-audio", clock=clock).splitlines()[1:] for clock in ("zero", "container")
    )
    times = [[[float(time) for time in row.split("\t")[1:3]] for row in table] for table in (rows, zero, container)]
    assert times[0] == times[1] == [[1, 3]]
    assert times[2] == [pytest.approx([19.936, 21.936])] and clip.start_time == 18.936
    clock = (ROOT / "docs" / "view.md").read_text(encoding="utf-8").partition("## Clock\n")[2].partition("\n## ")[0]
    assert all(word in clock for word in ("counts from 0", "container's clock", "--clock zero", "Download tables"))


def test_grids_that_differ_are_said_not_mixed(tmp_path):
    first = write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    second = write_parse(tmp_path / "b.json", parse_record("a.mp4", segments=9))
    document = read_document([f"one={first}", f"two={second}"], PLAIN)
    assert document.clips[0].marks[1] is None
    assert "two has another grid than one" in document.about[0]


def test_pseudo_labels_are_a_system_of_decisions(tmp_path):
    labels = np.zeros((2, 10, 2, 3), dtype=bool)
    labels[0, 2:4, 0, 1] = True
    write_pseudo_labels(tmp_path / "labels" / "pseudo_labels.npz", ["a", "b"], CLASSES, labels)
    document = read_document([str(tmp_path / "labels")], PLAIN)
    assert (document.systems[0].name, document.systems[0].kind, document.systems[0].thresholds) == (
        "labels", "labels", None,
    )  # fmt: skip
    assert document.clips[0].marks[0].predicted.sum() == 2


def test_clips_of_unlike_length_are_cut_to_what_exists(tmp_path):
    probs, valid = np.full((2, 10, 2, 3), 0.9), np.ones((2, 10), dtype=bool)
    valid[1, 6:] = False
    arrays = {"clip_ids": np.array(["a", "b"]), "classes": np.array(CLASSES), "segment_probs": probs}
    np.savez(tmp_path / "p.npz", clip_probs=np.ones((2, 3)), valid=valid, **arrays)
    assert [clip.num_segments for clip in read_document([str(tmp_path / "p.npz")], PLAIN).clips] == [10, 6]


@pytest.mark.parametrize(("typed", "message"), [
    ([], "there is nothing to show; name a run"),
    (["missing.npz"], "missing.npz: no such file or folder"),
    (["notes.txt"], "expected a prediction file"),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused(tmp_path, monkeypatch, typed, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_document(typed, PLAIN)


def test_a_run_without_predictions_needs_data(tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="needs data=DIR"):
        read_document([str(tmp_path)], PLAIN)


def test_parses_of_one_system_share_their_classes(tmp_path):
    write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    write_parse(tmp_path / "b.json", parse_record("b.mp4", classes=("Rain",)))
    with pytest.raises(ValueError, match=r"b\.json: its classes differ from those of the other parses of 'valor\+\+'"):
        read_document([str(tmp_path)], PLAIN)
    assert json.loads((tmp_path / "a.json").read_text())["classes"] == list(CLASSES)


def test_what_is_unsure_goes_into_the_page_for_every_class_it_shows(tmp_path):
    parse = unsure_parse()
    parse_file.write_parse(tmp_path / "u.json", parse)
    other = write_parse(tmp_path / "b.json", parse_record("b.mp4", classes=("Rain", "Speech"), system={"run": "x"}))
    document = read_document([str(tmp_path / "u.json"), str(other)], PLAIN)
    (clip,) = (clip for clip in document.clips if clip.clip_id == "street & dog")
    marks = clip.marks[0]
    assert marks.unsure[..., document.class_names.index("Speech")].tolist() == parse.unsure[..., 0].tolist()
    assert marks.unsure.any() and not marks.unsure[..., document.class_names.index("Rain")].any()
    packed = pack_clip(clip)["systems"][0]
    assert packed["unsure"] == pack_mask(marks.unsure)
    assert "unsure" not in pack_clip(document.clips[0 if document.clips[0] is not clip else 1])["systems"][1]


def test_a_parse_without_an_event_says_what_came_nearest(tmp_path):
    record = parse_record("a.mp4", decision={"segment_threshold": 1.0, "gate": "none", "clip_threshold": 0.5})
    (note,) = read_document([str(write_parse(tmp_path / "a.json", record))], PLAIN).clips[0].notes
    assert note.startswith(f"nothing found of {', '.join(record['classes'])}; nearest were ") and "from 1 on" in note
