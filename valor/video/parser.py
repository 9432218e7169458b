"""From Python: a parser that is loaded once for any number of media, and parses that a notebook shows as pictures."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from valor.data.parse_file import Parse
from valor.data.shown import picture_html
from valor.eval.figures.style import PICTURES, Style, to_png
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.media.streams import MediaReader

from .formats.formats import FORMATS, format_named, write_events
from .options import ParseOptions, ZeroShotOptions
from .parse import media_reader, parse_media
from .picture import MediaSketch, strip_of
from .trained import ParsingSystem, load_system

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PicturedParse(Parse):
    """A parse with what was seen and heard beside it; the last line of a notebook's cell shows it as a picture."""

    sketch: MediaSketch | None = None
    """Thumbnails and spectrogram; None where evidence is kept, since media may not be decoded then."""

    def plot(
        self,
        *,
        title: str | None = None,
        style: Style | None = None,
        frames: np.ndarray | None = None,
        spectrogram: np.ndarray | None = None,
    ) -> "Figure":
        """As `Parse.plot`, under thumbnails and spectrogram of the media."""
        if self.sketch is not None:
            frames = strip_of(self, self.sketch) if frames is None else frames
            spectrogram = self.sketch.spectrogram() if spectrogram is None else spectrogram
        return super().plot(title=title, style=style, frames=frames, spectrogram=spectrogram)

    def save(self, path: Path | str) -> None:
        """Write it by the ending of the name: everything as .json, a picture, or the events in a format of tools.

        Endings are `.json`, `.png`, `.svg`, `.pdf`, and those of events: `.csv`, `.tsv`, `.audio.csv` and `.visual.csv`
        (LLP), `.dcase.tsv`, `.labels.txt` (Audacity), `.eaf` (ELAN), `.vtt`, `.srt`, `.rttm`, `.fiftyone.json`,
        `.label-studio.json`. Times are on the clock that `valor parse` writes them by: from the start of the media
        for ELAN, Audacity and subtitles, of the container for all else.

        Raises:
            ValueError: The name ends in none of these, or the format cannot hold these events.
        """
        name = format_named(Path(path))
        if name is not None:
            write_events(Path(path), [self], name, clock=FORMATS[name].clock)
        elif Path(path).suffix in (".json", *PICTURES):
            super().save(path)
        else:
            events = ", *".join(kept.ending for kept in FORMATS.values())
            raise ValueError(
                f"{path}: a parse is saved whole as *.json, its picture as *{', *'.join(PICTURES)}, its events as "
                f"*{events}; give a name that ends so"
            )

    @cached_property
    def png(self) -> bytes:
        """The picture."""
        return to_png(self.plot())

    def _repr_png_(self) -> bytes:
        """What IPython shows where it shows pictures."""
        return self.png

    def _repr_html_(self) -> str:
        """What notebooks show: the picture, with the events as its text."""
        return picture_html(repr(self), self.png)


