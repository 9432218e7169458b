"""How a pre-training and a probe go about it, as values: nothing here waits for torch."""

from dataclasses import dataclass

from valor.label_harvest.cores import DEVICES
from valor.label_harvest.did_you_mean import did_you_mean
from valor.training.options import FitOptions

LEAST_LEARNED = 2
"""Clips that must be left to learn from, once some are held out."""


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """How an objective is trained; what the objective itself can be told is its own."""

    epochs: int = 20
    """Passes over the pool; the last epoch is kept, nothing is selected."""
    batch_size: int = 64
    """Clips per step; the last, smaller batch of an epoch is left out."""
    learning_rate: float = 5e-4
    """Step size at the end of the warm-up, of AdamW."""
    min_learning_rate: float = 1e-5
    """Step size of the last epoch, half a cosine away."""
    warmup_epochs: int = 2
    """Epochs over which the step size grows linearly; 0 for none."""
    weight_decay: float = 1e-3
    """Decay of every parameter."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    held_out: float = 0.05
    """Share of the pool, by a hash of the clip's name, whose loss is logged and which no step is taken on."""
    seed: int = 0
    """Of initial weights, dropout, masks and the order of clips."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu or cuda."""
    transductive: bool = False
    """Learn from clips of annotated splits as well, the test split among them, without a look at their annotation."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse what no training could follow."""
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out must be in [0, 1), got {self.held_out:g}")
        if self.device not in DEVICES:
            raise ValueError(
                f"device must be one of {', '.join(DEVICES)}, got {self.device!r}{did_you_mean(self.device, DEVICES)}"
            )
        self.as_fit()

    def as_fit(self) -> FitOptions:
        """The same as options of a training, whose optimiser, schedule and checks are used.

        Raises:
            ValueError: An option is out of its range.
        """
        return FitOptions(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            min_learning_rate=self.min_learning_rate,
            warmup_epochs=self.warmup_epochs,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            beta1=0.9,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """How a pre-training is measured."""

    seed: int = 0
    """Of the random encoder it is compared with."""
    resamples: int = 200
    """Draws of clips behind each interval."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu or cuda."""

    def __post_init__(self) -> None:
        """Refuse what no interval is made of."""
        if self.resamples < 1:
            raise ValueError(f"resamples must be at least 1, got {self.resamples}")
