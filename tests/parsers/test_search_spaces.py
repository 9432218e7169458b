"""The spaces after MVPt and with the complete cross-triplet loss: what they do not depend on, and sums by hand."""

import itertools

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from valor.parsers.blocks import Sizes
from valor.parsers.context_space import ContextSpace, context_loss
from valor.parsers.joint_space import JointSpace, contrast
from valor.parsers.label_space import LabelSpace, cross_triplets, label_loss


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def context() -> ContextSpace:
    return ContextSpace({"a": 5, "v": 6}, Sizes(8, 2, 8), 1, 7, max_segments=4).double().eval()


def test_a_segment_is_placed_with_its_neighbours_and_in_its_order():
    space, x = context(), torch.randn(2, 4, 5, dtype=torch.float64)
    valid = torch.ones(2, 4, dtype=torch.bool)
    found = space({"a": x}, {"a": valid})["a"]
    assert torch.allclose(found.segments.norm(dim=-1), torch.ones(2, 4, dtype=torch.float64))
    other = x.clone()
    other[:, 3] += 1
    assert (space({"a": other}, {"a": valid})["a"].segments[:, 0] - found.segments[:, 0]).abs().max() > 1e-4
    turned = space({"a": x.flip(1)}, {"a": valid})["a"].segments.flip(1)
    assert (turned - found.segments).abs().max() > 1e-4
    valid[:, 3] = False
    short, longer = (space({"a": one}, {"a": valid})["a"] for one in (x, other))
    assert torch.equal(short.segments[:, :3], longer.segments[:, :3]) and torch.equal(short.clips, longer.clips)


def test_the_context_loss_is_the_contrast_of_what_both_have():
    space = context()
    features = {"a": torch.randn(3, 4, 5).double(), "v": torch.randn(3, 4, 6).double()}
    valid = {"a": torch.ones(3, 4, dtype=torch.bool), "v": torch.ones(3, 4, dtype=torch.bool)}
    valid["a"][2], valid["v"][0, 1] = False, False
    found = space(features, valid)
    rows = [(0, 0), (0, 2), (0, 3), *((1, t) for t in range(4))]
    heard, seen = (torch.stack([found[letter].segments[row] for row in rows]) for letter in "av")
    expected = contrast(heard, seen, 0.07) + contrast(found["a"].clips[:2], found["v"].clips[:2], 0.07)
    assert torch.allclose(context_loss(space, found, valid), expected)
    with pytest.raises(ValueError, match="must have a segment that both"):
        context_loss(space, found, {"a": valid["a"] & False, "v": valid["v"]})


def plain_triplets(places, labels, there, margin=0.4):
    """Triplet by triplet."""
    kinds = []
    for kind in itertools.product((0, 1), repeat=3):
        if len(set(kind)) == 1:
            continue
        charged = []
        for i, j, k in itertools.product(range(len(labels)), repeat=3):
            near, far = (labels[i] & labels[j]).any(), (labels[i] & labels[k]).any()
            is_near = (near or i == j) if kind[0] != kind[1] else (near and i != j)
            has = there[kind[0]][i] and there[kind[1]][j] and there[kind[2]][k]
            if is_near and not far and i != k and has:
                anchor, far_of = places[kind[0]][i], places[kind[2]][k]
                one = 1 - cosine_similarity(anchor, places[kind[1]][j], dim=0)
                other = 1 - cosine_similarity(anchor, far_of, dim=0)
                charged.append((one - other + margin).clamp_min(0))
        kinds.append(torch.stack(charged).mean() if charged else torch.zeros((), dtype=torch.float64))
    return torch.stack(kinds).mean()


def test_all_six_kinds_of_triplets_count_as_by_hand():
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
    places = [torch.rand(5, 3, dtype=torch.float64) for _ in range(2)]
    there = [torch.tensor([1, 1, 1, 1, 0]).bool(), torch.tensor([1, 0, 1, 1, 1]).bool()]
    assert torch.allclose(cross_triplets(places, labels, there), plain_triplets(places, labels, there))
    every = [torch.ones(5, dtype=torch.bool)] * 2
    assert torch.allclose(cross_triplets(places, labels), plain_triplets(places, labels, every))
    alike = torch.ones(3, 1, dtype=torch.bool)
    assert cross_triplets([torch.rand(3, 2)] * 2, alike) == 0


def test_the_label_loss_counts_what_is_there():
    places, labels = [torch.tensor([[1.0, 0.5], [0.0, 0.0]])] * 2, torch.tensor([[1, 0], [1, 1]]).bool()
    every, first = torch.ones(2, dtype=torch.bool), torch.tensor([True, False])
    assert torch.isclose(label_loss(places, labels, [every, first]), torch.tensor((0.25 + 2) / 2 + 0.25))


def test_the_label_space_answers_probabilities_of_what_exists():
    space = LabelSpace({"a": 5, "v": 6}, 8, 3).eval()
    x, valid = torch.randn(2, 4, 5), torch.ones(2, 4, dtype=torch.bool)
    valid[:, 2:] = False
    found = space({"a": x}, {"a": valid})["a"]
    assert found.shape == (2, 3) and ((found > 0) & (found < 1)).all()
    x[:, 2:] = 9
    assert torch.equal(found, space({"a": x}, {"a": valid})["a"])


def test_a_modality_alone_lies_where_the_whole_network_places_it():
    space = JointSpace({"t": 4, "v": 6, "a": 5}, Sizes(8, 2, 8), 1, 7)
    tokens = {letter: torch.randn(3, 2, width) for letter, width in (("t", 4), ("v", 6), ("a", 5))}
    masks = {letter: torch.ones(3, 2, dtype=torch.bool) for letter in tokens}
    masks["a"][0] = False
    whole = space(tokens, masks)
    for letter in tokens:
        alone = space.alone(letter, tokens[letter], masks[letter])
        assert torch.allclose(normalize(alone, dim=-1), normalize(whole.vectors[letter], dim=-1), atol=1e-6)
