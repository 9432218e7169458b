from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, ToyPool, clips, descend, views_of
from valor.parsers.build import build_parser
from valor.parsers.pretraining.options import XkdOptions
from valor.parsers.pretraining.teacher import momentum_at
from valor.parsers.pretraining.views import SegmentViews
from valor.parsers.pretraining.xkd import Xkd, weighed

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = XkdOptions(hidden=8, bottleneck=4, prototypes=6, momentum=0.5)


def test_the_teacher_is_the_average_of_its_students_and_gets_no_gradient():
    views = views_of(CODED)
    xkd = Xkd(views, SMALL)
    expected = {name: weight.clone() for name, weight in views.state_dict().items()}
    centres = torch.zeros(2, 6)
    for step in range(1, 4):
        terms = xkd.loss(views, clips(step), torch.Generator().manual_seed(step))
        taught, _ = xkd._teach(clips(step))
        assert terms.total.item() == pytest.approx(
            ((5 * terms.parts["recon"] + terms.parts["distil"] + terms.parts["align"]) / 7).item()
        )
        descend(terms.parts["distil"], views, xkd, rate=0.5)
        assert not any(weight.requires_grad or weight.grad is not None for weight in xkd.teacher.parameters())
        xkd.after_step(views, step / 4)
        momentum = momentum_at(step / 4, 0.5)
        expected = {name: momentum * of + (1 - momentum) * views.state_dict()[name] for name, of in expected.items()}
        centres = 0.9 * centres + 0.1 * taught.mean(dim=1)
    for name, weight in xkd.teacher["views"].state_dict().items():
        torch.testing.assert_close(weight, expected[name], msg=name)
    assert (expected["stem.audio.weight"] - views.stem.audio.weight).abs().max() > 1e-4
    torch.testing.assert_close(xkd.centres, centres)


def test_equal_streams_are_aligned():
    views = views_of(CODED)
    xkd = Xkd(views, replace(SMALL, attention=False))
    views.alone = lambda batch, modality, mask=None, rows=None: batch.audio.repeat(1, 1, 3)[..., :16]  # type: ignore[method-assign]
    xkd.teacher["views"].alone = views.alone
    batch = clips()
    assert xkd.loss(views, batch, torch.Generator()).parts["align"] > 1e-3
    for heads in (xkd.heads, xkd.teacher["heads"]):
        heads[1].load_state_dict(heads[0].state_dict())
    assert xkd.loss(views, batch, torch.Generator()).parts["align"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("norm_order", ["post", "pre"])
def test_attention_received_is_that_of_the_last_layer(norm_order):
    options = replace(CODED, norm_order=norm_order)
    views, batch = views_of(options), clips()
    held = []
    last = views.encoder.encoder.layers[-1].self_attention
    last.register_forward_pre_hook(lambda _, given: held.append(given[0]))
    with torch.no_grad():  # without the fused pass
        views.alone(batch, 0)
        found = views.attention(batch, 0)
    q, k, _ = (held[0] @ last.in_weight.T + last.in_bias).chunk(3, dim=-1)
    heads = [(a @ b.transpose(1, 2) / 8**0.5).softmax(-1) for a, b in zip(q.split(8, -1), k.split(8, -1), strict=True)]
    torch.testing.assert_close(found, sum(heads).mean(dim=1) / len(heads))
    short = replace(batch, valid=torch.arange(5) < torch.tensor([5, 3, 4])[:, None])
    weights = views.attention(short, 1)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(weights[0], views.attention(batch, 1)[0])
    assert not weights[~short.valid].any()


def test_weighed_seconds_are_as_long_as_the_plain_mean():
    tokens, plain = torch.tensor([[[3.0, 0], [0, 4]]]), torch.tensor([[1.5, 2.0]])
    assert weighed(tokens, torch.tensor([[1.0, 0.0]]), plain).tolist() == [[2.5, 0.0]]


def test_what_xkd_cannot_learn_from_is_refused():
    views = SegmentViews(build_parser(replace(CODED, time_codes=0, encoder="mbt", num_latents=2), seed=0))
    with pytest.raises(ValueError, match="attention=true needs parser.encoder=hybrid"):
        Xkd(views, SMALL)
    views = views_of(CODED)
    with pytest.raises(ValueError, match="local must be less than the 5 seconds of a clip, got 5"):
        Xkd(views, replace(SMALL, local=5)).prepare(views, ToyPool(clips()))
    with pytest.raises(ValueError, match="mask_ratio must hide at least one"):
        Xkd(views, replace(SMALL, mask_ratio=0.05)).prepare(views, ToyPool(clips()))
