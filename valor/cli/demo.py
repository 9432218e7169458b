"""`valor demo`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from valor.demo.options import WORLDS, DemoOptions

from .command import DONE, Commands, new_command, score_text
from .options import Fields, Option, Parser, new_folder
from .terminal import say

if TYPE_CHECKING:
    from valor.eval.tables import Row

DEMO = Fields(
    DemoOptions,
    seeds="--seeds N",
    clips="--clips N",
    films="--films N",
    world=Option("--world", {"choices": WORLDS}),
    shuffle_teachers="--shuffle-teachers",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "demo",
        "Renders a miniature of LLP as real MP4 files, harvests it with small teachers shipped with the project,\n"
        "trains three parsers (clip tags only; labels of one fused teacher; labels of two independent teachers =\n"
        "VALOR) over several seeds, prints their F-scores on the test split and writes report.html, timeline.png and\n"
        "scores.json. What is already there is used again, so an interrupted run goes on where it stopped; tables\n"
        "that were edited are refused, not written over. With --films the same goes on with films of any length, by\n"
        "mean average precision (docs/demo.md).",
        "valor demo --out demo",
    )
    command.add_argument("--out", type=new_folder, default=Path("demo"), metavar="DIR", help="folder of the run (demo)")
    DEMO.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    options = DEMO.read(cli)
    if options.films is not None:
        return _run_films(cli, options)
    from valor.demo.picture import typical_row, write_demo_picture
    from valor.demo.report import ANCHOR_TITLES, gain_in_words, write_report
    from valor.demo.run import ARMS, run_demo

    result = run_demo(cli.out, options, progress=not cli.quiet)
    home = options.home(cli.out)
    report = write_report(cli.out, result, options)
    write_demo_picture(home / "timeline.png", result, typical_row(result))
    anchors: list[Row] = [(ANCHOR_TITLES[name], scores) for name, scores in result.anchors.items()]
    arms: list[Row] = [(arm.title, result.scores[name]) for name, arm in ARMS.items()]
    say(score_text(arms + anchors, anchors))
    say("\nPseudo labels of the same clips, scored as predictions:")
    labels: list[Row] = [
        (ARMS[name].title.removeprefix("+ "), quality.scores) for name, quality in result.label_quality.items()
    ]
    say(score_text(labels + anchors[1:], anchors[1:]))
    say(
        f"\nSegment-level Type@AV, VALOR minus tags only: {gain_in_words(result)}, {len(result.test.clip_ids)} test "
        f"clips, {result.seconds:.0f} s"
    )
    say(f"wrote {report} (open it in a browser), {home / 'timeline.png'} and scores.json")
    return DONE


def _run_films(cli: argparse.Namespace, options: DemoOptions) -> int:
    """The untrimmed world."""
    from valor.demo.film_report import (
        anchor_rows,
        headline,
        precision_sheet,
        rule_sheet,
        system_rows,
        write_film_picture,
        write_film_report,
    )
    from valor.demo.film_run import run_films

    result = run_films(cli.out, options, progress=not cli.quiet)
    report = write_film_report(cli.out, result, options)
    write_film_picture(cli.out / "timeline.png", result)
    anchors = anchor_rows(result)
    say(score_text(system_rows(result) + anchors, anchors))
    say("\nMean average precision of events that are heard and seen at once:")
    say(precision_sheet(result).to_text())
    say("\nThe mean by the rule that makes events of probabilities, first training:")
    say(rule_sheet(result).to_text())
    say("\nPseudo labels of the same films, scored as predictions:")
    say(score_text([("labels of two independent teachers", result.labels.scores)], []))
    say(f"\n{headline(result)}; {len(result.test.clip_ids)} test films, {result.seconds:.0f} s")
    say(f"wrote {report} (open it in a browser), {cli.out / 'timeline.png'} and scores.json")
    return DONE
