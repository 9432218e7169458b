"""MAViL on raw seconds: hidden patches painted, sound and picture told together, then a second round on its own words.

With E_m the tower of a modality on the patches that are left (a fifth, or a quarter in the miniature), G two blocks
over the tokens of both, D_m a decoder over these and mask tokens at the hidden places:

    raw    mean over hidden patches p of |D_m(G(E_a, E_v))_p - standardised(x_p)|^2
    inter  InfoNCE of the mean tokens of sound and of picture of one second, negatives the batch, tau 0.1
    intra  the same of two differently hidden views of one modality, tau 1
    L      raw + 0.1 inter + 0.01 intra

In the second round a frozen copy of the first, which sees everything, says with G what stands at each patch, and a
fresh student that sees a part foretells it at the hidden ones in place of raw values.

Sources: Huang et al., NeurIPS 2023, in the numbers that a public note quotes and others that we remember (temperatures,
weights, pictures of the video): they have no public code. PUBLISHED is what they say of its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..blocks import Sizes, run, stack
from ..pretraining.contrast import info_nce
from ..pretraining.objective import Epoch, Objective, Pool, Segments, Terms, Views, weighted
from ..pretraining.teacher import frozen_copy
from .options import PATCHES
from .towers import KIND, PatchSizes, PatchTower, gather_rows, patches_of, places, standardised
from .views import RawViews, kept_places, left_out


@dataclass(frozen=True, kw_only=True)
class RawMavilOptions:
    """How MAViL learns."""

    mask_ratio: float = 0.75
    """Share of patches that is hidden, of each stream by itself."""
    inter_weight: float = 0.1
    """Of the contrast between sound and picture."""
    inter_temperature: float = 0.1
    """Of it."""
    intra_weight: float = 0.01
    """Of the contrast between two views of one stream."""
    intra_temperature: float = 1.0
    """Of it."""
    fusion_layers: int = 1
    """Blocks over the tokens of both."""
    decoder_layers: int = 1
    """Blocks of each decoder."""
    decoder_width: int = 64
    """Of its tokens."""
    decoder_heads: int = 4
    """Of its blocks."""
    rounds: int = 2
    """1 for masked reconstruction alone, 2 with the second round on what the first says; they share the epochs."""

    def __post_init__(self) -> None:
        """Refuse what learns nothing."""
        if not 0.05 <= self.mask_ratio <= 0.95:
            raise ValueError(f"mask_ratio must be from 0.05 to 0.95, got {self.mask_ratio:g}")
        for name in ("inter_weight", "intra_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name):g}")
        for name in ("inter_temperature", "intra_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name):g}")
        if self.rounds not in (1, 2):
            raise ValueError(f"rounds must be 1 or 2, got {self.rounds}")


class Decoder(nn.Module):
    """Tokens that are there and a learned one at each hidden place, through blocks to what stands at the hidden."""

    def __init__(self, sizes: PatchSizes, options: RawMavilOptions, outputs: int) -> None:
        """Make it for a tower of these sizes."""
        super().__init__()
        width = options.decoder_width
        self.narrow = nn.Linear(sizes.width, width)
        self.mask = nn.Parameter(torch.randn(width) * 0.02)
        self.register_buffer("places", places(sizes.grid, width), persistent=False)
        self.blocks = stack(options.decoder_layers, Sizes(width, options.decoder_heads, 4 * width), KIND)
        self.norm = nn.LayerNorm(width, eps=KIND.norm_eps)
        self.head = nn.Linear(width, outputs)

    def forward(self, tokens: Tensor, keep: Tensor, hidden: Tensor) -> Tensor:
        """Float [N, H, outputs] at int64 [N, H] hidden places, from tokens float [N, K, D] at `keep`."""
        at = self.get_buffer("places").expand(len(tokens), -1, -1)
        there = self.narrow(tokens) + gather_rows(at, keep)
        x = run(self.blocks, torch.cat([there, self.mask + gather_rows(at, hidden)], dim=1))
        found: Tensor = self.head(self.norm(x[:, keep.shape[1] :]))
        return found


class MavilNetwork(nn.Module):
    """Fusion and decoders over two towers of patches."""

    def __init__(self, towers: Sequence[PatchTower], options: RawMavilOptions) -> None:
        """Make them for the towers, which stay outside."""
        super().__init__()
        sizes = [tower.sizes for tower in towers]
        self.options = options
        blocks = sizes[0].blocks
        self.fusion = stack(options.fusion_layers, blocks, KIND)
        self.fusion_norm = nn.LayerNorm(blocks.width, eps=KIND.norm_eps)
        self.paint = nn.ModuleList(Decoder(one, options, one.patch_width) for one in sizes)
        self.tell = nn.ModuleList(Decoder(one, options, one.width) for one in sizes) if options.rounds > 1 else None
        self.projectors = nn.ModuleList(nn.Linear(one.width, one.embedding) for one in sizes)

    def fused(self, tokens: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tokens of both, each of which has seen the other."""
        counts = [x.shape[1] for x in tokens]
        heard, seen = self.fusion_norm(run(self.fusion, torch.cat(tuple(tokens), dim=1))).split(counts, dim=1)
        return heard, seen

    def step(
        self,
        towers: Sequence[PatchTower],
        patches: Sequence[Tensor],
        targets: Sequence[Tensor] | None,
        rng: torch.Generator | None,
    ) -> Terms:
        """What seconds are charged with.

        Args:
            towers: Of sound and of picture.
            patches: Of both, float [N, P, f].
            targets: What a teacher says at each patch, float [N, P, D]; None to paint the patches themselves.
            rng: Of what is hidden.
        """
        options, first, second = self.options, list[Tensor](), list[Tensor]()
        kept = list[Tensor]()
        for tower, x in zip(towers, patches, strict=True):
            for views in (first, second):
                keep = kept_places(len(x), x.shape[1], options.mask_ratio, rng).to(x.device)
                views.append(tower.tokens(x, keep))
                if views is first:
                    kept.append(keep)
        fused = self.fused(first)
        decoders = self.paint if targets is None or self.tell is None else self.tell
        wanted = [standardised(x) for x in patches] if targets is None else targets
        painted = []
        for decoder, tokens, keep, target in zip(decoders, fused, kept, wanted, strict=True):
            hidden = left_out(keep.cpu(), target.shape[1]).to(keep.device)
            told = decoder(tokens, keep, hidden)
            painted.append(functional.mse_loss(told, gather_rows(target, hidden)))
        said = [[p(x.mean(1)) for p, x in zip(self.projectors, views, strict=True)] for views in (first, second)]
        (heard, seen), (heard_again, seen_again) = said
        inter = info_nce(heard, seen, options.inter_temperature)
        intra = info_nce(heard, heard_again, options.intra_temperature)
        intra = (intra + info_nce(seen, seen_again, options.intra_temperature)) / 2
        terms = {
            "raw" if targets is None else "told": (1.0, (painted[0] + painted[1]) / 2),
            "inter": (options.inter_weight, inter),
            "intra": (options.intra_weight, intra),
        }
        return weighted(terms, {"painted_audio": painted[0].detach(), "painted_visual": painted[1].detach()})


