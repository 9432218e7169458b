"""The thresholds file: read back, put into rules, and read by `valor labels`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from valor.data.thresholds import Calibration, apply_calibration, read_calibration, read_thresholds, write_calibration
from valor.eval.decide import PRESETS, PostProcessing, preset

CLASSES = ("Dog", "Speech", "Cello")


@pytest.fixture
def parser():
    return Calibration(
        applies_to="segment_threshold",
        class_names=CLASSES,
        thresholds={"audio": (0.25, 0.5, 0.75), "visual": (0.1, 0.2, 0.3)},
        f_scores={"audio": (0.5, 1.0, None), "visual": (0.25, 0.5, 0.0)},
        support={"audio": (3, 4, 0), "visual": (5, 6, 7)},
        rule=PostProcessing(gate="modality", clip_threshold=0.4),
        provenance={"criterion": "segment-f", "split": "val", "sources": {"p.npz": "ab"}, "audio_kept": "Cello"},
    )


@pytest.fixture
def teacher(parser):
    thresholds = {"audio": (-2.5, 0.0, 4.0), "visual": (14.0, 15.25, 18.0)}
    return replace(parser, applies_to="labels", thresholds=thresholds, rule=None)


@pytest.mark.parametrize("kind", ["parser", "teacher"])
def test_a_file_reads_back_as_it_was_written(tmp_path, kind, request):
    calibration = request.getfixturevalue(kind)
    write_calibration(tmp_path / "t.json", calibration)
    assert read_calibration(tmp_path / "t.json", CLASSES) == calibration
    assert len(list(tmp_path.iterdir())) == 1


def test_the_file_is_short_and_says_where_it_comes_from(tmp_path, parser):
    write_calibration(tmp_path / "t.json", parser)
    text = (tmp_path / "t.json").read_text()
    assert len(text.splitlines()) < 20
    table = json.loads(text)
    assert list(table)[:4] == ["applies_to", "marked", "criterion", "split"]
    assert table["marked"] == "score >= threshold" and table["sources"] == {"p.npz": "ab"}
    assert table["classes"]["Dog"] == {"audio": {"f": 0.5, "support": 3}, "visual": {"f": 0.25, "support": 5}}
    assert table["classes"]["Cello"]["audio"] == {"support": 0}
    assert table["audio"] == [0.25, 0.5, 0.75]


def test_labels_read_the_thresholds_of_teachers_and_refuse_those_of_a_parser(tmp_path, parser, teacher):
    write_calibration(tmp_path / "t.json", teacher)
    read = read_thresholds(tmp_path / "t.json", 3)
    assert {role: values.tolist() for role, values in read.items()} == {
        "audio": [-2.5, 0, 4],
        "visual": [14, 15.25, 18],
    }
    write_calibration(tmp_path / "p.json", parser)
    with pytest.raises(
        ValueError, match="p.json: expected thresholds of teachers' logits, got those of a parser's segm"
    ):
        read_thresholds(tmp_path / "p.json", 3)


def test_calibrated_thresholds_become_a_rule(parser):
    rows = ((0.25, 0.5, 0.75), (0.1, 0.2, 0.3))
    rule = apply_calibration(parser)
    assert rule == PostProcessing(segment_threshold=rows, gate="modality", clip_threshold=0.4)
    assert apply_calibration(parser, PRESETS["han"]) == PostProcessing(segment_threshold=rows)
    assert apply_calibration(parser, PRESETS["han"]).preset is None  # it is no longer theirs
    gate = replace(parser, applies_to="clip_threshold")
    assert apply_calibration(gate).clip_threshold == rows


def test_the_preset_that_lacks_thresholds_gets_those_alone(parser, tmp_path):
    gate = replace(parser, applies_to="clip_threshold")
    filled = apply_calibration(gate, PRESETS["cmpae"])
    assert (filled, filled.preset) == (preset("cmpae", visual_clip_thresholds=(0.1, 0.2, 0.3)), "cmpae")
    (tmp_path / "hand.json").write_text('{"applies_to": "clip_threshold", "visual": [0.1, 0.2, 0.3]}')
    by_hand = read_calibration(tmp_path / "hand.json", CLASSES)
    assert apply_calibration(by_hand, PRESETS["cmpae"]) == filled
    with pytest.raises(ValueError, match=r"thresholds must be given for audio and visual, got \['visual'\]"):
        apply_calibration(by_hand, PRESETS["han"])


def test_thresholds_of_teachers_decide_no_parser(teacher):
    with pytest.raises(ValueError, match="these thresholds are for teachers' logits and cannot decide a parser"):
        apply_calibration(teacher)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"applies_to": "gate"}, "clip_threshold, labels, presence, posterior, got 'gate'"),
        ({"thresholds": {}}, "thresholds must be 3 numbers, one for each class, .* got none"),
        ({"thresholds": {"smell": (1.0, 2.0, 3.0)}}, "for some of audio, visual, fused, got {'smell': 3}"),
        ({"thresholds": {"audio": (1.0, 2.0)}}, "thresholds must be 3 numbers, .* got {'audio': 2}"),
    ],
)
def test_thresholds_that_fit_nothing_are_refused(parser, change, message):
    with pytest.raises(ValueError, match=message):
        replace(parser, **change)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[1]",
        b"{}",
        b'{"audio": [1, 2, 3]}',
        b'{"applies_to": "labels"}',
        b'{"applies_to": "labels", "audio": [1, 2]}',
        b'{"applies_to": "labels", "audio": ["x", 1, 2]}',
        b'{"applies_to": "labels", "audio": [1, 2, 3], "post_processing": {}}',
        b'{"applies_to": "labels", "audio": [1, 2, 3], "classes": 7}',
        b'{"applies_to": "segment_threshold", "audio": [0.5, -1, 0.5]}',
        b'{"applies_to": "clip_threshold", "audio": [0.5, 0.5, 1.5]}',
    ],
)
def test_files_that_are_no_thresholds_are_refused_by_name(tmp_path, content):
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(ValueError, match="t.json: expected thresholds as `valor calibrate` writes them, got"):
        read_calibration(tmp_path / "t.json", CLASSES)


def test_thresholds_of_other_classes_are_refused(tmp_path, parser):
    write_calibration(tmp_path / "t.json", parser)
    for names in (CLASSES[::-1], ("Dog", "Speech", "Car")):
        with pytest.raises(ValueError, match=r"t.json: the thresholds are of 3 classes \(Dog, Speech, Cello, ...\)"):
            read_calibration(tmp_path / "t.json", names)
    with pytest.raises(ValueError, match="t.json: expected thresholds as"):
        read_calibration(tmp_path / "none" / "t.json", CLASSES)


def test_thresholds_are_kept_to_the_last_digit(tmp_path, parser):
    odd = tuple(np.nextafter(np.float32(0.3), np.float32(1), dtype=np.float32).astype(float).item() for _ in CLASSES)
    write_calibration(tmp_path / "t.json", replace(parser, thresholds={"audio": odd, "visual": odd}))
    assert read_calibration(tmp_path / "t.json", CLASSES).thresholds["audio"] == odd


def test_thresholds_are_read_from_json(tmp_path):
    path = tmp_path / "thresholds.json"
    path.write_text('{"note": "mine", "audio": [1, 2.5, -3], "visual": [4, 5, 6]}')
    thresholds = read_thresholds(path, 3)
    assert {role: values.tolist() for role, values in thresholds.items()} == {
        "audio": [1, 2.5, -3],
        "visual": [4, 5, 6],
    }


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such file; give thresholds"),
    ("audio: 1", "expected JSON"),
    (b"\xff\x00", "expected JSON"),
    ("[1, 2, 3]", "expected JSON"),
    ('{"audio": ["loud", 1, 2]}', "expected JSON .*audio: expected a number from .* got 'loud'"),
    ('{"audio": [[1, 2], 3, 4]}', "expected JSON"),
    ('{"audio": [1, 2]}', r"expected one threshold for each of 3 classes, got {'audio': \(2,\)}"),
    ('{"audio": [1, 2, 3], "visual": [1, 2, 3, 4]}', r"3 classes, got {'visual': \(4,\)}"),
    ('{"audio": 3}', "expected one threshold for each of 3 classes, got no list"),
])  # fmt: skip
def test_a_file_that_is_no_thresholds_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "thresholds.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"{path}: .*{message}"):
        read_thresholds(path, 3)


def test_a_role_without_a_list_is_refused(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"audio": [0.5], "visual": null, "note": "kept"}')
    with pytest.raises(ValueError, match="visual"):
        read_thresholds(path, 1)
    path.write_text('{"audio": [0.5], "note": "kept"}')
    assert read_thresholds(path, 1)["audio"].tolist() == [0.5]
