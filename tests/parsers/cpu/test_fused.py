import pytest
import torch
from torch import Tensor
from torch.nn import functional

from valor.parsers.attention import HybridLayer
from valor.parsers.cpu.fused import LayerMasks, LayerWeights, _FusedLayer, draw_masks, fused_layer

CLIPS, SEGMENTS, WIDTH, INNER, HEADS = 3, 5, 8, 12, 2
VALID = torch.tensor([[True] * 5, [True, False, True, True, False], [True] + [False] * 4])


def _layer() -> HybridLayer:
    torch.manual_seed(1)
    layer = HybridLayer(WIDTH, HEADS, INNER, dropout=0.0).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def _streams() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    audio, visual = torch.randn(2, CLIPS, SEGMENTS, WIDTH, dtype=torch.float64)
    return audio.requires_grad_(), visual.requires_grad_()


def _masks() -> LayerMasks:
    torch.manual_seed(3)
    return draw_masks((CLIPS, SEGMENTS, WIDTH, INNER), HEADS, 0.3, torch.float64)


def _heads(x: Tensor) -> Tensor:
    return x.view(CLIPS, SEGMENTS, HEADS, -1).transpose(1, 2)


def _attention(query: Tensor, source: Tensor, parameters: tuple[Tensor, ...], mask: Tensor, valid: Tensor) -> Tensor:
    weight, bias, out, out_bias = parameters
    q, k, v = (
        _heads(functional.linear(x, w, b))
        for x, w, b in zip((query, source, source), weight.chunk(3), bias.chunk(3), strict=True)
    )
    scores = (q @ k.mT / (WIDTH / HEADS) ** 0.5).masked_fill(~valid[:, None, None], float("-inf"))
    weights = scores.softmax(-1) * mask.view(CLIPS, HEADS, SEGMENTS, SEGMENTS)
    return functional.linear((weights @ v).transpose(1, 2).flatten(2), out, out_bias)


def _formula(audio: Tensor, visual: Tensor, w: LayerWeights, masks: LayerMasks, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The layer of the docstring of HybridLayer, dropout written out."""
    shape = (CLIPS, SEGMENTS, -1)

    def update(stream: int, x: Tensor, other: Tensor) -> Tensor:
        along = _attention(x, x, w[:4], masks.self_weights.chunk(2)[stream], valid)
        across = _attention(x, other, w[4:8], masks.cross_weights[stream], valid)
        x = x + along * masks.self_output.chunk(2)[stream].view(shape)
        x = x + across * masks.cross_output[stream].view(shape)
        x = functional.layer_norm(x, (WIDTH,), w.attention_norm, w.attention_norm_bias)
        inner = functional.linear(x, w.widen, w.widen_bias).relu() * masks.inner[stream].view(shape)
        x = x + functional.linear(inner, w.narrow, w.narrow_bias) * masks.output[stream].view(shape)
        return functional.layer_norm(x, (WIDTH,), w.feedforward_norm, w.feedforward_norm_bias)

    heard = update(0, audio, visual)
    return heard, update(1, visual, heard)


def _gradients(streams: tuple[Tensor, Tensor], leaves: list[Tensor]) -> tuple[Tensor, ...]:
    torch.manual_seed(4)
    return torch.autograd.grad(sum((x * torch.randn_like(x)).sum() for x in streams), leaves)


@pytest.mark.parametrize("valid", [torch.ones_like(VALID), VALID], ids=["whole", "padded"])
def test_fused_layer_is_the_formula_forward_and_backward(valid):
    layer, (audio, visual), masks = _layer(), _streams(), _masks()
    ours = _FusedLayer.apply(audio, visual, valid, masks, HEADS, *layer.weights())
    theirs = _formula(audio, visual, layer.weights(), masks, valid)
    leaves = [audio, visual, *layer.weights()]
    pairs = [*zip(ours, theirs, strict=True), *zip(_gradients(ours, leaves), _gradients(theirs, leaves), strict=True)]
    for got, want in pairs:
        assert torch.allclose(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("valid", [None, VALID], ids=["whole", "padded"])
def test_fused_layer_equals_the_layer_of_parts(valid, monkeypatch):
    layer, (audio, visual) = _layer(), _streams()
    ours = layer(audio, visual, valid)
    monkeypatch.setattr(layer, "_can_be_fused", lambda x: False)
    theirs = layer(audio, visual, valid)
    leaves = [audio, visual, *layer.parameters()]
    pairs = [*zip(ours, theirs, strict=True), *zip(_gradients(ours, leaves), _gradients(theirs, leaves), strict=True)]
    for got, want in pairs:
        assert torch.allclose(got, want, rtol=1e-10, atol=1e-12)


def test_weights_are_all_parameters_of_the_layer():
    layer = _layer()
    assert {id(w) for w in layer.weights()} == {id(p) for p in layer.parameters()}
    assert len(layer.weights()) == len(list(layer.parameters()))


def test_layer_is_fused_where_a_gradient_is_wanted(monkeypatch):
    layer, streams = _layer(), _streams()
    calls = []

    def count(*args):
        calls.append(args[4])
        return fused_layer(*args)

    monkeypatch.setattr("valor.parsers.attention.fused_layer", count)
    layer.dropout = 0.5
    layer(*streams)
    layer.eval()
    layer(*streams)
    assert calls == [0.5, 0.0]
    with torch.no_grad():
        layer(*streams)
    layer.update_order = "together"
    layer(*streams)
    assert len(calls) == 2


def test_dropout_of_the_fused_layer_follows_the_seed():
    layer, streams = _layer(), _streams()
    layer.dropout = 0.5
    torch.manual_seed(5)
    first = layer(*streams)[1]
    assert not torch.equal(first, layer(*streams)[1])
    torch.manual_seed(5)
    assert torch.equal(first, layer(*streams)[1])


def test_second_derivative_is_refused():
    layer, (audio, visual) = _layer(), _streams()
    (slope,) = torch.autograd.grad(layer(audio, visual)[1].square().sum(), audio, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_a_weight_changed_before_the_backward_pass_is_noticed():
    layer, streams = _layer(), _streams()
    loss = layer(*streams)[1].square().sum()
    with torch.no_grad():
        layer.widen.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_autocast_goes_the_way_of_parts():
    layer = _layer().float()
    audio, visual = (x.detach().float() for x in _streams())
    with torch.autocast("cpu", torch.bfloat16):
        seen = layer(audio, visual)[1]
    seen.float().square().sum().backward()
    assert layer.widen.weight.grad.isfinite().all()
