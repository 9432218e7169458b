"""How media are parsed and what becomes of it, as values: nothing here waits for torch."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valor.data.rows import plain_seconds
from valor.eval.decide import PostProcessing
from valor.eval.figures.style import ON_SCREEN, Style
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.tracks import check_track

from .formats.formats import FORMATS

PICTURES = ("png", "svg", "pdf")
"""Formats of the picture of a parse."""


AUTO, NONE = "auto", "none"
"""What `ParseOptions.cuts` may be besides times."""

EVIDENCE = "evidence"
"""Folder of what the teachers found, among the results."""
SHARED = "shared"
FRAMES = (SHARED, "window")
"""What `ParseOptions.frames` may be."""
BY_WINDOWS = "windows"
WHERE_BY = (AUTO, BY_WINDOWS)
"""What `ParseOptions.where_by` may be."""

DEFAULT_TEACHERS = {"audio": "clap-630k-fusion", "visual": "clip-vit-l14"}
"""Who listens and who looks unless others are named."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotOptions:
    """Who looks for classes without training, and how sure it must be."""

    teachers: Mapping[str, str] = field(default_factory=dict)
    """By role (audio, visual), the name of a teacher; those that are not named are `DEFAULT_TEACHERS`."""
    thresholds: Path | str | None = None
    """What `valor calibrate` made of zero-shot parses, or label thresholds (the vocabulary's, else decoys decide)."""
    temperature: float = 1.0
    """With `zero_shot` and label thresholds: how gradually probabilities change around them, in logits."""
    decoys: Path | str | None = None
    """With `zero_shot`: a file of captions that stand for nothing in particular, or `none` to decide by thresholds on
    logits alone (a neutral list of each modality)."""
    segment_seconds: float = 1.0
    """With `zero_shot`: seconds of a segment; less than one for teachers that can tell such segments apart."""


@dataclass(frozen=True, kw_only=True)
class ParseOptions:
    """How media are parsed."""

    hop: int | None = None
    """Segments from window to window (half a window)."""
    rule: PostProcessing | None = None
    """Thresholds and gate; None for those of the system."""
    windows_per_batch: int = 8
    """Windows that go through the networks together at most."""
    cuts: str | tuple[float, ...] = AUTO
    """Where the film is cut, so that no window lies across: `auto` looks for cuts of the picture in media longer than a
    window, and without a picture for changes of the sound; `none` takes the film for one shot; or seconds on the clock
    of the container, ascending."""
    frames: str = SHARED
    """Which picture a segment of media longer than a window has: shared, the same in every window, so that a teacher
    looks at each second once; or window, the one that the published rule takes of each window."""
    evidence: Path | None = None
    """Folder in which what the teachers found of media longer than a window is kept and looked for; None keeps
    nothing."""
    where: bool = False
    """Whether it is said where in the picture each visible event is (of the 50 most probable): the picture is decoded
    once more, and frames of events go through the visual teacher again."""
    where_by: str = AUTO
    """With `where`, how: auto asks a vision transformer of CLIP for its patches, in one pass, and shows windows of the
    picture alone to other teachers; windows shows them to all, a hundred passes for a picture that find more."""
    audio_track: str | None = None
    """Which of several audio tracks is heard: its position, from 0 as FFmpeg's 0:a:N counts, or its language, such as
    eng (the one FFmpeg plays)."""
    salvage: bool = False
    """Whether a damaged file is parsed but for what cannot be decoded, where there are no probabilities, and a note
    says when; it is decoded once more to see."""
    hashed: bool = True
    """Whether the sha256 of the file is noted, which reads it once more."""
    limits: DecodeLimits | None = field(default_factory=DecodeLimits)
    """Seconds decoding may stand still, and memory it may take, in a process of its own; None decodes in this one."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing."""
        for name in ("hop", "windows_per_batch"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        check_track(self.audio_track)
        if self.frames not in FRAMES:
            raise ValueError(
                f"frames must be one of {', '.join(FRAMES)}, got {self.frames!r:.80}{did_you_mean(self.frames, FRAMES)}"
            )
        if self.where_by not in WHERE_BY:
            raise ValueError(
                f"where_by must be one of {', '.join(WHERE_BY)}, got {self.where_by!r:.80}"
                f"{did_you_mean(self.where_by, WHERE_BY)}"
            )
        if self.where_by != AUTO and not self.where:
            raise ValueError(
                f"where_by={self.where_by} says how `where` is found, which is not asked for; ask for both"
            )
        if self.evidence is not None and self.evidence.exists() and not self.evidence.is_dir():
            raise ValueError(f"evidence must be a folder, or none, got {self.evidence}, which is no folder")
        if isinstance(self.cuts, str) and self.cuts not in (AUTO, NONE):
            raise ValueError(f"cuts must be auto, none, or times in seconds, got {self.cuts!r:.80}")
        if not isinstance(self.cuts, str) and (
            list(self.cuts) != sorted(set(self.cuts)) or not all(map(math.isfinite, self.cuts))
        ):
            raise ValueError("cuts must be times in seconds, ascending, none of them twice")


def read_cuts(path: Path) -> tuple[float, ...]:
    """The cuts of a film: a time in seconds on each line, of which what stands behind a tab or comma is passed over.

    Raises:
        ValueError: The file is no text, a line holds no time, or times do not ascend; says which.
    """
    cuts: list[float] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a time in seconds on each line, got no UTF-8 text ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        time = plain_seconds(re.split("[\t,]", line)[0])
        if time is None or (cuts and time <= cuts[-1]):
            raise ValueError(
                f"{path}:{number}: expected a time in seconds, later than the one before, got {line!r:.80}"
            )
        cuts.append(time)
    return tuple(cuts)


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What becomes of each parse."""

    out: Path | None = None
    """Folder of the results, NAME.json and more; None writes none."""
    formats: tuple[str, ...] = ()
    """What `out` gets besides JSON: png, svg, pdf, elan, and the other event formats."""
    taken: tuple[Path, ...] = ()
    """Files that something else is written to, which no result may be called."""
    clock: str | None = None
    """What counts as second 0 in files of events: zero, the start of what plays, or container, what the file itself
    calls so. It matters for recordings of television (.ts) and cut files, whose own count may begin at 18: a bark three
    seconds in is then at 3 or at 21. Unsaid, it is zero for ELAN, Audacity and subtitles, container for all else."""
    style: Style = ON_SCREEN
    """Colours and sizes of the picture."""
    again: bool = False
    """Parse again what is done."""
    keeps: bool = False
    """Whether a parse of another run, or of none, that lies in `out` stays unless `again` is said, as in a folder that
    nobody named; one of other classes stays wherever somebody corrected events of `out`."""
    sketched: bool = False
    """Whether frames and sound are kept for a picture even if none is among the formats."""
    parsing: ParseOptions = field(default_factory=ParseOptions)

    def __post_init__(self) -> None:
        """Refuse unknown formats."""
        unknown = [name for name in self.formats if name not in (*PICTURES, *FORMATS, "json")]
        if unknown:
            known = ("json", *PICTURES, *FORMATS)
            near = did_you_mean(unknown[0], known)
            raise ValueError(f"formats must be among {', '.join(known)}, got {', '.join(unknown)}{near}")
