"""Predictions as JSON."""

import json

import numpy as np
import pytest

from valor.event_lists import SegmentGrid
from valor.prediction_json import FORMAT, read_prediction_json, write_prediction_json

CLASSES = ("Dog", "Speech")
CLIPS = ("b", "a", "silent")


def predicted():
    marks = np.random.default_rng(0).random((3, 10, 2, 2)) < 0.4
    marks[2] = False
    return marks


def document(**changes):
    event = {"event_label": "Dog", "onset": 0, "offset": 4.0, "score": 0.5}
    clips = [{"clip_id": "x", "audio": [event], "visual": []}, {"clip_id": "y", "audio": [], "visual": []}]
    return {"format": FORMAT, "clips": clips} | changes


def saved(folder, content):
    path = folder / "p.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def with_event(**changes):
    content = document()
    content["clips"][0]["audio"][0] |= changes
    return {**content, "clips": content["clips"]}


@pytest.mark.parametrize("segment_seconds", [1.0, 0.32])
def test_json_reads_back_as_it_was_written(tmp_path, segment_seconds):
    path = tmp_path / "p.json"
    write_prediction_json(path, CLIPS, CLASSES, predicted(), segment_seconds=segment_seconds)
    back = read_prediction_json(path, CLASSES)
    assert (back.clip_ids, back.class_names, back.rounding) == (CLIPS, CLASSES, None)
    assert np.array_equal(back.predicted, predicted())
    assert list(tmp_path.iterdir()) == [path]


def test_classes_go_where_the_reader_wants_them(tmp_path):
    write_prediction_json(tmp_path / "p.json", CLIPS, CLASSES, predicted())
    back = read_prediction_json(tmp_path / "p.json", ("Cat", "Speech", "Dog"))
    assert np.array_equal(back.predicted[..., [2, 1]], predicted()) and not back.predicted[..., 0].any()


def test_the_file_is_the_documented_object(tmp_path):
    marks, probs = np.zeros((1, 4, 2, 2), dtype=bool), np.zeros((1, 4, 2, 2), dtype=np.float32)
    marks[0, 1:3, 1, 0] = True
    probs[0, 1:3, 1, 0] = 0.5, 0.75
    write_prediction_json(tmp_path / "p.json", ["ü"], CLASSES, marks, segment_probs=probs, segment_seconds=2.0)
    assert json.loads((tmp_path / "p.json").read_text(encoding="utf-8")) == {
        "format": "valor predictions 1",
        "classes": ["Dog", "Speech"],
        "segments": 4,
        "segment_seconds": 2.0,
        "clips": [
            {
                "clip_id": "ü",
                "audio": [],
                "visual": [{"event_label": "Dog", "onset": 2.0, "offset": 6.0, "score": 0.625}],
            }
        ],
    }


def test_scores_are_probabilities_only_when_asked_for(tmp_path):
    path = saved(tmp_path, with_event(score=0.25))
    assert read_prediction_json(path, CLASSES).predicted[0, :, 0, 0].sum() == 4  # decisions, whatever their scores
    probs = read_prediction_json(path, CLASSES, use_scores=True).segment_probs
    assert probs[0, :, 0, 0].tolist() == [0.25] * 4 + [0] * 6
    with pytest.raises(ValueError, match="clip 'x': audio event 0: every event needs a score"):
        read_prediction_json(saved(tmp_path, with_event(score=None)), CLASSES, use_scores=True)


def test_the_grid_is_that_of_the_file_else_that_asked_for(tmp_path):
    grid = SegmentGrid(num_segments=8, segment_seconds=0.5)
    assert read_prediction_json(saved(tmp_path, document()), CLASSES, grid).predicted[0, :, 0, 0].tolist() == [True] * 8
    own = document(segments=2, segment_seconds=2)
    assert read_prediction_json(saved(tmp_path, own), CLASSES, grid).predicted.shape == (2, 2, 2, 2)
    rounded = SegmentGrid(rounding="cover")
    assert read_prediction_json(saved(tmp_path, with_event(offset=3.2)), CLASSES, rounded).rounding == "cover"


def test_other_keys_are_left_alone(tmp_path):
    assert read_prediction_json(saved(tmp_path, with_event(comment="loud") | {"made": 2026}), CLASSES).predicted.any()


NO_VISUAL = document(clips=[{"clip_id": "x", "audio": []}])
TWICE = document(clips=document()["clips"] * 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected predictions as JSON, which could not be read"),
        ("\x00\x01", "expected predictions as JSON, which could not be read"),
        ("[" * 100_000, "expected predictions as JSON, which could not be read"),
        ("[1]", f'expected a JSON object with "format": "{FORMAT}", got list'),
        ({"clips": []}, f'expected a JSON object with "format": "{FORMAT}", got the format None'),
        (document(clips=[]), "expected at least one clip, got none; list also clips without events"),
        (document(clips={"x": []}), "clips: expected list, got"),
        (document(clips=[3]), "clip 0: expected an object with 'clip_id', got int"),
        (document(clips=[{"clip_id": 3}]), "clip 0: clip_id: expected str, got 3"),
        (NO_VISUAL, "clip 'x': expected an object with 'visual', got 'clip_id', 'audio'"),
        (TWICE, r"p.json: a clip is listed once, got 2 more than once \(x, y\)"),
        (document(classes=["Dog", "Wolf"]), "classes must be among Dog, Speech, got Wolf"),
        (document(segments="10"), "segments: expected int, got '10'"),
        (document(segments=0), "a grid needs at least one segment"),
        (document(segment_seconds=True), "segment_seconds: expected float, got True"),
        (with_event(event_label="Wolf"), "the class of an event must be one of Dog, Speech, .* audio event 0: 'Wolf'"),
        (with_event(event_label=None), "audio event 0: event_label: expected str, got None"),
        (with_event(onset="0"), "audio event 0: onset: expected float, got '0'"),
        (with_event(onset=float("nan")), "audio event 0: an event needs 0 <= onset < offset"),
        (with_event(offset=0), "audio event 0: an event needs 0 <= onset < offset"),
        (with_event(offset=0.5), "1 events do not lie on the grid"),
        (with_event(offset=11), "1 events do not lie on the grid"),
        (with_event(score=1.5), r"audio event 0: a score must lie in 0..1, got 1.5"),
        (with_event(score="high"), "audio event 0: score: expected float, got 'high'"),
        (document(clips=[{"clip_id": "x", "audio": [[0, 1]], "visual": []}]), "event 0: expected an object with"),
    ],
)
def test_files_that_are_no_predictions_are_refused(tmp_path, content, message):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError, match=message) as refused:
        read_prediction_json(path, CLASSES)
    assert "p.json" in str(refused.value) or "grid needs" in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such prediction file"):
        read_prediction_json(tmp_path / "none.json", CLASSES)
    (tmp_path / "p.json").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ValueError, match="expected predictions as JSON, which could not be read"):
        read_prediction_json(tmp_path / "p.json", CLASSES)
