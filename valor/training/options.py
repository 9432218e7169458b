"""How a parser is trained, as values: the options of a run, the step size they give each epoch, and its errors."""

import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valor.data.datasets.dataset import DataSet
from valor.eval.scores import FIGURES, LEVELS
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import Place, place_of

OPTIMISERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "step")
TIES = ("first", "last")
"""Names the options of these kinds understand."""

OWN_FIGURE = "figures."
"""Before the name of a metric of the data set, where `select_by` says it."""

MEAN = "mean"
"""The mean of all ten figures, where `select_by` says it."""

_FIGURES = (*(f"{level}.{figure}" for level in LEVELS for figure in FIGURES), MEAN)
_CHOICES = {
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
    "select_by": _FIGURES,
    "select_tie": TIES,
}
_WHOLE = {"epochs": 1, "epoch_steps": 0, "batch_size": 1, "warmup_epochs": 0, "step_epochs": 1, "seed": 0}
_POSITIVE = ("learning_rate", "step_factor", "max_grad_norm")
_NOT_NEGATIVE = (
    *("min_learning_rate", "weight_decay", "encoder_rate"),
    *("pseudo_label_weight", "guided_weight", "stray_weight"),
)
_BELOW_ONE = ("beta1", "beta2")


class TrainingError(RuntimeError):
    """The loss or its gradient is NaN or infinite; the message names the epoch, the step and the clips."""


class NotFiniteError(ValueError):
    """A parser's weights, or what it makes of some clips, are NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a parser is trained; every field is a number a paper would report. The defaults are those of VALOR.

    What later papers add has options of its own, see `valor.training.methods`.
    """

    epochs: int = 60
    """Passes over the training clips; the parser is validated after each."""
    epoch_steps: int = 0
    """Steps an epoch has at least: few clips are passed over several times before the parser is validated and can be
    resumed. 0 for one pass, as published."""
    batch_size: int = 64
    """Clips per step; the last, smaller batch of an epoch is kept."""
    batch_segments: int | None = None
    """The most segments of a step, padding included, where clips are of unlike length: fewer clips where they are long,
    so that memory is bounded. None never looks at it."""
    learning_rate: float = 1e-4
    """Step size at the end of the warm-up."""
    min_learning_rate: float = 1e-6
    """The least step size: that of the last epoch of a cosine schedule, a floor for a step schedule."""
    warmup_epochs: int = 10
    """Epochs over which the step size grows linearly up to learning_rate; 0 for none."""
    schedule: str = "cosine"
    """After the warm-up: `cosine`, half a cosine down to min_learning_rate; or `step`, a factor every few epochs."""
    step_epochs: int = 10
    """Epochs between two cuts of a step schedule, counted from the first epoch; no meaning for cosine."""
    step_factor: float = 0.1
    """What a step schedule multiplies the step size by."""
    optimiser: str = "adamw"
    """`adamw`; `adam`, whose weight decay, if any, is part of the gradient; or `sgd`, with beta1 as its momentum."""
    weight_decay: float = 1e-3
    """Decay of every parameter, biases and norms included."""
    beta1: float = 0.5
    """Decay of the mean gradient."""
    beta2: float = 0.999
    """Decay of the mean squared gradient; no meaning for sgd."""
    max_grad_norm: float | None = 1.0
    """Gradients are scaled down to this global norm; None never scales."""
    encoder_rate: float = 1.0
    """What the step size is multiplied by for stem and encoder, where they begin with what they learned before (`valor
    train RECIPE --from RUN`); 0 leaves them as they are."""
    pseudo_label_weight: float = 1.0
    """Weight of the two segment losses against the weak loss; 0 trains on clip tags alone."""
    guided_weight: float = 0.0
    """Weight of HAN's guided loss, which holds each modality to the clip tags; VALOR has none."""
    audio_smoothing: float = 0.0
    """How far the guided loss moves audio tags towards 1/2, in [0, 1]; HAN has 0."""
    visual_smoothing: float = 0.1
    """The same for visual tags; HAN has 0.1."""
    stray_weight: float = 10.0
    """With parser.head=words, weight of the loss that keeps segments where the teachers place them among captions."""
    select_by: str = "segment.type_av"
    """Validation figure the kept epoch is best in: level.figure of `valor.eval.scores`, figures.NAME of a metric of the
    data set, or mean, that of all ten."""
    select_tie: str = "first"
    """Which of several equally good epochs is kept: the `first`, as VALOR's code does, or the `last`, as HAN's."""
    also_on_test: bool = False
    """Whether every epoch is scored on the test split as well, so that the one best there, which some public codes of
    AVE report, can stand in tables beside the one chosen on validation. It has no part in the training."""
    label_share: float = 1.0
    """Share of the tagged clips of train that keep their tags and labels, drawn by the seed, a smaller one from a
    larger; the others stay out, or are clips without tags where those are learned from (methods.unlabelled)."""
    seed: int = 1000
    """Of dropout and, with the parser's own options, of the batch order."""

    def __post_init__(self) -> None:
        """Refuse values that would train silently wrong."""
        for name, known in _CHOICES.items():
            own = name == "select_by" and self.select_by.startswith(OWN_FIGURE)
            if getattr(self, name) not in known and not own:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                    f"{did_you_mean(getattr(self, name), known)}"
                )
        for name, value in _WHOLE.items():
            if not isinstance(getattr(self, name), int) or getattr(self, name) < value:
                raise ValueError(f"{name} must be a whole number of at least {value}, got {getattr(self, name)!r}")
        self._check_ranges()
        if self.batch_segments is not None and (not isinstance(self.batch_segments, int) or self.batch_segments < 1):
            raise ValueError(f"batch_segments must be a whole number of at least 1, or none, got {self.batch_segments}")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs must be fewer than the {self.epochs} epochs, got {self.warmup_epochs}; "
                f"with so few, say warmup_epochs={self.epochs // 2} too"
            )

    def clips_of_epoch(self, clips: int) -> int:
        """Clips that an epoch of so many goes through, each as often as the others."""
        return clips * self._passes(clips)

    def steps_of_epoch(self, clips: int) -> int:
        """Steps of an epoch of so many clips, where no step is smaller than it must be."""
        return math.ceil(clips / self.batch_size) * self._passes(clips)

    def _passes(self, clips: int) -> int:
        return max(1, math.ceil(self.epoch_steps / math.ceil(clips / self.batch_size)))

    def _check_ranges(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, got {value}")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must not be negative, got {value}")
        if not (0 <= self.audio_smoothing <= 1 and 0 <= self.visual_smoothing <= 1):
            raise ValueError(
                "audio_smoothing and visual_smoothing must be in [0, 1], "
                f"got {self.audio_smoothing} and {self.visual_smoothing}"
            )
        if not 0 < self.label_share <= 1:
            raise ValueError(f"label_share must be above 0 and at most 1, got {self.label_share}")
        for name in _BELOW_ONE:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


