"""Files of events that a tool saved, into a folder of corrections, as if they had been drawn in the viewer."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from valor.data.journal import JOURNAL, CorrectedEvent, Correction, Events, classes_of, read_journal, read_states
from valor.data.names import name_reader, named_source
from valor.data.rows import check_names
from valor.eval.events import MODALITIES
from valor.eval.xml_text import xml_text
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.store.manifest import composed
from valor.video.formats.formats import FORMATS, read_events
from valor.video.formats.tables import unspaced
from valor.video.formats.timeline import RateOf, ReadEvent, ReadMedia
from valor.video.formats.written import is_as_written
from valor.viewer.corrections import Corrections, corrections_folder
from valor.viewer.documents import Clip, Document, with_classes
from valor.viewer.options import SourceOptions

from .filed import Filed, forms_of, split_of_clips, split_of_folder, split_that_was_said
from .sources import Opened, clip_events, has_tables, media_of, open_source
from .weighed import States, Told, Weighed, known_of, weighed

_LOG = logging.getLogger(__name__)

SLACK = 0.1
"""Seconds an event may end behind its clip, as frames are rounded; it is cut there. Clocks this near count as one."""
SECONDS = 10
"""How long clips are where nothing says it, LLP's."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How files of events are read."""

    exported_from: Path | None = None
    """What they were exported from (parses, predictions, annotations, corrections): it knows the clips, their length,
    the classes, and what a file of audible events alone leaves out."""
    format: str | None = None
    """Which format the files are; None for what their names say."""
    clock: str | None = None
    """`zero` where times count from the start of the media, `container` for those of its own clock; None for zero,
    unless the clock of the media starts elsewhere and the times may be of either, which is refused."""
    seconds: int = SECONDS
    """Without `exported_from`, how long each clip is."""
    class_names: tuple[str, ...] | None = None
    """Classes beside those of `exported_from`, or without it all; None for none, or those of the files."""
    replace: bool = False
    """Take clips as the files say also where nobody edited them since they were exported, over their corrections."""
    checked: bool = False
    """Call every clip of the files checked, those that nobody edited too."""
    data: Path | None = None
    """Annotation tables whose clips these are."""
    split: str | None = None
    """Split of the tables; None for the one that all clips of the files are of, where tables know them."""
    videos: Path | None = None
    """Media files of clips that are no parses."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was taken in."""

    folder: Path
    corrections: tuple[Correction, ...]
    """The clips, as they now stand."""
    changed: int
    """How many of them differ from what stood: their corrections, else `exported_from`; all without either."""
    replaced: tuple[str, ...]
    """Clips whose corrections were replaced by what a file says; `take_back` brings them back."""
    overruled: tuple[str, ...]
    """Clips whose corrections were of another file than there is now, and counted for nothing."""
    other_media: tuple[str, ...]
    """Clips whose corrections are so still, since nothing was taken in, or their media must be parsed first."""
    lost: Mapping[str, Events]
    """Of these, events that somebody had added or changed in the corrections and that are gone."""
    back: Mapping[str, Events]
    """Of these, events of `exported_from` that the corrections had left out or changed, and that stand again."""
    stayed: tuple[str, ...]
    """Clips that keep their corrections, other than their files say, since nobody edited these files."""
    unedited: tuple[str, ...]
    """Clips without corrections before that were saved as they were exported, not checked."""
    outdated: tuple[str, ...]
    """Clips whose files nobody edited, and which were exported from another parse than the one that is there: nothing
    is taken from them unless `checked` or `replace` says so."""
    missing: tuple[str, ...]
    """Clips of `exported_from` that no file names; they stay as they were."""
    passed: Mapping[str, int]
    """Tracks and labels that say nothing of audible or visible, and how often each was passed over."""
    split: str
    """Whose tables were written."""
    doubt: str
    """Why it may be another split; empty where something says that it is this one."""


