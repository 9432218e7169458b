"""Precision of a network."""

import pytest
import torch

from label_harvest.precision import cast_input, cast_network, check_precision


def test_weights_and_pictures_are_cast_together():
    network = cast_network(torch.nn.Conv2d(3, 4, 3), "bfloat16")
    picture = cast_input(torch.rand(2, 3, 8, 8), "bfloat16")
    assert network(picture).dtype == torch.bfloat16
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert picture.is_contiguous(memory_format=torch.channels_last)


def test_float32_is_left_alone():
    picture, network = torch.rand(1, 3, 8, 8), torch.nn.Conv2d(3, 4, 3)
    assert cast_input(picture, "float32") is picture and cast_network(network, "float32") is network
    assert network.weight.dtype == torch.float32


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, got 'float16'"):
        check_precision("float16")
