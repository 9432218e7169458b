"""Labels near their thresholds, and how near is near."""

import csv

import numpy as np
import pytest

from label_harvest.store import EvidenceStore
from valor.margins import COLUMNS, margins_of, near_labels, write_near_labels

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
        list(COLUMNS),
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
