"""What the commands share: exit codes, how a command is announced, and the plain table of scores."""

import argparse
import gc
import json
import math
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from valor.label_harvest.cores import DEVICES

from .options import Parser
from .terminal import say

if TYPE_CHECKING:
    from valor.eval.tables import Row, Sheet

DONE, WRONG_USE, FAILURES_LISTED = 0, 2, 3
"""Exit codes: done; wrong use or bad input, said in one message; done with failures that are listed."""

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""Where a command is added."""


COMMANDS = {
    "demo": "the whole line on the embedded world",
    "harvest": "clips and tags to cached evidence",
    "store": "evidence stores: what they hold, whether they are whole, and one from several",
    "search": "words, a sound or a clip to the seconds of a store that fit",
    "explore": "the seconds of a store in groups, named by the prompts nearest to them",
    "adapt": "adapters by which a frozen visual tower hears, as features of a harvest",
    "pretrain": "clips without labels to a stem and an encoder that a training begins with",
    "probe": "what a pre-training is worth, beside raw features and a random encoder",
    "labels": "evidence to pseudo labels",
    "train": "features and labels to a run",
    "predict": "a run on a split",
    "rescore": "predictions ranked anew by what follows what",
    "evaluate": "the ten F-scores of predictions, and more",
    "table": "runs side by side, and beside published rows",
    "plot": "timelines, classes, threshold curves, labels, confusion and trainings as figures",
    "calibrate": "thresholds per class and modality from a split",
    "new-dataset": "a data set of one's own from a table of clips and tags",
    "lint": "defects of annotation tables, and what is done about each",
    "parse": "any video or recording to a timeline",
    "sync": "how far sound is from picture in media, or that nobody can say",
    "view": "clips playing beside their timeline, and corrections",
    "download": "the published files",
    "reproduce": "a published row from its files to the ten figures",
    "ablate": "what each part of the method is worth, over seeds and with intervals",
    "pretrain-bench": "what clips without tags are worth, over seeds and with intervals",
    "bench": "published methods on a simulated LLP, beside what their papers say",
    "import": "published features, labels or a checkpoint in, and events of other tools",
    "export": "features, labels or a checkpoint out, as others read them, and events for other tools",
    "push": "a run, thresholds or a store to a repository of the hub, with a card",
    "pull": "what was pushed, checked, into a folder",
    "completion": "a script by which a shell completes commands, options and paths",
    "doctor": "what is there and what to do about what is not",
}
"""Every command in the order of the help, and half a sentence on it: that help waits for no command's libraries."""
IN_FILES = frozenset(
    ("harvest", "adapt", "pretrain", "labels", "calibrate", "train", "predict", "push", "pull", "download", "import")
)
"""Commands that leave their work in files; what they print tells of it and does not have to arrive."""


def new_command(commands: Commands, name: str, more: str, example: str) -> Parser:
    """Add a command whose help says what it is for and how it is typed.

    Args:
        commands: The commands so far.
        name: What is typed after `valor`.
        more: What one has to know, in lines of at most 110 characters.
        example: A whole line that can be typed, or several.
    """
    return new_kind(commands, name, COMMANDS[name], more, example)


def new_kind(kinds: Commands, name: str, summary: str, more: str, example: str) -> Parser:
    """Add a kind of a command, as `new_command`; the summary is half a sentence for the list of kinds."""
    return kinds.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}",
        epilog="example:\n" + textwrap.indent(example, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextmanager
def unswept() -> Iterator[None]:
    """Load what stays without the garbage collector, which would look through it again and again, and not later either.

    Of the seconds that torch takes to be imported these are a tenth (`python -m benchmarks.start`).
    """
    sweeps = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if sweeps:
            gc.enable()


_SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "quiet": ("--quiet", {"action": "store_true", "help": "no progress and no notes, only results and errors"}),
    "verbose": (
        "-v --verbose",
        {"action": "store_true", "help": "lines with times, what was typed, how long it took, and notes of libraries"},
    ),
    "log_file": (
        "--log-file",
        {"type": Path, "metavar": "FILE", "help": "append notes, progress, results and errors, with times"},
    ),
    "classes": (
        "--classes",
        {
            "metavar": "NAME|FILE|NAMES",
            "help": "llp, a JSON file, or names with commas between (those of the data set or of the store)",
        },
    ),
    "names": (
        "--classes",
        {
            "metavar": "NAME|FILE|NAMES",
            "help": "llp, a JSON file, or names with commas between (the data set's; of LLP, classes.json or the store "
            "beside the tables)",
        },
    ),
    "truth": ("--truth", {"metavar": "VERSION", "help": "version of the annotations (the newest; LLP: v2024, v2020)"}),
    "changes": (
        "--set",
        {"action": "append", "default": [], "metavar": "a.b=c", "help": "change one option of the recipe"},
    ),
    "seed": (
        "--seed",
        {
            "type": int,
            "metavar": "N",
            "help": "seed of the training, or the first of several (the recipe's fit.seed)",
        },
    ),
    "device": (
        "--device",
        {
            "choices": DEVICES,
            "default": "auto",
            "help": "where networks run: auto, a GPU where there is one, cpu or cuda (auto)",
        },
    ),
    "cpu": (
        "--device",
        {
            "choices": DEVICES[:2],
            "default": "auto",
            "help": "where networks run: these are small and run on the CPU (auto)",
        },
    ),
    "threads": (
        "--threads",
        {
            "type": int,
            "metavar": "N",
            "help": "threads of a network on a CPU (one a core, or one where trainings run side by side)",
        },
    ),
    "own_files": (
        "--with",
        {
            "action": "append",
            "default": [],
            "metavar": "FILE.py",
            "help": "parts of your own: methods, encoders, teachers, data sets (docs/extend.md; repeatable)",
        },
    ),
}
"""Options of several commands that are the same in each."""
_DESTS = {"names": "classes", "cpu": "device"}
"""The name some are kept under, where commands differ in what may be typed."""
ALWAYS = ("quiet", "verbose", "log_file")
"""Options of every command."""


