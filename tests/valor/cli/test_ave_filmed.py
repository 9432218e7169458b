"""The whole line on a small AVE of real files: harvest, labels, training in two ways, table, and what looks at it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy_ave import FILMED, write_filmed_ave
from tests.helpers.typed import typed
from valor.data.label_file import read_pseudo_labels
from valor.label_harvest.store.store import read_store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TEACHERS = ("--visual", "demo-visual", "--audio", "demo-audio")
SMALL = [
    word
    for change in (
        *("features.audio=audio.embedding", "features.visual=visual.embedding", "features.motion=none"),
        *("parser.audio_width=128", "parser.visual_width=128", "parser.motion_width=0", "parser.hidden_width=32"),
        *("parser.num_layers=1", "fit.epochs=2", "fit.warmup_epochs=1", "fit.batch_size=4"),
    )
    for word in ("--set", change)
]


def done(*words):
    found = typed(*words)
    assert found.code == 0, found.err
    return found.out


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> Path:
    """The data, harvested and labelled."""
    root = tmp_path_factory.mktemp("filmed")
    data = write_filmed_ave(root / "ave", {"train": 4, "val": 2, "test": 2})
    videos = ("--videos", data / "videos")
    out = done("harvest", data / "Annotations.txt", *videos, "--store", data / "store", *TEACHERS)
    assert "9 clips (9 ok)" in out
    done("calibrate", data / "store", "--criterion", "tag-rate", "--out", root / "thresholds.json")
    done("labels", data / "store", "--thresholds", root / "thresholds.json", "--out", root / "labels")
    return root


@pytest.fixture(scope="module")
def trained(filmed) -> Path:
    for recipe in ("ave-valor", "ave-full"):
        more = ("--labels", filmed / "labels", "--out", filmed / "runs" / recipe)
        done("train", recipe, "--data", filmed / "ave", *more, *SMALL)
    return filmed


def test_a_second_row_of_a_video_is_a_clip_of_its_own_with_the_evidence_of_the_same_file(filmed):
    store = read_store(filmed / "ave" / "store")
    assert store.class_names == FILMED and len(store.clip_ids) == 9 and store.clip_ids[4] == "film0000000+2"
    for array in store.arrays.values():
        assert np.array_equal(array[4], array[0])
    labels = read_pseudo_labels(filmed / "labels")
    assert not labels.labels[0, :, :, 1].any() and not labels.labels[4, :, :, 0].any()  # each within its own tag


def test_the_table_has_both_choices_of_the_epoch_side_by_side_and_what_knows_nothing_of_when(trained):
    out = done("table", *(trained / "runs" / name for name in ("ave-valor", "ave-full")), "--format", "csv")
    systems = [row[0] for row in csv.reader(out.splitlines()[1:])]
    for place, name in enumerate(("ave-valor", "ave-full")):
        assert systems[2 * place : 2 * place + 2] == [name, f"{name}, epoch chosen on test"]
    assert systems[4:] == ["nothing predicted", "tags copied", "commonest class copied", "zero-shot class copied"]
    text = done("table", trained / "runs" / "ave-valor")
    assert "epoch that is best on the test split itself, and so flattered: ave-valor, epoch chosen on test" in text
    assert "boundary_f" in text and "accuracy_partial" in text


def test_the_scores_chosen_on_test_are_those_of_the_best_epoch_of_the_log(trained):
    run = trained / "runs" / "ave-valor"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    accuracies = [line["also_on_test"]["figures"]["accuracy"] for line in log]
    held = json.loads((run / "chosen-on-test.json").read_text())
    assert held["selection"] == "test accuracy" and held["figures"]["accuracy"] == max(accuracies)
    assert held["epoch"] == 1 + accuracies.index(max(accuracies))
    own = json.loads((run / "scores.json").read_text())
    assert own["selection"] == "accuracy" and own["anchors"]["zero-shot class copied"]["figures"]["accuracy"] > 0


def test_everything_that_looks_at_predictions_knows_ave(trained, tmp_path):
    data, run = trained / "ave", trained / "runs" / "ave-full"
    done("predict", run, "--data", data, "--out", tmp_path / "p.npz")
    on = ("--annotations", data, "--split", "test")
    clip = read_store(data / "store").clip_ids[-1]
    media = ("--videos", data / "videos")
    assert "zero-shot class copied" in done("evaluate", tmp_path / "p.npz", *on)
    done("calibrate", tmp_path / "p.npz", *on, "--out", tmp_path / "t.json")
    done("plot", "timeline", tmp_path / "p.npz", *on, *media, "--clip", clip, "--out", tmp_path / "timeline.png")
    done("view", tmp_path / "p.npz", "--data", data, *media, "--out", tmp_path / "page.html")
    assert "[second-row] both read" in done("lint", data)


def test_a_plan_names_files_of_no_clip_and_clips_without_a_file(filmed, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for file in (filmed / "ave" / "videos").iterdir():
        if file.stem != "film0000007":
            (videos / file.name).symlink_to(file)
    (videos / "stranger.mp4").symlink_to(filmed / "ave" / "videos" / "film0000000.mp4")
    store = ("--store", tmp_path / "store")
    found = typed("harvest", filmed / "ave", "--videos", videos, *store, *TEACHERS, "--plan")
    assert found.code == 3 and "1 without a file: film0000007" in found.out
    assert "1 file there is of no clip of the manifest: stranger.mp4" in found.out
    found = typed("harvest", filmed / "ave" / "val_order.h5", "--videos", videos, *store, *TEACHERS, "--plan")
    assert found.code == 0 and "2 in the manifest" in found.out
    assert re.search(
        r"  others   \d+ files there are of no clip of the manifest: film", found.out
    )  # of the other splits
