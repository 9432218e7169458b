"""`valor pretrain`."""

import argparse
from pathlib import Path

from valor.parsers.pretraining.registry import ALIASES, OBJECTIVES
from valor.pretraining.options import PretrainOptions
from valor.training.recipes import find_recipe

from .command import DONE, Commands, add_shared, new_command
from .options import Fields, Parser, any_place
from .terminal import say

PRETRAIN = Fields(
    PretrainOptions,
    epochs="--epochs N",
    batch_size="--batch-size N",
    learning_rate="--rate X",
    min_learning_rate="--least-rate X",
    warmup_epochs="--warmup-epochs N",
    weight_decay="--weight-decay X",
    max_grad_norm="--max-grad-norm X",
    held_out="--held-out S",
    seed="--seed N",
    device="--device NAME",
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
        f"Objectives: {', '.join(OBJECTIVES)}{''.join(f'; {name} is {of}' for name, of in ALIASES.items())}.",
        "valor pretrain mavil --store data/store --data data --recipe demo --out pre --set parser.time_codes=0.5",
    )
    command.add_argument("objective", metavar="OBJECTIVE", help="one of those above")
    command.add_argument(
        "--store",
        dest="stores",
        action="append",
        required=True,
        type=any_place,
        metavar="STORE",
        help="evidence store of the clips (repeatable)",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="data folder whose annotated clips stay out (none)")
    command.add_argument("--recipe", required=True, metavar="RECIPE", help="as for `valor train`: features and parser")
    command.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
    add_shared(command, "changes")
    PRETRAIN.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    recipe = find_recipe(cli.recipe)
    options = PRETRAIN.read(cli, progress=not cli.quiet)
    if cli.out.exists() and not cli.out.is_dir():
        raise ValueError(f"--out {cli.out} is a file; a run is a folder")
    from valor.pretraining.run import pretrain_run

    result = pretrain_run(cli.objective, cli.stores, recipe, cli.out, options, changes=cli.changes, data=cli.data)
    if result.resumed_from == options.epochs:
        say(f"{cli.out} is trained already")
    held = "" if result.held_out_loss is None else f", {result.held_out_loss:.3f} on {result.held_out:,} held out"
    say(
        f"{result.clips:,} clips, loss {result.first['total']:.3f} at first and {result.last['total']:.3f} at last"
        f"{held}; wrote {result.encoder}"
    )
    return DONE
