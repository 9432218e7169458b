"""Several data sets trained beside one another through one encoder, each with a classifier of its own.

    order of steps    one random permutation of n_k copies of k, from the seed: n_k steps of set k, all its epochs
    step of k         a batch of set k, its own losses; its own parts and the encoder move, other sets' parts stay

Each set goes through its clips in epochs of its own, with the step size of that epoch, and is validated after each on
its own val; its best epoch is an ordinary checkpoint that parses alone, in a run folder of its own. A set has a pooling
of its own, and a stem where its features are of other widths than the first set's; with the same it has the same stem.
One optimiser holds the moments of everything. With one set this is `valor.training.train.fit` to the bit.

Source: PolyViT, Likhosherstov, Arnab et al., TMLR 2023, in the form of its code (scenic), weighted task sampling. There
an encoder of images, videos and sounds is shared, and a tokenizer by the sets of one kind of input; here the encoder is
that of parsers, and stems are in the place of tokenizers. With stems of their own sixty clips learned nothing of three
thousand with features as theirs: 0.23 right answers in the hard world of `benchmarks.cotrain`, and 0.49 with one stem.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from valor.data.clips import Batch, ClipSet
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.progress import progress_bar
from valor.parsers.build import options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.options import ParserOptions

from .batches import epoch_batches
from .checkpoint import CheckpointCard, Progress, Turns, git_revision, read_resume_point, write_resume_point
from .methods.methods import NO_METHODS
from .options import FitOptions, TrainingError, learning_rate
from .run_folder import BEST, LAST, LOG, RECIPE, run_lock
from .step import build_optimiser, set_learning_rate, train_step
from .train import (
    FitResult,
    FitState,
    RunFolder,
    Sums,
    check_files,
    check_lengths,
    check_sets,
    files_beside,
    identity_of,
    judge_epoch,
    keep_log,
    new_state,
    write_description,
)

_STEM_OPTIONS = (
    *("audio_width", "visual_width", "motion_width", "stem", "fusion_layers", "visual_frames", "audio_map"),
    *("stem_layers", "frame_pooling"),
)
"""Options of a parser that are those of its stem."""
_OWN_OPTIONS = (
    *_STEM_OPTIONS,
    *("num_classes", "pooling", "head_layers", "label_width", "visual_dropout", "head", "audio_words", "visual_words"),
)
"""Options of a parser that each set has by itself; all others are of its encoder."""
_SHARED_FIT = ("optimiser", "beta1", "beta2", "weight_decay")
"""Options of a training that are those of the one optimiser."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedSet:
    """One of the sets that are trained beside one another."""

    name: str
    """For messages and the resume point."""
    parser: HybridParser
    """With its initial weights, on the device; its encoder, and a stem of the same form, give way to those of the first
    set."""
    train: ClipSet
    val: ClipSet
    options: FitOptions
    out: Path
    """Its run folder."""
    recipe: Mapping[str, Any]
    """Of its `recipe.json`."""


def order_of_steps(counts: Sequence[int], seed: int) -> Tensor:
    """Which set takes each step: one random permutation of counts[k] copies of k, int64 [sum of counts].

    >>> order_of_steps([3, 2], seed=0).bincount().tolist()
    [3, 2]
    """
    copies = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return copies[torch.randperm(len(copies), generator=torch.Generator().manual_seed(seed))]


def refuse_unlike_encoders(parsers: Mapping[str, ParserOptions]) -> None:
    """Refuse sets that cannot share an encoder.

    Args:
        parsers: By the name of the set; the first has the encoder.

    Raises:
        ValueError: An option of the encoder differs, or there is none to share; names the sets.
    """
    if strange := [name for name, options in parsers.items() if options.network != "hybrid"]:
        raise ValueError(f"{strange[0]}: only parser.network=hybrid has an encoder that other sets can share")
    (first, held), *others = parsers.items()
    for name, options in others:
        for option in (entry.name for entry in fields(ParserOptions) if entry.name not in _OWN_OPTIONS):
            one, other = getattr(held, option), getattr(options, option)
            if one != other:
                raise ValueError(
                    f"{first} and {name} cannot share an encoder: parser.{option} is {one} of {first} and {other} of "
                    f"{name}; give both the same"
                )


