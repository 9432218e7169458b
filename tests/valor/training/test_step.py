"""One step: which terms it takes, and what it takes from the whole training set.

Feature mix-up against the definition, written out segment by segment.
"""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.parsers.losses import loss_terms
from valor.training.denoise import lost_tags
from valor.training.options import FitOptions
from valor.training.step import Extras, build_optimiser, mixup_loss, train_step

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
    options = FitOptions(mixup_alpha=1.0)
    beta = torch.distributions.Beta
    torch.distributions.Beta = lambda *_: type("Always", (), {"sample": lambda self: torch.ones(())})()
    try:
        step = train_step(parser, batch, build_optimiser(parser, options), options)
    finally:
        torch.distributions.Beta = beta
    terms = step.terms
    assert terms.mixed.item() == pytest.approx((terms.audio + terms.visual).item(), rel=1e-5)
    assert step.total.item() == pytest.approx((terms.weak + terms.audio + terms.visual + terms.mixed).item(), rel=1e-6)


OPTIONS = FitOptions(guided_weight=1.0)


def _step(extras: Extras, options: FitOptions = OPTIONS):
    parser = build_parser(replace(TINY, dropout=0.0), seed=0)
    batch = toy_clip_set(16).batch(torch.arange(16))
    output = parser(batch.audio, batch.visual)
    return train_step(parser, batch, build_optimiser(parser, options), options, extras).terms, output, batch


def test_a_tag_that_is_lost_is_lost_to_every_term():
    ratios = torch.full((2, 3), 0.5, dtype=torch.float64)
    terms, output, batch = _step(Extras(noise_ratios=ratios))
    kept = ~lost_tags(output.modality_probs, batch.weak_labels, ratios, (0.0, 0.1))
    assert 0 < (~kept).sum() < kept.sum()
    expected = loss_terms(output, batch.weak_labels, batch.pseudo_labels, smoothing=(0.0, 0.1), kept=kept)
    plain, _, _ = _step(Extras())
    for name in ("audio", "visual", "guided"):
        assert getattr(terms, name).item() == pytest.approx(getattr(expected, name).item(), rel=1e-6)
        assert getattr(terms, name).item() != pytest.approx(getattr(plain, name).item(), rel=1e-3)
    assert terms.weak == plain.weak


def test_feature_mixup_blends_the_labels_of_lost_tags_too():
    options = replace(OPTIONS, mixup_alpha=1.7)
    torch.manual_seed(0)
    lost, _, _ = _step(Extras(noise_ratios=torch.full((2, 3), 0.5, dtype=torch.float64)), options)
    torch.manual_seed(0)
    plain, _, _ = _step(Extras(), options)
    assert lost.mixed == plain.mixed and lost.audio != plain.audio


def test_balance_goes_to_the_segment_losses_alone():
    balance = torch.tensor([[2.0, 0.5], [3.0, 0.25]])
    terms, output, batch = _step(Extras(balance=balance))
    expected = loss_terms(output, batch.weak_labels, batch.pseudo_labels, balance=balance)
    plain, _, _ = _step(Extras())
    for name in ("audio", "visual"):
        assert getattr(terms, name).item() == pytest.approx(getattr(expected, name).item(), rel=1e-6)
        assert getattr(terms, name) != getattr(plain, name)
    assert (terms.weak, terms.guided) == (plain.weak, plain.guided)


def test_terms_that_are_not_asked_for_are_not_taken():
    terms, _, _ = _step(Extras(), FitOptions())
    assert terms.guided is None and terms.mixed is None
    terms, _, _ = _step(Extras(), FitOptions(pseudo_label_weight=0.0, guided_weight=1.0))
    assert terms.audio is None and terms.visual is None and terms.guided is not None