def import_events(files: Sequence[str | Path], out: Path | None, options: ImportOptions) -> Imported:
    """Read files and save what they say as corrections.

    Args:
        files: Of any format that can be written, or CLIP=FILE; those of one clip may speak of a modality each.
        out: Folder of the corrections, which the viewer, evaluation and training read; one that is there goes on. None
            for the one the viewer would take.
        options: See there.

    Raises:
        ValueError: A file is none of these, its clips or classes are not known, two files speak of the same, or nothing
            says what they leave out. Nothing is written then.
    """
    filed, options = _filed(files, options)
    opened = _opened(options)
    infos = opened.media.values() if opened else ()
    rates = {form: info.frame_rate for info in infos for form in forms_of(info.name)}
    found = _read(files, options, rates.get)
    read = [(path, media) for path, _, media in found]
    if opened is None:
        if out is None:
            raise ValueError("out must name the folder of the corrections, got none; or say exported_from=SOURCE")
        opened = _made(read, options)
    folder = out or opened.corrections or corrections_folder([str(options.exported_from)], None)
    opened = replace(opened, document=with_classes(opened.document, classes_of(folder, read_journal(folder / JOURNAL))))
    if options.clock is None:
        for path, form, media in found:
            _refuse_two_clocks(path, [] if FORMATS[form].from_start else media, opened)
    said = _said(read, opened, options)
    passed = _passed(read, opened)
    filed = filed or split_of_folder(folder)
    opened = replace(opened, document=_filed_under(filed, opened.document))
    corrections = Corrections(folder, opened.document)
    found_of = _weighed(said, corrections, opened, is_source=options.exported_from is not None)
    others = corrections.of_other_media()
    messages = [_message(clip_id, corrections.current.get(clip_id), one, options) for clip_id, one in found_of.items()]
    try:
        corrections.save_all([message for message in messages if message])
    finally:
        corrections.close()
    stay = {clip_id for clip_id, one in found_of.items() if _stays(one, options)}
    still = corrections.of_other_media()
    stand = [corrections.current[one] for one in said if one in corrections.current and one not in still]
    outdated = tuple(clip_id for clip_id, one in found_of.items() if one.outdated and clip_id in stay)
    replaced = tuple(clip_id for clip_id, one in found_of.items() if one.replaces and clip_id not in stay)
    return Imported(
        folder=folder,
        corrections=tuple(stand),
        changed=sum(one.changed and clip_id not in stay for clip_id, one in found_of.items()),
        replaced=replaced,
        overruled=tuple(clip_id for clip_id in said if clip_id in others - still),
        other_media=tuple(clip_id for clip_id in said if clip_id in still),
        lost={clip_id: lost for clip_id in replaced if (lost := found_of[clip_id].lost)},
        back={clip_id: back for clip_id in replaced if (back := found_of[clip_id].back)},
        stayed=tuple(clip_id for clip_id in stay if found_of[clip_id].changed and clip_id not in outdated),
        unedited=tuple(one.clip_id for one in stand if not one.checked and one.clip_id not in outdated),
        outdated=outdated,
        missing=tuple(clip.clip_id for clip in opened.document.clips if clip.clip_id not in said),
        passed=passed,
        split=opened.document.split,
        doubt="nothing says of which split these clips are" if filed is None else filed.doubt,
    )


_Found = tuple[Path, str, list[ReadMedia]]
"""A file, its format, and what it says."""


def _filed(files: Sequence[str | Path], options: ImportOptions) -> tuple[Filed | None, ImportOptions]:
    """The split that was said, else that of the corrections, else the one whose tables know the clips of the files.

    The options say it too where the source is opened by split.
    """
    source = options.exported_from
    corrected = None if source is None else split_of_folder(source)
    is_data = source is not None and source.is_dir() and not (source / JOURNAL).is_file() and has_tables(source)
    data = options.data or (source if is_data else None)
    if options.split is not None:
        return split_that_was_said(options.split, data), options
    if corrected is not None:
        return corrected, replace(options, split=corrected.split)
    named = [(path, one) for path, _, media in _read(files, options, lambda _: 1.0) for one in media]
    clips = [{form for name in _names_of(one, path) for form in forms_of(name)} for path, one in named]
    filed = split_of_clips(clips, data, source)
    is_said = filed is not None and data is not None and not filed.doubt
    return filed, replace(options, split=filed.split) if filed and is_said else options


def _filed_under(filed: Filed | None, document: Document) -> Document:
    """A document whose corrections are written as the tables of a split."""
    return document if filed is None else replace(document, split=filed.split, dataset=filed.dataset)


def _read(files: Sequence[str | Path], options: ImportOptions, rate_of: RateOf) -> list[_Found]:
    """What files say, each with its format; of one that was given as CLIP=FILE, by the name of the clip."""
    found = []
    for clip_id, path in (named_source(str(file)) for file in files):
        form, media = read_events(path, options.format, rate_of)
        if clip_id is not None and len(media) != 1:
            raise ValueError(f"{path}: expected events of one clip, {clip_id!r:.200}, got those of {len(media)}")
        found.append((path, form, media if clip_id is None else [replace(media[0], clip_id=clip_id)]))
    return found


