"""`valor doctor`."""

import argparse
from pathlib import Path

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Parser
from .terminal import say


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "doctor",
        "Looks at the packages, the device, the teachers' weights and, with --data, at annotations and features.\n"
        "Asks nothing of a network. With --teachers, lists the teachers that have a short name: what each takes in\n"
        "and reads, its licence, and what is to be downloaded.",
        "valor doctor --data data\nvalor doctor --teachers",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="also look at this data folder")
    command.add_argument("--teachers", action="store_true", help="list the teachers that have a short name instead")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.doctor import examine, teacher_lines

    if cli.teachers:
        for line in teacher_lines():
            say(line)
        return DONE
    findings = examine(cli.data)
    for finding in findings:
        remedy = f"  -> {finding.remedy}" if finding.remedy else ""
        say(f"{finding.state:8s}{finding.subject:26s}{finding.found}{remedy}")
    missing = [finding for finding in findings if finding.state == "missing"]
    if not missing:
        say("\nall that is needed is here; try: valor demo")
        return DONE
    say(f"\n{len(missing)} thing{'s are' if len(missing) > 1 else ' is'} missing:")
    for finding in missing:
        say(f"  {finding.subject}" + (f": {finding.remedy}" if finding.remedy else ""))
    return FAILURES_LISTED
