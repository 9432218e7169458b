"""VPLAN's rule against its definition, written out segment by segment."""

import math
from dataclasses import replace

import pytest
import torch

import valor.training.methods.vplan
from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.methods.average import Average, AverageOptions
from valor.training.methods.methods import Methods
from valor.training.methods.uwav import UwavOptions, balance_weights
from valor.training.methods.vplan import VplanOptions, abnormal_labels, find_abnormal, flip_labels
from valor.training.options import FitOptions
from valor.training.step import build_optimiser, train_step
from valor.training.train import new_state


def plain_abnormal(probs, labels, tags, strengths):
    flipped = torch.zeros(probs.shape, dtype=torch.bool)
    clips, segments, modalities, classes = probs.shape
    for n in range(clips):
        for m in range(modalities):
            for c in range(classes):
                p, y = probs[n, :, m, c].tolist(), labels[n, :, m, c].double().tolist()
                losses = [-b * math.log(a) - (1 - b) * math.log(1 - a) for a, b in zip(p, y, strict=True)]
                half = (segments + 1) // 2
                reference = sum(sorted(losses)[:half]) / half
                for t in range(segments):
                    hard = strengths[m] > 0 and losses[t] > strengths[m] * reference
                    flipped[n, t, m, c] = hard and abs(p[t] - y[t]) > 0.5 and bool(tags[n, c])
    return flipped


@pytest.mark.parametrize("soft", [False, True])
def test_flipped_labels_are_those_of_the_definition(soft):
    generator = torch.Generator().manual_seed(1)
    probs = torch.rand(12, 7, 2, 4, generator=generator, dtype=torch.float64) ** 3 * 0.98 + 0.01
    labels = torch.rand(12, 7, 2, 4, generator=generator, dtype=torch.float64)
    labels = labels if soft else labels < 0.2
    tags = torch.rand(12, 4, generator=generator) < 0.6
    for strengths in ((0.0, 3.0), (2.0, 5.0)):
        found = abnormal_labels(probs, labels, tags, strengths)
        assert torch.equal(found, plain_abnormal(probs, labels, tags, strengths))
        assert found[:, :, 1].any() and found[:, :, 0].any() == (strengths[0] > 0)


def test_segments_that_do_not_exist_are_no_reference_and_are_not_flipped():
    probs = torch.tensor([0.01, 0.01, 0.9, 0.9]).view(1, 4, 1, 1).expand(1, 4, 2, 1)
    labels = torch.zeros(1, 4, 2, 1, dtype=torch.bool)
    tags = torch.ones(1, 1, dtype=torch.bool)
    valid = torch.tensor([[True, True, True, False]])
    found = abnormal_labels(probs, labels, tags, (0.0, 10.0), valid)
    assert found[0, :, 1, 0].tolist() == [False, False, True, False] and not found[:, :, 0].any()
    easy = torch.tensor([0.3, 0.3, 0.9, 0.001]).view(1, 4, 1, 1).expand(1, 4, 2, 1)  # the last is not there
    assert not abnormal_labels(easy, labels, tags, (10.0, 10.0), valid).any()
    assert abnormal_labels(easy, labels, tags, (10.0, 10.0)).any()


@pytest.mark.parametrize("soft", [False, True])
def test_flips_turn_labels_over(soft):
    train = toy_clip_set(4)
    labels = train.pseudo_labels.float() * 0.5 + 0.125 if soft else train.pseudo_labels
    flipped = torch.zeros_like(train.pseudo_labels)
    flipped[1, 2, 0, 1] = True
    given = replace(train, pseudo_labels=labels)
    changed = flip_labels(given, flipped).pseudo_labels
    assert changed[1, 2, 0, 1] == (1 - labels[1, 2, 0, 1] if soft else ~labels[1, 2, 0, 1])
    assert torch.equal(changed[~flipped], labels[~flipped]) and changed.dtype == labels.dtype


def test_a_parser_finds_planted_mistakes():
    clean = toy_clip_set(64, seed=1, noise=0.1)
    planted = torch.rand(clean.pseudo_labels.shape, generator=torch.Generator().manual_seed(0)) < 0.04
    planted &= clean.weak_labels[:, None, None]
    given = replace(clean, pseudo_labels=clean.pseudo_labels ^ planted)
    options = FitOptions(learning_rate=1e-2, weight_decay=0.0)
    parser = build_parser(replace(TINY, dropout=0.0), seed=0)
    optimiser = build_optimiser(parser, options)
    for _ in range(40):
        for rows in torch.arange(64).split(16):
            train_step(parser, given.batch(rows), optimiser, options)
    found = find_abnormal(new_state(parser, given, options), (10.0, 10.0))
    assert (found & planted).sum() > 0.5 * planted.sum()
    assert (found & ~planted).sum() < 0.5 * (found & planted).sum()


TRAIN = toy_clip_set(12)
OPTIONS = {"uwav": UwavOptions(class_balance=0.5), "vplan": VplanOptions(warmup_epochs=2, audio=1.0, visual=1.0)}


def _state(seed: int = 0):
    methods = Methods(OPTIONS | {"average": AverageOptions(decay=0.9)})
    return new_state(build_parser(TINY, seed=seed), TRAIN, FitOptions(), methods)


def test_labels_are_looked_at_once_after_the_warm_up(monkeypatch):
    state, looks = _state(), []
    flips = ~TRAIN.pseudo_labels & TRAIN.weak_labels[:, None, None]  # every tag in every segment of both modalities

    def look(run, strengths):
        mean: Average = run.methods.by_name["average"]
        looks.append((run.judged is mean.mean.parser, run.given is TRAIN, strengths))
        return flips

    monkeypatch.setattr(valor.training.methods.vplan, "find_abnormal", look)
    balance = state.methods.by_name["uwav"]
    for epoch in (1, 2):
        state.before_epoch(epoch)
        assert state.train is TRAIN and looks == []
    assert torch.equal(balance.balance, balance_weights(TRAIN.pseudo_labels, 0.5))
    for epoch in (3, 4):
        state.before_epoch(epoch)
    assert looks == [(True, True, (1.0, 1.0))], "once, by the weights that would be kept, on the labels as they came"
    assert torch.equal(state.train.pseudo_labels, TRAIN.pseudo_labels ^ flips)
    assert torch.equal(balance.balance, balance_weights(state.train.pseudo_labels, 0.5)), "of the labels in use"


def test_a_run_that_goes_on_has_what_the_stopped_one_had():
    state, again = _state(), _state(seed=7)
    state.before_epoch(3)
    state.methods.after_step(build_parser(TINY, seed=3))
    held = {name: tensor.clone() for name, tensor in state.methods.state().items()}
    again.resume_with(held)
    assert again.methods.state().keys() == held.keys() >= {"vplan.noise", "average.steps"}
    assert all(torch.equal(tensor, again.methods.state()[name]) for name, tensor in held.items())
    assert torch.equal(again.train.pseudo_labels, state.train.pseudo_labels)
    assert not torch.equal(again.train.pseudo_labels, TRAIN.pseudo_labels)
