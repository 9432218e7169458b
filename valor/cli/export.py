"""`valor export`."""

import argparse
import sys
from pathlib import Path

from valor.data.datasets.dataset import dataset_of
from valor.video.formats.formats import FORMATS, LABEL_STUDIO
from valor.video.formats.timeline import CLOCKS

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
        "checkpoint  a run becomes the file OUT (.pt), a plain dict of tensors under the published names.\n"
        "events      of parses, predictions, labels, annotations, or corrections of the viewer become files for other\n"
        "            tools, one for each option below: a FILE, or a DIR for tools that take one medium a file\n"
        "            (docs/exchange.md). Times count from the start of the media unless --clock says otherwise.",
        "valor export events parses.corrections --elan elan --label-studio tasks.json --media-url http://localhost:8080/\n"
        "valor export features data --out published --kinds vggish,r2plus1d\n"
        "valor export labels labels --out published\n"
        "valor export checkpoint runs/valor++ --out models/model_VALOR++/checkpoint_best.pt",
    )
    command.add_argument("what", choices=("features", "labels", "checkpoint", "events"), help="what to export")
    command.add_argument(
        "source", type=Path, metavar="SOURCE", help="folder of data, labels, a run, or what holds events"
    )
    command.add_argument("--out", type=Path, metavar="OUT", help="folder, or the .pt file (events name their own)")
    command.add_argument("--splits", metavar="LIST", help="splits of features, separated by commas (all)")
    command.add_argument("--kinds", metavar="LIST", help=f"feature kinds (all packed ones of {KINDS_HELP})")
    command.add_argument("--folded", action="store_true", help="also write folded kinds, under another folder name")
    for name, kept in FORMATS.items():
        command.add_argument(f"--{name}", type=Path, metavar="FILE" if kept.many else "DIR", help=kept.what)
    command.add_argument("--media-url", metavar="PREFIX", help="what addresses of media begin with, for Label Studio")
    command.add_argument("--videos", type=Path, metavar="DIR", help="media of clips that are no parses")
    command.add_argument("--data", type=Path, metavar="DIR", help="annotation tables whose clips these are")
    command.add_argument(
        "--split", metavar="SPLIT", help="clips of this split of the tables alone (all of SOURCE; of tables: test)"
    )
    command.add_argument(
        "--clock",
        choices=CLOCKS,
        help="what counts as second 0: zero, the start of what plays, or container, what the file itself calls so; a "
        "recording of television (.ts) may begin at 18 (zero)",
    )
    return command


_EVENTS = tuple(name.replace("-", "_") for name in FORMATS)
_OPTIONS = {
    "features": ("out", "splits", "kinds", "folded"),
    "labels": ("out",),
    "checkpoint": ("out",),
    "events": (*_EVENTS, "media_url", "videos", "data", "split", "clock"),
}
"""Options by what they are for."""


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    known = dict.fromkeys(name for names in _OPTIONS.values() for name in names)
    foreign = [name for name in known if name not in _OPTIONS[cli.what] and getattr(cli, name)]
    if foreign:
        typed = foreign[0].replace("_", "-")
        raise ValueError(f"--{typed} has no meaning for `valor export {cli.what}`; leave it out")
    if cli.out is None and cli.what != "events":
        raise ValueError(f"`valor export {cli.what}` needs --out OUT, where to write")
    return {"features": _features, "labels": _labels, "checkpoint": _checkpoint, "events": _events}[cli.what](cli)


def _events(cli: argparse.Namespace) -> int:
    from valor.exchange.sources import events_files, open_source, timelines_of
    from valor.video.formats.written import write_text
    from valor.viewer.options import SourceOptions

    asked = {name: path for name in FORMATS if (path := getattr(cli, name.replace("-", "_"))) is not None}
    if not asked:
        raise ValueError(f"name a file to write, by one of --{', --'.join(FORMATS)}")
    if cli.media_url is not None and LABEL_STUDIO not in asked:
        raise ValueError(f"--media-url is for --{LABEL_STUDIO}, which was not asked for; leave it out")
    opened = open_source(cli.source, SourceOptions(data=cli.data, split=cli.split, videos=cli.videos))
    _check_split(cli, has_tables=opened.data is not None)
    for note in (*opened.document.notes, *opened.document.about):
        say(f"note: {note}", file=sys.stderr)
    made = {}
    for name, path in asked.items():  # all of it before any is written, so that what is refused leaves nothing
        lines = timelines_of(opened, clock="container" if FORMATS[name].from_start else cli.clock or "zero")
        made[name] = lines, events_files(lines, path, name, media_url=cli.media_url)
    for name, (lines, files) in made.items():
        for file, text in files.items():
            write_text(file, text)
        total = sum(len(line.events) for line in lines)
        count = sum(event.modality in FORMATS[name].modalities for line in lines for event in line.events)
        rest = f" (it holds {FORMATS[name].what}; {total - count:,} others are left out)" if count < total else ""
        wrote = asked[name] if len(files) > 1 else next(iter(files))
        say(f"{count:,} events of {len(lines):,} media; wrote {wrote}{rest}")
    if LABEL_STUDIO in asked and cli.media_url is None:
        say("note: tasks name media by their paths here, which Label Studio does not serve; give --media-url PREFIX")
    return DONE


def _check_split(cli: argparse.Namespace, *, has_tables: bool) -> None:
    """Refuse a split where nothing says whose it is."""
    from valor.exchange.filed import split_of_folder

    if cli.split is None or has_tables:
        return
    own = split_of_folder(cli.source)
    if own is not None and own.split != cli.split:
        raise ValueError(
            f"--split selects clips of annotation tables, and {cli.source} are corrections of {own.split}, got "
            f"{cli.split}; add --data DIR, or leave it out"
        )
    if own is None:
        raise ValueError(
            "--split selects clips of annotation tables, and nothing says which; add --data DIR, or leave it out"
        )


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
