"""From the published layout to predictions: packed features and an imported checkpoint in place of the originals."""

import shutil
from collections import OrderedDict

import numpy as np
import pytest
import torch

from tests.helpers.toy_line import NAMES, SPLITS
from tests.helpers.toy_published import write_published
from tests.helpers.typed import Done, typed
from valor.data.predictions import read_predictions
from valor.data.tables import write_event_table
from valor.parsers.build import build_parser
from valor.parsers.options import ParserOptions
from valor.parsers.published import to_published

SMALL = ParserOptions(audio_width=768, visual_width=768, hidden_width=16, num_heads=2, feedforward_width=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_published(tmp_path_factory.mktemp("line") / "data", kinds=("clap", "clip", "r2plus1d"))
    rows = [(SPLITS[split][0], 2, 5, NAMES[0]) for split in ("val", "test")]
    for name in ("AVVP_eval_audio.csv", "AVVP_eval_visual.csv"):
        write_event_table(folder / name, rows)
    torch.save(OrderedDict(to_published(build_parser(SMALL, seed=1).state_dict())), folder / "checkpoint_best.pt")
    return folder


def well(done: Done) -> str:
    assert (done.code, done.err) == (0, ""), done
    return done.out


def test_an_imported_checkpoint_predicts_the_same_from_files_and_from_the_store(data, tmp_path):
    well(typed("import", "checkpoint", data / "checkpoint_best.pt", "--out", tmp_path / "run", "--heads", 2, "--quiet"))
    well(typed("predict", tmp_path / "run", "--data", data, "--out", tmp_path / "files.npz", "--quiet"))
    packed = tmp_path / "packed"
    options = ("--annotations", data, "--precision", "float32", "--splits", "test", "--quiet")
    well(typed("import", "features", data, "--out", packed, *options))
    for table in data.glob("*.csv"):
        shutil.copy(table, packed)
    assert not list(packed.rglob("*.npy"))
    well(typed("predict", tmp_path / "run", "--data", packed, "--out", tmp_path / "store.npz", "--quiet"))
    files, store = (read_predictions(tmp_path / f"{name}.npz") for name in ("files", "store"))
    assert files.clip_ids == store.clip_ids == SPLITS["test"]
    assert np.array_equal(files.segment_probs, store.segment_probs)


def test_training_runs_on_imported_features_and_labels_alone(data, tmp_path):
    packed = tmp_path / "data"
    well(typed("import", "features", data, "--out", packed, "--splits", "train,val", "--quiet"))
    well(typed("import", "labels", data, "--out", packed, "--splits", "train", "--quiet"))
    for table in data.glob("*.csv"):
        shutil.copy(table, packed)
    small = [f"--set=parser.{name}={getattr(SMALL, name)}" for name in ("hidden_width", "num_heads", "num_layers")]
    once = ("--set=fit.epochs=1", "--set=fit.warmup_epochs=0", "--no-test", "--quiet")
    out = well(typed("train", "valor++", "--data", packed, "--out", tmp_path / "run", *small, *once))
    assert "selected epoch 1" in out and (tmp_path / "run/best.safetensors").is_file()
    well(typed("export", "checkpoint", tmp_path / "run", "--out", tmp_path / "checkpoint_best.pt", "--quiet"))
    state = torch.load(tmp_path / "checkpoint_best.pt", weights_only=True)
    assert state["fc_a.weight"].shape == (16, 768) and state.keys() == torch.load(data / "checkpoint_best.pt").keys()
