"""`valor adapt`."""

import argparse
from pathlib import Path

from valor.adapted.card import AdaptOptions
from valor.data.datasets.dataset import dataset_of

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Fields, Parser, new_folder
from .terminal import brief, say

ADAPT = Fields(
    AdaptOptions,
    visual="--visual NAME",
    checkpoint="--teacher-checkpoint ROLE=PATH",
    alone="--alone",
    epochs="--epochs N",
    batch_size="--batch-size N",
    rate="--learning-rate X",
    seed="--seed N",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "adapt",
        "Trains LAVISH's adapters in a frozen visual tower on the training clips of DATA, with the loss of a parser.\n"
        "Through them what the tower sees knows what is heard; sound goes through the tower too, as pictures of its\n"
        "spectrum. `valor harvest` with --features lavish=RUN then keeps lavish.audio and lavish.visual\n"
        "(docs/systems.md). Of clips of any length the first ten seconds are taken. Without a GPU only the demo's\n"
        "tower is trained in reasonable time. A stopped run goes on where it stopped.",
        "valor adapt demo/data --videos demo/data/videos --visual demo-visual --out runs/adapters",
    )
    command.add_argument("data", type=Path, metavar="DATA", help="data folder")
    command.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of its clips")
    command.add_argument("--out", type=new_folder, required=True, metavar="RUN", help="folder of the adapters")
    command.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="pseudo labels of the training clips (none: tags alone)",
    )
    ADAPT.add(command)
    command.also(checkpoints="--teacher-checkpoint")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if cli.checkpoint is not None:
        cli.checkpoint = cli.checkpoint.removeprefix("visual=")  # as a harvest names it
    options = ADAPT.read(cli)
    if not cli.data.is_dir():
        raise FileNotFoundError(f"{cli.data}: no such folder; give the one of the data set")
    if cli.out.exists() and not cli.out.is_dir():
        raise ValueError(f"--out {cli.out} is a file; a run is a folder")
    from valor.training.adapt import adapt

    result = adapt(
        dataset_of(cli.data), cli.data, cli.videos, cli.out, options, labels=cli.labels, progress=not cli.quiet
    )
    for problem in result.problems:
        say(brief(f"left out: {problem}"))
    if not result.is_new:
        say(f"{cli.out} is trained already")
    share = 100 * result.adapter_weights / result.tower_weights
    say(
        f"{result.clips:,} clips, loss {result.losses[0]:.3f} at first and {result.losses[-1]:.3f} at last; "
        f"{result.adapter_weights:,} weights in adapters, {share:.1f} % of the tower; wrote {cli.out}"
    )
    return FAILURES_LISTED if result.problems else DONE
