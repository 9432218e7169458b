import pytest
import torch
from torch import nn

from valor.parsers.attention import HybridEncoder, HybridLayer, MultiheadAttention
from valor.parsers.cpu.dropout import keep_masks


def _streams(*, segments: int = 5, width: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, segments, width, generator=generator).unbind(0)


def _layer(norm_order: str = "post", dropout: float = 0.0) -> HybridLayer:
    torch.manual_seed(1)
    return HybridLayer(16, 4, 32, dropout=dropout, norm_order=norm_order)


def _torch_attention(ours: MultiheadAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(16, ours.num_heads, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.in_weight,
            "in_proj_bias": ours.in_bias,
            "out_proj.weight": ours.out_projection.weight,
            "out_proj.bias": ours.out_projection.bias,
        }
    )
    return theirs


def test_attention_equals_torch_on_both_paths_and_with_a_mask():
    audio, visual = _streams()
    attention = MultiheadAttention(16, 4, 0.0)
    nn.init.normal_(attention.in_bias)
    theirs = _torch_attention(attention)
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    for source in (None, visual):
        keys = audio if source is None else source
        assert torch.allclose(attention(audio, source), theirs(audio, keys, keys)[0], atol=1e-6)
        masked = theirs(audio, keys, keys, key_padding_mask=~valid)[0]
        assert torch.allclose(attention(audio, source, valid), masked, atol=1e-6)


def test_fresh_attention_equals_a_fresh_torch_one():
    torch.manual_seed(3)
    ours = MultiheadAttention(16, 4, 0.0)
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(16, 4)
    assert torch.equal(ours.in_weight, theirs.in_proj_weight)
    assert torch.equal(ours.out_projection.weight, theirs.out_proj.weight)
    assert not ours.out_projection.bias.any() and not ours.in_bias.any()


@pytest.mark.parametrize("norm_order", ["post", "pre"])
def test_visual_attends_to_the_updated_audio(norm_order):
    layer = _layer(norm_order)
    audio, visual = _streams()
    heard, seen = layer(audio, visual)
    # The visual stream of a layer is what the same weights make of it as *first* stream beside the updated audio.
    assert torch.allclose(seen, layer(visual, heard)[0], atol=1e-6)
    assert not torch.allclose(seen, layer(visual, audio)[0], atol=1e-3)


@pytest.mark.parametrize("norm_order", ["post", "pre"])
def test_layer_is_the_formula(norm_order):
    layer = _layer(norm_order)
    q, other = _streams()
    feed_forward = lambda x: layer.narrow(layer.widen(x).relu())  # noqa: E731
    across, along = layer.cross_attention, layer.self_attention
    if norm_order == "post":
        x = layer.attention_norm(q + across(q, other) + along(q))
        x = layer.feedforward_norm(x + feed_forward(x))
    else:
        h = layer.attention_norm(q)
        x = q + across(h, other) + along(h)
        x = x + feed_forward(layer.feedforward_norm(x))
    assert torch.allclose(layer(q, other)[0], x, atol=1e-6)


def test_segments_that_are_not_valid_change_nothing():
    layer = _layer()
    audio, visual = _streams()
    valid = torch.tensor([[True, True, True, False, False]] * 3)
    expected = layer(audio[:, :3], visual[:, :3])
    audio[:, 3:], visual[:, 3:] = 1e3, -1e3
    for got, want in zip(layer(audio, visual, valid), expected, strict=True):
        assert torch.allclose(got[:, :3], want, atol=1e-5)


def test_dropout_acts_at_all_four_places_and_only_in_training(monkeypatch):
    layer = _layer("pre", dropout=0.25)
    shapes = []

    def count(asked, probability, *, dtype):
        shapes.extend(shape if probability == 0.25 else None for shape in asked)
        return keep_masks(asked, probability, dtype=dtype)

    for module in ("dropout", "feedforward"):
        monkeypatch.setattr(f"valor.parsers.cpu.{module}.keep_masks", count)
    layer(*_streams())
    weights, features, inner, output = (3, 4, 5, 5), (3, 5, 16), (15, 32), (15, 16)
    assert shapes == [weights, features, weights, features, inner, output] * 2  # cross, self, feed-forward; twice
    assert not torch.equal(layer(*_streams())[0], layer(*_streams())[0])
    layer.eval()
    shapes.clear()
    assert torch.equal(layer(*_streams())[0], layer(*_streams())[0])
    assert not shapes


@pytest.mark.parametrize("norm_order", ["post", "pre"])
def test_together_both_streams_start_from_the_state_before_the_layer(norm_order):
    layer = _layer(norm_order)
    layer.update_order = "together"
    audio, visual = _streams()
    heard, seen = layer(audio, visual)
    swapped = layer(visual, audio)
    assert torch.equal(heard, swapped[1]) and torch.equal(seen, swapped[0])
    layer.update_order = "audio-first"
    assert torch.allclose(heard, layer(audio, visual)[0], atol=1e-6)


