"""The one training loop: features and labels to a run folder, selected on a validation score, resumable.

What a training changes in its course, the order it takes its clips in, and the run folder it writes. What methods
change of it is behind their hooks (`valor.training.methods.method`).
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from valor.data.clips import ClipSet
from valor.eval.decide import PostProcessing, decide
from valor.eval.metrics import Judged, figures_of
from valor.eval.scores import FIGURES, LEVELS, Scores, TenScores, score
from valor.label_harvest.disk import file_sha256, replaced, write_json
from valor.label_harvest.progress import Bar, progress_bar
from valor.label_harvest.strict_json import loads
from valor.parsers.blocks import refuse_longer
from valor.parsers.build import build_parser, options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.options import OWN, ParserOptions

from .batches import epoch_batches
from .checkpoint import (
    CheckpointCard,
    Progress,
    git_revision,
    read_resume_point,
    read_tensors,
    refuse_other_recipe,
    write_checkpoint,
    write_resume_point,
)
from .methods.methods import NO_METHODS, Methods
from .options import MEAN, OWN_FIGURE, FitOptions, NotFiniteError, TrainingError, learning_rate
from .predict import predict_split
from .run_folder import BEST, LAST, LOG, RECIPE, run_lock
from .step import Step, build_optimiser, set_learning_rate, train_step

ALSO_TEST = "also_on_test"
"""Key of the log for the scores of the test split after an epoch."""

VALOR_RULE = PostProcessing()
"""Both thresholds 0.5, the gate the predicted clip label."""


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


@dataclass
class FitState:
    """What an epoch changes, and what it takes its batches from."""

    parser: HybridParser
    optimiser: torch.optim.Optimizer
    order: torch.Generator
    options: FitOptions
    methods: Methods
    given: ClipSet
    """The training set with the labels it came with."""
    train: ClipSet
    """The training set in use: other labels or other clips, where a method says so."""
    initial: Mapping[str, Tensor] = field(default_factory=dict)
    """The weights a part of the training may begin with again, where a method has parts."""

    @property
    def judged(self) -> HybridParser:
        """The parser that is validated."""
        return self.methods.judged(self.parser)

    def before_epoch(self, epoch: int) -> None:
        """Let the methods look at the training."""
        if self.methods.before_epoch(self, epoch):
            self.renew_clips()

    def renew_clips(self) -> None:
        """Take the clips and labels the methods want."""
        self.train = self.methods.clips(self.given)
        self.methods.use_labels(self.train)

    def restart(self) -> None:
        """Give the parser its initial weights back, and the optimiser its beginnings."""
        self.parser.load_state_dict(self.initial)
        self.optimiser.state.clear()

    def left_by(self, folder: str) -> Mapping[str, Tensor]:
        """What methods left in the resume point of another run, by `NAME.KEY`; nothing where there is none."""
        path = Path(folder) / LAST
        held = read_tensors(path)[0] if path.is_file() else {}
        return {name.removeprefix("extra."): tensor for name, tensor in held.items() if name.startswith("extra.")}

    def resume_with(self, extra: Mapping[str, Tensor]) -> None:
        """Take back what the methods had when a run was stopped."""
        self.methods.load(extra)
        self.renew_clips()


def new_state(parser: HybridParser, train: ClipSet, options: FitOptions, methods: Methods = NO_METHODS) -> FitState:
    """The state of a run before its first epoch."""
    optimiser, order = build_optimiser(parser, options), batch_order_generator(options_of(parser), options.seed)
    initial = {name: tensor.clone() for name, tensor in parser.state_dict().items()} if methods.has_parts else {}
    run = FitState(parser, optimiser, order, options, methods, train, train, initial)
    methods.start(run)
    run.renew_clips()
    return run


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


def validate(parser: HybridParser, val: ClipSet, rule: PostProcessing = VALOR_RULE) -> Scores:
    """Score the parser on a set with truth.

    Args:
        parser: On any device.
        val: With truth.
        rule: How its probabilities become events.

    Raises:
        ValueError: The set has no truth.
        NotFiniteError: The parser gives NaN; names the clips.
    """
    if val.truth is None:
        raise ValueError("the validation set has no truth to select the epoch by; read it with `annotations`")
    predictions = predict_split(parser, val)
    assert predictions.segment_probs is not None  # of a parser
    predicted = decide(
        predictions.segment_probs,
        clip_probs=predictions.clip_probs,
        modality_probs=predictions.modality_probs,
        options=rule,
    )
    truth, valid = val.truth.cpu().numpy(), predictions.valid
    if valid is not None:
        valid = valid | truth.any(axis=(2, 3))  # what has no feature is scored all the same
    judged = Judged(
        predicted=predicted,
        truth=truth,
        weak_labels=val.weak_labels.cpu().numpy(),
        valid=valid,
        segment_probs=predictions.segment_probs,
        clip_probs=predictions.clip_probs,
        modality_probs=predictions.modality_probs,
        segment_seconds=val.segment_seconds,
        events=val.events,
        clip_seconds=val.clip_seconds,
        detections=predictions.detections,
        modality_tags=None if val.modality_tags is None else val.modality_tags.cpu().numpy(),
        subsets=val.subsets,
    )
    return replace(score(predicted, truth, valid=valid), figures=figures_of(judged, val.metrics))


def fit(  # noqa: PLR0913, what a training is
    parser: HybridParser,
    train: ClipSet,
    val: ClipSet,
    options: FitOptions,
    out: Path | str,
    *,
    methods: Methods | None = None,
    recipe: Mapping[str, Any] | None = None,
    progress: bool = True,
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
    test: ClipSet | None = None,
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
        methods: What changes the training beyond VALOR, made anew for this run; None for nothing. A method that changes
            the network has done so to the parser.
        recipe: Description of the run as JSON values, stored in `recipe.json` and in the checkpoint.
        progress: Whether to show a progress bar on stderr.
        on_epoch: Called with each line of the log once the epoch is safe on disk, for curves drawn elsewhere. Epochs
            an earlier, stopped run has done are in `log.jsonl`.
        test: With truth: scored after every epoch, for the log alone; None for no such set.

    Returns:
        The selected epoch, its score and where its weights are.

    Raises:
        ValueError: The sets do not fit the parser or one another, the folder holds another run or one whose files are
            not all there, or another training is writing into it.
        TrainingError: The loss is not finite, names epoch, step and clips; or the parser after an epoch is not.
    """
    methods = Methods() if methods is None else methods
    val = replace(val, metrics={**val.metrics, **methods.metrics()})
    test = None if test is None else replace(test, metrics={**test.metrics, **methods.metrics()})
    check_sets(train, val, options, methods)
    check_lengths(parser, train, val)
    identity = identity_of(parser, train, val, options, methods)
    run = new_state(parser, train, options, methods)
    described = {"parser": asdict(options_of(parser)), "fit": asdict(options), "methods": methods.to_json()}
    card = CheckpointCard(
        class_names=train.class_names,
        recipe=dict(recipe or described),
        network=methods.networks(),
        git_revision=git_revision(),
        selected_by=options.select_by,
    )
    folder = RunFolder(Path(out), card, identity)
    with run_lock(folder.path):
        state = _start(run, folder)
        recipe_sha256 = file_sha256(folder.path / RECIPE) if (folder.path / RECIPE).is_file() else None
        folder = replace(folder, card=replace(folder.card, recipe_sha256=recipe_sha256))
        resumed_from, clips = state.epoch, options.clips_of_epoch(len(train))
        with progress_bar(
            total=options.epochs * clips, initial=resumed_from * clips, desc="train", unit="clip", enabled=progress
        ) as bar:
            while state.epoch < options.epochs:
                state, record = _next_epoch(run, val, state, folder, bar, test)
                if on_epoch:
                    on_epoch(record)
    return FitResult(
        best_epoch=state.best_epoch,
        val_type_av=state.best_type_av or 0.0,
        checkpoint=folder.path / BEST,
        resumed_from=resumed_from,
        selected_by=methods.select_by(options.select_by, options.epochs),
        val_score=state.best_score or 0.0,
    )


