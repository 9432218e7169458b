"""What a media file holds, from one pass over its packets without decoding: streams, their lengths, its clock."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .clip import MediaError
from .clock import LEAD_SECONDS
from .holes import Reach, Span, Tally, unseen
from .open import FAR_BYTES, is_cut, is_followed, is_known
from .packets import Recording, base_of, ignore_tick, raw_video, recording
from .pixels import pixel_shape, stored_shape
from .promised import MOST_SECONDS, RAW_VIDEO, lacks_end, promised_seconds
from .rates import FrameTimes
from .tracks import audio_tracks, track_of, video_track_of, video_tracks

if TYPE_CHECKING:
    import av
    from av.stream import Stream

    from .packets import AnyPacket

MOST_PIXELS = 16384 * 8192
"""Larger frames are refused: a few of them fill the memory before any can be scaled down."""
_PICTURES = ("image2", "_pipe", "ico", "apng")
"""Ends of the names FFmpeg gives to formats of single pictures."""
_TEXTS = ("tty", "bin")
"""Formats FFmpeg would read which are texts."""

_MOST_SAID = 5
"""Of more times than this a note says only how many they are."""
_LAST_PACKETS = 16
"""So many packets of sound at the end of a file are decoded to see whether they can be."""


@dataclass(frozen=True, kw_only=True)
class MediaSurvey:
    """What is known of a media file before any of it is decoded."""

    path: Path
    start_time: float
    """What the clock of the container says at its start, in seconds."""
    video_seconds: float | None
    """End of the last shown frame from the start of the clock, in seconds; None without a picture."""
    audio_seconds: float | None
    """End of the last sound from the start of the clock, in seconds; None without sound."""
    promised_seconds: float | None
    """The length the container's header says, None where it says none."""
    width: int | None = None
    """Of the frames as they are stored, in pixels."""
    height: int | None = None
    pixel_shape: float = 1.0
    """Width by height of a pixel of the upright frames."""
    frame_rate: float | None = None
    """Average frames per second, as the times of the frames say."""
    constant_rate: bool | None = None
    """Whether frame n is shown at n / `frame_rate`, half a frame more or less, all along; None where nobody knows."""
    video_start: float = 0.0
    """When the first frame is shown, in seconds from the start of the clock."""
    audio_start: float = 0.0
    """When the first sound begins, in seconds from the start of the clock."""
    audio_track: int | None = None
    """Which of the audio tracks is heard, from 0; None without any."""
    audio_tracks: tuple[str, ...] = ()
    """All of them in words."""
    video_track: int | None = None
    """Which of the pictures is seen, from 0; None without any."""
    video_tracks: tuple[str, ...] = ()
    """All of them in words."""
    video_holes: tuple[Span, ...] = ()
    """Stretches between its start and its end in which there is no picture, in seconds from the start of the clock."""
    audio_holes: tuple[Span, ...] = ()
    """The same of the sound."""
    joined: bool = False
    """Whether its clock starts again, so no stream is to be read without the other."""
    notes: tuple[str, ...] = ()
    """What is damaged or missing and where, in words."""
    oddities: tuple[str, ...] = ()
    """What is odd in its times, in words, though nothing is missing."""
    salvage: bool = False
    """Whether what cannot be decoded is left out; then the holes hold it, and nothing is refused for it."""

    @property
    def seconds(self) -> float:
        """Length of the longest stream in seconds."""
        return max(self.video_seconds or 0.0, self.audio_seconds or 0.0)

    @property
    def lead(self) -> float:
        """By how much sound begins before the picture, where that is the lead an encoder puts before its first sample.

        What was recorded begins with the picture then.
        """
        begins = self.audio_seconds is not None and self.video_start > self.audio_start
        return self.video_start if begins and self.video_start <= LEAD_SECONDS else 0.0

    @property
    def missing_seconds(self) -> float:
        """How much earlier the file ends than its header says, in seconds; more than a little means it was cut off."""
        return max(0.0, (self.promised_seconds or 0.0) - self.seconds)


