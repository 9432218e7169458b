"""`valor sync`."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from valor.sync.options import FitOptions, JudgeOptions

from .command import DONE, FAILURES_LISTED, FORMATS, Commands, new_command, print_note, write_or_print
from .options import Fields, Option, Parser
from .terminal import brief, say

if TYPE_CHECKING:
    from valor.eval.tables import Sheet
    from valor.sync.judge import Verdict
    from valor.video.paths import MediaInput

FIT = "fit"
"""What else can be done than judge, typed before the media."""
_UNSET = {"default": None}
JUDGING = Fields(
    JudgeOptions,
    sure=Option("--sure P", _UNSET),
    tolerance=Option("--tolerance S", _UNSET),
    seconds=Option("--seconds S", _UNSET),
)
FITTING = Fields(
    FitOptions,
    epochs=Option("--epochs N", _UNSET),
    batch_size=Option("--batch-size N", _UNSET),
    piece_seconds=Option("--piece-seconds S", _UNSET),
    pieces=Option("--pieces N", _UNSET),
    reach=Option("--reach S", _UNSET),
    rate=Option("--learning-rate X", _UNSET),
    seed=Option("--seed N", _UNSET),
)


REMEDY = (
    "take more media, a few hundred pieces of ten seconds, in which things move as they sound; drawings of the demo "
    "move at their own pace and teach nothing, those of `valor demo --world strokes` do"
)
"""What to do where a run has learned nothing."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "sync",
        "VIDEO... --run RUN      says of each file whether its sound and picture are in step, off by how much, or\n"
        "                        that nobody can say; needs something that moves as it sounds\n"
        "fit VIDEO... --out RUN  learns it from media whose own sound and picture belong together; nothing of them\n"
        "                        need be known\n\n"
        "VIDEO is a file, a folder or a quoted pattern. An offset above 0 is a sound that comes late, to a tenth of a\n"
        "second and as far as --reach of the training. What windows of a film say is summed, and what files say, for\n"
        "a set with the same fault. Exit code 0: nothing is off; 3: files that are off, by themselves or together, or\n"
        "could not be read (docs/sync.md).",
        "valor sync fit films --out runs/sync\nvalor sync suspects --run runs/sync --out sync.csv",
    )
    command.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="files, folders, patterns; ./-NAME where it begins with -"
    )
    command.add_argument("--run", type=Path, metavar="RUN", help="run folder of `valor sync fit`")
    JUDGING.add(command)
    command.add_argument("--format", choices=FORMATS, help="text unless --out ends in .md, .csv, .tex or .json")
    command.add_argument("--out", type=Path, metavar="FILE", help="write what was found there; with fit, the run")
    FITTING.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.video.paths import find_inputs

    fits = cli.videos[0] == FIT
    typed = cli.videos[1:] if fits else cli.videos
    if not typed:
        raise ValueError(f"name the media too: valor sync {FIT} VIDEO... --out RUN; a file of that name is ./{FIT}")
    taken = {*FITTING.names, "out"} if fits else {*JUDGING.names, "run", "format", "out"}
    every = dict.fromkeys((*FITTING.names, *JUDGING.names, "run", "format"))
    idle = [name for name in every if name not in taken and getattr(cli, name) is not None]
    if idle:
        raise ValueError(f"{', '.join(cli.flags[name] for name in idle)}: not for this; see `valor sync --help`")
    media = find_inputs(typed)
    return _fit(cli, media) if fits else _judge(cli, media)


def _fit(cli: argparse.Namespace, media: "list[MediaInput]") -> int:
    if cli.out is None:
        raise ValueError("--out RUN says where the run is written")
    if cli.out.exists() and not cli.out.is_dir():
        raise ValueError(f"--out {cli.out} is a file; a run is a folder")
    options = FITTING.read(cli)
    from valor.sync.fit import fit_sync

    wrong = [f"{one.path}: {one.problem}" for one in media if one.problem]
    result = fit_sync([one.path for one in media if not one.problem], cli.out, options, progress=not cli.quiet)
    for problem in (*wrong, *result.problems):
        say(brief(f"left out: {problem}"))
    if not result.losses:
        say(f"{cli.out} is trained already")
    card = result.run.card
    say(f"{result.files:,} media; of offsets kept apart {100 * card.right:.0f} % found to 0.1 s; wrote {cli.out}")
    if not card.learned:
        chance = f"chance finds {100 * card.chance:.0f} %"
        say(f"{cli.out} has learned nothing ({chance}), and will say of no file that its sound is off: {REMEDY}")
    return FAILURES_LISTED if wrong or result.problems else DONE


