"""Whether a second of sound and a second of picture belong together: AVC, with the bottleneck of AVE-Net.

    a_t, v_t = P_a(alone audio), P_v(alone visual), of length 1
    pool=second     logit = w |a_t - v_t| + b                  t a random second of the clip
    pool=seconds    logit = max over t of w |a - v_t| + b      a of the whole clip: AVOL-Net's map, along time

Positives are of one clip, negatives the sound of the next clip of the batch; all seconds lie on one grid, so that
nothing but what is heard and seen tells them apart. Binary cross-entropy, halved over both. Two scalars turn a distance
into a logit, so that no margin is chosen.

Source: Arandjelović and Zisserman, Objects that Sound, ECCV 2018. There the towers see a frame and a second of sound;
here they are stem and encoder over frozen features, and AVOL-Net's places of a picture are the seconds of a clip.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..joint_space import unit
from .objective import Objective, Segments, Terms, Views

POOLS = ("second", "seconds")
"""What of a clip is compared."""


@dataclass(frozen=True, kw_only=True)
class CorrespondenceOptions:
    """What can be changed."""

    width: int = 128
    """Of the space in which sound and picture are compared."""
    pool: str = "second"
    """`second`: a random second of the clip; `seconds`: the sound of the clip against each second of its picture."""

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {self.pool!r}")


class Correspondence(Objective):
    """Whether sound and picture are of one clip."""

    name = "correspondence"
    Options = CorrespondenceOptions

    def __init__(self, views: Views, options: CorrespondenceOptions) -> None:
        """Make the two projections, and the scalars of the logit."""
        super().__init__(views, options)
        self.audio = nn.Linear(views.width, options.width)
        self.visual = nn.Linear(views.width, options.width)
        self.scale = nn.Parameter(torch.tensor(-5.0))
        self.bias = nn.Parameter(torch.tensor(5.0))

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Sound and picture of every second, of length 1."""
        return unit(self.audio(views.alone(batch, 0))), unit(self.visual(views.alone(batch, 1)))

    def logits(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Of vectors float [..., P], how likely they belong together, float [...]."""
        found: Tensor = self.scale * (audio - visual).norm(dim=-1) + self.bias
        return found

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """Own and foreign pairs of the batch."""
        audio, visual = self.embedded(views, batch)  # [B, T, P] each
        clips, segments = audio.shape[:2]
        exists = audio.new_ones((clips, segments), dtype=torch.bool) if batch.valid is None else batch.valid
        if self.options.pool == "second":
            drawn = torch.rand((clips, segments), generator=rng).to(audio.device).masked_fill(~exists, -1.0)
            second = drawn.argmax(dim=1)
            rows = torch.arange(clips, device=audio.device)
            heard, seen = audio[rows, second], visual[rows, second]  # [B, P] each
            own, other = self.logits(heard, seen), self.logits(heard.roll(1, dims=0), seen)
        else:
            heard = unit(views.pooled(audio, batch))[:, None]  # [B, 1, P]
            maps = [self.logits(sound, visual) for sound in (heard, heard.roll(1, dims=0))]  # [B, T] each
            own, other = (seconds.masked_fill(~exists, float("-inf")).amax(dim=1) for seconds in maps)
        loss = (functional.softplus(-own) + functional.softplus(other)).mean() / 2
        right = torch.cat((own > 0, other <= 0)).float().mean()
        return Terms(loss, {"correspondence": loss}, {"accuracy": right})