@dataclass
class _Turn:
    """A set that is under way."""

    of: TrainedSet
    run: FitState
    folder: RunFolder
    state: Progress = field(default_factory=Progress)
    steps: int = 0
    """Of an epoch."""
    began: Tensor | None = None
    """The generator of the order as the epoch found it."""
    batches: Sequence[Tensor] = ()
    """Of the epoch."""
    taken: int = 0
    """Of them."""
    sums: Sums = field(default_factory=Sums)
    seconds: float = 0.0
    waited: float = 0.0
    batch: Batch | None = None
    """The last one, whose memory is used again."""

    @property
    def rate(self) -> float:
        """The step size of the epoch."""
        return learning_rate(self.state.epoch + 1, self.run.options)

    def begin(self) -> None:
        """Draw the steps of the next epoch."""
        run = self.run
        self.began = run.order.get_state()
        self.batches = epoch_batches(len(run.train), run.train.segments, run.options, run.order)
        self.taken, self.sums, self.seconds, self.waited = 0, Sums(), 0.0, 0.0
        run.parser.train()

    def step(self) -> int:
        """Take the next step; returns how many clips it had."""
        run, rows, start = self.run, self.batches[self.taken], time.perf_counter()
        set_learning_rate(run.optimiser, self.rate)
        run.parser.train()
        self.batch = run.train.batch(rows, into=self.batch)
        batch = self.batch.to(next(run.parser.parameters()).device)
        self.waited += time.perf_counter() - start
        self.taken += 1
        try:
            self.sums.add(train_step(run.parser, batch, run.optimiser, run.options), len(rows))
        except TrainingError as error:
            raise TrainingError(
                f"{self.of.name}, epoch {self.state.epoch + 1}, step {self.taken}: {error}; look at these clips, or "
                "lower fit.learning_rate"
            ) from error
        self.seconds += time.perf_counter() - start
        return len(rows)

    def judge(self) -> dict[str, Any]:
        """Validate after the last step of an epoch; its line of the log."""
        record = {
            "epoch": self.state.epoch + 1,
            "learning_rate": self.rate,
            "steps": len(self.batches),
            **self.sums.means(),
            "clips_per_second": round(self.run.options.clips_of_epoch(len(self.run.train)) / self.seconds, 1),
            "waiting_share": round(self.waited / self.seconds, 4),
            "seconds": round(self.seconds, 3),
        }
        self.state, record = judge_epoch(self.run, self.of.val, self.state, self.folder, record)
        self.state = replace(self.state, files=files_beside(self.folder.path, self.state.epoch))
        return record


def cotrain(sets: Sequence[TrainedSet], *, progress: bool = True) -> dict[str, FitResult]:
    """Train sets beside one another, or go on with what was stopped.

    The first set's folder gets `last.safetensors`, which all of them go on from; killed and started again with the same
    arguments they end with the same bytes, on the CPU and with the same number of threads.

    Args:
        sets: The first has the encoder, and the seed of dropout and of the order of steps.
        progress: Whether to show a progress bar on stderr.

    Returns:
        By name, the selected epoch of each, its score and where its weights are.

    Raises:
        ValueError: Sets cannot share an encoder, or the first folder holds another training; or as of `fit`.
        TrainingError: As of `fit`, with the name of the set.
    """
    refuse_unlike_encoders({one.name: options_of(one.parser) for one in sets})
    turns = _turns(sets)
    first = turns[0]
    seed = first.run.options.seed
    order = order_of_steps([turn.steps * turn.run.options.epochs for turn in turns], seed)
    shared = _Shared([turn.run.parser for turn in turns])
    resume = sets[0].out / LAST
    with run_lock(first.folder.path):
        torch.manual_seed(seed)
        done = _resumed(resume, turns, shared)
        resumed = [turn.state.epoch for turn in turns]
        clips = [turn.run.options.clips_of_epoch(len(turn.run.train)) for turn in turns]
        total = sum(each * turn.run.options.epochs for each, turn in zip(clips, turns, strict=True))
        with progress_bar(total=total, desc="train", unit="clip", enabled=progress) as bar:
            bar.update(sum(each * turn.state.epoch for each, turn in zip(clips, turns, strict=True)))
            for place in range(done, len(order)):
                turn = turns[int(order[place])]
                if turn.taken == len(turn.batches):
                    turn.begin()
                bar.update(turn.step())
                if turn.taken == len(turn.batches):
                    turn.judge()
                    _write_resume_point(resume, turns, shared, place + 1)
    return {
        turn.of.name: FitResult(
            best_epoch=turn.state.best_epoch,
            val_type_av=turn.state.best_type_av or 0.0,
            checkpoint=turn.folder.path / BEST,
            resumed_from=before,
            selected_by=turn.run.options.select_by,
            val_score=turn.state.best_score or 0.0,
        )
        for turn, before in zip(turns, resumed, strict=True)
    }


class _Shared(nn.Module):
    """All weights, each once: what the optimiser holds and the resume point keeps."""

    def __init__(self, parsers: Sequence[HybridParser]) -> None:
        super().__init__()
        self.first = parsers[0]
        self.others = nn.ModuleList()
        for one in parsers[1:]:
            parts = {"stem": one.stem, "classifier": one.classifier, "pooling": one.pooling}
            self.others.append(nn.ModuleDict({name: of for name, of in parts.items() if of is not self.first.stem}))


