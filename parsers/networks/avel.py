"""The network that came with AVE in 2018: one class, or background, for every second.

Sound says which places of the picture to look at; each stream then goes through a recurrent network of its own, both
ways; two layers read the classes, of which background is one more, off both.

    a [B, T, D_a], v [B, T, K, D_v], K places of a picture
    z = h(tanh(V relu(W_v v) + G relu(W_a a)))     V, G to K numbers for each place, G the same for all; h to one
    v' = sum over places of softmax(z) v           [B, T, D_v]
    logits = L2 relu(L1 relu(lstm(a), lstm(v')))   [B, T, C + 1]
    clip = softmax of the highest logit of each class over the segments

As a parser of this project it answers, for each class, how far its logit is above the highest of the others, the same
for both modalities: what is marked at a probability of 0.5 is what the published code takes as the class of a second.

Source: Tian et al., "Audio-visual event localization in unconstrained videos", ECCV 2018, in the form of its code
(weak: class scores before pooling; supervised: softmax of each second). Equal to the golden `avel_net`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..hybrid import HybridParser, ParserOutput, Stem
from ..perceptron import Passed
from ..pooling import MaxPooling


@dataclass(frozen=True, eq=False)
class AvelOutput(ParserOutput):
    """What the network answers, and what its losses are taken from."""

    class_logits: Tensor
    """float [B, T, C + 1], background last."""
    clip_scores: Tensor
    """float [B, C + 1], softmax over classes of the highest logit of each over the segments."""


class GuidedAttention(nn.Module):
    """Sound chooses among the places of a picture."""

    def __init__(self, audio_width: int, place_width: int, places: int, width: int) -> None:
        """Make the two projections to `width`, and what weighs places by them."""
        super().__init__()
        self.audio = nn.Linear(audio_width, width)
        self.visual = nn.Linear(place_width, width)
        self.of_place = nn.Linear(width, places, bias=False)
        self.of_sound = nn.Linear(width, places, bias=False)
        self.weigh = nn.Linear(places, 1, bias=False)
        for layer in (self.audio, self.visual, self.of_place, self.of_sound, self.weigh):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, audio: Tensor, places: Tensor) -> Tensor:
        """Look.

        Args:
            audio: float [B, T, D_a].
            places: float [B, T, K, D_v].

        Returns:
            float [B, T, D_v].
        """
        seen = self.of_place(functional.relu(self.visual(places)))  # [B, T, K, K]
        heard = self.of_sound(functional.relu(self.audio(audio)))[..., None]  # [B, T, K, 1]
        weights = self.weigh((seen + heard).tanh()).softmax(dim=-2)  # [B, T, K, 1]
        attended: Tensor = (weights * places).sum(dim=-2)
        return attended


class AvelParser(HybridParser):
    """The network; see the top of this file.

    Visual features are the places of a picture one after the other, float [B, T, K * D_v], as an array [.., 7, 7, 512]
    is when it is flattened.
    """

    def __init__(self, options: Any, *, places: int = 49, width: int = 128, attention_width: int = 512):
        """Make the parts with fresh weights.

        Args:
            options: `ParserOptions`, of which the widths of the inputs and the number of classes are read.
            places: K, of a picture.
            width: Of each recurrent network, each way.
            attention_width: Of the projections that sound and picture are compared in.

        Raises:
            ValueError: The visual features are not of so many places, or a motion stream is wanted.
        """
        if options.visual_width % places or options.motion_width:
            raise ValueError(
                f"the network of 2018 takes visual features of {places} places, one after the other, and no motion: "
                f"visual_width must be a multiple of {places} and motion_width 0, got {options.visual_width} and "
                f"{options.motion_width}"
            )
        events = nn.Linear(4 * width, 64)
        super().__init__(
            Stem(Passed(options.audio_width), Passed(options.visual_width)),
            nn.Identity(),
            events,
            MaxPooling(),
            options=options,
        )
        place_width = options.visual_width // places
        self.places = places
        self.attention = GuidedAttention(options.audio_width, place_width, places, attention_width)
        self.hear = nn.LSTM(options.audio_width, width, batch_first=True, bidirectional=True)
        self.see = nn.LSTM(place_width, width, batch_first=True, bidirectional=True)
        self.classes = nn.Linear(64, options.num_classes + 1)
        for layer in (events, self.classes):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> AvelOutput:
        """Parse a batch of clips; arguments, errors and what may not matter as in HybridParser."""
        self._check(audio, visual, motion, valid)
        audio, visual = self.stem(audio, visual, motion)
        attended = self.attention(audio, visual.view(*visual.shape[:-1], self.places, -1))  # [B, T, D_v]
        features = torch.stack([_along(self.hear, audio, valid), _along(self.see, attended, valid)], dim=2)
        hidden = functional.relu(self.classifier(functional.relu(features.flatten(2))))  # [B, T, 64]
        logits = self.classes(hidden)  # [B, T, C + 1]
        counted = logits if valid is None else logits.masked_fill(~valid[..., None], float("-inf"))
        scores = counted.amax(dim=1).softmax(dim=-1)  # [B, C + 1]
        margins = above_the_others(logits)[:, :, None, :-1].expand(-1, -1, 2, -1)  # [B, T, M, C]
        of_clip = scores[:, :-1]
        return AvelOutput(
            margins, margins.sigmoid(), of_clip, of_clip[:, None].expand(-1, 2, -1), features, logits, scores
        )

    def encode_alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Refuse: neither stream says anything without the other here.

        Raises:
            ValueError: Always.
        """
        raise ValueError("the network of 2018 needs sound and picture; clips of one alone are parsed by the others")


