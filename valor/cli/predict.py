"""`valor predict`."""

import argparse
from pathlib import Path

from valor.data.datasets.dataset import dataset_of
from valor.data.vocabulary import read_vocabulary

from .command import DONE, Commands, new_command
from .options import Parser, any_place
from .terminal import say


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "predict",
        "Writes probabilities for every second, modality and class, and for every clip and class (.npz). Under\n"
        "another name it writes the events they mark, at thresholds of 0.5 and with the gate of the run:\n"
        "  NAME.json         each event with its mean probability; of a network that names events in seconds these,\n"
        "                    as published codes of UnAV-100 write them\n"
        "  FOLDER            audio.tsv and visual.tsv (`filename onset offset event_label`), clips.txt\n"
        "  NAME.audio.tsv    the same side by side: NAME.audio.tsv, NAME.visual.tsv, NAME.clips.txt\n"
        "All of them are what `valor evaluate` reads; only .npz can be decided anew by other thresholds.",
        "valor predict runs/valor++ --data data --split test --out predictions.npz\n"
        "valor predict runs/valor++ --data data --split test --out events/",
    )
    command.add_argument("run", type=Path, metavar="RUN", help="run folder of `valor train`")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations and features")
    command.add_argument(
        "--store",
        type=any_place,
        metavar="STORE",
        help="evidence store of the features (`store/` among the data, or that of the training)",
    )
    command.add_argument(
        "--classes",
        metavar="NAME|FILE|NAMES",
        help="what to look for, of a run with parser.head=words: llp, a JSON file, or names with commas between "
        "(the classes of the run, and those its training left out)",
    )
    command.add_argument("--split", metavar="NAME", help="split to predict (test, or what the data set scores)")
    command.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="predictions (.npz, .json, .audio.tsv or a folder)"
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.prediction_files import writable_format, write_any_predictions

    writable_format(cli.out)  # before the work, not after it
    from valor.training.run import predict_run

    dataset = dataset_of(cli.data)
    split = cli.split or dataset.split_for("test")
    classes = None if cli.classes is None else read_vocabulary(cli.classes)
    predictions = predict_run(cli.run, cli.data, split, store=cli.store, dataset=dataset, classes=classes)
    write_any_predictions(cli.out, predictions, segment_seconds=dataset.seconds)
    say(f"{len(predictions.clip_ids)} clips; wrote {cli.out}")
    return DONE
