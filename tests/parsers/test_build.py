from dataclasses import replace

import pytest
import torch

from valor.parsers.build import build_parser, options_of
from valor.parsers.options import PARSERS, ParserOptions
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
def test_options_are_read_off_the_parts(options):
    assert options_of(build_parser(options)) == options


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
    ({"norm_order": "both"}, r"norm_order must be one of \('post', 'pre'\), got 'both'"),
    ({"pooling": "mean"}, r"pooling must be one of .*got 'mean'"),
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
