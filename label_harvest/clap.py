"""The audio teacher: CLAP (HTSAT, fusion configuration) scores each segment of sound against one caption per class.

The network is the one in transformers, the same function as LAION's own package; LAION's checkpoints are loaded by
renaming. What changes labels is fixed as in the published generator:

* a segment is rounded through int16, repeated as often as it fits into 10 s, and followed by silence;
* `is_longer` is always False: the fusion branch is for sounds above 10 s, and transformers' own feature extractor would
  send one random item of every batch through it;
* the map [64, 768] is the last layer of the whole 10 s; row 32 * f + t is frequency half f at time t.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .checkpoints import RANDOM, build_random, load_exactly, read_state, state_digest, unreachable
from .evidence import Evidence
from .indices import audio_segments, resample_by_index
from .media import ClipMedia
from .mel import log_mel

SAMPLE_RATE = 48000
"""Samples per second CLAP was trained at."""
WINDOW_SAMPLES = 480000
"""The 10 s the network takes in; neither more nor less."""
HUB_FILE = ("lukewys/laion_clap", "630k-fusion-best.pt")
"""Repository and file of the published weights."""
HUB_MODEL = "laion/clap-htsat-fused"
"""A model in the hub's layout, 630k-audioset-fusion: newer weights than the published ones, fetched when asked for."""
HUB_TOKENIZER = "roberta-base"
"""Where the tokenizer of the text tower is fetched from."""
LAION_CONFIG = {"audio_config": {"enable_fusion": True}, "text_config": {"layer_norm_eps": 1e-5}}
"""HTSAT-tiny with fusion and RoBERTa-base, as in LAION's package; transformers' default epsilon is another."""
_BATCH = 20
"""Windows per pass through the network, two clips: more does not pay on a CPU and costs memory."""

Tokenize = Callable[[Sequence[str]], tuple[torch.Tensor, torch.Tensor]]


def quantise(waveform: np.ndarray) -> np.ndarray:
    """Round float32 [...] through int16 as the published pipeline does: clip, scale, truncate toward zero."""
    whole = (np.clip(waveform, -1.0, 1.0).astype(np.float32) * np.float32(32767.0)).astype(np.int16)
    return whole.astype(np.float32) / np.float32(32767.0)


