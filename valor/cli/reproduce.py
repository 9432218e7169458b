"""`valor reproduce`."""

import argparse
import time
from pathlib import Path

from valor.data.datasets.dataset import DATASETS, UNAV, dataset_of
from valor.data.features.fetch_options import FetchOptions
from valor.experiments.options import HARVESTED_ROWS, ROWS, SimulationOptions, dataset_of_row
from valor.training.options import TrainOptions
from valor.training.recipe import shortening
from valor.training.recipes import find_recipe, for_classes, override

from .command import DONE, Commands, add_shared, changes_of, new_command
from .options import Fields, Option, Parser, new_folder
from .terminal import say

TRAIN = Fields(TrainOptions, seeds=Option("--seeds N", {"default": 5}))
SIMULATION = Fields(SimulationOptions, clips="--clips N")


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "reproduce",
        "Looks for annotations, features and labels in DIR, as files of the published layout or packed by\n"
        "`valor import`; trains with the published seed and the seeds after it; scores the selected epochs on test,\n"
        "on the truth of 2020 where that table is there, as the papers did; prints the figures of the published seed\n"
        "and the mean over seeds beside the published ones, with differences. OUT gets the runs and\n"
        "reproduction.{txt,md,csv,tex,json}. Run it again to go on where it stopped. What is missing is listed per\n"
        "split, with what gets it. --list says of the rows of LLP what each claims, sees, rests on and costs; below\n"
        "each run stands the same by gates and cuts tuned on validation. The rows ave-... are of AVE, on features and\n"
        "labels harvested of its media: below the epoch chosen on validation stands the one chosen on test, as in\n"
        "some public codes (docs/datasets.md).\n"
        "The rows unav-... are of UnAV-100, beside what the true tags alone and the truth on segments score.\n\n"
        "--simulated runs the whole row on noise of the published shapes and sizes with a class signal, made in\n"
        "OUT. It shows that the line runs and how long it takes; its figures mean nothing: the result,\n"
        "its files and rows, and the score files say SIMULATED.",
        "valor reproduce valor++ --data data --download\n"
        "valor reproduce jomold --data data --simulated --clips 60 --seeds 2 --epochs 4",
    )
    command.add_argument("row", choices=ROWS, help="the published row")
    command.add_argument("--list", action=_ListRows, nargs=0, help="the rows of LLP with what each needs, and end")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations, features and labels")
    command.add_argument(
        "--out", type=new_folder, metavar="DIR", help="runs and result (runs/ROW, or runs/SIMULATED-ROW)"
    )
    TRAIN.add(command, "seeds")
    command.add_argument("--download", action="store_true", help="fetch what can be fetched of what is missing")
    command.add_argument(
        "--simulated",
        action="store_true",
        help="on features of the same shapes that mean nothing, of all clips or of --clips",
    )
    SIMULATION.add(command)
    command.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="train so many, warm-ups and parts of the training in proportion, to try a row; --set goes before",
    )
    add_shared(command, "changes", "seed")
    return command


class _ListRows(argparse.Action):
    """Prints the rows and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from valor.experiments.llp_rows import list_rows

        say(list_rows())
        parser.exit()


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if cli.simulated and cli.download or cli.clips is not None and not cli.simulated:
        raise ValueError("--simulated needs no --download, and --clips is for --simulated alone; leave one out")
    of = dataset_of_row(cli.row)
    if cli.row in HARVESTED_ROWS and cli.download:
        raise ValueError(
            f"nothing of {of.title} can be fetched, and {cli.row} trains on a harvest of its media: leave "
            "--download out"
        )
    recipe = find_recipe(cli.row)
    if of.reader is not UNAV.reader and cli.simulated:
        from valor.training.missing import without_store

        recipe = without_store(recipe)
    elif cli.row in HARVESTED_ROWS and not cli.simulated:
        recipe = for_classes(recipe, cli.row, len(dataset_of(cli.data).names))
    changes = changes_of(cli)
    if cli.epochs is not None:
        set_already = {change.partition("=")[0].strip() for change in changes}
        shorter = shortening(recipe, cli.epochs)
        changes = [change for change in shorter if change.partition("=")[0] not in set_already] + changes
    recipe = override(recipe, changes)
    options = TRAIN.read(cli, device=cli.device, progress=not cli.quiet)
    from valor.data.features.download import asked_offline
    from valor.data.provenance import Provenance
    from valor.experiments.reproduce import fetch_parts, prepare, reproduce, write_reproduction
    from valor.scoring.layout import to_text

    data, out = cli.data, cli.out or Path("runs") / Provenance(simulated=cli.simulated).marked(cli.row, "-")
    if cli.simulated:
        from valor.experiments.simulated import simulate, simulated_vectors
        from valor.training.missing import needed_kinds, unfolded_kinds

        finer = dataset_of(cli.data)
        if of is UNAV and finer.reader is of.reader and finer.name in DATASETS:
            of = finer  # on shorter segments
        kinds = needed_kinds(recipe.features)
        unfolded = unfolded_kinds(recipe.features)
        simulation = SIMULATION.read(cli)
        data = simulate(cli.data, kinds, simulation, out, dataset=of, unfolded=unfolded, progress=not cli.quiet)
        recipe = simulated_vectors(recipe, data)
    elif cli.download:
        fetch_parts(data, recipe, FetchOptions(offline=asked_offline(), progress=not cli.quiet))
    try:
        prepare(data, recipe, progress=not cli.quiet)
    except FileNotFoundError as error:
        hint = "--simulated runs the row on features of the same shapes that mean nothing"
        fetch = "" if cli.row in HARVESTED_ROWS else "--download fetches what can be fetched; "
        raise FileNotFoundError(f"{error}\n{fetch}{hint}") from error
    began = time.monotonic()
    found = reproduce(cli.row, recipe, data, out, options, changes=changes)
    say(f"{found.title}\n\n{to_text(found.table)}\n")
    say(f"{options.seeds} training{'s' * (options.seeds > 1)} and scores in {time.monotonic() - began:,.0f} s")
    say(f"wrote {', '.join(str(path) for path in write_reproduction(out, found))}")
    return DONE
