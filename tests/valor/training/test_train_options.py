"""Training with what later papers add, and what selects the epoch: each option acts, and each resumes bit by bit."""

import json
from dataclasses import replace

import pytest
import torch

import valor.training.train
from tests.helpers.toy_features import TINY, toy_clip_set
from tests.valor.training.test_train import OPTIONS, _fit, _log, _without_clock
from valor.eval.decide import PostProcessing
from valor.eval.scores import score
from valor.parsers.build import build_parser
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.methods.average import AverageOptions
from valor.training.methods.methods import Methods
from valor.training.predict import predict_split
from valor.training.recipes import Recipe, override
from valor.training.step import build_optimiser, train_step
from valor.training.train import validate

pytestmark = pytest.mark.usefixtures("one_thread")


BEYOND = {
    "soft labels": {},
    "balance": {"methods.uwav.class_balance": 0.5},
    "mix-up": {"methods.uwav.mixup_alpha": 1.7},
    "jomold": {"methods.jomold.warmup_epochs": 1, "fit.guided_weight": 1.0},
    "vplan": {"methods.vplan.warmup_epochs": 1, "methods.vplan.audio": 1.5, "methods.vplan.visual": 1.5},
    "average": {"methods.average.decay": 0.8},
    "adam": {"fit.optimiser": "adam", "fit.schedule": "step", "fit.step_epochs": 2, "fit.max_grad_norm": "none"},
    "gate": {"methods.gates": "on", "fit.select_by": "event.audio"},
    "all": {
        "methods.uwav.class_balance": 0.5,
        "methods.uwav.mixup_alpha": 1.7,
        "methods.vplan.warmup_epochs": 1,
        "methods.average.decay": 0.8,
    },
}


def _softened(clips):
    return replace(clips, pseudo_labels=(clips.pseudo_labels.float() * 0.8 + 0.1 * clips.weak_labels[:, None, None]))