def survey_media(
    path: str | Path, *, tick: Callable[[], None] = ignore_tick, track: str | None = None, salvage: bool = False
) -> MediaSurvey:
    """Look through a file from start to end without decoding it.

    Args:
        path: The file.
        tick: Called for every packet, to show that reading gets on.
        track: Which audio track is heard, by position or language; None for the best one, see tracks.py.
        salvage: Whether a file that cannot be followed beyond damage ends there, and is not refused.

    Raises:
        MediaError: The file is missing, is no recording (a picture, a text, a playlist), is damaged or encrypted, has
            neither video nor audio, no such track, no timestamps, or frames or a length beyond all measure.
    """
    path = Path(path)
    with recording(path, salvage=salvage) as media:
        media_name = media.container.format.name
        _refuse_other_formats(media.container)
        video, audio = media.stream("video"), media.stream("audio", track)
        if video is None and audio is None:
            raise MediaError("neither a video nor an audio stream; give a recording")
        if video is not None and video.codec_context.width * video.codec_context.height > MOST_PIXELS:
            size = f"{video.codec_context.width} x {video.codec_context.height}"
            raise MediaError(f"frames of {size} pixels are more than can be held; scale the video down")
        times, known = FrameTimes(), _kinds(media.container)
        tracks, pictures = audio_tracks(media.container), video_tracks(media.container)
        spans = _stream_spans(media, [stream for stream in (video, audio) if stream is not None], tick, times)
        shown, heard = (spans.get(stream.index) if stream else None for stream in (video, audio))
        promised = float(video.average_rate) if video and video.average_rate else None
        rate, even = times.rate(base_of(video), promised, media.clock) if video else (None, None)
        survey = MediaSurvey(
            path=path,
            start_time=media.clock,
            video_seconds=shown.end if shown else None,
            audio_seconds=heard.end if heard else None,
            promised_seconds=promised_seconds(path, media),
            width=video.codec_context.width or None if video else None,
            height=video.codec_context.height or None if video else None,
            pixel_shape=pixel_shape(path) if video and stored_shape(video) != 1 else 1.0,
            frame_rate=rate,
            constant_rate=even,
            video_start=shown.start if shown else 0.0,
            audio_start=heard.start if heard else 0.0,
            audio_track=track_of(media.container, audio),
            audio_tracks=tracks,
            video_track=video_track_of(media.container, video),
            video_tracks=pictures,
            video_holes=_unseen(media, shown, heard),
            audio_holes=tuple(heard.reach.holes) if heard else (),
            notes=(
                *_notes(path, media, shown, heard, times.lost(base_of(video), media.clock) if video else Tally()),
                *_unread(media, video, audio, known),
            ),
            joined=bool(media.restarts),
            oddities=_oddities(media, heard),
            salvage=salvage,
        )
    if survey.video_seconds is None and survey.audio_seconds is None:
        none = "its streams hold no packets with times; fetch it again or leave it out"
        raise MediaError(f"{path.name}: {raw_video(path, media_name) if media_name in RAW_VIDEO else none}")
    if survey.seconds > MOST_SECONDS:
        raise MediaError(f"{path.name}: its timestamps reach {survey.seconds / 3600:.0f} hours; convert the file")
    return survey


def _kinds(container: "av.container.InputContainer") -> dict[int, str]:
    """By index of the stream, whether it is video, audio or another, as far as the file has been read."""
    return {stream.index: stream.type for stream in container.streams}


def _unread(
    media: Recording, video: "Stream | None", audio: "Stream | None", known: Mapping[int, str]
) -> Iterator[str]:
    """Which streams are not read since nothing of them came among the first bytes, in words.

    Args:
        media: The file, read to its end.
        video: Its pictures that are read, where there are any.
        audio: Its sound that is read, where there is any.
        known: The streams that were known when it was opened.
    """
    for kind, read in (("video", video), ("audio", audio)):
        of_kind = [stream for stream in media.container.streams if stream.type == kind]
        later = any(stream.index not in known for stream in of_kind)
        if later and read is not None:
            yield f"it has another {kind} stream that begins later, which is not read"
        elif read is None and (later or any(not is_known(stream) for stream in of_kind)):
            yield (
                f"it names {kind} that is not read, as none was found where the file begins (its first "
                f"{FAR_BYTES // 2**20} MiB at most); convert the file, so that its streams lie together"
            )


def _unseen(media: Recording, shown: "_Spans | None", heard: "_Spans | None") -> tuple[Span, ...]:
    if shown is None:
        return ()
    return tuple(unseen(shown.reach, heard.reach if heard else None, media))


def _notes(
    path: Path, media: Recording, shown: "_Spans | None", heard: "_Spans | None", lost: Tally
) -> tuple[str, ...]:
    """What is damaged or missing, of the streams and of the file.

    Args:
        path: The file.
        media: The same, read to its end.
        shown: Its pictures, where there are any.
        heard: Its sound, where there is any.
        lost: Frames of an even video that are missing; only packets of broadcasts get lost.
    """
    notes = (shown.notes("video") if shown else []) + (heard.notes("audio") if heard else [])
    if media.is_broadcast and lost.count:
        notes.append(
            f"its video lacks frames: {lost.said()}; the last picture stays, and those that follow may be wrong"
        )
    if shown and media.begins:
        notes.append(f"its video begins within a group of pictures, so none can be shown before {shown.start:.1f} s")
    elif media.begins:
        notes.append("its video has no key frame, so none of its pictures can be shown")
    notes += [f"there is no picture from {start:.1f} s to {end:.1f} s" for start, end in _unseen(media, shown, heard)]
    if is_followed(path, max((found.read for found in (shown, heard) if found), default=0)):
        notes.append("another file was put behind it, which is not read; take them apart")
    if media.rubbish:
        notes.append(f"{media.rubbish:,} bytes of something else lie before it, which are passed over")
    if media.unread or (not notes and (is_cut(path) or lacks_end(path, media))):
        end = max(found.end for found in (shown, heard) if found)
        notes.append(f"cannot be read beyond {end:.1f} s; it was cut off or is damaged there")
    return tuple(notes)


