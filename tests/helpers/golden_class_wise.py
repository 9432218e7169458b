"""Parameters of MM-CSE's network under their published names: what is one tensor here is one for each class there."""

import re
from collections.abc import Iterator

from torch import Tensor, nn

from .golden_methods import Golden, weight

LAYER = {
    "along.in_weight": "SECM_1.attn.in_proj_weight",
    "along.in_bias": "SECM_1.attn.in_proj_bias",
    "along.out_projection": "SECM_1.attn.out_proj",
    "across.in_weight": "SECM_2.attn.in_proj_weight",
    "across.in_bias": "SECM_2.attn.in_proj_bias",
    "across.out_projection": "SECM_2.attn.out_proj",
    "along_mean.own": "LGSF_1.glob1",
    "along_mean.whole": "LGSF_1.glob2",
    "across_mean.own": "LGSF_2.glob",
    "from_along": "fc1",
    "from_across": "fc2",
    "widen": "linear1",
    "narrow": "linear2",
    "norm": "norm1",
}
_MODULES = {
    "stem.audio": "fc_a",
    "stem.visual": "fc_v",
    "stem.motion": "fc_st",
    "stem.fusion": "fc_fusion",
    "audio.join": "reduce_a.0",
    "visual.join": "reduce_v.0",
    "audio.gate.0": "alpha_a.model.1",
    "audio.gate.1": "alpha_a.model.4",
    "visual.gate.0": "alpha_v.model.1",
    "visual.gate.1": "alpha_v.model.4",
    "audio.rebuild.0": "a_recon.0",
    "audio.rebuild.1": "a_recon.2",
    "visual.rebuild.0": "v_recon.model.1",
    "visual.rebuild.1": "v_recon.model.3",
}
_BY_CLASS = {
    "classifier": "fc_prob.fc.{}",
    "pooling.temporal_attention": "fc_frame_att.fc.{}",
    "pooling.modality_attention": "fc_av_att.fc.{}",
    "audio.first": "a_unmix.{}.1",
    "visual.first": "v_unmix.{}.1",
    "visual.second": "v_unmix.{}.4",
}


def published(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Published names of a parameter of ours, each with the part of the tensor that is theirs, in their shape."""
    module, _, kind = name.rpartition(".")
    if module in _BY_CLASS:
        if module.endswith("first"):
            parts = tensor.unflatten(0, (-1, 128))
        else:
            parts = tensor if module.endswith("second") else tensor[:, None]
        for number, part in enumerate(parts):
            yield f"{_BY_CLASS[module].format(number)}.{kind}", part
    elif layer := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", module):
        inner = LAYER.get(f"{layer[2]}.{kind}") or f"{LAYER[layer[2]]}.{kind}"
        yield f"av_enhance.layers.{layer[1]}.{inner}", tensor
    else:
        yield f"{_MODULES[module]}.{kind}", tensor


def fill(golden: Golden, parser: nn.Module) -> None:
    """Give the network the weights of the recipe."""
    seed = int(golden["seed_weights"])
    for name, parameter in parser.named_parameters():
        for theirs, part in published(name, parameter.data):
            part.copy_(weight(theirs, tuple(part.shape), seed))


class Published(nn.Module):
    """The network as seen by `Golden.compare_gradients` and `compare_step`: parameters by published name."""

    def __init__(self, parser: nn.Module) -> None:
        """Take it, after a backward pass."""
        super().__init__()
        self.held: dict[str, nn.Parameter] = {}
        for name, parameter in parser.named_parameters():
            parts = zip(published(name, parameter.data), published(name, parameter.grad), strict=True)
            for (theirs, part), (_, grad) in parts:
                self.held[theirs] = nn.Parameter(part)
                self.held[theirs].grad = grad

    def named_parameters(self, *_: object, **__: object) -> Iterator[tuple[str, nn.Parameter]]:
        """By published name."""
        return iter(self.held.items())


def as_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by our names as tensors by published names."""
    return {theirs: part for name, tensor in tensors.items() for theirs, part in published(name, tensor)}
