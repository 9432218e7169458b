"""`valor labels`: what lies near a threshold, how good labels are, and where the teachers disagree."""

import csv
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy import FakeTeacher, write_toy_world
from tests.helpers.typed import typed
from valor.__main__ import main
from valor.data.label_file import read_pseudo_labels
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world.render import write_tables
from valor.demo.world.schedule import sample_world
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.shards import ShardRow, read_markers, write_shard
from valor.label_harvest.store.store import describe, open_store


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
    write_list(folder, read_markers(folder))
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


def test_calibrating_says_what_the_store_lacks_of_a_table(world, tmp_path):
    (tmp_path / "clips.csv").write_text("filename\tevent_labels\nelsewhere\tDog\n")
    given = ("--annotations", world, "--split", "val", "--out", tmp_path / "found.json", "--quiet")
    done = typed("calibrate", world / "store", *given, "--manifest", tmp_path / "clips.csv")
    assert done.code == 3 and "1 of the 1 clips of the table are in no shard: elsewhere" in done.out
    assert (tmp_path / "found.json").is_file()
    (tmp_path / "p.npz").touch()
    complaint = typed("calibrate", tmp_path / "p.npz", *given, "--manifest", tmp_path / "clips.csv").complaint()
    assert "--manifest says which clips a store lacks" in complaint


def test_a_picture_needs_something_to_show(world, tmp_path):
    given = ("labels", world / "store", "--out", tmp_path, "--thresholds", world / "half.json")
    picture = ("--against", world, "--split", "val", "--png")
    assert "--png must end in .png, .svg or .pdf, got q.gif" in typed(*given, *picture, "q.gif").complaint()
    assert typed(*given, *picture, tmp_path / "labels.pdf").code == 0
    assert (tmp_path / "labels.pdf").read_bytes().startswith(b"%PDF-")
    assert "draws what --against finds" in typed(*given, "--png", tmp_path / "labels.png").complaint()


def test_clips_left_out_are_listed_and_change_the_code(world, tmp_path):
    split = read_split(world, "val", class_names(LLP_CLASSES))
    lost = np.zeros((3, 10, 25), np.float32)
    lost[1] = lost[2, 4:] = np.nan
    rows = [ShardRow(clip, "ok", "", ()) for clip in ("whole", "deaf", "cut")]
    identity = json.loads(next(world.glob("store/*/manifest.json")).read_text())["teachers"]
    names = class_names(LLP_CLASSES)
    folder = open_store(tmp_path / "s", describe(names, {"num_segments": 10, "segment_seconds": 1.0}, identity))
    statuses = {"deaf": "no_audio", "cut": "short"}
    rows = [replace(row, status=statuses.get(row.clip_id, "ok")) for row in rows]
    write_shard(folder, 0, {"audio.similarity": lost, "visual.similarity": np.zeros_like(lost)}, rows)
    done = typed("labels", tmp_path / "s", "--out", tmp_path / "l", "--thresholds", world / "half.json")
    assert done.code == 3 and split
    assert "2 clips without complete evidence got no labels (1 no_audio, 1 short); " in done.out
    told = json.loads((tmp_path / "l/labels.json").read_text())
    assert told["left_out"] == statuses
    given = ("labels", tmp_path / "s", "--out", tmp_path / "l", "--thresholds", world / "half.json")
    for allowed, code in (("2", 0), ("66%", 3), ("67%", 0)):
        assert typed(*given, "--allow-failures", allowed).code == code
    assert "a number of clips or a percentage" in typed(*given, "--allow-failures", "few").complaint()
    rows = "".join(f"{name}\tDog\n" for name in ("whole", "deaf", "cut", "gone"))
    (tmp_path / "clips.csv").write_text(f"filename\tevent_labels\n{rows}")
    for allowed, code in (("2", 3), ("3", 0), ("75%", 0)):  # of four clips now
        done = typed(*given, "--manifest", tmp_path / "clips.csv", "--allow-failures", allowed)
        assert done.code == code and "1 of the 4 clips of the table are in no shard: gone; " in done.out