def _weighed(
    said: "dict[str, dict[str, _Said]]", corrections: Corrections, opened: Opened, *, is_source: bool
) -> dict[str, Weighed]:
    """What becomes of every clip that files speak of."""
    known = {clip.clip_id: clip for clip in opened.document.clips}
    journals = [
        _of_these_media(read_states(folder / JOURNAL), [known[clip_id] for clip_id in said])
        for folder in (corrections.folder, opened.corrections)
        if folder
    ]
    others = corrections.of_other_media()
    found = {}
    for clip_id, held in said.items():
        before = None if clip_id in others else corrections.current.get(clip_id)
        told = _told(known[clip_id], before, held, opened)
        there = known_of(known[clip_id], before, opened, *journals, is_source=is_source)
        found[clip_id] = weighed(told, there, opened.document.class_names)
    return found


def _of_these_media(journal: States, clips: Sequence[Clip]) -> States:
    """All that was saved of clips, without what is of other media than there are now."""
    found = {
        clip.clip_id: [one for one in journal.get(clip.clip_id, ()) if not one.is_of_other(clip.parsed)]
        for clip in clips
    }
    return {clip_id: states for clip_id, states in found.items() if states}


def take_back(folder: Path, clip_ids: Sequence[str], options: ImportOptions) -> list[Correction]:
    """Bring back the state of clips before the latest one, as one more revision; the same again undoes that.

    Args:
        folder: Of corrections.
        clip_ids: Which.
        options: What the corrections are of.

    Raises:
        ValueError: Nothing was saved of one of them, or only once.
    """
    if not (folder / JOURNAL).is_file():
        raise ValueError(f"{folder}: expected a folder of corrections, with {JOURNAL}, got another")
    filed = split_of_folder(folder)
    own = SourceOptions(class_names=options.class_names, split=filed.split if filed else None)
    opened = _opened(options) or open_source(folder, own)
    states, messages, media = read_states(folder / JOURNAL), [], {}
    for clip_id in clip_ids:
        held = states.get(clip_id, [])
        if len(held) < 2:
            known = [one for one, found in states.items() if len(found) > 1] or ["none"]
            raise ValueError(
                f"{folder}: expected clips that were saved twice or more ({', '.join(known[:_SHOWN])}), got "
                f"{clip_id!r:.100}, saved {len(held)} times; name one of those"
            )
        messages.append(_state(clip_id, held[-1], held[-2].events, checked=held[-2].checked))
        media[held[-2].clip_id] = held[-2].media
    corrections = Corrections(folder, _filed_under(filed, opened.document))
    try:
        return corrections.save_all(messages, media)
    finally:
        corrections.close()


def _state(clip_id: str, before: Correction | None, events: Events | None, *, checked: bool) -> dict[str, Any]:
    """A next state of a clip, as `Corrections.save` takes it."""
    rows = None if events is None else [[e.class_name, e.modality, e.onset, e.offset] for e in events]
    return {"clip": clip_id, "revision": before.revision if before else 0, "checked": checked, "events": rows}


def _message(clip_id: str, before: Correction | None, found: Weighed, options: ImportOptions) -> dict[str, Any] | None:
    """What is saved of a clip, as `Corrections.save` takes it; None where it stays as it is."""
    stays = _stays(found, options)
    if stays and (before is None or before.checked or not options.checked):
        return None
    checked = found.edited or options.checked or options.exported_from is None
    return _state(clip_id, before, before.events if stays and before else found.events, checked=checked)


def _stays(found: Weighed, options: ImportOptions) -> bool:
    """Whether a clip stands as it did before, or not at all."""
    return not options.replace and (found.stays or (found.outdated and not options.checked))


def _told(clip: Clip, before: Correction | None, held: "dict[str, _Said]", opened: Opened) -> Told:
    """All that files say of a clip, and of the modality that none speaks of what was there."""
    events = [event for found in held.values() for event in found.events]
    events += _kept(clip, before, held, opened)
    unit = max(found.unit for found in held.values())
    as_written = all(is_as_written(found.path) for found in held.values())
    return Told(events=tuple(events), modalities=tuple(held), unit=unit, as_written=as_written)


def _refuse_two_clocks(path: Path, media: Sequence[ReadMedia], opened: Opened) -> None:
    """Refuse times that may as well count by the clock of the container, as `valor parse` writes them."""
    clips = {clip.clip_id: clip for clip in opened.document.clips}
    for one in media:
        clip = clips[_clip_of(one, path, opened)]
        end, start = max(clip.seconds, clip.duration or 0), clip.start_time
        fits = [
            all(zero - SLACK <= event.onset and event.offset <= zero + end + SLACK for event in one.events)
            for zero in (0.0, start)
        ]
        if one.events and all(fits) and abs(start) > SLACK:
            raise ValueError(
                f"{path}: the clock of {clip.clip_id} starts at {start:g} s, and these times may count from there or "
                "from 0; say clock='container' for a table of `valor parse`, clock='zero' for one of `valor export` "
                "or a file for players"
            )


