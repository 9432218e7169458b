"""The visual teacher: CLIP scores one frame per segment against the captions of each class."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional

from .clip_media import ClipMedia
from .evidence import Evidence
from .frame_rules import IMAGE_MEAN as IMAGE_MEAN
from .frame_rules import IMAGE_STD as IMAGE_STD
from .frame_rules import FrameRule
from .frame_rules import preprocess as preprocess
from .open_clip_models import OpenClipModel, OpenClipName, load_open_clip
from .precision import cast_input, cast_network, chosen_device
from .prompts import Prompts, all_captions, as_json, class_embeddings

ARCHITECTURE, TAG = "ViT-L-14-quickgelu", "openai"
"""Network and weights of the published label generator. OpenAI trained with QuickGELU; the plain name builds GELU."""
PRESET = OpenClipName(ARCHITECTURE, TAG, squash=True)
"""The published visual teacher, the one whose thresholds the vocabulary holds."""
_HUB = "timm/vit_large_patch14_clip_224.openai"
HUB_FILES = ((_HUB, "open_clip_model.safetensors"), (_HUB, "open_clip_pytorch_model.bin"))
"""Where open_clip keeps these weights on the hub: (repository, file), the first there is."""


class ClipTeacher:
    """A contrastive network whose captions are encoded once."""

    role = "visual"
    sample_rate = None

    def __init__(
        self,
        model: OpenClipModel,
        prompts: Prompts,
        *,
        architecture: str,
        name: str = "clip",
        precision: str = "float32",
    ) -> None:
        """Freeze the network and encode the captions, these in float32.

        Args:
            model: The network and what belongs to it.
            prompts: The captions of each class.
            architecture: What open_clip calls the network.
            name: What a store calls the teacher; label thresholds belong to it.
            precision: One of `PRECISIONS`.
        """
        self._device = chosen_device()
        self._network = network = model.network.eval().requires_grad_(False).to(self._device)
        self._frame_rule: FrameRule = model.frame_rule
        self._prompts = tuple(prompts)
        self._name, self._architecture, self._weights = name, architecture, model.weights
        self._precision = precision
        self.origin = model.origin
        with torch.inference_mode():
            tokens = model.tokenize(all_captions(prompts)).to(self._device)
            text = functional.normalize(network.encode_text(tokens), dim=-1)
        self._text = class_embeddings(text, prompts)  # [C, D]
        self._logit_scale = float(network.logit_scale.exp())
        bias = getattr(network, "logit_bias", None)
        self._logit_bias = 0.0 if bias is None else float(bias)
        cast_network(network.visual, precision)

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        return {
            "teacher": self._name,
            "architecture": self._architecture,
            "weights": self._weights,
            "prompts": as_json(self._prompts),
            "logit_scale": self._logit_scale,
            "logit_bias": self._logit_bias,
            "precision": self._precision,
            "preprocessing": str(self._frame_rule),
        }

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embed the frames of all clips in one batch; feature `embedding` float32 [T, D] of length 1."""
        return self.judge_many(self.prepare_many(clips))

    def prepare_many(self, clips: Sequence[ClipMedia]) -> torch.Tensor:
        """Frames as the network takes them in, float32 [N, T, 3, size, size]."""
        return torch.stack([self._frame_rule(clip.frames) for clip in clips])

    def judge_many(self, prepared: torch.Tensor) -> list[Evidence]:
        """See `encode_many`."""
        with torch.inference_mode():
            pictures = cast_input(prepared.flatten(0, 1).to(self._device), self._precision)
            embedding = functional.normalize(self._network.encode_image(pictures).float(), dim=-1)  # [N*T, D]
            similarity = embedding @ self._text.T  # [N*T, C]
        embeddings = embedding.cpu().numpy().reshape(len(prepared), -1, embedding.shape[-1])
        similarities = similarity.cpu().numpy().reshape(len(prepared), -1, len(self._prompts))
        return [Evidence({"embedding": row}, cosine) for row, cosine in zip(embeddings, similarities, strict=True)]

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]


def build_clip(
    prompts: Prompts,
    *,
    name: OpenClipName = PRESET,
    checkpoint: str | Path | None = None,
    pin: str | None = None,
    precision: str = "float32",
) -> ClipTeacher:
    """Build a visual teacher through open_clip: the published one, ViT-L/14 with OpenAI's weights, or any other.

    Args:
        prompts: The captions of each class.
        name: Which model and weights.
        checkpoint: None fetches the weights from the hub (or finds them in its cache), a path loads a local state
            dict under open_clip's or OpenAI's own names, `random` builds seeded random weights.
        pin: sha256 the weights must have.
        precision: One of `PRECISIONS`.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint is of another network, not the pinned one, or cannot be loaded without executing
            code in it.
        RuntimeError: The hub could not be reached.
    """
    model = load_open_clip(name, checkpoint=checkpoint, pin=pin)
    teacher = "clip" if name == PRESET else str(name)
    architecture = f"open_clip {name.model}"
    return ClipTeacher(model, prompts, architecture=architecture, name=teacher, precision=precision)