def test_layers_start_equal_but_are_their_own():
    encoder = HybridEncoder(_layer(), 3)
    first, second, _ = encoder.layers
    assert torch.equal(first.widen.weight, second.widen.weight)
    assert first.widen.weight is not second.widen.weight


def test_only_pre_norm_closes_with_a_norm():
    assert not [name for name, _ in HybridEncoder(_layer("post"), 1).named_parameters() if "audio_norm" in name]
    encoder = HybridEncoder(_layer("pre"), 1).eval()
    heard, _ = encoder(*_streams())
    assert torch.allclose(heard.mean(dim=-1), torch.zeros(3, 5), atol=1e-6)


def test_impossible_layers_are_refused():
    with pytest.raises(ValueError, match="num_heads must divide the width 16, got 3"):
        HybridLayer(16, 3, 32)
    with pytest.raises(ValueError, match=r"norm_order must be one of .*got 'none'"):
        HybridLayer(16, 4, 32, norm_order="none")
    with pytest.raises(ValueError, match=r"update_order must be one of .*got 'visual-first'"):
        HybridLayer(16, 4, 32, update_order="visual-first")
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        HybridEncoder(_layer(), 0)


@pytest.mark.parametrize("masked", [False, True])
def test_both_passes_together_are_each_pass_by_itself(masked):
    torch.manual_seed(1)
    encoder = HybridEncoder(HybridLayer(16, 4, 32, dropout=0.0, update_order="together"), 2)
    streams = _streams()
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4]) if masked else None
    probe = torch.randn(2, 2, 3, 5, 16) * (1 if valid is None else valid[..., None])
    crossed, alone, looked = encoder.both(*streams, valid)
    apart = encoder(*streams, valid), tuple(encoder.along(x, m, valid) for m, x in enumerate(streams))
    weights = list(encoder.parameters())
    found, expected = (
        torch.autograd.grad((torch.stack([torch.stack(pair) for pair in two]) * probe).sum(), weights)
        for two in ((crossed, alone), apart)
    )
    for ours, theirs in zip(encoder.along_again(*streams, looked, valid), alone, strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip((*crossed, *alone, *found), (*apart[0], *apart[1], *expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_folded_weights_of_one_head_change_nothing(masked, monkeypatch):
    layer = HybridLayer(16, 1, 32, dropout=0.3, update_order="together").double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    audio, visual = (x.double().requires_grad_() for x in _streams())
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4]) if masked else None
    leaves = [audio, visual, *layer.parameters()]
    found = []
    for folds in (True, False):
        if not folds:
            monkeypatch.setattr(MultiheadAttention, "pays_to_fold", lambda *_: False)
        torch.manual_seed(2)  # the same elements are dropped
        crossed, alone, looked = layer.both(audio, visual, valid)
        assert looked.folded == folds
        again = layer.again(torch.cat((audio, visual)), looked)
        exists = 1 if valid is None else torch.cat((valid, valid))[..., None]
        total = sum((weight * x.sin() * exists).sum() for weight, x in enumerate((crossed, alone, again), start=1))
        found.append((crossed * exists, alone * exists, again * exists, *torch.autograd.grad(total, leaves)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)


def test_weights_are_folded_where_it_pays():
    attention, many = MultiheadAttention(16, 1, 0.1), torch.zeros(4, 5, 16)
    assert attention.pays_to_fold(many) and not attention.pays_to_fold(many[:3])
    assert not MultiheadAttention(16, 2, 0.1).pays_to_fold(many)
    assert not attention.eval().pays_to_fold(many)


def test_each_pass_drops_for_itself():
    layer = _layer(dropout=0.5)
    layer.update_order = "together"
    audio, visual = _streams()
    crossed, alone, _ = layer.both(audio, visual)
    assert not torch.allclose(alone[:3], layer.along(audio)) and not torch.allclose(alone, crossed)
    layer.dropout = 0.0  # that of attention weights is left
    layer.cross_attention.out_projection.weight.data.zero_()
    crossed, alone, _ = layer.both(audio, visual)
    assert not torch.allclose(crossed, alone)  # nothing is crossed any more, and dropout is another


@pytest.mark.parametrize("masked", [False, True])
def test_tokens_of_all_clips_are_the_same_before_each_clip(masked):
    layer, (x, _) = _layer(), _streams()
    shared = torch.randn(4, 16, requires_grad=True)
    valid = torch.ones(3, 9, dtype=torch.bool)
    valid[1, 7:] = False
    given = valid if masked else None
    tokens, seconds = layer.along_with(shared, x, given)
    none, unasked = layer.along_with(shared, x, given, ask_shared=False)
    whole = layer.along(torch.cat((shared.expand(3, -1, -1), x), dim=1), given)
    torch.testing.assert_close(torch.cat((tokens, seconds), dim=1), whole)
    torch.testing.assert_close(unasked, seconds)
    assert none is None
    found, expected = (torch.autograd.grad(held.square().sum(), shared)[0] for held in (seconds, whole[:, 4:]))
    torch.testing.assert_close(found, expected)
