"""The common space of sound, picture and text: what may not change where clips lie, and what the loss is of."""

import pytest
import torch

from valor.parsers.blocks import Sizes
from valor.parsers.joint_space import (
    WEIGHTS,
    ClipVectors,
    JointSpace,
    combinatorial_loss,
    combinatorial_losses,
    contrast,
    unit,
)

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTHS = {"t": 4, "v": 7, "a": 5}
LENGTHS = {"t": 3, "v": 4, "a": 2}


@pytest.fixture
def space():
    torch.manual_seed(0)
    return JointSpace(WIDTHS, Sizes(8, 2, 8), 2, 6).double()


def clips(count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = {m: torch.randn(count, LENGTHS[m], WIDTHS[m], dtype=torch.float64, generator=generator) for m in WIDTHS}
    return tokens, {m: torch.ones(count, LENGTHS[m], dtype=torch.bool) for m in WIDTHS}


def assert_same_place(one: ClipVectors, other: ClipVectors):
    for name, vector in {**one.vectors, **one.apart}.items():
        expected = {**other.vectors, **other.apart}[name]
        torch.testing.assert_close(vector, expected, rtol=0, atol=1e-12)


def test_neither_the_order_of_tokens_nor_masked_ones_matter(space):
    tokens, masks = clips()
    plain = space(tokens, masks)
    assert set(plain.vectors) == {"t", "v", "a", "tv", "ta", "va"} and set(plain.apart) == {"t+v", "t+a", "v+a"}
    assert_same_place(space({m: x.flip(1) for m, x in tokens.items()}, masks), plain)
    longer = {m: torch.cat((x, torch.full_like(x, 9.0)), dim=1) for m, x in tokens.items()}
    assert_same_place(space(longer, {m: torch.cat((x, ~x), dim=1) for m, x in masks.items()}), plain)


def test_a_clip_without_sound_is_left_out_of_what_is_said_of_sound(space):
    tokens, masks = clips()
    masks["a"][2] = False
    found = space(tokens, masks)
    assert found.there["a"].tolist() == [True, True, False, True, True]
    losses = combinatorial_losses(found)
    loud = {**tokens, "a": tokens["a"].clone()}
    loud["a"][2] = 100.0
    assert_same_place(space(loud, masks), found)
    rest = [0, 1, 3, 4]
    without = combinatorial_losses(
        space({m: x[rest] for m, x in tokens.items()}, {m: x[rest] for m, x in masks.items()})
    )
    for pair, loss in losses.items():
        same = torch.allclose(loss, without[pair], atol=1e-12)
        assert same is (pair != ("t", "v")), pair


def test_seen_together_is_not_the_mean_of_seen_apart(space):
    found = space(*clips())
    assert not torch.allclose(found.vectors["va"], found.apart["v+a"], atol=1e-3)


def test_one_projection_can_serve_all_modalities():
    torch.manual_seed(0)
    space = JointSpace(WIDTHS, Sizes(8, 2, 8), 1, 6, individual=False).double()
    assert set(space.units) == {"all"}
    assert space(*clips()).vectors["ta"].shape == (5, 6)


def test_the_contrast_is_lowest_where_every_row_finds_its_own():
    x = torch.eye(4, dtype=torch.float64)
    assert contrast(3 * x, x) < 1e-7 < contrast(x, x.roll(1, 0))
    assert contrast(x[:1], x[1:2]) == 0  # nothing to be taken for
    torch.testing.assert_close(unit(5 * x), x)


def test_the_loss_is_the_weighted_mean_of_its_pairs(space):
    found = space(*clips())
    losses = combinatorial_losses(found)
    expected = sum(WEIGHTS[pair] * loss for pair, loss in losses.items()) / sum(WEIGHTS.values())
    torch.testing.assert_close(combinatorial_loss(found), expected)
    alone = combinatorial_loss(found, {("t", "v"): 2.0, ("t", "a"): 0.0})
    torch.testing.assert_close(alone, losses["t", "v"])