def learning_rate(epoch: int, options: FitOptions) -> float:
    """Step size of an epoch, counted from 1: a linear warm-up, then the schedule.

    Source:
        cosine: VALOR code, NeurIPS 2023; equal to the golden schedule, and with UWAV's epochs and rates to the golden
        `uwav_schedule`. step: HAN code, ECCV 2020 (torch's StepLR, stepped after each epoch: epochs 1 to 10 at the full
        rate, 11 to 20 at a tenth, and so on).
    """
    warmup = options.warmup_epochs
    if epoch < warmup:
        return options.learning_rate * epoch / warmup
    if options.schedule == "step":
        cuts = (epoch - 1) // options.step_epochs
        return max(options.learning_rate * options.step_factor**cuts, options.min_learning_rate)
    progress = (epoch - warmup) / max(options.epochs - warmup, 1)
    span = options.learning_rate - options.min_learning_rate
    return options.min_learning_rate + span / 2 * (1 + math.cos(math.pi * progress))


TRACKERS = ("tensorboard", "wandb")
"""Where curves can go as well; each name is also the package it needs and an extra of pyproject.toml."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a recipe is trained, besides what the recipe says; nothing here changes the method."""

    seeds: int = 1
    """Trainings, from the recipe's own seed upwards; several go into RUN/seed-<seed> each."""
    begin_with: Path | None = None
    """Folder of a pre-training (`valor pretrain`) whose stem and encoder the parser begins with."""
    labels: Path | None = None
    """Folder of pseudo labels (the published layout among the data)."""
    annotations: Path | None = None
    """Folder of the truth of val, such as corrections made in the viewer, of the clips of val that are there (the
    data)."""
    store: Place | None = None
    """Evidence store of the features, on a disk or in an object store (`store/` among the data)."""
    dataset: DataSet | str | None = None
    """What the data folder holds, or the name of it; None for what its `dataset.json` says, or LLP."""
    names: tuple[str, ...] | None = None
    """The classes of the tables; None for those of the data set."""
    unseen: tuple[str, ...] = ()
    """Classes that tags and labels of training leave out (none; with parser.head=words those that the data set calls
    unseen): names with commas between them."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Data folders of other sets, by names of one's own, that train the same encoder (repeatable)."""
    beside_labels: Mapping[str, Path] = field(default_factory=dict)
    """Folder of the pseudo labels of such a set (`labels/` among its data where that is there, else the data)."""
    unlabelled: tuple[Place, ...] = ()
    """Evidence store of clips that nobody has tagged, which the teachers alone label (methods.unlabelled; repeatable).
    Of a store that holds the tagged clips too, those that keep their tags are left out, as are annotated ones."""
    self_train: int = 0
    """Rounds in which the parser of the round before labels the clips anew, each as long as the training, the best of
    all kept (methods.rounds); clips without tags join in the first of them."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu or cuda."""
    allow_random_teachers: bool = False
    """Accept labels or features of randomly initialised teachers."""
    deterministic: bool = False
    """Refuse operations that may give other bits another time."""
    compiled: bool = False
    """Compile the parser into CUDA graphs (GPU only)."""
    test: bool = True
    """Score the selected epoch on the test split where that is there."""
    trackers: tuple[str, ...] = ()
    """Where curves go as well, if it is installed (repeatable)."""
    picture: bool = True
    """Draw RUN/training.png at the end."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse what no training could follow, before anything is read."""
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        given: Any = self.unlabelled
        stores = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
        object.__setattr__(self, "unlabelled", tuple(map(place_of, stores)))
        if self.annotations is not None:
            object.__setattr__(self, "annotations", Path(self.annotations))
        if self.self_train < 0:
            raise ValueError(f"self_train must not be negative, got {self.self_train}")
        for name in ("beside", "beside_labels"):
            object.__setattr__(self, name, {key: Path(folder) for key, folder in getattr(self, name).items()})
        check_beside(self)
        check_trackers(self.trackers)


