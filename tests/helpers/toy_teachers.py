"""Small random checkpoints of the true architectures, on disk as they are published, to be loaded by the real code."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

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
    config["text_cfg"] |= {"width": 64, "heads": 2, "layers": 1}
    return config


def write_checkpoint(folder: Path, model: str) -> Path:
    """Random weights of a model as open_clip builds it, whose captions lie apart."""
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
    path = folder / "open_clip_model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return path


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


def write_pe_audio(folder: Path, *, whole: bool = False) -> Any:
    """Random weights of PE-A-Frame, or of the whole of PE-AV, with its tokenizer, as transformers saves them."""
    from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioVideoConfig
    from transformers.models.pe_audio.modeling_pe_audio import PeAudioFrameLevelModel
    from transformers.models.pe_audio_video.modeling_pe_audio_video import PeAudioVideoModel

    ear, text = {"dac_config": dict(_CODEC), **_EAR}, _READER | _TOKENS
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if whole:
            both = {
                "audio_config": ear,
                "video_config": {"vision_config": {"architecture": "test_vit"}, **_EAR},
                **_EAR,
            }
            network = PeAudioVideoModel(PeAudioVideoConfig(text_config=text, audio_video_config=both))
        else:
            network = PeAudioFrameLevelModel(PeAudioConfig(text_config=text, audio_config=ear))
        with torch.no_grad():
            for name, tensor in network.named_parameters():
                if tensor.ndim > 1 and not name.startswith("video"):
                    tensor.add_(0.2 * torch.randn_like(tensor))
            ears = network.audio_model if whole else network
            ears.text_audio_logit_scale.fill_(0.7)
            ears.text_audio_logit_bias.fill_(-2.5)
    network.eval().save_pretrained(folder)
    PeAudioFeatureExtractor().save_pretrained(folder)
    write_tokenizer(folder)
    return network
