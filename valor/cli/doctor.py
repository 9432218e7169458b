"""`valor doctor`."""

import argparse
from pathlib import Path
from textwrap import indent

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Parser, typed_words
from .terminal import say

WORDS = {"checkpoints": "--teacher-checkpoint"}
"""How a remedy is typed, for the commands that take it."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "doctor",
        "Looks at the packages, the device, the teachers' weights and, with --data, at annotations and features.\n"
        "Asks nothing of a network. Ends with 3 where something is missing; weights that a first use would fetch are\n"
        "notes, unless --weights asks for them. Where numpy and pandas alone are installed, says what that is enough\n"
        "for. With --teachers, lists the teachers that have a short name: what each takes in and reads, its licence,\n"
        "and what is to be downloaded.",
        "valor doctor --data data --weights clip-vit-l14,clap-630k-fusion\nvalor doctor --teachers",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="also look at this data folder")
    command.add_argument(
        "--weights",
        metavar="NAMES",
        default="",
        help="teachers whose weights must be on this machine and who must read the captions of the classes (those of "
        "--data, or LLP's), joined by commas: names as `valor harvest` takes them",
    )
    command.add_argument("--teachers", action="store_true", help="list the teachers that have a short name instead")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.doctor import SCORES_ONLY, examine, teacher_lines, weight_findings

    if cli.teachers:
        for line in teacher_lines():
            say(line)
        return DONE
    asked = [name for name in cli.weights.split(",") if name]
    findings = examine(cli.data) + weight_findings(asked, cli.data, progress=not cli.quiet)
    for finding in findings:
        remedy = f"  -> {typed_words(finding.remedy, WORDS)}" if finding.remedy else ""
        say(f"{finding.state:8s}{finding.subject + '  ':26s}{finding.found}{remedy}")
        if finding.table:
            say(indent(typed_words(finding.table, WORDS), " " * 8))
    missing = [finding for finding in findings if finding.state == "missing"]
    if not missing:
        alone = any(finding.subject == SCORES_ONLY for finding in findings)
        say("\nall that scores need is here" if alone else "\nall that is needed is here; try: valor demo")
        return DONE
    say(f"\n{len(missing)} thing{'s are' if len(missing) > 1 else ' is'} missing:")
    for finding in missing:
        say(f"  {finding.subject}" + (f": {typed_words(finding.remedy, WORDS)}" if finding.remedy else ""))
    return FAILURES_LISTED