@pytest.mark.parametrize("name", BEYOND)
def test_each_option_changes_the_run_and_resumes_to_the_same_bytes(tmp_path, monkeypatch, name):
    recipe = override(Recipe(name="toy", fit=OPTIONS), [f"{option}={value}" for option, value in BEYOND[name].items()])
    options, train = recipe.fit, toy_clip_set(12, seed=1)
    train = _softened(train) if name in ("soft labels", "all") else train
    whole, stopped, plain = tmp_path / "whole", tmp_path / "stopped", tmp_path / "plain"
    _fit(whole, options, train=train, methods=Methods(recipe.methods))
    _fit(plain)
    if name not in ("gate", "average"):  # which decide about epochs, not steps
        ends = [read_tensors(folder / "last.safetensors")[0]["model.classifier.weight"] for folder in (whole, plain)]
        assert not torch.equal(*ends)
    real, steps = valor.training.train.train_step, iter(range(100))

    def interrupted(*args):
        if next(steps) == 7:  # 3 steps an epoch: in the middle of epoch 3
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(valor.training.train, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fit(stopped, options, train=train, methods=Methods(recipe.methods))
    monkeypatch.undo()
    torch.rand(3)
    assert _fit(stopped, options, train=train, methods=Methods(recipe.methods)).resumed_from == 2
    for file in ("best.safetensors", "last.safetensors"):
        assert (whole / file).read_bytes() == (stopped / file).read_bytes(), file
    assert _without_clock(_log(stopped)) == _without_clock(_log(whole))


def test_soft_labels_of_0_and_1_train_as_hard_ones(tmp_path):
    train = toy_clip_set(12, seed=1)
    _fit(tmp_path / "hard", train=train)
    _fit(tmp_path / "soft", train=replace(train, pseudo_labels=train.pseudo_labels.half()))
    states = [read_checkpoint(tmp_path / name)[0].state_dict() for name in ("hard", "soft")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(("change", "epoch"), [
    ({}, 2),
    ({"select_tie": "last"}, 3),
    ({"select_by": "event.visual"}, 4),
])  # fmt: skip
def test_the_epoch_is_selected_as_the_options_say(tmp_path, monkeypatch, change, epoch):
    segment, event = iter([20.0, 50.0, 50.0, 40.0]), iter([1.0, 2.0, 3.0, 4.0])
    real = valor.training.train.validate

    def scripted(*args):
        honest = real(*args)
        return replace(
            honest,
            segment=replace(honest.segment, type_av=next(segment)),
            event=replace(honest.event, visual=next(event)),
        )

    monkeypatch.setattr(valor.training.train, "validate", scripted)
    options = replace(OPTIONS, **change)
    result = _fit(tmp_path, options)
    _, card = read_checkpoint(tmp_path)
    chosen = _log(tmp_path)[epoch - 1]
    assert result.best_epoch == card.epoch == epoch
    assert result.selected_by == card.selected_by == chosen["selected_by"] == options.select_by
    level, figure = options.select_by.split(".")
    assert result.val_score == card.val_score == chosen["val_score"] == chosen["val"][level][figure]
    assert result.val_type_av == card.val_type_av == chosen["val"]["segment"]["type_av"]


def test_the_gate_decides_validation():
    parser, val = build_parser(TINY, seed=0), toy_clip_set(20, seed=2)
    with torch.no_grad():
        parser.classifier.bias += 1.0
    scores = {gate: validate(parser, val, PostProcessing(gate=gate)).to_dict() for gate in ("clip", "modality", "none")}
    assert validate(parser, val).to_dict() == scores["clip"]
    predictions = predict_split(parser, val)
    free = score(predictions.segment_probs >= 0.5, val.truth.numpy())
    assert scores["none"] == free.to_dict()
    gated = (predictions.segment_probs >= 0.5) & (predictions.modality_probs >= 0.5)[:, None]
    assert scores["modality"] == score(gated, val.truth.numpy()).to_dict()


def test_whoever_listens_hears_every_epoch_once_it_is_safe(tmp_path, monkeypatch):
    heard = []

    def listen(record):
        assert _log(tmp_path)[-1] == json.loads(json.dumps(record))
        assert read_tensors(tmp_path / "last.safetensors")[1]["progress"]["epoch"] == record["epoch"]
        heard.append(record["epoch"])
        if heard == [1, 2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path, on_epoch=listen)
    assert _fit(tmp_path, on_epoch=listen).resumed_from == 2
    assert heard == [1, 2, 3, 4]


def test_averaged_weights_are_those_validated_and_kept(tmp_path):
    val = toy_clip_set(10, seed=2)
    parser = build_parser(TINY, seed=0)
    result = _fit(tmp_path, parser=parser, val=val, methods=Methods({"average": AverageOptions(decay=0.8)}))
    kept, card = read_checkpoint(result.checkpoint)
    assert validate(kept, val).segment.type_av == card.val_type_av
    held = read_tensors(tmp_path / "last.safetensors")[0]
    assert held["extra.average.steps"] == OPTIONS.epochs * 3
    if card.epoch == OPTIONS.epochs:
        assert torch.equal(held["extra.average.classifier.weight"], kept.classifier.weight)
    assert torch.equal(held["model.classifier.weight"], parser.classifier.weight)
    assert not torch.equal(held["extra.average.classifier.weight"], parser.classifier.weight)


def test_without_a_greatest_norm_gradients_are_measured_and_left():
    parser = build_parser(TINY, seed=0)
    batch = toy_clip_set(4).batch(torch.arange(4))
    norms = {}
    for most in (None, 1e9, 1e-3):
        options = replace(OPTIONS, max_grad_norm=most, learning_rate=1e-12)
        torch.manual_seed(0)
        step = train_step(parser, batch, build_optimiser(parser, options), options)
        norms[most] = step.grad_norm.item(), torch.stack([p.grad.norm() for p in parser.parameters()]).norm().item()
    assert norms[None] == pytest.approx(norms[1e9], rel=1e-5)
    assert norms[None][0] == pytest.approx(norms[None][1], rel=1e-5)
    assert norms[1e-3][1] == pytest.approx(1e-3, rel=1e-2)


def test_the_optimiser_is_the_one_named():
    parser = build_parser(TINY, seed=0)
    adam = build_optimiser(parser, replace(OPTIONS, optimiser="adam", weight_decay=0.0, beta1=0.9))
    assert type(adam) is torch.optim.Adam and adam.defaults["betas"] == (0.9, 0.999)
    assert adam.defaults["weight_decay"] == 0 and type(build_optimiser(parser, OPTIONS)) is torch.optim.AdamW
