"""Classes by their words: where clips and words lie, and the class that is nearest."""

import pytest
import torch

from valor.parsers.blocks import Sizes
from valor.parsers.encoders.tcaf import TcafEncoder
from valor.parsers.words import EmbeddingNet, TcafNetwork, nearest_class

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_step_of_every_clip_is_one_row_of_the_batch():
    torch.manual_seed(0)
    net, x = EmbeddingNet(5, 4, hidden_width=6), torch.randn(3, 7, 5)
    torch.testing.assert_close(net(x), net(x.flatten(0, 1)).view(3, 7, 4))
    assert (net.eval()(x) >= 0).all()


def test_what_is_padded_does_not_move_a_clip():
    torch.manual_seed(0)
    network = TcafNetwork((5, 6), TcafEncoder(Sizes(8, 2, 8), 2, code_width=4), 3, (7, 7)).eval()
    audio, visual, words = 255 * torch.rand(2, 4, 5), torch.rand(2, 3, 6), torch.rand(2, 8)
    masks = torch.tensor([[True] * 4, [True, True, False, False]]), torch.ones(2, 3, dtype=torch.bool)
    louder = torch.where(masks[0][..., None], audio, 7.0)
    plain, changed = (network(x, visual, words, masks=masks) for x in (audio, louder))
    torch.testing.assert_close(plain.clips, changed.clips)
    losses = network.losses(plain, words, torch.rand(5, 8), torch.tensor([4, 0]))
    torch.testing.assert_close(losses.total, losses.classes + losses.places + losses.words)


def test_a_handicap_of_the_seen_lets_the_unseen_in():
    clips, places = torch.tensor([[0.4], [0.9]]), torch.tensor([[0.0], [1.0]])
    seen = torch.tensor([True, False])
    assert nearest_class(clips, places, seen).tolist() == [0, 1]
    assert nearest_class(clips, places, seen, 0.3).tolist() == [1, 1]
    assert nearest_class(clips, places, seen, -1.0).tolist() == [0, 0]