@dataclass(frozen=True)
class RunFolder:
    """A run folder, and what its files say of the run."""

    path: Path
    card: CheckpointCard
    identity: Mapping[str, Any]


def _start(run: FitState, folder: RunFolder) -> Progress:
    """Seed and describe a new run, or put a stopped one back where it was."""
    torch.manual_seed(run.options.seed)
    state, out = Progress(), folder.path
    if (out / LAST).is_file():
        state, extra = read_resume_point(out / LAST, run.parser, run.optimiser, run.order, identity=folder.identity)
        run.resume_with(extra)
        if not state.files and state.epoch < run.options.epochs:
            raise ValueError(
                f"{out / LAST}: of a version that wrote no checksums; nothing tells whether it is as it was written: "
                "finish the run with that version, or remove it to start the run anew"
            )
        check_files(out, state)
    else:
        write_description(folder)
    keep_log(out / LOG, state.epoch)
    return state


def write_description(folder: RunFolder) -> None:
    """Write the `recipe.json` of a new run."""
    card = folder.card
    about = {"class_names": card.class_names, "git_revision": card.git_revision, **card.recipe.get("run", {})}
    write_json(folder.path / RECIPE, {**card.recipe, "run": about}, indent=2)


def keep_log(log: Path, epochs: int) -> None:
    """Keep of a log the epochs up to the resume point; those after it will be run again."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.is_file() else []
    with replaced(log) as temporary:
        temporary.write_text("".join(lines[:epochs]), encoding="utf-8")


def _next_epoch(
    run: FitState, val: ClipSet, state: Progress, folder: RunFolder, bar: Bar, test: ClipSet | None
) -> tuple[Progress, dict[str, Any]]:
    """Train, validate, select and write the next epoch; returns the progress with it and its line of the log."""
    epoch, methods = state.epoch + 1, run.methods
    if methods.part(epoch, run.options.epochs).start == epoch and not methods.keeps_parts():
        state = replace(state, best_epoch=0, best_score=None, best_type_av=None)
    run.before_epoch(epoch)
    state, record = judge_epoch(run, val, state, folder, _train_epoch(run, epoch, bar), test)
    state = replace(state, files=files_beside(folder.path, epoch))
    write_resume_point(
        folder.path / LAST,
        run.parser,
        run.optimiser,
        run.order,
        progress=state,
        identity=folder.identity,
        extra=methods.state(),
    )
    from .log import figure_title  # draws, and so waits for pandas

    figures = {f"val {figure_title(run.options.select_by)}": record["val_score"], "best": state.best_score}
    shown = {name: f"{value:.1f}" for name, value in figures.items()}
    bar.set_postfix({"loss": f"{record['loss']['total']:.3f}", **shown})
    return state, record


def judge_epoch(
    run: FitState, val: ClipSet, state: Progress, folder: RunFolder, record: dict[str, Any], test: ClipSet | None = None
) -> tuple[Progress, dict[str, Any]]:
    """Validate after the steps of an epoch, keep it where it is the best so far, and write its line of the log.

    Args:
        run: The training.
        val: With truth.
        state: How far it had come before the epoch.
        folder: Where it is written to.
        record: What the steps of the epoch gave for its line of the log.
        test: Scored for the log alone.

    Returns:
        The progress with the epoch, and its line.
    """
    epoch, methods = state.epoch + 1, run.methods
    selected_by = methods.select_by(run.options.select_by, epoch)
    scores = _validated(run, val, epoch)
    state, selected = _select(state, epoch, scores, run)
    if selected:
        card = replace(folder.card, epoch=epoch, val_type_av=state.best_type_av, val_score=state.best_score)
        card = replace(card, selected_by=selected_by)
        write_checkpoint(folder.path / BEST, methods.kept(run.judged), card)
    record |= {
        "val": scores.to_dict(),
        "selected": selected,
        "selected_by": selected_by,
        "val_score": figure_of(scores, selected_by),
    }
    if test is not None:
        record[ALSO_TEST] = _validated(run, test, epoch).to_dict()
    append_log(folder.path / LOG, record)
    return state, record


def figure_of(scores: TenScores, name: str) -> float:
    """The figure an option such as `segment.type_av` or `figures.accuracy` names."""
    if name.startswith(OWN_FIGURE):
        own = scores.figures[name.removeprefix(OWN_FIGURE)]
        if own is None:
            raise ValueError(f"select_by={name}: the metric is not defined on the validation clips; select by another")
        return own
    if name == MEAN:
        return fmean(getattr(getattr(scores, level), figure) for level in LEVELS for figure in FIGURES)
    level, figure = name.split(".")
    return float(getattr(getattr(scores, level), figure))


def _select(state: Progress, epoch: int, scores: Scores, run: FitState) -> tuple[Progress, bool]:
    """Whether this epoch is kept, as a rule the best so far, and the progress with it."""
    value, best = figure_of(scores, run.methods.select_by(run.options.select_by, epoch)), state.best_score
    selected = best is None or value > best or (value == best and run.options.select_tie == "last")
    selected = run.methods.selected(scores, selected)
    if selected:
        return Progress(epoch, epoch, value, scores.segment.type_av), True
    return replace(state, epoch=epoch), False


def _validated(run: FitState, val: ClipSet, epoch: int) -> Scores:
    """Score the parser after an epoch, whose last step no loss has looked at yet."""
    try:
        if not torch.stack([parameter.isfinite().all() for parameter in run.parser.parameters()]).all():
            raise NotFiniteError("weights are NaN or infinite")
        return validate(run.judged, val, run.methods.decision(VALOR_RULE))
    except NotFiniteError as error:
        raise TrainingError(
            f"epoch {epoch}, after its last step: {error}; lower fit.learning_rate or set fit.max_grad_norm, and train "
            "into another `out`"
        ) from error


def _train_epoch(run: FitState, epoch: int, bar: Bar) -> dict[str, Any]:
    """An epoch of steps over the training clips; returns its line of the log."""
    train, methods = run.train, run.methods
    device = next(run.parser.parameters()).device
    part = methods.part(epoch, run.options.epochs)
    scheduled = learning_rate(epoch - part.start + 1, replace(run.options, epochs=len(part)))
    rate = methods.learning_rate(scheduled, epoch)
    set_learning_rate(run.optimiser, rate)
    run.parser.train()
    sums, waited, start, taken = Sums(), 0.0, time.perf_counter(), None
    batches = epoch_batches(len(train), train.segments, run.options, run.order)
    for step, rows in enumerate(batches, start=1):
        asked = time.perf_counter()
        taken = train.batch(rows, into=taken)
        batch = taken.to(device)
        waited += time.perf_counter() - asked
        try:
            batch = methods.batch(batch)
            sums.add(train_step(run.parser, batch, run.optimiser, run.options, methods), len(rows))
        except TrainingError as error:
            raise TrainingError(
                f"epoch {epoch}, step {step}: {error}; look at these clips, or lower fit.learning_rate"
            ) from error
        methods.after_step(run.parser)
        bar.update(len(rows))
    seconds = time.perf_counter() - start
    return {
        "epoch": epoch,
        "learning_rate": rate,
        "steps": len(batches),
        **sums.means(),
        "clips_per_second": round(run.options.clips_of_epoch(len(train)) / seconds, 1),
        "waiting_share": round(waited / seconds, 4),
        "seconds": round(seconds, 3),
    }


@dataclass
class Sums:
    """Running means over the clips of an epoch."""

    clips: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    """float64 on the parser's device, so that adding does not wait for it."""

    def add(self, step: Step, clips: int) -> None:
        """Count in a step of some clips."""
        self.clips += clips
        for name, value in {**step.terms, "total": step.total, "grad_norm": step.grad_norm}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.double() * clips

    def means(self) -> dict[str, Any]:
        """Losses and the gradient norm, for a line of the log."""
        means = {name: total.item() / self.clips for name, total in self.sums.items()}
        grad_norm = means.pop("grad_norm")
        return {"loss": means, "grad_norm": grad_norm}


