"""Whatever holds events (parses, predictions, labels, annotations, corrections) as timelines for the files of tools."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valor.data.datasets.dataset import dataset_of
from valor.data.journal import (
    CORRECTIONS,
    JOURNAL,
    CorrectedEvent,
    classes_of,
    of_other_media,
    other_media_note,
    read_journal,
)
from valor.data.parse_file import OF_DRAWINGS, ParsedEvent
from valor.data.parsed_media import MediaInfo
from valor.eval.events import MODALITIES
from valor.label_harvest.media.survey import survey_media
from valor.video.formats.formats import FORMATS, timelines_files
from valor.video.formats.timeline import Timeline
from valor.viewer.corrections import events_of_mask
from valor.viewer.documents import Clip, Document, with_classes
from valor.viewer.options import SourceOptions
from valor.viewer.sources import read_document


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What is exported, or what files to import were exported from."""

    document: Document
    """As the viewer shows it."""
    corrections: Path | None
    """Its folder, where corrections themselves were named."""
    media: dict[str, MediaInfo]
    """Of each clip."""
    data: Path | None = None
    """The annotation tables whose clips these are, where any were named."""
    other_media: frozenset[str] = frozenset()
    """Clips whose corrections are of another file than there is now."""


def open_source(source: Path, options: SourceOptions) -> Opened:
    """Read a source as the viewer does.

    Args:
        source: A parse or a folder of them, predictions, a run, a folder of labels, of annotation tables or of
            corrections.
        options: Tables, split and media; of corrections the tables are those beside them.

    Raises:
        ValueError: It is none of these.
        FileNotFoundError: There is no such file or folder.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such parses, predictions, annotations or corrections")
    folder, own, others = None, source, frozenset[str]()
    if (source / JOURNAL).is_file():
        beside = source.with_name(source.name.removesuffix(CORRECTIONS))
        folder, own = source, beside if beside.exists() else source
    is_data = own.is_dir() and has_tables(own)
    shown = [] if is_data else [own]
    options = replace(options, data=own) if is_data else options
    document = read_document([str(one) for one in shown], options)
    if folder is not None:
        saved = read_journal(folder / JOURNAL)
        document = with_classes(document, classes_of(folder, saved))
        others = of_other_media(saved, ((clip.clip_id, clip.parsed) for clip in document.clips))
        document = replace(document, about=(*document.about, *filter(None, [other_media_note(others)])))
    media = {clip.clip_id: clip.parsed or media_of(clip) for clip in document.clips}
    return Opened(document=document, corrections=folder, media=media, data=options.data, other_media=others)


def timelines_of(opened: Opened, *, clock: str = "zero") -> list[Timeline]:
    """The events of every clip: corrected ones where there are, else its annotation, else what the first system says.

    Args:
        opened: From `open_source`.
        clock: `zero` for times from the start of the media, `container` for those of its own clock.
    """
    document = opened.document
    held = read_journal(opened.corrections / JOURNAL) if opened.corrections else {}
    lines = []
    for clip in document.clips:
        corrected = None if clip.clip_id in opened.other_media else held.get(clip.clip_id)
        if opened.corrections and (corrected is None or corrected.events is None) and clip.truth is None:
            continue  # nobody has looked at it
        by_hand = corrected is not None and corrected.events is not None
        found = corrected.events if corrected and corrected.events is not None else clip_events(clip, document)
        info = opened.media[clip.clip_id]
        start = info.start_time if clock == "container" else 0.0
        lines.append(
            Timeline(
                clip_id=clip.clip_id,
                media=info if clock == "container" else replace(info, start_time=0.0),
                class_names=document.class_names,
                events=tuple(_event(event, None if by_hand else clip, document, start) for event in found),
                caveat=OF_DRAWINGS if OF_DRAWINGS in clip.notes and clip.truth is None and not by_hand else "",
            )
        )
    if not lines:
        raise ValueError(
            other_media_note(opened.other_media)
            or f"{opened.corrections}: nothing has been corrected yet; correct something, or export the parses"
        )
    return lines


def events_files(lines: Sequence[Timeline], path: Path, name: str, *, media_url: str | None = None) -> dict[Path, str]:
    """Timelines in a format by their file: one, or for formats of one medium and several media those of a folder.

    Args:
        lines: From `timelines_of`.
        path: The file; a folder where it has no ending and the format holds one medium a file.
        name: A key of `FORMATS`.
        media_url: For Label Studio, what the addresses of media begin with.

    Returns:
        Texts, which the caller writes, once all that is asked for is made; beside Label Studio's its interface.

    Raises:
        ValueError: The format cannot hold these events, or one file is named for several media.
    """
    kept = FORMATS[name]
    as_folder = not kept.many and (path.is_dir() or not path.suffix)
    if not as_folder:
        if not kept.many and len(lines) > 1:
            raise ValueError(f"{path}: {kept.what} is of one media file, got {len(lines)}; name a folder")
        return timelines_files(path, lines, name, media_url=media_url)
    stems = [Path(line.media.name).stem for line in lines]
    media = [line.media.name for line in lines]
    names = [  # those of media of one name in several folders are their clips
        stem if stems.count(stem) == 1 else name if media.count(name) == 1 else line.clip_id
        for stem, name, line in zip(stems, media, lines, strict=True)
    ]
    files = dict[Path, str]()
    for own, line in zip(names, lines, strict=True):
        files |= timelines_files(path / f"{own}{kept.ending}", [line], name)
    return files


def clip_events(clip: Clip, document: Document) -> tuple[CorrectedEvent, ...]:
    """What people annotated, or where nobody did what the first system says that knows the clip."""
    marks = next((held.predicted for held in clip.marks if held is not None), None)
    mask = clip.truth if clip.truth is not None else marks
    return () if mask is None else events_of_mask(mask, document.class_names, clip.segment_seconds)


def _event(event: CorrectedEvent, clip: Clip | None, document: Document, start: float) -> ParsedEvent:
    """As formats take it: with the mean probability where a system of a clip said it and has one, else 1."""
    prob, first = 1.0, next((held for held in clip.marks if held is not None), None) if clip else None
    if clip is not None and clip.truth is None and first is not None and first.segment_probs is not None:
        rows = slice(*(round(time / clip.segment_seconds) for time in (event.onset, event.offset)))
        column = document.class_names.index(event.class_name)
        prob = float(first.segment_probs[rows, MODALITIES.index(event.modality), column].mean())
    return ParsedEvent(
        class_name=event.class_name,
        modality=event.modality,
        onset=round(start + event.onset, 6),
        offset=round(start + event.offset, 6),
        prob=prob,
    )


def media_of(clip: Clip) -> MediaInfo:
    """What is known of the media of a clip that is no parse: its file where there is one, else what its marks say."""
    if clip.media is None:
        heard, seen = clip.streams
        return MediaInfo(name=clip.clip_id, path=clip.clip_id, duration=clip.seconds, has_audio=heard, has_visual=seen)
    survey = survey_media(clip.media)
    return MediaInfo(
        name=clip.media.name,
        path=str(clip.media.absolute()),
        duration=survey.seconds,
        start_time=survey.start_time,
        has_audio=survey.audio_seconds is not None,
        has_visual=survey.video_seconds is not None,
        width=survey.width,
        height=survey.height,
        frame_rate=survey.frame_rate,
        constant_rate=survey.constant_rate,
    )


def has_tables(folder: Path) -> bool:
    """Whether a folder holds annotation tables of its data set."""
    dataset = dataset_of(folder)
    layout = dataset.layout
    if dataset.reader is not None:
        return True
    tables = (*layout.tags.values(), *(name for pair in layout.events.values() for name in pair))
    return any((folder / name).is_file() for name in tables)
