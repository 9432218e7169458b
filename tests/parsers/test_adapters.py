"""Adapters: a tower with closed gates is the tower, what opens them is trained, and nothing else is."""

import pytest
import torch

from valor.parsers.adapters import Adapter, SegmentHead, TwoStreams, stretched

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tower():
    transformer = pytest.importorskip("open_clip.transformer")
    torch.manual_seed(0)
    return transformer.Transformer(width=16, layers=2, heads=2, batch_first=True).eval()


def test_closed_gates_leave_a_tower_of_open_clip_as_it_is_to_the_bit(tower):
    adapters = TwoStreams(16, 2)
    audio, visual = torch.rand(3, 6, 16), torch.rand(3, 5, 16)
    with torch.no_grad():
        heard, seen = adapters(audio, visual, list(tower.resblocks))
        assert torch.equal(heard, tower(audio)) and torch.equal(seen, tower(visual))


def test_open_gates_let_either_stream_into_the_other(tower):
    adapters = TwoStreams(16, 2)
    with torch.no_grad():
        for name, parameter in adapters.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(0.5)
        audio, visual, other = torch.rand(3, 6, 16), torch.rand(3, 5, 16), torch.rand(3, 5, 16)
        plain = adapters(audio, visual, list(tower.resblocks))
        changed = adapters(audio, other, list(tower.resblocks))
    assert (plain[0] - changed[0]).abs().max() > 1e-4


def test_only_adapters_are_trained(tower):
    adapters = TwoStreams(16, 2)
    heard, seen = adapters(torch.rand(3, 6, 16), torch.rand(3, 5, 16), list(tower.resblocks))
    assert not set(map(id, adapters.parameters())) & set(map(id, tower.parameters()))
    (heard.sum() + seen.square().sum()).backward()
    assert all(parameter.grad is not None for name, parameter in adapters.named_parameters() if name.endswith(".gate"))


def test_gradients_through_the_batch_norms_are_right():
    torch.manual_seed(0)
    adapter = Adapter(8, reduction=4, num_latents=3).double()
    with torch.no_grad():
        adapter.gate.fill_(0.7)
        adapter.gather_gate.fill_(0.3)
    x, other = (torch.randn(2, count, 8, dtype=torch.float64, requires_grad=True) for count in (4, 3))
    assert torch.autograd.gradcheck(adapter, (x, other), fast_mode=True)


def test_positions_are_stretched_only_where_counts_differ():
    positions = torch.arange(4.0)[:, None].repeat(1, 3)
    assert stretched(positions, 4) is positions
    assert torch.equal(stretched(positions, 8)[:, 0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]))


def test_a_segment_is_of_one_class():
    probs = SegmentHead(8, 6, 3)(torch.rand(4, 8), torch.rand(4, 8))
    torch.testing.assert_close(probs.sum(dim=-1), torch.ones(4))
