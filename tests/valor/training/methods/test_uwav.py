"""UWAV's losses against their definitions: mix-up segment by segment, and classes weighed by the tags."""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.parsers.losses import loss_terms
from valor.training.methods.methods import Methods
from valor.training.methods.uwav import Uwav, UwavOptions, balance_weights, mixup_loss
from valor.training.options import FitOptions
from valor.training.step import build_optimiser, train_step

ALPHA = 1.7


def plain_mixup(features, labels, classifier, alpha):
    """One share and one permutation per modality; every segment with its partner, every class by itself."""
    total = 0.0
    for m in range(2):
        x, y = features[:, :, m].reshape(-1, features.shape[-1]), labels[:, :, m].reshape(-1, labels.shape[-1])
        share = torch.distributions.Beta(alpha, alpha).sample().item()
        partner = torch.randperm(len(x)).tolist()
        terms = []
        for i, j in enumerate(partner):
            logits = classifier(share * x[i] + (1 - share) * x[j])
            target = share * y[i] + (1 - share) * y[j]
            for logit, wanted in zip(logits.tolist(), target.tolist(), strict=True):
                p = 1 / (1 + math.exp(-logit))
                terms.append(-wanted * math.log(p) - (1 - wanted) * math.log(1 - p))
        total += sum(terms) / len(terms)
    return total


def _drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 4, 2, 5, generator=generator, dtype=torch.float64)
    labels = torch.rand(3, 4, 2, 6, generator=generator, dtype=torch.float64)
    return features, labels, torch.nn.Linear(5, 6).double()


def test_loss_is_that_of_the_definition():
    features, labels, classifier = _drawn()
    torch.manual_seed(4)
    expected = plain_mixup(features, labels, classifier, ALPHA)
    torch.manual_seed(4)
    assert mixup_loss(features, labels, classifier, ALPHA).item() == pytest.approx(expected, rel=1e-6)


def test_segments_that_do_not_exist_take_no_part():
    features, labels, classifier = _drawn()
    valid = torch.tensor([[True, True, False, False], [True] * 4, [True, False, False, False]])
    losses = []
    for noise in (0.0, 9.0):
        torch.manual_seed(4)
        changed = torch.where(valid[:, :, None, None], features, features + noise)
        losses.append(mixup_loss(changed, labels, classifier, ALPHA, valid).item())
    assert losses[0] == losses[1]


def test_a_step_blends_what_the_classifier_sees():
    # With all shares 1 a blend is the segment itself, so the mix-up loss is that of the pseudo labels.
    parser = build_parser(TINY, seed=0).eval()  # no dropout
    batch = toy_clip_set(6).batch(torch.arange(6))
    options, methods = FitOptions(), Methods({"uwav": UwavOptions(mixup_alpha=1.0)})
    beta = torch.distributions.Beta
    torch.distributions.Beta = lambda *_: type("Always", (), {"sample": lambda self: torch.ones(())})()
    try:
        step = train_step(parser, batch, build_optimiser(parser, options), options, methods)
    finally:
        torch.distributions.Beta = beta
    terms = {name: term.item() for name, term in step.terms.items()}
    assert terms["mixed"] == pytest.approx(terms["audio"] + terms["visual"], rel=1e-5)
    assert step.total.item() == pytest.approx(sum(terms.values()), rel=1e-6)


def test_balance_weights_are_the_frequencies_of_the_definition():
    labels = torch.rand(20, 5, 2, 6, generator=torch.Generator().manual_seed(0)) < 0.2
    for given in (labels, labels.float() * 0.9):
        weights = balance_weights(given, 0.5)
        for m in range(2):
            positive = labels[:, :, m].double().mean().item()  # UWAV: sum over clips, segments, classes, by N T C
            assert weights[m].tolist() == pytest.approx([6 * (1 - positive) * 0.5, 6 * positive], rel=1e-6)
    valid = torch.zeros(20, 5, dtype=torch.bool)
    valid[:, :2] = True
    assert torch.equal(balance_weights(labels, 0.5, valid), balance_weights(labels[:, :2], 0.5))


def _step(uwav: Uwav | None):
    parser, options = build_parser(replace(TINY, dropout=0.0), seed=0), FitOptions(guided_weight=1.0)
    batch = toy_clip_set(16).batch(torch.arange(16))
    output = parser(batch.audio, batch.visual)
    terms = train_step(
        parser, batch, build_optimiser(parser, options), options, Methods(own=[uwav] if uwav else [])
    ).terms
    return terms, output, batch


def test_balance_goes_to_the_segment_losses_alone():
    uwav = Uwav(UwavOptions(class_balance=0.5))
    uwav.balance = torch.tensor([[2.0, 0.5], [3.0, 0.25]])
    terms, output, batch = _step(uwav)
    weights = torch.where(batch.weak_labels[:, None, None] > 0.5, uwav.balance[:, :1], uwav.balance[:, 1:])
    expected = loss_terms(output, batch.weak_labels, batch.pseudo_labels, weights=weights)
    plain, _, _ = _step(None)
    for name in ("audio", "visual"):
        assert terms[name].item() == pytest.approx(getattr(expected, name).item(), rel=1e-6)
        assert terms[name] != plain[name]
    assert (terms["weak"], terms["guided"]) == (plain["weak"], plain["guided"])


def test_the_weights_are_those_of_the_labels_in_use():
    uwav, train = Uwav(UwavOptions(class_balance=0.5)), toy_clip_set(6)
    uwav.use_labels(train)
    assert torch.equal(uwav.balance, balance_weights(train.pseudo_labels, 0.5))
    uwav.use_labels(replace(train, pseudo_labels=~train.pseudo_labels))
    assert torch.equal(uwav.balance, balance_weights(~train.pseudo_labels, 0.5))
