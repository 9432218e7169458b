"""The one training loop: features and labels to a run folder, selected on validation segment Type@AV, resumable."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from eval.decide import decide
from eval.scores import Scores, score
from parsers.build import options_of
from parsers.hybrid import HybridParser
from valor.batch_order import batch_order_generator, epoch_order
from valor.checkpoint import BEST, LAST, CheckpointCard, git_revision, write_checkpoint
from valor.dataset import ClipSet
from valor.errors import TrainingError
from valor.files import replaced
from valor.fit_options import FitOptions, learning_rate
from valor.predict import predict_split
from valor.resume import Progress, read_resume_point, write_resume_point
from valor.train_step import Step, build_optimiser, set_learning_rate, train_step

LOG, RECIPE = "log.jsonl", "recipe.json"
"""Names in a run folder: one JSON object per epoch, and everything needed to build and run the parser."""


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
