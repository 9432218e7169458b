"""`valor plot`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valor.data.label_file import read_pseudo_labels
from valor.data.provenance import of_labels
from valor.data.shown import write_figure
from valor.data.tables import Split
from valor.eval.figures.style import COLUMN_WIDTH, ENDINGS, PAPER_WIDTH, PICTURES, REPORT_WIDTH, THEMES, Style
from valor.eval.scores import LEVELS

from .command import ALWAYS, DONE, Commands, add_shared, new_command, new_kind
from .options import Fields, Option, Parser
from .scored import (
    add_features,
    add_rounding,
    add_rule,
    add_scores,
    add_thresholds,
    add_truth,
    named_path,
    read_seeds,
    read_system,
    read_truth,
    settle_split,
)
from .terminal import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from valor.labelling.quality import LabelQuality
    from valor.scoring.over_seeds import ScoredSeeds


WIDTHS = {"report": REPORT_WIDTH, "paper": PAPER_WIDTH, "column": COLUMN_WIDTH}
"""Figure widths by name, in inches: a screen, the text width of a two-column paper, one column of it."""
STYLE = Fields(Style, theme=Option("--theme", {"choices": tuple(THEMES)}))
LEVEL = {"default": "segment", "choices": LEVELS, "help": "what is counted (segment)"}


def add(commands: Commands) -> Parser:
    """Add its help and options, and those of every kind of figure."""
    command = new_command(
        commands,
        "plot",
        "Six kinds of figure, each with options of its own (`valor plot timeline --help`). Systems are told apart by\n"
        "colours that colour-blind readers can tell apart and that differ in grey; --theme dark for dark pages. The\n"
        "file name of --out says whether it is a PNG, an SVG or, for LaTeX, a PDF.",
        "valor plot timeline VALOR=predictions.npz --annotations data --split test --clip 4O9rI-FpqLg_10_20",
    )
    kinds = command.add_subparsers(dest="kind", metavar="KIND", required=True, help="kind of figure")
    for add_kind in (_timeline, _classes, _curves, _labels, _confusion, _training):
        kind = add_kind(kinds)
        kind.add_argument("--out", type=Path, metavar="FILE", help="PNG, SVG or PDF file (KIND.png)")
        STYLE.add(kind)
        kind.add_argument("--width", default="report", choices=tuple(WIDTHS), help="9, 6.9 or 3.35 inches (report)")
        kind.add_argument(
            "--title",
            metavar="TEXT",
            help="line above the figure, none for '' (says what is shown; of which world and split stands behind it)",
        )
        add_shared(kind, "device", "threads", "own_files")
        add_shared(kind, *ALWAYS, default=argparse.SUPPRESS)
    return command


def _systems(kind: Parser, *, several: bool) -> None:
    count = "+" if several else None
    kind.add_argument("predictions", nargs=count, metavar="PREDICTIONS", help="as `valor evaluate` takes; NAME=PATH")
    add_truth(kind)
    add_features(kind)
    add_rule(kind)
    add_thresholds(kind)
    add_rounding(kind)
    add_scores(kind)


def _timeline(kinds: Commands) -> Parser:
    kind = new_kind(
        kinds,
        "timeline",
        "one clip: truth and systems, with its frames and sound",
        "An audible and a visible row for every class that occurs, the truth shaded behind the systems. Of a folder\n"
        "of seeds (RUN/seed-*) the first is drawn.",
        "valor plot timeline HAN=han.npz VALOR=valor.npz --annotations data --split test --clip 4O9rI-FpqLg_10_20 "
        "--videos videos",
    )
    _systems(kind, several=True)
    kind.add_argument(
        "--clip",
        required=True,
        metavar="ID",
        help="whole name of the clip, or typical: one with two tags, scored about as all clips are on average",
    )
    kind.add_argument("--videos", type=Path, metavar="DIR", help="media files, for frames and waveform on top")
    return kind


def _classes(kinds: Commands) -> Parser:
    kind = new_kind(
        kinds,
        "classes",
        "F of every class with bootstrap intervals",
        "F of counts added over clips, audible left, visible right; whiskers are 95 % intervals over clips. Of a\n"
        "folder of seeds (RUN/seed-*) the mean F is drawn.",
        "valor plot classes HAN=han.npz VALOR=valor.npz --annotations data --split test --level event",
    )
    _systems(kind, several=True)
    kind.add_argument("--level", **LEVEL)
    kind.add_argument("--no-interval", action="store_true", help="bars without whiskers")
    return kind


def _curves(kinds: Commands) -> Parser:
    kind = new_kind(
        kinds,
        "curves",
        "F of every class against its threshold",
        "Exact curves over every threshold that changes a decision, under the gate of the rule. A dot marks the best\n"
        "threshold, which is no advice for this split: choose on val with `valor calibrate`, score on test. Of a\n"
        "folder of seeds (RUN/seed-*) the mean F at each threshold is drawn.",
        "valor plot curves predictions.npz --annotations data --split val",
    )
    _systems(kind, several=False)
    kind.add_argument("--level", **LEVEL)
    return kind


def _labels(kinds: Commands) -> Parser:
    kind = new_kind(
        kinds,
        "labels",
        "how good pseudo labels are",
        "Precision, recall and F of pseudo labels in clips that have a dense truth, audible and visible.",
        "valor plot labels fused=labels/fused VALOR=labels/valor --annotations data --split test",
    )
    kind.add_argument("labels", nargs="+", metavar="LABELS", help="folder of `valor labels`; NAME=PATH to name it")
    add_truth(kind)
    return kind


def _confusion(kinds: Commands) -> Parser:
    kind = new_kind(
        kinds,
        "confusion",
        "what true segments of each class were taken for",
        "A missed segment goes to the classes falsely marked in it, in equal parts, or to nothing. Of a folder of\n"
        "seeds (RUN/seed-*) the mean is drawn.",
        "valor plot confusion predictions.npz --annotations data --split test --modality visual",
    )
    _systems(kind, several=False)
    kind.add_argument("--modality", default="both", choices=("audio", "visual", "both"), help="which to count (both)")
    return kind


def _training(kinds: Commands) -> Parser:
    kind = new_kind(
        kinds,
        "training",
        "losses and validation scores over the epochs",
        "One RUN shows every loss term and five validation scores, several their total loss and Type@AV. A folder of\n"
        "seeds (RUN/seed-*) is drawn as thin lines with their mean; dots are the kept epochs.",
        "valor plot training HAN=runs/han VALOR=runs/valor++ --width paper --out training.pdf",
    )
    kind.add_argument("runs", nargs="+", metavar="RUN", help="run folder, folder of seeds or log.jsonl; NAME=RUN")
    return kind


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    out = cli.out or Path(f"{cli.kind}.png")
    if out.suffix not in PICTURES:
        raise ValueError(f"--out must end in {ENDINGS}, got {out}")
    style = STYLE.read(cli, width=WIDTHS[cli.width])
    if cli.kind == "training":
        from valor.training.log import draw_training

        figure = draw_training([named_path(typed) for typed in cli.runs], title=cli.title, style=style)
    else:
        settle_split(cli, getattr(cli, "predictions", []))
        figure = _drawn(cli, read_truth(cli), style)
    write_figure(out, figure)
    say(f"wrote {out}")
    return DONE


def _drawn(cli: argparse.Namespace, split: Split, style: Style) -> "Figure":
    """The figure that was asked for."""
    from valor.scoring import figures

    look = {"title": cli.title, "style": style}
    of = f"{split.world}, {split.name}"
    if cli.kind == "labels":
        return figures.draw_labels(_label_qualities(cli, split), of=of, **look)
    typed = cli.predictions if isinstance(cli.predictions, list) else [cli.predictions]
    if cli.kind in ("classes", "confusion", "curves"):
        return _of_seeds(cli, split, [read_seeds(path, cli, split) for path in typed], look | {"of": of})
    systems = [read_system(_of_one_seed(path, cli, split), cli, split) for path in typed]
    return figures.draw_timeline(systems, split, cli.clip, videos=cli.videos, of=of, **look)


def _of_one_seed(typed: str, cli: argparse.Namespace, split: Split) -> str:
    """The run of the first seed where a folder of seeds was typed, which is said: a timeline has no mean."""
    from valor.training.run_folder import seed_folders
    from valor.training.scored import seed_predictions

    name, path = named_path(typed)
    seeds = list(seed_folders(path).values())
    if not seeds:
        return typed
    say(f"{path}: drawn is {seeds[0].name}, the first of {len(seeds)} seeds; name another to draw it", file=sys.stderr)
    source = seed_predictions(seeds[0], split.clip_ids) if cli.data is None else seeds[0]
    return f"{name}, {seeds[0].name}={source}"


def _of_seeds(cli: argparse.Namespace, split: Split, systems: "list[ScoredSeeds]", look: dict[str, Any]) -> "Figure":
    """A figure that has means over seeds."""
    from valor.scoring import figures

    if cli.kind == "confusion":
        return figures.draw_confusion(systems[0], split.class_names, modality=cli.modality, **look)
    if cli.kind == "curves":
        return figures.draw_curves(systems[0], split.class_names, level=cli.level, split=split.name, **look)
    return figures.draw_classes(systems, split.class_names, level=cli.level, interval=not cli.no_interval, **look)


def _label_qualities(cli: argparse.Namespace, split: Split) -> "list[tuple[str, LabelQuality]]":
    from valor.labelling.quality import label_quality

    qualities = []
    for typed in cli.labels:
        name, path = named_path(typed)
        name = of_labels(path).marked(name)
        labels = read_pseudo_labels(path)
        labels.refuse_absent(str(path))
        qualities.append((name, label_quality(labels, split)))
    return qualities
