"""Training on every second, with VALOR's network and with that of 2018, and on tags with the latter."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.eval.decide import PostProcessing
from valor.parsers.build import build_parser
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.avel import AvelOptions
from valor.training.methods.methods import Methods
from valor.training.methods.supervised import Supervised
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, Recipe, override
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit

NONE = Supervised.Options()
ONCE = FitOptions(epochs=1, warmup_epochs=0, batch_size=4)


def _clips(**changes):
    clips = toy_clip_set(6)
    return replace(clips, truth=clips.pseudo_labels, **changes)


def _avel_parser(clips, methods):
    options = replace(TINY, **clips.widths())
    return methods.network(build_parser(options, seed=0), clips.class_names)


def test_the_truth_stands_in_the_place_of_pseudo_labels(tmp_path):
    clips = _clips(pseudo_labels=None)
    options = replace(TINY, **clips.widths())
    result = fit(build_parser(options, seed=0), clips, clips, ONCE, tmp_path, methods=Methods({"supervised": NONE}))
    assert result.best_epoch == 1
    given = replace(clips, pseudo_labels=clips.truth)
    fit(build_parser(options, seed=0), given, given, ONCE, tmp_path / "labels")
    ends = [read_checkpoint(folder)[0].classifier.weight for folder in (tmp_path, tmp_path / "labels")]
    assert torch.equal(*ends)


def test_what_has_no_truth_or_no_use_for_it_is_refused():
    with pytest.raises(ValueError, match="needs the truth of every segment of the training split"):
        Supervised(NONE).clips(replace(toy_clip_set(2), truth=None))
    with pytest.raises(ValueError, match="fit.pseudo_label_weight=0 leaves out; give them a weight"):
        override(RECIPES["valor"], ["methods.supervised=on", "fit.pseudo_label_weight=0"])


@pytest.mark.parametrize("supervised", [False, True])
def test_a_step_of_the_network_of_2018_is_that_of_its_own_loss(supervised):
    clips = _clips(motion=None)
    clips = replace(clips, visual=clips.visual[..., :4])
    methods = Methods({"avel": AvelOptions(places=2, width=3, attention_width=5)})
    parser = _avel_parser(clips, methods)
    options = replace(ONCE, pseudo_label_weight=float(supervised))
    step = train_step(parser, clips.batch(torch.arange(6)), build_optimiser(parser, options), options, methods)
    assert set(step.terms) == {"soft_margin"} and step.total == step.terms["soft_margin"]
    assert 0.4 < step.total.item() < 1  # sigmoid cross-entropy of values between 0 and 1
    assert methods.decision(PostProcessing()).gate == "none"


def test_its_checkpoint_is_read_into_the_same_network(tmp_path):
    clips = replace(_clips(motion=None), visual=toy_clip_set(6).visual[..., :4])
    methods = Methods({"supervised": NONE, "avel": AvelOptions(places=2, width=3, attention_width=5)})
    parser = _avel_parser(clips, methods)
    recipe = {"methods": methods.to_json()}
    fit(parser, clips, clips, ONCE, tmp_path, methods=methods, recipe=recipe)
    read, card = read_checkpoint(tmp_path)
    assert card.network == ("avel",) and type(read) is type(parser)
    batch = clips.batch(torch.arange(2))
    assert torch.equal(
        read.eval()(batch.audio, batch.visual).clip_probs, parser.eval()(batch.audio, batch.visual).clip_probs
    )


@pytest.mark.parametrize(("change", "message"), [
    ({"fit.pseudo_label_weight": "1"}, "or on the truth of every second with methods.supervised=on"),
    ({"parser.visual_width": "50"}, "visual features of 49 places"),
    ({"methods.uwav.mixup_alpha": "1"}, "exclude one another"),
])  # fmt: skip
def test_recipes_it_cannot_work_in_are_refused(change, message):
    known = {
        "methods.avel": "on",
        "fit.pseudo_label_weight": "0",
        "features.motion": "none",
        "parser.motion_width": "0",
        "parser.visual_width": "98",
    }
    override(Recipe(name="as it is"), [f"{name}={value}" for name, value in known.items()])
    with pytest.raises(ValueError, match=message):
        override(Recipe(name="changed"), [f"{name}={value}" for name, value in (known | change).items()])
