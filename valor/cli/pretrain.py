"""`valor pretrain`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from valor.parsers.pretraining.registry import ALIASES, OBJECTIVES
from valor.parsers.raw.registry import RAW_OBJECTIVES
from valor.pretraining.options import PretrainOptions
from valor.training.recipes import find_recipe

from .command import DONE, FAILURES_LISTED, Commands, add_shared, new_command
from .options import Fields, Parser, any_place, new_folder
from .terminal import brief, say

if TYPE_CHECKING:
    from valor.pretraining.loop import PretrainResult

PRETRAIN = Fields(
    PretrainOptions,
    epochs="--epochs N",
    batch_size="--batch-size N",
    learning_rate="--learning-rate X",
    min_learning_rate="--min-learning-rate X",
    warmup_epochs="--warmup-epochs N",
    weight_decay="--weight-decay X",
    max_grad_norm="--max-grad-norm X",
    held_out="--held-out S",
    seed="--seed N",
    transductive="--transductive",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "pretrain",
        "Stem and encoder of a recipe's parser learn from the clips of evidence stores, whose tags are not looked at;\n"
        "`valor train RECIPE --from RUN` begins with them, `valor probe RUN` says what they are worth. The run folder\n"
        "gets encoder.safetensors, recipe.json and log.jsonl; run it again to go on. Clips of the annotated splits of\n"
        "--data stay out. On frozen features none of these has been found to beat fresh weights clearly; what\n"
        "unlabelled clips are worth otherwise, and what each objective is for, stands in docs/pretraining.md.\n\n"
        f"Objectives: {', '.join(OBJECTIVES)}{''.join(f'; {name} is {of}' for name, of in ALIASES.items())}.\n\n"
        "With --raw two small towers learn from the pictures and the sound of media themselves, a second at a time;\n"
        "`valor harvest --features raw=RUN` then keeps what they say as raw.audio and raw.visual. Objectives of raw\n"
        f"media: {', '.join(RAW_OBJECTIVES)}.",
        "valor pretrain mavil --store data/store --data data --recipe demo --out pre --set parser.time_codes=0.5\n"
        "valor pretrain avc --raw films --out towers --epochs 8 --learning-rate 1e-3",
    )
    command.add_argument("objective", metavar="OBJECTIVE", help="one of those above")
    command.add_argument(
        "--store",
        dest="stores",
        action="append",
        type=any_place,
        metavar="STORE",
        help="evidence store of the clips (repeatable)",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="data folder whose annotated clips stay out (none)")
    command.add_argument("--recipe", metavar="RECIPE", help="as for `valor train`: features and parser")
    command.add_argument(
        "--raw",
        dest="media",
        nargs="+",
        metavar="VIDEO",
        help="media to learn from in place of stores: files, folders, quoted patterns",
    )
    command.add_argument(
        "--pool", type=Path, metavar="DIR", help="where decoded media are kept, for several runs (RUN/pool)"
    )
    command.add_argument("--out", type=new_folder, required=True, metavar="RUN", help="run folder")
    add_shared(command, "changes")
    PRETRAIN.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    of_stores = ("stores", "recipe", "data", "transductive")
    idle = [cli.flags[name] for name in of_stores if getattr(cli, name)] if cli.media else []
    if idle:
        raise ValueError(f"{', '.join(idle)}: not for --raw, whose media have no teachers and no splits; leave it")
    if cli.pool and not cli.media:
        raise ValueError("--pool is for --raw alone; leave it out")
    if not cli.media and not (cli.stores and cli.recipe):
        raise ValueError("give the clips: --store STORE and --recipe RECIPE, or --raw VIDEO")
    options = PRETRAIN.read(cli, device=cli.device, progress=not cli.quiet)
    if cli.out.exists() and not cli.out.is_dir():
        raise ValueError(f"--out {cli.out} is a file; a run is a folder")
    if cli.media:
        return _run_raw(cli, options)
    recipe = find_recipe(cli.recipe)
    from valor.pretraining.run import pretrain_run

    result = pretrain_run(cli.objective, cli.stores, recipe, cli.out, options, changes=cli.changes, data=cli.data)
    _say(cli, options, result)
    return DONE


def _run_raw(cli: argparse.Namespace, options: PretrainOptions) -> int:
    """The same on raw media."""
    from valor.pretraining.raw import pretrain_raw
    from valor.video.paths import find_inputs

    media = find_inputs(cli.media)
    wrong = [f"{one.path}: {one.problem}" for one in media if one.problem]
    usable = [one.path for one in media if not one.problem]
    if not usable:
        raise ValueError(f"nothing to learn from: {'; '.join(wrong)}")
    done = pretrain_raw(cli.objective, usable, cli.out, options, changes=cli.changes, pool=cli.pool)
    problems = [*wrong, *done.pool.problems]
    for problem in problems:
        say(brief(f"left out: {problem}"))
    _say(cli, options, done.result)
    return FAILURES_LISTED if problems else DONE


def _say(cli: argparse.Namespace, options: PretrainOptions, result: "PretrainResult") -> None:
    """What came of it."""
    is_new = result.resumed_from < options.epochs
    if not is_new:
        say(f"{cli.out} is trained already")
    held = "" if result.held_out_loss is None else f", {result.held_out_loss:.3f} on {result.held_out:,} held out"
    say(
        f"{result.clips:,} clips, loss {result.first['total']:.3f} at first and {result.last['total']:.3f} at last"
        f"{held}; {'wrote' if is_new else 'see'} {result.encoder}"
    )
