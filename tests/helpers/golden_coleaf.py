"""CoLeaF's networks with the weights of the golden vectors, and the published names of its reference networks."""

import torch

from valor.parsers.build import build_parser
from valor.parsers.hybrid import HybridParser
from valor.parsers.networks.coleaf import ReferenceNet
from valor.parsers.options import ParserOptions
from valor.parsers.published import METHOD_NAMES, published_name

from .golden_methods import Golden, weight

NAMES = {"classifier": "fc_prob", "over_time": "fc_frame_att", "fusion": "fc_fusion"}
INPUTS = {"a": ("fc_a",), "v": ("fc_v", "fc_st")}


def theirs(name: str, which: str) -> str:
    """The published name of a parameter of the reference network of audio (a) or visual (v)."""
    if name == "tokens":
        return f"cls_tokens_{which}"
    module, _, kind = name.rpartition(".")
    if module.startswith("inputs."):
        return f"{INPUTS[which][int(module[-1])]}.{kind}"
    return f"{NAMES[module]}.{kind}" if module in NAMES else published_name(name, METHOD_NAMES["cmpae"])


def references(golden: Golden, dtype: torch.dtype) -> list[ReferenceNet]:
    """The reference networks with the weights of the recipe, without any dropout."""
    nets = []
    for which, widths in (("a", (128,)), ("v", (2048, 512))):
        net = ReferenceNet(widths, 512, 25)
        for name, held in net.named_parameters():
            held.data.copy_(
                weight(theirs(name, which), tuple(held.shape), int(golden["seed_weights"]), f"ref_{which}:")
            )
        net.dropout = 0.0
        for layer in net.encoder.layers:
            layer.dropout = layer.self_attention.dropout = 0.0
        nets.append(net.to(dtype))
    return nets


def anchor(golden: Golden, dtype: torch.dtype) -> HybridParser:
    """The anchor network, likewise."""
    options = ParserOptions(
        network="presence",
        stem="elu",
        num_heads=1,
        feedforward_width=512,
        update_order="together",
        dropout=0.0,
        visual_width=16384,
        visual_frames=8,
    )
    parser = build_parser(options, seed=0)
    golden.fill(parser, METHOD_NAMES["cmpae"], "anchor:")
    parser.between_dropout = 0.0
    return parser.to(dtype)
