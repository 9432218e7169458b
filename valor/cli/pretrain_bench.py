"""`valor pretrain bench`."""

import argparse
from pathlib import Path

from valor.experiments.pretraining.options import ARMS, PretrainBenchOptions
from valor.parsers.pretraining.registry import OBJECTIVES
from valor.training.recipes import find_recipe, for_classes

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Fields, Option, Parser, any_place, new_folder
from .terminal import say

BENCH = Fields(
    PretrainBenchOptions,
    unlabelled=Option("--unlabelled STORE", {"action": "append", "type": any_place}),
    labels="--labels DIR",
    arms="--arms NAME,...",
    shares=Option("--shares S", {"nargs": "+", "type": float}),
    seeds="--seeds N",
    steps="--steps N",
    whole_steps="--whole-steps N",
    rounds="--rounds N",
    pretrain_epochs="--pretrain-epochs N",
    choose="--choose",
    bound="--bound OUT",
    jobs="--workers N",
    changes=Option("--set a.b=c", {"action": "append"}),
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    listed = "\n".join(f"  {name:<14} {what}" for name, what in ARMS.items())
    command = new_command(
        commands,
        "pretrain-bench",
        "Typed `valor pretrain bench` as well. Trains a recipe on few tags and on all of them, with and without clips\n"
        "that have no tags, over seeds and with as many steps each, and compares them on the test split: mean ± sd,\n"
        "the difference from the tagged clips alone and its 95 % intervals over clips and over seeds. The table goes\n"
        "to stdout and, with a figure, to OUT/pretraining.{txt,md,csv,tex,json,png,pdf}. Below it, `valor probe` of\n"
        "every pre-training over the seeds, and every parser with one stream missing. DIR may be a demo's data/.\n\n"
        f"Arms:\n{listed}\n"
        f"and objectives of `valor pretrain`, whose stem and encoder the tagged clips alone begin with:\n"
        f"  {', '.join(OBJECTIVES)}\n"
        "An arm may have options of its own: xdc:variant=single, teachers:temperature=0.5, self-training:soft=true.\n\n"
        "Runs that are done are found done, so a second call goes on where the first was stopped.",
        "valor pretrain-bench --data demo/data --out pretraining --workers 2\n"
        "valor pretrain-bench --data demo/data --arms teachers --shares 0.1 1 --seeds 3\n"
        "valor pretrain-bench --data demo/data --arms both --shares 0.05 --bound pretraining --out fewer\n"
        "valor pretrain-bench --data demo/data --arms xdc:variant=single,xdc:variant=concat,xdc --shares 0.1",
    )
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations, features and a store")
    command.add_argument(
        "--recipe", default="demo", metavar="RECIPE", help="what every arm changes something of (demo)"
    )
    command.add_argument(
        "--out", type=new_folder, default=Path("pretraining"), metavar="DIR", help="runs and table (pretraining)"
    )
    BENCH.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.datasets.dataset import dataset_of
    from valor.experiments.pretraining.run import run_pretrain_bench
    from valor.experiments.pretraining.table import to_text, write_pretrain_bench

    options = BENCH.read(cli, progress=not cli.quiet)
    names = dataset_of(cli.data).names_in(cli.data)
    recipe = for_classes(find_recipe(cli.recipe), cli.recipe, len(names))
    found = run_pretrain_bench(recipe, cli.data, cli.out, options)
    say(f"{to_text(found)}\n")
    say(f"wrote {', '.join(str(path) for path in write_pretrain_bench(cli.out, found))}")
    return FAILURES_LISTED if found.failed else DONE
