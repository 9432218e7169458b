"""One step: which terms it takes, and what it takes from the whole training set."""

from dataclasses import replace

import pytest
import torch

from parsers.build import build_parser
from parsers.losses import loss_terms
from tests.toy_features import TINY, toy_clip_set
from valor.denoising import lost_tags
from valor.fit_options import FitOptions
from valor.train_step import Extras, build_optimiser, train_step

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
