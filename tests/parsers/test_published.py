"""HAN of 2020 against an independent one of torch's modules: outputs, losses, gradients, whole training."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.plain_han import PlainHan, pairs
from valor.data.clips import Batch
from valor.parsers.build import build_parser
from valor.parsers.losses import loss_terms, total_loss
from valor.training.options import learning_rate
from valor.training.recipes import RECIPES
from valor.training.step import build_optimiser, set_learning_rate, train_step

HAN = RECIPES["han"]
SMALL = replace(
    HAN.parser,
    audio_width=7,
    visual_width=9,
    motion_width=5,
    hidden_width=12,
    feedforward_width=10,
    num_classes=6,
    dropout=0.0,
)
INPUTS = ("audio", "visual", "motion")


def _drawn(clips: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    parts = {name: torch.randn(clips, 10, getattr(SMALL, f"{name}_width"), generator=generator) for name in INPUTS}
    tags = torch.rand(clips, 6, generator=generator) < 0.3
    names = tuple(f"clip{row}" for row in range(clips))
    doubled = {name: part.double() for name, part in parts.items()}
    return Batch(clip_ids=names, **doubled, valid=None, weak_labels=tags.double(), pseudo_labels=None)


def _both(heads: int = 1) -> tuple[PlainHan, torch.nn.Module]:
    options = replace(SMALL, num_heads=heads)
    parser = build_parser(options, seed=3).double()
    widths = tuple(getattr(options, f"{name}_width") for name in INPUTS)
    plain = PlainHan(widths, options.hidden_width, heads, options.feedforward_width, options.num_classes).double()
    with torch.no_grad():
        for mine, ours in pairs(plain, parser):
            mine.copy_(ours)
            mine += 0.1 * torch.randn(mine.shape, generator=torch.Generator().manual_seed(mine.numel())).double()
            ours.copy_(mine)
    return plain, parser


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_outputs_losses_and_gradients(heads, training):
    plain, parser = _both(heads)
    batch = _drawn()
    parser.train(training)
    expected = plain(batch.audio, batch.visual, batch.motion)
    output = parser(batch.audio, batch.visual, batch.motion)
    for name, wanted in expected.items():
        assert (getattr(output, name) - wanted).abs().max() < 1e-12, name
    loss = total_loss(loss_terms(output, batch.weak_labels, smoothing=(0.0, 0.1)))
    wanted = plain.loss(expected, batch.weak_labels)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-12)
    loss.backward()
    wanted.backward()
    matched = pairs(plain, parser)
    assert len(matched) == len(list(parser.parameters())) == len(list(plain.parameters()))
    for mine, ours in matched:
        assert (mine.grad - ours.grad).abs().max() < 1e-12


def test_the_visual_stream_sees_audio_as_it_was():
    plain, parser = _both()
    batch = _drawn()
    given = batch.audio, batch.visual, batch.motion
    later = build_parser(replace(SMALL, update_order="audio-first"), seed=3).double()
    later.load_state_dict(parser.state_dict())
    together, first = parser(*given).segment_probs, later(*given).segment_probs
    assert (together[:, :, 0] - first[:, :, 0]).abs().max() < 1e-12
    assert (together[:, :, 1] - first[:, :, 1]).abs().max() > 1e-3


def test_training_follows_adam_and_the_step_schedule():
    plain, parser = _both()
    fit = replace(HAN.fit, learning_rate=3e-3)
    ours = build_optimiser(parser, fit)
    theirs = torch.optim.Adam(plain.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.StepLR(theirs, step_size=10, gamma=0.1)
    for epoch in range(1, 23):
        set_learning_rate(ours, learning_rate(epoch, fit))
        batch = _drawn(seed=epoch)
        train_step(parser, batch, ours, fit)
        theirs.zero_grad()
        plain.loss(plain(batch.audio, batch.visual, batch.motion), batch.weak_labels).backward()
        theirs.step()
        schedule.step()
    for mine, ours_ in pairs(plain, parser):
        assert (mine - ours_).abs().max() < 1e-9


def test_the_recipe_is_the_published_one():
    parser, fit = HAN.parser, HAN.fit
    assert (parser.num_layers, parser.num_heads, parser.hidden_width, parser.feedforward_width) == (1, 1, 512, 512)
    assert (parser.norm_order, parser.update_order, parser.dropout) == ("post", "together", 0.1)
    assert (fit.optimiser, fit.learning_rate, fit.weight_decay, fit.max_grad_norm) == ("adam", 3e-4, 0.0, None)
    assert (fit.beta1, fit.beta2, fit.batch_size, fit.epochs, fit.seed) == (0.9, 0.999, 16, 40, 1)
    assert (fit.pseudo_label_weight, fit.guided_weight) == (0.0, 1.0)
    assert (fit.audio_smoothing, fit.visual_smoothing) == (0.0, 0.1)
    assert (fit.select_by, fit.select_tie) == ("segment.type_av", "last")
    assert (HAN.features.audio, HAN.features.visual, HAN.features.motion) == ("vggish", "res152", "r2plus1d")
