"""Files from outside, mangled: a right answer or one sentence, and nobody chooses what he is scored on."""

import csv
import io
import json
import random
import re
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valor.__main__ import main
from valor.cli.options import named_files
from valor.cli.terminal import shown
from valor.data.journal import read_journal
from valor.data.label_file import PseudoLabels
from valor.data.parse_file import Parse, parse_to_json, read_parse
from valor.data.parsed_media import MediaInfo
from valor.data.prediction_files import read_any_predictions, read_prediction_json
from valor.data.predictions import Predictions, score_predictions
from valor.data.tables import Split, read_event_table, read_weak_table
from valor.data.thresholds import read_calibration, read_thresholds
from valor.eval.counts import segment_counts
from valor.eval.decide import PostProcessing
from valor.eval.scores import score
from valor.scoring.calibrate import calibrate_predictions
from valor.scoring.compare import compare
from valor.video.formats.formats import FORMATS, events_text

NAMES = ("Dog", "Speech")
PREDICTIONS = {
    "format": "valor predictions 1", "classes": list(NAMES), "segments": 10, "segment_seconds": 1.0,
    "clips": [{"clip_id": "x", "audio": [{"event_label": "Dog", "onset": 0, "offset": 4, "score": 0.5}], "visual": []}],
}  # fmt: skip
FIVE = dict.fromkeys(("audio", "visual", "audio_visual", "type_av", "event_av"), 50.0)
SCORES = {
    "segment": FIVE, "event": FIVE, "clips": 8, "clips_expected": 8, "truth_sha256": "ab", "selection": "x",
    "post_processing": {"segment_threshold": 0.5, "gate": "clip", "clip_threshold": 0.5},
    "sd": {"segment": FIVE, "event": FIVE},
}  # fmt: skip
THRESHOLDS = {
    "applies_to": "segment_threshold", "audio": [0.5, 0.4], "visual": [0.5, 0.6],
    "classes": {name: {"audio": {"f": 0.5, "support": 3}} for name in NAMES},
    "post_processing": {"segment_threshold": 0.5, "gate": "clip", "clip_threshold": 0.5},
}  # fmt: skip
JOURNAL = {"clip": "x", "revision": 1, "checked": True, "events": [["Dog", "audio", 0.0, 2.0]]}
STRANGE = [None, True, -1, 1e300, 10**299, 1.5, "", "a\x1b[2J", "\ud800", [], {}, [[]], {"f": {}}, 0, "10", [["x"]]]


def parse(**media):
    """Two seconds in which a dog is heard."""
    known = MediaInfo(name="x.mp4", path="/x.mp4", duration=2.0, has_audio=True, has_visual=True)
    probs = np.zeros((2, 2, 2), np.float32)
    probs[:, 0, 0] = 0.9
    return Parse(
        media=replace(known, **media), class_names=NAMES, segment_seconds=1.0, segment_probs=probs,
        decision=PostProcessing(gate="none"),
    )  # fmt: skip


def mangled(record, rng):
    """A record with one value, key or stretch of bytes replaced."""
    record = json.loads(json.dumps(record))
    holders = [record]
    for holder in holders:
        inner = holder.values() if isinstance(holder, dict) else holder
        holders += [value for value in inner if isinstance(value, dict | list) and value]
    holder = rng.choice(holders)
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(STRANGE)
    text = json.dumps(record)
    if rng.random() < 0.3:
        place = rng.randrange(len(text))
        text = (
            text[:place]
            + rng.choice(["NaN", "[" * 5000, '"', "1e999", "9" * 400, '"clips": [],', ""])
            + text[place + 1 :]
        )
    return text


