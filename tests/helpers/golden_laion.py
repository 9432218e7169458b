"""What laion_clap 1.1.7 answers on weights, sounds and captions that anybody can make again, for `golden_laion.npz`.

The weights are numbers of a frozen generator by the names LAION's package gives its tensors, the sounds are integer
arithmetic, so nothing depends on a version. To make the file again, with laion-clap 1.1.7 and its needs installed:

    python -m tests.helpers.golden_laion
"""

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("golden_laion.npz")
FRAMES = slice(0, None, 40)
"""Spectra that are kept of each sound."""
CAPTIONS = ("This is a sound of dog", "This is a sound of baby cry, infant cry")
AUDIO = {
    "patch_embeds_hidden_size": 16,
    "hidden_size": 128,
    "depths": [2, 2, 1, 1],
    "num_attention_heads": [1, 1, 2, 4],
}
TEXT = {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 12, "intermediate_size": 64}
TEXT |= {"vocab_size": 300, "max_position_embeddings": 128}
FIXED = ("logmel_extractor", "spectrogram_extractor", "attn_mask", "_transform.")
"""Parts of the names of tensors that are computed, or that no embedding depends on."""


def sounds() -> list[np.ndarray]:
    """A rising sawtooth of 1 s, loud noise of 1 s (beyond full scale), both in turn over 10 s; float32 [S]."""
    count = np.arange(480000, dtype=np.int64)
    saw = ((count * (count % 48000) // 700) % 2001 - 1000) / 2000.0
    noise = np.random.RandomState(7).randint(-1300, 1301, 480000) / 1000.0
    both = np.where(count // 36000 % 2 == 0, saw, 0.2 * noise)
    return [wave.astype(np.float32) for wave in (saw[:48000], noise[:48000], both)]


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor that makes embeddings of different sounds differ; a whole number where the shape is empty.

    Args:
        name: LAION's; the seed is its CRC-32.
        shape: Of the tensor.
    """
    if not shape:
        return np.array({"logit_scale_a": 2.9, "logit_scale_t": 2.7}.get(name, 7))
    noise = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1.0, 1.0, shape)
    if "running_" in name:
        mean, variance = (
            (-40.0 + 10.0 * noise, 300.0 + 100.0 * noise) if ".bn0." in name else (0.1 * noise, 1 + noise / 2)
        )
        return mean if name.endswith("mean") else variance
    if len(shape) == 1:
        return 1.0 + 0.5 * noise if name.endswith("weight") else 0.1 * noise
    if "bias_table" in name:
        return noise
    if "embeddings" in name:
        return 0.02 * noise  # so small that the epsilon of the norm after them counts
    return noise * 2.0 * math.sqrt(3.0 / math.prod(shape[1:]))


def spell(captions: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and mask, int64 [P, 77] each: bytes in place of words."""
    rows = [[0, *(byte + 4 for byte in caption.encode()), 2] for caption in captions]
    tokens = np.array([row + [1] * (77 - len(row)) for row in rows])
    return tokens, (tokens != 1).astype(np.int64)


def _laion_model(*, fusion: bool) -> object:
    """LAION's network of the sizes above with the weights above."""
    import torch
    import transformers

    class Silent:
        """In place of tokenizers that would be fetched."""

        from_pretrained = classmethod(lambda cls, *_, **__: cls())

    for name in ("BertTokenizer", "RobertaTokenizer", "BartTokenizer"):
        setattr(transformers, name, Silent)
    config = transformers.RobertaConfig(**TEXT, type_vocab_size=1, layer_norm_eps=1e-5)  # as roberta-base
    transformers.RobertaModel.from_pretrained = classmethod(lambda cls, *_, **__: cls(config))
    import laion_clap
    from clap_module import factory, model
    from clap_module.htsat import HTSAT_Swin_Transformer

    factory._MODEL_CONFIGS["HTSAT-tiny"]["embed_dim"] = AUDIO["hidden_size"]
    sizes = {"embed_dim": AUDIO["patch_embeds_hidden_size"], "depths": AUDIO["depths"]}
    sizes |= {"num_heads": AUDIO["num_attention_heads"], "spec_size": 256, "window_size": 8}
    model.create_htsat_model = lambda cfg, enable_fusion, fusion_type: HTSAT_Swin_Transformer(
        **sizes, config=cfg, enable_fusion=enable_fusion, fusion_type=fusion_type
    )
    clap = laion_clap.CLAP_Module(enable_fusion=fusion, device="cpu").eval()
    for name, tensor in clap.model.state_dict().items():
        if tensor.is_floating_point() and not any(part in name for part in FIXED):
            tensor.copy_(torch.from_numpy(np.asarray(seeded(name, tuple(tensor.shape)))))
    return clap


def _mel(clap: object, wave: np.ndarray) -> np.ndarray:
    """LAION's spectrogram of a sound, float32 [1001, 64] in dB."""
    import torch
    from laion_clap.training.data import float32_to_int16, get_audio_features, int16_to_float32

    heard = torch.from_numpy(int16_to_float32(float32_to_int16(wave))).float()
    kind = "fusion" if clap.enable_fusion else "rand_trunc"
    sample = get_audio_features({}, heard, 480000, kind, "repeatpad", clap.model_cfg["audio_cfg"])
    if clap.enable_fusion:
        return sample["mel_fusion"][0].numpy()
    tower = clap.model.audio_branch
    return tower.logmel_extractor(tower.spectrogram_extractor(sample["waveform"][None]))[0, 0].numpy()


def main() -> None:
    """Write the file."""
    import torch

    sys.argv = sys.argv[:1]  # the package reads it
    torch.set_num_threads(1)
    kept: dict[str, np.ndarray] = {}
    for kind, fusion in (("fusion", True), ("unfused", False)):
        clap = _laion_model(fusion=fusion)
        state = clap.model.state_dict()
        tokens, mask = (torch.from_numpy(part) for part in spell(CAPTIONS))
        with torch.inference_mode():
            audio = [clap.get_audio_embedding_from_data([wave], use_tensor=False)[0] for wave in sounds()]
            text = clap.model.get_text_embedding({"input_ids": tokens, "attention_mask": mask})
            kept[f"{kind}.mel"] = np.stack([_mel(clap, wave)[FRAMES] for wave in sounds()])
        kept[f"{kind}.audio"], kept[f"{kind}.text"] = np.stack(audio), text.numpy()
        shapes = {name: list(tensor.shape) for name, tensor in state.items()}
        kept[f"{kind}.tensors"] = np.array(json.dumps(shapes))
        kept["relative_position_index"] = next(
            tensor.numpy() for name, tensor in state.items() if name.endswith("relative_position_index")
        )
    np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main()
