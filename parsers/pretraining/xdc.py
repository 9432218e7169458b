"""Clusters of one stream as the classes of the other: `xdc`.

    every few epochs    k-means of the seconds of each stream: of input features at first, then of what `alone` gives
    every step          each stream tells, by a linear head, the cluster of its second

    variant    a second of a stream learns the cluster of
    cross      the same second of the other stream (XDC)
    single     its own (SDC)
    concat     both streams joined (CDC)

    loss = the mean of the two cross-entropies, each second weighted by 1 / the size of its cluster

After each division the heads begin anew, since clusters have no identity. What is heard and what is seen of a second
often differ here, that being the task: a cluster of the other stream is then a wrong label, and the three variants are
worth comparing.

Clusters collapse where the encoder says the same of everything. Their evenness (entropy of the sizes, 1 for equal ones)
and what two divisions in a row have in common (NMI) are logged, and a division of which one group holds nearly all is
refused.

Source:
    Alwassel et al., NeurIPS 2020, by its abstract and by reviews: training code is not public. The number of clusters
    is of little influence there (by memory). Weights by size are DeepCluster's. Adam's moments of the heads stay.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.products import Dense
from .clustering import evenness, k_means, nmi
from .objective import Epoch, Objective, Pool, Segments, Terms, Views, batches
from .options import XdcOptions

COLLAPSED = 0.9
"""Share of all seconds in one group from which on a division says nothing."""
_ABSENT = -1
"""Label of a second that does not exist."""


class Xdc(Objective):
    """Each stream tells the cluster of its second."""

    name = "xdc"
    Options = XdcOptions

    labels: Tensor
    common: Tensor
    even: Tensor

    def __init__(self, views: Views, options: XdcOptions) -> None:
        """Make the heads."""
        super().__init__(views, options)
        self.options = options
        self.heads = nn.ModuleList(Dense(views.width, options.clusters) for _ in range(2))
        self.register_buffer("labels", torch.zeros(2, 0, 0, dtype=torch.int64))  # [M, N, T], see `prepare`
        self.register_buffer("common", torch.zeros(2))
        self.register_buffer("even", torch.zeros(2))

    def prepare(self, views: Views, pool: Pool) -> None:
        """Make room for the label of every second; see Objective."""
        longest = max(batch.audio.shape[1] for batch in batches(pool))
        self.labels = torch.full((2, len(pool), longest), _ABSENT, device=self.labels.device)

    def begin_epoch(self, views: Views, pool: Pool, epoch: Epoch, rng: torch.Generator) -> bool:
        """Divide anew when it is time; see Objective."""
        if (epoch.number - 1) % self.options.reassign_epochs:
            return False
        before = self.labels.clone()
        is_first = not bool((before != _ABSENT).any())
        rows, exists = self._seconds(views, pool, alone=not is_first)  # of each stream [n, D], and bool [N, T]
        if self.options.variant == "concat":
            found = k_means(torch.cat(rows, dim=1), self.options.clusters, rng, self.options.rounds).labels
            divided = [found, found]
        else:
            divided = [k_means(each, self.options.clusters, rng, self.options.rounds).labels for each in rows]
        for m, (stream, found) in enumerate(zip(("audio", "visual"), divided, strict=True)):
            self._refuse_collapse(found, stream)
            self.labels[m, exists] = found
            self.even[m] = evenness(found, self.options.clusters)
            self.common[m] = 0.0 if is_first else nmi(before[m, exists], found)
        self._begin_heads(rng)
        return False

    @torch.no_grad()
    def _begin_heads(self, rng: torch.Generator) -> None:
        for weight in self.heads.parameters():
            bound = cast(Dense, self.heads[0]).in_features ** -0.5
            weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=rng))

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        rows, seconds = cast(Tensor, batch.rows), batch.audio.shape[1]
        terms, figures = {}, {}
        for m, stream in enumerate(("audio", "visual")):
            of = 1 - m if self.options.variant == "cross" else m
            truth = self.labels[of, rows.to(self.labels.device), :seconds]  # [B, T]
            sizes = torch.bincount(self.labels[of].flatten() - _ABSENT, minlength=self.options.clusters + 1)[1:]
            logits = self.heads[m](views.alone(batch, m))  # [B, T, k]
            weights = 1 / sizes.clamp_min(1).to(logits)
            exists = truth != _ABSENT
            terms[stream] = functional.cross_entropy(logits[exists], truth[exists], weights)
            figures[f"{stream}_accuracy"] = (logits.detach().argmax(dim=-1) == truth)[exists].float().mean()
            figures[f"{stream}_evenness"], figures[f"{stream}_nmi"] = self.even[m], self.common[m]
        return Terms(torch.stack(list(terms.values())).mean(), terms, figures)

    def _refuse_collapse(self, found: Tensor, stream: str) -> None:
        largest = int(torch.bincount(found).max())
        if largest > COLLAPSED * len(found):
            raise ValueError(
                f"the clusters of the {stream} have collapsed: one of {self.options.clusters} holds {largest:,} of "
                f"{len(found):,} seconds, so that nothing is left to tell; take fewer epochs or a lower rate, or "
                "more or other clips"
            )

    @torch.no_grad()
    def _seconds(self, views: Views, pool: Pool, *, alone: bool) -> tuple[list[Tensor], Tensor]:
        """The seconds of the pool that exist, of each stream float [n, D], and which do, bool [N, T]."""
        network = cast(nn.Module, views)
        was_training = network.training
        network.eval()
        parts, exists = [], torch.zeros(self.labels.shape[1:], dtype=torch.bool, device=self.labels.device)
        for batch in batches(pool):
            there = torch.ones(batch.audio.shape[:2], dtype=torch.bool, device=exists.device)
            there = there if batch.valid is None else batch.valid
            exists[cast(Tensor, batch.rows).to(exists.device), : there.shape[1]] = there
            streams = (views.alone(batch, 0), views.alone(batch, 1)) if alone else views.targets(batch)
            parts.append([stream[there] for stream in streams])
        network.train(was_training)
        return [torch.cat(each) for each in zip(*parts, strict=True)], exists