class RawMavil(Objective):
    """MAViL on towers of patches."""

    name: ClassVar[str] = "mavil"
    Options: ClassVar[type[Any]] = RawMavilOptions

    def __init__(self, views: Views, options: RawMavilOptions) -> None:
        """Make fusion and decoders.

        Raises:
            ValueError: The towers have no patches.
        """
        super().__init__(views, options)
        assert isinstance(views, RawViews)
        if views.options.kind != PATCHES:
            raise ValueError(f"mavil hides patches, and kind={views.options.kind} has none; take kind={PATCHES}")
        self.network = MavilNetwork(self._towers(views), options)
        self.teacher = frozen_copy(nn.ModuleList([views.towers, self.network])) if options.rounds > 1 else None
        self.register_buffer("second", torch.zeros((), dtype=torch.bool))

    @staticmethod
    def _towers(views: RawViews) -> list[PatchTower]:
        return [tower for tower in views.towers if isinstance(tower, PatchTower)]

    def part(self, epoch: Epoch) -> Epoch:
        """Where a training is in its round; see Objective."""
        first = -(-epoch.of // self.options.rounds)
        return Epoch(epoch.number - first, epoch.of - first) if epoch.number > first else Epoch(epoch.number, first)

    def begin_epoch(self, views: Views, pool: Pool, epoch: Epoch, rng: torch.Generator) -> bool:
        """After the first half the student becomes the teacher of a fresh one."""
        assert isinstance(views, RawViews)
        if self.teacher is None or bool(self.get_buffer("second")) or self.part(epoch).number == epoch.number:
            return False
        learned = nn.ModuleList([views.towers, self.network])
        self.teacher.load_state_dict(learned.state_dict())
        self.get_buffer("second").fill_(value=True)
        return True

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective; every second of a batch is by itself."""
        assert isinstance(views, RawViews)
        towers = self._towers(views)
        inputs = [views.prepared(x, m).flatten(0, 1) for m, x in enumerate(batch.streams)]
        patches = [patches_of(x, tower.sizes) for tower, x in zip(towers, inputs, strict=True)]
        targets = self._told(patches) if bool(self.get_buffer("second")) else None
        return self.network.step(towers, patches, targets, rng)

    @torch.no_grad()
    def _told(self, patches: Sequence[Tensor]) -> list[Tensor]:
        """What the teacher says at each patch of complete seconds, layer-normed."""
        assert self.teacher is not None
        towers, network = self.teacher
        assert isinstance(towers, nn.ModuleList) and isinstance(network, MavilNetwork)
        tokens = [tower.tokens(x) for tower, x in zip(towers, patches, strict=True) if isinstance(tower, PatchTower)]
        return [functional.layer_norm(x, x.shape[-1:]) for x in network.fused(tokens)]


PUBLISHED = (
    PatchSizes(channels=1, shape=(1, 1024, 128), patch=(1, 16, 16), width=768, num_layers=12, num_heads=12),
    PatchSizes(channels=3, shape=(8, 224, 224), patch=(2, 16, 16), width=768, num_layers=12, num_heads=12),
)
"""Towers of sound (10 s in 1024 spectra of 128 bands, 512 patches) and of picture (8 frames, 784 patches)."""
PUBLISHED_OPTIONS = RawMavilOptions(
    mask_ratio=0.8, fusion_layers=2, decoder_layers=8, decoder_width=512, decoder_heads=16, rounds=1
)
"""The rest of it, for the first round."""


def published(sizes: Sequence[PatchSizes] = PUBLISHED) -> tuple[nn.ModuleList, MavilNetwork]:
    """Towers and network at the published size, from torch's generator."""
    towers = nn.ModuleList(PatchTower(one) for one in sizes)
    return towers, MavilNetwork([tower for tower in towers if isinstance(tower, PatchTower)], PUBLISHED_OPTIONS)
