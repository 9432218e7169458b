"""CrissCross: sound and picture of two windows of a clip agree, in step and out of step; no negatives.

    z = P(mean of alone over a window), p = Q(z), D(p, z) = -cos(p, stop z)
    L(x, y) = D(p_x, z_y) / 2 + D(p_y, z_x) / 2
    loss = mean of L(v1, v2), L(a1, a2), L(v1, a1), L(v2, a2) and, asynchronous, L(v1, a2), L(a1, v2)

A projector ends in a batch norm, a predictor is a bottleneck; nothing is learnt through z, without which all vectors
become one. `spread` is logged: 1 where they point everywhere, 0 where they are one.

Source: Sarkar and Etemad, AAAI 2023, and its code (pritamqu/CrissCross). There windows are of half a second of picture
and two of sound, strongly augmented; here they are of seconds, since frames and sound cannot be cut within a frozen
feature, and features are dropped and get noise instead.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .contrast import negative_cosine, spread
from .objective import Objective, Pool, Segments, Terms, Views, batches, weighted

SYNCHRONICITY = ("overlapped", "same", "adjacent", "random", "far")
"""How the two windows of a clip lie, as the paper compares them."""


@dataclass(frozen=True, kw_only=True)
class CrissCrossOptions:
    """What can be changed."""

    window: int = 4
    """Seconds of a window."""
    synchronicity: str = "overlapped"
    """`overlapped` by half, `same`, `adjacent`, `random`, or `far`, at both ends of the clip."""
    asynchronous: bool = True
    """Whether sound of one window is compared with the picture of the other as well."""
    dropout: float = 0.2
    """Share of the features that are dropped in each view."""
    noise: float = 0.1
    """Noise that each view gets, in deviations of the feature."""

    def __post_init__(self) -> None:
        """Refuse what is no window."""
        if self.window < 1:
            raise ValueError(f"window must be at least 1, got {self.window}")
        if self.synchronicity not in SYNCHRONICITY:
            raise ValueError(f"synchronicity must be one of {', '.join(SYNCHRONICITY)}, got {self.synchronicity!r}")
        if not 0 <= self.dropout < 1 or self.noise < 0:
            raise ValueError(f"dropout must be in [0, 1) and noise at least 0, got {self.dropout:g} and {self.noise:g}")


class CrissCross(Objective):
    """Two windows of a clip, each as sound and as picture."""

    name = "crisscross"
    Options = CrissCrossOptions

    def __init__(self, views: Views, options: CrissCrossOptions) -> None:
        """Make a projector and a predictor for each modality."""
        super().__init__(views, options)
        width, narrow = views.width, max(1, views.width // 4)
        self.projectors = nn.ModuleList(_layers(width, width, width, closed=True) for _ in range(2))
        self.predictors = nn.ModuleList(_layers(width, narrow, width, closed=False) for _ in range(2))

    def prepare(self, views: Views, pool: Pool) -> None:
        """Refuse windows that are longer than any clip; see Objective."""
        if not any(batch.audio.shape[1] >= self.options.window for batch in batches(pool)):
            raise ValueError(f"window must be at most the seconds of the longest clip, got {self.options.window}")

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Projections of every second."""
        said = [views.alone(batch, m) for m in range(2)]
        audio, visual = (
            projector(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            for projector, x in zip(self.projectors, said, strict=True)
        )
        return audio, visual

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """The mean of six agreements, or of four."""
        options: CrissCrossOptions = self.options
        rows = window_rows(_lengths(batch), options.window, options.synchronicity, rng)
        z, p = dict[str, Tensor](), dict[str, Tensor]()
        for number, window in enumerate(rows, 1):
            varied = views.varied(batch, rng, dropout=options.dropout, noise=options.noise)
            for m, name in enumerate("av"):
                pooled = views.alone(varied, m, rows=window).mean(dim=1)  # [B, D]
                z[f"{name}{number}"] = self.projectors[m](pooled)
                p[f"{name}{number}"] = self.predictors[m](z[f"{name}{number}"])
        pairs = {"intra": ("v1 v2", "a1 a2"), "synchronous": ("v1 a1", "v2 a2")}
        if options.asynchronous:
            pairs["asynchronous"] = ("v1 a2", "a1 v2")
        terms = {
            kind: (1 / len(pairs), torch.stack([agreement(z, p, *pair.split()) for pair in of]).mean())
            for kind, of in pairs.items()
        }
        spreads = torch.tensor([spread(of) for of in z.values()])
        return weighted(terms, {"spread": spreads.mean()})


def agreement(z: dict[str, Tensor], p: dict[str, Tensor], one: str, other: str) -> Tensor:
    """How far two views are from agreeing, both ways; -1 where each is foretold by the other."""
    return negative_cosine(p[one], z[other]) / 2 + negative_cosine(p[other], z[one]) / 2


def window_rows(lengths: Tensor, window: int, synchronicity: str, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which seconds two windows of each clip hold.

    Args:
        lengths: int64 [B] on the CPU, seconds of each clip.
        window: Seconds of a window; of a shorter clip the last second is played again.
        synchronicity: One of SYNCHRONICITY.
        rng: Draws where they begin.

    Returns:
        int64 [B, window] each.
    """
    latest = (lengths - window).clamp_min(0)  # [B], the last second a window can begin with
    gap = {"same": 0, "overlapped": window // 2, "adjacent": window}.get(synchronicity)
    drawn = torch.rand((2, len(lengths)), generator=rng)
    if synchronicity == "far":
        first, second = torch.zeros_like(latest), latest
    elif gap is None:
        first, second = ((share * (latest + 1)).long().clamp_max(latest) for share in drawn)
    else:
        first = (drawn[0] * ((latest - gap).clamp_min(0) + 1)).long()
        second = (first + gap).clamp_max(latest)
    places = torch.arange(window)
    one, other = ((start[:, None] + places).clamp_max(lengths[:, None] - 1) for start in (first, second))
    return one, other


def _lengths(batch: Segments) -> Tensor:
    """Seconds of each clip, int64 [B] on the CPU."""
    clips, segments = batch.audio.shape[:2]
    return torch.full((clips,), segments) if batch.valid is None else batch.valid.sum(dim=1).cpu()


def _layers(width: int, inner: int, out: int, *, closed: bool) -> nn.Sequential:
    """Two layers with a batch norm between them, and one behind where it is closed."""
    behind = [nn.BatchNorm1d(out)] if closed else []
    return nn.Sequential(nn.Linear(width, inner), nn.BatchNorm1d(inner), nn.ReLU(), nn.Linear(inner, out), *behind)
