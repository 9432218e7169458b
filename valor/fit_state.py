"""What changes in the course of a training: the parser, what goes with it, and the labels in use."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parsers.build import options_of
from parsers.hybrid import HybridParser
from parsers.losses import balance_weights
from valor.averaging import WeightAverage
from valor.batch_order import batch_order_generator
from valor.dataset import ClipSet
from valor.denoising import find_noise, flip_labels
from valor.fit_options import FitOptions
from valor.train_step import Extras, build_optimiser

_AVERAGE, _NOISE = "average.", "noise"
"""Names in the resume point."""


@dataclass
class FitState:
    """What an epoch changes, and what it takes its batches from."""

    parser: HybridParser
    optimiser: torch.optim.Optimizer
    order: torch.Generator
    options: FitOptions
    given: ClipSet
    """The training set with the labels it came with."""
    train: ClipSet
    """The same with the labels in use."""
    extras: Extras
    average: WeightAverage | None = None
    noise: Tensor | None = None
    """What `valor.denoising.find_noise` found, once it has looked."""

    @property
    def judged(self) -> HybridParser:
        """The parser that is validated and kept."""
        return self.parser if self.average is None else self.average.parser

    def extra(self) -> dict[str, Tensor]:
        """What the resume point holds beside weights, optimiser and generators."""
        average = {} if self.average is None else self.average.state()
        noise = {} if self.noise is None else {_NOISE: self.noise}
        return {**{f"{_AVERAGE}{name}": tensor for name, tensor in average.items()}, **noise}

    def go_on(self, extra: Mapping[str, Tensor]) -> None:
        """Take back what `extra` gave."""
        if self.average is not None:
            named = {name.removeprefix(_AVERAGE): t for name, t in extra.items() if name.startswith(_AVERAGE)}
            self.average.load(named)
        if _NOISE in extra:
            self.use_noise(extra[_NOISE])

    def use_noise(self, noise: Tensor) -> None:
        """Act on what was found about the labels."""
        self.noise = noise
        if self.options.denoise == "vplan":
            self.train = flip_labels(self.given, noise)
            self.extras = replace(self.extras, balance=_balance(self.train, self.options))
        else:
            self.extras = replace(self.extras, noise_ratios=noise.to(self.given.audio.device))


def new_state(parser: HybridParser, train: ClipSet, options: FitOptions) -> FitState:
    """The state of a run before its first epoch."""
    return FitState(
        parser,
        build_optimiser(parser, options),
        batch_order_generator(options_of(parser), options.seed),
        options,
        train,
        train,
        Extras(balance=_balance(train, options)),
        WeightAverage(parser, options.ema_decay) if options.ema_decay else None,
    )


def _balance(train: ClipSet, options: FitOptions) -> Tensor | None:
    if not options.class_balance or train.pseudo_labels is None:
        return None
    return balance_weights(train.pseudo_labels, options.class_balance, train.valid)


def denoise(run: FitState, epoch: int) -> None:
    """Look at the labels in the first epoch after the warm-up, on the weights that would be kept."""
    if run.options.denoise != "none" and run.noise is None and epoch > run.options.denoise_warmup_epochs:
        run.use_noise(find_noise(run.judged, run.given, run.options))
