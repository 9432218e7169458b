import pytest
import torch
from torch import nn

from valor.parsers.networks.leap import QueryLayer

CLIPS = pytest.mark.parametrize("clips", [3, 1], ids=["own queries", "shared queries"])
WINDOWS = pytest.mark.parametrize("window", ["none", "one", "each"])


def _asked(clips: int, window: str, dropout: float = 0.0):
    torch.manual_seed(0)
    layer = QueryLayer(6, 2, 8, dropout).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x, source = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((clips, 4, 6), (3, 5, 6)))
    near = {"none": None, "one": torch.rand(1, 4, 5) < 0.5, "each": torch.rand(3, 1, 5) < 0.5}[window]
    return layer, x, source, near


def _gradients(layer, x, source, near, *, of_keys: bool = True):
    torch.manual_seed(1)
    answer, keys = layer.ask(x, source, near)
    total = sum(
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum() for y in (answer, keys)[: 1 + of_keys]
    )
    leaves = (x, source, *layer.weights())
    return answer, keys, *torch.autograd.grad(total, leaves)


@CLIPS
@WINDOWS
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("of_keys", [True, False])
def test_asking_is_autograds_forward_and_backward_with_the_same_dropout(clips, window, dropout, of_keys, monkeypatch):
    given = _asked(clips, window, dropout)
    found = _gradients(*given, of_keys=of_keys)
    monkeypatch.setattr("valor.parsers.networks.leap.is_training_step", lambda _: False)
    for got, want in zip(found, _gradients(*given, of_keys=of_keys), strict=True):
        torch.testing.assert_close(got, want)


@CLIPS
def test_gradients_are_those_of_differences(clips):
    layer, x, source, near = _asked(clips, "one")
    given = (x, source, *layer.weights())
    assert torch.autograd.gradcheck(lambda x, source, *_: layer.ask(x, source, near), given)


def test_keys_alone_have_a_gradient_too():
    layer, x, source, _ = _asked(3, "none")
    _, keys = layer.ask(x, source)
    (found,) = torch.autograd.grad(keys.sum(), source)
    torch.testing.assert_close(found, layer.key.weight.sum(0).expand_as(source))


@CLIPS
def test_mean_scores_are_the_mean_over_heads(clips):
    layer, x, source, _ = _asked(clips, "none")
    leaves = (x, source, layer.query.weight, layer.query.bias)
    found, wanted = layer.mean_scores(x, source), layer.scores(x, source).mean(dim=1)
    torch.testing.assert_close(found, wanted)
    probe = torch.randn_like(found)
    for got, want in zip(*(torch.autograd.grad((y * probe).sum(), leaves) for y in (found, wanted)), strict=True):
        torch.testing.assert_close(got, want)
