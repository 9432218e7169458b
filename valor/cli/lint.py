"""`valor lint`."""

import argparse
from collections import Counter
from pathlib import Path

from valor.data.datasets.dataset import DataSet, dataset_of
from valor.data.lint import LintReport, lint_folder, to_text, with_findings

from .command import DONE, FAILURES_LISTED, Commands, add_shared, new_command
from .options import Parser
from .sync import of_the_set
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
        "valor lint data --strict\nvalor lint data --videos data/videos --sync runs/sync",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="folder of the annotation tables")
    command.add_argument("--strict", action="store_true", help="take every defect for a failure (exit code 3)")
    add_shared(command, "truth", "names")
    command.add_argument("--top", type=int, default=3, metavar="N", help="findings shown of each kind and table (3)")
    command.add_argument("--videos", type=Path, metavar="DIR", help="clips, to look for sound that is off its picture")
    command.add_argument("--sync", type=Path, metavar="RUN", help="run of `valor sync fit` that tells; with --videos")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if not cli.folder.is_dir():
        raise FileNotFoundError(f"{cli.folder}: no such folder; give the one that holds the annotation tables")
    if cli.top < 0:
        raise ValueError(f"--top must be 0 or more, got {cli.top}")
    if (cli.videos is None) != (cli.sync is None):
        raise ValueError("--videos DIR says where clips are and --sync RUN judges them; give both or neither")
    dataset = dataset_of(cli.folder)
    names = dataset.names_in(cli.folder, cli.classes)
    report = lint_folder(cli.folder, names, dataset=dataset, truth_version=cli.truth)
    judged = ""
    if cli.videos is not None:
        report, judged = _with_sync(report, dataset, cli)
    say("\n".join(map(brief, to_text(report, limit=cli.top).split("\n"))))
    of = report.severities()
    failing = of["refused"] or (cli.strict and of["defect"])
    say(f"\n{judged}{_verdict(of, strict=cli.strict)}")
    return FAILURES_LISTED if failing else DONE


def _with_sync(report: LintReport, dataset: DataSet, cli: argparse.Namespace) -> tuple[LintReport, str]:
    """A report with the clips whose sound is off, and how many could be judged."""
    from valor.label_harvest.store.videos import find_media
    from valor.sync.judge import CANNOT_SAY, OFF, UNREAD, judge_all, together
    from valor.sync.measure import read_run
    from valor.sync.options import JudgeOptions

    if not cli.videos.is_dir():
        raise FileNotFoundError(f"{cli.videos}: no such folder; --videos gives the one of the clips")
    trained, ids = read_run(cli.sync), dict.fromkeys(i for split in report.clips for i in _ids(dataset, split, cli))
    found = {path: clip_id for clip_id, path in find_media(cli.videos, list(ids)).items() if path is not None}
    options = JudgeOptions()
    verdicts = list(judge_all([(path, "") for path in found], trained, options, progress=not cli.quiet))
    counts = Counter(verdict.verdict for verdict in verdicts)
    off = [(one.path.name, found[one.path], one.words) for one in verdicts if one.verdict == OFF]
    judged = (
        f"sound and picture: {len(found):,} of {len(ids):,} clips looked at, {counts[OFF]} off, "
        f"{counts[CANNOT_SAY]} of which nobody can say, {counts[UNREAD]} not read\n"
    )
    both = together(verdicts, trained, options)
    if both is not None:
        judged += f"sound and picture: {of_the_set(both)}\n"
    return with_findings(report, "sound-off", off), judged


def _ids(dataset: DataSet, split: str, cli: argparse.Namespace) -> tuple[str, ...]:
    """Clips of a split whose table can be read; what keeps others from it is among the findings."""
    try:
        return tuple(dataset.read_ids(cli.folder, split))
    except (OSError, ValueError):
        return ()


def _verdict(of: Counter[str], *, strict: bool) -> str:
    """The last line: how many findings of each severity there are and what that means."""
    if of["refused"]:
        return f"{of['refused']} of {of.total()} findings make scoring refuse the tables; mend those rows"
    if not of["defect"]:
        return f"clean, {of['note']} notes" if of["note"] else "clean"
    if strict:
        return f"{of['defect']} defects, refused by --strict"
    return f"{of['defect']} defects, each scored by the policy in its heading; --strict takes them for failures"
