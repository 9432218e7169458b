"""The loop of a pre-training: a pool and an objective to a run folder, resumable to the same bytes.

    RUN/encoder.safetensors     what was learned, once the last epoch is done (`valor.training.encoder_file`)
    RUN/last.safetensors        to go on from      RUN/log.jsonl     a line an epoch      RUN/recipe.json     how

Optimiser, schedule, clipping of gradients, the refusal of what is not finite, log, lock and resume points are those of
a training (`valor.training.train`, `step.py`, `run_folder.py`). What differs is what a step is charged with, that the
last, smaller batch of an epoch is left out, and that the last epoch is kept. Two generators are in the resume point:
torch's own, for dropout, and one for masks, orders and whatever else an objective draws.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from valor.label_harvest.disk import write_json
from valor.label_harvest.progress import Bar, progress_bar
from valor.label_harvest.strict_json import loads
from valor.parsers.pretraining.objective import Epoch, Objective, Segments, Views
from valor.training.checkpoint import Progress, read_resume_point, write_resume_point
from valor.training.encoder_file import ENCODER, EncoderCard, read_encoder, write_encoder
from valor.training.options import TrainingError, learning_rate
from valor.training.run_folder import LAST, LOG, RECIPE, run_lock
from valor.training.step import Step, build_optimiser, descend, set_learning_rate
from valor.training.train import (
    Sums,
    append_log,
    check_files,
    digest_of_weights,
    files_beside,
    keep_log,
)

from .options import LEAST_LEARNED, PretrainOptions
from .pool import LearnedPool, held_out

_FIGURES = "figures/"
"""Before the names of what is logged and not charged, while an epoch is summed up."""
_NOT_IDENTITY = ("device", "progress")
"""Options that may differ when a run goes on."""


@dataclass(frozen=True)
class PretrainResult:
    """Where a pre-training ended."""

    encoder: Path
    clips: int
    """That were learned from."""
    held_out: int
    first: Mapping[str, float]
    """Losses of the first epoch, `total` among them."""
    last: Mapping[str, float]
    """Of the last one."""
    held_out_loss: float | None
    """Of the last epoch; None where nothing is held out."""
    resumed_from: int = 0
    """Epoch an earlier, stopped run had reached."""


class Learner(nn.Module):
    """All weights: what the optimiser holds, the resume point keeps and the encoder file ends with."""

    def __init__(self, views: nn.Module, objective: Objective) -> None:
        """Take both."""
        super().__init__()
        self.views = views
        self.objective = objective

    def begin_again(self, initial: Mapping[str, Tensor]) -> None:
        """Give back the initial weights of all that is learned; teachers and queues stay."""
        learned = {name for name, weight in self.named_parameters() if weight.requires_grad}
        self.load_state_dict({**self.state_dict(), **{name: initial[name] for name in learned}})


@dataclass(eq=False)
class _Run:
    """A pre-training in its course."""

    learner: Learner
    views: Views
    """The same as the learner's."""
    pool: LearnedPool
    options: PretrainOptions
    optimiser: torch.optim.Optimizer
    rng: torch.Generator
    learned: Tensor
    """int64, rows of the pool that are learned from."""
    held: Tensor
    """int64, those that are held out."""
    initial: Mapping[str, Tensor]

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return len(self.learned) // self.options.batch_size


