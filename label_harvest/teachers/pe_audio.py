"""Perception Encoder's ears, through transformers: PE-A-Frame speaks every 40 ms, PE-AV's audio half once a segment.

* PE-A-Frame hears a whole clip, or a window of one, and gives an embedding every 40 ms; a segment gets the mean of
  those in it (`TimeGrid`), so that its logits are the mean of theirs.
* PE-AV's audio half gives one embedding of what it hears, so that each segment is heard alone.
* Logits are the plain product of the two embeddings, times a scale, plus a bias; neither is brought to length 1, as in
  transformers. What a store calls similarity is that product over a power of two that it can never exceed, and the
  scale is so much larger: logits are exact.

The looking half of PE-AV, and the joint one, are not teachers here: one frame a segment is PE-Core's own work.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..disk import file_sha256
from ..media.clip import ClipMedia, Grid, audio_segments
from ..strict_json import as_object, loads
from .clap_models import FRONT_END_FILES, HUB_PREFIX, Tokenize, place_of_model, spell_bytes, store_name, weights_in
from .precision import cast_network, chosen_device
from .published_weights import WeightsOrigin, check_weights
from .teacher import Evidence, LongCaptionError, Prompts, all_captions, as_json, captions_of, stream_of, unit_rows
from .time_grid import TimeGrid
from .weights import RANDOM, build_random, load_exactly, read_state, state_digest, unreachable

MODEL_TYPES = ("pe_audio", "pe_audio_video")
"""What transformers calls the two in a config.json."""
HUB_NAMES = ("hf:facebook/pe-a-frame-", "hf:facebook/pe-av-")
"""What the names of the published ones begin with."""
FRAME_NAME = HUB_NAMES[0]
SAMPLE_RATE = 48000
FRAME_SECONDS = 0.04
"""How often the published ones of PE-A-Frame speak."""
_FRAME_LEVEL = "PeAudioFrameLevelModel"
"""The class of PE-A-Frame, in `architectures`."""
_CPU_BATCH, _GPU_BATCH = 1, 8
"""Clips of ten seconds per pass: one fills half a gigabyte in the first layers of the codec."""


def is_pe_audio(name: str, checkpoint: str | Path | None = None) -> bool:
    """Whether a teacher `hf:ORG/NAME|FOLDER` is one of these, by its config.json or by its name; nothing is loaded."""
    config = _config_beside(name, checkpoint)
    return name.startswith(HUB_NAMES) if config is None else config.get("model_type") in MODEL_TYPES


def speaks_in_frames(name: str, checkpoint: str | Path | None = None) -> bool:
    """Whether one of these speaks every 40 ms, by its config.json or by its name."""
    config = _config_beside(name, checkpoint)
    return name.startswith(FRAME_NAME) if config is None else _FRAME_LEVEL in (config.get("architectures") or ())


def _config_beside(name: str, checkpoint: str | Path | None) -> dict[str, Any] | None:
    """The config.json of a folder, or beside a file; None where there is none."""
    given = checkpoint not in (None, RANDOM)
    place = Path(str(checkpoint) if given else name.removeprefix(HUB_PREFIX))
    path = (place.parent if given and place.is_file() else place) / "config.json"
    if not path.is_file():
        return None
    try:
        return as_object(loads(path.read_text(encoding="utf-8")), "the file")
    except ValueError as error:
        raise ValueError(f"{path}: expected the configuration of a model, got {error}; fetch the file again") from error


def finest_of(name: str, checkpoint: str | Path | None = None) -> float:
    """Shortest segments that a teacher `hf:...` can tell apart, in seconds; nothing is loaded."""
    return FRAME_SECONDS if is_pe_audio(name, checkpoint) and speaks_in_frames(name, checkpoint) else 1.0


@dataclass(frozen=True)
class PeAudio:
    """A network with all that belongs to it."""

    network: Any
    """One of transformers', whose parts are known by their names alone."""
    frames: bool
    """Whether it was trained to speak every 40 ms."""
    tokenize: Tokenize
    weights: str
    """sha256 of the weights, or `random`."""
    tokenizer: str
    """sha256 of the tokenizer, as it goes into the identity."""
    origin: WeightsOrigin | None = None

    @property
    def hop(self) -> int:
        """Samples from one embedding to the next."""
        return int(self.network.config.audio_config.dac_config.hop_length)


