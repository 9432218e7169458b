"""`valor import`."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from valor.data.datasets.dataset import dataset_of
from valor.data.features.feature_options import FEATURE_KINDS, PACKED, PRECISIONS
from valor.data.journal import other_media_note
from valor.data.names import join_names, split_names
from valor.data.vocabulary import class_names, read_vocabulary
from valor.parsers.options import NORM_ORDERS, ParserOptions
from valor.video.formats.formats import FORMATS
from valor.video.formats.timeline import CLOCKS

from .command import DONE, Commands, add_shared, new_command
from .options import Parser, new_folder
from .terminal import say

if TYPE_CHECKING:
    from valor.data.journal import Events
    from valor.data.tables import Split
    from valor.exchange.taken_in import Imported, ImportOptions

_SHOWN = 5

SECONDS = 10
"""Of a clip of whose length nothing is said, LLP's."""
KINDS_HELP = ",".join(FEATURE_KINDS)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "import",
        "features    feats/{vggish,res152,r2plus1d_18}, CLIP/features and CLAP/features under SOURCE are checked file\n"
        "            by file and packed into OUT/packed, ten rows a clip; train and predict then read that in place\n"
        "            of the files, so import again after changing them.\n"
        "labels      {CLIP,CLAP}/segment_pseudo_labels under SOURCE become OUT/pseudo_labels.npz.\n"
        "checkpoint  a published checkpoint_best.pt, or HAN's MMIL_Net.pt, becomes the run folder OUT; only its\n"
        "            weights are read.\n"
        "events      files saved by ELAN, Audacity, Label Studio, FiftyOne, or in WebVTT, SRT, RTTM, DCASE, CSV or\n"
        "            LLP's tables become a folder of corrections: annotations, labels, and what `valor view` goes on\n"
        "            from (docs/exchange.md). Clips that nobody edited since the export keep their corrections\n"
        "            (--replace), or stand as exported, not checked (--checked); edited ones count as checked.\n"
        "            CLIP=FILE says which clip a renamed file is of. --undo brings back what was replaced; SOURCE is\n"
        "            the folder of corrections then.\n\n"
        "What is missing is shown per split, and refused unless --allow-missing; damaged files always are.",
        "valor import features data --precision float32\n"
        "valor import labels data --out labels\n"
        "valor import checkpoint models/model_VALOR++/checkpoint_best.pt --out runs/published-valor++\n"
        "valor import events elan/*.eaf --exported-from parses\n"
        "valor import events parses.corrections --undo yard,street --exported-from parses",
    )
    command.add_argument("what", choices=("features", "labels", "checkpoint", "events"), help="what to import")
    command.add_argument(
        "source", type=Path, nargs="+", metavar="SOURCE", help="data folder, checkpoint, files of events (CLIP=FILE)"
    )
    command.add_argument(
        "--out",
        type=new_folder,
        metavar="DIR",
        help="where to (SOURCE; a checkpoint needs it said; of events EXPORTED.corrections)",
    )
    command.add_argument("--annotations", type=Path, metavar="DIR", help="annotation tables (SOURCE)")
    command.add_argument("--splits", metavar="LIST", help="splits, separated by commas (all)")
    command.add_argument("--kinds", metavar="LIST", help=f"feature kinds (those there of {KINDS_HELP})")
    command.add_argument("--precision", choices=PRECISIONS, help=f"of packed features ({PACKED})")
    command.add_argument("--allow-missing", action="store_true", help="go on without clips that have no file")
    command.add_argument("--allow-untagged", action="store_true", help="accept labels outside the clip's tags")
    usual = ParserOptions
    command.add_argument(
        "--norm-order", choices=NORM_ORDERS, help=f"of the checkpoint, which cannot tell ({usual.norm_order})"
    )
    command.add_argument(
        "--heads", type=int, metavar="N", help=f"attention heads of the checkpoint ({usual.num_heads}; 1 of HAN)"
    )
    command.add_argument(
        "--exported-from",
        type=Path,
        metavar="SOURCE",
        help="parses, predictions, annotations or corrections the events are of: it knows clips, lengths, classes",
    )
    command.add_argument("--format", choices=FORMATS, help="of files of events (what their names say)")
    command.add_argument(
        "--clock",
        choices=CLOCKS,
        help="what counts as second 0 in the file of events: zero, the start of what plays, or container, what the "
        "media file itself calls so; a recording of television (.ts) may begin at 18 (zero)",
    )
    command.add_argument(
        "--clip-seconds", dest="seconds", type=int, metavar="N", help=f"of a clip, without --exported-from ({SECONDS})"
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="annotation tables whose clips the events are of")
    command.add_argument(
        "--split", metavar="SPLIT", help="split of these tables, whose clips alone count (the one all are of)"
    )
    command.add_argument("--videos", type=Path, metavar="DIR", help="media of clips that are no parses")
    command.add_argument("--replace", action="store_true", help="take clips that nobody edited too, over corrections")
    command.add_argument("--checked", action="store_true", help="call clips that nobody edited checked too")
    command.add_argument("--undo", metavar="ID,...", help="bring back the state of these clips before the latest one")
    add_shared(command, "classes")
    command.also(class_names="--classes", exported_from="--exported-from")
    return command


