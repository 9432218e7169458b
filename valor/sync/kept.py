"""What was judged before: a call that was stopped goes on, and a finished one judges only what is new or has changed.

As files are judged a line of JSON each is added to OUT.part, which goes when OUT is written; of a finished OUT, its
verdicts are taken where it is JSON. They count for the same run and options, for files of the same size and date.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from valor.label_harvest.strict_json import loads

from .judge import UNREAD, Verdict, judge_all, stamp_of
from .measure import SyncRun
from .options import JudgeOptions

PART = ".part"


def judge_kept(
    media: Sequence[tuple[Path, str]], run: SyncRun, options: JudgeOptions, out: Path, *, progress: bool = False
) -> tuple[list[Verdict], int]:
    """Judge files of which nothing is kept.

    Args:
        media: Files, each with why it cannot be tried, empty where it can.
        run: A trained run.
        options: When something is said.
        out: Where the verdicts will be written; `finished` tells that they were.
        progress: Whether to show a progress bar on stderr.

    Returns:
        Of every file its verdict, and of how many it was kept.
    """
    identity = {"run": run.checksum, "options": vars(options)}
    found = {**_held(_report(out), identity), **_held(_lines(part_of(out)), identity)}
    found = {path: verdict for path, verdict in found.items() if verdict.stamp and verdict.stamp == stamp_of(path)}
    kept = {path: found[path] for path, _ in media if path in found}
    todo = [(path, problem) for path, problem in media if path not in kept]
    judged = {}
    out.parent.mkdir(parents=True, exist_ok=True)
    with part_of(out).open("w", encoding="utf-8") as journal:
        for verdict in kept.values():
            journal.write(json.dumps({**identity, "media": [verdict.to_dict()]}) + "\n")
        for verdict in judge_all(todo, run, options, progress=progress):
            judged[verdict.path] = verdict
            journal.write(json.dumps({**identity, "media": [verdict.to_dict()]}) + "\n")
            journal.flush()
    return [(kept.get(path) or judged[path]) for path, _ in media], len(kept)


def finished(out: Path) -> None:
    """Remove what was kept of a call whose verdicts are written."""
    part_of(out).unlink(missing_ok=True)


def part_of(out: Path) -> Path:
    """Where verdicts lie until all are there."""
    return out.with_name(out.name + PART)


def _report(out: Path) -> list[str]:
    return [out.read_text(encoding="utf-8", errors="replace")] if out.suffix == ".json" and out.is_file() else []


def _lines(part: Path) -> list[str]:
    return part.read_text(encoding="utf-8", errors="replace").splitlines() if part.is_file() else []


def _held(texts: Sequence[str], identity: Mapping[str, Any]) -> dict[Path, Verdict]:
    """Verdicts of the same run and options; what was cut off, or is something else, holds none."""
    held = {}
    for text in texts:
        try:
            said = loads(text)
            if {name: said[name] for name in identity} != identity:
                continue
            verdicts = [Verdict(**{**one, "path": Path(one["path"])}) for one in said["media"]]
        except (ValueError, KeyError, TypeError):
            continue
        held.update({verdict.path: verdict for verdict in verdicts if verdict.verdict != UNREAD})
    return held