READERS = {
    "predictions": (PREDICTIONS, lambda path: read_prediction_json(path, NAMES)),
    "parse": (parse_to_json(parse()), lambda path: events_text([read_parse(path)], "csv")),
    "thresholds": (THRESHOLDS, lambda path: read_calibration(path, NAMES)),
    "label thresholds": (THRESHOLDS | {"applies_to": "labels"}, lambda path: read_thresholds(path, 2)),
    "scores": (SCORES, lambda path: compare([path])),
    "journal": (JOURNAL, read_journal),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_mangled_file_is_read_or_refused(tmp_path, kind):
    record, read = READERS[kind]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record))
    read(path)
    rng = random.Random(kind)
    for _ in range(60):
        path.write_text(mangled(record, rng))
        with suppress(ValueError, OSError):
            read(path)


@given(st.binary(max_size=80) | st.text(alphabet="x\tDog10_.,\n\"'é\ufeff\x1b", max_size=80).map(str.encode))
@settings(max_examples=60)
def test_a_mangled_table_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    for header, read in ((b"filename\tonset\toffset\tevent_labels\n", read_event_table),
                         (b"filename\tevent_labels\n", read_weak_table)):  # fmt: skip
        path.write_bytes(header + content)
        with suppress(ValueError):
            read(path, NAMES)


@pytest.mark.parametrize(("record", "change", "message"), [
    (PREDICTIONS, {"classes": None}, "classes: expected a list"),
    (PREDICTIONS, {"classes": [["Dog"]]}, "classes: expected text"),
    (PREDICTIONS, {"segments": 10**9}, "segments: expected a whole number from 1 to 100,000"),
    (SCORES, {"segment": FIVE | {"audio": -1}}, "audio must be a percentage"),
    (SCORES, {"segment": FIVE | {"audio": 1000}}, "audio must be a percentage"),
    (SCORES, {"truth_sha256": 1.5}, "truth_sha256: expected text"),
    (SCORES, {"post_processing": 5}, "post_processing: expected an object"),
    (parse_to_json(parse()), {"system": "x"}, "system: expected an object"),
    (parse_to_json(parse()), {"classes": [5, "Dog"]}, "classes: expected text"),
])  # fmt: skip
def test_values_of_other_kinds_are_named(tmp_path, record, change, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record | change))
    read = next(read for known, read in READERS.values() if known is record or known.keys() == record.keys())
    with pytest.raises(ValueError, match=message):
        read(path)


# Nobody chooses what he is scored on


@pytest.fixture
def split():
    truth = np.zeros((2, 10, 2, 2), dtype=bool)
    truth[:, 4:8] = True
    return Split("test", ("x", "y"), NAMES, np.ones((2, 2), dtype=bool), truth, "v2024", "ab" * 32)


def test_segments_said_not_to_exist_are_missed(split, caplog):
    valid = ~split.truth.any(axis=(2, 3))
    nothing = Predictions(clip_ids=("x", "y"), class_names=NAMES, predicted=np.zeros_like(split.truth))
    hidden = replace(nothing, predicted=split.truth.copy(), valid=valid)
    figures = [score_predictions(one, split)[0].segment for one in (nothing, hidden)]
    assert figures[0] == figures[1] and figures[0].audio == 0
    assert "8 annotated segments of 2 clips are said not to exist (x from segment 4" in caplog.text
    with pytest.raises(ValueError, match="the truth has events in 8 segments that valid says do not exist"):
        score(split.truth, split.truth, valid=valid)


def test_thresholds_are_found_on_the_whole_truth(split):
    probs = np.random.default_rng(3).random(split.truth.shape).astype(np.float32)
    held = Predictions(clip_ids=("x", "y"), class_names=NAMES, segment_probs=probs, valid=~split.truth.any(axis=(2, 3)))
    found = calibrate_predictions(held, split, rule=PostProcessing(gate="none"))
    assert found.support["audio"] == (8, 8) and set(found.f_scores["audio"]) <= {0.0, None}


def test_parts_of_a_split_are_compared_on_the_same_clips_alone(tmp_path, split):
    whole = Predictions(clip_ids=("x", "y"), class_names=NAMES, predicted=split.truth)
    for name, row in (("a", 0), ("b", 1)):
        part = replace(whole, clip_ids=(whole.clip_ids[row],), predicted=split.truth[[row]])
        report = score_predictions(part, split, allow_subset=True)[1]
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    compare([tmp_path / "a.json"])
    with pytest.raises(ValueError, match="1 of 2 clips, and not the same clips"):
        compare([tmp_path / "a.json", tmp_path / "b.json"])


