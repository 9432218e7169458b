"""PPL as it is set here: prototypes, labels, and a training that begins with neither."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.methods.methods import Methods
from valor.training.methods.ppl import Ppl, PplOptions, likenesses, prototype_labels, prototypes
from valor.training.recipes import RECIPES, override
from valor.training.step import train_step
from valor.training.train import new_state


def test_labels_follow_what_is_like_the_prototype_of_a_tagged_class():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]).view(3, 1, 1, 2).expand(3, 4, 2, 2).clone()
    features[0, 3] = torch.tensor([0.0, 1.0])  # the last second of the first clip is of something else
    tags = torch.tensor([[True, False], [False, True], [True, False]])
    found = prototypes(features, torch.full((3, 4, 2, 2), 0.5), tags)
    assert found.norm(dim=-1).allclose(torch.ones(2, 2)) and (found[:, 0, 0] > 0.9).all()
    labels = prototype_labels(features, found, tags, 0.5)
    assert (labels[0, :3, :, 0] > 0.5).all() and (labels[0, 3, :, 0] < 0.1).all()
    assert (labels[~tags[:, None, None].expand(labels.shape)] == 0).all()
    assert likenesses(features, found).shape == labels.shape
    valid = torch.ones(3, 4, dtype=torch.bool)
    valid[0, 3] = False
    assert (prototype_labels(features, found, tags, 0.5, valid)[0, 3] == 0).all()


def test_the_losses_come_in_behind_the_warm_up():
    train = replace(toy_clip_set(12), pseudo_labels=None)
    recipe = RECIPES["ppl"]
    fit = replace(recipe.fit, batch_size=4, epochs=4, warmup_epochs=0)
    methods = Methods(own=(Ppl(PplOptions(warmup_epochs=1)),))
    run = new_state(build_parser(TINY, seed=0).train(), train, fit, methods)
    batch = train.batch(torch.arange(4))
    run.before_epoch(1)
    assert "prototype_segments" not in train_step(run.parser, batch, run.optimiser, fit, methods).terms
    run.before_epoch(2)
    assert run.parser.training
    terms = train_step(run.parser, batch, run.optimiser, fit, methods).terms
    assert {"prototype_segments", "prototype_contrast"} <= set(terms)
    assert all(term.isfinite() and term > 0 for term in terms.values())


def test_what_it_cannot_work_with_is_refused():
    with pytest.raises(ValueError, match=r"methods\.ppl labels segments itself, got pseudo_label_weight=1; set"):
        override(RECIPES["ppl"], ["fit.pseudo_label_weight=1"])
    with pytest.raises(ValueError, match=r"methods\.ppl\.warmup_epochs must be less than fit\.epochs=5, got 10"):
        override(RECIPES["ppl"], ["fit.epochs=5", "fit.warmup_epochs=1"])
