"""How a parser is trained, as values: the options of a run and the step size they give each epoch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a parser is trained; every field is a number a paper would report. The defaults are those of VALOR."""

    epochs: int = 60
    """Passes over the training clips."""
    batch_size: int = 64
    """Clips per step; the last, smaller batch of an epoch is kept."""
    learning_rate: float = 1e-4
    """AdamW step size at the end of the warm-up."""
    min_learning_rate: float = 1e-6
    """Step size of the last epoch; a half cosine leads there."""
    warmup_epochs: int = 10
    """Epochs over which the step size grows linearly up to learning_rate; 0 for none."""
    weight_decay: float = 1e-3
    """Decoupled decay of every parameter, biases and norms included."""
    beta1: float = 0.5
    """AdamW decay of the mean gradient."""
    beta2: float = 0.999
    """AdamW decay of the mean squared gradient."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    pseudo_label_weight: float = 1.0
    """Weight of the two segment losses against the weak loss; 0 trains on clip tags alone."""
    guided_weight: float = 0.0
    """Weight of HAN's guided loss, which holds each modality to the clip tags; VALOR has none."""
    audio_smoothing: float = 0.0
    """How far the guided loss moves audio tags towards 1/2, in [0, 1]; HAN has 0."""
    visual_smoothing: float = 0.1
    """The same for visual tags; HAN has 0.1."""
    seed: int = 1000
    """Of dropout and, with the parser's own options, of the batch order."""

    def __post_init__(self) -> None:
        """Refuse values that would train silently wrong."""
        least = {"epochs": 1, "batch_size": 1, "warmup_epochs": 0, "seed": 0}
        for name, value in least.items():
            if not isinstance(getattr(self, name), int) or getattr(self, name) < value:
                raise ValueError(f"{name} must be a whole number of at least {value}, got {getattr(self, name)!r}")
        for name in ("learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("min_learning_rate", "weight_decay", "pseudo_label_weight", "guided_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not (0 <= self.audio_smoothing <= 1 and 0 <= self.visual_smoothing <= 1):
            raise ValueError(
                "audio_smoothing and visual_smoothing must be in [0, 1], "
                f"got {self.audio_smoothing} and {self.visual_smoothing}"
            )
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"beta1 and beta2 must be in [0, 1), got {self.beta1} and {self.beta2}")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(f"warmup_epochs must be fewer than the {self.epochs} epochs, got {self.warmup_epochs}")


def learning_rate(epoch: int, options: FitOptions) -> float:
    """Step size of an epoch, counted from 1: a linear warm-up, then half a cosine down to the minimum.

    Source:
        VALOR code, NeurIPS 2023; equal to the golden schedule.
    """
    warmup = options.warmup_epochs
    if epoch < warmup:
        return options.learning_rate * epoch / warmup
    progress = (epoch - warmup) / max(options.epochs - warmup, 1)
    span = options.learning_rate - options.min_learning_rate
    return options.min_learning_rate + span / 2 * (1 + math.cos(math.pi * progress))
