"""The published teachers, randomly filled, on real files: what a newcomer's first harvest without weights does."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.typed import typed
from valor.data.label_file import read_pseudo_labels
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.clap_models import LaionCheckpoint
from valor.parsers.build import build_parser
from valor.training.predict import predict_split
from valor.training.recipes import RECIPES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLIPS = {
    "BjCEufrlXm4_20_30": "Speech,Dog",  # of LLP: H.264 and AAC, 10.03 s
    "nasa_13013": "Speech",  # two video and two audio streams, subtitles, 13 s
    "av1_video": "Car",  # no sound, 5 s of AV1
    "corrupted": "Dog",  # damaged on purpose
    "never_seen": "Cat",  # no such file
}


@pytest.fixture(scope="module")
def harvested(shared: Path, tmp_path_factory: pytest.TempPathFactory):
    import open_clip  # here and not above: seconds, which whoever only collects this file has no use for

    folder = tmp_path_factory.mktemp("real")
    rows = "\n".join(f"{clip_id}\t{tags}" for clip_id, tags in CLIPS.items())
    (folder / "clips.csv").write_text(f"filename\tevent_labels\n{rows}\n", encoding="utf-8")
    random = ("--checkpoint", "visual=random", "--checkpoint", "audio=random")
    options = ("--videos", shared / "clips", "--store", folder / "store", "--raw-maps", *random)
    with pytest.MonkeyPatch.context() as patch:  # 2 of up to 24 layers: test_clip.py and test_clap.py run them all
        for part in ("vision_cfg", "text_cfg"):
            patch.setitem(open_clip.factory._MODEL_CONFIGS["ViT-L-14-quickgelu"][part], "layers", 2)
        few = {"layer_norm_eps": 1e-5, "num_hidden_layers": 2}
        patch.setattr(LaionCheckpoint, "config", {"audio_config": {"enable_fusion": True}, "text_config": few})
        return folder, typed("harvest", folder / "clips.csv", *options, "--quiet")


def test_every_clip_is_accounted_for(harvested) -> None:
    folder, done = harvested
    assert done.code == 3
    store = read_store(folder / "store")
    found = dict(zip(store.clip_ids, store.statuses, strict=True))
    statuses = ("ok", "cut", "no_audio", "undecodable", "missing")
    assert found == dict(zip(CLIPS, statuses, strict=True))
    for clip_id in ("av1_video", "corrupted", "never_seen"):
        assert clip_id in done.out
        assert clip_id in (store_folder(folder) / "failures.csv").read_text(encoding="utf-8")


def test_evidence_has_the_published_shapes_and_absence_is_nan(harvested) -> None:
    store = read_store(harvested[0] / "store")
    shapes = {name: array.shape[1:] for name, array in store.arrays.items()}
    assert shapes["visual.embedding"] == (10, 768)
    assert shapes["audio.map"] == (64, 768) and shapes["audio.folded"] == (10, 768)
    assert shapes["visual.similarity"] == shapes["audio.similarity"] == (10, 25)
    complete = {
        clip_id: bool(np.isfinite(store.arrays["audio.similarity"][n]).all()) for n, clip_id in enumerate(CLIPS)
    }
    assert complete == {clip_id: clip_id in ("BjCEufrlXm4_20_30", "nasa_13013") for clip_id in CLIPS}
    picture_only = store.arrays["visual.similarity"][list(CLIPS).index("av1_video")]
    assert np.isfinite(picture_only[:5]).all()
    assert np.isnan(picture_only[5:]).all()


def test_labels_come_for_whole_clips_and_their_tags_alone(harvested) -> None:
    folder, _ = harvested
    done = typed("labels", folder / "store", "--out", folder / "labels", "--export", "npy")
    assert done.code == 3 and "3 clips without complete" in done.out
    labels = read_pseudo_labels(folder / "labels")
    assert labels.clip_ids == ("BjCEufrlXm4_20_30", "nasa_13013")
    tagged = {labels.class_names.index(name) for name in ("Speech", "Dog")}
    assert set(np.flatnonzero(labels.labels[0].any(axis=(0, 1)))) <= tagged
    exported = np.load(folder / "labels" / "CLIP" / "segment_pseudo_labels" / "BjCEufrlXm4.npy", allow_pickle=False)
    assert (exported.shape, exported.dtype) == ((10, 25), np.int64)
    assert np.load(folder / "labels" / "CLAP" / "features" / "BjCEufrlXm4.npy").shape == (64, 768)
    assert json.loads((folder / "labels" / "labels.json").read_text(encoding="utf-8"))["random_weights"] is True


def test_the_recipe_for_raw_clips_fits_what_was_harvested(harvested) -> None:
    store, recipe = harvested[0] / "store", RECIPES["valor-clips"]
    names = class_names(LLP_CLASSES)
    split = Split("train", ("BjCEufrlXm4_20_30", "nasa_13013"), names, np.ones((2, len(names)), bool))
    clips = read_clip_set(harvested[0], split, recipe.features, store=store)
    assert clips.widths() == {name: getattr(recipe.parser, name) for name in clips.widths()}
    assert predict_split(build_parser(recipe.parser, seed=0), clips).segment_probs.shape == (2, 10, 2, 25)


def store_folder(folder: Path) -> Path:
    (found,) = (folder / "store").iterdir()
    return found
