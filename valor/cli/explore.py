"""`valor explore`."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from valor.retrieval.options import BOTH, ExploreOptions

from .command import DONE, FORMATS, Commands, new_command, print_note, write_or_print
from .options import Fields, Option, Parser, any_place

if TYPE_CHECKING:
    from valor.eval.tables import Sheet
    from valor.retrieval.explore import Explored, Group

EXPLORE = Fields(
    ExploreOptions,
    clusters="--clusters N",
    within=Option("--in", {"choices": ("audio", "visual", BOTH)}),
    clips="--top N",
    seed="--seed N",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "explore",
        "Shows what is in clips that nobody has labelled. The seconds of each modality are divided into groups that\n"
        "are alike (k-means of their embeddings); a group is called by the prompt whose similarity in it lies\n"
        "farthest above that of the store, in deviations. Tags are not looked at, and no weights are needed. Names\n"
        "are what teachers would say, and a group may hold what no prompt names. JSON has all clips of each group,\n"
        "and where in them it is.",
        "valor explore data/store --clusters 64 --in audio\nvalor explore data/store --clusters 32 --out groups.json",
    )
    command.add_argument("store", type=any_place, metavar="STORE", help="folder of `valor harvest`")
    EXPLORE.add(command)
    command.add_argument("--format", choices=FORMATS, help="text unless --out ends in .md, .csv, .tex or .json")
    command.add_argument("--out", type=Path, metavar="FILE", help="write it there")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    options = EXPLORE.read(cli)
    from valor.eval.tables import csv_text
    from valor.retrieval.explore import explore_store

    found = explore_store(cli.store, options)
    sheet = _sheet(found, options.clips)
    layouts = {
        "text": sheet.to_text,
        "markdown": sheet.to_markdown,
        "csv": lambda: csv_text(sheet.columns, [[str(cell) for cell in row] for row in sheet.rows]).rstrip("\n"),
        "latex": sheet.to_latex,
        "json": lambda: json.dumps(found.to_dict(), indent=1, allow_nan=False),
    }
    write_or_print(layouts, cli)
    even = ", ".join(f"{modality} {value:.2f}" for modality, value in found.evenness.items())
    print_note(f"{found.clips:,} clips; evenness of the groups (1 is equal sizes): {even}", cli)
    if found.agreement is not None:
        print_note(f"what groups of sound and of picture have in common (NMI, 0 to 1): {found.agreement:.2f}", cli)
    return DONE


def _sheet(found: "Explored", clips: int) -> "Sheet":
    from valor.eval.tables import Sheet

    columns = ["in", "group", "seconds", "clips", "nearest prompt", "above", "cosine", "next", "clips with most of it"]
    return Sheet(columns=columns, rows=[_row(group, clips) for group in found.groups], left=(0, 4, 7, 8))


def _row(group: "Group", clips: int) -> list[str]:
    first = group.names[0] if group.names else None
    return [
        {"audio": "sound", "visual": "picture"}[group.modality],
        str(group.number),
        f"{group.seconds:g}",
        f"{len(group.members):,}",
        group.name or "-",
        f"{first.above:+.1f}" if first else "-",
        f"{first.cosine:.3f}" if first else "-",
        ", ".join(of.name for of in (group.names[1:] if group.name else group.names)) or "-",
        ", ".join(f"{of.clip_id} ({of.seconds:g} s)" for of in group.members[:clips]),
    ]
