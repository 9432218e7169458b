"""Labels near their thresholds, and how near is near.

Where one teacher alone marks a tag: which runs, how sure, and in what order.

Labels that differ between two stores of the same clips.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest

from valor.label_harvest.store.store import EvidenceStore
from valor.labelling.review import (
    DISAGREEMENT_COLUMNS,
    FLIP_COLUMNS,
    NEAR_COLUMNS,
    disagreements,
    find_flips,
    flip_table,
    margins_of,
    near_labels,
    write_disagreements,
    write_flips,
    write_near_labels,
)

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
    assert tuple(rows[0]) == DISAGREEMENT_COLUMNS and len(rows) == len(found)
    assert list(rows[0].values()) == ["a", "Dog", "0", "1", "audio", "3.0000", "4.0000", "-3.0000"]


def moved(by=0.012, **identity):
    """The example with all logits higher by ten times as much."""
    exact = example()
    teachers = {role: {**made, **identity} for role, made in exact.manifest["teachers"].items()}
    arrays = {name: (array + by).astype(np.float32) for name, array in exact.arrays.items()}
    return replace(exact, arrays=arrays, manifest={"teachers": teachers})


def test_flips_are_counted_by_class_and_listed_with_their_margin():
    found = find_flips(example(), moved(), THRESHOLDS)
    (row,) = found.rows
    assert (row.clip_id, row.segment, row.modality, row.class_name, row.label) == ("y", 0, "audio", "Dog", 0)
    assert (row.logit, row.other_logit, row.margin) == pytest.approx((1.0, 1.12, 0.0), abs=1e-5)
    assert found.flipped.tolist() == [[1, 0], [0, 0]]
    assert found.decisions.tolist() == [[3, 1], [4, 2]]
    assert found.largest == pytest.approx({"audio": 0.12, "visual": 0.12}, abs=1e-5)
    back = find_flips(moved(), example(), THRESHOLDS)
    assert [(flip.label, flip.logit > flip.other_logit) for flip in back.rows] == [(1, True)]


def test_flips_lie_within_the_margin_of_the_largest_difference():
    found = find_flips(example(), moved(0.03), THRESHOLDS)
    near = near_labels(example(), THRESHOLDS, {modality: value + 1e-5 for modality, value in found.largest.items()})
    listed = {(row.clip_id, row.segment, row.modality, row.class_name) for row in near.rows}
    assert found.rows
    assert {(row.clip_id, row.segment, row.modality, row.class_name) for row in found.rows} <= listed
    assert len(listed) < len(near_labels(example(), THRESHOLDS, BOTH).rows) + 1


def test_a_store_agrees_with_itself_in_any_order():
    turned = replace(
        example(),
        clip_ids=("y", "x"),
        weak_labels=example().weak_labels[::-1],
        arrays={name: array[::-1] for name, array in example().arrays.items()},
    )
    found = find_flips(example(), turned, THRESHOLDS)
    assert (found.rows, found.clips, found.flipped.sum(), found.differing) == ((), 2, 0, {})


def test_only_shared_clips_are_compared_and_differing_teachers_are_named():
    part = replace(
        moved(precision="bfloat16"),
        clip_ids=("y",),
        weak_labels=example().weak_labels[1:],
        arrays={name: array[1:] for name, array in moved().arrays.items()},
    )
    found = find_flips(example(), part, THRESHOLDS)
    assert found.clips == 1 and [row.clip_id for row in found.rows] == ["y"]
    assert found.differing == {f"{role}.precision": ("None", "bfloat16") for role in ("audio", "visual")}


def test_stores_that_cannot_be_compared_are_refused():
    other = replace(example(), clip_ids=("v", "w"))
    with pytest.raises(ValueError, match="two stores of the same clips .* got 2 and 2 clips .* 0 clips are in both"):
        find_flips(example(), other, THRESHOLDS)
    with pytest.raises(ValueError, match="2 clips have other tags in the store to compare with, such as x; harvest"):
        find_flips(example(), replace(example(), weak_labels=~example().weak_labels), THRESHOLDS)
    deaf = replace(example(), manifest={"teachers": {"visual": example().manifest["teachers"]["visual"]}})
    with pytest.raises(ValueError, match="has no evidence of audio"):
        find_flips(example(), deaf, THRESHOLDS)


def test_the_table_and_the_file(tmp_path):
    found = find_flips(example(), moved(), THRESHOLDS)
    lines = [line.split() for line in flip_table(found, ("Dog", "Cat")).splitlines()]
    assert lines == [
        ["class", "audio", "visual"],
        ["Dog", "1", "of", "3", "0", "of", "4"],
        ["all", "classes", "1", "of", "4", "0", "of", "6"],
    ]
    write_flips(tmp_path / "f.csv", found)
    rows = list(csv.reader((tmp_path / "f.csv").open(encoding="utf-8")))
    assert rows == [list(FLIP_COLUMNS), ["y", "0", "audio", "Dog", "1", "1.0000", "1.1200", "0.0000", "0"]]


IDENTITY = {"logit_scale": 10.0, "logit_bias": -1.0, "prompts": ["a", "b"]}
BOTH, QUARTER = ({"audio": margin, "visual": margin} for margin in (0.5, 0.25))
THRESHOLDS = {"audio": np.array([1.0, 2.0]), "visual": np.array([0.0, 2.0])}


def store(logits):
    """Two clips of two segments and two classes; the first has the tag Dog alone, the second both."""
    arrays = {f"{role}.similarity": ((np.array(rows) + 1.0) / 10).astype(np.float32) for role, rows in logits.items()}
    return EvidenceStore(
        clip_ids=("x", "y"),
        class_names=("Dog", "Cat"),
        weak_labels=np.array([[True, False], [True, True]]),
        statuses=("ok", "ok"),
        messages=("", ""),
        arrays=arrays,
        manifest={"teachers": {"audio": IDENTITY, "visual": IDENTITY}},
    )


def example():
    """Dog and Cat of each segment, by clip.

    audio:  x  [1.4, 2.0] [3.0, 2.0]    y  [1.0, 9.0] [nan]      thresholds 1, 2
    visual: x  [-0.2, 2.0] [8.0, 8.0]   y  [8.0, 2.3] [8.0, 8.0]  thresholds 0, 2
    """
    audio = [[[1.4, 2.0], [3.0, 2.0]], [[1.0, 9.0], [np.nan, np.nan]]]
    visual = [[[-0.2, 2.0], [8.0, 8.0]], [[8.0, 2.3], [8.0, 8.0]]]
    return store({"audio": audio, "visual": visual})


def test_only_tags_within_the_margin_are_listed_nearest_first():
    found = near_labels(example(), THRESHOLDS, BOTH)
    listed = [(row.clip_id, row.segment, row.modality, row.class_name, row.label) for row in found.rows]
    assert listed == [
        ("y", 0, "audio", "Dog", 0),  # exactly at the threshold, which is not above it
        ("x", 0, "visual", "Dog", 0),
        ("y", 0, "visual", "Cat", 1),
        ("x", 0, "audio", "Dog", 1),
    ]
    assert found.decisions == 10  # 2 + 2 of audio, 2 + 4 of visual
    assert len(near_labels(example(), THRESHOLDS, QUARTER).rows) == 2


@pytest.mark.parametrize("margin", [0, -1, float("nan"), float("inf")])
def test_a_margin_is_a_positive_number(margin):
    with pytest.raises(ValueError, match="a margin must be a positive number of logits"):
        margins_of(example().manifest, margin)


def test_the_list_as_a_file(tmp_path):
    write_near_labels(tmp_path / "n.csv", near_labels(example(), THRESHOLDS, QUARTER))
    rows = list(csv.reader((tmp_path / "n.csv").open(encoding="utf-8")))
    assert rows == [
        list(NEAR_COLUMNS),
        ["y", "0", "audio", "Dog", "1.0000", "1", "0"],
        ["x", "0", "visual", "Dog", "-0.2000", "0", "0"],
    ]


def test_what_bfloat16_may_move_is_the_margin_of_teachers_that_computed_in_it():
    coarse = {"logit_scale": 100.0, "precision": "bfloat16"}
    exact = {"logit_scale": 20.0, "precision": "float32"}
    teachers = {"visual": coarse, "audio": exact, "res152": {"precision": "bfloat16"}}
    assert margins_of({"teachers": teachers}) == {"visual": 0.5}
    assert margins_of({"teachers": {"visual": exact, "audio": exact}}) == {}
    assert margins_of({"teachers": teachers}, 0.2) == {"visual": 0.2, "audio": 0.2}


def test_a_modality_without_a_margin_is_decided_but_not_listed():
    found = near_labels(example(), THRESHOLDS, {"visual": 0.5})
    assert {row.modality for row in found.rows} == {"visual"} and len(found.rows) == 2
    assert found.decisions == 10
