"""Parameter names of the published networks and ours: VALOR's, and those of HAN of 2020, which add parts nothing uses.

Weights go over unchanged; parts that only the published code carries are filled with what training leaves in them.
Names of UWAV's (CVPR 2025) are VALOR's, with `layers.N` in the heads, the audio stem and the fusion, also where
there is one layer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
_LAYER = re.compile(r"(\w+)\.layers\.(\d+)\.(.+)")
_OUR_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
_STACKED = re.compile(r"(fc_a|fc_fusion|fc_frame_att|fc_av_att)(\.layers\.\d+)\.(weight|bias)")
_OUR_STACKED = re.compile(
    r"(stem\.audio|stem\.fusion|pooling\.temporal_attention|pooling\.modality_attention)(\.layers\.\d+)\.(weight|bias)"
)
_HEADS = ("pooling.temporal_attention", "pooling.modality_attention")
_FINAL_NORMS = ("hat_encoder.final_norm_a", "hat_encoder.final_norm_v")
_TRIALS = ("audio_encoder", "visual_encoder", "cmt_encoder")
"""Encoders of earlier trials, which HAN's code builds and never runs."""
_CLOSING = ("hat_encoder.norm1", "hat_encoder.norm2")
"""Two closing norms of HAN's code that are never run either."""


@dataclass(frozen=True)
class PublishedNames:
    """How the code of one method calls the parts of its network."""

    modules: Mapping[str, str]
    """Its modules and ours."""
    encoder: str = "hat_encoder"
    """Its encoder, whose layers are called alike in all."""
    unused: tuple[str, ...] = ()
    """How names begin of what it builds and never runs."""
    known_by: str = ""
    """A parameter that no other network has."""


_ELU_STEM = {f"{part}.0": ours for part, ours in _MODULES.items() if ours.startswith("stem.")}
VALOR_NAMES = PublishedNames(_MODULES)
"""HAN's, VALOR's and UWAV's; JoMoLD's network is HAN's."""

METHOD_NAMES: dict[str, PublishedNames] = {
    "nrep": PublishedNames(
        {
            **_ELU_STEM,
            "fc_sl_fore.0": "classifier",
            "fc_sl_back.0": "against",
            "fc_frame_att": "pooling",
            "fc_a_sl.0": "joint_audio",
            "fc_v_sl.0": "joint_visual",
            "fc_joint_sl.0": "joint_head",
            "fc_temporal_att": "joint_time",
        },
        encoder="inter_encoder",
        unused=("inter_encoder.norm1.", "inter_encoder.norm2."),
        known_by="fc_sl_fore.0.weight",
    ),
    "cmpae": PublishedNames(
        {
            **_ELU_STEM,
            "fc_prob": "classifier",
            "fc_prob_beta": "absence",
            "fc_frame_att": "pooling",
            "v2a.0": "for_audio",
            "a2v.0": "for_visual",
            "classifier1.0": "whole",
            "classifier2": "whole_head",
        },
        unused=("hat_encoder.norm1.", "hat_encoder.norm2.", "fc_global."),
        known_by="fc_prob_beta.weight",
    ),
}
"""Of methods whose network is another."""


def method_of(state: Mapping[str, Tensor]) -> str | None:
    """The key of METHOD_NAMES a published state dict is of; None for a network of HAN's and VALOR's parts."""
    return next((method for method, names in METHOD_NAMES.items() if names.known_by in state), None)


def our_name(published: str, names: PublishedNames = VALOR_NAMES) -> str:
    """Our name of a published parameter.

    Args:
        published: For example `hat_encoder.layers.0.cm_attn.in_proj_weight`.
        names: Whose code it is of.

    Returns:
        For example `encoder.layers.0.cross_attention.in_weight`.

    Raises:
        KeyError: No parameter of the published network has this name.
    """
    layer = _LAYER.fullmatch(published)
    if layer and layer[1] == names.encoder:
        return f"encoder.layers.{layer[2]}.{_rename(layer[3], _LAYER_MODULES, _LAYER_PARAMETERS)}"
    if names is VALOR_NAMES and (stacked := _STACKED.fullmatch(published)):
        return f"{names.modules[stacked[1]]}{stacked[2]}.{stacked[3]}"
    return _rename(published, names.modules)


