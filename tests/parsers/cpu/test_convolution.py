import pytest
import torch
from torch import nn

from valor.parsers.cpu.convolution import convolved


def _layer(taps: int, dilation: int) -> nn.Conv1d:
    torch.manual_seed(0)
    return nn.Conv1d(6, 4, taps, padding=taps // 2 * dilation, dilation=dilation).double()


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (3, 2), (3, 8), (3, 9), (5, 3)])
def test_convolution_by_taps_is_torchs_forward_and_backward(taps, dilation):
    layer, x = _layer(taps, dilation), torch.randn(3, 9, 6, dtype=torch.float64, requires_grad=True)
    ours, theirs = convolved(x, layer), layer(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    probe, leaves = torch.randn_like(ours), (x, *layer.parameters())
    found, expected = (torch.autograd.grad((y * probe).sum(), leaves) for y in (ours, theirs))
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want)


def test_gradients_are_those_of_differences():
    layer, x = _layer(3, 2), torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: convolved(x, layer), (x, *layer.parameters()))


def test_streams_that_lie_otherwise_and_layers_without_a_bias():
    layer = nn.Conv1d(6, 4, 3, padding=1, bias=False)
    x = torch.randn(6, 9, 3).permute(2, 1, 0).requires_grad_()
    ours = convolved(x, layer)
    torch.testing.assert_close(ours, layer(x.transpose(1, 2)).transpose(1, 2))
    ours.sum().backward()
    assert layer.weight.grad.isfinite().all()
    with torch.autocast("cpu", torch.bfloat16):
        assert convolved(x, layer).dtype == torch.bfloat16