def check_files(out: Path, state: Progress) -> None:
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
            header = read_tensors(out / BEST)[1]
        except ValueError as error:
            raise ValueError(f"{error}; {remedy}") from error
        # One of a later epoch was written by a run that was killed before its resume point; that epoch is run again.
        kept = state.files.get(BEST)
        if kept and file_sha256(out / BEST) != kept and header.get("epoch") != state.epoch + 1:
            raise ValueError(f"{out / BEST}: not the weights that epoch {state.best_epoch} of this run left; {remedy}")
    refuse_other_recipe(out, state.files.get(RECIPE))
    if LOG in state.files and files_beside(out, state.epoch)[LOG] != state.files[LOG]:
        raise ValueError(f"{log}: the record of {state.epoch} epochs is not as it was written; {remedy}")


def files_beside(out: Path, epochs: int) -> dict[str, str]:
    """sha256 of what lies beside a resume point after some epochs; of the log, without the times in it."""
    found = {name: file_sha256(out / name) for name in (RECIPE, BEST) if (out / name).is_file()}
    digest = hashlib.sha256()
    for line in (out / LOG).read_text(encoding="utf-8").split("\n")[:epochs]:  # splitlines ends at other marks too
        told = {key: value for key, value in loads(line).items() if key not in _CLOCKED}
        digest.update(json.dumps(told).encode("utf-8"))
    return found | {LOG: digest.hexdigest()}