def published_name(ours: str, names: PublishedNames = VALOR_NAMES) -> str:
    """Published name of one of our parameters: the inverse of `our_name`, with the same errors."""
    layer = _OUR_LAYER.fullmatch(ours)
    if layer:
        inner = _rename(layer[2], _inverse(_LAYER_MODULES), _inverse(_LAYER_PARAMETERS))
        return f"{names.encoder}.layers.{layer[1]}.{inner}"
    if names is VALOR_NAMES and (stacked := _OUR_STACKED.fullmatch(ours)):
        return f"{_inverse(names.modules)[stacked[1]]}{stacked[2]}.{stacked[3]}"
    return _rename(ours, _inverse(names.modules))


def from_published(
    state: Mapping[str, Tensor], *, norm_order: str = "post", names: PublishedNames = VALOR_NAMES
) -> dict[str, Tensor]:
    """Turn a published state dict into one of ours.

    Args:
        state: Published names to tensors.
        norm_order: Of the parser it is for. With `post` the two closing norms, which the published post-norm network
            carries without using them, are left out.
        names: Whose code it is of; what that builds and never runs is left out.

    Returns:
        Our names to the same tensors, to be loaded with `load_state_dict`.

    Raises:
        KeyError: A name the published network does not have.
    """
    ours = {
        our_name(name, names): tensor
        for name, tensor in state.items()
        if not name.startswith(names.unused) and (norm_order == "pre" or not name.startswith(_FINAL_NORMS))
    }
    for head in _HEADS:  # of one layer, which UWAV's names count all the same
        if f"{head}.layers.0.weight" in ours and f"{head}.layers.1.weight" not in ours:
            ours |= {f"{head}.{kind}": ours.pop(f"{head}.layers.0.{kind}") for kind in ("weight", "bias")}
    return ours


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn one of our state dicts into a published one.

    Args:
        state: Our names to tensors, of a parser with a motion stream and attentive pooling; with a perceptron stem it
            gets UWAV's names, else VALOR's.

    Returns:
        Published names to the same tensors. The closing norms a post-norm network carries unused are there, at their
        initial values, which training never changes.

    Raises:
        KeyError: A name `our_name` never gives.
    """
    uwav = "stem.audio.layers.0.weight" in state
    single = [head for head in _HEADS if uwav and f"{head}.weight" in state]
    counted = {f"{head}.{kind}": f"{head}.layers.0.{kind}" for head in single for kind in ("weight", "bias")}
    published = {published_name(counted.get(name, name)): tensor for name, tensor in state.items()}
    bias = state["encoder.layers.0.attention_norm.bias"]
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


def is_han(state: Mapping[str, Tensor]) -> bool:
    """Whether a published state dict is of HAN's code, by the closing norms only it has under these names."""
    return f"{_CLOSING[0]}.weight" in state


def used_by_han(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what the network never runs; the names that stay are those `our_name` knows.

    Source:
        Names and unused parts: `nets/net_audiovisual.py` of the repository YapengTian/AVVP-ECCV20.
    """
    unused = tuple(f"{part}." for part in (*_TRIALS, *_CLOSING))
    return {name: tensor for name, tensor in state.items() if not name.startswith(unused)}


def to_published_han(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the state dict of one of our parsers into one that HAN's code loads.

    Args:
        state: Our names to tensors, of a post-norm parser of one layer with a motion stream and attentive pooling.

    Returns:
        HAN's names to the same tensors. The parts that nothing uses are there because loading asks for them; their
        weights are 0, or 1 in norms.
    """
    named = {name: tensor for name, tensor in to_published(state).items() if ".final_norm_" not in name}
    layer = "hat_encoder.layers.0."
    parts = {name.removeprefix(layer): tensor for name, tensor in named.items() if name.startswith(layer)}
    own = {name: tensor for name, tensor in parts.items() if not name.startswith("cm_attn.")}
    unused = {f"{trial}.layers.0.{name}": tensor for trial in _TRIALS for name, tensor in own.items()}
    norms = {f"norm{number}.{name}": own[f"norm1.{name}"] for number in (1, 2) for name in ("weight", "bias")}
    for home in ("cmt_encoder", "hat_encoder"):
        unused |= {f"{home}.{name}": tensor for name, tensor in norms.items()}
    scales = ("norm1.weight", "norm2.weight")
    for name, like in unused.items():
        named[name] = torch.ones_like(like) if name.endswith(scales) else torch.zeros_like(like)
    return named
