"""`valor adapt`: what is trained and what is not, how a stopped training goes on, what a harvest makes of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip, write_toy_world
from tests.helpers.toy_tower import NAME, tiny_tower
from tests.helpers.typed import typed
from valor.adapted import extractor as extractor_module
from valor.adapted.card import CARD, WEIGHTS, AdaptOptions, read_card
from valor.adapted.extractor import LavishExtractor
from valor.data.datasets.dataset import LLP
from valor.data.features.feature_options import FeatureOptions
from valor.data.label_file import write_pseudo_labels
from valor.data.provenance import told_by
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.store.manifest import HarvestManifest
from valor.teachers import TeacherChoice, build_teachers, known_store
from valor.training import adapt as adapt_module
from valor.training.adapt import CLIPS, LAST, LOCK, adapt
from valor.training.checkpoint import CheckpointCard
from valor.video import trained

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = class_names(LLP_CLASSES)
GOOD = tuple(f"clip_{number}" for number in range(8))
OPTIONS = AdaptOptions(visual=NAME, epochs=2, batch_size=4, rate=5e-3)


@pytest.fixture(scope="module", autouse=True)
def tower():
    """The tiny tower in place of all others, and decoding in this process."""
    found = tiny_tower()
    with pytest.MonkeyPatch.context() as patch:
        for module in (adapt_module, extractor_module):
            patch.setattr(module, "build_tower", lambda *_: found)
        patch.setattr(adapt_module, "DecodePool", lambda *_: DecodePool(0))
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight clips, and one of which nothing is heard."""
    folder = tmp_path_factory.mktemp("adapt")
    write_toy_world(folder / "videos", GOOD[:1])
    for clip_id in GOOD[1:]:
        shutil.copy(folder / "videos" / f"{GOOD[0]}.mkv", folder / "videos" / f"{clip_id}.mkv")
    write_toy_clip(folder / "videos" / "mute.mkv", video=ToyVideo(rate=1))
    tags = np.zeros((9, 25), bool)
    tags[np.arange(9), np.arange(9) % 3] = True
    write_weak_table(folder / "AVVP_train.csv", (*GOOD, "mute"), tags, NAMES)
    return folder


def train(data, out, options=OPTIONS, **more):
    return adapt(LLP, data, data / "videos", out, options, **more)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, tower):
    """(folder of a run, what was said of it, the tower's weights before)."""
    before = {name: tensor.clone() for name, tensor in tower.network.state_dict().items()}
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, train(data, out), before


def test_adapters_are_trained_and_nothing_of_the_tower_is(run, tower, data):
    out, result, before = run
    assert sorted(entry.name for entry in out.iterdir()) == [CARD, WEIGHTS]
    assert result.clips == 8 and len(result.losses) == 2 and result.losses[1] < result.losses[0] and result.is_new
    assert result.problems == ("mute.mkv: no audio stream",) or "mute.mkv" in result.problems[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in tower.network.state_dict().items())
    assert all(weight.grad is None for weight in tower.network.parameters())
    _, adapters, card = extractor_module.read_adapters(out)
    gates = [weight for name, weight in adapters.named_parameters() if name.endswith("gate")]
    assert all(gate != 0 for gate in gates) and (card.clips, card.losses) == (8, result.losses)
    again = train(data, out)
    assert not again.is_new and replace(again, is_new=True, problems=result.problems).losses == result.losses


def test_a_stopped_training_goes_on_to_the_same_bytes(run, data, tmp_path, monkeypatch):
    one_epoch, calls = adapt_module._Training._epoch, []

    def stop_in_the_second(self, clips):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return one_epoch(self, clips)

    monkeypatch.setattr(adapt_module._Training, "_epoch", stop_in_the_second)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(data, out)
    assert sorted(entry.name for entry in out.iterdir()) == sorted([CLIPS, LAST])
    with pytest.raises(FileNotFoundError, match="no such run of adapters"):
        read_card(out)
    with pytest.raises(ValueError, match="belongs to a run with other options; continue that run"):
        train(data, out, replace(OPTIONS, rate=1e-3))
    monkeypatch.setattr(DecodePool, "submit", lambda *_: pytest.fail("decoded again"))
    kept = json.loads((run[0] / CARD).read_text())
    with pytest.raises(pytest.fail.Exception, match="decoded again"):  # the one that was left out is tried again
        train(data, out)
    monkeypatch.undo()
    assert train(data, out).losses == run[1].losses
    assert (out / WEIGHTS).read_bytes() == (run[0] / WEIGHTS).read_bytes()
    assert json.loads((out / CARD).read_text()) == kept


