"""Where one teacher alone marks a tag: which runs, how sure, and in what order."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from label_harvest.store import EvidenceStore
from valor.disagreements import COLUMNS, disagreements, write_disagreements

CLASSES = ("Dog", "Cat")
#          seconds:   0    1    2    3    4
HEARD = np.array([[0.9, 0.9, 0.1, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9, 0.9]], np.float32).T
SEEN = np.array([[0.1, 0.3, 0.1, 0.9, 0.4], [0.1, 0.1, 0.1, 0.1, 0.1]], np.float32).T
HALF = {"audio": np.array([5.0, 5.0]), "visual": np.array([5.0, 5.0])}


def store_of(heard, seen, tags) -> EvidenceStore:
    identity = {"teacher": "toy", "weights": "w", "logit_scale": 10.0, "logit_bias": 0.0, "prompts": list(CLASSES)}
    manifest = {"teachers": {"audio": identity, "visual": identity}, "grid": {"segment_seconds": 0.5}}
    arrays = {"audio.similarity": np.stack(heard), "visual.similarity": np.stack(seen)}
    ids = tuple("abc"[: len(heard)])
    return EvidenceStore(ids, CLASSES, np.array(tags), ("ok",) * len(ids), ("",) * len(ids), arrays, manifest)


STORE = store_of([HEARD, SEEN], [SEEN, HEARD], [[True, False], [True, False]])


def test_runs_of_a_tag_that_one_teacher_alone_marks_come_surest_first():
    found = disagreements(STORE, HALF)
    said = [(entry.clip_id, entry.class_name, entry.onset, entry.offset, entry.marked_in) for entry in found]
    assert said == [
        ("a", "Dog", 0.0, 1.0, "audio"),
        ("b", "Dog", 0.0, 1.0, "visual"),
        ("a", "Dog", 2.0, 2.5, "audio"),
        ("b", "Dog", 2.0, 2.5, "visual"),
    ]
    assert found[0].audio_margin == pytest.approx(4.0) and found[0].visual_margin == pytest.approx(-3.0)
    assert [entry.margin for entry in found] == pytest.approx([3.0, 3.0, 1.0, 1.0])
    assert found[1].visual_margin == pytest.approx(4.0)


def test_a_class_that_is_no_tag_and_segments_without_evidence_are_left_out():
    both = disagreements(replace(STORE, weak_labels=np.ones((2, 2), bool)), HALF)
    assert [entry.class_name for entry in both].count("Cat") == 2
    seen = SEEN.copy()
    seen[:2] = np.nan
    cut = disagreements(store_of([HEARD], [seen], [[True, False]]), HALF)
    assert [(entry.onset, entry.offset) for entry in cut] == [(2.0, 2.5)]


def test_thresholds_decide_who_disagrees():
    assert disagreements(STORE, {"audio": np.array([0.0, 0.0]), "visual": np.array([0.0, 0.0])}) == []


def test_a_fused_teacher_cannot_disagree_with_itself():
    with pytest.raises(ValueError, match="between an audio and a visual teacher, got a store of audio, visual and"):
        disagreements(STORE, {"fused": np.zeros(2)})


def test_the_file_holds_what_was_found(tmp_path):
    found = disagreements(STORE, HALF)
    write_disagreements(tmp_path / "found.csv", found)
    rows = list(csv.DictReader((tmp_path / "found.csv").open(encoding="utf-8")))
    assert tuple(rows[0]) == COLUMNS and len(rows) == len(found)
    assert list(rows[0].values()) == ["a", "Dog", "0", "1", "audio", "3.0000", "4.0000", "-3.0000"]
