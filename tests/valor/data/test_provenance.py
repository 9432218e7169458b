"""Where the data of a run came from.

The mark of simulated features: it follows them from the folder to every score.
"""

import hashlib
import json

import pytest
import torch

from tests.helpers.toy_run import NAMES, SMALL, SPLITS, write_labels, write_tables, write_toy_store
from tests.helpers.typed import typed
from valor.data.features.feature_options import FeatureOptions
from valor.data.features.packed import PackedCard, write_packed
from valor.data.label_file import read_pseudo_labels, write_pseudo_labels
from valor.data.predictions import read_predictions
from valor.data.provenance import (
    Provenance,
    describe_data,
    describe_labels,
    of_folder,
    pass_mark,
    told_by,
    write_mark,
)
from valor.data.tables import read_split
from valor.experiments.simulated import SimulationOptions, simulate


def pack(data, kind, split, width):
    card = PackedCard(
        kind=kind,
        split=split,
        clip_ids=SPLITS[split],
        dtype="float16",
        shape=(len(SPLITS[split]), 10, width),
        source="/published/data",
        source_shape=(10, width),
        exact=False,
    )
    return write_packed(data, torch.zeros(card.shape).half(), card)


def test_packed_and_published_features_are_told_apart(tmp_path):
    data = write_tables(tmp_path)
    cards = {split: pack(data, "clip", split, 768) for split in ("train", "val")}
    pack(data, "clap", "train", 768)
    splits = [read_split(data, name, NAMES) for name in ("train", "val")]
    found = describe_data(FeatureOptions(audio="clap", visual="clip", motion="r2plus1d"), data, splits, None)
    visual = found["features"]["visual"]
    assert (visual["kind"], visual["from"]) == ("clip", "packed store") and "folder" not in visual
    assert visual["packed"]["val"] == {
        "dtype": "float16",
        "exact": False,
        "source": "/published/data",
        "sha256": cards["val"].sha256,
    }
    assert found["features"]["motion"] == {"kind": "r2plus1d", "from": "published files", "folder": "feats/r2plus1d_18"}
    audio = found["features"]["audio"]
    assert list(audio["packed"]) == ["train"] and audio["folder"] == "CLAP/features"  # val is read from files
    assert found["labels"] is None and found["clips"] == {"train": 7, "val": 3}
    assert found["truth"] == {"val": {"version": "v2024", "sha256": splits[1].truth_sha256}}


def test_a_store_is_named_by_fingerprint_and_teacher_without_its_prompts(tmp_path):
    data = write_tables(tmp_path)
    write_toy_store(data / "store")
    options = FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None)
    found = describe_data(options, data, [read_split(data, "train", NAMES)], None)["features"]
    assert set(found) == {"audio", "visual"} and len(found["audio"]["fingerprint"]) == 64
    assert found["audio"]["teacher"] == {"weights": "ab" * 32, "logit_scale": 1.0, "logit_bias": 0.0}


def test_labels_bring_their_teachers_and_thresholds(tmp_path):
    folder = write_labels(tmp_path / "labels")
    made = {
        "random_weights": False,
        "store": "f" * 64,
        "teachers": {"audio": {"teacher": "clap", "prompts": ["a", "b"]}},
        "thresholds": {"audio": [0.5]},
        "left_out": {"a": "missing", "b": "silent"},
    }
    (folder / "labels.json").write_text(json.dumps(made))
    digest = hashlib.sha256((folder / "pseudo_labels.npz").read_bytes()).hexdigest()
    expected = made | {
        "from": "pseudo_labels.npz",
        "sha256": digest,
        "teachers": {"audio": {"teacher": "clap"}},
        "left_out": 2,
    }
    assert describe_labels(folder) == describe_labels(folder / "pseudo_labels.npz") == expected
    (folder / "labels.json").unlink()
    assert describe_labels(folder) == {"from": "pseudo_labels.npz", "sha256": digest}
    published = describe_labels(tmp_path)
    assert published["from"] == "published files" and "CLAP/segment_pseudo_labels" in published["folders"]


