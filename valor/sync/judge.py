"""What is said of media: sound and picture are in step, off by so much, or nobody can say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.progress import progress_bar

from .measure import SyncRun
from .media import Steps, read_steps
from .options import STEP, JudgeOptions

IN_STEP, OFF, CANNOT_SAY, UNREAD = "in step", "off", "cannot say", "not read"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of one file."""

    path: Path
    verdict: str
    """in step, off, cannot say or not read."""
    offset: float | None = None
    """Seconds by which the sound lies behind its picture, below 0 where it comes early; None where nobody can say."""
    confidence: float | None = None
    """How likely the offset is right, to a tenth of a second; None where there was nothing to compare."""
    seconds: float = 0.0
    """How much of it was looked at."""
    note: str = ""
    """Why nothing is said, in words."""
    stamp: str = ""
    """Size and date of the file as it was judged."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "path": str(self.path)}

    @property
    def words(self) -> str:
        """In a few words."""
        if self.verdict != OFF or self.offset is None:
            return self.note or self.verdict
        return f"its sound comes {abs(self.offset):.2f} s {'late' if self.offset > 0 else 'early'}"


def judge_all(
    media: Iterable[tuple[Path, str]], run: SyncRun, options: JudgeOptions, *, progress: bool = False
) -> Iterator[Verdict]:
    """Judge files one after the other; what cannot be read costs that file alone.

    Args:
        media: Files, each with why it cannot be tried, empty where it can.
        run: A trained run.
        options: When something is said.
        progress: Whether to show a progress bar on stderr.
    """
    known = list(media)
    with ProcessReader(DecodeLimits()) as reader:
        for path, problem in progress_bar(known, enabled=progress and len(known) > 1, desc="sync", unit="file"):
            if problem:
                yield Verdict(path=path, verdict=UNREAD, note=problem)
                continue
            stamp = stamp_of(path)
            try:
                steps = read_steps(path, reader, seconds=options.seconds)[0]
            except MediaError as error:
                yield Verdict(path=path, verdict=UNREAD, note=str(error).removeprefix(f"{path.name}: "))
                continue
            yield replace(verdict_of(path, steps, run, options), stamp=stamp)


def stamp_of(path: Path) -> str:
    """Size and date of a file; empty where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


def verdict_of(path: Path, steps: Steps, run: SyncRun, options: JudgeOptions) -> Verdict:
    """Judge what was read of a file."""
    seconds = round(steps.seconds, 1)
    if steps.nothing:
        return Verdict(path=path, verdict=CANNOT_SAY, seconds=seconds, note=steps.nothing)
    peak = run.peak(steps)
    confidence = round(run.confidence(peak), 4)
    if confidence < options.sure:
        note = "nothing in it ties sound to picture"
        return Verdict(path=path, verdict=CANNOT_SAY, confidence=confidence, seconds=seconds, note=note)
    verdict = OFF if abs(peak.offset) > options.tolerance else IN_STEP
    return Verdict(path=path, verdict=verdict, offset=peak.offset, confidence=confidence, seconds=seconds)


def report_of(verdicts: Iterable[Verdict], run: SyncRun, options: JudgeOptions) -> Mapping[str, Any]:
    """Everything as JSON values."""
    return {
        "kind": "synchronisation",
        "run": run.checksum,
        "step": STEP,
        "reach": run.card.reach,
        "options": vars(options),
        "media": [verdict.to_dict() for verdict in verdicts],
    }
