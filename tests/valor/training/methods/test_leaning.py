"""Methods against leaning on the other modality: a path of each stream alone, and clips that lose a modality."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.parsers.losses import loss_terms, total_loss
from valor.training.methods.alone import Alone, AloneOptions
from valor.training.methods.methods import Methods
from valor.training.methods.onesided import Onesided, OnesidedOptions, with_kept
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.step import train_step
from valor.training.train import new_state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_second_pass_is_charged_as_the_first_and_answers_with_it():
    clips = toy_clip_set(6)
    fit = FitOptions(epochs=2, warmup_epochs=0, batch_size=4)
    methods = Methods(own=(Alone(AloneOptions(weight=0.5, share=0.25)),))
    plain = build_parser(replace(TINY, dropout=0.0), seed=0)
    parser = methods.network(plain, clips.class_names)
    batch = clips.batch(torch.arange(4))
    given = (batch.audio, batch.visual, batch.motion, batch.valid)
    crossed, alone = plain(*given), plain.answer_alone(*given)
    parser.eval()
    told = parser(*given)
    for name in ("segment_probs", "clip_probs", "modality_probs"):
        expected = 0.75 * getattr(crossed, name) + 0.25 * getattr(alone, name)
        torch.testing.assert_close(getattr(told, name), expected)
    torch.testing.assert_close(told.segment_logits.sigmoid(), told.segment_probs)
    parser.train()
    torch.testing.assert_close(parser(*given).segment_probs, crossed.segment_probs)
    run = new_state(parser, clips, fit, methods)
    step = train_step(parser, batch, run.optimiser, fit, methods)
    own, second = (
        total_loss(loss_terms(output, batch.weak_labels, batch.pseudo_labels)) for output in (crossed, alone)
    )
    torch.testing.assert_close(step.total, own + 0.5 * second, check_device=False)
    torch.testing.assert_close(step.terms["alone"], second)


@pytest.mark.parametrize("network", ["hybrid", "presence"])
def test_streams_that_are_there_are_not_projected_again(network):
    clips = toy_clip_set(3)
    parser = build_parser(replace(TINY, dropout=0.0, network=network, update_order="together"), seed=0)
    parser.between_dropout = 0.0
    batch = clips.batch(torch.arange(3))
    given = (batch.audio, batch.visual, batch.motion, batch.valid)
    output, expected = parser(*given), parser.answer_alone(*given)
    asked = []
    parser.stem.register_forward_hook(lambda *_: asked.append(1))
    found = parser.answer_alone(*given, after=output)
    assert not asked
    for name in ("segment_logits", "modality_probs", "clip_probs"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))


def test_a_clip_that_loses_a_modality_keeps_the_labels_of_the_other():
    clips = toy_clip_set(6)
    batch = clips.batch(torch.arange(6))
    kept = torch.tensor([[True, True], [False, True], [True, False]] * 2)
    held = with_kept(batch, kept)
    assert torch.equal(held.audio[0], batch.audio[0]) and torch.equal(held.weak_labels[0], batch.weak_labels[0])
    assert not held.audio[1].any() and torch.equal(held.visual[1], batch.visual[1])
    assert torch.equal(held.audio[2], batch.audio[2]) and not held.visual[2].any()
    for row, gone in ((1, 0), (2, 1)):
        labels = batch.pseudo_labels[row, :, 1 - gone]
        assert not held.pseudo_labels[row, :, gone].any()
        assert torch.equal(held.pseudo_labels[row, :, 1 - gone], labels)
        assert torch.equal(held.weak_labels[row], (labels > 1 / 2).any(dim=0).float())


def test_as_many_clips_lose_a_modality_as_was_asked_and_none_both():
    clips = toy_clip_set(4)
    batch = clips.batch(torch.arange(4).repeat(100))
    torch.manual_seed(0)
    held = Onesided(OnesidedOptions(silent=0.25, dark=0.5)).batch(batch)
    silent, dark = (~kind.flatten(1).any(dim=1) for kind in (held.audio, held.visual))
    assert not (silent & dark).any()
    assert silent.float().mean() == pytest.approx(0.25, abs=0.07) and dark.float().mean() == pytest.approx(
        0.5, abs=0.08
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ["methods.alone=on", "parser.encoder=uavm"],
            "asks each stream alone, which the encoder and network hybrid can",
        ),
        (["methods.alone.weight=0"], "weight must be a positive number, got 0"),
        (["methods.alone.share=1.5"], r"share must be in 0\.\.1, got 1\.5"),
        (["methods.onesided.silent=0.7", "methods.onesided.dark=0.6"], r"at most 1, got 0\.7 and 0\.6"),
        (["methods.onesided=on", "fit.pseudo_label_weight=0"], r"methods\.onesided leaves the labels of one modality"),
        (["methods.alone=on", "methods.cmpae=on"], r"methods\.\w+ and methods\.\w+ exclude one another"),
    ],
)
def test_what_they_cannot_work_with_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        override(RECIPES["demo"], changes)
