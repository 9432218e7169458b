"""Small random checkpoints of the true architectures, on disk as they are published, to be loaded by the real code."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from valor.label_harvest.teachers.catalogue import OPEN_CLIP_FILES
from valor.label_harvest.teachers.self_test import CAPTIONS

PROMPTS = ("A photo of a dog.", "A red bus, in a street!", "Waves on a beach")
"""Captions as they are typed: with capitals and punctuation."""
WORDS = sorted({word for text in (*PROMPTS, *CAPTIONS) for word in text.lower().replace(",", "").split()})


def write_tokenizer(folder: Path, *, pad: int = 0, words: Sequence[str] = WORDS) -> None:
    """A tokenizer of whole words in the layout of the hub; what it does not know is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = {"<pad>": pad, "</s>": 1 - min(pad, 1), "<unk>": 2}
    free = [number for number in range(len(words) + 9) if number not in special.values()]
    vocabulary = special | dict(zip(sorted({word.strip(".!") for word in words}), free, strict=False))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    end = ("</s>", special["</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "padding_side": "right"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


TRUE_CLASSES = {
    "siglip2-b16-256": ("ViT-B-16-SigLIP2-256", 64, {"timm_model_name": "test_vit", "image_size": 160}),
    "pe-core-t16-384": ("PE-Core-T-16-384", 512, {}),
    "mobileclip2-s0": ("MobileCLIP2-S0", 512, {"image_size": 64}),
}
"""Of a short name: the model of open_clip, the width of its embeddings, and how its picture tower is made smaller."""


def small_config(short: str) -> dict:
    """The configuration of a model with a smaller picture tower and one layer of text."""
    import open_clip

    model, width, vision = TRUE_CLASSES[short]
    config = copy.deepcopy(open_clip.get_model_config(model))
    config["embed_dim"] = width
    config["vision_cfg"] |= vision
    config["text_cfg"] |= {"width": 16, "heads": 2, "layers": 1}
    return config


def write_checkpoint(folder: Path, model: str) -> Any:
    """Write random weights of a model as open_clip builds it, whose captions lie apart; the network itself."""
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.create_model(model, load_weights=False)
        with torch.no_grad():
            network.text.token_embedding.weight.mul_(40)
            network.logit_scale.fill_(4.7)
            for tensor in network.visual.parameters():
                tensor.add_(0.1 * torch.randn_like(tensor) if tensor.ndim else 0)
            if network.logit_bias is not None:
                network.logit_bias.fill_(-12.5)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / OPEN_CLIP_FILES[0])
    return network.eval()


_EAR = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
_CODEC = {"downsampling_ratios": [2, 8, 10, 12], "encoder_hidden_size": 4, "codebook_dim": 8, "hidden_size": 16}
_READER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_TOKENS = {
    "vocab_size": 80,
    "pad_token_id": 0,
    "cls_token_id": 1,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}


def write_pe_audio(folder: Path) -> Any:
    """Random weights of PE-A-Frame with its tokenizer, as transformers saves them; the network itself."""
    from transformers import PeAudioConfig
    from transformers.models.pe_audio.modeling_pe_audio import PeAudioFrameLevelModel

    config = PeAudioConfig(text_config=_READER | _TOKENS, audio_config={"dac_config": dict(_CODEC), **_EAR})
    network = _trained(PeAudioFrameLevelModel, config)
    network.save_pretrained(folder)
    _write_front_end(folder)
    return network


def write_pe_av(folder: Path) -> Any:
    """Random weights of PE-AV's audio half under the names that the whole has, beside one of another part; the half.

    The whole takes seconds to build. Its names are those of transformers 5.17: a text tower that all parts share, and
    `audio_model.` before what is the audio half's alone.
    """
    from transformers import PeAudioConfig
    from transformers.models.pe_audio.modeling_pe_audio import PeAudioModel

    ear = {"dac_config": dict(_CODEC), **_EAR}
    told = {"model_type": "pe_audio_video", "architectures": ["PeAudioVideoModel"], "text_config": _READER | _TOKENS}
    (folder / "config.json").write_text(json.dumps({**told, "audio_video_config": {"audio_config": ear, **_EAR}}))
    network = _trained(PeAudioModel, PeAudioConfig(text_config=_READER | _TOKENS, audio_config=ear))
    state = {
        name if name.startswith("text_model.") else f"audio_model.{name}": tensor.contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(state | {"video_model.video_head.proj.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    _write_front_end(folder)
    return network


def _trained(kind: Any, config: Any) -> Any:  # noqa: ANN401
    """A network of one of PE's classes whose numbers are far from those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = kind(config)
        with torch.no_grad():
            for tensor in network.parameters():
                if tensor.ndim > 1:
                    tensor.add_(0.2 * torch.randn_like(tensor))
            network.text_audio_logit_scale.fill_(0.7)
            network.text_audio_logit_bias.fill_(-2.5)
    return network.eval()


def _write_front_end(folder: Path) -> None:
    """How PE hears, and its tokenizer."""
    from transformers import PeAudioFeatureExtractor

    PeAudioFeatureExtractor().save_pretrained(folder)
    write_tokenizer(folder)