def test_labels_and_streams_alone_make_other_adapters(run, data, tmp_path):
    labels = np.zeros((9, 10, 2, 25), bool)
    labels[:, 3:, 0, 1] = True
    write_pseudo_labels(tmp_path / "taught" / "pseudo_labels.npz", (*GOOD, "mute"), NAMES, labels)
    short = replace(OPTIONS, epochs=1)
    made = {}
    for name, options, more in (
        ("tags", short, {}),
        ("labels", short, {"labels": tmp_path / "taught"}),
        ("alone", replace(short, alone=True), {}),
    ):
        train(data, tmp_path / name, options, **more)
        made[name] = read_card(tmp_path / name)
    assert len({card.weights for card in made.values()}) == 3 and made["alone"].alone
    with pytest.raises(ValueError, match="holds adapters of other labels; choose another `out`"):
        train(data, tmp_path / "labels", short)
    write_pseudo_labels(tmp_path / "few" / "pseudo_labels.npz", GOOD, NAMES, labels[:8])
    with pytest.raises(ValueError, match="labels must be for all 9 clips of the split train, .* got 8 clips"):
        train(data, tmp_path / "fewer", labels=tmp_path / "few")


def test_a_harvest_keeps_both_features_and_a_parser_reads_them(run, data, tmp_path):
    choice = TeacherChoice(visual="none", audio="none", features=(f"lavish={run[0]}",))
    known = known_store(choice, LLP_CLASSES, HarvestOptions())
    (extractor,) = teachers = build_teachers(choice, LLP_CLASSES)
    assert dict(known.teachers["lavish"]) == extractor.identity()
    chosen = (GOOD[0], "mute")
    manifest = HarvestManifest(chosen, NAMES, np.eye(25, dtype=bool)[:2])
    options = HarvestOptions(decode_workers=0)
    harvest(manifest, data / "videos", tmp_path / "store", teachers, options=options, progress=False)
    split = Split("train", chosen[:1], NAMES, manifest.weak_labels[:1])
    features = FeatureOptions(audio="lavish.audio", visual="lavish.visual", motion=None)
    clips = read_clip_set(tmp_path / "store", split, features)
    assert clips.audio.shape == clips.visual.shape == (1, 10, 12) and (clips.audio != clips.visual).any()
    with pytest.raises(ValueError, match="mute"):
        read_clip_set(tmp_path / "store", replace(split, clip_ids=("mute",)), features)


def test_runs_that_are_none_or_not_as_they_were_are_refused(run, data, tmp_path, tower, monkeypatch):
    def harvested(folder):
        return known_store(TeacherChoice(features=(f"lavish={folder}",)), LLP_CLASSES, HarvestOptions())

    with pytest.raises(FileNotFoundError, match="no such run of adapters; `valor adapt DATA"):
        harvested(tmp_path)
    with pytest.raises(ValueError, match="features must be among .*, lavish=RUN, raw=RUN, got lavish="):
        known_store(TeacherChoice(features=("lavish=",)), LLP_CLASSES, HarvestOptions())
    shutil.copytree(run[0], tmp_path / "run")
    (tmp_path / "run" / WEIGHTS).write_bytes(b"")
    with pytest.raises(ValueError, match="is not as it was written; restore it"):
        harvested(tmp_path / "run")
    (tmp_path / "run" / CARD).write_text('{"kind": "parser", "format": 1}')
    with pytest.raises(ValueError, match="is no run of adapters of this version"):
        harvested(tmp_path / "run")
    with pytest.raises(ValueError, match="wanted weights of sha256 000000000000"):
        LavishExtractor(run[0], pin="0" * 12)
    monkeypatch.setattr(extractor_module, "build_tower", lambda *_: tiny_tower("cd" * 32))
    with pytest.raises(
        ValueError, match="were trained in open_clip:ViT-B-16/.* with weights abab.*, got one with cdcd"
    ):
        LavishExtractor(run[0])
    with pytest.raises(ValueError, match="holds best.safetensors, no part of a run of adapters"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "best.safetensors").write_bytes(b"")
        train(data, tmp_path / "other")
    (tmp_path / "busy").mkdir()
    with (
        adapt_module.locked(tmp_path / "busy" / LOCK, "busy"),
        pytest.raises(ValueError, match="another process trains these adapters"),
    ):
        train(data, tmp_path / "busy")


