"""Where the data of a run came from."""

import hashlib
import json

import torch

from tests.test_runs import NAMES, SPLITS, write_labels, write_tables, write_toy_store
from valor.annotations import read_split
from valor.dataset import FeatureOptions
from valor.packed_store import PackedCard, write_packed
from valor.provenance import describe_data, describe_labels


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
