"""The tiny teachers of the demo world: small contrastive networks behind the same face as CLIP and CLAP."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .checkpoints import RANDOM, build_random, read_state
from .evidence import Evidence
from .indices import audio_segments
from .media import ClipMedia
from .tiny_networks import SAMPLE_RATE, TinyNetwork, frame_pictures, shrink_frames, sound_pictures

WEIGHTS = Path(__file__).parent / "weights"
"""Where the shipped weights lie, one `demo_<role>.safetensors` per role."""
BATCH = 128
"""Segments that go through a network at once."""


class TinyTeacher:
    """A frozen tiny network that scores the segments of a clip against one prompt per class.

    The visual one looks at one frame per segment, the audio one listens to the segment's second, and the fused one does
    both and says in one number whether the class is there at all, seen or heard.
    """

    def __init__(self, network: TinyNetwork, prompts: Sequence[str], weights: str) -> None:
        """Freeze a network and encode its prompts once.

        Args:
            network: Trained or random, its batch norms folded away.
            prompts: One caption per class, in class order; any words will do.
            weights: The sha256 of the weight file, or `random`.
        """
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self.prompts = tuple(prompts)
        self.weights = weights
        with torch.inference_mode():
            self.text = network.text(self.prompts)  # [C, D]

    @property
    def role(self) -> str:
        """`visual`, `audio` or `fused`."""
        return self.network.role

    @property
    def sample_rate(self) -> int | None:
        """Samples per second the waveform must have, None for the visual teacher."""
        return SAMPLE_RATE if "audio" in self.network.trunks else None

    def identity(self) -> dict[str, object]:
        """Everything that changes the evidence, as JSON values."""
        return {
            "teacher": f"demo-{self.role}",
            "weights": self.weights,
            "prompts": list(self.prompts),
            "logit_scale": float(self.network.log_scale.exp()),
            "logit_bias": float(self.network.bias),
            "precision": "float32",
        }

    def encode(self, media: ClipMedia) -> Evidence:
        """Score one clip."""
        return self.encode_many([media])[0]

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Score clips together.

        Args:
            clips: Each with the streams the role needs; their segment counts may differ.

        Returns:
            One `Evidence` per clip: the feature `embedding` float32 [T, 128] (zero mean, unit variance, what the unit
            embedding is projected from) and the cosines to the prompts float32 [T, C].

        Raises:
            ValueError: A clip lacks a stream the role needs, or its sound has another sample rate or segment length.
        """
        if not clips:
            return []
        streams = {}
        if "visual" in self.network.trunks:
            streams["visual"] = torch.cat([shrink_frames(torch.from_numpy(_frames(clip))) for clip in clips])
        if "audio" in self.network.trunks:
            streams["audio"] = torch.cat([torch.from_numpy(_seconds(clip)) for clip in clips])
        feature, cosine = self._encode_segments(streams)
        ends = np.cumsum([clip.grid.num_segments for clip in clips])[:-1]
        return [
            Evidence({"embedding": rows}, cosines)
            for rows, cosines in zip(np.split(feature, ends), np.split(cosine, ends), strict=True)
        ]

    @torch.inference_mode()
    def _encode_segments(self, streams: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Give (feature [N, 128], cosine [N, C]) of N segments; streams hold shrunk frames and seconds of sound."""
        features, cosines = [], []
        for start in range(0, len(next(iter(streams.values()))), BATCH):
            pictures = {}
            for name, rows in streams.items():
                make = frame_pictures if name == "visual" else sound_pictures
                picture = make(rows[start : start + BATCH])
                pictures[name] = picture.contiguous(memory_format=torch.channels_last)
            feature, embedding = self.network(pictures)
            features.append(feature)
            cosines.append((embedding @ self.text.T).clamp(-1, 1))
        return torch.cat(features).numpy(), torch.cat(cosines).numpy()


def _frames(clip: ClipMedia) -> np.ndarray:
    """The frames of a clip, uint8 [T, H, W, 3]."""
    if clip.frames is None:
        raise ValueError(f"a demo teacher that looks needs frames, got a clip without ({clip.status}); leave it out")
    return clip.frames


def _seconds(clip: ClipMedia) -> np.ndarray:
    """The sound of a clip cut into segments, float32 [T, SAMPLE_RATE]."""
    if clip.waveform is None:
        raise ValueError(f"a demo teacher that listens needs sound, got a clip without ({clip.status}); leave it out")
    pieces = audio_segments(len(clip.waveform), clip.grid.num_segments)
    if clip.grid.sample_rate != SAMPLE_RATE or pieces[0, 1] - pieces[0, 0] != SAMPLE_RATE:
        raise ValueError(
            f"the demo teachers listen to segments of 1 s at {SAMPLE_RATE} Hz, got {clip.grid.segment_seconds} s at "
            f"{clip.grid.sample_rate} Hz; read the clip with Grid(sample_rate={SAMPLE_RATE})"
        )
    return np.stack([clip.waveform[start:stop] for start, stop in pieces])


def build_tiny(role: str, prompts: Sequence[str], checkpoint: str | Path | None = None) -> TinyTeacher:
    """Build a tiny teacher.

    Args:
        role: visual, audio or fused.
        prompts: One caption per class, in class order.
        checkpoint: A weight file, `random` for seeded random weights, or None for the weights shipped with the project.

    Raises:
        ValueError: The role is unknown, or the file does not hold the weights of this role.
        FileNotFoundError: There is no such file.
    """
    if str(checkpoint) == RANDOM:
        network = build_random(lambda: TinyNetwork(role).fold_norms(), f"demo-{role}")
        return TinyTeacher(network, prompts, RANDOM)
    network = TinyNetwork(role).fold_norms()
    path = WEIGHTS / f"demo_{role}.safetensors" if checkpoint is None else Path(checkpoint)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file; python -m valor.demo.train_teachers makes the demo's")
    weights = {name: tensor.float() for name, tensor in read_state(path).items()}
    wanted, held = dict(network.state_dict()), set(weights)
    wrong = [name for name in wanted if name not in held or wanted[name].shape != weights[name].shape]
    if wrong or held - set(wanted):
        raise ValueError(
            f"{path}: expected the weights of the {role} demo teacher, but {len(wrong)} tensors are missing or of "
            f"another shape and {len(held - set(wanted))} unknown; give a file made for this role"
        )
    network.load_state_dict(weights)
    return TinyTeacher(network, prompts, hashlib.sha256(path.read_bytes()).hexdigest())