def _judge(cli: argparse.Namespace, media: "list[MediaInput]") -> int:
    if cli.run is None:
        raise ValueError(
            f"--run RUN says what has learned it; `valor sync {FIT} VIDEO... --out RUN` makes one. None is "
            "shipped, and it takes a few hundred pieces of ten seconds of like footage, an hour of film; a handful of "
            "clips is too few"
        )
    if cli.out is not None and any(_same(cli.out, one.path) for one in media):
        raise ValueError(f"--out {cli.out} would overwrite the VIDEO of that name; choose another")
    if all(one.problem for one in media):
        raise ValueError("nothing to judge: " + "; ".join(f"{one.path}: {one.problem}" for one in media))
    options = JUDGING.read(cli)
    from valor.sync.judge import CANNOT_SAY, IN_STEP, OFF, UNREAD, judge_all, report_of, together
    from valor.sync.kept import finished, judge_kept
    from valor.sync.measure import read_run

    trained = read_run(cli.run)
    named = [(one.path, one.problem) for one in media]
    keeps = cli.out is not None and (cli.out.is_file() or not cli.out.exists())  # nothing lies beside a device
    if keeps:
        verdicts, kept = judge_kept(named, trained, options, cli.out, progress=not cli.quiet)
    else:
        verdicts, kept = list(judge_all(named, trained, options, progress=not cli.quiet)), 0
    sheet = sheet_of(verdicts)
    layouts = {
        "text": sheet.to_text,
        "markdown": sheet.to_markdown,
        "csv": lambda: _csv(sheet.columns, verdicts),
        "latex": sheet.to_latex,
        "json": lambda: json.dumps(report_of(verdicts, trained, options), indent=1, allow_nan=False),
    }
    write_or_print(layouts, cli)
    if keeps:
        finished(cli.out)
    counts = Counter(verdict.verdict for verdict in verdicts)
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in (OFF, IN_STEP, CANNOT_SAY, UNREAD) if counts[kind])
    print_note(said + (f"; {kept:,} of them judged before" if kept else ""), cli)
    both = together(verdicts, trained, options)
    if both is not None:
        print_note(of_the_set(both), cli)
    is_off = counts[OFF] or (both is not None and both.verdict == OFF)
    return FAILURES_LISTED if is_off or counts[UNREAD] else DONE


def of_the_set(both: "Verdict") -> str:
    """What is said of files together."""
    return (
        f"if all have the same offset, they are {both.verdict}: {both.offset:+.2f} s, confidence {both.confidence:.2f}"
    )


def _csv(columns: Sequence[str], verdicts: "list[Verdict]") -> str:
    from valor.eval.tables import csv_text

    return csv_text(columns, [[str(value) if value is not None else "" for value in _row(one)] for one in verdicts])


def _row(one: "Verdict") -> tuple[object, ...]:
    return one.path, one.verdict, one.offset, one.confidence, one.seconds, one.note


def sheet_of(verdicts: "list[Verdict]") -> "Sheet":
    """A row for each file."""
    from valor.eval.tables import Sheet

    kinds = ("{}", "{}", "{:+.2f}", "{:.2f}", "{:g}", "{}")
    rows = [
        ["-" if value is None else kind.format(value) for kind, value in zip(kinds, _row(one), strict=True)]
        for one in verdicts
    ]
    return Sheet(columns=["file", "verdict", "offset", "confidence", "seconds", "note"], rows=rows, left=(0, 1, 5))


def _same(path: Path, medium: Path) -> bool:
    try:
        return path.samefile(medium)
    except OSError:
        return False