_OPTIONS = {
    "features": ("annotations", "splits", "kinds", "precision", "allow_missing"),
    "labels": ("annotations", "splits", "allow_missing", "allow_untagged"),
    "checkpoint": ("norm_order", "heads"),
    "events": ("exported_from", "format", "clock", "seconds", "data", "split", "videos", "replace", "checked", "undo"),
}
"""Options by what they are for."""


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    known = {name for names in _OPTIONS.values() for name in names}
    foreign = [name for name in sorted(known - set(_OPTIONS[cli.what])) if getattr(cli, name)]
    if foreign:
        typed = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise ValueError(f"{typed} has no meaning for `valor import {cli.what}`; leave it out")
    if cli.what == "events":
        return _events(cli)
    if len(cli.source) > 1:
        raise ValueError(f"`valor import {cli.what}` takes one SOURCE, got {len(cli.source)}")
    (cli.source,) = cli.source
    return {"features": _features, "labels": _labels, "checkpoint": _checkpoint}[cli.what](cli)


def _events(cli: argparse.Namespace) -> int:
    from valor.exchange.taken_in import ImportOptions, import_events

    given = {name: held for name in _OPTIONS["events"] if name != "undo" and (held := getattr(cli, name)) is not None}
    if cli.classes:
        given["class_names"] = class_names(read_vocabulary(cli.classes))
    options = ImportOptions(**given)
    if cli.undo:
        return _undo(cli, options)
    found = import_events([str(one) for one in cli.source], cli.out, options)
    count = sum(len(one.events or ()) for one in found.corrections)
    say(
        f"{count:,} events of {len(found.corrections):,} clips, {found.changed:,} of them changed; "
        f"wrote {found.folder}, as split {found.split}"
    )
    if found.doubt:
        say(f"note: {found.doubt}, so they stand as {found.split}; --split NAME says another, --data DIR looks it up")
    if found.passed:
        labels = [f"{label!r:.100} ({count})" for label, count in found.passed.items()]
        more = ", ..." if len(labels) > _SHOWN else ""
        say(f"note: passed over, since it says neither audible nor visible: {', '.join(labels[:_SHOWN])}{more}")
    _say_of_corrections(cli, found)
    if found.missing:
        more = ", ..." if len(found.missing) > 5 else ""
        say(
            f"note: {len(found.missing):,} clips of {cli.exported_from} stay as they were, since no file names them: "
            f"{', '.join(found.missing[:5])}{more}"
        )
    return DONE


def _say_of_corrections(cli: argparse.Namespace, found: "Imported") -> None:
    """What became of corrections that stood."""
    if found.unedited:
        say(f"note: {_clips(found.unedited)} not marked as checked, since nobody edited their files (--checked)")
    if found.stayed:
        say(
            f"note: {_clips(found.stayed)} keep their corrections, since nobody edited their files after the export; "
            "--replace takes what the files say"
        )
    if found.outdated:
        say(
            f"note: of {_clips(found.outdated)} nothing is taken in: nobody edited their files after the export, which "
            f"was of another parse than the one {cli.exported_from} has now; export it again and edit that, or "
            "--checked takes the files as they are",
            file=sys.stderr,
        )
    if found.overruled:
        say(
            f"note: corrections of {_clips(found.overruled)} were of another file than there is now and count for "
            "nothing; what was taken in stands in their place",
            file=sys.stderr,
        )
    if note := other_media_note(found.other_media):
        say(f"note: {note}", file=sys.stderr)
    if found.replaced:
        say(
            f"warning: corrections of {_clips(found.replaced)} are replaced"
            f"{_listed('gone', found.lost)}{_listed('as exported again', found.back)}; to have them back: "
            f"{_undoing(cli, found.folder, found.replaced)}",
            file=sys.stderr,
        )