def test_what_the_files_of_a_store_lack_is_said(world, tmp_path):
    done = typed("labels", world / "store", "--out", tmp_path, "--thresholds", world / "half.json", "--export", "npy")
    assert done.code == 0
    assert "24 files of labels in CLAP/segment_pseudo_labels, CLIP/segment_pseudo_labels" in done.out
    assert "no CLAP/features: the store does not hold audio.map; harvest into another store with --raw-maps" in done.out
    assert "no CLIP/features: the store does not hold visual.embedding" in done.out


def test_two_stores_are_compared(world, tmp_path):
    given = ("labels", world / "store", "--out", tmp_path, "--thresholds", world / "half.json")
    done = typed(*given, "--compare", world / "store", "--margin", "1")
    assert done.code == 0 and "on 12 clips; logits differ by up to audio 0, visual 0" in done.out
    assert re.search(r"all classes +0 of \d+ +0 of \d+", done.out) and (tmp_path / "flips.csv").is_file()
    assert "decisions within 1 of the threshold; wrote" in done.out


def test_thresholds_made_on_test_say_so(world, tmp_path):
    given = ("--annotations", world, "--split", "val", "--out", tmp_path / "found.json", "--quiet")
    assert typed("calibrate", world / "store", *given).code == 0
    found = json.loads((tmp_path / "found.json").read_text()) | {"split": "test", "note": "chosen on the test split: x"}
    (tmp_path / "found.json").write_text(json.dumps(found))
    done = typed("labels", world / "store", "--out", tmp_path / "l", "--thresholds", tmp_path / "found.json")
    assert "thresholds: chosen on the test split: x" in done.out
    assert json.loads((tmp_path / "l/labels.json").read_text())["thresholds_from"]["split"] == "test"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="a superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(world, tmp_path):
    tmp_path.chmod(0o500)
    complaint = typed(
        "labels", world / "store", "--out", tmp_path / "l", "--thresholds", world / "half.json"
    ).complaint()
    assert "the labels cannot be written (Permission denied)" in complaint


def test_a_place_that_is_no_folder_is_said(world, tmp_path):
    (tmp_path / "file").write_text("")
    given = ("labels", world / "store", "--thresholds", world / "half.json", "--out")
    assert "labels go into a folder, got a file of that name" in typed(*given, tmp_path / "file").complaint()
    assert "the labels cannot be written (Not a directory); make room" in typed(*given, tmp_path / "file/l").complaint()


def test_one_modality_is_labelled_and_cannot_be_trained_on(world, tmp_path):
    names = class_names(LLP_CLASSES)
    identity = json.loads(next(world.glob("store/*/manifest.json")).read_text())["teachers"]["visual"]
    folder = open_store(
        tmp_path / "s", describe(names, {"num_segments": 10, "segment_seconds": 1.0}, {"visual": identity})
    )
    split = read_split(world, "train", names)
    tags = [tuple(names[index] for index in np.flatnonzero(row)) for row in split.weak_labels]
    rows = [ShardRow(clip, "ok", "", own) for clip, own in zip(split.clip_ids, tags, strict=True)]
    write_shard(folder, 0, {"visual.similarity": np.ones((len(rows), 10, 25), np.float32)}, rows)
    done = typed("labels", tmp_path / "s", "--out", tmp_path / "l", "--thresholds", world / "half.json")
    assert done.code == 0 and "no labels of audio: the store has no teacher for it; `valor train` needs" in done.out
    assert read_pseudo_labels(tmp_path / "l").absent == ("audio",)
    calibrated = ("--annotations", world, "--split", "train", "--criterion", "tag-rate", "--out", tmp_path / "t.json")
    assert typed("calibrate", tmp_path / "s", *calibrated).code == 0
    assert set(json.loads((tmp_path / "t.json").read_text())) >= {"visual"}