def test_segments_of_another_length_are_not_scored(split):
    other = Predictions(clip_ids=("x", "y"), class_names=NAMES, predicted=split.truth, segment_seconds=0.5)
    with pytest.raises(ValueError, match="segments of 0.5 s cannot be scored on annotations of 1 s"):
        score_predictions(other, split)


def test_bytes_that_are_no_marks_are_made_marks_or_refused():
    marks = np.full((1, 2, 2, 2), 255, np.uint8).view(np.bool_)
    held = Predictions(clip_ids=("x",), class_names=NAMES, predicted=marks, valid=marks[:, :, 0, 0])
    labels = PseudoLabels(("x",), NAMES, marks)
    assert all(array.view(np.uint8).max() == 1 for array in (held.predicted, held.valid, labels.labels))
    with pytest.raises(ValueError, match="marks must be 0 or 1"):
        segment_counts(marks, marks)


# Names in terminals, spreadsheets, XML and shells


def test_no_name_steers_a_terminal():
    assert shown("a\x1b[31mb\u202e\x9b\r\tc\n") == "a\\x1b[31mb\\u202e\\x9b\\r\tc\n"


@pytest.mark.parametrize("name", ["=1+1.mp4", "@x.mp4", "+x.mp4", "-hK3l_abcde.mp4"])
def test_no_cell_is_a_formula(name):
    rows = list(csv.reader(io.StringIO(events_text([parse(name=name)], "csv"))))
    assert rows[1][0] == f"'{name}" and rows[1][1] == "0"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats_without_times_below_zero_are_refused(name):
    early = parse(start_time=-1.5)
    if name in ("csv", "tsv", "fiftyone", "label-studio"):
        assert events_text([early], name)
        return
    if name != "llp-visual":  # nothing is seen, but its clock is the same
        with pytest.raises(ValueError, match="its clock starts below zero"):
            events_text([early], name)
    assert events_text([early], name, clock="zero")


def test_files_whose_names_begin_with_a_dash_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-hK3l_abcde.mp4").touch()
    assert named_files(["parse", "-hK3l_abcde.mp4", "--out", "-h"]) == ["parse", "./-hK3l_abcde.mp4", "--out", "-h"]


def test_folders_whose_names_begin_with_a_dash_are_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-films").mkdir()
    (tmp_path / "-5").mkdir()
    typed = ["parse", "-films", "-h", "--threshold", "-5", "--quiet"]
    assert named_files(typed) == ["parse", "./-films", *typed[2:]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("parse -hK3l_abcde", "there is no file -hK3l_abcde; one whose name begins with a dash is typed ./-hK3l_abcde"),
        ("parse a.mp4 --out -o2", "argument --out: a value that begins with a dash is typed --out=-o2"),
        ("plot timeline p.npz --clip -M8q_0_10", "a value that begins with a dash is typed --clip=-M8q_0_10"),
        ("parse a.mp4 -out x", r"unrecognized arguments: -out \(did you mean --out\?\)"),
    ],
)
def test_what_begins_with_a_dash_and_is_nothing_is_refused_with_what_to_type(capsys, words, said):
    with pytest.raises(SystemExit):
        main(words.split())
    assert re.search(said, capsys.readouterr().err)


def test_quotes_in_names_come_back(tmp_path):
    name = 'He said "hi"'
    (tmp_path / "t.csv").write_text(events_text([parse(name=f"{name}.mp4")], "llp-audio"))
    assert read_event_table(tmp_path / "t.csv", NAMES) == [(name, 0, 2, 0)]


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(PREDICTIONS).replace('"visual": []', '"visual": [], "audio": []'))
    with pytest.raises(ValueError, match="the key 'audio' stands twice"):
        read_any_predictions(path, NAMES)
