"""`valor table`."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from valor.eval.scores import LEVELS

from .command import DONE, FORMATS, Commands, new_command, write_or_print
from .options import Parser, typed_words


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "table",
        "A RUN is a score file of `valor evaluate --json`, a folder that holds scores.json, or a folder of seeds\n"
        "(seed-*/scores.json), shown as mean ± standard deviation. Rows that were scored by another rule, on another\n"
        "truth, or whose epoch was chosen by another figure are not put side by side unless --mix says so: runs are\n"
        "refused, published rows are left out and named. The best of each column is marked; so is a published Type@AV\n"
        "that contradicts its own A, V and AV. Runs on SIMULATED features say so, and no published row stands beside\n"
        "them. Two columns say what a row learned from beside clips and tags, and what of it was chosen on the truth\n"
        "of validation; the best of rows that differ in these is marked ~. The best is the highest, which is no test.\n"
        "Rows known from a third party's account alone are marked †. Notes under the table spell the rules out.",
        "valor table HAN=runs/han-weak VALOR=runs/valor --published --baseline HAN --out table.md\n"
        "valor table HAN=runs/han-weak VALOR=runs/valor --level segment --columns Type@AV,Event@AV --out table.tex\n"
        "valor table --published",
    )
    command.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="score file or folder; NAME=RUN to call the row NAME; none for published rows alone",
    )
    command.add_argument(
        "--published",
        action="store_true",
        help="add the published rows of the data set, LLP's; the column source says where each was read",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="data of the set whose published rows are added")
    command.add_argument("--baseline", metavar="NAME", help="row the others are compared with: deltas in points")
    command.add_argument(
        "--decisions",
        action="store_true",
        help="below each run the same predictions with both thresholds 0.5 and with gates and cuts tuned on val",
    )
    command.add_argument(
        "--columns",
        metavar="NAME,...",
        help="what is printed: figures (audio, visual, audio_visual, type_av, event_av, or event.type_av of one level; "
        "those of the data set), rule, extra_data, tuned, source (all of them, in text and LaTeX without source; JSON "
        "always has all)",
    )
    command.add_argument("--level", choices=LEVELS, help="figures of segments or of events alone (both)")
    command.add_argument("--mix", action="store_true", help="accept other rules, truths, selections and coverage")
    command.add_argument("--format", choices=FORMATS, help="text unless --out ends in .md, .csv, .tex or .json")
    command.add_argument("--out", type=Path, metavar="FILE", help="write the table there")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.scoring.columns import chosen_columns
    from valor.scoring.compare import compare, published_of
    from valor.scoring.layout import FORMATS as LAYOUTS
    from valor.scoring.published import read_published

    if not (cli.runs or cli.published):
        raise ValueError("name a RUN, or give --published for the published rows alone")
    if not cli.runs and cli.decisions:
        raise ValueError("--decisions is of runs; name a RUN, or leave it out")
    if cli.data and not cli.published:
        raise ValueError("--data says whose published rows are added; give --published too")
    known = published_of(cli.runs, cli.data) if cli.published else read_published()
    beside = known if cli.published else None
    comparison = compare(cli.runs, beside, baseline=cli.baseline, mix=cli.mix, decisions=cli.decisions, known=known)
    comparison = replace(comparison, notes=tuple(typed_words(note, cli.flags) for note in comparison.notes))
    if cli.columns is not None or cli.level:
        names = [name.strip() for name in (cli.columns or "").split(",") if name.strip()]
        comparison = replace(comparison, columns=chosen_columns(names, cli.level, comparison.metrics))
    write_or_print({name: partial(layout, comparison) for name, layout in LAYOUTS.items()}, cli)
    return DONE
