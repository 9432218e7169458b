"""Parameters of LEAP's network by their published names."""

import re

_LAYER = {
    "query": "self_attn.linears.0",
    "key": "self_attn.linears.1",
    "value": "self_attn.linears.2",
    "out": "self_attn.linears.3",
    "widen": "feed_forward.w_1",
    "narrow": "feed_forward.w_2",
    "attention_norm": "sublayer.0.norm",
    "feedforward_norm": "sublayer.1.norm",
}
_OTHERS = {
    "stem.audio": "fc_a",
    "stem.visual": "fc_v",
    "stem.motion": "fc_st",
    "stem.fusion": "fc_fusion",
    "classifier": "fc_l",
    "clip_heads.0": "fc_la",
    "clip_heads.1": "fc_lv",
    "encoder.weigh.0": "MMP.fusion.aselectfusion",
    "encoder.weigh.1": "MMP.fusion.vselectfusion",
}
_GATES = {"keep_own": 1, "keep_other": 2}
_CONVOLUTIONS = {"wide": "conv1", "narrow": "conv2"}


def theirs(name: str) -> str:
    """The published name of a parameter of ours."""
    module, _, kind = name.rpartition(".")
    if module in _OTHERS:
        return f"{_OTHERS[module]}.{kind}"
    if found := re.fullmatch(r"pooling\.layers\.(\d)\.(\d+)\.(\w+)", module):
        return f"AVL.l{'av'[int(found[1])]}_cma_network.{found[2]}.{_LAYER[found[3]]}.{kind}"
    if found := re.fullmatch(r"encoder\.mix\.(\d)\.(\w+)", module):
        return f"MMP.fusion.{'av'[int(found[1])]}adaptiveinteraction.{_LAYER[found[2]]}.{kind}"
    if found := re.fullmatch(r"encoder\.levels\.(\d+)\.(\w+)\.(\d)", module):
        level, part, letter = found[1], found[2], "av"[int(found[3])]
        if part in _GATES:
            return f"MMP.capture.msa.{level}.l{letter}{_GATES[part]}.{kind}"
        return f"MMP.capture.{letter}network.{level}.{_CONVOLUTIONS[part]}.{kind}"
    if found := re.fullmatch(r"encoder\.levels\.(\d+)\.along\.(\d)\.(\w+)", module):
        return f"MMP.capture.msa.{found[1]}.{'av'[int(found[2])]}sablock.layer.{_LAYER[found[3]]}.{kind}"
    found = re.fullmatch(r"encoder\.levels\.(\d+)\.across\.(\w+)", module)
    assert found, name
    return f"MMP.capture.msa.{found[1]}.cmablock.layer.{_LAYER[found[2]]}.{kind}"