def load_pe_audio(name: str, *, checkpoint: str | Path | None = None, pin: str | None = None) -> PeAudio:
    """Load a model.

    Args:
        name: `hf:ORG/NAME` or `hf:FOLDER`.
        checkpoint: None fetches the model from the hub (or finds it in its cache); a folder is a model in the hub's
            layout, a file the weights of one, with the rest beside it; `random` builds seeded random weights and a
            stand-in tokenizer that spells bytes.
        pin: See `check_weights`.

    Raises:
        FileNotFoundError: A part of the model is not there.
        ValueError: The weights are of another network, damaged or not the pinned ones, or the folder says that its
            network hears otherwise than ours.
        RuntimeError: The model is neither local nor to be fetched.
    """
    if checkpoint == RANDOM:
        said = _config_beside(name, None) or {"architectures": [_FRAME_LEVEL], "model_type": MODEL_TYPES[0]}
        network = build_random(lambda: _build(said), name)
        return PeAudio(network, speaks_in_frames(name), spell_bytes, RANDOM, "bytes")
    place = Path(checkpoint) if checkpoint is not None else place_of_model(name)
    path = weights_in(place) if place.is_dir() else place
    config = _config_beside(name, path)
    if config is None:
        raise FileNotFoundError(
            f"{path.parent / 'config.json'}: no such file; copy that of the model beside its weights"
        )
    network = _build(config)
    _check_front_end(path.parent, network)
    state = audio_state(read_state(path))
    load_exactly(network, state, f"{name}: {path}")
    fetched = checkpoint is None and not Path(name.removeprefix(HUB_PREFIX)).is_dir()
    weights = state_digest(state)
    origin = check_weights(path, weights, teacher=name, role="audio", pin=pin, fetched=fetched, state=state)
    tokenize, digest = _tokenizer(name, path.parent, network)
    return PeAudio(network, _FRAME_LEVEL in (config.get("architectures") or ()), tokenize, weights, digest, origin)


def _build(config: dict[str, Any]) -> Any:  # noqa: ANN401
    """An unfilled network; of PE-AV its audio half."""
    from transformers import PeAudioConfig
    from transformers.models.pe_audio.modeling_pe_audio import PeAudioModel

    if config.get("model_type") == MODEL_TYPES[1]:
        ears = (config.get("audio_video_config") or {}).get("audio_config")
        config = {"text_config": config.get("text_config"), "audio_config": ears}
    return PeAudioModel(PeAudioConfig(**config))