def test_a_parse_wants_the_run_whose_features_were_learned(run):
    made = {"features": {"visual": {"teacher": read_card(run[0]).identity()}}}
    card = CheckpointCard(class_names=("a",), recipe={"run": {"sources": made}})

    def built(**checkpoints):
        return trained._teacher(Path("parser"), "lavish", {"visual": "visual"}, card, checkpoints, None)

    assert built(lavish=str(run[0])).identity() == read_card(run[0]).identity()
    with pytest.raises(ValueError, match="parser: its features are those of adapters; give their run with"):
        built()
    made["features"]["visual"]["teacher"]["weights"] = "00" * 32
    with pytest.raises(ValueError, match="parser: was trained on features of the lavish teacher .* with weights 0000"):
        built(lavish=str(run[0]))


def test_features_of_a_random_tower_are_random(run):
    card = replace(read_card(run[0]), tower="random")
    assert card.identity()["weights"] == "random" and card.identity()["adapters"] == card.weights
    store = {"teachers": {"lavish": card.identity()}}
    assert (
        told_by(store).random_teachers
        and not told_by({"teachers": {"lavish": read_card(run[0]).identity()}}).random_teachers
    )


def test_clips_without_sound_or_picture_teach_nothing(data, tmp_path):
    tags = np.eye(25, dtype=bool)[:9]
    (tmp_path / "videos").mkdir()
    for number in range(9):
        shutil.copy(data / "videos" / "mute.mkv", tmp_path / "videos" / f"mute_{number}.mkv")
    write_weak_table(tmp_path / "AVVP_train.csv", [f"mute_{number}" for number in range(9)], tags, NAMES)
    with pytest.raises(ValueError, match="at least 8 clips with sound and picture, got 0; mute_0.mkv: "):
        train(tmp_path, tmp_path / "run")
    with pytest.raises(ValueError, match="expected at least 8 clips of the split train in .*, got 0"):
        adapt(LLP, data, tmp_path / "videos", tmp_path / "none", OPTIONS)
    assert not (tmp_path / "none").exists()
    write_toy_clip(tmp_path / "videos" / "x.mkv", sound=ToySound())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "--videos", "v", "--out", "o"), "nowhere: no such folder; give the one of the data set"),
        (("DATA", "--videos", "v", "--out", __file__), "is a file; a run is a folder"),
        (("DATA", "--videos", "v", "--out", "o", "--visual", "demo-audio"), "--visual must be a teacher that looks"),
        (("DATA", "--videos", "v", "--out", "o", "--epochs", "0"), "--epochs must be at least 1"),
        (("DATA", "--videos", "v", "--out", "o", "--labels", "nowhere"), "no such pseudo-label file"),
        (("DATA", "--videos", "v", "--out", "o"), "v: "),
    ],
)
def test_wrong_use_is_said_in_one_sentence(words, said, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in typed("adapt", *(data if word == "DATA" else word for word in words)).complaint()
    assert not (tmp_path / "o").exists()


def test_it_is_typed_and_said(data, run):
    options = ("--visual", NAME, "--epochs", 2, "--batch-size", 4, "--learning-rate", 5e-3)
    done = typed("adapt", data, "--videos", data / "videos", "--out", run[0], *options, "--quiet")
    assert done.code == 0 and f"{run[0]} is trained already\n8 clips, loss " in done.out, done
