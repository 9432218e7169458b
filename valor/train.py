"""The one training loop: features and labels to a run folder, selected on validation segment Type@AV, resumable."""

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from eval.decide import decide
from eval.scores import Scores, score
from parsers.build import ParserOptions, build_parser, options_of
from parsers.hybrid import HybridParser
from parsers.losses import LossTerms, loss_terms, total_loss
from valor.checkpoint import BEST, LAST, CheckpointCard, git_revision, write_checkpoint
from valor.dataset import Batch, ClipSet
from valor.errors import TrainingError
from valor.files import replaced
from valor.predict import predict_split
from valor.resume import Progress, read_resume_point, write_resume_point

LOG, RECIPE = "log.jsonl", "recipe.json"
"""Names in a run folder: one JSON object per epoch, and everything needed to build and run the parser."""


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


class Step(NamedTuple):
    """What one training step reports; scalars on the parser's device."""

    terms: LossTerms
    """Before weighting, and before the step."""
    total: Tensor
    """Their weighted sum, which the gradient is of."""
    grad_norm: Tensor
    """Before clipping."""


@dataclass(frozen=True)
class FitResult:
    """Where training ended."""

    best_epoch: int
    val_type_av: float
    """Validation segment Type@AV of that epoch, in percent."""
    checkpoint: Path
    """The selected weights."""
    resumed_from: int = 0
    """Epoch an earlier, stopped run had reached; 0 when this one did it all."""


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


