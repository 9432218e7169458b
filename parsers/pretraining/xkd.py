"""Masked reconstruction, distillation from each modality's teacher to the other's student, and alignment: `xkd`.

    recon    masked seconds from the others of the same stream: (picture + sound) / 2
    distil   H(softmax((t_v - c_v) / tau_v), softmax(s_a / tau_s)) and its mirror, halved, for two views of the
             student: the masked clip, and a few seconds in a row
    align    MMD^2 of the two students' vectors, both views, and of the two teachers': the mean of both
    loss     (5 recon + distil + align) / 7

Students and teachers are one stem and encoder run by `alone`; the teacher is their moving average, from 0.997 to 1 by a
cosine, sees the whole clip, and gives no gradient. c_m, the mean of its answers, follows them at 0.9.

The teacher weighs seconds by the attention they receive in the last layer. In the paper a picture's token counts as its
own attention times the mean attention of sound's tokens over that of the picture's. Here there is no token of the whole
clip that attends, all seconds do, each with attention 1 in all: both means are 1 / T, and what is left of the rule is
each stream's own attention, and that the pooled vector is as long as the plain mean.

Source:
    Sarkar and Etemad, AAAI 2024, and its code (pritamqu/XKD), from which the weights, temperatures, momenta and the
    seven kernels are. Ours: half of the seconds masked, narrower heads for ten seconds a clip, and alignment of the
    unit vectors before the prototypes, where the code aligns the answers to them.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..cpu.products import Dense
from ..joint_space import unit
from .contrast import mmd, spread
from .masking import check_share, random_tokens
from .objective import Objective, Pool, Segments, Terms, Views, batches
from .options import XkdOptions
from .teacher import follow, frozen_copy, momentum_at


class Head(nn.Module):
    """Three layers to a unit vector, and its cosines with prototypes."""

    def __init__(self, width: int, options: XkdOptions) -> None:
        """Make the layers."""
        super().__init__()
        hidden, out = options.hidden, options.bottleneck
        self.layers = nn.Sequential(
            Dense(width, hidden), nn.GELU(), Dense(hidden, hidden), nn.GELU(), Dense(hidden, out)
        )
        self.prototypes = nn.Parameter(torch.randn(options.prototypes, out) * 0.02)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Float [B, D] to unit vectors [B, P] and answers [B, K]."""
        vectors = unit(self.layers(pooled))
        return vectors, vectors @ unit(self.prototypes).T


