"""The one training loop: features and labels to a run folder, selected on a validation score, resumable.

The order training clips are taken in, drawn as the published scripts draw it.

The running mean of a parser's weights over its training steps.

What changes in the course of a training: the parser, what goes with it, and the labels in use.
"""

import copy
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from valor.data.clips import ClipSet
from valor.eval.decide import PostProcessing, decide
from valor.eval.scores import Scores, score
from valor.label_harvest.store.disk import replaced
from valor.parsers.build import build_parser, options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import balance_weights
from valor.parsers.options import OWN, ParserOptions

from .checkpoint import (
    BEST,
    LAST,
    LOG,
    RECIPE,
    CheckpointCard,
    Progress,
    git_revision,
    read_resume_point,
    read_tensors,
    run_lock,
    write_checkpoint,
    write_resume_point,
)
from .denoise import find_noise, flip_labels
from .options import FitOptions, NotFiniteError, TrainingError, learning_rate
from .predict import predict_split
from .step import Extras, Step, build_optimiser, set_learning_rate, train_step


def batch_order_generator(parser: ParserOptions, seed: int) -> torch.Generator:
    """Return the generator the batch order is drawn from, in the state the published scripts leave theirs in.

    They seed torch, build the network, then shuffle: the order depends on how many numbers the initial weights took;
    where a part of the network was given as an object, on the seed alone. It is a generator of its own here, so dropout
    does not disturb the order on any device.
    """
    order = torch.Generator()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if not any(name.startswith(OWN) for name in (parser.encoder, parser.pooling)):
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


_STEPS = "steps"


class WeightAverage:
    """Exponential moving average of weights: after step n (from 1), mean = d * mean + (1 - d) * weights.

    d is the decay, or (1 + n) / (10 + n) while that is less, so that the initial weights are soon forgotten. The mean
    starts at them.

    Source:
        Polyak and Juditsky, SIAM J. Control Optim. 1992, for averaging; the exponential form and its ramp as in
        TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, parser: HybridParser, decay: float) -> None:
        """Start at the weights the parser has, on its device."""
        self.parser = copy.deepcopy(parser).eval().requires_grad_(False)
        """The parser with the mean weights."""
        self.decay = decay
        self.steps = 0

    def update(self, parser: HybridParser) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.parser.parameters()), list(parser.parameters()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """What `load` needs to go on: the mean weights by name, and the number of steps."""
        return {**self.parser.state_dict(), _STEPS: torch.tensor(self.steps)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        weights = dict(state)
        self.steps = int(weights.pop(_STEPS))
        self.parser.load_state_dict(weights)


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
    """What `valor.training.denoise.find_noise` found, once it has looked."""

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


@dataclass(frozen=True)
class FitResult:
    """Where training ended."""

    best_epoch: int
    val_type_av: float
    """Validation segment Type@AV of that epoch, in percent, whatever it was selected by."""
    checkpoint: Path
    """The selected weights."""
    resumed_from: int = 0
    """Epoch an earlier, stopped run had reached; 0 when this one did it all."""
    selected_by: str = "segment.type_av"
    """The validation figure the epoch was selected by."""
    val_score: float = 0.0
    """Its value at that epoch, in percent."""


def validate(parser: HybridParser, val: ClipSet, gate: str = "clip") -> Scores:
    """Score the parser on a set with truth, both thresholds 0.5.

    Args:
        parser: On any device.
        val: With truth.
        gate: What a class must pass besides its segments, see `valor.eval.decide`; by default the predicted clip label.

    Raises:
        ValueError: The set has no truth.
        NotFiniteError: The parser gives NaN; names the clips.
    """
    if val.truth is None:
        raise ValueError("the validation set has no truth to select the epoch by; read it from a split that has")
    predictions = predict_split(parser, val)
    predicted = decide(
        predictions.segment_probs,
        clip_probs=predictions.clip_probs,
        modality_probs=predictions.modality_probs,
        options=PostProcessing(gate=gate),
    )
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
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
) -> FitResult:
    """Train a parser, or go on with a run that was stopped.

    The run folder gets `best.safetensors` (the epoch in which the figure `options.select_by` is highest),
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
        on_epoch: Called with each line of the log once the epoch is safe on disk, for curves drawn elsewhere. Epochs
            an earlier, stopped run has done are in `log.jsonl`.

    Returns:
        The selected epoch, its score and where its weights are.

    Raises:
        ValueError: The sets do not fit the parser or one another, the folder holds another run or one whose files are
            not all there, or another training is writing into it.
        TrainingError: The loss is not finite, names epoch, step and clips; or the parser after an epoch is not.
    """
    _check_sets(train, val, options)
    run = new_state(parser, train, options)
    card = CheckpointCard(
        class_names=train.class_names,
        recipe=dict(recipe or {"parser": asdict(options_of(parser)), "fit": asdict(options)}),
        git_revision=git_revision(),
        selected_by=options.select_by,
    )
    out = Path(out)
    identity = _identity(parser, train, val, options)
    with run_lock(out):
        state = _start(run, out, card, identity)
        resumed_from, done = state.epoch, state.epoch * len(train)
        with tqdm(total=options.epochs * len(train), initial=done, unit="clip", disable=not progress) as bar:
            for epoch in range(state.epoch + 1, options.epochs + 1):
                denoise(run, epoch)
                record = _train_epoch(run, epoch, bar)
                scores = _validated(run, val, epoch)
                state, selected = _select(state, epoch, scores, options)
                if selected:
                    card = replace(card, epoch=epoch, val_type_av=state.best_type_av, val_score=state.best_score)
                    write_checkpoint(out / BEST, run.judged, card)
                record |= {
                    "val": scores.to_dict(),
                    "selected": selected,
                    "selected_by": options.select_by,
                    "val_score": _figure(scores, options.select_by),
                }
                _append(out / LOG, record)
                write_resume_point(
                    out / LAST, parser, run.optimiser, run.order, progress=state, identity=identity, extra=run.extra()
                )
                bar.set_postfix(
                    loss=f"{record['loss']['total']:.3f}",
                    val=f"{record['val_score']:.1f}",
                    best=f"{state.best_score:.1f}",
                )
                if on_epoch:
                    on_epoch(record)
    return FitResult(
        best_epoch=state.best_epoch,
        val_type_av=state.best_type_av or 0.0,
        checkpoint=out / BEST,
        resumed_from=resumed_from,
        selected_by=options.select_by,
        val_score=state.best_score or 0.0,
    )


def _figure(scores: Scores, name: str) -> float:
    """The figure an option such as `segment.type_av` names."""
    level, figure = name.split(".")
    return getattr(getattr(scores, level), figure)


def _select(state: Progress, epoch: int, scores: Scores, options: FitOptions) -> tuple[Progress, bool]:
    """Whether this epoch is the best so far, and the progress with it."""
    value, best = _figure(scores, options.select_by), state.best_score
    selected = best is None or value > best or (value == best and options.select_tie == "last")
    if selected:
        return Progress(epoch, epoch, value, scores.segment.type_av), True
    return replace(state, epoch=epoch), False


def _validated(run: FitState, val: ClipSet, epoch: int) -> Scores:
    """Score the parser after an epoch, whose last step no loss has looked at yet."""
    try:
        if not torch.stack([parameter.isfinite().all() for parameter in run.parser.parameters()]).all():
            raise NotFiniteError("weights are NaN or infinite")
        return validate(run.judged, val, run.options.gate)
    except NotFiniteError as error:
        raise TrainingError(
            f"epoch {epoch}, after its last step: {error}; lower fit.learning_rate or set fit.max_grad_norm, and train "
            "into another `out`"
        ) from error


def _train_epoch(run: FitState, epoch: int, bar: tqdm) -> dict[str, Any]:
    """One pass over the training clips; returns its line of the log."""
    train = run.train
    device = next(run.parser.parameters()).device
    rate = learning_rate(epoch, run.options)
    set_learning_rate(run.optimiser, rate)
    run.parser.train()
    sums, waited, start, taken = _Sums(), 0.0, time.perf_counter(), None
    for step, rows in enumerate(epoch_order(len(train), run.order).split(run.options.batch_size), start=1):
        asked = time.perf_counter()
        taken = train.batch(rows, into=taken)
        batch = taken.to(device)
        waited += time.perf_counter() - asked
        try:
            sums.add(train_step(run.parser, batch, run.optimiser, run.options, run.extras), len(rows))
        except TrainingError as error:
            raise TrainingError(
                f"epoch {epoch}, step {step}: {error}; look at these clips, or lower fit.learning_rate"
            ) from error
        if run.average is not None:
            run.average.update(run.parser)
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
    sums: dict[str, Tensor] = field(default_factory=dict)
    """float64 on the parser's device, so that adding does not wait for it."""

    def add(self, step: Step, clips: int) -> None:
        self.clips += clips
        parts = {**step.terms._asdict(), "total": step.total, "grad_norm": step.grad_norm}
        for name, value in parts.items():
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value.double() * clips

    def means(self) -> dict[str, Any]:
        means = {name: total.item() / self.clips for name, total in self.sums.items()}
        grad_norm = means.pop("grad_norm")
        return {"loss": means, "grad_norm": grad_norm}