KINDS = ("vggish", "res152", "r2plus1d")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of `valor train` on a simulated folder, as a user would make it by mistake."""
    folder = tmp_path_factory.mktemp("simulated")
    data = simulate(folder, KINDS, SimulationOptions(clips=40), folder, progress=False)
    sets = [part for change in SMALL for part in ("--set", change)]
    line = ("train", "valor", "--data", data, "--labels", data, "--out", folder / "t1", "--device", "cpu", "--quiet")
    done = typed(*line, *sets)
    assert done.code == 0, done.err
    return data, folder / "t1"


def test_a_name_is_marked_once_and_only_where_something_is_simulated():
    simulated = Provenance(simulated=True)
    assert simulated.marked("valor") == simulated.marked(simulated.marked("valor")) == "SIMULATED valor"
    assert simulated.marked("result", "-") == "SIMULATED-result" and simulated.flags == {"simulated": True}
    assert Provenance(random_teachers=True).marked("valor") == "valor" and Provenance().flags == {}


@pytest.mark.parametrize(
    ("record", "simulated", "random"),
    [
        ({"segment": {}, "simulated": True}, True, False),
        ({"random_weights": True, "left_out": {}}, False, True),
        ({"source": "SIMULATED: noise"}, True, False),
        ({"source": "fused", "random_weights": False}, False, False),
        ({"teachers": {"audio": {"weights": "ab"}, "visual": {"weights": "random"}}}, False, True),
        ({"run": {"sources": {"simulated": True, "features": {}}}}, True, False),
        ({"run": {"runtime": {}}, "teachers": [], "source": None}, False, False),
        ({"run": "none", "teachers": {"audio": "random"}}, False, False),
    ],
)
def test_every_record_is_read_by_one_rule(record, simulated, random):
    found = told_by(record)
    assert (found.simulated, found.random_teachers) == (simulated, random)


def test_what_is_known_against_either_is_known_against_both():
    both = Provenance(simulated=True) | Provenance(random_teachers=True, sources={"a": 1})
    assert both == Provenance(simulated=True, random_teachers=True, sources={"a": 1})
    assert Provenance() | Provenance() == Provenance()


def test_a_mark_is_passed_on_and_one_that_is_there_stays(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    pass_mark(source, out, {"source": "a card"})
    assert json.loads((out / "SIMULATED.json").read_text()) == {"simulated": True, "source": "a card"}
    write_mark(source, {"simulated": True, "seed": 7})
    pass_mark(source, out, {})
    assert "a card" in (out / "SIMULATED.json").read_text()
    pass_mark(source, tmp_path / "new", {})
    assert of_folder(tmp_path / "new").simulated
    assert (tmp_path / "new/SIMULATED.json").read_bytes() == (source / "SIMULATED.json").read_bytes()


def test_a_run_is_marked_in_recipe_scores_and_predictions(trained):
    _, run = trained
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["name"] == "SIMULATED valor" and recipe["run"]["sources"]["simulated"] is True
    assert json.loads((run / "scores.json").read_text())["simulated"] is True
    assert read_predictions(run / "predictions.npz").provenance.simulated


def test_its_row_says_so_and_stands_beside_nothing_published(trained):
    assert "SIMULATED t1" in typed("table", trained[1]).out
    complaint = typed("table", trained[1], "--published", "--mix").complaint()
    assert "SIMULATED t1: scores on SIMULATED features mean nothing" in complaint


def test_packed_features_and_labels_say_so_without_the_mark_of_their_folder(trained, tmp_path):
    data, run = trained
    moved = tmp_path / "moved"
    for path in (path for path in data.rglob("*") if path.is_file() and path.name != "SIMULATED.json"):
        (moved / path.relative_to(data)).parent.mkdir(parents=True, exist_ok=True)
        (moved / path.relative_to(data)).write_bytes(path.read_bytes())
    on = ("--annotations", moved, "--split", "test")
    done = typed("evaluate", run, *on, "--json", tmp_path / "scores.json")
    assert done.code == 0 and "SIMULATED t1" in done.out
    assert json.loads((tmp_path / "scores.json").read_text())["simulated"] is True
    assert typed("predict", run, "--data", moved, "--out", tmp_path / "p.npz").code == 0
    assert "SIMULATED p" in typed("evaluate", tmp_path / "p.npz", *on).out
    (moved / "labels.json").unlink()
    held = read_pseudo_labels(moved, alone=True)  # of an older version, which says nothing of labels.json
    write_pseudo_labels(moved / "pseudo_labels.npz", held.clip_ids, held.class_names, held.labels)
    sets = [part for change in SMALL for part in ("--set", change)]
    again = ("train", "valor", "--data", moved, "--labels", moved, "--out", tmp_path / "t2", "--no-test", "--quiet")
    assert typed(*again, "--device", "cpu", *sets).code == 0
    assert json.loads((tmp_path / "t2/recipe.json").read_text())["name"] == "SIMULATED valor"
