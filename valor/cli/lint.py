"""`valor lint`."""

import argparse
from collections import Counter
from pathlib import Path

from valor.data.datasets.dataset import dataset_of
from valor.data.lint import lint_folder, to_text

from .command import DONE, FAILURES_LISTED, Commands, add_shared, new_command
from .options import Parser
from .terminal import brief, say


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "lint",
        "Looks for names of no clip, events without length, beyond their clip, twice or overlapping, for clips\n"
        "without rows, tags that differ from the dense labels, wrong columns, unknown classes. Each kind is printed\n"
        "with its policy: what the published scorer silently does, and this project with it, so that figures stay\n"
        "comparable. LLP's own tables have many such defects. Exit code 0: clean, or nothing but defects with a\n"
        "policy; 3: rows no rule covers, which scoring refuses, or with --strict any defect at all.",
        "valor lint data --strict",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="folder of the annotation tables")
    command.add_argument("--strict", action="store_true", help="take every defect for a failure (exit code 3)")
    add_shared(command, "truth", "names")
    command.add_argument("--limit", type=int, default=3, metavar="N", help="findings shown of each kind and table (3)")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if not cli.folder.is_dir():
        raise FileNotFoundError(f"{cli.folder}: no such folder; give the one that holds the annotation tables")
    if cli.limit < 0:
        raise ValueError(f"--limit must be 0 or more, got {cli.limit}")
    dataset = dataset_of(cli.folder)
    names = dataset.names_in(cli.folder, cli.classes)
    report = lint_folder(cli.folder, names, dataset=dataset, truth_version=cli.truth)
    say("\n".join(map(brief, to_text(report, limit=cli.limit).split("\n"))))
    of = report.severities()
    failing = of["refused"] or (cli.strict and of["defect"])
    say(f"\n{_verdict(of, strict=cli.strict)}")
    return FAILURES_LISTED if failing else DONE


def _verdict(of: Counter[str], *, strict: bool) -> str:
    """The last line: how many findings of each severity there are and what that means."""
    if of["refused"]:
        return f"{of['refused']} of {of.total()} findings make scoring refuse the tables; mend those rows"
    if not of["defect"]:
        return f"clean, {of['note']} notes" if of["note"] else "clean"
    if strict:
        return f"{of['defect']} defects, refused by --strict"
    return f"{of['defect']} defects, each scored by the policy in its heading; --strict takes them for failures"
