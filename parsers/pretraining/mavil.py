"""MAViL: what hidden seconds were is told from the rest, views of a clip find one another; then the student of itself.

    raw     mean over hidden seconds of |D_m(together masked) - x|^2      x the input features, standardised
    inter   InfoNCE of sound and picture of a clip, each alone and from the seconds that are left
    intra   InfoNCE of one modality from two masks
    loss    raw + 0.1 inter + 0.01 intra

Each later round begins with fresh weights and learns from the network of the round before, frozen and on the whole
clip: in place of x stand that network's outputs of `together`, layer-normed. Epochs are shared out among the rounds.

Source: Huang et al., NeurIPS 2023 (abstract, and the paper's text as a public note quotes it; no code is public). The
weights, both temperatures, three rounds and the learning rate there are from memory. There 80 % of a few hundred
patches are hidden; here 10 seconds are all there is, half of them are, and the encoder must be told which is which
(parser.time_codes), or all hidden seconds of a clip get one answer.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..hybrid import MODALITIES
from .contrast import info_nce
from .masking import check_share, random_tokens
from .objective import Epoch, Objective, Pool, Segments, Terms, Views, batches, weighted
from .teacher import frozen_copy


@dataclass(frozen=True, kw_only=True)
class MavilOptions:
    """What can be changed."""

    mask_ratio: float = 0.5
    """Share of the seconds of each modality that are hidden."""
    inter_weight: float = 0.1
    """Weight of the contrast between modalities."""
    inter_temperature: float = 0.1
    """Of that contrast."""
    intra_weight: float = 0.01
    """Weight of the contrast between two masks."""
    intra_temperature: float = 1.0
    """Of that contrast."""
    rounds: int = 2
    """1: reconstruction alone; each further one learns from the network of the round before."""
    width: int = 128
    """Of the space in which views are compared."""

    def __post_init__(self) -> None:
        """Refuse masks of everything, and what is no temperature."""
        check_share(self.mask_ratio, "mask_ratio")
        for name in ("inter_temperature", "intra_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name):g}")
        if min(self.inter_weight, self.intra_weight) < 0 or min(self.rounds, self.width) < 1:
            raise ValueError("inter_weight and intra_weight must be at least 0, rounds and width at least 1")


class Mavil(Objective):
    """Masked reconstruction, contrast within and across modalities, and rounds of self-training."""

    name = "mavil"
    Options = MavilOptions
    needs_order = True

    def __init__(self, views: Views, options: MavilOptions) -> None:
        """Make decoders and projections; the teacher is a copy that is not looked at in the first round."""
        super().__init__(views, options)
        width = views.width
        self.decoders = nn.ModuleList(_layers(width, width, out) for out in views.target_widths)
        self.later = nn.ModuleList(_layers(width, width, width) for _ in MODALITIES) if options.rounds > 1 else None
        self.projectors = nn.ModuleList(_layers(width, width, options.width) for _ in MODALITIES)
        assert isinstance(views, nn.Module)
        self.teacher: Any = frozen_copy(views) if options.rounds > 1 else None
        self.round = 1

    def train(self, mode: bool = True) -> "Mavil":  # noqa: FBT001, FBT002, as torch has it
        """As torch's; the teacher answers without dropout in either mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def prepare(self, views: Views, pool: Pool) -> None:
        """Take over what was measured of the pool; refuse clips too short for the share that is hidden."""
        check_share(self.options.mask_ratio, "mask_ratio", max(batch.audio.shape[1] for batch in batches(pool)))
        if self.teacher is not None:
            self.teacher.load_state_dict(views.state_dict())  # type: ignore[attr-defined]

    def _round(self, epoch: Epoch) -> int:
        """The round of an epoch, from 1."""
        rounds: int = min(self.options.rounds, epoch.of)
        return (epoch.number - 1) * rounds // epoch.of + 1

    def part(self, epoch: Epoch) -> Epoch:
        """Where a training is in its round."""
        here = self._round(epoch)
        numbers = [n for n in range(1, epoch.of + 1) if self._round(Epoch(n, epoch.of)) == here]
        return Epoch(epoch.number - numbers[0] + 1, len(numbers))

    def begin_epoch(self, views: Views, pool: Pool, epoch: Epoch, rng: torch.Generator) -> bool:
        """Where a round begins, take the student for a teacher, and begin again."""
        self.round = self._round(epoch)
        begins = self.round > 1 and self.part(epoch).number == 1
        if begins:
            self.teacher.load_state_dict(views.state_dict())  # type: ignore[attr-defined]
        return begins

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Projections of every second."""
        audio, visual = (projector(views.alone(batch, m)) for m, projector in enumerate(self.projectors))
        return audio, visual

    def targets(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """What hidden seconds are held to in this round, float [B, T, F] each."""
        if self.round == 1:
            return views.targets(batch)
        with torch.no_grad():
            audio, visual = (functional.layer_norm(x, x.shape[-1:]) for x in self.teacher.together(batch))
        return audio, visual

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """Reconstruction and both contrasts."""
        options: MavilOptions = self.options
        shape = (len(batch), batch.audio.shape[1])
        masks = [
            [random_tokens(shape, options.mask_ratio, rng, valid=batch.valid).to(batch.audio.device) for _ in range(2)]
            for _ in MODALITIES
        ]
        decoders = self.decoders if self.round == 1 or self.later is None else self.later
        hidden = views.together(batch, (masks[0][0], masks[1][0]))
        raw = torch.stack([
            (decoder(x) - target)[mask].square().mean()
            for decoder, x, target, (mask, _) in zip(
                decoders, hidden, self.targets(views, batch), masks, strict=True
            )
        ]).mean()  # fmt: skip
        terms = {"raw": (1.0, raw)}
        if options.inter_weight or options.intra_weight:
            found = [
                [self._pooled(views, batch, m, mask) for mask in of] for m, of in enumerate(masks)
            ]  # [M][2] of [B, P]
            inter = info_nce(found[0][0], found[1][0], options.inter_temperature)
            intra = torch.stack([info_nce(one, other, options.intra_temperature) for one, other in found]).mean()
            terms |= {"inter": (options.inter_weight, inter), "intra": (options.intra_weight, intra)}
        return weighted(terms)

    def _pooled(self, views: Views, batch: Segments, modality: int, mask: Tensor) -> Tensor:
        """One modality alone, of the seconds that a mask leaves, float [B, P]."""
        left = batch.only(~mask)
        pooled: Tensor = self.projectors[modality](views.pooled(views.alone(left, modality), left))
        return pooled


def _layers(width: int, inner: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, out))
