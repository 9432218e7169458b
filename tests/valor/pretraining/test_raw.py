"""Towers of films in which a light flashes as a click sounds, and a harvest that takes them as features."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.toy_sync import write_flashes
from tests.helpers.typed import typed
from valor.data.features.feature_options import FeatureOptions
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.clip import ClipMedia
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.store.manifest import HarvestManifest
from valor.pretraining.options import PretrainOptions
from valor.pretraining.raw import pretrain_raw
from valor.pretraining.run import rebuilt
from valor.raw import pool as pool_module
from valor.raw.card import CARD, WEIGHTS, read_card, write_card
from valor.raw.extractor import TowerExtractor, read_towers
from valor.teachers import TeacherChoice, build_teachers, known_store
from valor.training.encoder_file import give_encoder, read_encoder
from valor.video import trained

OPTIONS = PretrainOptions(epochs=2, batch_size=4, warmup_epochs=1, held_out=0, progress=False)
SMALL = ("tower.kind=patches", "tower.width=8", "tower.num_layers=1", "tower.num_heads=2", "objective.decoder_width=8")
NAMES = class_names(LLP_CLASSES)


@contextmanager
def direct(_limits):
    """A reader in this process: starting one costs more than these films."""
    yield DirectReader()


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(pool_module, "ProcessReader", direct)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return [write_flashes(folder / f"{number}.mp4", number, seconds=2) for number in range(2)]


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "ProcessReader", direct)
        out = tmp_path_factory.mktemp("raw") / "run"
        return pretrain_raw("mavil", films, out, OPTIONS, changes=SMALL), out


def test_a_run_says_what_it_learned_from_and_is_found_done(run, films):
    done, out = run
    card = read_card(out)
    assert card == done.card and (card.objective, card.clips, card.epochs) == ("mavil", 4, 2)
    assert "told" in done.result.last and "raw" in done.result.first  # the second epoch is the second round
    before = (out / WEIGHTS).read_bytes()
    (out / CARD).unlink()
    again = pretrain_raw("mavil", films, out, OPTIONS, changes=SMALL)
    assert again.result.resumed_from == 2 and (out / WEIGHTS).read_bytes() == before and read_card(out) == card


def test_a_stopped_run_ends_in_the_same_bytes(run, films, tmp_path, monkeypatch):
    done, out = run
    from valor.pretraining import raw as raw_module

    class StoppedError(Exception):
        pass

    def stop(_record):
        raise StoppedError

    real = raw_module.pretrain
    monkeypatch.setattr(raw_module, "pretrain", lambda *given, **more: real(*given, **more, on_epoch=stop))
    with pytest.raises(StoppedError):
        pretrain_raw("mavil", films, tmp_path / "run", OPTIONS, changes=SMALL, pool=out / "pool")
    monkeypatch.setattr(raw_module, "pretrain", real)
    resumed = pretrain_raw("mavil", films, tmp_path / "run", OPTIONS, changes=SMALL, pool=out / "pool")
    assert resumed.result.resumed_from == 1 and resumed.card.weights == done.card.weights


def test_media_are_typed(films, run, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    changes = [part for change in SMALL for part in ("--set", change)]
    short = ("--epochs", 1, "--batch-size", 4, "--warmup-epochs", 0, "--held-out", 0)
    done = typed("pretrain", "mavil", "--raw", *films, broken, "--out", tmp_path / "run", *short, *changes, "--quiet")
    assert done.code == 3 and "left out: broken.mp4" in done.out and "4 clips, loss" in done.out
    assert read_card(tmp_path / "run").clips == 4
    for wrong, message in (
        (("--store", "s"), "--store: not for --raw"),
        (("--recipe", "demo", "--transductive"), "--recipe, --transductive: not for --raw"),
    ):
        refused = typed("pretrain", "mavil", "--raw", *films, "--out", tmp_path / "other", *wrong).complaint()
        assert message in refused
    assert "--pool is for --raw alone" in typed("pretrain", "mavil", "--pool", "p", "--out", "o").complaint()
    assert "give the clips: --store STORE" in typed("pretrain", "mavil", "--out", tmp_path / "o").complaint()
    assert "nothing to learn from" in typed("pretrain", "avc", "--raw", "none.mp4", "--out", tmp_path / "o").complaint()


@pytest.mark.parametrize(
    ("objective", "changes", "message"),
    [
        ("lava", (), "objective must be one of avol, .*, avc for raw media, got 'lava'"),
        ("mavil", ("parser.width=3",), "raw media can have tower.*, raw.*, objective.*, got parser"),
        ("mavil", ("tower.kind=maps",), "mavil hides patches"),
        ("avc", ("raw.pictures=2",), "tower.pictures and raw.pictures must be the same, got 1 and 2"),
        ("motion", ("tower.pictures=1",), "pictures must be several a second"),
        ("temporal", ("tower.mix_layers=0",), "temporal needs seconds that know where they stand; tower.mix_layers"),
        ("temporal", (), "pieces of 10 s are longer than the 2 s of the longest stretch"),
    ],
)
def test_what_does_not_fit_is_refused(objective, changes, message, films, tmp_path):
    with pytest.raises(ValueError, match=message):
        pretrain_raw(objective, films, tmp_path / "run", OPTIONS, changes=changes)


def test_a_harvest_keeps_both_features_and_a_parser_reads_them(run, films, tmp_path):
    done, out = run
    choice = TeacherChoice(visual="none", audio="none", features=(f"raw={out}",))
    known = known_store(choice, LLP_CLASSES, HarvestOptions())
    (extractor,) = teachers = build_teachers(choice, LLP_CLASSES)
    assert dict(known.teachers["raw"]) == extractor.identity()
    manifest = HarvestManifest(("0", "1"), NAMES, np.eye(25, dtype=bool)[:2])
    options = HarvestOptions(decode_workers=0, grid=replace(HarvestOptions().grid, num_segments=2))
    harvest(manifest, films[0].parent, tmp_path / "store", teachers, options=options, progress=False)
    split = Split("train", ("0", "1"), NAMES, manifest.weak_labels)
    clips = read_clip_set(
        tmp_path / "store", split, FeatureOptions(audio="raw.audio", visual="raw.visual", motion=None)
    )
    assert clips.audio.shape == clips.visual.shape == (2, 2, 128) and clips.audio.std() > 0
    made = {"features": {"visual": {"teacher": done.card.identity()}}}
    from valor.training.checkpoint import CheckpointCard

    card = CheckpointCard(class_names=("a",), recipe={"run": {"sources": made}})
    with pytest.raises(ValueError, match="its features are those of towers; give their run with"):
        trained._teacher(Path("parser"), "raw", {"visual": "visual"}, card, {}, None)
    assert trained._teacher(Path("parser"), "raw", {"visual": "visual"}, card, {"raw": str(out)}, None).role == "raw"


def test_a_harvest_shows_towers_eight_pictures_less_what_stands_still(films, tmp_path):
    changes, out = (*SMALL, "tower.pictures=8", "tower.less_still=true", "objective.rounds=1"), tmp_path / "run"
    pretrain_raw("mavil", films, out, replace(OPTIONS, epochs=1, warmup_epochs=0), changes=changes)
    extractor = TowerExtractor(out)
    assert extractor.needs == ("slots", "waveform")
    assert extractor.identity()["architecture"] == "patches, 8 a second, less what stands still"
    manifest = HarvestManifest(("0", "1"), NAMES, np.eye(25, dtype=bool)[:2])
    options = HarvestOptions(decode_workers=0, grid=replace(HarvestOptions().grid, num_segments=2))
    harvest(manifest, films[0].parent, tmp_path / "store", [extractor], options=options, progress=False)
    split = Split("train", ("0", "1"), NAMES, manifest.weak_labels)
    kinds = FeatureOptions(audio="raw.audio", visual="raw.visual", motion=None)
    found = read_clip_set(tmp_path / "store", split, kinds).visual
    grid = replace(options.grid, num_segments=2)
    slots = np.random.default_rng(0).integers(0, 256, (16, 48, 64, 3)).astype(np.uint8)
    sound = np.zeros(grid.num_samples, np.float32)
    said = extractor.encode(ClipMedia(slots[::8], sound, grid, slots=slots)).features["visual"]
    still = np.sort(slots.astype(np.float32), axis=0)[7]
    shown = torch.from_numpy(2 * (slots - still) / 64).view(2, 8, 48, 64, 3).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        assert np.allclose(said, read_towers(out)[0].visual(shown).numpy(), atol=1e-4)
    assert found.shape == (2, 2, 128) and bool(torch.as_tensor(np.asarray(found)).isfinite().all())


def test_a_parser_does_not_begin_with_towers(run):
    held = read_encoder(run[1])
    for use in (lambda: rebuilt(held), lambda: give_encoder(None, held, FeatureOptions())):
        with pytest.raises(ValueError, match="holds towers on raw media and no stem .* harvest with features raw="):
            use()


def test_runs_that_are_none_or_not_as_they_were_are_refused(run, tmp_path):
    def harvested(folder):
        return known_store(TeacherChoice(features=(f"raw={folder}",)), LLP_CLASSES, HarvestOptions())

    with pytest.raises(FileNotFoundError, match="no such run of towers, or one that is not done; `valor pretrain"):
        harvested(tmp_path)
    with pytest.raises(ValueError, match="features must be among .*, lavish=RUN, raw=RUN, got raw="):
        harvested("")
    shutil.copytree(run[1], tmp_path / "run")
    with pytest.raises(ValueError, match="wanted weights of sha256 000000000000"):
        TowerExtractor(run[1], pin="0" * 12)
    card = read_card(run[1])
    write_card(tmp_path / "run", replace(card, towers=replace(card.towers, pictures=5)))
    with pytest.raises(ValueError, match="looks at 5 pictures of a second and a harvest has 1 or 8; train it with"):
        harvested(tmp_path / "run")
    (tmp_path / "run" / WEIGHTS).write_bytes(b"")
    with pytest.raises(ValueError, match="is not as it was written; restore it"):
        harvested(tmp_path / "run")
    (tmp_path / "run" / CARD).write_text(json.dumps({"kind": "parser", "format": 1}), encoding="utf-8")
    with pytest.raises(ValueError, match="is no run of towers of this version"):
        harvested(tmp_path / "run")
