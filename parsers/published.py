"""Names of the published state dicts and ours: which tensor of one is which of the other. Nothing is computed here."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_MODULES = {
    "fc_prob": "classifier",
    "fc_frame_att": "pooling.temporal_attention",
    "fc_av_att": "pooling.modality_attention",
    "fc_a": "stem.audio",
    "fc_v": "stem.visual",
    "fc_st": "stem.motion",
    "fc_fusion": "stem.fusion",
    "hat_encoder.final_norm_a": "encoder.audio_norm",
    "hat_encoder.final_norm_v": "encoder.visual_norm",
}
_LAYER_PARAMETERS = {
    "self_attn.in_proj_weight": "self_attention.in_weight",
    "self_attn.in_proj_bias": "self_attention.in_bias",
    "cm_attn.in_proj_weight": "cross_attention.in_weight",
    "cm_attn.in_proj_bias": "cross_attention.in_bias",
}
_LAYER_MODULES = {
    "self_attn.out_proj": "self_attention.out_projection",
    "cm_attn.out_proj": "cross_attention.out_projection",
    "linear1": "widen",
    "linear2": "narrow",
    "norm1": "attention_norm",
    "norm2": "feedforward_norm",
}
_LAYER = re.compile(r"hat_encoder\.layers\.(\d+)\.(.+)")
_OUR_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
_FINAL_NORMS = ("hat_encoder.final_norm_a", "hat_encoder.final_norm_v")


def our_name(published: str) -> str:
    """Our name of a published parameter.

    Args:
        published: For example `hat_encoder.layers.0.cm_attn.in_proj_weight`.

    Returns:
        For example `encoder.layers.0.cross_attention.in_weight`.

    Raises:
        KeyError: No parameter of the published network has this name.
    """
    layer = _LAYER.fullmatch(published)
    if layer:
        return f"encoder.layers.{layer[1]}.{_rename(layer[2], _LAYER_MODULES, _LAYER_PARAMETERS)}"
    return _rename(published, _MODULES)


def published_name(ours: str) -> str:
    """Published name of one of our parameters: the inverse of `our_name`, with the same errors."""
    layer = _OUR_LAYER.fullmatch(ours)
    if layer:
        return (
            f"hat_encoder.layers.{layer[1]}.{_rename(layer[2], _inverse(_LAYER_MODULES), _inverse(_LAYER_PARAMETERS))}"
        )
    return _rename(ours, _inverse(_MODULES))


def from_published(state: Mapping[str, Tensor], *, norm_order: str = "post") -> dict[str, Tensor]:
    """Turn a published state dict into one of ours.

    Args:
        state: Published names to tensors.
        norm_order: Of the parser it is for. With `post` the two closing norms, which the published post-norm network
            carries without using them, are left out.

    Returns:
        Our names to the same tensors, to be loaded with `load_state_dict`.

    Raises:
        KeyError: A name the published network does not have.
    """
    return {
        our_name(name): tensor
        for name, tensor in state.items()
        if norm_order == "pre" or not name.startswith(_FINAL_NORMS)
    }


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn one of our state dicts into a published one.

    Args:
        state: Our names to tensors, of a parser with a motion stream and attentive pooling.

    Returns:
        Published names to the same tensors. The closing norms a post-norm network carries unused are there, at their
        initial values, which training never changes.

    Raises:
        KeyError: A name `our_name` never gives.
    """
    published = {published_name(name): tensor for name, tensor in state.items()}
    bias = state["stem.audio.bias"]
    for norm in _FINAL_NORMS:
        published.setdefault(f"{norm}.weight", torch.ones_like(bias))
        published.setdefault(f"{norm}.bias", torch.zeros_like(bias))
    return published


def _rename(name: str, modules: Mapping[str, str], parameters: Mapping[str, str] | None = None) -> str:
    """Look up the whole name among the parameters, or what stands before .weight and .bias among the modules."""
    if parameters and name in parameters:
        return parameters[name]
    module, _, parameter = name.rpartition(".")
    if module not in modules or parameter not in ("weight", "bias"):
        raise KeyError(f"{name!r} is not a parameter of a known part; known parts: {', '.join(sorted(modules))}")
    return f"{modules[module]}.{parameter}"


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {value: key for key, value in table.items()}