def add_shared(command: Parser, *names: str, **changed: Any) -> None:  # noqa: ANN401
    """Add options that several commands have, by the name they are kept under, with other words for argparse."""
    for name in names:
        option, more = _SHARED[name]
        command.add_argument(*option.split(), dest=_DESTS.get(name, name), **{**more, **changed})
    if "truth" in names:
        command.also(truth_version="--truth")


def score_text(rows: "Sequence[Row]", anchors: "Sequence[Row]") -> str:
    """The ten F-scores as text: (name, scores) rows, and among them the anchors, which stand at the foot."""
    from valor.eval.tables import score_table, to_text

    return to_text(score_table(rows), anchors=[name for name, _ in anchors])


def changes_of(cli: argparse.Namespace) -> list[str]:
    """What `--set` and `--seed` change of a recipe.

    Raises:
        ValueError: Both say the seed.
    """
    if cli.seed is None:
        return list(cli.changes)
    if any(change.partition("=")[0].strip() == "fit.seed" for change in cli.changes):
        raise ValueError("--seed says fit.seed already; leave one out")
    return [*cli.changes, f"fit.seed={cli.seed}"]


FORMATS = ("text", "markdown", "csv", "latex", "json")
"""What tables can be written as."""

SUFFIXES = {".txt": "text", ".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json"}
"""The format a file name asks for."""
_NO_TABLES = (".png", ".svg", ".pdf", ".jpg", ".html", ".npz", ".xlsx")
"""Endings of files that are no text of a table."""


def layouts_of(sheet: "Sheet", content: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """A table in each of FORMATS, for `write_or_print`; as JSON what it was made of."""
    from valor.eval.tables import csv_text

    return {
        "text": sheet.to_text,
        "markdown": sheet.to_markdown,
        "csv": lambda: csv_text(sheet.columns, [[str(cell) for cell in row] for row in sheet.rows]).rstrip("\n"),
        "latex": sheet.to_latex,
        "json": lambda: json.dumps(content, indent=1, allow_nan=False),
    }


def write_or_print(
    layouts: Mapping[str, Callable[[], str]],
    cli: argparse.Namespace,
    tables: Callable[[], Mapping[str, str]] | None = None,
    *,
    show: bool = False,
) -> None:
    """Lay a table out as `--format` or the name of `--out` says, and write it there or print it.

    Args:
        layouts: What makes the table, by format.
        cli: What was typed, with `format` and `out`.
        tables: Makes the tables of a CSV one by one, each for a file of its own whose name ends in its key.
        show: Whether what is written is printed as text too.

    Raises:
        ValueError: The format is unknown or contradicts the file name, or this is that of a picture or a page.
    """
    if cli.out and cli.out.suffix in _NO_TABLES:
        raise ValueError(f"{cli.out}: a table is written as *{', *'.join(SUFFIXES)}; `valor plot` draws pictures")
    asked = SUFFIXES.get(cli.out.suffix) if cli.out else None
    chosen = cli.format or asked or "text"
    if asked not in (None, chosen):
        raise ValueError(f"--format {chosen} and --out {cli.out} contradict each other; leave one out")
    if not cli.out:
        say(layouts[chosen]())
        return
    from valor.label_harvest.disk import replaced

    if show:
        say(f"{layouts['text']()}\n")
    texts = tables() if chosen == "csv" and tables else {"": layouts[chosen]()}
    for key, text in texts.items():
        out = cli.out.with_stem(f"{cli.out.stem}-{key}") if key else cli.out
        with replaced(out) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        say(f"wrote {out}")


def print_note(note: str, cli: argparse.Namespace) -> None:
    """Print a line that is no part of a result: below a text table, else on stderr, where it spoils no file."""
    is_text = cli.out is not None or cli.format in (None, "text")
    say(note, file=sys.stdout if is_text else sys.stderr)


def read_allowance(text: str) -> Callable[[int], int]:
    """Read `N` or `P%`: how many of so many clips may fail.

    Raises:
        ValueError: It is neither.

    >>> read_allowance("0.5%")(1000), read_allowance("7")(1000)
    (5, 7)
    """
    match = re.fullmatch(r"([0-9]+)|([0-9]+(?:\.[0-9]+)?)%", text.strip(), re.ASCII)
    if match is None or (match[2] and float(match[2]) > 100):
        raise ValueError(f"--allow-failures must be a number of clips or a percentage, such as 20 or 1%, got {text!r}")
    return lambda clips: int(match[1]) if match[1] else math.floor(float(match[2]) * clips / 100 + 1e-9)