def _turns(sets: Sequence[TrainedSet]) -> list[_Turn]:
    """The sets before their first step, with one encoder and one optimiser."""
    identities = []
    for one in sets:
        check_sets(one.train, one.val, one.options, NO_METHODS)
        check_lengths(one.parser, one.train, one.val)
        identities.append(identity_of(one.parser, one.train, one.val, one.options, NO_METHODS))
    for one in sets[1:]:
        for option in _SHARED_FIT:
            if getattr(one.options, option) != getattr(sets[0].options, option):
                raise ValueError(f"{sets[0].name} and {one.name} share one optimiser: fit.{option} must be the same")
        one.parser.encoder = sets[0].parser.encoder
        if _have_one_stem(one.parser, sets[0].parser):
            one.parser.stem = sets[0].parser.stem
    optimiser = build_optimiser(_Shared([one.parser for one in sets]), sets[0].options)
    identity = {
        f"{key} of {one.name}": held for one, own in zip(sets, identities, strict=True) for key, held in own.items()
    }
    turns = []
    for one in sets:
        run = new_state(one.parser, one.train, one.options)
        run.optimiser = optimiser
        card = CheckpointCard(
            class_names=one.train.class_names,
            recipe=dict(one.recipe),
            git_revision=git_revision(),
            selected_by=one.options.select_by,
        )
        turn = _Turn(one, run, RunFolder(one.out, card, identity))
        turn.steps = len(_steps(run))
        turns.append(turn)
    return turns


def _have_one_stem(parser: HybridParser, first: HybridParser) -> bool:
    """Whether two parsers take features of the same widths in the same way."""
    one, other = options_of(parser), options_of(first)
    return all(getattr(one, name) == getattr(other, name) for name in _STEM_OPTIONS)


def _steps(run: FitState) -> Sequence[Tensor]:
    """Steps of an epoch, of which there are as many in each."""
    order = torch.Generator()
    order.set_state(run.order.get_state())
    return epoch_batches(len(run.train), run.train.segments, run.options, order)


def _resumed(resume: Path, turns: Sequence[_Turn], shared: _Shared) -> int:
    """Steps that are done; folders of a new training are described, those of a stopped one looked at."""
    first, done = turns[0], 0
    if resume.is_file():
        identity, order = first.folder.identity, first.run.order
        reached, extra = read_resume_point(resume, shared, first.run.optimiser, order, identity=identity, of=Turns)
        done = reached.done
        for number, (turn, state) in enumerate(zip(turns, reached.sets, strict=True)):
            turn.state = Progress(**state)
            check_files(turn.folder.path, turn.state)
            _go_on(
                turn, {key.removeprefix(f"{number}."): of for key, of in extra.items() if key.startswith(f"{number}.")}
            )
    for turn in turns:
        turn.folder.path.mkdir(parents=True, exist_ok=True)
        if not done:
            write_description(turn.folder)
        keep_log(turn.folder.path / LOG, turn.state.epoch)
        card = replace(turn.folder.card, recipe_sha256=file_sha256(turn.folder.path / RECIPE))
        turn.folder = replace(turn.folder, card=card)
    return done


def _go_on(turn: _Turn, extra: Mapping[str, Tensor]) -> None:
    """Put a set back where it was in its epoch."""
    turn.run.order.set_state(extra["order"])
    taken = int(extra["taken"])
    if not taken:
        return
    turn.begin()
    turn.taken, turn.sums.clips = taken, int(extra["clips"])
    device = next(turn.run.parser.parameters()).device
    turn.sums.sums = {
        key.removeprefix("sum."): value.to(device) for key, value in extra.items() if key.startswith("sum.")
    }


def _write_resume_point(resume: Path, turns: Sequence[_Turn], shared: _Shared, done: int) -> None:
    extra: dict[str, Tensor] = {}
    for number, turn in enumerate(turns):
        within = turn.taken < len(turn.batches)
        order = turn.began if within and turn.began is not None else turn.run.order.get_state()
        held = {
            "order": order,
            "taken": torch.tensor(turn.taken if within else 0),
            "clips": torch.tensor(turn.sums.clips),
        }
        held |= {f"sum.{name}": total for name, total in turn.sums.sums.items()} if within else {}
        extra |= {f"{number}.{name}": tensor for name, tensor in held.items()}
    write_resume_point(
        resume,
        shared,
        turns[0].run.optimiser,
        turns[0].run.order,
        progress=Turns(done, [asdict(turn.state) for turn in turns]),
        identity=turns[0].folder.identity,
        extra=extra,
    )
