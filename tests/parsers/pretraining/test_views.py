"""What objectives see of a parser: one stream alone knows nothing of the other, hidden seconds are not looked at."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, OPTIONS, B, T, ToyPool, clips, drawn, views_of
from valor.parsers.build import build_parser
from valor.parsers.pretraining.objective import Views, batches, weighted
from valor.parsers.pretraining.views import SegmentViews

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("modality", [0, 1])
def test_one_stream_alone_knows_nothing_of_the_other(modality):
    views, batch = views_of(CODED), clips()
    others = {0: ("visual", "motion"), 1: ("audio",)}[modality]
    noisy = replace(batch, **{name: 100 * drawn(getattr(batch, name).shape, 9) for name in others})
    plain = views.alone(batch, modality)
    assert torch.equal(plain, views.alone(noisy, modality))
    inputs = {name: getattr(batch, name).requires_grad_() for name in ("audio", "visual", "motion")}
    views.alone(batch, modality).square().sum().backward()
    for name, held in inputs.items():
        assert (held.grad is None or not held.grad.any()) == (name in others)
    # the same question finds the leak where both streams meet
    found = views.together(noisy)[modality]
    assert (found - views.together(batch)[modality]).abs().max() > 1e-2


def test_hidden_seconds_are_not_looked_at_and_others_are():
    views, batch = views_of(CODED), clips()
    mask = torch.zeros(B, T, dtype=torch.bool)
    mask[:, 2] = True
    changed = replace(batch, audio=torch.where(mask[..., None], 50.0, batch.audio))
    for one, other in ((views.alone(batch, 0, mask), views.alone(changed, 0, mask)),
                       (views.together(batch, (mask, None))[1], views.together(changed, (mask, None))[1])):  # fmt: skip
        assert torch.equal(one, other)
    assert not torch.equal(views.alone(batch, 0), views.alone(changed, 0))


@pytest.mark.parametrize(("options", "says_when"), [(OPTIONS, False), (CODED, True)])
def test_hidden_seconds_get_one_answer_unless_codes_say_which_is_which(options, says_when):
    views = views_of(options)
    assert views.says_when == says_when
    mask = torch.tensor([[False, True, False, True, False]]).expand(B, T)
    found = views.alone(clips(), 1, mask)
    assert (torch.allclose(found[:, 1], found[:, 3], atol=1e-6)) != says_when


def test_codes_follow_the_order_in_which_seconds_are_played():
    views, batch = views_of(CODED), clips()
    rows = torch.tensor([[4, 2, 0]]).expand(B, 3)
    played = replace(batch, **{name: getattr(batch, name)[:, [4, 2, 0]] for name in ("audio", "visual", "motion")})
    torch.testing.assert_close(views.alone(batch, 1, rows=rows), views.alone(played, 1), atol=1e-5, rtol=0)
    cut = replace(batch, valid=torch.tensor([[True, False, True, True, True]]).expand(B, T))
    torch.testing.assert_close(views.alone(cut, 0, rows=torch.tensor([[0, 1]] * B))[:, 0],
                               views.alone(batch, 0, rows=torch.zeros(B, 1, dtype=torch.long))[:, 0])  # fmt: skip


def test_dropped_seconds_have_no_gradient():
    views, batch = views_of(), clips()
    keep = torch.tensor([[True, False, True, True, False]]).expand(B, T)
    batch.audio.requires_grad_()
    dropped = batch.only(keep)
    views.pooled(views.alone(dropped, 0), dropped)[:, :5].square().sum().backward()
    assert batch.audio.grad is not None
    assert torch.equal(batch.audio.grad.abs().sum(dim=2) > 0, keep)


def test_targets_have_mean_0_and_deviation_1_over_the_pool_and_a_missing_modality_is_refused():
    held = clips()
    valid = torch.arange(T) < torch.tensor([[T], [2], [T]])
    held = replace(held, audio=5 + 3 * held.audio, valid=valid)
    views = views_of()
    views.measure(ToyPool(held))
    for target, width in zip(views.targets(held), views.target_widths, strict=True):
        assert target.shape == (B, T, width)
        there = target[valid]
        torch.testing.assert_close(there.mean(dim=0), torch.zeros(width), atol=1e-5, rtol=0)
        torch.testing.assert_close(there.std(dim=0, correction=0), torch.ones(width), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="the visual features are the same in all 12 segments of the pool.*missing"):
        views.measure(ToyPool(replace(held, visual=torch.zeros_like(held.visual))))


def test_clips_are_varied_by_their_generator_alone():
    views, batch = views_of(), clips()
    one, again = (views.varied(batch, torch.Generator().manual_seed(3), dropout=0.5, noise=0.1) for _ in range(2))
    assert torch.equal(one.visual, again.visual)
    assert torch.isclose((one.audio == 0).float().mean(), torch.tensor(0.5), atol=0.15)
    same = views.varied(batch, torch.Generator(), dropout=0.0, noise=0.0)
    assert torch.equal(same.motion, batch.motion)


def test_views_share_the_weights_of_the_parser_and_need_a_stem_and_an_encoder():
    parser = build_parser(OPTIONS, seed=0)
    views: Views = SegmentViews(parser)
    assert isinstance(views, SegmentViews)
    assert {id(p) for p in parser.encoder.parameters()} < {id(p) for p in views.parameters()}
    with pytest.raises(ValueError, match="pre-training is for network=hybrid.*got class-wise"):
        SegmentViews(build_parser(replace(OPTIONS, network="class-wise", dropout=0.1, num_layers=1)))


def test_terms_are_summed_by_weight_and_kept_as_they_are():
    one, two = torch.tensor(3.0), torch.tensor(5.0)
    terms = weighted({"raw": (1.0, one), "inter": (0.1, two), "off": (0.0, torch.tensor(torch.nan))})
    assert terms.total == pytest.approx(3.5)
    assert terms.parts["inter"] == 5
    assert [len(batch) for batch in batches(ToyPool(clips()), 2)] == [2, 1]
