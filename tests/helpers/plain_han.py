"""HAN from its definitions (Tian et al., ECCV 2020, sections 3.2 to 3.4), out of torch's own attention modules."""

import torch
from torch import Tensor, nn

from valor.parsers.hybrid import HybridParser


class PlainHan(nn.Module):
    """One layer: x = LN(x + self(x) + cross(x, other)), x = LN(x + FFN(x)), the same weights for both streams."""

    def __init__(self, widths: tuple[int, int, int], width: int, heads: int, inner: int, classes: int) -> None:
        super().__init__()
        audio, visual, motion = widths
        self.audio, self.visual, self.motion = (nn.Linear(w, width) for w in (audio, visual, motion))
        self.fusion = nn.Linear(2 * width, width)
        self.along = nn.MultiheadAttention(width, heads, batch_first=True)
        self.across = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feedforward = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.event, self.when, self.which = (nn.Linear(width, classes) for _ in range(3))

    def forward(self, audio: Tensor, visual: Tensor, motion: Tensor) -> dict[str, Tensor]:
        heard = self.audio(audio)
        seen = self.fusion(torch.cat((self.visual(visual), self.motion(motion)), dim=-1))
        heard, seen = self.update(heard, seen), self.update(seen, heard)
        x = torch.stack((heard, seen), dim=2)  # [B, T, M, D]
        probs = torch.sigmoid(self.event(x))
        when = torch.softmax(self.when(x), dim=1)
        which = torch.softmax(self.which(x), dim=2)
        return {
            "segment_probs": probs,
            "clip_probs": (when * which * probs).sum(dim=(1, 2)),
            "modality_probs": (when * probs).sum(dim=1),
        }

    def update(self, x: Tensor, other: Tensor) -> Tensor:
        x = self.first(x + self.along(x, x, x)[0] + self.across(x, other, other)[0])
        return self.second(x + self.feedforward(x))

    def loss(self, found: dict[str, Tensor], tags: Tensor) -> Tensor:
        """L_wsl + L_g: weak loss, and guided losses with visual tags smoothed to 0.9 y + 0.05."""
        bce = nn.functional.binary_cross_entropy
        heard, seen = found["modality_probs"].clamp(1e-7, 1 - 1e-7).unbind(1)
        weak = bce(found["clip_probs"].clamp(1e-7, 1 - 1e-7), tags)
        return weak + bce(heard, tags) + bce(seen, 0.9 * tags + 0.1 * 0.5)


def pairs(plain: PlainHan, parser: HybridParser) -> list[tuple[Tensor, Tensor]]:
    """Parameters that stand for the same thing."""
    layer, pooling, stem = parser.encoder.layers[0], parser.pooling, parser.stem
    modules = [
        *((plain.audio, stem.audio), (plain.visual, stem.visual), (plain.motion, stem.motion)),
        *((plain.fusion, stem.fusion), (plain.event, parser.classifier)),
        *((plain.when, pooling.temporal_attention), (plain.which, pooling.modality_attention)),
        *((plain.feedforward[0], layer.widen), (plain.feedforward[2], layer.narrow)),
        *((plain.first, layer.attention_norm), (plain.second, layer.feedforward_norm)),
        (plain.along.out_proj, layer.self_attention.out_projection),
        (plain.across.out_proj, layer.cross_attention.out_projection),
    ]
    found = [(getattr(a, kind), getattr(b, kind)) for a, b in modules for kind in ("weight", "bias")]
    for a, b in ((plain.along, layer.self_attention), (plain.across, layer.cross_attention)):
        found += [(a.in_proj_weight, b.in_weight), (a.in_proj_bias, b.in_bias)]
    return found