def _oddities(media: Recording, heard: "_Spans | None") -> tuple[str, ...]:
    """What is odd in the times, though all that was recorded is there."""
    odd: list[str] = []
    if heard and heard.reach.gaps.count and not media.loses:
        odd.append(f"its audio has gaps: {heard.reach.gaps.said()}; silence is heard there")
    if heard and heard.reach.overlaps.count:
        odd.append(f"its audio overlaps itself: {heard.reach.overlaps.said()}; what overlaps is left out")
    if media.restarts:
        where = ", ".join(f"{start - media.clock:.1f}" for start in media.restarts[:_MOST_SAID])
        more = f" and {len(media.restarts) - _MOST_SAID} times more" if len(media.restarts) > _MOST_SAID else ""
        odd.append(f"its clock starts again at {where} s{more}; what follows is taken to go on from there")
    return tuple(odd)


def _refuse_other_formats(container: "av.container.InputContainer") -> None:
    """Refuse what FFmpeg can show but nobody recorded."""
    name = container.format.name
    if name.endswith(_PICTURES):
        raise MediaError("is a picture; a parse needs a recording with a video or an audio stream")
    if name in _TEXTS:
        raise MediaError("is text; a parse needs a recording with a video or an audio stream")


@dataclass
class _Spans:
    """When a stream begins and ends, from the start of the clock, and where it is damaged, in seconds."""

    reach: Reach
    start: float = math.inf
    end: float = 0.0
    read: int = 0
    """Where the last packet ends, in bytes from the start of the file."""
    damage: list[tuple[float, float]] = field(default_factory=list)
    last: "deque[tuple[AnyPacket, float, float]]" = field(default_factory=lambda: deque(maxlen=_LAST_PACKETS))

    def add(self, span: tuple[float, float], packet: "AnyPacket", *, damaged: bool) -> None:
        """Take the next packet."""
        self.reach.add(span)
        if packet.pos is not None and packet.pos >= 0:
            self.read = max(self.read, packet.pos + packet.size)
        if damaged:
            self.damage.append(span)
            return
        self.start, self.end = min(self.start, max(0.0, span[0])), max(self.end, span[1])
        if packet.stream.type == "audio":
            self.last.append((packet, *span))

    def cut_off(self, context: "av.CodecContext") -> None:
        """Let the sound end before the last packets, where they cannot be decoded."""
        import av

        good, bad = False, None
        for packet, start, end in self.last:
            try:
                frames = context.decode(packet)  # type: ignore[attr-defined]
                whole = not any(frame.is_corrupt for frame in frames)
            except av.error.FFmpegError:  # as in streams.py
                whole = False
            good, bad = good or whole, None if whole else bad or (start, end)
        if good and bad:
            self.end = max(bad[0], self.start)
            self.damage.append(bad)

    def notes(self, kind: str) -> list[str]:
        """One sentence for each kind of damage that was met."""
        ends = next(
            (
                f"its {kind} is damaged from {self.end:.1f} s on, where it ends"
                for start, _ in self.damage
                if start >= self.end - 1e-6
            ),
            None,
        )
        middle = [start for start, _ in self.damage if start < self.end - 1e-6]
        bridge = "silence is heard there" if kind == "audio" else "the last good picture stays until the next whole one"
        more = f" and {len(middle) - 1} more packets, the last at {middle[-1]:.2f} s" if len(middle) > 1 else ""
        notes = [f"its {kind} is damaged at {middle[0]:.2f} s{more}; {bridge}"] if middle else []
        if kind == "audio":
            if self.reach.lost and not middle:
                notes.append(f"its audio has gaps: {self.reach.gaps.said()}; silence is heard there")
            notes += [f"there is no sound from {start:.1f} s to {end:.1f} s" for start, end in self.reach.holes]
        return [*notes, *([ends] if ends else [])]


def _stream_spans(
    media: Recording, streams: "Sequence[Stream]", tick: Callable[[], None], frames: FrameTimes
) -> dict[int, _Spans]:
    """By index of the stream, when it begins and ends; none for streams without good packets.

    The times of the video's frames go into `frames`.
    """
    of = {stream.index: stream for stream in streams}
    spans = dict[int, _Spans]()
    for packet in media.packets(streams, damaged=True, tick=tick):
        if (span := media.span(packet, of[packet.stream_index])) is not None:
            if packet.stream_index not in spans:
                spans[packet.stream_index] = _Spans(Reach(of[packet.stream_index], media))
            spans[packet.stream_index].add(span, packet, damaged=media.is_damaged(packet))
            if of[packet.stream_index].type == "video" and packet.pts is not None:
                frames.add(packet.pts)
    for index, found in spans.items():
        if of[index].type == "audio":
            found.cut_off(of[index].codec_context)
    return {index: found for index, found in spans.items() if found.start < math.inf}
