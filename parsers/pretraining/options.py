"""What may be chosen of an objective; nothing here waits for torch.

A weight of 0 leaves a term out. Where a paper does not say a number, it is ours, and the objective's file says so.
"""

from dataclasses import dataclass

VARIANTS = ("cross", "single", "concat")
"""Whose clusters a stream learns: the other's (XDC), its own (SDC), or those of both joined (CDC)."""
TEXTS = ("own", "shared")
"""Whether sound and picture have prompts of their own teachers, or both have those of the two teachers together."""


def _check(options: object, **least: float) -> None:
    """Refuse numbers below the least they may be."""
    for name, low in least.items():
        value = getattr(options, name)
        if not value >= low:
            raise ValueError(f"{name} must be at least {low:g}, got {value!r}")


def _check_inside(options: object, *names: str, one: bool = False) -> None:
    """Refuse numbers that are not above 0 and below 1, or up to 1 where it may be."""
    for name in names:
        value = getattr(options, name)
        if not (0 < value < 1 or (one and value == 1)):
            raise ValueError(f"{name} must be above 0 and {'at most' if one else 'below'} 1, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class TemporalOptions:
    """Speed, direction, order, and contrast with pairs that evolve."""

    length: int = 5
    """Segments of a clip that is played at some speed."""
    window: int = 3
    """Segments of a window whose order is told."""
    queue: int = 4096
    """Windows that are remembered for the contrast."""
    momentum: float = 0.99
    """What the slow copy keeps of itself in a step."""
    neighbours: int = 3
    """Remembered windows near its partner that count as positives of a window, at most; 0 for usual pairs."""
    near: float = 0.8
    """Cosine to the partner that they must have."""
    warm_up: float = 0.2
    """Share of the steps before there are any."""
    temperature: float = 0.1
    """Of the contrast."""
    contrast_weight: float = 1.0
    """Of the contrast beside the mean of the tasks."""
    width: int = 64
    """Of the vectors that are compared."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        _check(self, length=2, window=1, queue=1, neighbours=0, contrast_weight=0, width=2)
        _check_inside(self, "momentum", "temperature", one=True)
        if not (0 <= self.warm_up <= 1 and -1 <= self.near <= 1):
            raise ValueError(f"warm_up must be in 0..1 and near in -1..1, got {self.warm_up!r} and {self.near!r}")


@dataclass(frozen=True, kw_only=True)
class XkdOptions:
    """Masked reconstruction, distillation between modalities, alignment of their distributions."""

    mask_ratio: float = 0.5
    """Share of the seconds that the student does not see; published 0.85 of picture's and 0.8 of sound's patches."""
    momentum: float = 0.997
    """What the teacher keeps of itself in the first step; 1 in the last."""
    recon_weight: float = 5.0
    """Of reconstruction."""
    distill_weight: float = 1.0
    """Of distillation."""
    align_weight: float = 1.0
    """Of alignment. The sum is divided by the sum of the weights."""
    local: int = 3
    """Seconds of the view of the student that is a piece of the clip."""
    attention: bool = True
    """Whether the teacher weighs seconds by the attention they receive; parser.encoder=hybrid alone says it."""
    hidden: int = 256
    """Inner width of the heads; published 2,048."""
    bottleneck: int = 64
    """Width in which modalities are aligned; published 256."""
    prototypes: int = 256
    """Numbers that are distilled; published 8,192."""
    student_temperature: float = 0.1
    """Of the student's answers."""
    audio_temperature: float = 0.07
    """Of those of the teacher of sound."""
    visual_temperature: float = 0.1
    """Of those of the teacher of pictures."""
    centre_momentum: float = 0.9
    """What the mean of the teachers' answers keeps of itself."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        _check_inside(self, "mask_ratio")
        _check_inside(self, "momentum", "centre_momentum", one=True)
        _check_inside(self, "student_temperature", "audio_temperature", "visual_temperature", one=True)
        _check(self, recon_weight=0, distill_weight=0, align_weight=0)
        _check(self, local=1, hidden=1, bottleneck=2, prototypes=2)
        if not self.recon_weight + self.distill_weight + self.align_weight:
            raise ValueError("recon_weight, distill_weight and align_weight must not all be 0")


@dataclass(frozen=True, kw_only=True)
class XdcOptions:
    """Clusters of one stream as the classes of the other."""

    clusters: int = 64
    """Groups of seconds; 256 suit the 100,000 seconds of LLP."""
    reassign_epochs: int = 4
    """Epochs between two divisions."""
    variant: str = "cross"
    """`cross`, the clusters of the other stream, as published; `single`, its own; `concat`, of both joined."""
    rounds: int = 15
    """Of k-means, at most."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        _check(self, clusters=2, reassign_epochs=1, rounds=1)
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {self.variant!r}")


@dataclass(frozen=True, kw_only=True)
class ModalityMaskingOptions:
    """One modality is kept from the encoder and has to be found by what it says of the others."""

    text_share: float = 0.8
    """How often what the teachers say of the classes is the one, in place of speech; 0 learns without it. The others
    share the rest evenly."""
    margin: float = 0.05
    """By how much a clip's own must be nearer than others."""
    width: int = 128
    """Of the vectors that are compared; published 512."""
    codes: bool = False
    """Whether the withheld modality knows when its seconds are: published without, since silences line up."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        _check(self, margin=0, width=2)
        if not 0 <= self.text_share <= 1:
            raise ValueError(f"text_share must be in 0..1, got {self.text_share!r}")


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What the text objectives have in common."""

    temperature: float = 0.07
    """Of all contrasts."""
    text_weight: float = 1.0
    """Of the contrast with prompts beside that of sound and picture."""
    accept: float = 2.0
    """A prompt is accepted where its teacher's answer lies this many deviations above its mean over the pool: found
    without a tag."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        _check_inside(self, "temperature", one=True)
        _check(self, text_weight=0)


@dataclass(frozen=True, kw_only=True)
class MmvOptions(TextOptions):
    """A fine space of sound and picture, and a coarse one that holds text besides."""

    nearby: int = 1
    """Seconds before and behind in which a prompt may have been accepted."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        super().__post_init__()
        _check(self, nearby=0)


@dataclass(frozen=True, kw_only=True)
class VattOptions(MmvOptions):
    """As MMV, with half of the seconds dropped."""

    nearby: int = 2
    """As for mmv: the five nearest seconds."""
    drop_share: float = 0.5
    """Share of the seconds that are not looked at."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        super().__post_init__()
        if not 0 <= self.drop_share < 1:
            raise ValueError(f"drop_share must be at least 0 and below 1, got {self.drop_share!r}")


@dataclass(frozen=True, kw_only=True)
class LavaOptions(MmvOptions):
    """All three pairs in one space."""

    text: str = "own"
    """`own`, prompts of a sound by the teacher of sounds and of a picture by that of pictures; `shared`, one text for
    both, by the two together."""
    sound_text_weight: float = 1.0
    """Of the contrast of sounds with prompts."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learned with."""
        super().__post_init__()
        _check(self, sound_text_weight=0)
        if self.text not in TEXTS:
            raise ValueError(f"text must be one of {', '.join(TEXTS)}, got {self.text!r}")
