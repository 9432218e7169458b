"""A fine space of sound and picture, and a coarse one that holds text besides: `mmv`.

    va     picture by Linear-BN-ReLU-Linear-BN, sound by a linear layer
    vat    ReLU of their va, then Linear-BN, sound by the picture's; prompts by a linear layer

    loss = NCE(v, a) in va + lambda MIL-NCE(v, {t}) in vat

NCE compares a second with the same second of other clips, both ways; seconds of its own clip, which are much alike, are
no negatives. MIL-NCE compares a second with all prompts of the classes, and a prompt with all seconds of the batch; its
positives are the prompts that the teacher of pictures accepts within a second before or behind
(`valor.parsers.pretraining.accepted`). A second with none takes no part. **No clip has a caption here: what is learnt
from text is distilled from the teachers, and is not self-supervision.**

Sound reaches text through the picture's head, and only where it is asked for, so that the statistics of that batch norm
stay those of pictures.

Source:
    Alayrac et al., NeurIPS 2020, and its code (mmv of deepmind-research): heads, batch norms and the temperature of
    0.07; lambda is 1 there on data with AudioSet, and 1 : 10 on HowTo100M. Ours: prompts for words, and seconds of one
    place in time as negatives.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.products import Dense
from ..joint_space import unit
from .accepted import Accepted, SizedLater
from .contrast import mil_nce, spread
from .objective import Objective, Pool, Segments, Terms, Views, weighted
from .options import MmvOptions


class Normed(nn.Sequential):
    """Linear layers with a batch norm behind each, and ReLUs between: float [B, T, D] -> [B, T, P]."""

    def __init__(self, *widths: int, normed: bool = True) -> None:
        """Take the widths from the first to the last, and whether there are batch norms."""
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.ReLU()] * bool(layers) + [Dense(before, after)] + [nn.BatchNorm1d(after)] * normed
        super().__init__(*layers)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Seconds [B, T, D] are rows of one batch; those without valid, bool [B, T], have no part in it and are 0."""
        found = x.flatten(0, 1) if valid is None else x[valid]
        for layer in self:
            found = layer(found)
        if valid is None:
            return found.unflatten(0, x.shape[:2])  # type: ignore[no-untyped-call, no-any-return]
        return found.new_zeros(*x.shape[:2], found.shape[-1]).index_put((valid,), found)


class Mmv(Objective):
    """Picture with sound, and picture with prompts."""

    name = "mmv"
    Options = MmvOptions
    sound_is_normed = False
    """Whether a batch norm stands behind the linear layer of sound."""
    needs = frozenset({"audio", "visual", "evidence", "prompts"})

    def __init__(self, views: Views, options: MmvOptions) -> None:
        """Make the heads."""
        super().__init__(views, options)
        d, self.options = views.width, options
        self.accepted = Accepted(options.accept, options.nearby)
        self.seen_fine, self.heard_fine = Normed(d, d, d), Normed(d, d, normed=self.sound_is_normed)
        self.coarse, self.text = Normed(d, d // 2), SizedLater(d // 2)

    def prepare(self, views: Views, pool: Pool) -> None:
        """Look at what teachers say, and size the layer of their prompts; see Objective."""
        _, width = self.accepted.prepare(pool, used=("visual",))
        self.text.take(width)

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        return self.charged(views, batch, self.accepted(batch)[1])

    def charged(self, views: Views, batch: Segments, accepted: Tensor) -> Terms:
        """The terms of a batch whose seconds have as text the prompts of bool [B, T, C]."""
        heard, seen = self.embedded(views, batch)
        words = self.text(cast(tuple[Tensor, Tensor], batch.prompts)[1].float())  # [C, P]
        terms = {
            "sound_picture": (1.0, seconds_nce(heard, seen, self.options.temperature, batch.valid)),
            "picture_text": (
                self.options.text_weight,
                text_nce(self.coarse(functional.relu(seen), batch.valid), words, accepted, self.options.temperature),
            ),
        }
        return weighted(terms, figures_of(heard, seen, accepted, batch))

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Sound and picture in va; see Objective."""
        heard, seen = views.alone(batch, 0), views.alone(batch, 1)
        return self.heard_fine(heard, batch.valid), self.seen_fine(seen, batch.valid)

    def in_text(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Sound and picture of every second where prompts are (`text`), float [B, T, P] each."""
        heard, seen = (self.coarse(functional.relu(x), batch.valid) for x in self.embedded(views, batch))
        return heard, seen


def seconds_nce(x: Tensor, y: Tensor, temperature: float, valid: Tensor | None) -> Tensor:
    """InfoNCE of float [B, T, P] each, where the candidates of a second are the same second of all clips; both ways."""
    similarity = torch.einsum("btp,ctp->tbc", unit(x), unit(y))  # [T, B, B]
    own = torch.eye(len(x), dtype=torch.bool, device=x.device).expand_as(similarity)
    there = torch.ones_like(own)
    if valid is not None:
        there = (valid.T[:, :, None] & valid.T[:, None]).expand_as(similarity)
    own = own & there
    ways = [
        mil_nce(s.flatten(0, 1), own.flatten(0, 1), temperature, there.flatten(0, 1))
        for s in (similarity, similarity.transpose(1, 2))
    ]
    return (ways[0] + ways[1]) / 2


def text_nce(seconds: Tensor, words: Tensor, accepted: Tensor, temperature: float) -> Tensor:
    """MIL-NCE of seconds float [B, T, P] and prompts [C, P], where bool [B, T, C] says which are positive; both ways.

    Prompts that are accepted nowhere in the batch are candidates of a second all the same.
    """
    similarity = unit(seconds).flatten(0, 1) @ unit(words).T  # [B T, C]
    positive = accepted.flatten(0, 1)
    there = positive.any(dim=1, keepdim=True).expand_as(positive)  # a second without text is no negative either
    ways = (mil_nce(similarity, positive, temperature), mil_nce(similarity.T, positive.T, temperature, there.T))
    return (ways[0] + ways[1]) / 2


def figures_of(heard: Tensor, seen: Tensor, accepted: Tensor, batch: Segments) -> dict[str, Tensor]:
    """What tells collapse, and how many seconds have text, of the seconds that are there."""
    there = torch.ones_like(accepted[..., 0]) if batch.valid is None else batch.valid
    return {
        "audio_spread": torch.tensor(spread(heard[there])),
        "visual_spread": torch.tensor(spread(seen[there])),
        "with_text": accepted.any(dim=-1).sum() / there.sum(),
    }
