"""`valor calibrate` as a user meets it."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from tests.helpers.toy_scores import NAMES, write_toy_scores
from tests.helpers.typed import typed
from valor.data.prediction_files import write_any_predictions
from valor.data.predictions import read_predictions
from valor.data.thresholds import read_calibration
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.store import describe, open_store


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scores(tmp_path_factory.mktemp("toy"))


def test_thresholds_are_chosen_on_val_printed_and_stored(toy, tmp_path):
    out = tmp_path / "t.json"
    done = typed("calibrate", toy.good.with_stem("good-val"), "--annotations", toy.data, "--split", "val", "--out", out)
    assert (done.code, done.err) == (0, "")
    found = read_calibration(out, NAMES)
    speech = next(line for line in done.out.splitlines() if line.startswith("Speech")).split()
    assert float(speech[1]) == pytest.approx(found.thresholds["audio"][0], rel=1e-3)
    assert speech[2] == f"{100 * found.f_scores['audio'][0]:.1f}"
    assert "segment_threshold by segment-f on 32 of 32 val clips" in done.out and "note" not in done.out
    assert next(line for line in done.out.splitlines() if line.startswith("Blender")).split()[2] == "–"


def test_thresholds_chosen_on_test_say_so(toy, tmp_path):
    done = typed("calibrate", toy.good, *toy.on, "--out", tmp_path / "t.json", "--criterion", "event-f")
    assert "note: chosen on the test split" in done.out
    assert "chosen on the test split" in json.loads((tmp_path / "t.json").read_text())["note"]


def test_a_gate_and_a_rule_may_be_given(toy, tmp_path):
    options = ("--criterion", "clip-f", "--gate", "modality", "--threshold", "0.3", "--out", tmp_path / "t.json")
    assert typed("calibrate", toy.good, *toy.on, *options).code == 0
    found = read_calibration(tmp_path / "t.json", NAMES)
    assert (found.applies_to, found.rule.gate, found.rule.segment_threshold) == ("clip_threshold", "modality", 0.3)


def test_tags_alone_are_enough_for_the_tag_rate(toy, tmp_path):
    options = ("--criterion", "tag-rate", "--present-share", "0.9", "0.5", "--out", tmp_path / "t.json")
    assert typed("calibrate", toy.good, *toy.on, *options).code == 0
    found = read_calibration(tmp_path / "t.json", NAMES)
    assert found.thresholds["visual"][0] > found.thresholds["audio"][0]  # fewer clips are found at a higher threshold


def test_the_tag_rate_of_a_store_is_that_of_the_training_split_or_it_says_what_it_took(tmp_path):
    data, rows = tmp_path / "data", {}
    data.mkdir()
    told = {"name": "pets", "title": "Pets", "classes": ["Dog", "Cat"], "segments": 10}
    told |= {"events": {"v1": ["heard.tsv", "seen.tsv"]}, "annotated": ["test"]}
    told["tags"] = {split: f"{split}.tsv" for split in ("train", "test")}
    (data / "dataset.json").write_text(json.dumps(told))
    for split, tags in (("train", ("Dog",)), ("test", ("Cat",))):
        names = [f"{split}{n}" for n in range(3)]
        rows[split] = [ShardRow(name, "ok", "", tags) for name in names]
        (data / f"{split}.tsv").write_text("filename\tevent_labels\n" + "".join(f"{n}\t{tags[0]}\n" for n in names))
    both = [*rows["train"], *rows["test"]]
    random = np.random.default_rng(0)
    teacher = {"teacher": "mine", "weights": "none", "precision": "float32", "prompts": ["dog", "cat"]}
    told = describe(("Dog", "Cat"), asdict(Grid()), {"visual": teacher | {"logit_scale": 1.0, "logit_bias": 0.0}})
    judged = random.normal(size=(6, 10, 2)).astype(np.float32)
    for place in (data / "store", tmp_path / "elsewhere"):
        write_shard(open_store(place, told), 0, {"visual.similarity": judged}, both)
    out = ("--criterion", "tag-rate", "--out", tmp_path / "t.json")
    for source in (data / "store", next((data / "store").iterdir())):
        done = typed("calibrate", source, *out)
        assert done.code == 0 and "on 3 of 3 train clips" in done.out and "note: found on" not in done.out, done
        assert f"on the split train of {data}; 3 other clips of the store are left out" in done.err
        assert read_calibration(tmp_path / "t.json", ("Dog", "Cat")).provenance["split"] == "train"
    given = typed("calibrate", tmp_path / "elsewhere", *out, "--annotations", data, "--split", "train")
    alike = json.loads((tmp_path / "t.json").read_text())["visual"]
    assert given.code == 0 and "note" not in given.out
    done = typed("calibrate", tmp_path / "elsewhere", *out)
    held = json.loads((tmp_path / "t.json").read_text())
    assert done.code == 0 and "on 6 of 6 stored clips\nnote: found on the tags of all clips" in done.out, done
    assert held["note"].startswith("found on the tags of all") and held["visual"] != alike
    assert "found on the tags of all" in typed("labels", tmp_path / "elsewhere", "--thresholds", tmp_path / "t.json",
                                               "--out", tmp_path / "labels").out  # fmt: skip


def test_scores_of_json_events_are_probabilities_without_a_gate(toy, tmp_path):
    write_any_predictions(tmp_path / "events.json", read_predictions(toy.good))
    out = tmp_path / "t.json"
    assert typed("calibrate", tmp_path / "events.json", *toy.on, "--gate", "none", "--out", out).code == 0
    assert min(read_calibration(out, NAMES).thresholds["audio"][:6]) >= 0.5  # what was listed had passed 0.5


def test_wrong_use_is_one_message(toy, tmp_path):
    write_any_predictions(tmp_path / "tables", read_predictions(toy.good))
    out = ("--out", tmp_path / "t.json")
    for source, message in (
        (tmp_path / "none.npz", "no such file or folder"),
        (tmp_path / "tables", "got decisions already made"),
    ):
        assert message in typed("calibrate", source, *toy.on, *out).complaint()
    both = typed("calibrate", toy.good, *toy.on, *out, "--preset", "han", "--gate", "none").complaint()
    assert "--preset says gate and threshold already" in both
    train = typed("calibrate", toy.good, "--annotations", toy.data, "--split", "train", *out)
    assert train.code == 2 and not (tmp_path / "t.json").exists()