def above_the_others(logits: Tensor) -> Tensor:
    """How far each logit is above the highest of the others, float [..., C]."""
    best = logits.topk(2, dim=-1)
    is_best = functional.one_hot(best.indices[..., 0], logits.shape[-1]).bool()
    return logits - torch.where(is_best, best.values[..., 1:], best.values[..., :1])


def soft_margin(probs: Tensor, labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """The published loss: sigmoid cross-entropy of what is a softmax already, mean over everything.

    Args:
        probs: float [..., C + 1], softmax values: `clip_scores` (weak), or softmax of `class_logits` (supervised).
        labels: float of the same shape in [0, 1], the last for background.
        valid: bool [...], what counts; None for all.

    Returns:
        Scalar, never below 0.680 of 29 classes, since a softmax value is between 0 and 1.
    """
    if valid is not None:
        probs, labels = probs[valid], labels[valid]
    return functional.binary_cross_entropy_with_logits(probs, labels)


def with_background(labels: Tensor) -> Tensor:
    """One more class for what has none of the others: [..., C] -> float [..., C + 1]."""
    labels = labels.float() if labels.dtype == torch.bool else labels
    return torch.cat([labels, (labels.amax(dim=-1, keepdim=True) <= 0).to(labels.dtype)], dim=-1)


def _along(network: nn.LSTM, stream: Tensor, valid: Tensor | None) -> Tensor:
    """A stream through a recurrent network, which passes over segments that do not exist; these get zeros."""
    if valid is None:
        found: Tensor = network(stream)[0]
        return found
    order = valid.int().argsort(dim=1, descending=True, stable=True)[..., None]  # what exists first, in its order
    moved = stream.gather(1, order.expand_as(stream))
    packed = nn.utils.rnn.pack_padded_sequence(moved, valid.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
    held, _ = nn.utils.rnn.pad_packed_sequence(network(packed)[0], batch_first=True, total_length=stream.shape[1])
    return torch.zeros_like(held).scatter(1, order.expand_as(held), held)


_PUBLISHED = {
    "lstm_audio": "hear",
    "lstm_video": "see",
    "affine_audio": "attention.audio",
    "affine_video": "attention.visual",
    "affine_v": "attention.of_place",
    "affine_g": "attention.of_sound",
    "affine_h": "attention.weigh",
    "L1": "classifier",
    "L2": "classes",
}
_PARAMETER = re.compile(r"(\w+)\.(\w+)")


def from_published_avel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a published state dict of this network, such as `lstm_audio.weight_ih_l0`, into one of ours.

    Raises:
        KeyError: A name the published network does not have.
    """
    found = {}
    for name, tensor in state.items():
        match = _PARAMETER.fullmatch(name)
        if match is None or match[1] not in _PUBLISHED:
            raise KeyError(f"{name!r} is no parameter of the published network; known parts: {', '.join(_PUBLISHED)}")
        found[f"{_PUBLISHED[match[1]]}.{match[2]}"] = tensor
    return found
