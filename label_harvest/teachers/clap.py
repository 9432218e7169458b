"""The audio teacher: CLAP scores each segment of sound against the captions of each class.

What changes labels is fixed as in the published generator:

* a segment is rounded through int16, repeated as often as it fits into 10 s, and followed by silence;
* `is_longer` is always False: the fusion branch is for sounds above 10 s, and transformers' own feature extractor would
  send one random item of every batch through it;
* the map [64, D] is the last layer of the whole 10 s; row 32 * f + t is frequency half f at time t.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..media.clip import ClipMedia, audio_segments, resample_by_index
from .clap_models import PRESET, ClapModel, load_clap, store_name
from .htsat import quicken_htsat
from .mel import log_mel, repeated_log_mel
from .precision import cast_input, cast_network, chosen_device
from .teacher import Evidence, Prompts, all_captions, as_json, class_embeddings, stream_of, unit_rows

SAMPLE_RATE = 48000
"""Samples per second CLAP was trained at."""
CLAP_WINDOW_SAMPLES = 480000
"""The 10 s the network takes in; neither more nor less."""
MAP_TOKENS = 64
"""Rows of the map of 10 s."""
_CPU_BATCH, _GPU_BATCH = 20, 320
"""Windows per pass through the network: on a CPU more than two clips do not pay and cost memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MapOptions:
    """What is kept of the map of a whole clip."""

    fold: np.ndarray | None = None
    """float [T, 64] that brings the map to segments, kept as the feature `folded`; None keeps none."""
    raw: bool = True
    """Whether the map itself is kept, as the feature `map`: a float16 store grows by 98 KB a clip."""

    def __post_init__(self) -> None:
        """Refuse a matrix that does not fit the map."""
        if self.fold is not None and (self.fold.ndim != 2 or self.fold.shape[1] != MAP_TOKENS):
            raise ValueError(f"fold must be [segments, {MAP_TOKENS}], got {list(self.fold.shape)}")

    def features(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """What is kept of a map float32 [64, D]."""
        kept = {"map": tokens} if self.raw else {}
        return kept if self.fold is None else {**kept, "folded": (self.fold @ tokens).astype(np.float32)}

    def identity(self) -> list[str]:
        """What is kept, for the identity of the teacher."""
        kept = ["map"] if self.raw else []
        if self.fold is None:
            return kept
        weights = np.rint(1e6 * self.fold).astype("<i8")  # free of rounding that differs between machines
        digest = hashlib.sha256(np.ascontiguousarray(weights).tobytes()).hexdigest()
        return [*kept, f"folded by {digest[:12]}"]


@dataclass(frozen=True, eq=False)
class PreparedSound:
    """What the network takes in of some clips."""

    num_clips: int
    segments: torch.Tensor
    """float32 [N * T, 1001, 64], spectrograms of all segments."""
    whole: list[int]
    """Clips whose map is kept."""
    windows: list[torch.Tensor]
    """float32 [B, 1001, 64] each, spectrograms of these."""


class ClapTeacher:
    """A CLAP network whose captions are encoded once."""

    role = "audio"
    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        model: ClapModel,
        prompts: Prompts,
        *,
        name: str = "clap",
        precision: str = "float32",
        maps: MapOptions | None = None,
    ) -> None:
        """Freeze the network and encode the captions, these in float32.

        Args:
            model: The network and what belongs to it.
            prompts: The captions of each class.
            name: What a store calls the teacher; label thresholds belong to it.
            precision: One of `PRECISIONS`.
            maps: What is kept of the map of a clip, None for the map itself.
        """
        self._device = chosen_device()
        self._batch = _CPU_BATCH if self._device.type == "cpu" else _GPU_BATCH
        self._network = network = model.network.eval().requires_grad_(False).to(self._device)
        self._model, self._name, self._precision = model, name, precision
        self.origin = model.origin
        self._prompts = tuple(prompts)
        self._maps = maps or MapOptions()
        self._bank = "htk" if model.fusion else "slaney"
        self._text = class_embeddings(self._read(all_captions(prompts)), prompts)  # [C, D]
        self._logit_scale = float(network.logit_scale_a.exp())
        for part in (network.audio_model, network.audio_projection):
            cast_network(part, precision)
        quicken_htsat(network.audio_model.audio_encoder)

    def _read(self, captions: list[str]) -> torch.Tensor:
        """Unit embeddings float32 [P, D] of captions."""
        tokens, mask = (part.to(self._device) for part in self._model.tokenize(captions))
        with torch.inference_mode():
            pooled = self._network.text_model(input_ids=tokens, attention_mask=mask).pooler_output
            return functional.normalize(self._network.text_projection(pooled), dim=-1)

    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        """Other captions than those of the classes, float32 [P, D] of length 1."""
        return np.asarray(self._read(list(captions)).cpu().numpy())

    @property
    def class_vectors(self) -> np.ndarray:
        """What the captions say, float32 [C, D] of length 1, in the space of the embeddings."""
        vectors: np.ndarray = self._text.float().cpu().numpy()
        return vectors

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        kind, scale = ("fusion", "HTK") if self._model.fusion else ("unfused", "Slaney")
        heard = f"int16 round trip, segments repeated to 480000 samples, 64 {scale} mel bands, never longer"
        return {
            "teacher": self._name,
            "architecture": f"transformers ClapModel HTSAT {kind}",
            "weights": self._model.weights,
            "tokenizer": self._model.tokenizer,
            "prompts": as_json(self._prompts),
            "logit_scale": self._logit_scale,
            "logit_bias": 0.0,
            "precision": self._precision,
            "preprocessing": heard,
            "maps": self._maps.identity(),
        }

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embed every segment, and the whole clip where the grid is 10 s long.

        Features: `embedding` float32 [T, D] of length 1, and of a 10 s clip what `MapOptions` keeps of its map.
        """
        return self.judge_many(self.prepare_many(clips))

    def prepare_many(self, clips: Sequence[ClipMedia]) -> PreparedSound:
        """Spectrograms of every segment, and of whole clips where their map is kept."""
        whole = self._with_maps(clips)
        windows = self._whole_mels([clips[index] for index in whole])
        known = dict(zip(whole, (mel for part in windows for mel in part), strict=True))
        segments = [self._segment_mels(clip, known.get(index)) for index, clip in enumerate(clips)]
        return PreparedSound(len(clips), torch.cat(segments), whole, windows)

    def judge_many(self, prepared: PreparedSound) -> list[Evidence]:
        """See `encode_many`."""
        embedding = self._embed_all(prepared.segments)  # [N * T, D]
        similarity = (embedding @ self._text.T).cpu().numpy()
        embeddings = embedding.cpu().numpy().reshape(prepared.num_clips, -1, embedding.shape[-1])
        similarities = similarity.reshape(prepared.num_clips, -1, len(self._prompts))
        features = [{"embedding": row} for row in embeddings]
        for index, tokens in zip(prepared.whole, self._hear_whole(prepared.windows), strict=True):
            features[index] |= self._maps.features(tokens)
        return [Evidence(feature, cosine) for feature, cosine in zip(features, similarities, strict=True)]

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]

    @property
    def of_whole_clips(self) -> tuple[str, ...]:
        """See `SegmentTeacher.of_whole_clips`: what is kept of maps."""
        return (*(("map",) if self._maps.raw else ()), *(("folded",) if self._maps.fold is not None else ()))

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        """See `SegmentTeacher.encode_segments`."""
        return {"embedding": self._embed_all(self._segment_mels(clip)).cpu().numpy()}

    def encode_wholes(self, clips: Sequence[ClipMedia]) -> list[dict[str, np.ndarray]]:
        """See `SegmentTeacher.encode_wholes`: the maps of clips of 10 s."""
        found: list[dict[str, np.ndarray]] = [{} for _ in clips]
        whole = self._with_maps(clips)
        for index, tokens in zip(whole, self._hear_whole(self._whole_mels([clips[n] for n in whole])), strict=True):
            found[index] = self._maps.features(tokens)
        return found

    @property
    def caption_embeddings(self) -> np.ndarray:
        """See `SearchedTeacher.caption_embeddings`."""
        return np.asarray(self._text.cpu().numpy())

    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        """See `SearchedTeacher.among_captions`; embeddings lie there already."""
        return unit_rows(embedding)

    def _with_maps(self, clips: Sequence[ClipMedia]) -> list[int]:
        """Places of the clips whose map is kept."""
        sounds = [stream_of(clip, "waveform") for clip in clips if self.of_whole_clips]
        return [place for place, sound in enumerate(sounds) if len(sound) == CLAP_WINDOW_SAMPLES]

    def _segment_mels(self, clip: ClipMedia, whole: torch.Tensor | None = None) -> torch.Tensor:
        """Spectrograms [T, 1001, 64] of the segments, given that of the clip where it is known."""
        pieces = _segments(clip)
        joined = whole if pieces.numel() == CLAP_WINDOW_SAMPLES else None  # so they lie end to end
        return repeated_log_mel(pieces.to(self._device), CLAP_WINDOW_SAMPLES, bank=self._bank, joined=joined)

    def _whole_mels(self, clips: Sequence[ClipMedia]) -> list[torch.Tensor]:
        """Spectrograms [B, 1001, 64] of whole clips, as many at a time as go through the network together."""
        parts = []
        for start in range(0, len(clips), self._batch):
            windows = [
                quantise(resample_by_index(stream_of(clip, "waveform"), CLAP_WINDOW_SAMPLES))
                for clip in clips[start : start + self._batch]
            ]
            heard = torch.from_numpy(np.stack(windows)).to(self._device)
            parts.append(log_mel(heard, SAMPLE_RATE, bank=self._bank))
        return parts

    def _hear_whole(self, windows: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Last hidden layer of whole clips, float32 [64, D] each."""
        maps: list[np.ndarray] = []
        for mel in windows:
            hidden = self._hear(mel).last_hidden_state  # [B, D, 2, 32]
            maps.extend(hidden.float().flatten(2).transpose(1, 2).cpu().numpy())
        return maps

    def _embed_all(self, mels: torch.Tensor) -> torch.Tensor:
        """Unit embeddings float32 [N, D] of any number of spectrograms."""
        return torch.cat([self._embed(part) for part in mels.split(self._batch)])

    def _embed(self, mel: torch.Tensor) -> torch.Tensor:
        """Unit embeddings float32 [B, D] of spectrograms [B, 1001, 64]."""
        with torch.inference_mode():
            projected = self._network.audio_projection(self._hear(mel).pooler_output)
            return functional.normalize(projected.float(), dim=-1)

    def _hear(self, mel: torch.Tensor) -> Any:
        """Output of the audio tower; of the four channels of a fusion configuration it reads the first alone."""
        with torch.inference_mode():
            channels = mel[:, None]  # [B, 1, 1001, 64]
            longer = torch.zeros(len(mel), 1, dtype=torch.bool, device=self._device)
            return self._network.audio_model(input_features=cast_input(channels, self._precision), is_longer=longer)