def build_optimiser(parser: HybridParser, options: FitOptions) -> torch.optim.AdamW:
    """Return AdamW over every parameter; the rate is set at the start of each epoch."""
    return torch.optim.AdamW(
        parser.parameters(),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        weight_decay=options.weight_decay,
        fused=True,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter the step size of the epoch."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def batch_order_generator(parser: ParserOptions, seed: int) -> torch.Generator:
    """Return the generator the batch order is drawn from, in the state the published scripts leave theirs in.

    They seed torch, build the network, then shuffle: the order depends on how many numbers the initial weights took.
    It is a generator of its own here, so dropout does not disturb the order on any device.
    """
    order = torch.Generator()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        build_parser(parser)
        order.set_state(torch.get_rng_state())
    return order


def epoch_order(num_clips: int, generator: torch.Generator) -> Tensor:
    """Draw the order of the clips in the next epoch, int64 [N].

    Three numbers are taken off the generator: torch's loader draws one it has no use for here, the seed of the shuffle,
    and another for the validation pass. With them the order is the published one (golden batch order).
    """
    seed = torch.empty(3, dtype=torch.int64).random_(generator=generator)[1]
    return torch.randperm(num_clips, generator=torch.Generator().manual_seed(int(seed)))


def train_step(parser: HybridParser, batch: Batch, optimiser: torch.optim.Optimizer, options: FitOptions) -> Step:
    """Take one step on one batch.

    Args:
        parser: In training mode; changed in place.
        batch: On the parser's device.
        optimiser: Its rate is the step size; changed in place.
        options: Loss weight and gradient norm.

    Returns:
        The losses before the step, and the gradient norm before clipping.

    Raises:
        TrainingError: The gradient is not finite; the parser is as it was. Names the clips of the batch.
    """
    output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
    pseudo_labels = batch.pseudo_labels if options.pseudo_label_weight else None
    smoothing = (options.audio_smoothing, options.visual_smoothing) if options.guided_weight else None
    terms = loss_terms(output, batch.weak_labels, pseudo_labels, batch.valid, smoothing=smoothing)
    total = total_loss(terms, pseudo_label_weight=options.pseudo_label_weight, guided_weight=options.guided_weight)
    optimiser.zero_grad()
    total.backward()
    grad_norm = torch.nn.utils.clip_grad_norm_(parser.parameters(), options.max_grad_norm)
    if not grad_norm.isfinite():
        finite = output.segment_logits.isfinite().flatten(1).all(dim=1).tolist()
        culprits = [i for i, fine in zip(batch.clip_ids, finite, strict=True) if not fine] or batch.clip_ids
        raise TrainingError(
            f"loss {total.item():g} with a gradient norm of {grad_norm.item():g} on the clips {', '.join(culprits)}"
        )
    optimiser.step()
    return Step(LossTerms(*(None if t is None else t.detach() for t in terms)), total.detach(), grad_norm)


def validate(parser: HybridParser, val: ClipSet) -> Scores:
    """Score the parser on a set with truth, both thresholds 0.5, segments gated by the predicted clip labels."""
    if val.truth is None:
        raise ValueError("the validation set has no truth to select the epoch by; read it from a split that has")
    predictions = predict_split(parser, val)
    predicted = decide(predictions.segment_probs, clip_probs=predictions.clip_probs)
    return score(predicted, val.truth.cpu().numpy(), valid=predictions.valid)


def fit(
    parser: HybridParser,
    train: ClipSet,
    val: ClipSet,
    options: FitOptions,
    out: Path | str,
    *,
    recipe: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a parser, or go on with a run that was stopped.

    The run folder gets `best.safetensors` (the first epoch with the highest validation segment Type@AV),
    `last.safetensors` (to go on from), `recipe.json` and `log.jsonl`. A run that was killed and is started again with
    the same arguments ends with the same bytes, on the CPU and with the same number of threads.

    Args:
        parser: On the device to train on, with its initial weights; holds the weights of the last epoch afterwards.
        train: With pseudo labels, unless their weight is 0.
        val: With truth.
        options: How to train. Seeds torch's global generator, for dropout.
        out: The run folder.
        recipe: Description of the run as JSON values, stored in `recipe.json` and in the checkpoint.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The selected epoch, its score and where its weights are.

    Raises:
        ValueError: The sets do not fit the parser or one another, or the folder holds another run.
        TrainingError: The loss is not finite; names epoch, step and clips.
    """
    _check_sets(train, val, options)
    run = _Run(
        parser, build_optimiser(parser, options), batch_order_generator(options_of(parser), options.seed), options
    )
    card = CheckpointCard(
        class_names=train.class_names,
        recipe=dict(recipe or {"parser": asdict(options_of(parser)), "fit": asdict(options)}),
        git_revision=git_revision(),
    )
    out = Path(out)
    identity = _identity(parser, train, val, options)
    state = _start(run, out, card, identity)
    resumed_from = state.epoch
    bar = tqdm(total=options.epochs * len(train), initial=state.epoch * len(train), unit="clip", disable=not progress)
    with bar:
        for epoch in range(state.epoch + 1, options.epochs + 1):
            record = _train_epoch(run, train, epoch, bar)
            scores = validate(parser, val)
            type_av = scores.segment.type_av
            selected = state.best_type_av is None or type_av > state.best_type_av
            if selected:
                write_checkpoint(out / BEST, parser, replace(card, epoch=epoch, val_type_av=type_av))
            best = (epoch, type_av) if selected else (state.best_epoch, state.best_type_av)
            state = Progress(epoch, *best)
            _append(out / LOG, record | {"val": scores.to_dict(), "selected": selected})
            write_resume_point(out / LAST, parser, run.optimiser, run.order, progress=state, identity=identity)
            bar.set_postfix(loss=f"{record['loss']['total']:.3f}", val=f"{type_av:.1f}", best=f"{best[1]:.1f}")
    return FitResult(state.best_epoch, state.best_type_av or 0.0, out / BEST, resumed_from)


@dataclass(frozen=True)
class _Run:
    """What an epoch changes."""

    parser: HybridParser
    optimiser: torch.optim.Optimizer
    order: torch.Generator
    options: FitOptions


def _train_epoch(run: _Run, train: ClipSet, epoch: int, bar: tqdm) -> dict[str, Any]:
    """One pass over the training clips; returns its line of the log."""
    device = next(run.parser.parameters()).device
    rate = learning_rate(epoch, run.options)
    set_learning_rate(run.optimiser, rate)
    run.parser.train()
    sums, waited, start = _Sums(), 0.0, time.perf_counter()
    for step, rows in enumerate(epoch_order(len(train), run.order).split(run.options.batch_size), start=1):
        asked = time.perf_counter()
        batch = train.batch(rows).to(device)
        waited += time.perf_counter() - asked
        try:
            sums.add(train_step(run.parser, batch, run.optimiser, run.options), len(rows))
        except TrainingError as error:
            raise TrainingError(
                f"epoch {epoch}, step {step}: {error}; look at these clips, or lower fit.learning_rate"
            ) from error
        bar.update(len(rows))
    seconds = time.perf_counter() - start
    return {
        "epoch": epoch,
        "learning_rate": rate,
        **sums.means(),
        "clips_per_second": round(len(train) / seconds, 1),
        "waiting_share": round(waited / seconds, 4),
        "seconds": round(seconds, 3),
    }


@dataclass
class _Sums:
    """Running means over the clips of an epoch."""

    clips: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, step: Step, clips: int) -> None:
        self.clips += clips
        parts = {**step.terms._asdict(), "total": step.total, "grad_norm": step.grad_norm}
        for name, value in parts.items():
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value.item() * clips

    def means(self) -> dict[str, Any]:
        means = {name: total / self.clips for name, total in self.sums.items()}
        grad_norm = means.pop("grad_norm")
        return {"loss": means, "grad_norm": grad_norm}


def _start(run: _Run, out: Path, card: CheckpointCard, identity: Mapping[str, Any]) -> Progress:
    """Seed and describe a new run, or put a stopped one back where it was."""
    torch.manual_seed(run.options.seed)
    state = Progress()
    if (out / LAST).is_file():
        state = read_resume_point(out / LAST, run.parser, run.optimiser, run.order, identity=identity)
    else:
        description = {**card.recipe, "run": {"class_names": card.class_names, "git_revision": card.git_revision}}
        with replaced(out / RECIPE) as temporary:
            temporary.write_text(json.dumps(description, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _keep_lines(out / LOG, state.epoch)
    return state


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def _keep_lines(path: Path, lines: int) -> None:
    """Drop log lines of epochs after the resume point, which will be run again."""
    kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines] if path.is_file() else []
    with replaced(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _identity(parser: HybridParser, train: ClipSet, val: ClipSet, options: FitOptions) -> dict[str, Any]:
    """What must be the same for a stopped run to go on; the keys are what the error message calls it."""
    weights = hashlib.sha256()
    for tensor in parser.state_dict().values():
        weights.update(tensor.cpu().contiguous().numpy().data)
    return {
        "parser options": asdict(options_of(parser)),
        "initial weights": weights.hexdigest(),
        "fit options": asdict(options),
        "training clips": train.fingerprint(),
        "validation clips": val.fingerprint(),
    }


def _check_sets(train: ClipSet, val: ClipSet, options: FitOptions) -> None:
    if options.pseudo_label_weight and train.pseudo_labels is None:
        raise ValueError(
            "training needs pseudo labels, got a training set without; make them (valor labels) and pass them, or "
            "train on clip tags alone with fit.pseudo_label_weight=0"
        )
    if train.class_names != val.class_names:
        raise ValueError(f"both sets need the same classes, got {len(train.class_names)} and {len(val.class_names)}")
    if val.truth is None:
        raise ValueError("the validation set has no truth to select the epoch by; read it from a split that has")