def _listed(what: str, events: "Mapping[str, Events]") -> str:
    """The first events of clips, by name and time."""
    said = {"audio": "audible", "visual": "visible"}
    told = [
        f"{one.class_name.replace('_', ' ')} {said[one.modality]} {one.onset:g} to {one.offset:g} s"
        + (f" ({clip_id})" if len(events) > 1 else "")
        for clip_id, of in events.items()
        for one in of
    ]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return f", {what}: {', '.join(told[:_SHOWN])}{more}" if told else ""


def _clips(clip_ids: Sequence[str]) -> str:
    """So many clips, the first of them by name."""
    more = ", ..." if len(clip_ids) > _SHOWN else ""
    return f"{len(clip_ids):,} clips ({', '.join(clip_ids[:_SHOWN])}{more})"


def _undoing(cli: argparse.Namespace, folder: Path, clip_ids: Sequence[str]) -> str:
    """The command that takes an import back."""
    words = ["valor", "import", "events", str(folder), "--undo", join_names(clip_ids)]
    for option, value in (
        ("--exported-from", cli.exported_from),
        ("--data", cli.data),
        ("--split", cli.split),
        ("--classes", cli.classes),
    ):
        words += [option, str(value)] if value is not None else []
    return shlex.join(words)


def _undo(cli: argparse.Namespace, options: "ImportOptions") -> int:
    from valor.exchange.taken_in import take_back

    if len(cli.source) > 1:
        raise ValueError(f"--undo takes one SOURCE, the folder of corrections, got {len(cli.source)}")
    back = take_back(cli.source[0], split_names(cli.undo), options)
    say(f"{_clips([one.clip_id for one in back])} as they were before the latest state; wrote {cli.source[0]}")
    return DONE


def _features(cli: argparse.Namespace) -> int:
    from valor.data.features.published_files import (
        coverage_table,
        feature_coverage,
        files_of_no_clip,
        import_features,
        kinds_there,
        refuse_missing,
    )

    splits, out = _splits(cli), cli.out or cli.source
    kinds = cli.kinds.split(",") if cli.kinds else kinds_there(cli.source)
    coverage = feature_coverage(cli.source, splits, kinds)
    say(coverage_table(coverage))
    for kind in kinds:
        others = files_of_no_clip(cli.source, splits, kind)
        if others:
            say(f"{kind}: {len(others):,} files belong to no clip of these splits, such as {others[0]}")
    refuse_missing(coverage, allow_missing=cli.allow_missing)
    options = {"precision": cli.precision or PACKED, "allow_missing": cli.allow_missing, "progress": not cli.quiet}
    for kind in kinds:
        for split in splits:
            card = import_features(cli.source, split, kind, out=out, **options)
            lost = [f"folded from {card.source_shape[0]} rows"] if card.source_shape[0] != card.shape[1] else []
            lost += ["rounded to float16"] * (card.dtype == "float16")
            note = "" if card.exact else f" ({', '.join(lost)})"
            say(f"packed {kind} {split.name}: {card.dtype} {list(card.shape)}{note}")
    say(f"wrote {out / 'packed'}")
    return DONE


def _labels(cli: argparse.Namespace) -> int:
    from valor.data.features.published_files import coverage_table, import_labels

    out = cli.out or cli.source
    labels, coverage = import_labels(
        cli.source, _splits(cli), out, allow_missing=cli.allow_missing, allow_untagged=cli.allow_untagged
    )
    say(coverage_table(coverage))
    say(f"{len(labels.clip_ids):,} clips, {int(labels.labels.sum()):,} labelled seconds; wrote {out}")
    return DONE


def _checkpoint(cli: argparse.Namespace) -> int:
    from valor.training.published_checkpoint import import_checkpoint

    if cli.out is None:
        raise ValueError("`valor import checkpoint` needs --out RUN, the run folder to write")
    recipe = import_checkpoint(
        cli.source,
        cli.out,
        class_names=class_names(read_vocabulary(cli.classes or "llp")),
        norm_order=cli.norm_order or ParserOptions.norm_order,
        num_heads=cli.heads,
    )
    parser, features = recipe.parser, recipe.features
    layers = "layer" if parser.num_layers == 1 else "layers"
    say(
        f"{parser.num_layers} {parser.norm_order}-norm {layers} of width {parser.hidden_width} on {features.audio}, "
        f"{features.visual} and {features.motion} features; wrote {cli.out}"
    )
    return DONE


def _splits(cli: argparse.Namespace) -> "list[Split]":
    folder = cli.annotations or cli.source
    dataset = dataset_of(folder)
    names = class_names(read_vocabulary(cli.classes)) if cli.classes else dataset.names
    wanted = dict.fromkeys(cli.splits.split(",") if cli.splits else dataset.splits)
    return [dataset.read_clips(folder, split, names) for split in wanted]
