import pytest
import torch
from torch import nn

from valor.parsers.cpu.feedforward import feed_forward

NORMS = pytest.mark.parametrize("normed", [True, False], ids=["normed", "as it is"])


def _block(normed: bool, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, nn.ModuleList, nn.LayerNorm | None]:
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 6)]).to(dtype)
    norm = nn.LayerNorm(6, eps=0.1, dtype=dtype) if normed else None
    for parameter in () if norm is None else norm.parameters():
        nn.init.normal_(parameter)
    return torch.randn(2, 4, 6, dtype=dtype, requires_grad=True), layers, norm


def _gradients(x, layers, norm, rate):
    torch.manual_seed(1)
    y = feed_forward(x, tuple(layers), rate, norm)
    probe = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    leaves = (x, *layers.parameters(), *(() if norm is None else norm.parameters()))
    return y, *torch.autograd.grad((y * probe).sum(), leaves)


@NORMS
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_block_is_autograds_forward_and_backward_with_the_same_dropout(normed, rate, monkeypatch):
    block = _block(normed)
    found = _gradients(*block, rate)
    monkeypatch.setattr("valor.parsers.cpu.feedforward.is_training_step", lambda _: False)
    for got, want in zip(found, _gradients(*block, rate), strict=True):
        torch.testing.assert_close(got, want)


@NORMS
def test_gradients_are_those_of_differences(normed):
    x, layers, norm = _block(normed)
    leaves = (x, *layers.parameters(), *(() if norm is None else norm.parameters()))
    assert torch.autograd.gradcheck(lambda x, *_: feed_forward(x, tuple(layers), 0.0, norm), leaves)


def test_elsewhere_than_in_a_training_step_torch_does_it(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a training step")

    monkeypatch.setattr("valor.parsers.cpu.feedforward._FeedForward.apply", refuse)
    x, layers, norm = _block(True, torch.float32)
    with torch.no_grad():
        want = x + layers[1](layers[0](norm(x)).relu())
        torch.testing.assert_close(feed_forward(x, tuple(layers), 0.0, norm), want)
    with torch.autocast("cpu", torch.bfloat16):
        assert feed_forward(x, tuple(layers), 0.5, norm).isfinite().all()
    with pytest.raises(AssertionError, match="a training step"):
        feed_forward(x, tuple(layers), 0.0, norm)
