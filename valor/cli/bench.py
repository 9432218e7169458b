"""`valor bench`."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from valor.data.provenance import MARK
from valor.experiments.bench.options import SIZES, WORLDS, BenchOptions
from valor.experiments.bench.rows import ROWS, own_rows

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Fields, Option, Parser, new_folder
from .terminal import say

BENCH = Fields(
    BenchOptions,
    world=Option("--world", {"choices": WORLDS}),
    size=Option("--size", {"choices": tuple(SIZES)}),
    seeds="--seeds N",
    rows="--rows NAME,...",
    jobs="--workers N",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "bench",
        "Trains HAN, VALOR, VALOR++ and the methods of later papers on a simulated world as hard as LLP, and sets\n"
        "what each has over the anchor it builds on beside what was published of it: differences with 95 % intervals\n"
        "over clips and seeds, and the rank correlation. The world is fitted to the three anchors and to no other\n"
        "row.\n\n"
        "World llp: LLP's tables of DIR (invented by its statistics where they are not there), features and teachers\n"
        "drawn, so that labels have the published quality. World demo: the demo's clips, teachers as poor as LLP's;\n"
        "DIR may be the data/ of a demo.\n\n"
        "Everything printed and written says SIMULATED: nothing of it is a score on LLP. Runs that are done are found\n"
        "done. OUT gets the world, the runs and SIMULATED-bench-WORLD-SIZE.{txt,md,csv,tex,json,png,pdf}.\n\n"
        f"Rows: {', '.join(ROWS)}; and of each part of a file that --with names, `valor++ with method NAME`, say:\n"
        "without --rows all of these, with --rows where it names them.",
        "valor bench --data data --workers 2\nvalor bench --data data --size llp --seeds 3 --workers 2 --out bench",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="LLP's tables, or with --world demo a demo's data/")
    command.add_argument(
        "--out", type=new_folder, default=Path("bench"), metavar="DIR", help="world, runs, table (bench)"
    )
    BENCH.add(command)
    command.add_argument(
        "--fit",
        type=int,
        metavar="ROUNDS",
        help="look in so many rounds for the strengths at which the anchors are where published, print them, and end",
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    own = own_rows()
    ROWS.update(own)
    options = BENCH.read(cli, progress=not cli.quiet)
    if cli.rows is None:
        options = replace(options, rows=(*options.rows, *own))
    for name in own if cli.fit is None else ():
        if name not in options.rows:
            say(f"note: {name!r} is left out, since --rows names others; add it there to train it", file=sys.stderr)
    if cli.fit is not None and (options.world != "llp" or cli.fit < 1):
        raise ValueError("--fit takes a positive number of rounds, and is for --world llp alone")
    if cli.fit is not None:
        from valor.experiments.bench.fit import fit_anchors

        for knobs in fit_anchors(
            cli.data, cli.out, options.size, seeds=options.seeds, rounds=cli.fit, jobs=options.jobs
        ):
            say(f"{MARK} {knobs}")
        return DONE
    from valor.experiments.bench.plan import plan_line, time_line
    from valor.experiments.bench.run import open_bench_world, run_bench
    from valor.experiments.bench.table import to_text, write_bench

    if not cli.quiet:
        say(f"{MARK} bench: {plan_line(cli.out, options)}", file=sys.stderr)
    world = open_bench_world(cli.data, cli.out, options)
    if not cli.quiet and (time := time_line(world, cli.out, options)):
        say(f"{MARK} bench: {time}", file=sys.stderr)
    found = run_bench(world, cli.out, options)
    say(f"{to_text(found)}\n")
    say(f"wrote {', '.join(str(path) for path in write_bench(cli.out, found))}")
    return FAILURES_LISTED if found.failed else DONE
