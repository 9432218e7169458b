"""A pre-training: resumable to the same bytes, its pool and its objective looked at before the first epoch."""

import json
from dataclasses import replace

import pytest
import torch

import valor.pretraining.loop
import valor.pretraining.run
from tests.helpers.toy_run import CLIPS, FROM_STORE, write_tables, write_toy_store
from valor.pretraining.options import PretrainOptions
from valor.pretraining.pool import held_out
from valor.pretraining.run import pretrain_run, rebuilt
from valor.training.encoder_file import read_encoder
from valor.training.options import TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = PretrainOptions(epochs=3, batch_size=4, warmup_epochs=1, held_out=0.35, progress=False)
CODES = ["parser.time_codes=0.5"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "store"
    write_toy_store(folder)
    return folder


def _pretrain(store, out, options=OPTIONS, objective="mavil", changes=CODES, **more):
    return pretrain_run(objective, [store], FROM_STORE, out, options, changes=changes, **more)


def _log(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: of for key, of in line.items() if key not in ("seconds", "clips_per_second")} for line in lines]


@pytest.mark.parametrize(("objective", "stop"), [("mavil", 4), ("crisscross", 3)])
def test_a_stopped_run_goes_on_to_the_same_bytes(store, tmp_path, monkeypatch, objective, stop):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = _pretrain(store, whole, objective=objective)
    assert (result.clips, result.held_out, result.resumed_from) == (9, 3, 0)
    real, steps = valor.pretraining.loop._step, iter(range(100))

    def interrupted(*args):
        if next(steps) == stop:  # 2 steps an epoch
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(valor.pretraining.loop, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _pretrain(store, stopped, objective=objective)
    monkeypatch.undo()
    assert not (stopped / "encoder.safetensors").exists()
    with pytest.raises(FileNotFoundError, match="no such pre-training; the pre-training there is not done"):
        read_encoder(stopped)
    torch.rand(3)  # whatever happened to the global generator in between
    assert _pretrain(store, stopped, objective=objective).resumed_from == stop // 2
    for name in ("encoder.safetensors", "last.safetensors", "recipe.json"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    assert _log(whole) == _log(stopped)
    monkeypatch.setattr(valor.pretraining.run, "git_revision", lambda: "a later one")
    written = (stopped / "encoder.safetensors").read_bytes()
    assert _pretrain(store, stopped, objective=objective).resumed_from == 3
    assert (stopped / "encoder.safetensors").read_bytes() == written  # trainings name it by its sha256
    (stopped / "encoder.safetensors").write_bytes(written[:-4])
    _pretrain(store, stopped, objective=objective)
    assert read_encoder(stopped).card.git_revision == "a later one"
    with pytest.raises(ValueError, match="belongs to a run with other pre-training options"):
        _pretrain(store, stopped, replace(OPTIONS, learning_rate=1e-3), objective=objective)
    with pytest.raises(ValueError, match="belongs to a run with other parser options"):  # of the same weights
        _pretrain(store, stopped, objective=objective, changes=["parser.time_codes=0.25"])


def test_the_file_says_what_it_is_and_is_built_again(store, tmp_path):
    data = write_tables(tmp_path)
    _pretrain(store, tmp_path / "run", replace(OPTIONS, epochs=1, batch_size=2, warmup_epochs=0), "avc", [], data=data)
    held = read_encoder(tmp_path / "run")
    card = held.card
    assert (card.objective, card.options["pool"], card.epoch) == ("correspondence", "second", 1)
    assert card.pool["clips"] + card.pool["held_out"] == 7  # those of val and test are annotated
    assert card.pool["annotated_known"] and "annotated" not in held.in_words()
    assert card.teachers["audio"]["teacher"]["weights"] == "ab" * 32
    there, fresh = rebuilt(held), rebuilt(held, fresh=True)
    for name, tensor in there.views.state_dict().items():
        assert torch.equal(tensor, held.tensors[f"views.{name}"])
    assert torch.equal(fresh.views.audio_mean, there.views.audio_mean)
    assert not torch.equal(fresh.views.stem.audio.weight, there.views.stem.audio.weight)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["objective"] == "correspondence"
    assert recipe["name"] == "demo"


def test_clips_are_held_out_by_their_names_alone():
    found = held_out(CLIPS, 0.2)
    assert torch.equal(held_out(CLIPS[3:], 0.2), found[3:])
    many = held_out([f"clip {number}" for number in range(4000)], 0.05)
    assert 0.04 < many.float().mean() < 0.06
    assert not held_out(CLIPS, 0.0).any()


def test_a_loss_that_is_no_number_names_epoch_step_and_clips(store, tmp_path, monkeypatch):
    real = valor.pretraining.loop._start

    def broken(run, *args):
        found = real(run, *args)
        run.views.stem.audio.weight.data.fill_(torch.nan)
        return found

    monkeypatch.setattr(valor.pretraining.loop, "_start", broken)
    with pytest.raises(TrainingError, match=r"epoch 1, step 1: loss nan .* on the clips .*; look at these clips"):
        _pretrain(store, tmp_path, objective="avc", changes=[])


@pytest.mark.parametrize(("options", "objective", "changes", "message"), [
    ({"batch_size": 64}, "avc", [], "at least one batch of clips to learn from, which is 64, got 9 beside 3 held out"),
    ({"batch_size": 1}, "avc", [], "batch_size must be at least 2 for the objective correspondence"),
    ({}, "mavil", [], "mavil needs seconds that know where they stand.*set parser.time_codes=0.5"),
    ({}, "mavil", [*CODES, "objective.mask_ratio=0.97"], "mask_ratio must hide at least one of 10 and leave one"),
    ({}, "jigsaw", [], "objective must be one of .*mavil.*avc, got 'jigsaw'"),
    ({}, "avc", ["fit.epochs=3"], r"a pre-training can change parser.\*, features.\*, objective.\*, got fit"),
    ({}, "avc", ["objective.widht=3"], r"unknown option 'objective.widht' \(did you mean objective.width\?\)"),
    ({}, "avc", ["parser.audio_width=9"], "does not fit these features; set parser.audio_width=5"),
    ({}, "avc", ["parser.network=for-against"], "pre-training is for network=hybrid"),
])  # fmt: skip
def test_what_cannot_be_learned_is_refused_before_an_epoch(store, tmp_path, options, objective, changes, message):
    with pytest.raises(ValueError, match=message):
        _pretrain(store, tmp_path / "run", replace(OPTIONS, **options), objective, changes)
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_options_are_checked_as_those_of_a_training():
    with pytest.raises(ValueError, match="warmup_epochs must be fewer than the 2 epochs"):
        PretrainOptions(epochs=2)
    with pytest.raises(ValueError, match=r"held_out must be in \[0, 1\)"):
        PretrainOptions(held_out=1.0)
