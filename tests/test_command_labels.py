"""`valor labels`: what lies near a threshold, how good labels are, and where the teachers disagree."""

import csv
import json
import re

import numpy as np
import pytest

from label_harvest.harvest import HarvestOptions, harvest
from label_harvest.manifest import HarvestManifest
from label_harvest.shards import ShardRow
from label_harvest.store import describe, open_store, write_shard
from tests.toy import FakeTeacher, write_toy_world
from tests.typed import typed
from valor.__main__ import main
from valor.annotations import read_split
from valor.demo.render import write_tables
from valor.demo.schedule import sample_world
from valor.vocabulary import LLP_CLASSES, class_names


def test_labels_near_their_threshold_are_counted_and_listed(tmp_path, capsys):
    prompt = {"visual_prompt": "x", "audio_prompt": "x", "visual_threshold": 0, "audio_threshold": 0}
    (tmp_path / "classes.json").write_text(json.dumps([{"name": name, **prompt} for name in ("Dog", "Cat")]))
    (tmp_path / "thresholds.json").write_text('{"audio": [1.0, 0.0], "visual": [0.5, 0.0]}')
    videos = write_toy_world(tmp_path / "videos", ("a", "b"))
    manifest = HarvestManifest(("a", "b"), ("Dog", "Cat"), np.array([[True, False], [True, True]]))
    teachers = [FakeTeacher(role=role) for role in ("audio", "visual")]
    harvest(manifest, videos, tmp_path / "s", teachers, options=HarvestOptions(decode_workers=0), progress=False)
    typed = ["labels", tmp_path / "s", "--out", tmp_path / "out", "--thresholds", tmp_path / "thresholds.json"]
    assert main([*map(str, typed), "--classes", str(tmp_path / "classes.json"), "--margin", "0.2"]) == 0
    said = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "near_thresholds.csv").open(encoding="utf-8")))
    assert f"{len(rows)} of 60 decisions within 0.2 of the threshold" in said
    assert rows and all(abs(float(row["logit"]) - float(row["threshold"])) <= 0.2 + 1e-4 for row in rows)
    assert main([*map(str, typed), "--classes", str(tmp_path / "classes.json"), "--margin", "0"]) == 2


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Annotations of a small world, and a store whose teachers nearly say what is annotated for val."""
    data = tmp_path_factory.mktemp("world")
    write_tables(data, sample_world({"train": 4, "val": 12, "test": 4}, seed=1))
    names = class_names(LLP_CLASSES)
    split = read_split(data, "val", names)
    identity = {"teacher": "toy", "weights": "w", "precision": "float32", "logit_scale": 10.0, "logit_bias": 0.0}
    teachers = {role: identity | {"prompts": list(names)} for role in ("audio", "visual")}
    folder = open_store(data / "store", describe(names, {"num_segments": 10, "segment_seconds": 1.0}, teachers))
    rng = np.random.default_rng(0)
    noisy = (0.6 * split.truth + 0.2 + rng.normal(0, 0.1, split.truth.shape)).astype(np.float32)
    arrays = {f"{role}.similarity": noisy[:, :, m] for m, role in enumerate(teachers)}
    tags = [tuple(names[index] for index in np.flatnonzero(labels)) for labels in split.weak_labels]
    write_shard(
        folder, 0, arrays, [ShardRow(clip, "ok", "", own) for clip, own in zip(split.clip_ids, tags, strict=True)]
    )
    (data / "half.json").write_text(json.dumps({role: [5.0] * len(names) for role in teachers}))
    return data


def test_quality_by_class_its_picture_and_disagreements_are_written(world, tmp_path):
    given = ("labels", world / "store", "--out", tmp_path, "--thresholds", world / "half.json", "--quiet")
    done = typed(*given, "--against", world, "--split", "val", "--png", tmp_path / "labels.png", "--disagreements")
    assert done.code == 0, done
    assert "12 of 12 val clips" in done.out and "tags  without label" in done.out
    assert (tmp_path / "labels.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "label_quality.csv").open(encoding="utf-8")))
    split = read_split(world, "val", class_names(LLP_CLASSES))
    assert sum(int(row["true"]) for row in rows if row["modality"] == "audio") == split.truth[:, :, 0].sum()
    assert all(float(row["precision"]) > 90 for row in rows if row["precision"])
    alone = list(csv.DictReader((tmp_path / "disagreements.csv").open(encoding="utf-8")))
    assert f"{len(alone)} times one teacher alone marks a tag" in done.out and alone
    margins = [float(row["margin"]) for row in alone]
    assert margins == sorted(margins, reverse=True)


def test_calibrated_thresholds_make_better_labels(world, tmp_path):
    given = ("--annotations", world, "--split", "val", "--out", tmp_path / "found.json", "--quiet")
    assert typed("calibrate", world / "store", *given).code == 0
    (tmp_path / "high.json").write_text((world / "half.json").read_text().replace("5.0", "7.9"))
    scored = []
    for thresholds in (tmp_path / "high.json", tmp_path / "found.json"):
        typed_labels = ("labels", world / "store", "--out", tmp_path / thresholds.stem, "--thresholds", thresholds)
        said = typed(*typed_labels, "--against", world, "--split", "val", "--quiet").out
        scored.append(float(re.search(r"audio +precision .* segment F +([0-9.]+)", said)[1]))
    assert scored[1] > scored[0] + 5


def test_a_picture_needs_something_to_show(world, tmp_path):
    given = ("labels", world / "store", "--out", tmp_path, "--thresholds", world / "half.json")
    assert "draws what --against finds" in typed(*given, "--png", tmp_path / "labels.png").complaint()
