"""Precision of a network."""

from collections import OrderedDict

import pytest
import torch
from open_clip.transformer import QuickGELU

from valor.label_harvest.teachers import precision
from valor.label_harvest.teachers.precision import cast_input, cast_network, check_precision, quicken_network


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


class Sees(torch.nn.Module):
    """One block of a picture network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
        self.dense = torch.nn.Linear(16, 8)

    def forward(self, x, **how):
        return self.dense(self.attention(x, x, x, **how)[0])


@pytest.mark.parametrize("how", [{"need_weights": False}, {"need_weights": True}, {"attn_mask": torch.eye(5) > 0}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quick_products_are_the_same_function(how, dtype):
    x, plain, quick = (
        torch.randn(2, 5, 16, dtype=dtype),
        Sees().eval().to(dtype),
        quicken_network(Sees().eval().to(dtype)),
    )
    with torch.inference_mode():
        torch.testing.assert_close(quick(x, **how), plain(x, **how), rtol=1e-5, atol=1e-6)
    assert plain.state_dict().keys() == quick.state_dict().keys()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
def test_the_products_of_a_frozen_network_go_to_onednn_and_can_be_kept_from_it(monkeypatch):
    asked = []
    kernel = precision._KERNEL
    monkeypatch.setattr(precision, "_KERNEL", lambda *given: asked.append(1) or kernel(*given))
    network, x = quicken_network(Sees().eval()), torch.randn(2, 5, 16)
    with torch.inference_mode():
        network(x, need_weights=False)
        assert len(asked) == 3
        with torch.backends.mkldnn.flags(enabled=False):
            network(x, need_weights=False)
    network(x, need_weights=False).sum().backward()
    assert len(asked) == 3 and network.dense.weight.grad is not None


class TinyClip(torch.nn.Module):
    """The wide part of a block of OpenAI's CLIP, as open_clip builds it."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        parts = {"c_fc": torch.nn.Linear(16, 64), "gelu": activation, "c_proj": torch.nn.Linear(64, 16)}
        self.mlp = torch.nn.Sequential(OrderedDict(parts))

    def forward(self, x):
        return self.mlp(x)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("activation", [QuickGELU(), torch.nn.GELU()])
def test_quick_gelu_is_part_of_the_product(activation, grad):
    plain, quick = TinyClip(activation).eval(), quicken_network(quicken_network(TinyClip(activation).eval()))
    x = 3 * torch.randn(5, 16)
    with torch.inference_mode(not grad):
        torch.testing.assert_close(quick(x), plain(x), rtol=1e-5, atol=1e-6)
    scaled = not torch.equal(quick.mlp.c_fc.weight, plain.mlp.c_fc.weight)
    assert scaled == isinstance(activation, QuickGELU) == (type(quick.mlp) is not torch.nn.Sequential)
    assert plain.state_dict().keys() == quick.state_dict().keys()
