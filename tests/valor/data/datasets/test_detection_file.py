"""Published results of UnAV-100 as predictions: mAP of their events, F of the segments they touch."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_unav import CAT, DOG, toy, written
from tests.helpers.typed import typed
from valor.data.datasets.dataset import UNAV
from valor.data.datasets.detection_file import write_detections
from valor.data.prediction_files import read_any_predictions, write_any_predictions
from valor.data.predictions import align, score_predictions
from valor.data.provenance import Provenance
from valor.eval.detection import Detections, detection_precision

FOUND = {
    "aaaaaaaaaa4": [{"label": CAT, "segment": [1.25, 2.5], "score": 0.9}],
    "aaaaaaaaaa2": [
        {"label": DOG, "segment": [3.5, 10], "scores": 0.8},
        {"label": DOG, "segment": [0, 3], "score": 0.3},
        {"label": CAT, "segment": [2.4, 4], "score": 0.7},
    ],
}


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path / "unav", toy())


def read(path, split, results=FOUND):
    path.write_text(json.dumps({"version": "x", "results": results}))
    segments = {"num_segments": split.truth.shape[1], "segment_seconds": split.segment_seconds}
    return read_any_predictions(path, split.class_names, clip_ids=split.clip_ids, **segments)


def test_events_are_ranked_as_they_are_and_mark_what_they_touch(folder, tmp_path):
    split = UNAV.read_split(folder, "test")
    found = read(tmp_path / "found.json", split)
    scores, report = score_predictions(found, split)
    rows = {"clip": [1, 0, 0, 0], "class_index": [split.class_names.index(name) for name in (CAT, DOG, DOG, CAT)]}
    own = Detections(
        **{name: np.array(held) for name, held in rows.items()},
        onset=np.array([1.25, 3.5, 0, 2.4]), offset=np.array([2.5, 10, 3, 4]), score=np.array([0.9, 0.8, 0.3, 0.7]),
    )  # fmt: skip
    wanted = detection_precision(own, split.events, 100)
    assert scores.figures["mAP mean"] == 100 * wanted.average and 50 < scores.figures["mAP mean"] < 100
    assert scores.segment.audio_visual == score_predictions(align(found, split), split)[0].segment.audio_visual
    assert found.segment_probs[0, :, 0, split.class_names.index(DOG)].tolist() == pytest.approx(
        [0.3] * 3 + [0.8] * 7 + [0]
    )
    assert set(report["anchors"]) == {"true tags, whole clips", "truth on 1 s, outer", "truth on 1 s, nearest"}


def test_events_are_written_and_read_again(folder, tmp_path):
    split = UNAV.read_split(folder, "test")
    found = replace(read(tmp_path / "found.json", split), provenance=Provenance(simulated=True))
    segments = {"num_segments": split.truth.shape[1], "clip_ids": split.clip_ids}
    for name in ("again.npz", "again.json"):
        write_any_predictions(tmp_path / name, found)
        again = read_any_predictions(tmp_path / name, split.class_names, **segments)
        assert again.provenance.simulated
        assert score_predictions(again, split)[0] == score_predictions(found, split)[0]
    held = json.loads((tmp_path / "again.json").read_text())
    assert held["results"]["aaaaaaaaaa2"][0] == {"label": DOG, "segment": [3.5, 10], "score": 0.8}
    rows = np.column_stack([getattr(found.detections, name) for name in ("clip", "class_index", "onset", "offset")])
    for wrong, said in (
        ([[0, 500, 1, 2, 0.5]], "detections must be of the 2 clips and 100 classes"),
        ([[0.5, 0, 1, 2, 0.5]], "clips and classes by their positions"),
        ([[0, 0, 1, 1, 0.5]], "must last for something"),
        ([[0, 0, 1, 2, 1.5]], "scores of detections must be in 0..1"),
        ([[1e300, 0, 1, 2, 0.5]], "detections must be of the 2 clips"),
        (rows, "detections must be float64 .events, 5."),
    ):
        with np.load(tmp_path / "again.npz") as archive:
            parts = dict(archive) | {"detections": np.array(wrong, dtype=float)}
        np.savez(tmp_path / "wrong.npz", **parts)
        with pytest.raises(ValueError, match=f"wrong.npz.*{said}"):
            read_any_predictions(tmp_path / "wrong.npz", split.class_names)
    with pytest.raises(ValueError, match="these predictions name none"):
        write_detections(tmp_path / "none.json", replace(found, detections=None))


def test_clips_and_classes_in_another_order_score_the_same(folder, tmp_path):
    split = UNAV.read_split(folder, "test")
    other = replace(split, clip_ids=split.clip_ids[::-1], class_names=split.class_names[::-1])
    found = [score_predictions(read(tmp_path / "a.json", one), split)[0] for one in (split, other)]
    assert found[0].figures == found[1].figures


def test_the_command_scores_such_a_file(folder, tmp_path):
    (tmp_path / "found.json").write_text(json.dumps({"results": FOUND}))
    done = typed("evaluate", tmp_path / "found.json", "--annotations", folder, "--split", "test")
    assert done.code == 0, done.err
    assert "mAP mean" in done.out


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"label": "dog braking"}, "unknown class 'dog braking' .did you mean dog barking"),
        ({"segment": [3, 3]}, "lasts for something, got 3 to 3 s"),
        ({"segment": [3, 12]}, "segment"),
        ({"segment": [3]}, "an onset and an offset, got 1"),
        ({"scores": 0.5}, "under one of score and scores, got 2"),
        ({"score": 1.5}, "score"),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(folder, tmp_path, event, said):
    split = UNAV.read_split(folder, "test")
    results = {"aaaaaaaaaa2": [{"label": DOG, "segment": [0, 3], "score": 0.3} | event]}
    with pytest.raises(ValueError, match=f"found.json: aaaaaaaaaa2: event 0.*{said}"):
        read(tmp_path / "found.json", split, results)
    for results, told in (({"bbbbbbbbbbb": []}, "1 videos are none of the split"), ({}, "at least one event")):
        with pytest.raises(ValueError, match=told):
            read(tmp_path / "found.json", split, results)
