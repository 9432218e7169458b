"""`valor demo`."""

import argparse
from pathlib import Path

from .command import DONE, Commands, new_command, score_text
from .options import Parser


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "demo",
        "the whole line on the embedded world",
        "Renders a miniature of LLP as real MP4 files, harvests it with small teachers shipped with the project,\n"
        "trains three parsers (clip tags only; labels of one fused teacher; labels of two independent teachers =\n"
        "VALOR) over several seeds, prints their F-scores on the test split and writes report.html, timeline.png and\n"
        "scores.json. What is already there is used again, so an interrupted run goes on where it stopped.",
        "valor demo --out demo",
    )
    command.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder of the run (demo)")
    command.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings per parser (3)")
    command.add_argument("--clips", type=int, default=None, metavar="N", help="clips in the world, all splits together")
    command.add_argument(
        "--shuffle-teachers",
        action="store_true",
        help="control: give each clip the teacher scores of another clip; the gain must vanish (goes to DIR/control)",
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.demo.picture import typical_row, write_demo_picture
    from valor.demo.report import ANCHOR_TITLES, type_av_gains, write_report
    from valor.demo.run import ARMS, DemoOptions, run_demo

    given = {} if cli.clips is None else {"clips": cli.clips}
    options = DemoOptions(seeds=cli.seeds, shuffle_teachers=cli.shuffle_teachers, **given)
    result = run_demo(cli.out, options, progress=not cli.quiet)
    home = options.home(cli.out)
    report = write_report(cli.out, result, options)
    write_demo_picture(home / "timeline.png", result, typical_row(result))
    anchors = [(ANCHOR_TITLES[name], scores) for name, scores in result.anchors.items()]
    print(score_text([(arm.title, result.scores[name]) for name, arm in ARMS.items()] + anchors, anchors))
    print("\nPseudo labels of the same clips, scored as predictions:")
    labels = [(ARMS[name].title.removeprefix("+ "), quality.scores) for name, quality in result.label_quality.items()]
    print(score_text(labels + anchors[1:], anchors[1:]))
    gains = type_av_gains(result)
    print(
        f"\nSegment-level Type@AV, VALOR minus tags only: {sum(gains) / len(gains):+.1f} points "
        f"({min(gains):+.1f} to {max(gains):+.1f} over {len(gains)} seeds), {len(result.test.clip_ids)} test clips, "
        f"{result.seconds:.0f} s"
    )
    print(f"wrote {report} (open it in a browser), {home / 'timeline.png'} and scores.json")
    return DONE
