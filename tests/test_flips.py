"""Labels that differ between two stores of the same clips."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from tests.test_margins import BOTH, THRESHOLDS, example
from valor.flips import COLUMNS, find_flips, flip_table, write_flips
from valor.margins import near_labels


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
    assert rows == [list(COLUMNS), ["y", "0", "audio", "Dog", "1", "1.0000", "1.1200", "0.0000", "0"]]
