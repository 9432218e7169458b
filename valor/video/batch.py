"""Many media files parsed into one folder: what is done is skipped, what fails is listed, the rest goes on."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valor.data.journal import CORRECTIONS, JOURNAL
from valor.data.parse_file import Parse, read_parse, write_parse
from valor.data.parsed_media import MediaInfo, is_file_of
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.streams import MediaReader
from valor.label_harvest.progress import progress_bar
from valor.video.formats.formats import FORMATS, events_text, write_events
from valor.video.formats.written import keep_edited

from .options import BY_WINDOWS, PICTURES, BatchOptions, ParseOptions
from .parse import describe_options, media_reader, parse_media, rule_of
from .paths import MediaInput, kinds_there, name_results, result_path, result_paths
from .picture import MediaSketch
from .trained import ParsingSystem

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one input."""

    media: MediaInput
    parse: Parse | None = None
    sketch: MediaSketch | None = None
    problem: str = ""
    """Why there is no parse, or which of its outputs could not be written; empty where all went well."""
    skipped: bool = False
    """Whether it was done before."""
    written: tuple[Path, ...] = ()
    """The JSON and what was written beside it."""


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
        OSError: The folder cannot be written; says what is and what to do.
        ValueError: The rule does not fit the system.
    """
    rule_of(system, options.parsing)  # which is refused before anything is said of names
    if options.out is not None:
        inputs = name_results(inputs, options.out, options.formats, options.taken)
    with media_reader(options.parsing) as reader:
        for number, media in enumerate(inputs, start=1):
            done = None if options.again or media.problem else _done(system, media, options)
            if done is not None:
                _LOG.debug("%s: parsed before", media.path)
                yield Outcome(media=media, parse=done, skipped=True, problem=_complete(media, done, options))
            elif stands := _of_another(system, media, options):
                yield Outcome(media=media, problem=stands)
            elif media.problem:
                yield Outcome(media=media, problem=f"{media.path}: {media.problem}")
            else:
                count = f"[{number}/{len(inputs)}] " if len(inputs) > 1 else ""
                said = f"{count}{media.path.name[:30]}" if progress else None
                yield _parse_one(system, media, options, reader, said)


def _parse_one(
    system: ParsingSystem, media: MediaInput, options: BatchOptions, reader: MediaReader, said: str | None
) -> Outcome:
    options = replace(options, formats=_formats_there(media, options))
    wants_picture = options.sketched or bool(set(PICTURES) & set(options.formats))
    sketch = MediaSketch() if wants_picture else None
    try:
        with progress_bar(desc=said, unit="s", total=0, enabled=said is not None, leave=False, bar_format=_BAR) as bar:
            watch = sketch.watch if sketch else None
            parse = parse_media(system, media.path, options.parsing, watch=watch, bar=bar, reader=reader)
    except MediaError as error:
        return Outcome(media=media, problem=f"{error}{_left_there(media, options)}")
    except (MemoryError, OverflowError) as error:
        return Outcome(media=media, problem=f"{media.path.name}: takes more memory than there is ({error})")
    other = not options.again and (held := _held(media, options)) is not None and not _is_by(held, system, options)
    try:
        problem = "" if options.out is None else _write(options.out, media, parse, sketch, options)
    except OSError as error:
        what = f"{error.filename or options.out}: cannot be written ({error.strerror or error})"
        raise OSError(f"{what}; make room or give another `out`, and run again: what is finished is kept") from error
    written = [] if options.out is None else result_paths(options.out, media.name, options.formats)
    if other:
        _LOG.warning("%s: replaces the parse that stood there, of another system or other options", written[0])
    there = tuple(path for path in written if path.exists())
    return Outcome(media=media, parse=parse, sketch=sketch, problem=problem, written=there)


def _left_there(media: MediaInput, options: BatchOptions) -> str:
    """What is said of a file that cannot be parsed where the parse of another lies under its name; empty elsewhere."""
    if options.out is None:
        return ""
    written = result_path(options.out, media.name, "json")
    try:
        held = read_parse(written).media
        if held.path != str(media.path.absolute()) or is_file_of(held, media.path) is not False:
            return ""
    except (OSError, ValueError):
        return ""
    return f"; {written} is the parse of the file that lay there before: take it away, with what lies beside it"


def _formats_there(media: MediaInput, options: BatchOptions) -> tuple[str, ...]:
    """The formats that are asked for, and those that lie beside the JSON already: they follow it."""
    if options.out is None:
        return options.formats
    return tuple(dict.fromkeys((*options.formats, *kinds_there(options.out, media.name))))


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of media [{elapsed}<{remaining}]"


def _write(out: Path, media: MediaInput, parse: Parse, sketch: MediaSketch | None, options: BatchOptions) -> str:
    """Write the JSON and every format; say which of them could not be, in place of which nothing old is left.

    Files of events that somebody edited stay under another name.
    """
    whole, *others = result_paths(out, media.name, options.formats)
    pictures = {result_path(out, media.name, kind) for kind in PICTURES}
    for path in others:
        if path not in pictures:
            keep_edited(path)
        path.unlink(missing_ok=True)
    write_parse(whole, parse)
    problems = [_write_format(out, media, parse, sketch, name, options) for name in options.formats]
    return "; ".join(problem for problem in problems if problem)


def _write_format(
    out: Path, media: MediaInput, parse: Parse, sketch: MediaSketch | None, name: str, options: BatchOptions
) -> str:
    """Write one format; the problem in words where that format cannot hold these events, or a picture not be drawn."""
    path = result_path(out, media.name, name)
    try:
        if name in PICTURES:
            from .picture import write_picture

            write_picture(path, parse, sketch, style=options.style)
        elif name in FORMATS:
            write_events(path, [parse], name, clock=options.clock or FORMATS[name].clock)
    except OSError:
        raise
    except Exception as error:  # whatever a drawing library thinks of odd media costs this output alone
        _LOG.debug("%s", path, exc_info=True)
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return f"{media.path.name}: parsed, but not written as {name} ({said}); leave out the format {name}"
    return ""


def _complete(media: MediaInput, parse: Parse, options: BatchOptions) -> str:
    """Write the events of an earlier parse that are not there, or count by another clock than is asked for."""
    assert options.out is not None
    problems = []
    for name in options.formats:
        path = result_path(options.out, media.name, name)
        if name in FORMATS and not (
            path.is_file() and _counts_so(path, parse, name, options.clock or FORMATS[name].clock)
        ):
            problems.append(_write_format(options.out, media, parse, None, name, options))
            _LOG.info("%s: written from the parse", path)
    return "; ".join(problem for problem in problems if problem)


def _counts_so(path: Path, parse: Parse, name: str, clock: str) -> bool:
    """Whether a file of events counts by a clock."""
    if FORMATS[name].from_start or not parse.media.start_time:
        return True
    try:
        return path.read_bytes() == events_text([parse], name, clock=clock).encode()
    except ValueError:
        return False


def _done(system: ParsingSystem, media: MediaInput, options: BatchOptions) -> Parse | None:
    """The parse of an earlier run, if it is of this file, by this system and rule, and its pictures are there."""
    pictures = [name for name in options.formats if name in PICTURES]
    if options.out is None or not all(result_path(options.out, media.name, name).is_file() for name in pictures):
        return None
    parse = _held(media, options)
    if parse is None or not _is_by(parse, system, options):
        return None
    return parse if not options.parsing.where or _says_where(parse, options.parsing) else None


def _held(media: MediaInput, options: BatchOptions) -> Parse | None:
    """The parse of an earlier run, if it is of this file."""
    if options.out is None:
        return None
    written = result_path(options.out, media.name, "json")
    try:
        parse = read_parse(written)
        return parse if _is_unchanged(parse.media, media.path, written) else None
    except (OSError, ValueError):
        return None


def _is_by(parse: Parse, system: ParsingSystem, options: BatchOptions) -> bool:
    """Whether a parse is what this system makes by this rule."""
    own = describe_options(system, options.parsing)
    return _who(parse.system) == _who(own) and parse.decision == rule_of(system, options.parsing)


def _of_another(system: ParsingSystem, media: MediaInput, options: BatchOptions) -> str:
    """Why the parse of another system stays where it is and this one is not made; empty where nothing speaks for that.

    A run that was trained anew at its place is the same system.
    """
    if options.out is None or options.again or media.problem:
        return ""
    written = result_path(options.out, media.name, "json")
    try:
        held = read_parse(written)
    except (OSError, ValueError):
        return ""
    own = describe_options(system, options.parsing)
    moved = held.system.get("checkpoint") is not None and held.system["checkpoint"] == own["checkpoint"]
    other = _place(held.system) != _place(own) and not moved
    folder = Path(os.path.realpath(options.out) + CORRECTIONS)
    is_corrected = held.class_names != system.class_names and (folder / JOURNAL).is_file()
    if not is_corrected and not (options.keeps and other):
        return ""
    of = "by teachers alone" if held.system.get("zero_shot") else f"of {held.system.get('run') or 'another run'}"
    classes = f", whose {len(held.class_names)} classes {folder} corrects," if is_corrected else ""
    return (
        f"{media.path.name}: {written} is a parse {of}{classes} and stays; give another folder, `out`, or say "
        "again=True to replace it"
    )


def _place(system: Mapping[str, Any]) -> str | None:
    """Where the run of a system lies; None of teachers alone."""
    run = system.get("run")
    return os.path.realpath(run) if isinstance(run, str) else None


def _says_where(parse: Parse, options: ParseOptions) -> bool:
    """Whether a parse says where visible events are, in the way that is asked for."""
    from valor.label_harvest.teachers.where import WINDOWS

    if parse.where is None:
        return False
    return options.where_by != BY_WINDOWS or all(place.method == WINDOWS for place in parse.where)


def _is_unchanged(held: MediaInfo, path: Path, written: Path) -> bool:
    """Whether a file is the one that was parsed, at its place."""
    if held.path != str(path.absolute()) or held.size is None:
        return False
    same = is_file_of(held, path)
    if same is None:
        return held.modified is None and path.stat().st_mtime <= written.stat().st_mtime
    return same


def _who(system: Mapping[str, Any]) -> dict[str, Any]:
    """A system but for where its run lies: the checkpoint says which it is."""
    return {name: value for name, value in system.items() if name != "run"}