class Xkd(Objective):
    """Each modality learns what the other's teacher says."""

    name = "xkd"
    Options = XkdOptions
    needs_order = True

    centres: Tensor

    def __init__(self, views: Views, options: XkdOptions) -> None:
        """Make decoders, heads and the teacher."""
        super().__init__(views, options)
        d, self.options = views.width, options
        self.decode = nn.ModuleList(nn.Sequential(Dense(d, d), nn.GELU(), Dense(d, f)) for f in views.target_widths)
        self.heads = nn.ModuleList(Head(d, options) for _ in range(2))
        if options.attention and not getattr(views, "says_attention", False):
            raise ValueError(
                "attention=true needs parser.encoder=hybrid, which says how much each second is looked at; choose it, "
                "or set objective.attention=false"
            )
        self.teacher = frozen_copy(nn.ModuleDict({"views": cast(nn.Module, views), "heads": self.heads}))
        self.register_buffer("centres", torch.zeros(2, options.prototypes))
        self._answers: Tensor | None = None

    def prepare(self, views: Views, pool: Pool) -> None:
        """Refuse clips that are too short; see Objective."""
        shortest = min(int(_lengths(batch).min()) for batch in batches(pool))
        check_share(self.options.mask_ratio, "mask_ratio", shortest)
        if shortest <= self.options.local:
            raise ValueError(f"local must be less than the {shortest} seconds of a clip, got {self.options.local}")

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        shape = cast(tuple[int, int], tuple(batch.audio.shape[:2]))
        recon, answers, vectors, figures = [], [], [], {}
        taught, taught_vectors = self._teach(batch)
        targets = views.targets(batch)
        for m, stream in enumerate(("audio", "visual")):
            mask = random_tokens(shape, self.options.mask_ratio, rng, valid=batch.valid).to(batch.audio.device)
            tokens = views.alone(batch, m, mask)  # [B, T, D]
            recon.append((self.decode[m](tokens) - targets[m]).square().mean(dim=-1)[mask].mean())
            local = views.alone(batch, m, rows=self._local(batch, rng)).mean(dim=1)
            found, answer = self.heads[m](torch.cat((views.pooled(tokens, batch), local)))
            answers.append(answer)
            vectors.append(found)
            figures[f"{stream}_spread"] = torch.tensor(spread(found[: len(batch)]))
        distil = torch.stack([self._surprise(taught[m], answers[1 - m], m) for m in range(2)]).mean()
        align = (mmd(vectors[0], vectors[1]) + mmd(taught_vectors[0], taught_vectors[1])) / 2
        if self.training:
            self._answers = taught
        return self._sum(torch.stack(recon).mean(), distil, align, figures)

    def _sum(self, recon: Tensor, distil: Tensor, align: Tensor, figures: dict[str, Tensor]) -> Terms:
        weights = (self.options.recon_weight, self.options.distill_weight, self.options.align_weight)
        charged = sum(weight * term for weight, term in zip(weights, (recon, distil, align), strict=True) if weight)
        return Terms(cast(Tensor, charged) / sum(weights), {"recon": recon, "distil": distil, "align": align}, figures)

    def _local(self, batch: Segments, rng: torch.Generator) -> Tensor:
        """A few seconds in a row of each clip, int64 [B, L]."""
        starts = _lengths(batch) - self.options.local + 1
        start = torch.minimum((torch.rand(len(batch), generator=rng) * starts).long(), starts - 1)
        return start[:, None] + torch.arange(self.options.local)

    @torch.no_grad()
    def _teach(self, batch: Segments) -> tuple[Tensor, list[Tensor]]:
        """What the teachers answer to whole clips, float [2, B, K], and their unit vectors [B, P]."""
        views = cast(Views, self.teacher["views"])
        vectors, answers = [], []
        for m in range(2):
            tokens = views.alone(batch, m)
            plain = views.pooled(tokens, batch)
            if self.options.attention:
                plain = weighed(tokens, views.attention(batch, m), plain)  # type: ignore[attr-defined]
            found, answer = cast(nn.ModuleList, self.teacher["heads"])[m](plain)
            vectors.append(found)
            answers.append(answer)
        return torch.stack(answers), vectors

    def _surprise(self, taught: Tensor, answers: Tensor, teacher: int) -> Tensor:
        """Cross-entropy of the answers of a student to both views, float [2 B, K], under those of a teacher [B, K]."""
        temperature = (self.options.audio_temperature, self.options.visual_temperature)[teacher]
        wanted = ((taught - self.centres[teacher]) / temperature).softmax(dim=1)
        said = (answers / self.options.student_temperature).log_softmax(dim=1)
        surprise: Tensor = -(torch.cat((wanted, wanted)) * said).sum(dim=1).mean()
        return surprise

    @torch.no_grad()
    def after_step(self, views: Views, done: float) -> None:
        """The teacher follows, and so do the means of its answers."""
        momentum = momentum_at(done, self.options.momentum)
        follow(self.teacher["views"], cast(nn.Module, views), momentum)
        follow(self.teacher["heads"], self.heads, momentum)
        if self._answers is not None:
            self.centres.lerp_(self._answers.mean(dim=1), 1 - self.options.centre_momentum)
            self._answers = None


def _lengths(batch: Segments) -> Tensor:
    """Seconds of each clip, int64 [B] on the CPU."""
    if batch.valid is None:
        return torch.full((len(batch),), batch.audio.shape[1])
    return batch.valid.sum(dim=1).cpu()


def weighed(tokens: Tensor, attention: Tensor, plain: Tensor) -> Tensor:
    """Tokens [B, T, D] by the attention [B, T] they receive, made as long as the plain mean [B, D]."""
    pooled = (tokens * attention[..., None]).sum(dim=1)
    return unit(pooled) * plain.square().sum(dim=1, keepdim=True).sqrt()
