from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.helpers.toy_features import TINY
from valor.parsers.build import build_parser, options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.options import ENCODERS, PARSERS, ParserOptions
from valor.parsers.pooling import PooledProbs
from valor.parsers.published import from_published, our_name, published_name, to_published


@pytest.mark.parametrize(("name", "count"), [("valor", 5_096_523), ("valor+", 5_052_235), ("valor++", 4_888_395)])
def test_published_parameter_counts(name, count):
    parser = build_parser(PARSERS[name])
    assert sum(tensor.numel() for tensor in to_published(parser.state_dict()).values()) == count
    closing_norms = 4 * PARSERS[name].hidden_width  # carried by the published network without use
    assert sum(p.numel() for p in parser.parameters()) == count - closing_norms


@pytest.mark.parametrize("options", [
    *PARSERS.values(),
    replace(PARSERS["valor"], motion_width=0, pooling="max", dropout=0.25),
    replace(PARSERS["valor"], pooling="linear-softmax", num_heads=4),
], ids=str)  # fmt: skip
def test_a_parser_keeps_its_options(options):
    assert options_of(build_parser(options)) == options_of(deepcopy(build_parser(options, seed=1))) == options


class Twins(nn.Module):
    """An encoder that sends both streams through one layer, each by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, audio, visual, valid=None):
        return self.layer(audio), self.layer(visual)

    def alone(self, stream, modality, valid=None):
        return self.layer(stream) + modality


def build_twins(options: ParserOptions) -> nn.Module:
    return Twins(options.hidden_width)


def build_first(options: ParserOptions) -> nn.Module:
    class First(nn.Module):
        def forward(self, features, segment_probs, valid=None):
            return PooledProbs(segment_probs[:, 0].amax(1), segment_probs[:, 0])

    return First()


def test_an_encoder_and_a_pooling_of_ones_own_are_passed_as_objects():
    parser = build_parser(TINY, seed=0, encoder=build_twins, pooling=build_first)
    own = options_of(parser)
    assert (own.encoder, own.pooling) == ("own:build_twins", "own:build_first")
    output = parser(torch.rand(2, 5, 6), torch.rand(2, 5, 6))
    assert torch.equal(output.modality_probs, output.segment_probs[:, 0])
    again = build_parser(own, encoder=build_twins, pooling=build_first)
    again.load_state_dict(parser.state_dict())
    with pytest.raises(
        ValueError, match=r"the encoder 'own:build_twins' is not among hybrid, uavm, .*: .*give it again"
    ):
        build_parser(replace(own, pooling="max"))


def test_an_encoder_of_ones_own_has_a_name_once_it_is_in_the_dict(monkeypatch):
    monkeypatch.setitem(ENCODERS, "twins", build_twins)
    parser = build_parser(replace(TINY, encoder="twins"), seed=0)
    assert isinstance(parser.encoder, Twins) and options_of(parser).encoder == "twins"
    with pytest.raises(ValueError, match=r"encoder must be one of hybrid, .*twins, got 'twin'"):
        ParserOptions(encoder="twin")


def test_one_stream_alone_is_the_encoders_own_affair():
    stream = torch.rand(2, 5, 16)
    plain = build_parser(TINY, seed=0).eval()
    assert torch.equal(plain.encode_alone(stream, 1), plain.encoder(stream, stream)[1])
    twins = build_parser(TINY, seed=0, encoder=build_twins)
    assert torch.equal(twins.encode_alone(stream, 1), twins.encoder.layer(stream) + 1)


def test_a_parser_made_by_hand_answers_and_cannot_be_saved(tmp_path):
    parts = build_parser(TINY, seed=0)
    by_hand = HybridParser(parts.stem, parts.encoder, parts.classifier, parts.pooling)
    inputs = torch.rand(2, 5, 6), torch.rand(2, 5, 6)
    assert torch.equal(by_hand.eval()(*inputs).segment_probs, parts.eval()(*inputs).segment_probs)
    with pytest.raises(ValueError, match="put together from parts by hand, .*give HybridParser its options"):
        options_of(by_hand)


def test_seed_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (build_parser(PARSERS["valor"], seed=1).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("change", "message"), [
    ({"num_layers": 0}, "num_layers must be a whole number of at least 1, got 0"),
    ({"hidden_width": 2.5}, r"hidden_width must be a whole number of at least 1, got 2\.5"),
    ({"motion_width": -1}, "motion_width must be a whole number of at least 0, got -1"),
    ({"num_heads": 7}, "num_heads must divide hidden_width 512, got 7"),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1\.0"),
    ({"norm_order": "both"}, "norm_order must be one of post, pre, got 'both'"),
    ({"pooling": "mean"}, r"pooling must be one of .*got 'mean'"),
    ({"encoder": "mtb"}, "encoder must be one of hybrid, uavm, .*, got 'mtb'"),
    ({"encoder": "mbt", "norm_order": "pre"}, "norm_order is an option of encoder=hybrid, got 'pre' of mbt"),
    ({"encoder": "joint", "update_order": "together"}, "update_order is an option of encoder=hybrid, got 'together'"),
    ({"fusion_layer": 1}, "fusion_layer is an option of encoder=uavm or mbt or sft, got 1 of hybrid"),
    ({"encoder": "tcaf", "num_latents": 2}, "num_latents is an option of encoder=mbt, got 2 of tcaf"),
    ({"encoder": "joint", "max_segments": 12}, "max_segments is an option of encoder=uavm or mbt or .*got 12 of joint"),
    ({"encoder": "uavm", "fusion_layer": 2}, "fusion_layer must be at most num_layers 1, got 2"),
    ({"encoder": "sft", "fusion_layer": -1}, "fusion_layer must be a whole number of at least 0, got -1"),
    ({"encoder": "mbt"}, "exchanges nothing in one fused layer, .*at least 2 more, got 1 and 0"),
    ({"encoder": 1}, "encoder must be one of .*got 1"),
])  # fmt: skip
def test_impossible_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ParserOptions(**change)


@pytest.mark.parametrize("name", PARSERS)
def test_published_names_and_back(name):
    state = build_parser(PARSERS[name]).state_dict()
    for key in state:
        assert our_name(published_name(key)) == key
    back = from_published(to_published(state), norm_order=PARSERS[name].norm_order)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("name", ["fc_extra.weight", "hat_encoder.layers.0.norm3.weight", "fc_a.scale", "fc_a"])
def test_unknown_published_names_are_refused(name):
    with pytest.raises(KeyError, match="is not a parameter of a known part"):
        our_name(name)
