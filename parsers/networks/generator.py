"""UWAV's label generator: it looks along a clip before it says how well each segment fits the name of each class.

Where VALOR takes the evidence of a teacher segment by segment, UWAV (Lai et al., CVPR 2025) trains a network for each
modality on a data set with audio-visual truth, UnAV-100, and labels clips of others, AVE and LLP, by it:

    g = P(encoder(S(x)))     x an embedding of CLAP or CLIP; S and P two layers each; post-norm self-attention
    logits = s <g, e_c>      e_c the unit text vector of class c; g is not normalised

s is the natural logarithm of the teacher's own scale, as in the published code, which does not take it back. Loss: the
product of both probabilities against the audio-visual truth, classes of the clip weighing five times the others.

Equal to the golden `uwav_temporal` where segments exist; elsewhere answers mean nothing.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..attention import MultiheadAttention
from ..cpu.products import Dense
from ..hybrid import HybridParser, ParserOutput, Stem
from ..losses import log_likelihood
from ..perceptron import Passed, Perceptron
from ..pooling import MaxPooling

AUDIO_SCALE, VISUAL_SCALE = 3.2912, 4.6052
"""Logarithms of the scales of CLAP (26.9) and CLIP (100)."""


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward block, each added to its input and then normalised."""

    def __init__(self, width: int, num_heads: int, feedforward_width: int, dropout: float) -> None:
        """Make attention, block and norms."""
        super().__init__()
        self.attention = MultiheadAttention(width, num_heads, dropout)
        self.widen, self.narrow = Dense(width, feedforward_width), Dense(feedforward_width, width)
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Apply to float [B, T, D]; valid bool [B, T]."""
        x = self.attention_norm(x + self.drop(self.attention(x, None, valid)))
        inner = self.drop(functional.relu(self.widen(x)))
        normed: Tensor = self.feedforward_norm(x + self.drop(self.narrow(inner)))
        return normed


class Generator(nn.Module):
    """One modality of it."""

    def __init__(
        self,
        in_width: int,
        text_width: int,
        scale: float,
        *,
        width: int = 1024,
        num_layers: int = 5,
        num_heads: int = 16,
        feedforward_width: int = 2048,
        dropout: float = 0.3,
    ) -> None:
        """Make the parts; in_width is that of the embeddings of segments, text_width that of the text vectors."""
        super().__init__()
        self.scale = torch.tensor(scale, dtype=torch.float32).item()  # rounded as published
        self.stem = Perceptron((in_width, 2 * width, width))
        layer = EncoderLayer(width, num_heads, feedforward_width, dropout)
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        self.end = Perceptron((width, text_width, text_width))

    def forward(self, embeddings: Tensor, texts: Tensor, valid: Tensor | None = None) -> Tensor:
        """Judge.

        Args:
            embeddings: float [B, T, in_width].
            texts: float [C, text_width], one unit vector for each class.
            valid: bool [B, T], True where a segment exists; None when all do.

        Returns:
            float [B, T, C], logits.
        """
        return self.judged(self.encoded(embeddings, valid), texts)

    def encoded(self, embeddings: Tensor, valid: Tensor | None = None) -> Tensor:
        """What it makes of the embeddings along a clip, float [B, T, width]."""
        x: Tensor = self.stem(embeddings)
        for layer in self.layers:
            x = layer(x, valid)
        return x

    def judged(self, encoded: Tensor, texts: Tensor) -> Tensor:
        """How well what `encoded` gave fits the classes, float [B, T, C]."""
        logits: Tensor = self.scale * self.end(encoded) @ texts.T
        return logits


class GeneratorParser(HybridParser):
    """Both generators as a parser of this project; the texts of the classes are kept with the weights, not trained.

    Logits are those of each modality. With `together` a segment is as probable as the product of both, in both alike:
    its truth is of what is audible and visible at once.
    """

    audio_texts: Tensor
    """float [C, audio width], a unit vector for each class."""
    visual_texts: Tensor

    def __init__(self, options: Any, *, together: bool, **sizes: Any) -> None:  # noqa: ANN401, those of Generator
        """Make both with fresh weights; texts are 0 until they are given."""
        stem = Stem(Passed(options.audio_width), Passed(options.visual_width))
        nothing = cast(nn.Linear, nn.Identity())
        super().__init__(stem, nn.Identity(), nothing, MaxPooling(), options=options)
        self.together = together
        self.hear = Generator(options.audio_width, options.audio_width, AUDIO_SCALE, **sizes)
        self.see = Generator(options.visual_width, options.visual_width, VISUAL_SCALE, **sizes)
        for modality in ("audio", "visual"):
            shape = options.num_classes, getattr(options, f"{modality}_width")
            self.register_buffer(f"{modality}_texts", torch.zeros(shape))

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ParserOutput:
        """Judge a batch of clips; arguments, errors and what may not matter as in HybridParser."""
        self._check(audio, visual, motion, valid)
        self.stem(audio, visual, motion)
        heard, seen = self.hear.encoded(audio, valid), self.see.encoded(visual, valid)
        logits = torch.stack([self.hear.judged(heard, self.audio_texts), self.see.judged(seen, self.visual_texts)], 2)
        probs = logits.sigmoid()
        if self.together:
            probs = probs.prod(dim=2, keepdim=True).expand_as(probs)
        counted = probs if valid is None else probs * valid[:, :, None, None]
        by_modality = counted.amax(dim=1)  # [B, M, C]
        return ParserOutput(logits, probs, by_modality.amax(dim=1), by_modality, torch.stack([heard, seen], dim=2))

    def encode_alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Refuse: it labels clips, and parses none.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a label generator judges stores (`valor store judge`), and parses no media")


def generator_loss(audio_logits: Tensor, visual_logits: Tensor, truth: Tensor, valid: Tensor | None = None) -> Tensor:
    """The published loss of both generators together.

    Args:
        audio_logits: float [B, T, C].
        visual_logits: float [B, T, C].
        truth: float [B, T, C] in [0, 1], what is audible and visible.
        valid: bool [B, T], True where a segment exists; None when all do.

    Returns:
        Scalar, the mean over valid segments and classes; a class that a clip has anywhere counts five times.
    """
    return weighted_loss(audio_logits.sigmoid() * visual_logits.sigmoid(), truth, valid)


def weighted_loss(probs: Tensor, truth: Tensor, valid: Tensor | None = None) -> Tensor:
    """The same of probabilities, float [B, T, C]."""
    counted = torch.ones_like(truth[..., :1]) if valid is None else valid[..., None].to(truth.dtype)
    weights = torch.where((truth * counted).amax(dim=1, keepdim=True) > 0, 5.0, 1.0)
    losses = -log_likelihood(probs, truth)
    return (counted * weights * losses).sum() / (counted.sum() * truth.shape[-1])


_MODULES = {
    "self_attn.out_proj": "attention.out_projection",
    "linear1": "widen",
    "linear2": "narrow",
    "norm1": "attention_norm",
    "norm2": "feedforward_norm",
}
_INPUT = {"self_attn.in_proj_weight": "attention.in_weight", "self_attn.in_proj_bias": "attention.in_bias"}


def from_published_generator(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Turn a published state dict, of both modalities, into ours: by `audio` and `visual`.

    Raises:
        KeyError: A name the published network does not have.
    """
    found: dict[str, dict[str, Tensor]] = {"audio": {}, "visual": {}}
    for name, tensor in state.items():
        modality, ours = _named(name)
        found[modality][ours] = tensor
    return found


def _named(name: str) -> tuple[str, str]:
    """Modality and our name of a published parameter."""
    modalities = {"a": "audio", "v": "visual"}
    if match := re.fullmatch(r"(proj|final_proj)_([av])\.(layers\.\d+\.\w+)", name):
        return modalities[match[2]], f"{'stem' if match[1] == 'proj' else 'end'}.{match[3]}"
    if match := re.fullmatch(r"([av])_transformer\.encoder\.(layers\.\d+)\.(.+)", name):
        module, _, kind = match[3].rpartition(".")
        if match[3] in _INPUT or module in _MODULES:
            return modalities[match[1]], f"{match[2]}.{_INPUT.get(match[3]) or f'{_MODULES[module]}.{kind}'}"
    raise KeyError(f"{name!r} is no parameter of UWAV's label generator")
