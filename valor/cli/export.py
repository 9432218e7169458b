"""`valor export`."""

import argparse
from pathlib import Path

from valor.data.datasets.dataset import dataset_of

from .command import DONE, Commands, new_command
from .import_ import KINDS_HELP
from .options import Parser
from .terminal import say


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "export",
        "features    SOURCE/packed becomes feats/, CLIP/features, CLAP/features under OUT, a float32 .npy per clip.\n"
        "            res152 and clap were folded to ten rows a clip, which cannot be undone: --folded writes the ten\n"
        "            rows into res152_folded and features_folded.\n"
        "labels      a label folder becomes {CLIP,CLAP}/segment_pseudo_labels under OUT, int64.\n"
        "checkpoint  a run becomes the file OUT (.pt), a plain dict of tensors under the published names.",
        "valor export features data --out published --kinds vggish,r2plus1d\n"
        "valor export labels labels --out published\n"
        "valor export checkpoint runs/valor++ --out models/model_VALOR++/checkpoint_best.pt",
    )
    command.add_argument("what", choices=("features", "labels", "checkpoint"), help="what to export")
    command.add_argument("source", type=Path, metavar="SOURCE", help="data folder, label folder or run folder")
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder, or the .pt file")
    command.add_argument("--splits", metavar="LIST", help="splits of features, separated by commas (all)")
    command.add_argument("--kinds", metavar="LIST", help=f"feature kinds (all packed ones of {KINDS_HELP})")
    command.add_argument("--folded", action="store_true", help="also write folded kinds, under another folder name")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    foreign = [name for name in ("splits", "kinds", "folded") if getattr(cli, name)]
    if cli.what != "features" and foreign:
        raise ValueError(f"--{foreign[0]} has no meaning for `valor export {cli.what}`; leave it out")
    return {"features": _features, "labels": _labels, "checkpoint": _checkpoint}[cli.what](cli)


def _features(cli: argparse.Namespace) -> int:
    from valor.data.features.published_files import export_features, exportable

    kinds = (cli.kinds or KINDS_HELP).split(",")
    splits = cli.splits.split(",") if cli.splits else dataset_of(cli.source).splits
    for card in exportable(cli.source, splits, kinds, folded=cli.folded):
        folder = export_features(cli.source, card, cli.out, progress=not cli.quiet)
        exact = "bit for bit" if card.exact else f"values as packed, {card.dtype} of {card.source_shape[0]} rows"
        say(f"{card.kind} {card.split}: {len(card.clip_ids):,} files ({exact}); wrote {folder}")
    return DONE


def _labels(cli: argparse.Namespace) -> int:
    from valor.data.features.published_files import export_labels
    from valor.data.label_file import read_pseudo_labels
    from valor.data.provenance import of_labels, pass_mark

    provenance = of_labels(cli.source)
    if provenance.random_teachers:
        raise ValueError(
            f"{cli.source}: teachers with random weights made these labels, which other projects could not tell"
        )
    labels = read_pseudo_labels(cli.source)
    if provenance.simulated:
        pass_mark(cli.source, cli.out, {"labels": str(cli.source)})
    count = export_labels(labels, cli.out, progress=not cli.quiet)
    say(f"{count:,} files; wrote {cli.out}")
    return DONE


def _checkpoint(cli: argparse.Namespace) -> int:
    from valor.training.published_checkpoint import export_checkpoint

    say(f"{export_checkpoint(cli.source, cli.out)} tensors; wrote {cli.out}")
    return DONE
