"""Labels near their thresholds, and flips between two stores."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from label_harvest.store import EvidenceStore
from valor.margins import COLUMNS, flips, near_labels, write_near_labels

IDENTITY = {"logit_scale": 10.0, "logit_bias": -1.0, "prompts": ["a", "b"]}
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
    found = near_labels(example(), THRESHOLDS, 0.5)
    listed = [(row.clip_id, row.segment, row.modality, row.class_name, row.label) for row in found.rows]
    assert listed == [
        ("y", 0, "audio", "Dog", 0),  # exactly at the threshold, which is not above it
        ("x", 0, "visual", "Dog", 0),
        ("y", 0, "visual", "Cat", 1),
        ("x", 0, "audio", "Dog", 1),
    ]
    assert found.decisions == 10  # 2 + 2 of audio, 2 + 4 of visual
    assert len(near_labels(example(), THRESHOLDS, 0.25).rows) == 2


@pytest.mark.parametrize("margin", [0, -1, float("nan"), float("inf")])
def test_a_margin_is_a_positive_number(margin):
    with pytest.raises(ValueError, match="a margin must be a positive number of logits"):
        near_labels(example(), THRESHOLDS, margin)


def test_the_list_as_a_file(tmp_path):
    write_near_labels(tmp_path / "n.csv", near_labels(example(), THRESHOLDS, 0.25))
    rows = list(csv.reader((tmp_path / "n.csv").open(encoding="utf-8")))
    assert rows == [
        list(COLUMNS),
        ["y", "0", "audio", "Dog", "1.0000", "1", "0"],
        ["x", "0", "visual", "Dog", "-0.2000", "0", "0"],
    ]


def test_flips_between_precisions_lie_within_the_margin_of_their_difference():
    exact = example()
    coarse = replace(exact, arrays={name: (array + 0.012).astype(np.float32) for name, array in exact.arrays.items()})
    changed, decisions, largest = flips(exact, coarse, THRESHOLDS)
    assert (changed, decisions) == (1, 10)  # the Dog heard in y
    assert largest == pytest.approx({"audio": 0.12, "visual": 0.12}, abs=1e-5)
    assert changed <= len(near_labels(exact, THRESHOLDS, max(largest.values())).rows)


def test_stores_of_other_clips_are_not_compared():
    with pytest.raises(ValueError, match="two stores of the same clips and classes are compared, got 2 and 2 clips"):
        flips(example(), replace(example(), clip_ids=("x", "z")), THRESHOLDS)
    turned = replace(
        example(),
        clip_ids=("y", "x"),
        weak_labels=example().weak_labels[::-1],
        arrays={name: array[::-1] for name, array in example().arrays.items()},
    )
    assert flips(example(), turned, THRESHOLDS)[0] == 0  # clips are matched by name
