"""`valor predict`."""

import argparse
from pathlib import Path

from .command import DONE, Commands, new_command


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add its help and options."""
    command = new_command(
        commands,
        "predict",
        "a run on a split",
        "Writes probabilities for every second, modality and class, and for every clip and class.",
        "valor predict runs/valor++ --data data --split test --out predictions.npz",
    )
    command.add_argument("run", type=Path, metavar="RUN", help="run folder of `valor train`")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations and features")
    command.add_argument("--split", default="test", choices=("val", "test"), help="split to predict (test)")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="predictions (.npz)")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.predictions import write_predictions
    from valor.training.run import predict_run

    predictions = predict_run(cli.run, cli.data, cli.split)
    write_predictions(cli.out, predictions)
    print(f"{len(predictions.clip_ids)} clips; wrote {cli.out}")
    return DONE