def pretrain(
    views: Views,
    objective: Objective,
    pool: LearnedPool,
    options: PretrainOptions,
    out: Path,
    card: EncoderCard,
    *,
    recipe: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
) -> PretrainResult:
    """Train an objective on a pool, go on with a run that was stopped, or find it done.

    Args:
        views: A module, on the device, with its initial weights.
        objective: Likewise, made for these views.
        pool: What is learned from.
        options: How.
        out: The run folder.
        card: What the encoder file says; epoch, pool and options of the training are filled in here.
        recipe: What `recipe.json` says beside the card, as JSON values.
        on_epoch: Called with each line of the log once the epoch is safe on disk.

    Raises:
        ValueError: The pool is too small, an objective cannot work with it, or the folder holds another run.
        TrainingError: A loss is not finite; names epoch, step and clips.
    """
    run = _new_run(views, objective, pool, options)
    card = replace(
        card,
        fit=asdict(options),
        pool={**card.pool, "fingerprint": pool.fingerprint(), "clips": len(run.learned), "held_out": len(run.held)},
    )
    identity = {
        "objective": card.objective,
        "objective options": dict(card.options),
        "pre-training options": {name: of for name, of in asdict(options).items() if name not in _NOT_IDENTITY},
        "initial weights": digest_of_weights(run.learner),
        "pool": card.pool["fingerprint"],
    }
    with run_lock(out):
        progress = _start(run, out, identity, {**asdict(card), **(recipe or {})})
        resumed_from, clips = progress.epoch, run.steps * options.batch_size
        with progress_bar(
            total=clips * options.epochs,
            initial=clips * resumed_from,
            desc=f"pretrain {card.objective}",
            unit="clip",
            enabled=options.progress,
        ) as bar:
            while progress.epoch < options.epochs:
                epoch = progress.epoch + 1
                record = _epoch(run, Epoch(epoch, options.epochs), bar)
                append_log(out / LOG, record)
                progress = Progress(epoch=epoch, files=files_beside(out, epoch))
                write_resume_point(
                    out / LAST, run.learner, run.optimiser, run.rng, progress=progress, identity=identity
                )
                bar.set_postfix(loss=f"{record['loss']['total']:.3f}")
                if on_epoch:
                    on_epoch(record)
        if resumed_from < options.epochs or not _is_written(out, run.learner):
            write_encoder(out / ENCODER, run.learner.state_dict(), replace(card, epoch=progress.epoch))
    return _result(out, run, resumed_from)


def _new_run(views: Views, objective: Objective, pool: LearnedPool, options: PretrainOptions) -> _Run:
    """The state before the first epoch; refuses what cannot be learned from."""
    is_held = held_out(pool.clip_ids, options.held_out)
    learned, held = (~is_held).nonzero().flatten(), is_held.nonzero().flatten()
    least = max(objective.least_clips, LEAST_LEARNED)
    if options.batch_size < least:
        raise ValueError(
            f"batch_size must be at least {least} for the objective {objective.name}, which compares clips of one "
            f"batch, got {options.batch_size}"
        )
    if len(learned) < options.batch_size:
        raise ValueError(
            f"the pool must have at least one batch of clips to learn from, which is {options.batch_size}, got "
            f"{len(learned)} beside {len(held)} held out; give more stores, or set a smaller batch_size"
        )
    if objective.needs_order and not views.says_when:
        raise ValueError(
            f"the objective {objective.name} needs seconds that know where they stand, and this network is blind to "
            "their order; set parser.time_codes=0.5"
        )
    objective.prepare(views, pool)
    assert isinstance(views, nn.Module)
    learner = Learner(views, objective)
    initial = {name: of.clone() for name, of in learner.state_dict().items()}
    return _Run(
        learner=learner,
        views=views,
        pool=pool,
        options=options,
        optimiser=build_optimiser(learner, options.as_fit()),
        rng=torch.Generator().manual_seed(options.seed),
        learned=learned,
        held=held,
        initial=initial,
    )


def _start(run: _Run, out: Path, identity: Mapping[str, Any], described: Mapping[str, Any]) -> Progress:
    """Seed and describe a new run, or put a stopped one back where it was."""
    torch.manual_seed(run.options.seed)
    progress = Progress()
    if (out / LAST).is_file():
        _refuse_other_network(out, described)
        progress, _ = read_resume_point(out / LAST, run.learner, run.optimiser, run.rng, identity=identity)
        check_files(out, progress)
    else:
        write_json(out / RECIPE, described, indent=2)
    keep_log(out / LOG, progress.epoch)
    return progress