def repeat_pad(segment: np.ndarray, num_samples: int = WINDOW_SAMPLES) -> np.ndarray:
    """Repeat [n] as often as it fits, then fill with silence: 48,000 samples 10 times, 48,001 only 9 times.

    Raises:
        ValueError: The segment is empty or longer than the window.
    """
    if not 0 < len(segment) <= num_samples:
        raise ValueError(f"a segment must have 1 to {num_samples} samples, got {len(segment)}; use shorter segments")
    repeated = np.tile(segment, num_samples // len(segment))
    return np.pad(repeated, (0, num_samples - len(repeated)))


class ClapTeacher:
    """A CLAP network whose captions are encoded once."""

    role = "audio"
    sample_rate = SAMPLE_RATE

    def __init__(
        self, network: torch.nn.Module, tokenize: Tokenize, prompts: Sequence[str], *, weights: str, tokenizer: str
    ) -> None:
        """Freeze the network and encode the captions.

        Args:
            network: A transformers ClapModel with fusion enabled.
            tokenize: Captions to token ids and mask, int64 [C, L] each.
            prompts: One caption per class.
            weights: sha256 of its weights, or `random`.
            tokenizer: Name of the tokenizer, as it goes into the identity.
        """
        torch.backends.cudnn.allow_tf32 = False  # the identity says float32, on every device
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.eval().requires_grad_(False).to(self._device)
        self._prompts = tuple(prompts)
        self._weights, self._tokenizer = weights, tokenizer
        tokens, mask = (part.to(self._device) for part in tokenize(prompts))
        with torch.inference_mode():
            pooled = network.text_model(input_ids=tokens, attention_mask=mask).pooler_output
            self._text = functional.normalize(network.text_projection(pooled), dim=-1)  # [C, D]
        self._logit_scale = float(network.logit_scale_a.exp())

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        return {
            "teacher": "clap",
            "architecture": "transformers ClapModel HTSAT fusion",
            "weights": self._weights,
            "tokenizer": self._tokenizer,
            "prompts": list(self._prompts),
            "logit_scale": self._logit_scale,
            "logit_bias": 0.0,
            "precision": "float32",
            "preprocessing": "int16 round trip, segments repeated to 480000 samples, 64 HTK mel bands, never longer",
        }

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embed every segment, and the whole clip where the grid is 10 s long.

        Features: `embedding` float32 [T, D] of length 1, and `map` float32 [64, 768] of a 10 s clip.
        """
        windows = np.stack([window for clip in clips for window in _segment_windows(clip)])
        embedding = torch.cat([self._embed(part) for part in torch.from_numpy(windows).split(_BATCH)])
        similarity = (embedding @ self._text.T).cpu().numpy()
        embeddings = embedding.cpu().numpy().reshape(len(clips), -1, embedding.shape[-1])
        similarities = similarity.reshape(len(clips), -1, len(self._prompts))
        features = [{"embedding": row} for row in embeddings]
        whole = [index for index, clip in enumerate(clips) if len(clip.waveform) == WINDOW_SAMPLES]
        for index, rows in zip(whole, self._maps([clips[index] for index in whole]), strict=True):
            features[index]["map"] = rows
        return [Evidence(feature, cosine) for feature, cosine in zip(features, similarities, strict=True)]

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]

    def _maps(self, clips: Sequence[ClipMedia]) -> list[np.ndarray]:
        """Last hidden layer of whole clips, float32 [64, 768] each."""
        maps: list[np.ndarray] = []
        windows = [quantise(resample_by_index(clip.waveform, WINDOW_SAMPLES)) for clip in clips]
        for start in range(0, len(windows), _BATCH):
            hidden = self._hear(torch.from_numpy(np.stack(windows[start : start + _BATCH]))).last_hidden_state
            maps.extend(hidden.flatten(2).transpose(1, 2).cpu().numpy())  # [B, D, 2, 32] -> [B, 64, D]
        return maps

    def _embed(self, windows: torch.Tensor) -> torch.Tensor:
        """Unit embeddings [B, D] of waveforms [B, 480000]."""
        with torch.inference_mode():
            projected = self._network.audio_projection(self._hear(windows).pooler_output)
            return functional.normalize(projected, dim=-1)

    def _hear(self, windows: torch.Tensor) -> "torch.nn.Module":
        """Output of the audio tower; the four mel channels of the fusion configuration are equal copies."""
        with torch.inference_mode():
            mel = log_mel(windows.to(self._device), SAMPLE_RATE)[:, None].expand(-1, 4, -1, -1)  # [B, 4, 1001, 64]
            longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self._device)
            return self._network.audio_model(input_features=mel, is_longer=longer)


def build_clap(prompts: Sequence[str], *, checkpoint: str | Path | None = None) -> ClapTeacher:
    """Build the published audio teacher, HTSAT-tiny with the 630k-fusion weights, through transformers.

    Args:
        prompts: One caption per class.
        checkpoint: None fetches the weights from the hub (or finds them in its cache); a file is a LAION checkpoint
            (or a ClapModel state dict), a folder is a model in the hub's layout, the name `laion/clap-htsat-fused`
            fetches that model; `random` builds seeded random weights and a stand-in tokenizer that spells bytes.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint is of another network or cannot be loaded without executing code in it.
        RuntimeError: The weights or the tokenizer are neither local nor to be fetched.
    """
    if checkpoint == RANDOM:
        network = build_random(lambda: build_network(LAION_CONFIG), "clap-630k-fusion")
        return ClapTeacher(network, spell_bytes, prompts, weights=RANDOM, tokenizer="bytes")
    path = _fetch(str(checkpoint or "")) if checkpoint in (None, HUB_MODEL) else Path(checkpoint)
    folder = path if path.is_dir() else path.parent
    state_path = _weights_in(folder) if path.is_dir() else path
    state = clap_state(read_state(state_path))
    network = build_network(_read_config(folder) if path.is_dir() else LAION_CONFIG)
    load_exactly(network, state, str(state_path))
    tokenize = _tokenizer(folder, network.config.text_config.vocab_size)
    return ClapTeacher(network, tokenize, prompts, weights=state_digest(state), tokenizer=HUB_TOKENIZER)


def build_network(config: Mapping[str, Mapping]) -> torch.nn.Module:
    """An unfilled ClapModel.

    Args:
        config: `audio_config` and `text_config` fields that differ from transformers' defaults.

    Raises:
        ValueError: The configuration is not one with fusion.
    """
    from transformers import ClapConfig, ClapModel

    audio, text = config.get("audio_config", {}), config.get("text_config", {})
    if not audio.get("enable_fusion"):
        raise ValueError("the CLAP network must have fusion enabled, got enable_fusion false; use a fusion checkpoint")
    rest = {name: config[name] for name in ("projection_dim",) if name in config}
    return ClapModel(ClapConfig(audio_config=dict(audio), text_config=dict(text), **rest))


_RENAMES = (
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^text_branch\.", "text_model."),
    (r"^(audio|text)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(audio|text)_projection\.2\.", r"\1_projection.linear2."),
    (r"^(audio_model\.audio_encoder)\.bn0\.", r"\1.batch_norm."),
    (r"(\.blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(\.blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"(\.blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"(\.blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"(\.blocks\.\d+)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"(\.blocks\.\d+)\.attn\.", r"\1.attention.self."),
)
"""LAION's names to transformers' names, applied in order."""
_UNUSED = re.compile(
    r"^audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\.|\.attn_mask$|_transform\."
)
"""Tensors of a LAION checkpoint that do not reach the embedding: front end, classifiers, derived masks."""
_POSITIONS = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""Counters some versions store and others do not."""


def clap_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring a CLAP state dict, LAION's or transformers', to transformers' names; query, key and value are split."""
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if _UNUSED.search(name):
            continue
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".attention.self.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace(".qkv.", f".{part}.")] = piece.contiguous()
        else:
            renamed[name] = tensor
    length = renamed.get("text_model.embeddings.position_embeddings.weight", torch.zeros(0)).shape[0]
    for name, value in zip(_POSITIONS, (torch.arange(length), torch.zeros(length, dtype=torch.long)), strict=True):
        renamed[name] = value[None]
    return renamed


def spell_bytes(prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, int64 [C, L], of a stand-in tokenizer whose tokens are bytes (random weights only)."""
    rows = [[0, *(byte + 4 for byte in prompt.encode("utf-8")[:500]), 2] for prompt in prompts]
    width = max(len(row) for row in rows)
    tokens = torch.tensor([row + [1] * (width - len(row)) for row in rows])
    return tokens, (tokens != 1).long()


def _segment_windows(clip: ClipMedia) -> list[np.ndarray]:
    """The 480,000 samples the network hears for each segment."""
    cuts = audio_segments(len(clip.waveform), clip.grid.num_segments)
    return [repeat_pad(quantise(clip.waveform[start:stop])) for start, stop in cuts]


def _fetch(model: str) -> Path:
    """A model folder, or the published checkpoint where no model is named, from the hub or its cache."""
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        if model:
            return Path(snapshot_download(model, allow_patterns=["*.json", "*.txt", "model.safetensors", "*.bin"]))
        return Path(hf_hub_download(*HUB_FILE))
    except Exception as error:  # hub, network and cache errors share no base class
        raise unreachable("clap-630k-fusion", model or "/".join(HUB_FILE), error) from error


def _weights_in(folder: Path) -> Path:
    """The weight file of a folder in the hub's layout."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder}: expected model.safetensors or pytorch_model.bin, got neither; copy one there")


def _read_config(folder: Path) -> dict:
    """The `config.json` of a folder in the hub's layout."""
    import json

    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; copy the config.json of the model beside its weights")
    return json.loads(path.read_text(encoding="utf-8"))


def _tokenizer(folder: Path, vocabulary_size: int) -> Tokenize:
    """RoBERTa's tokenizer: beside the checkpoint, or from the hub and its cache."""
    from transformers import RobertaTokenizerFast

    beside = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    source = str(folder) if beside else HUB_TOKENIZER
    try:
        tokenizer = RobertaTokenizerFast.from_pretrained(source, local_files_only=beside)
    except Exception as error:  # hub, network and file errors share no base class
        raise unreachable("clap-630k-fusion", f"the tokenizer {source}", error) from error
    if len(tokenizer) != vocabulary_size:
        raise ValueError(
            f"{source}: the tokenizer must have {vocabulary_size} tokens, got {len(tokenizer)}; "
            "put RoBERTa's tokenizer.json beside the checkpoint"
        )

    def tokenize(prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        batch = tokenizer(list(prompts), padding=True, truncation=True, max_length=77, return_tensors="pt")
        return batch["input_ids"], batch["attention_mask"]

    return tokenize