@dataclass(frozen=True)
class _Said:
    """What a file says of one modality of a clip."""

    path: Path
    events: list[CorrectedEvent]
    unit: float


def _said(
    read: Sequence[tuple[Path, list[ReadMedia]]], opened: Opened, options: ImportOptions
) -> dict[str, dict[str, _Said]]:
    """What files say, by clip and modality."""
    known = {clip.clip_id: clip for clip in opened.document.clips}
    said: dict[str, dict[str, _Said]] = {}
    for path, media in read:
        for one in media:
            clip_id = _clip_of(one, path, opened)
            events = [_checked(event, known[clip_id], opened.document, options) for event in one.events]
            held = said.setdefault(clip_id, {})
            for modality in one.modalities:
                if modality in held:
                    raise ValueError(f"{path}: speaks of {clip_id} as {held[modality].path} does; give one of them")
                mine = [event for event in events if event.modality == modality]
                held[modality] = _Said(path, mine, one.unit)
    return said


def _passed(read: Sequence[tuple[Path, list[ReadMedia]]], opened: Opened) -> Counter[str]:
    """Labels about something else than events, and how often each is there.

    Raises:
        ValueError: One is the name of a class, or a file has no others, so that all events of its clip would go.
    """
    clips = {clip.clip_id: clip for clip in opened.document.clips}
    classes = {_bare(name): name for name in opened.document.class_names}
    found = Counter[str]()
    for path, media in read:
        for one in media:
            for label, where in one.others:
                if name := classes.get(_bare(label)):
                    raise ValueError(f"{where}: expected {name} to be called audible or visible, got {label!r:.200}")
            if one.others and not one.events and clip_events(clips[_clip_of(one, path, opened)], opened.document):
                raise ValueError(
                    f"{path}: expected events called audible or visible, got {one.others[0][0]!r:.200} alone; call "
                    "them so, or take it out if nothing is to be heard or seen"
                )
            found.update(label for label, _ in one.others)
    return found


def _bare(label: str) -> str:
    """A label as it is compared with names: without case, underlines and a remark in brackets at its end."""
    return composed(re.sub(r"\s*\([^()]*\)$", "", label.strip())).casefold().replace("_", " ")


def _opened(options: ImportOptions) -> Opened | None:
    """What the files were exported from, where it is named."""
    if options.exported_from is None:
        return None
    shown = SourceOptions(
        class_names=options.class_names, data=options.data, split=options.split, videos=options.videos
    )
    try:
        opened = open_source(options.exported_from, shown)
    except ValueError:
        if options.class_names is None:
            raise  # else they may be further ones alone, of tables that hold others
        opened = open_source(options.exported_from, replace(shown, class_names=None))
    return replace(opened, document=with_classes(opened.document, options.class_names or ()))


def _stem_of(path: Path) -> str:
    """What a file of one medium is called after."""
    endings = sorted((kept.ending for kept in FORMATS.values() if not kept.many), key=len, reverse=True)
    ending = next((ending for ending in (*endings, ".txt") if path.name.endswith(ending)), path.suffix)
    return path.name.removesuffix(ending)


def _clip_of(media: ReadMedia, path: Path, opened: Opened) -> str:
    """The clip that a file means; the name of the file itself counts before what an ELAN document says of its media."""
    names = _names_of(media, path)
    for name in names:
        wanted = set(forms_of(name))
        forms = {clip_id: {*forms_of(info.name), *forms_of(clip_id)} for clip_id, info in opened.media.items()}
        found = [clip_id for clip_id, own in forms.items() if wanted & own]
        exact = [clip_id for clip_id in found if composed(name) in (clip_id, opened.media[clip_id].name)]
        if len(exact or found) == 1:
            _refuse_other_address((exact or found)[0], media, path, opened)
            return (exact or found)[0]
        if len(found) > 1:
            raise ValueError(f"{path}: {name!r:.200} may be {' or '.join(found[:_SHOWN])}; call it by the whole name")
    known = list(opened.media)
    more = ", ..." if len(known) > _SHOWN else ""
    raise ValueError(
        f"{path}: expected events of one of {len(known):,} clips, {', '.join(known[:_SHOWN])}{more}, got "
        f"{' or '.join(f'{name!r:.200}' for name in names)}; rename the file after its media, or give it as CLIP=FILE"
    )