def audio_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the audio half of PE-AV, which shares its text tower; those of an audio model as they are."""
    half = {
        name.removeprefix("audio_model."): value for name, value in state.items() if name.startswith("audio_model.")
    }
    if not half:
        return state
    return {name: value for name, value in state.items() if name.startswith("text_model.")} | half


def _check_front_end(folder: Path, network: Any) -> None:  # noqa: ANN401
    """Refuse a model that was trained on other sound than is given to it here; says nothing where nothing is said."""
    for name in FRONT_END_FILES:
        path = folder / name
        if not path.is_file():
            continue
        said = as_object(loads(path.read_text(encoding="utf-8")), str(path))
        said = said["feature_extractor"] if isinstance(said.get("feature_extractor"), dict) else said
        hop = int(network.config.audio_config.dac_config.hop_length)
        for what, wanted in (("sampling_rate", SAMPLE_RATE), ("hop_length", hop), ("feature_size", 1)):
            if said.get(what, wanted) != wanted:
                raise ValueError(
                    f"{path}: {what} must be {wanted}, got {said[what]!r}; give a model that hears as PE does"
                )


def _tokenizer(name: str, folder: Path, network: Any) -> tuple[Tokenize, str]:  # noqa: ANN401
    """The tokenizer beside a model, and its sha256."""
    from transformers import PreTrainedTokenizerFast

    path, longest = folder / "tokenizer.json", int(network.config.text_config.max_position_embeddings)
    try:
        tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        digest = file_sha256(path)
    except Exception as error:  # transformers and the disk share no base class
        raise unreachable(name, f"the tokenizer {path}", error) from error
    if len(tokenizer) > network.config.text_config.vocab_size:
        raise ValueError(
            f"{path}: the tokenizer must have at most {network.config.text_config.vocab_size} tokens, got "
            f"{len(tokenizer)}; give the model its own"
        )

    def tokenize(captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        batch = tokenizer(list(captions), padding=True, return_tensors="pt")
        for caption, used in zip(captions, batch["attention_mask"].sum(1).tolist(), strict=True):
            if used > longest:
                raise LongCaptionError(caption, longest)
        return batch["input_ids"], batch["attention_mask"]

    return tokenize, digest


def _reach(head: Any) -> float:  # noqa: ANN401
    """The length that no embedding of a head exceeds, by its weights alone: what leaves its norm is sqrt(D) long."""
    weight, norm = head.proj.weight.double(), head.layer_norm
    scaled = weight * norm.weight.double()
    most = torch.linalg.eigvalsh(scaled @ scaled.T)[-1].clamp(min=0).sqrt()
    return float(most * math.sqrt(weight.shape[1]) + (weight @ norm.bias.double()).norm())


class PeAudioTeacher:
    """One of these networks, whose captions are encoded once."""

    role = "audio"
    sample_rate = SAMPLE_RATE

    def __init__(self, model: PeAudio, prompts: Prompts, *, name: str) -> None:
        """Freeze the network and encode the captions.

        Args:
            model: The network and what belongs to it.
            prompts: The captions of each class.
            name: What a store calls the teacher.
        """
        self._device = chosen_device()
        self._batch = (_CPU_BATCH if self._device.type == "cpu" else _GPU_BATCH) * (1 if model.frames else 10)
        self._network = network = model.network.eval().requires_grad_(False).to(self._device)
        self._model, self._name, self._prompts, self.origin = model, name, tuple(prompts), model.origin
        self.time_grid = TimeGrid(model.hop / SAMPLE_RATE) if model.frames else None
        reach = _reach(network.audio_head) * _reach(network.text_audio_head)
        self._reach = 2.0 ** math.ceil(math.log2(max(reach, 1e-9)))
        groups = self._read(all_captions(prompts)).split([len(captions_of(entry)) for entry in prompts])
        self._text = torch.stack([group.mean(0) for group in groups])  # [C, D], so that logits are the captions' mean
        self._scale, self._bias = float(network.text_audio_logit_scale), float(network.text_audio_logit_bias)
        cast_network(network.audio_encoder, "float32")

    def _read(self, captions: list[str]) -> torch.Tensor:
        """Embeddings float32 [P, D] of captions, of their own lengths."""
        tokens, mask = (part.to(self._device) for part in self._model.tokenize(captions))
        with torch.inference_mode():
            read = self._network.text_model(input_ids=tokens, attention_mask=mask, output_hidden_states=True)
            embeddings: torch.Tensor = self._network.text_audio_head(read.hidden_states[-1][:, 0])
            return embeddings

    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        """Other captions than those of the classes, float32 [P, D] of length 1."""
        return unit_rows(self._read(list(captions)).cpu().numpy())

    @property
    def class_vectors(self) -> np.ndarray:
        """What the captions say, float32 [C, D] of length 1, in the space of the embeddings."""
        return unit_rows(self._text.cpu().numpy())

    @property
    def caption_embeddings(self) -> np.ndarray:
        """See `SearchedTeacher.caption_embeddings`."""
        return self.class_vectors

    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        """See `SearchedTeacher.among_captions`; embeddings lie there already."""
        return unit_rows(embedding)

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        kind = _FRAME_LEVEL if self._model.frames else "PeAudioModel"
        heard = "whole" if self._model.frames else "segment by segment"
        return {
            "teacher": self._name,
            "architecture": f"transformers {kind}",
            "weights": self._model.weights,
            "tokenizer": self._model.tokenizer,
            "prompts": as_json(self._prompts),
            "logit_scale": self._scale * self._reach,
            "logit_bias": self._bias,
            "precision": "float32",
            "preprocessing": f"{heard}, filled up to steps of {self._model.hop} samples by reflection",
            **({} if self.time_grid is None else {"time_grid": self.time_grid.identity()}),
        }

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embed the sound of clips; feature `embedding` float32 [T, D], of its own length."""
        return self.judge_many(self.prepare_many(clips))

    def prepare_many(self, clips: Sequence[ClipMedia]) -> list[tuple[Grid, torch.Tensor]]:
        """What the network takes in of each clip, float32 [1 | T, 1, n], with its grid."""
        return [(clip.grid, self._filled(clip)) for clip in clips]

    def _filled(self, clip: ClipMedia) -> torch.Tensor:
        """A clip, or its segments, filled up to whole steps."""
        waveform = torch.from_numpy(stream_of(clip, "waveform"))
        cuts = [(0, len(waveform))] if self._model.frames else audio_segments(len(waveform), clip.grid.num_segments)
        heard = torch.stack([waveform[start:stop] for start, stop in cuts])[:, None]
        lacking = -heard.shape[-1] % self._model.hop
        reflects = "reflect" if 0 < lacking < heard.shape[-1] else "constant"
        return functional.pad(heard, (0, lacking), mode=reflects) if lacking else heard

    def judge_many(self, prepared: Sequence[tuple[Grid, torch.Tensor]]) -> list[Evidence]:
        """See `encode_many`; a clip goes through the network alone, or with others as long as itself."""
        rows = self._embed([heard for _, heard in prepared])
        answers = []
        for (grid, _), embeddings in zip(prepared, rows, strict=True):
            pooled = embeddings if self.time_grid is None else self.time_grid.pool(embeddings, grid)
            similarity = torch.from_numpy(pooled) @ self._text.cpu().T / self._reach
            answers.append(Evidence({"embedding": pooled}, similarity.numpy()))
        return answers

    def _embed(self, heard: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Embeddings of each clip, float32 [F | T, D]."""
        if len({part.shape[1:] for part in heard}) > 1:
            return [self._embed([part])[0] for part in heard]
        told = []
        for group in torch.cat(list(heard)).split(self._batch):
            with torch.inference_mode():
                out = self._network.audio_encoder(input_values=group.to(self._device))
                layer = out.last_hidden_state if self._model.frames else out.pooler_output
                told.append(self._network.audio_head(layer).float().cpu().numpy())
        by_clip = np.split(np.concatenate(told), np.cumsum([len(part) for part in heard])[:-1])
        return [rows[0] for rows in by_clip] if self._model.frames else by_clip

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]


def build_pe_audio(
    prompts: Prompts, *, name: str, checkpoint: str | Path | None = None, pin: str | None = None
) -> PeAudioTeacher:
    """Build one of these teachers.

    Args:
        prompts: The captions of each class.
        name: `hf:ORG/NAME` or `hf:FOLDER`.
        checkpoint: See `load_pe_audio`.
        pin: sha256 the weights must have.

    Raises:
        FileNotFoundError: A part of the model is not there.
        ValueError: See `load_pe_audio`.
        RuntimeError: The model is neither local nor to be fetched.
    """
    return PeAudioTeacher(load_pe_audio(name, checkpoint=checkpoint, pin=pin), prompts, name=store_name(name))
