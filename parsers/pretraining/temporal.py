"""Speed, direction and order of what is played, and contrast with pairs that evolve: `temporal`.

    played      L segments at speed 1 or 2, forwards or backwards: which of the four, for each stream
    order       two windows of a clip: were they shown in their order, for each stream
    between     a window of sound and one of picture: is the sound earlier, in the same place or later
    contrast    a window's partner is the same window of the other stream, as a slow copy sees it; remembered windows of
                other clips near the partner are positives besides, and the clip's other window a hard negative

    loss = mean of the five cross-entropies + contrast

Time codes follow the order in which seconds are played, never the one they had: otherwise the answer would be written
on each of them.

Source:
    Jenni, Black and Collomosse, AAAI 2023: the tasks and the evolving pairs by its abstract, and by memory of the ICCV
    2021 paper it extends. No code is public. Temperature, queue, momentum, k and the cosine were not found: they are
    ours, and so are two speeds in place of four and three places in time that may be the same but not overlap, since a
    clip has ten segments. Features of one frame a second hold neither speed nor direction by themselves: what can be
    learnt of them here is how long events last.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.products import Dense
from ..joint_space import unit
from .contrast import mil_nce
from .objective import Objective, Pool, Segments, Terms, Views, batches
from .options import TemporalOptions
from .playback import KINDS, play, two_windows
from .teacher import follow, frozen_copy

_EARLIER, _SAME, _LATER = range(3)
"""Where a window of sound stands to one of picture."""


class _Pair(NamedTuple):
    """Two windows of every clip in one stream, in their true order."""

    early: Tensor
    late: Tensor


class Temporal(Objective):
    """What was played, and how."""

    name = "temporal"
    Options = TemporalOptions
    needs_order = True

    queue: Tensor
    origins: Tensor
    place: Tensor
    done: Tensor

    def __init__(self, views: Views, options: TemporalOptions) -> None:
        """Make the heads, the slow copy and an empty queue."""
        super().__init__(views, options)
        d, self.options = views.width, options
        self.kind = nn.ModuleList(Dense(options.length * d, KINDS) for _ in range(2))
        self.order = nn.ModuleList(Dense(2 * d, 2) for _ in range(2))
        self.between = Dense(2 * d, 3)
        self.project = nn.ModuleList(Dense(d, options.width) for _ in range(2))
        self.slow = frozen_copy(nn.ModuleDict({"views": cast(nn.Module, views), "project": self.project}))
        self.register_buffer("queue", torch.zeros(2, options.queue, options.width))
        self.register_buffer("origins", torch.full((options.queue,), -1, dtype=torch.int64))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("done", torch.zeros(()))
        self._keys: tuple[Tensor, Tensor] | None = None

    def prepare(self, views: Views, pool: Pool) -> None:
        """Refuse clips that nothing can be played of; see Objective."""
        for batch in batches(pool):
            if batch.valid is not None and not bool(batch.valid.all()):
                raise ValueError("temporal plays clips of one length, and some of this pool end before others")
            play(1, batch.audio.shape[1], self.options.length, torch.Generator())
            two_windows(1, batch.audio.shape[1], self.options.window, torch.Generator())

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        clips, segments = batch.audio.shape[:2]
        device = batch.audio.device
        terms: dict[str, Tensor] = {}
        right: dict[str, Tensor] = {}
        played = play(clips, segments, self.options.length, rng)
        windows = two_windows(clips, segments, self.options.window, rng)
        swapped = windows.swapped.to(device)
        early = torch.where(windows.swapped[:, None], windows.second, windows.first)
        late = torch.where(windows.swapped[:, None], windows.first, windows.second)
        pairs = []
        for m, stream in enumerate(("audio", "visual")):
            tokens = views.alone(batch, m, rows=played.places).flatten(1)  # [B, L D]
            _judge(terms, right, f"{stream}_kind", self.kind[m](tokens), played.kind.to(device))
            pair = _Pair(*(views.alone(batch, m, rows=rows).mean(dim=1) for rows in (early, late)))  # [B, D] each
            shown = torch.where(swapped[:, None, None], torch.stack((pair.late, pair.early), 1), torch.stack(pair, 1))
            _judge(terms, right, f"{stream}_order", self.order[m](shown.flatten(1)), swapped.long())
            pairs.append(pair)
        self._between(terms, right, pairs, rng)
        tasks = torch.stack(list(terms.values())).mean()
        terms["contrast"] = self._contrast(pairs, self._partners(batch, early, late), batch)
        return Terms(tasks + self.options.contrast_weight * terms["contrast"], terms, right)

    def _between(
        self, terms: dict[str, Tensor], right: dict[str, Tensor], pairs: list[_Pair], rng: torch.Generator
    ) -> None:
        """Where a window of sound stands to one of picture; in the same place it is early or late half of the time."""
        clips, device = len(pairs[0].early), pairs[0].early.device
        where = torch.randint(3, (clips,), generator=rng)
        both_late = torch.rand(clips, generator=rng) < 0.5
        heard_late = (where == _LATER) | ((where == _SAME) & both_late)
        seen_late = (where == _EARLIER) | ((where == _SAME) & both_late)
        chosen = [
            torch.where(is_late.to(device)[:, None], pair.late, pair.early)
            for pair, is_late in zip(pairs, (heard_late, seen_late), strict=True)
        ]
        _judge(terms, right, "between", self.between(torch.cat(chosen, dim=1)), where.to(device))

    @torch.no_grad()
    def _partners(self, batch: Segments, early: Tensor, late: Tensor) -> list[_Pair]:
        """Both windows as the slow copy has them, unit vectors [B, P] each, by stream."""
        found = []
        for m in range(2):
            project = cast(nn.ModuleList, self.slow["project"])[m]
            seen = [cast(Views, self.slow["views"]).alone(batch, m, rows=rows).mean(dim=1) for rows in (early, late)]
            found.append(_Pair(*(unit(project(x)) for x in seen)))
        return found

    def _contrast(self, pairs: list[_Pair], partners: list[_Pair], batch: Segments) -> Tensor:
        """InfoNCE of the early window with what the slow copy makes of the other stream, both ways."""
        rows = torch.full((len(batch),), -1) if batch.rows is None else batch.rows
        rows = rows.to(self.origins.device)
        # A remembered window of the same clip is neither: it may be the very one.
        others = (self.origins >= 0) & (self.origins != rows[:, None])  # [B, K]
        own = torch.eye(len(batch), dtype=torch.bool, device=rows.device)
        all_count = torch.ones_like(own)
        ways = []
        for m in range(2):
            partner, elsewhere = partners[1 - m]
            anchor = unit(self.project[m](pairs[m].early))  # [B, P]
            near = self._neighbours(partner, self.queue[1 - m], others)  # [B, K]
            candidates = torch.cat((partner, elsewhere, self.queue[1 - m]))  # [2 B + K, P]
            positive = torch.cat((own, torch.zeros_like(own), near), dim=1)
            counted = torch.cat((all_count, all_count, others), dim=1)
            ways.append(mil_nce(anchor @ candidates.T, positive, self.options.temperature, counted))
        if self.training:
            self._keys = torch.stack([pair.early for pair in partners]), rows
        return torch.stack(ways).mean()

    def _neighbours(self, partner: Tensor, queue: Tensor, others: Tensor) -> Tensor:
        """The remembered windows that are positives besides, bool [B, K]."""
        near = torch.zeros_like(others)
        if not self.options.neighbours or float(self.done) < self.options.warm_up:
            return near
        cosines = (partner @ queue.T).masked_fill(~others, -2.0)  # [B, K]
        best = cosines.topk(min(self.options.neighbours, cosines.shape[1]), dim=1)
        return near.scatter(1, best.indices, best.values > self.options.near)

    @torch.no_grad()
    def after_step(self, views: Views, done: float) -> None:
        """The slow copy follows, and the batch is remembered in the place of the oldest."""
        follow(self.slow["views"], cast(nn.Module, views), self.options.momentum)
        follow(self.slow["project"], self.project, self.options.momentum)
        self.done.fill_(done)
        if self._keys is None:
            return
        most = self.options.queue
        keys, rows = self._keys[0][:, -most:], self._keys[1][-most:]
        places = (self.place + torch.arange(len(rows), device=rows.device)) % most
        self.queue[:, places], self.origins[places] = keys, rows
        self.place.copy_((self.place + len(rows)) % most)
        self._keys = None


def _judge(terms: dict[str, Tensor], right: dict[str, Tensor], name: str, logits: Tensor, truth: Tensor) -> None:
    """Add a task: its cross-entropy, and the share that is right."""
    terms[name] = functional.cross_entropy(logits, truth)
    right[f"{name}_accuracy"] = (logits.detach().argmax(dim=1) == truth).float().mean()