def _refuse_other_network(out: Path, described: Mapping[str, Any]) -> None:
    """Refuse to go on with another network that has the same weights, as one of other time codes or dropout.

    Raises:
        ValueError: What the recipe of the run says of it is not what is described.
    """
    try:
        held = loads((out / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the resume point itself is asked next
    for name, called in (("parser", "parser options"), ("features", "features")):
        now = loads(json.dumps(described[name]))
        if any(of != now.get(key) for key, of in held.get(name, {}).items()):
            raise ValueError(
                f"{out / LAST}: belongs to a run with other {called}; continue that run with what it was started "
                "with, or choose another `out`"
            )


def _is_written(out: Path, learner: Learner) -> bool:
    """Whether a run that is done has left its file, which trainings name by its sha256: it stays as it is then."""
    try:
        held = read_encoder(out).tensors
    except (FileNotFoundError, ValueError):
        return False
    learned = learner.state_dict()
    return held.keys() == learned.keys() and all(torch.equal(held[name], learned[name].cpu()) for name in held)


def _epoch(run: _Run, epoch: Epoch, bar: Bar) -> dict[str, Any]:
    """One pass over the pool; its line of the log."""
    objective, options = run.learner.objective, run.options
    part, fit = objective.part(epoch), options.as_fit()
    rate = learning_rate(part.number, replace(fit, epochs=part.of, warmup_epochs=min(fit.warmup_epochs, part.of - 1)))
    set_learning_rate(run.optimiser, rate)
    run.learner.train()
    start, sums, counts = time.perf_counter(), Sums(), Counter[str]()
    if objective.begin_epoch(run.views, run.pool, epoch, run.rng):
        run.learner.begin_again(run.initial)
        run.optimiser.state.clear()
    order = run.learned[torch.randperm(len(run.learned), generator=run.rng)]
    for step in range(run.steps):
        rows = order[step * options.batch_size : (step + 1) * options.batch_size]
        try:
            taken = _step(run, rows)
            sums.add(taken, len(rows))
            counts.update(dict.fromkeys(taken.terms, len(rows)))
        except TrainingError as error:
            raise TrainingError(
                f"epoch {epoch.number}, step {step + 1}: {error}; look at these clips, or lower learning_rate"
            ) from error
        objective.after_step(run.views, ((epoch.number - 1) * run.steps + step + 1) / (epoch.of * run.steps))
        bar.update(len(rows))
    seconds = time.perf_counter() - start
    means = sums.means()
    losses = {  # a term that some steps go without is the mean over those that have it
        name: value * sums.clips / counts.get(name, sums.clips) for name, value in means["loss"].items()
    }
    return {
        "epoch": epoch.number,
        "learning_rate": rate,
        "loss": {name: value for name, value in losses.items() if not name.startswith(_FIGURES)},
        "figures": {name.removeprefix(_FIGURES): of for name, of in losses.items() if name.startswith(_FIGURES)},
        "held_out": _held_out_loss(run),
        "grad_norm": means["grad_norm"],
        "clips_per_second": round(sums.clips / seconds, 1),
        "seconds": round(seconds, 3),
    }


def _step(run: _Run, rows: Tensor) -> Step:
    """One step on some clips."""
    batch = run.pool.batch(rows)
    terms = run.learner.objective.loss(run.views, batch, run.rng)
    figures = {f"{_FIGURES}{name}": figure for name, figure in terms.figures.items()}

    def culprits() -> list[str]:
        with torch.no_grad():
            finite = _finite(run.views, batch)
        named = [run.pool.clip_ids[row] for row, fine in zip(rows.tolist(), finite, strict=True) if not fine]
        return named or [run.pool.clip_ids[row] for row in rows.tolist()]

    norm = descend(run.learner, terms.total, run.optimiser, run.options.max_grad_norm, culprits)
    told = {name: term.detach() for name, term in {**terms.parts, **figures}.items()}
    return Step(told, terms.total.detach(), norm)


def _finite(views: Views, batch: Segments) -> list[bool]:
    """Of each clip, whether what the network makes of it are numbers."""
    found: list[bool] = (
        torch.stack([x.isfinite().flatten(1).all(dim=1) for x in views.together(batch)]).all(dim=0).tolist()
    )
    return found


@torch.no_grad()
def _held_out_loss(run: _Run) -> float | None:
    """Mean loss of clips that no step is taken on, masks drawn alike in every epoch; None where they are too few."""
    objective, size = run.learner.objective, run.options.batch_size
    batches = torch.split(run.held, size)
    kept = [rows for rows in batches if len(rows) == size or len(batches) == 1]
    if not len(run.held) or len(kept[0]) < max(objective.least_clips, LEAST_LEARNED):
        return None
    run.learner.eval()
    rng = torch.Generator().manual_seed(run.options.seed)
    losses = [float(objective.loss(run.views, run.pool.batch(rows), rng).total) for rows in kept]
    return sum(losses) / len(losses)


def _result(out: Path, run: _Run, resumed_from: int) -> PretrainResult:
    """What the log says of the whole run."""
    lines = [loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
    return PretrainResult(
        encoder=out / ENCODER,
        clips=len(run.learned),
        held_out=len(run.held),
        first=lines[0]["loss"],
        last=lines[-1]["loss"],
        held_out_loss=lines[-1]["held_out"],
        resumed_from=resumed_from,
    )