_CLOCKED = ("clips_per_second", "waiting_share", "seconds")
"""What is another in each run over the same epochs."""


def _epoch_of(line: str) -> int | None:
    """The epoch a line of the log is about, None for a line that is cut off."""
    try:
        return int(loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return None


def append_log(path: Path, record: Mapping[str, Any]) -> None:
    """Add the line of an epoch to a log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def identity_of(
    parser: HybridParser, train: ClipSet, val: ClipSet, options: FitOptions, methods: Methods
) -> dict[str, Any]:
    """What must be the same for a stopped run to go on; the keys are what the error message calls it."""
    identity = {
        "parser options": asdict(options_of(parser)),
        "initial weights": digest_of_weights(parser),
        "fit options": asdict(options),
        "methods": methods.identity(),
        "training clips": train.fingerprint(),
        "validation clips": val.fingerprint(),
    }
    return dict(json.loads(json.dumps(identity)))  # as the resume point will hold it


def digest_of_weights(model: nn.Module) -> str:
    """sha256 over all parameters and buffers."""
    weights = hashlib.sha256()
    for tensor in model.state_dict().values():
        weights.update(tensor.cpu().contiguous().numpy().data)
    return weights.hexdigest()


def check_lengths(parser: HybridParser, *sets: ClipSet) -> None:
    """Refuse clips of more segments than the parser learns positions for, with a ValueError."""
    if (most := options_of(parser).most_segments) is not None:
        refuse_longer(max(clips.audio.shape[1] for clips in sets), most)


def check_sets(train: ClipSet, val: ClipSet, options: FitOptions, methods: Methods) -> None:
    """Refuse sets nothing can be learned from or chosen on, with a ValueError."""
    if options.pseudo_label_weight and train.pseudo_labels is None and not methods.bring_labels:
        raise ValueError(
            "training needs pseudo labels, got a training set without; make them (valor labels) and pass them, or "
            "train on clip tags alone with fit.pseudo_label_weight=0"
        )
    own = options.select_by.removeprefix(OWN_FIGURE)
    if options.select_by.startswith(OWN_FIGURE) and own not in val.metrics:
        known = ", ".join(val.metrics) or "none"
        raise ValueError(f"select_by must name a metric of the data set ({known}), got {own!r}")
    if train.class_names != val.class_names:
        raise ValueError(f"both sets need the same classes, got {len(train.class_names)} and {len(val.class_names)}")
    if val.truth is None:
        raise ValueError("the validation set has no truth to select the epoch by; read it with `annotations`")