def _refuse_other_address(clip_id: str, media: ReadMedia, path: Path, opened: Opened) -> None:
    """Refuse a file that goes by the name of one clip and gives the address of the media of another."""
    if media.clip_id or not media.address:
        return
    address = os.path.realpath(path.parent / media.address)
    of = {os.path.realpath(info.path): one for one, info in opened.media.items() if info.path}
    if of.get(address, clip_id) != clip_id:
        raise ValueError(
            f"{path}: its name is that of {clip_id}, and the media it gives, {media.address}, that of {of[address]}; "
            "rename the file after the right one, or give it as CLIP=FILE"
        )


def _names_of(media: ReadMedia, path: Path) -> list[str]:
    """By what names a file may mean its media: that of the file itself comes first where it is of one medium."""
    if media.clip_id:
        return [media.clip_id]
    own = [_stem_of(path)] if not media.name or path.suffix == ".eaf" else []
    return own + ([*dict.fromkeys((media.name, PurePosixPath(media.name).name))] if media.name else [])


def _checked(event: ReadEvent, clip: Clip, document: Document, options: ImportOptions) -> CorrectedEvent:
    """An event of a file as one of the clip: on its clock, of its classes, within it."""
    start = clip.start_time if options.clock == "container" else 0.0
    end = max(clip.seconds, clip.duration or 0)
    onset, offset = (round(time - start, 6) for time in (event.onset, event.offset))
    onset = 0.0 if -SLACK <= onset < 0 else onset
    if end < offset <= end + SLACK:
        offset = end
    if not 0 <= onset < offset <= end:
        hint = "; say how long clips are, seconds=N, or exported_from=SOURCE" if options.exported_from is None else ""
        clock = "; does the file count by the other clock (clock)?" if clip.start_time else ""
        raise ValueError(
            f"{event.where}: expected an event within 0 and {end:g} s of {clip.clip_id}, got {onset:g} to {offset:g} s"
            f"{hint}{clock}"
        )
    name = _class_of(event, document.class_names)
    return CorrectedEvent(name, event.modality, onset, offset)


def _class_of(event: ReadEvent, known: Sequence[str]) -> str:
    """The class that is meant: by its name, or as XML, columns and chapters write it."""
    if (plain := name_reader(known)(event.class_name)) in known:
        return plain
    forms: tuple[Callable[[str], str], ...] = (composed, xml_text, unspaced, lambda name: " ".join(name.split()))
    found = {name for name in known for form in forms if form(name) == form(event.class_name)}
    if len(found) == 1:
        return found.pop()
    near = did_you_mean(event.class_name, known)
    raise ValueError(
        f"{event.where}: unknown class {event.class_name!r:.200}{near}; to add it, class_names=NAMES"
        if not found
        else f"{event.where}: {event.class_name!r:.200} may be {' or '.join(sorted(found))}; write it whole"
    )


def _kept(clip: Clip, before: Correction | None, held: dict[str, _Said], opened: Opened) -> list[CorrectedEvent]:
    """Events of a modality that no file speaks of, as they were."""
    absent = [modality for modality in MODALITIES if modality not in held]
    if not absent:
        return []
    if not any(clip.marks) and clip.truth is None and before is None:
        told = next(iter(held.values()))
        raise ValueError(
            f"{told.path}: speaks of {' and '.join(held)} events alone, and nothing says what else there is in "
            f"{clip.clip_id}; give the other table too, or exported_from=SOURCE, whose other events stay"
        )
    was = before.events if before and before.events is not None else clip_events(clip, opened.document)
    return [event for event in was if event.modality in absent]


def _made(read: Sequence[tuple[Path, list[ReadMedia]]], options: ImportOptions) -> Opened:
    """A document of clips that are known from the files alone, without any marks."""
    named: dict[str, str] = {}
    for path, media in read:
        for one in media:
            name = _names_of(one, path)[0]
            named.setdefault(forms_of(name)[:2][-1], name)
    found = dict.fromkeys(event.class_name for _, media in read for one in media for event in one.events)
    classes = options.class_names or tuple(found)
    if not named or not classes:
        raise ValueError("the files must name a clip and a class, got none; name the classes, class_names=NAMES")
    check_names(named, classes)
    clips = tuple(
        Clip(clip_id=clip_id, marks=(), num_segments=options.seconds, name=name) for clip_id, name in named.items()
    )
    document = Document(title="imported", class_names=classes, systems=(), clips=clips, split=options.split or "test")
    infos = {clip.clip_id: replace(media_of(clip), name=clip.name) for clip in clips}
    return Opened(document=document, corrections=None, media=infos)