def _start(run: FitState, out: Path, card: CheckpointCard, identity: Mapping[str, Any]) -> Progress:
    """Seed and describe a new run, or put a stopped one back where it was."""
    torch.manual_seed(run.options.seed)
    state = Progress()
    if (out / LAST).is_file():
        state, extra = read_resume_point(out / LAST, run.parser, run.optimiser, run.order, identity=identity)
        run.go_on(extra)
        _check_files(out, state)
    else:
        about = {"class_names": card.class_names, "git_revision": card.git_revision, **card.recipe.get("run", {})}
        description = {**card.recipe, "run": about}
        with replaced(out / RECIPE) as temporary:
            temporary.write_text(json.dumps(description, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _keep_lines(out / LOG, state.epoch)
    return state


def _check_files(out: Path, state: Progress) -> None:
    """Refuse to go on in a folder that lacks what the epochs that are done have written."""
    remedy = "restore it, or remove the run folder to start the run anew"
    log = out / LOG
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    done = [number for number, line in enumerate(lines, start=1) if _epoch_of(line) == number]
    if done[: state.epoch] != list(range(1, state.epoch + 1)):
        found = f"{len(lines)} lines, not all whole" if log.is_file() else "no such file"
        raise ValueError(f"{log}: expected the record of {state.epoch} epochs, got {found}; {remedy}")
    if state.best_epoch and not (out / BEST).is_file():
        raise ValueError(f"{out / BEST}: no such file, and epoch {state.best_epoch} was kept in it; {remedy}")
    if state.best_epoch:
        try:
            read_tensors(out / BEST)
        except ValueError as error:
            raise ValueError(f"{error}; {remedy}") from error


def _epoch_of(line: str) -> int | None:
    """The epoch a line of the log is about, None for a line that is cut off."""
    try:
        return json.loads(line)["epoch"]
    except (ValueError, KeyError, TypeError):
        return None


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
