"""One modality is kept from the encoder as a whole, and has to be found by what it says of the others.

    every batch    one of audio, visual, motion, text is withheld: text with share p, the others evenly
    Psi            stem and encoder on the others, mean, gated unit
    Phi            one layer of self-attention on the withheld one, mean, gated unit: no second knows when it is
    loss           mean over i of sum over j != i of  max(0, s_ij - s_ii + m) + max(0, s_ji - s_ii + m),  s cosine

Where sound or picture is withheld, the other stream is encoded by `alone`; where motion is, the stem gets a learned row
in its place. **Text** are the numbers [C] of each second that the two teachers give to the classes, as shares: clips
without a label have no speech and no caption. What is learnt from it is distilled from the teachers, and not learnt by
itself; with text_share=0 there is none of it. Text is no stream of the encoder, and so no part of what Psi sees.

Without codes of time in Phi, as published: with them silences line up, and the task is solved without listening.

Source:
    Gabeur et al., WACV 2022, from its text; no code is public. Speech is withheld with p = 0.8 there. A layer of the
    hybrid kind stands for its four layers, since clips have ten seconds.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from ..attention import HybridLayer
from ..blocks import masked_mean
from ..cpu.products import Dense
from ..joint_space import GatedUnit, unit
from ..positions import SineCodes
from .accepted import SizedLater
from .contrast import max_margin, spread
from .masking import whole_modality
from .objective import Objective, Pool, Segments, Terms, Views
from .options import ModalityMaskingOptions

CODES = 0.5
"""How strong codes of time are where Phi has them."""
HEADS = 4


class Query(nn.Module):
    """Phi: what is withheld, as one vector a clip."""

    def __init__(self, inputs: int | None, width: int, options: ModalityMaskingOptions) -> None:
        """Make the parts; None for inputs of a width that is said later."""
        super().__init__()
        self.enter = SizedLater(width) if inputs is None else Dense(inputs, width)
        self.codes = SineCodes(CODES if options.codes else 0.0)
        self.layer = HybridLayer(width, HEADS if width % HEADS == 0 else 1, 2 * width, dropout=0.0)
        self.out = GatedUnit(width, options.width)

    def forward(self, seconds: Tensor, valid: Tensor | None) -> Tensor:
        """Float [B, T, F] and bool [B, T] to unit vectors [B, P]."""
        encoded = self.layer.along(self.codes(self.enter(seconds)), valid)
        return unit(self.out(masked_mean(encoded, valid)))


class ModalityMasking(Objective):
    """A withheld modality is found by the others."""

    name = "modality-masking"
    Options = ModalityMaskingOptions
    needs = frozenset({"audio", "visual", "evidence"})

    def __init__(self, views: Views, options: ModalityMaskingOptions) -> None:
        """Make a Phi for each modality there is, and the rows that stand for what is withheld from the stem."""
        super().__init__(views, options)
        self.options, self.motion_width = options, views.motion_width
        audio, seen = views.target_widths
        widths = {"audio": audio, "visual": seen - views.motion_width}
        if views.motion_width:
            widths["motion"] = views.motion_width
            self.absent = nn.ParameterDict({name: torch.zeros(widths[name]) for name in ("visual", "motion")})
        self.modalities = (*widths, *["text"] * bool(options.text_share))
        self.query = nn.ModuleDict({name: Query(widths.get(name), views.width, options) for name in self.modalities})
        self.out = GatedUnit(views.width, options.width)

    @classmethod
    def needed(cls, options: ModalityMaskingOptions) -> frozenset[str]:
        """See Objective."""
        return cls.needs if options.text_share else cls.needs - {"evidence"}

    def prepare(self, views: Views, pool: Pool) -> None:
        """Size the Phi of text for as many classes as there are; see Objective."""
        if "text" not in self.modalities:
            return
        evidence = pool.batch(torch.arange(1)).evidence
        if evidence is None:
            raise ValueError(
                "text_share above 0 needs a store whose teachers judge classes; set objective.text_share=0 to learn "
                "without them"
            )
        cast(SizedLater, cast(Query, self.query["text"]).enter).take(evidence[0].shape[-1])

    @property
    def shares(self) -> list[float]:
        """How often each modality is withheld, in their order."""
        text = self.options.text_share
        return [
            text if name == "text" else (1 - text) / (len(self.modalities) - bool(text)) for name in self.modalities
        ]

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        withheld = self.modalities[whole_modality(self.shares, rng)]
        given = self.seen(views, batch, withheld)
        asked = self.query[withheld](self.of(views, batch, withheld), batch.valid)
        similarity = asked @ given.T  # [B, B]
        loss = max_margin(similarity, self.options.margin)
        found = (similarity.detach().argmax(dim=1) == torch.arange(len(batch), device=similarity.device)).float()
        figures = {"found": found.mean(), "spread": torch.tensor(spread(given))}
        return Terms(loss, {withheld: loss}, figures)

    def seen(self, views: Views, batch: Segments, withheld: str) -> Tensor:
        """Psi: what the encoder makes of all modalities but one, unit vectors [B, P]."""
        if withheld == "audio":
            tokens = views.alone(batch, 1)
        elif withheld == "visual" and not self.motion_width:
            tokens = views.alone(batch, 0)
        else:
            if withheld != "text":
                features = getattr(batch, withheld)
                batch = replace(batch, **{withheld: self.absent[withheld].expand_as(features)})
            tokens = torch.stack(views.together(batch)).mean(dim=0)  # [B, T, D]
        return unit(self.out(views.pooled(tokens, batch)))

    def of(self, views: Views, batch: Segments, withheld: str) -> Tensor:
        """What Phi is given of a modality, float [B, T, F]."""
        if withheld == "text":
            evidence = cast(tuple[Tensor, Tensor], batch.evidence)
            return torch.stack([each.float().softmax(dim=-1) for each in evidence]).mean(dim=0)
        audio, seen = views.targets(batch)
        appearance = seen.shape[-1] - self.motion_width
        return {"audio": audio, "visual": seen[..., :appearance], "motion": seen[..., appearance:]}[withheld]