def quantise(waveform: np.ndarray) -> np.ndarray:
    """Round float32 [...] through int16 as the published pipeline does: clip, scale, truncate toward zero."""
    largest = np.float32(np.iinfo(np.int16).max)  # 32767
    samples = np.clip(waveform, -1.0, 1.0).astype(np.float32, copy=False)  # clipped into an array of its own
    samples *= largest
    np.trunc(samples, out=samples)  # as a cast to int16 does, and there is no other use for one
    samples += 0.0  # integers have no -0
    samples /= largest
    return samples


def _segments(clip: ClipMedia) -> torch.Tensor:
    """What is repeated for each segment, float32 [T, n]."""
    waveform = stream_of(clip, "waveform")
    cuts = audio_segments(len(waveform), clip.grid.num_segments)
    if cuts[0, 1] - cuts[0, 0] > CLAP_WINDOW_SAMPLES:
        raise ValueError(f"a segment must have at most {CLAP_WINDOW_SAMPLES} samples, got {cuts[0, 1] - cuts[0, 0]}")
    return torch.from_numpy(quantise(np.stack([waveform[start:stop] for start, stop in cuts])))


def build_clap(
    prompts: Prompts,
    *,
    name: str = PRESET,
    checkpoint: str | Path | None = None,
    pin: str | None = None,
    precision: str = "float32",
    maps: MapOptions | None = None,
) -> ClapTeacher:
    """Build an audio teacher: the published one, HTSAT-tiny with the 630k-fusion weights, or any other CLAP.

    Args:
        prompts: The captions of each class.
        name: `laion:CHECKPOINT` or `hf:ORG/NAME|FOLDER`.
        checkpoint: None fetches the weights, a path is a local file or folder, `random` builds seeded random weights;
            see `load_clap`.
        pin: sha256 the weights must have.
        precision: One of `PRECISIONS`.
        maps: What is kept of the map of a clip.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint is of another network, not the pinned one, or cannot be loaded without executing
            code in it.
        RuntimeError: The weights or the tokenizer are neither local nor to be fetched.
    """
    model = load_clap(name, checkpoint=checkpoint, pin=pin)
    return ClapTeacher(model, prompts, name=store_name(name), precision=precision, maps=maps)
