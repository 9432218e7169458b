"""One space for sound, picture and text, as Everything at Once trains it: any modalities together, one vector each.

    G(x) = y * sigmoid(W' y + b'),  y = W x + b                      a gated unit
    tokens of m    LN(G_m(x)); of a clip without any, the masking token in the first place
    six passes     t, v, a, tv, ta, va through the same joint blocks; e_m = G'_m(mean of the tokens of m)
    e_xy           mean of e_x and e_y of their common pass, each of length 1

The loss compares every modality with every other and with pairs of the others, both ways, over the clips that have all
of them.

Source: Shvetsova et al., CVPR 2022, in the form of its code (ninatu/everything_at_once); equal to the golden
`everything_at_once`. What is found by these vectors is judged in `valor.eval.retrieval`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Sizes, masked_mean
from .cpu.products import Dense
from .encoders.joint import JointBlocks

TEMPERATURE = 0.05
SMALLEST_NORM = 1e-8
WEIGHTS: dict[tuple[str, str], float] = {
    ("t", "v"): 1.0,
    ("t", "a"): 0.1,
    ("v", "a"): 0.1,
    ("t", "va"): 0.1,
    ("v", "ta"): 0.1,
    ("a", "tv"): 0.1,
}
"""What is compared in training, by the letters of text, video and audio, and how much each counts; all count 1 in
fine-tuning."""


class GatedUnit(nn.Module):
    """A projection, each feature of which is let through as far as the others say."""

    def __init__(self, in_width: int, width: int) -> None:
        """Make both layers."""
        super().__init__()
        self.projection, self.gate = Dense(in_width, width), Dense(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., in] -> [..., width]."""
        x = self.projection(x)
        gated: Tensor = x * self.gate(x).sigmoid()
        return gated


@dataclass(frozen=True, eq=False)
class ClipVectors:
    """Where clips lie."""

    vectors: Mapping[str, Tensor]
    """float [B, P] by the letters of what was seen together: `t`, `v`, `a`, `tv`, `ta`, `va`."""
    apart: Mapping[str, Tensor]
    """float [B, P], means of vectors of modalities that were seen each by itself: `t+v`, `t+a`, `v+a`."""
    there: Mapping[str, Tensor]
    """bool [B] by letter, whether a clip has the modality."""


class JointSpace(nn.Module):
    """Projections of each modality, joint blocks, and what brings each to the common space."""

    def __init__(
        self,
        in_widths: Mapping[str, int],
        sizes: Sizes,
        num_layers: int,
        out_width: int,
        *,
        individual: bool = True,
    ) -> None:
        """Make the parts.

        Args:
            in_widths: Of the tokens of each modality, by its letter, in the order pairs are named by.
            sizes: Of each block; published ones are no wider within.
            num_layers: Blocks.
            out_width: P.
            individual: Whether each modality has a last projection of its own.
        """
        super().__init__()
        width = sizes.width
        self.letters = tuple(in_widths)
        self.token_units = nn.ModuleDict({letter: GatedUnit(inside, width) for letter, inside in in_widths.items()})
        self.token_norms = nn.ModuleDict({letter: nn.LayerNorm(width, eps=1e-6) for letter in in_widths})
        self.masking_token = nn.Parameter(torch.randn(width) * 0.02)
        self.fusion = JointBlocks(sizes, num_layers)
        self.individual = individual
        of = self.letters if individual else ("all",)
        self.units = nn.ModuleDict({letter: GatedUnit(width, out_width) for letter in of})

    def forward(self, tokens: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> ClipVectors:
        """Find the place of clips.

        Args:
            tokens: By letter, float [B, N_m, D_m].
            masks: By letter, bool [B, N_m], which tokens exist; a clip may have none of a modality.
        """
        there = {letter: masks[letter].any(dim=1) for letter in self.letters}
        projected, seen = {}, {}
        for letter in self.letters:
            projected[letter], seen[letter] = self._project(letter, tokens[letter], masks[letter], there[letter])
        vectors = {letter: self._together(letter, projected, seen)[letter] for letter in self.letters}
        apart = {}
        for x, y in combinations(self.letters, 2):
            both = self._together(x + y, projected, seen)
            apart[f"{x}+{y}"] = mean_direction(vectors[x], vectors[y])
            vectors[x + y] = mean_direction(both[x], both[y])
        return ClipVectors(vectors, apart, there)

    def alone(self, letter: str, tokens: Tensor, mask: Tensor) -> Tensor:
        """Find the place of clips by one modality, float [B, N, D_m] and bool [B, N]; float [B, P]."""
        projected, seen = self._project(letter, tokens, mask, mask.any(dim=1))
        return self._together(letter, {letter: projected}, {letter: seen})[letter]

    def _project(self, letter: str, x: Tensor, mask: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of width D, and which count: of a clip without any, the masking token in the first place."""
        x = self.token_norms[letter](self.token_units[letter](x))
        stands_in = torch.zeros_like(mask)
        stands_in[:, 0] = ~there
        return torch.where(stands_in[..., None], self.masking_token, x), mask | stands_in

    def _together(self, letters: str, tokens: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One pass over some modalities: the vector of each, float [B, P]."""
        streams = self.fusion([tokens[letter] for letter in letters], [masks[letter] for letter in letters])
        return {
            letter: self.units[letter if self.individual else "all"](masked_mean(stream, masks[letter]))
            for letter, stream in zip(letters, streams, strict=True)
        }


def unit(x: Tensor) -> Tensor:
    """Vectors float [..., P] of length 1."""
    return functional.normalize(x, dim=-1, eps=SMALLEST_NORM)


def mean_direction(x: Tensor, y: Tensor) -> Tensor:
    """The mean of two vectors, each of length 1 before; float [B, P]."""
    return (unit(x) + unit(y)) / 2


def contrast(x: Tensor, y: Tensor, temperature: float | Tensor = TEMPERATURE) -> Tensor:
    """Both ways, how surprising it is that row i of x belongs to row i of y among all: float [B, P] each -> scalar."""
    similarity = unit(x) @ unit(y).T / temperature  # [B, B]
    own = torch.arange(len(x), device=x.device)
    return functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)


def combinatorial_losses(
    found: ClipVectors, pairs: Sequence[tuple[str, str]] = tuple(WEIGHTS), temperature: float = TEMPERATURE
) -> dict[tuple[str, str], Tensor]:
    """The loss of each pair, over the clips that have every modality of both."""
    losses = {}
    for one, other in pairs:
        whole = torch.stack([found.there[letter] for letter in one + other]).all(dim=0)  # [B]
        losses[one, other] = contrast(found.vectors[one][whole], found.vectors[other][whole], temperature)
    return losses


def combinatorial_loss(
    found: ClipVectors, weights: Mapping[tuple[str, str], float] = WEIGHTS, temperature: float = TEMPERATURE
) -> Tensor:
    """The weighted mean of the losses of all pairs that count; a scalar."""
    losses = combinatorial_losses(found, [pair for pair, weight in weights.items() if weight], temperature)
    return torch.stack([weights[pair] * loss for pair, loss in losses.items()]).sum() / sum(weights.values())
