"""Many media files parsed into one folder: what is done is skipped, what fails is listed, the rest goes on."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval.canvas import ON_SCREEN, Style
from label_harvest.media import MediaError
from label_harvest.media_streams import MediaReader
from valor.event_outputs.formats import FORMATS, events_text, write_events
from valor.parse_json import read_parse, write_parse
from valor.parses import Parse
from valor.parsing import ParseOptions, describe_options, media_reader, parse_media
from valor.parsing_inputs import MediaInput, digest_name
from valor.parsing_sketch import MediaSketch
from valor.parsing_system import ParsingSystem

_LOG = logging.getLogger(__name__)

JSON, PICTURES = ".json", ("png", "svg")
"""Ending of the file that says a media file is done, and the formats of the picture."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What becomes of each parse."""

    out: Path | None = None
    """Folder of the results, NAME.json and more; None writes none."""
    formats: tuple[str, ...] = ()
    """Besides JSON: png, svg, and keys of `FORMATS`."""
    clock: str = "container"
    """Of the event formats."""
    style: Style = ON_SCREEN
    """Of the picture."""
    again: bool = False
    """Whether media that are done are parsed again."""
    sketched: bool = False
    """Whether frames and sound are kept for a picture even if none is among the formats."""
    parsing: ParseOptions = field(default_factory=ParseOptions)

    def __post_init__(self) -> None:
        """Refuse unknown formats."""
        unknown = [name for name in self.formats if name not in (*PICTURES, *FORMATS, "json")]
        if unknown:
            known = ", ".join(("json", *PICTURES, *FORMATS))
            raise ValueError(f"formats must be among {known}, got {', '.join(unknown)}")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one input."""

    media: MediaInput
    parse: Parse | None = None
    sketch: MediaSketch | None = None
    problem: str = ""
    """Why there is no parse; empty where there is one."""
    skipped: bool = False
    """Whether it was done before."""


def parse_all(
    system: ParsingSystem, inputs: Sequence[MediaInput], options: BatchOptions, *, progress: bool = True
) -> Iterator[Outcome]:
    """Parse inputs one after the other; each is written whole before the next one begins.

    Args:
        system: Who parses.
        inputs: From `find_inputs`.
        options: What becomes of each parse.
        progress: Whether to show a progress bar on stderr, in seconds of media.

    Yields:
        One outcome for each input, in their order. Media that cannot be parsed are outcomes with a problem.

    Raises:
        OSError: The folder cannot be written.
    """
    with media_reader(options.parsing) as reader:
        for number, given in enumerate(inputs, start=1):
            media = _not_anothers(given, options)
            done = None if options.again or media.problem else _done(system, media, options)
            if done is not None:
                _LOG.info("%s: parsed before", media.path)
                _count_anew(media, done, options)
                yield Outcome(media=media, parse=done, skipped=True)
            elif media.problem:
                yield Outcome(media=media, problem=f"{media.path}: {media.problem}")
            else:
                count = f"[{number}/{len(inputs)}] " if len(inputs) > 1 else ""
                said = f"{count}{media.path.name[:30]}" if progress else None
                yield _parse_one(system, media, options, reader, said)


def _parse_one(
    system: ParsingSystem, media: MediaInput, options: BatchOptions, reader: MediaReader, said: str | None
) -> Outcome:
    wants_picture = options.sketched or bool(set(PICTURES) & set(options.formats))
    sketch = MediaSketch() if wants_picture else None
    try:
        with tqdm(desc=said, unit="s", total=0, disable=said is None, leave=False, bar_format=_BAR) as bar:
            watch = sketch.watch if sketch else None
            parse = parse_media(system, media.path, options.parsing, watch=watch, bar=bar, reader=reader)
    except MediaError as error:
        return Outcome(media=media, problem=str(error))
    except (MemoryError, OverflowError) as error:
        return Outcome(media=media, problem=f"{media.path.name}: takes more memory than there is ({error})")
    try:
        if options.out is not None:
            _write(options.out, media, parse, sketch, options)
    except ValueError as error:  # a format that cannot hold these events
        return Outcome(media=media, problem=str(error))
    return Outcome(media=media, parse=parse, sketch=sketch)


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of media [{elapsed}<{remaining}]"


def _write(out: Path, media: MediaInput, parse: Parse, sketch: MediaSketch | None, options: BatchOptions) -> None:
    """Every format, and the JSON last, which says that all are there."""
    for name in options.formats:
        path = _path(out, media, name)
        if name in PICTURES:
            from valor.parsing_picture import write_picture

            write_picture(path, parse, sketch, style=options.style)
        elif name in FORMATS:
            write_events(path, [parse], name, clock=options.clock)
    write_parse(out / f"{media.name}{JSON}", parse)


def _not_anothers(media: MediaInput, options: BatchOptions) -> MediaInput:
    """The input under a name of its own where the results of its name are those of another file."""
    if options.out is None or media.problem:
        return media
    try:
        held, size = read_parse(options.out / f"{media.name}{JSON}").media, media.path.stat().st_size
    except (OSError, ValueError):
        return media
    moved = held.size == size and not Path(held.path).exists()
    if held.path == str(media.path.absolute()) or moved:
        return media
    named = replace(media, name=digest_name(media.path))
    _LOG.warning("%s%s is that of %s; %s becomes %s", media.name, JSON, held.path, media.path, f"{named.name}{JSON}")
    return named


def _count_anew(media: MediaInput, parse: Parse, options: BatchOptions) -> None:
    """Write the events of an earlier run again where they count by another clock than is asked for."""
    assert options.out is not None
    for name in options.formats:
        if name not in FORMATS or FORMATS[name].from_start or not parse.media.start_time:
            continue
        path = _path(options.out, media, name)
        if path.read_bytes() != events_text([parse], name, clock=options.clock).encode():
            write_events(path, [parse], name, clock=options.clock)
            _LOG.info("%s: written again, counted by the clock %s", path, options.clock)


def _path(out: Path, media: MediaInput, name: str) -> Path:
    ending = FORMATS[name].ending if name in FORMATS else f".{name}"
    return out / f"{media.name}{ending}"


def _done(system: ParsingSystem, media: MediaInput, options: BatchOptions) -> Parse | None:
    """The parse of an earlier run, if it is of this file, by this system and rule, and all formats are there."""
    if options.out is None or not all(_path(options.out, media, name).is_file() for name in options.formats):
        return None
    try:
        written = options.out / f"{media.name}{JSON}"
        parse, facts = read_parse(written), media.path.stat()
        changed = facts.st_mtime > written.stat().st_mtime  # recordings of one length often have one size
    except (OSError, ValueError):
        return None
    rule = options.parsing.rule or system.default_rule
    of_this = parse.media.path == str(media.path.absolute()) and parse.media.size == facts.st_size
    same = _who(parse.system) == _who(describe_options(system, options.parsing)) and parse.decision == rule
    return parse if of_this and same and not changed else None


def _who(system: Mapping[str, Any]) -> dict[str, Any]:
    """A system but for where its run lies: the checkpoint says which it is."""
    return {name: value for name, value in system.items() if name != "run"}
