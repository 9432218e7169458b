"""What moves and what sounds in time, on eight pictures a second: how fast, which way round, and which second it was.

    pace        a window of pictures at speed 1, 2 or 4, forwards or backwards: which of the six, from the pictures
    pace (a)    the same of its spectra, whose time goes faster or backwards too
    in step     a second of pictures against the second of sound it had, among all of the batch, of which as many are
                other seconds of the same clip: InfoNCE, both ways

    loss = mean of the two cross-entropies + weight x in step

A picture by itself holds neither speed nor direction, and a world in which things swing to and fro holds no direction:
of such a pool the second figure stays at chance, and should.

Source: after Jenni, Black and Collomosse, AAAI 2023, and Jenni and Jin, ICCV 2021, as far as the abstract and memory
go; speeds, windows and the contrast within a clip are ours.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.products import Dense
from ..joint_space import unit
from ..pretraining.contrast import info_nce
from ..pretraining.objective import Objective, Segments, Terms, Views
from .towers import EMBEDDING
from .views import RawViews

SPEEDS = (1, 2, 4)
"""Pictures a step goes on."""
KINDS = 2 * len(SPEEDS)
"""Speed and direction together, forwards first."""


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """How movement is learned."""

    width: int = 64
    """Of the space in which sound and picture are compared."""
    step_weight: float = 1.0
    """Of what is in step, beside pace; 0 leaves it out."""
    temperature: float = 0.1
    """Of it."""

    def __post_init__(self) -> None:
        """Refuse what learns nothing."""
        if self.width < 2:
            raise ValueError(f"width must be at least 2, got {self.width}")
        if not self.temperature > 0 or self.step_weight < 0:
            raise ValueError("temperature must be above 0 and step_weight at least 0")


class Motion(Objective):
    """Pace of windows, and seconds in step."""

    name: ClassVar[str] = "motion"
    Options: ClassVar[type[Any]] = MotionOptions

    def __init__(self, views: Views, options: MotionOptions) -> None:
        """Make the heads.

        Raises:
            ValueError: There is but one picture of a second.
        """
        super().__init__(views, options)
        assert isinstance(views, RawViews)
        if views.options.pictures < 2:
            raise ValueError("pictures must be several a second for what moves, such as 8, got 1")
        self.pace = nn.ModuleList(Dense(EMBEDDING, KINDS) for _ in range(2))
        self.project = nn.ModuleList(Dense(EMBEDDING, options.width) for _ in range(2))

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective; pieces must last as many seconds as the highest speed.

        Raises:
            ValueError: They are shorter.
        """
        assert isinstance(views, RawViews)
        clips, seconds = batch.audio.shape[:2]
        if seconds < max(SPEEDS):
            raise ValueError(f"length must be at least {max(SPEEDS)} seconds for speed {max(SPEEDS)}, got {seconds}")
        kind = torch.randint(KINDS, (clips,), generator=rng)
        device = batch.audio.device
        terms, figures = dict[str, Tensor](), dict[str, Tensor]()
        for m, (name, tower, played) in enumerate(
            zip(("heard", "seen"), views.towers, (played_sound, played_pictures), strict=True)
        ):
            shown = played(batch.streams[m], kind, rng)
            logits = self.pace[m](tower(views.prepared(shown[:, None], m)[:, 0]))
            terms[f"{name}_pace"] = functional.cross_entropy(logits, kind.to(device))
            chosen = logits.detach().argmax(dim=1).cpu()
            figures[f"{name}_speed_right"] = (chosen // 2 == kind // 2).float().mean()
            figures[f"{name}_way_right"] = (chosen % 2 == kind % 2).float().mean()
        total = (terms["heard_pace"] + terms["seen_pace"]) / 2
        if self.options.step_weight:
            terms["in_step"], figures["in_step_right"] = self._in_step(views, batch, rng)
            total = total + self.options.step_weight * terms["in_step"]
        return Terms(total, terms, figures)

    def _in_step(self, views: RawViews, batch: Segments, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two seconds of each clip, each against its own sound; right is that the own beats the clip's other second."""
        clips, seconds = batch.audio.shape[:2]
        first = torch.randint(seconds, (clips,), generator=rng)
        other = (first + 1 + torch.randint(seconds - 1, (clips,), generator=rng)) % seconds
        said = [
            unit(project(views.alone(batch, m, rows=torch.stack([first, other], dim=1))))
            for m, project in enumerate(self.project)
        ]  # [B, 2, P] each
        loss = info_nce(said[0].flatten(0, 1), said[1].flatten(0, 1), self.options.temperature)
        within = (said[1] @ said[0].mT).detach()  # [B, 2, 2]
        right = (within.argmax(dim=2) == torch.arange(2, device=within.device)).float().mean()
        return loss, right


def played_pictures(x: Tensor, kind: Tensor, rng: torch.Generator) -> Tensor:
    """A window float [B, 3, F, H, W] of float [B, L, 3, F, H, W], at speed and direction of int64 [B] in [0, KINDS)."""
    pictures = x.shape[3]
    return torch.stack(
        [
            one.movedim(1, 0).flatten(1, 2)[:, places_played(pictures, len(one) * pictures, int(k), rng)]
            for one, k in zip(x, kind, strict=True)
        ]
    )


def played_sound(x: Tensor, kind: Tensor, rng: torch.Generator) -> Tensor:
    """The same of float [B, L, 1, 1, bands, steps]: steps are left out or turned round, [B, 1, 1, bands, steps]."""
    steps = x.shape[-1]
    return torch.stack(
        [
            torch.cat(list(one), dim=-1)[..., places_played(steps, len(one) * steps, int(k), rng)]
            for one, k in zip(x, kind, strict=True)
        ]
    )


def places_played(count: int, there: int, kind: int, rng: torch.Generator) -> Tensor:
    """Which of `there` are shown, int64 [count], from a random start on at the speed and direction of a kind."""
    speed = SPEEDS[kind // 2]
    start = int(torch.randint(there - (count - 1) * speed, (1,), generator=rng))
    shown = start + speed * torch.arange(count)
    return shown.flip(0) if kind % 2 else shown
