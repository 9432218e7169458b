"""Commands whose table, videos and store lie in an object store, and what they say when it fails them."""

import json

import pytest

from tests.helpers.toy import build_fake_teacher, write_toy_world
from tests.helpers.toy_harvest import store_digests
from tests.helpers.toy_run import SMALL, write_labels, write_tables
from tests.helpers.toy_run import write_toy_store as write_run_store
from tests.helpers.toy_s3 import fresh_prefix, s3_server
from tests.helpers.toy_store import row_of, write_toy_store
from tests.helpers.typed import typed
from valor import teachers as harvest_teachers
from valor.data.label_file import FILE_NAME
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.places import objects
from valor.label_harvest.places.place import place_of

CLIPS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def s3():
    with s3_server() as way:
        yield way


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Videos and their table."""
    folder = tmp_path_factory.mktemp("cli")
    write_toy_world(folder / "videos", CLIPS)
    rows = "\n".join(f"{clip}\t{class_names(LLP_CLASSES)[3]}" for clip in (*CLIPS, "e"))
    (folder / "clips.csv").write_text(f"filename\tevent_labels\n{rows}\n")
    return folder


@pytest.fixture(autouse=True)
def _teachers(monkeypatch):
    monkeypatch.setattr(harvest_teachers, "build_teacher", build_fake_teacher)


@pytest.fixture
def elsewhere(s3, local):
    prefix = fresh_prefix("s3")
    for path in local.rglob("*"):
        if path.is_file():
            (place_of(prefix) / str(path.relative_to(local))).put(path.read_bytes())
    return prefix


def harvest_line(at, store, *more):
    line = ("harvest", f"{at}/clips.csv", "--videos", f"{at}/videos", "--store", store, "--quiet")
    return (*line, "--visual", "demo-visual", "--audio", "demo-audio", "--shard-clips", "2", *more)


def test_the_line_from_harvest_to_labels(elsewhere, local, tmp_path):
    assert typed(*harvest_line(local, tmp_path / "store")).code == 3
    plan = typed(*harvest_line(elsewhere, f"{elsewhere}/store", "--plan"))
    assert plan.code == 3 and "missing  1 without a file: e" in plan.out and "free" not in plan.out
    done = typed(*harvest_line(elsewhere, f"{elsewhere}/store"))
    assert done.code == 3 and f"wrote {elsewhere}/store/" in done.out and f"listed in {elsewhere}/store/" in done.out
    assert store_digests(place_of(f"{elsewhere}/store")) == store_digests(tmp_path / "store")
    shown = typed("store", "show", f"{elsewhere}/store", "--manifest", f"{elsewhere}/clips.csv")
    assert shown.code == 0 and "5" in shown.out
    assert "whole" in typed("store", "verify", f"{elsewhere}/store").out
    assert "nothing to repair" in typed("store", "repair", f"{elsewhere}/store").out
    merged = typed("store", "merge", f"{elsewhere}/store", tmp_path / "store", "--out", f"{elsewhere}/merged")
    assert "5 clips in 3 shards (5 held by several stores)" in merged.out
    thresholds = tmp_path / "thresholds.json"
    thresholds.write_text(json.dumps({role: [0.0] * 25 for role in ("audio", "visual")}))
    for store, out in ((f"{elsewhere}/merged", "there"), (tmp_path / "store", "here")):
        labelled = typed("labels", store, "--out", tmp_path / out, "--thresholds", thresholds, "--quiet")
        assert labelled.code == 3, labelled.err
    compared = typed("labels", tmp_path / "store", "--out", tmp_path / "c", "--thresholds", thresholds, "--quiet",
                     "--compare", f"{elsewhere}/store")  # fmt: skip
    assert "labels that differ" in compared.out
    here, there = ((tmp_path / name / FILE_NAME).read_bytes() for name in ("here", "there"))
    assert here == there


@pytest.fixture(scope="module")
def trained(s3, tmp_path_factory):
    """Tables, labels and a store of five shards, there and here, and a run trained from here."""
    folder = tmp_path_factory.mktemp("train")
    for name in ("data", "labels"):
        (folder / name).mkdir()
    write_tables(folder / "data")
    write_labels(folder / "labels")
    write_run_store(folder / "store", shard_clips=3)
    prefix = fresh_prefix("s3")
    for path in (folder / "store").rglob("*.*"):
        (place_of(prefix) / str(path.relative_to(folder / "store"))).put(path.read_bytes())
    done = typed(*train_line(folder, folder / "store", folder / "here"))
    assert done.code == 0, done.err
    return folder, prefix


def train_line(folder, store, out):
    changes = [f"--set={change}" for change in (*SMALL, "parser.audio_width=5", "parser.visual_width=6")]
    line = ("train", "demo", "--data", folder / "data", "--labels", folder / "labels", "--store", store)
    return (*line, "--out", out, "--quiet", *changes)


def test_training_and_predictions_from_there_are_those_from_here(trained, tmp_path):
    folder, prefix = trained
    done = typed(*train_line(folder, prefix, tmp_path / "run"))
    assert done.code == 0, done.err
    for name in ("best.safetensors", "predictions.npz", "scores.json"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / "here" / name).read_bytes(), name
    written = []
    for store in (folder / "store", prefix):
        line = ("predict", folder / "here", "--data", folder / "data", "--split", "val", "--store", store)
        assert typed(*line, "--out", tmp_path / "val.json").code == 0
        written.append((tmp_path / "val.json").read_bytes())
    assert written[0] == written[1]


def test_a_connection_lost_while_features_are_read_leaves_nothing_half_written(s3, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "WAITS", [])
    folder, prefix = trained
    predicted = ("predict", folder / "here", "--data", folder / "data", "--store", prefix, "--out", tmp_path / "p.npz")
    for line, out in ((train_line(folder, prefix, tmp_path / "run"), "run"), (predicted, "p.npz")):
        s3.after = 12_000
        try:
            complaint = typed(*line).complaint()
        finally:
            s3.mend()
        assert complaint.startswith(f"valor {line[0]}: s3://") and "cannot be reached" in complaint
        assert not (tmp_path / out).exists()


@pytest.mark.parametrize("way", ["bucket", "access", "connection"])
def test_what_cannot_be_reached_is_one_sentence(s3, elsewhere, local, tmp_path, monkeypatch, way):
    monkeypatch.setattr(objects, "WAITS", [])
    told = {"bucket": "there is no bucket none-such", "access": "access was refused", "connection": "cannot be reached"}
    store = f"{elsewhere}/store"
    if way == "bucket":
        store = "s3://none-such/store"
    if way == "access":

        def refuse(*args, **kwargs):
            raise PermissionError("The provided token has expired.")

        for name in ("info", "ls", "cat_file", "pipe_file"):
            monkeypatch.setattr(objects.filesystem("s3"), name, refuse, raising=True)
    if way == "connection":
        s3.cut()
    try:
        for line in (
            harvest_line(local, store),
            ("store", "verify", store),
            ("labels", store, "--out", tmp_path / "l"),
        ):
            done = typed(*line)
            assert done.code == 2 and told[way] in done.err and len(done.err.strip().splitlines()) == 1, done.err
            assert done.err.startswith(f"valor {line[0]}: s3://")
    finally:
        s3.mend()
    assert not (tmp_path / "l").exists()


def test_a_store_that_cannot_be_reached_does_not_hide_others(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "WAITS", [])
    write_toy_store(tmp_path / "store", {0: [row_of("a")]})
    done = typed("store", "verify", "s3://none-such/store", tmp_path / "store")
    assert done.code == 2 and "1 clips in 1 shards, whole" in done.out and "there is no bucket none-such" in done.err
