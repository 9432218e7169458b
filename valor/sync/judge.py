"""What is said of media: sound and picture are in step, off by so much, or nobody can say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.progress import progress_bar

from .measure import Peak, SyncRun, peak_of
from .media import Steps, read_steps
from .options import FOUND, STEP, JudgeOptions

IN_STEP, OFF, CANNOT_SAY, UNREAD = "in step", "off", "cannot say", "not read"
HUNDREDTHS = 100
"""What evidence is written in."""


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
    """Why nothing is said, or what differs within it, in words."""
    windows: int = 0
    """Of how many windows the evidence is the sum."""
    evidence: str = ""
    """How much less likely each shift is than the best, from early to late: logarithms in hundredths, with spaces."""
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
        late = f"its sound comes {abs(self.offset):.2f} s {'late' if self.offset > 0 else 'early'}"
        return f"{late}; {self.note}" if self.note else late


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
    windows = run.evidence(steps)
    said = windows.sum(axis=0)
    verdict = _said(path, peak_of(said, len(windows)), run, options)
    below = np.rint(HUNDREDTHS * (said - said.max())).astype(int).tolist()
    verdict = replace(verdict, seconds=seconds, windows=len(windows), evidence=" ".join(map(str, below)))
    return _in_halves(verdict, windows, run, options)


def _said(path: Path, peak: Peak, run: SyncRun, options: JudgeOptions) -> Verdict:
    confidence = round(run.confidence(peak), 4)
    if confidence < options.sure or (not run.card.learned and options.sure > 0):
        note = "nothing in it ties sound to picture" if run.card.learned else "its run has learned nothing of offsets"
        return Verdict(path=path, verdict=CANNOT_SAY, confidence=confidence, note=note)
    verdict = OFF if abs(peak.offset) > options.tolerance else IN_STEP
    return Verdict(path=path, verdict=verdict, offset=peak.offset, confidence=confidence)


def _in_halves(whole: Verdict, windows: npt.NDArray[np.float64], run: SyncRun, options: JudgeOptions) -> Verdict:
    """The verdict of a whole file, or that of the half that is more off where both are sure and differ."""
    middle = len(windows) // 2
    as_sure = replace(options, sure=max(options.sure, JudgeOptions.sure))
    halves = [
        _said(whole.path, peak_of(half.sum(axis=0), len(half)), run, as_sure)
        for half in (windows[:middle], windows[middle:])
        if len(half)
    ]
    offsets = [half.offset for half in halves if half.offset is not None]
    if len(offsets) < 2 or abs(offsets[0] - offsets[1]) <= 2 * FOUND:
        return whole
    half = max(halves, key=lambda one: abs(one.offset or 0.0))
    note = f"its first half is at {offsets[0]:+.2f}, its second at {offsets[1]:+.2f}"
    return replace(whole, verdict=half.verdict, offset=half.offset, confidence=half.confidence, note=note)


def together(verdicts: Sequence[Verdict], run: SyncRun, options: JudgeOptions) -> Verdict | None:
    """What is said of a set of files with the same fault: what each says of shifts is summed.

    Returns:
        None where there are not two files to sum, nobody can say, or a file that is sure by itself says otherwise.
    """
    some = [one for one in verdicts if one.evidence]
    if len(some) < 2:
        return None
    said = sum(np.array(one.evidence.split(), np.float64) for one in some) / HUNDREDTHS
    peak = peak_of(np.asarray(said), sum(one.windows for one in some))
    found = _said(Path(), peak, run, options)
    others = [one for one in some if one.offset is not None and abs(one.offset - peak.offset) > options.tolerance]
    return None if found.verdict == CANNOT_SAY or others else replace(found, windows=peak.windows)


def report_of(verdicts: Sequence[Verdict], run: SyncRun, options: JudgeOptions) -> Mapping[str, Any]:
    """Everything as JSON values."""
    both = together(verdicts, run, options)
    names = ("verdict", "offset", "confidence", "windows")
    return {
        "kind": "synchronisation",
        "run": run.checksum,
        "step": STEP,
        "reach": run.card.reach,
        "options": vars(options),
        "together": both and {name: getattr(both, name) for name in names},
        "media": [verdict.to_dict() for verdict in verdicts],
    }