class Parser:
    """Finds what is audible and visible in media; loaded once, used for one file after the other.

    >>> parser = Parser(checkpoint="runs/clips")  # doctest: +SKIP
    >>> parses = [parser(path) for path in films]  # doctest: +SKIP

    Decoding goes on in a process of its own, which stays for the next file, until `close`, the end of a `with` block or
    that of the program. Several threads may call it: their files are parsed one after the other.
    """

    def __init__(
        self,
        *,
        checkpoint: Path | str | None = None,
        zero_shot: str | Sequence[str] | None = None,
        options: ParseOptions | None = None,
        zero_shot_options: ZeroShotOptions | None = None,
        teacher_checkpoints: Mapping[str, str] | None = None,
        device: str = "auto",
    ) -> None:
        """Load it; the arguments are those of `parse`, and so is what they raise."""
        if (checkpoint is None) == (zero_shot is None):
            raise ValueError(
                "give either checkpoint=RUN or zero_shot=NAMES, got " + ("neither" if not checkpoint else "both")
            )
        self.options = options or ParseOptions()
        if zero_shot is not None:
            chosen = zero_shot_options or ZeroShotOptions()
            self.system = _zero_shot(zero_shot, chosen, teacher_checkpoints, self.options.evidence)
        else:
            assert checkpoint is not None
            if zero_shot_options is not None:
                raise ValueError(
                    "zero_shot_options are for zero_shot=NAMES, got checkpoint=RUN; a run names its own teachers"
                )
            self.system = load_system(
                checkpoint, teacher_checkpoints=teacher_checkpoints, device=device, evidence=self.options.evidence
            )
        self._open = ExitStack()
        self._reader: MediaReader | None = None
        self._closed = False
        self._one_call = RLock()

    def __call__(self, path: Path | str, **changes: object) -> PicturedParse:
        """Parse one media file.

        Args:
            path: Any file FFmpeg reads, of any length, with or without sound or a picture.
            changes: Fields of `ParseOptions` that are others for this file, such as `cuts=(4.2, 9.0)`.

        Raises:
            MediaError: The file cannot be parsed; says why.
            ValueError: The options do not fit the system, or the parser is closed.
            TypeError: It is no path, but bytes or an open file; or a change is no field of `ParseOptions`.
        """
        if not isinstance(path, str | PathLike):
            raise TypeError(
                f"a Parser takes the path of a media file, got {type(path).__name__}; write what it holds to a file, "
                "such as a tempfile.NamedTemporaryFile(suffix='.mp4'), and give its name"
            )
        known = [field.name for field in fields(ParseOptions)]
        if strangers := [name for name in changes if name not in known]:
            near = did_you_mean(strangers[0], known)
            raise TypeError(
                f"changes must be fields of ParseOptions, got {strangers[0]!r}{near}; see its documentation"
            )
        options = replace(self.options, **changes)  # type: ignore[arg-type]
        sketch = MediaSketch() if options.evidence is None else None
        watch = sketch.watch if sketch is not None else None
        with self._one_call:
            if self._closed:
                raise ValueError(f"a closed Parser parses no more, got {path}; make another, or call it before `close`")
            if self._reader is None:
                self._reader = self._open.enter_context(media_reader(self.options))
            parse = parse_media(self.system, Path(path), options, watch=watch, reader=self._reader)
        return PicturedParse(**{field.name: getattr(parse, field.name) for field in fields(parse)}, sketch=sketch)

    def __enter__(self) -> "Parser":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Wait for a file that is being parsed, end the process that decodes, and take no other file."""
        with self._one_call:
            self._closed, self._reader = True, None
            self._open.close()


def parse(
    path: Path | str,
    *,
    checkpoint: Path | str | None = None,
    zero_shot: str | Sequence[str] | None = None,
    options: ParseOptions | None = None,
    zero_shot_options: ZeroShotOptions | None = None,
    teacher_checkpoints: Mapping[str, str] | None = None,
    device: str = "auto",
) -> PicturedParse:
    """Find what is audible and visible in one media file; for many, make a `Parser` once.

    Args:
        path: Any file FFmpeg reads, of any length, with or without sound or a picture.
        checkpoint: The run folder of a trained parser.
        zero_shot: In place of a run, the names of classes, or a vocabulary file, that the teachers alone look for.
        options: None for the defaults.
        zero_shot_options: With `zero_shot`, its teachers, thresholds and temperature; None for the defaults.
        teacher_checkpoints: By role (audio, visual), a local weight file of its teacher.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.

    Raises:
        MediaError: The file cannot be parsed; says why.
        ValueError: Neither or both of `checkpoint` and `zero_shot` are given, options are for the other one, or the run
            cannot parse media.
    """
    with Parser(
        checkpoint=checkpoint,
        zero_shot=zero_shot,
        options=options,
        zero_shot_options=zero_shot_options,
        teacher_checkpoints=teacher_checkpoints,
        device=device,
    ) as parser:
        return parser(path)


def _zero_shot(
    names: str | Sequence[str],
    chosen: ZeroShotOptions,
    teacher_checkpoints: Mapping[str, str] | None,
    evidence: Path | None,
) -> ParsingSystem:
    from .zero_shot import load_zero_shot

    return load_zero_shot(
        names,
        teachers=chosen.teachers,
        teacher_checkpoints=teacher_checkpoints,
        thresholds=None if chosen.thresholds is None else Path(chosen.thresholds),
        temperature=chosen.temperature,
        decoys=chosen.decoys,
        segment_seconds=chosen.segment_seconds,
        evidence=evidence,
    )