def check_beside(options: TrainOptions) -> None:
    """Refuse sets beside that are no folders, before anything is read.

    Raises:
        ValueError: Says which.
    """
    for name, folder in options.beside.items():
        if name.startswith(".") or set(name) & set("/\\\0"):
            raise ValueError(f"beside must name sets as folders can be called, without / and \\, got {name!r}")
        if not folder.is_dir():
            raise ValueError(f"beside must name data folders, got {name}={folder}, which is none")
    if strangers := sorted(set(options.beside_labels) - set(options.beside)):
        raise ValueError(
            f"beside_labels must be of sets beside ({', '.join(options.beside) or 'none'}), got {', '.join(strangers)}"
        )
    taken = (options.compiled, options.unseen, options.trackers, options.begin_with)
    if options.beside and any(taken):
        raise ValueError(
            "a training beside other sets takes no compiled, unseen, trackers and begin_with; leave them out"
        )


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are unknown or not installed, before anything is read.

    Raises:
        ValueError: Says what to install.
    """
    for name in names:
        if name not in TRACKERS:
            raise ValueError(
                f"trackers must be one of {', '.join(TRACKERS)}, got {name!r}{did_you_mean(name, TRACKERS)}"
            )
        if not _installed(name):
            raise ValueError(
                f"the tracker {name} needs the package {name}, which is not installed: pip install {name} "
                f"(or pip install -e '.[{name}]'); log.jsonl in the run folder holds the same numbers without it"
            )


def _installed(name: str) -> bool:
    """Whether a package is there; a mere folder of its name, such as W&B leaves behind, is none."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    return name in sys.modules or (spec is not None and spec.origin is not None)
