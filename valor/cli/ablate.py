"""`valor ablate`."""

import argparse
from pathlib import Path

from valor.demo.options import DemoOptions
from valor.experiments.options import AblateOptions

from .command import DONE, FAILURES_LISTED, Commands, add_shared, changes_of, new_command
from .options import Fields, Option, Parser, new_folder
from .terminal import say

ABLATION = Fields(
    AblateOptions,
    seeds="--seeds N",
    groups="--rows GROUP,...",
    own_rows=Option("--row NAME=a.b=c,...", {"action": "append"}),
    jobs="--workers N",
    search="--search",
    changes=Option("--set a.b=c", {"action": "append"}),
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "ablate",
        "Trains VALOR and variants of it that differ in one respect, each with several seeds, and compares them on\n"
        "the test split: mean ± sd, the difference from VALOR, its 95 % intervals over clips and over seeds. The\n"
        "table goes to stdout and, with a figure, to OUT/ablation.{txt,md,csv,tex,json,png,pdf}.\n\n"
        "Groups of rows:\n"
        "  labels     no labels, tags copied, tags smoothed, harvested by clip; VALOR's are harvested by segment\n"
        "  teacher    one fused teacher, one teacher alone, one teacher for both modalities; VALOR has two\n"
        "  features   what the parser sees\n"
        "  layers     depth of the parser\n"
        "  encoder    two layers of six other encoders; of the hybrid one, see the second row of layers\n"
        "  beyond     later ideas, each alone: soft labels, class balance, mix-up, gates, denoising, weight average\n"
        "  combined   several of them at once; --search tries all pairs and adds to the best while validation rises\n"
        "  own        a row for each method, encoder, pooling, stem and network of a file that --with names, at its\n"
        "             defaults, while the base has none of them, and the rows of --row, which are trained whatever\n"
        "             --rows says, and may name those (--row 'my loss=methods.NAME=on'); --search combines them as it\n"
        "             does those of beyond\n\n"
        "Without --data it renders and harvests a demo world in OUT/data as `valor demo` does. DIR may also be the\n"
        "data/ of a demo, or a data folder of LLP; rows whose features or teachers are not there are left out and\n"
        "named. A demo that is finished is only read: tables you edited are used as they are.\n\n"
        "Runs that are done are found done, so a second call goes on where the first was stopped.",
        "valor ablate --out ablation --workers 2\n"
        "valor ablate --data demo/data --rows labels,teacher --seeds 3 --set fit.epochs=10\n"
        "valor ablate --data demo/data --rows own --with entropy.py --row 'entropy 0.2=methods.entropy.weight=0.2'",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="a demo's data/ or LLP's (a demo world in OUT/data)")
    command.add_argument(
        "--out", type=new_folder, default=Path("ablation"), metavar="DIR", help="runs and table (ablation)"
    )
    ABLATION.add(command, "seeds", "groups", "own_rows", "jobs")
    usual = DemoOptions.clips
    command.add_argument("--clips", type=int, metavar="N", help=f"clips of a demo world that is made here ({usual})")
    ABLATION.add(command, "search", "changes")
    add_shared(command, "seed")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    cli.own_rows = cli.own_rows or []
    cli.changes = changes_of(argparse.Namespace(seed=cli.seed, changes=cli.changes or []))
    options = ABLATION.read(cli, progress=not cli.quiet)
    if options.search and "beyond" not in options.groups:
        raise ValueError("--search combines the rows of the group beyond; add it to --rows")
    from valor.data.tables import WORLD_FILE
    from valor.experiments.ablate import open_world, plan_rows, run_ablation
    from valor.experiments.ablation_table import to_text, write_ablation
    from valor.experiments.rows import BASES

    if cli.data is None or (cli.data / WORLD_FILE).is_file():  # refuse what cannot be, before the world takes its time
        plan_rows(BASES["demo"], options, "demo")
    world = open_world(cli.data, cli.out, clips=cli.clips, workers=options.jobs, progress=not cli.quiet)
    found = run_ablation(world, cli.out, options)
    say(f"{to_text(found)}\n")
    say(f"wrote {', '.join(str(path) for path in write_ablation(cli.out, found))}")
    return FAILURES_LISTED if found.failed else DONE
