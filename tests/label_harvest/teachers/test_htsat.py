"""The stages of CLAP's audio tower, beside transformers' own."""

from copy import deepcopy

import pytest
import torch

from tests.label_harvest.teachers.test_clap import AUDIO, TINY
from valor.label_harvest.teachers.clap_models import build_network
from valor.label_harvest.teachers.htsat import quicken_htsat


@pytest.fixture(scope="module")
def plain():
    """A tower with shifted windows in three of its stages; a bias differs from place to place."""
    torch.manual_seed(0)
    network = build_network(TINY | {"audio_config": AUDIO | {"depths": [2, 2, 2, 1], "qkv_bias": True}}).eval()
    encoder = network.audio_model.audio_encoder.requires_grad_(False)
    for name, tensor in encoder.named_parameters():
        if "relative_position" in name or name.endswith("bias"):
            tensor.normal_()
    return encoder


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_equal_to_transformers_stages(plain, dtype, near):
    plain = deepcopy(plain).to(dtype)
    quick = deepcopy(plain)
    quicken_htsat(quick)
    sounds, longer = torch.randn(2, 4, 1001, 64, dtype=dtype), torch.zeros(2, 1, dtype=torch.bool)
    with torch.inference_mode():
        theirs = plain(sounds, is_longer=longer)
        ours = quick(sounds[:, :1], is_longer=longer)  # the first channel is all that is read
    assert [type(stage).__name__ for stage in quick.layers] == ["_QuickStage"] * 4
    torch.testing.assert_close(ours.last_hidden_state, theirs.last_hidden_state, rtol=near, atol=near)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, rtol=near, atol=near)
    kept = quick.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in plain.state_dict().items()) and len(kept) > 50
    stages = list(quick.layers)
    quicken_htsat(quick)
    assert all(before is after for before, after in zip(stages, quick.layers, strict=True))


def test_other_activations_and_other_networks_are_left_alone(plain):
    other = deepcopy(plain)
    other.layers[0].blocks[1].intermediate.intermediate_act_fn = torch.nn.ReLU()
    quicken_htsat(other)
    assert [type(stage).__name__ for stage in other.layers[:2]] == ["ClapAudioStage", "_QuickStage"]
    stranger = torch.nn.Linear(2, 2)
    quicken_htsat(stranger)
    assert list(stranger.state_dict()) == ["weight", "bias"]
