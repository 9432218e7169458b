"""Compressed packets -> frames at given times, and sound without gaps: what clips and recordings of any length share.

A recording is read window by window straight from its file (`DirectReader`), so memory does not grow with its length. A
clip is the first window alone: frames.py holds the packets of that stretch and hands them to the same functions. So
for media of the length of the grid the same comes out of both, to the bit.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..cores import usable_cores
from .clip import EndsError, Grid, MediaError
from .holes import Tally
from .packets import HOLE_SECONDS, Recording, base_of, frame_seconds, ignore_tick, recording, seconds_of, tag_bytes
from .pixels import uprighted
from .sound import Timed, heard

if TYPE_CHECKING:
    import av
    from av.packet import Packet
    from av.stream import Stream

    from .packets import AnyPacket
    from .salvage import Decoded
    from .survey import MediaSurvey

_BESIDE_SECONDS = 1.0
"""Sound that cannot be decoded so soon behind a packet that was left out is left out too."""
KEPT_PIXELS = 1920 * 1088
"""Larger frames of recordings are scaled down to about this many pixels, keeping their shape (averaging areas)."""
_THREADS = 4
"""Most threads that decode the video of a recording."""

Lost = dict[str, Tally]
"""By kind of stream, what could not be decoded and was bridged."""


def decoded(
    stream: "Stream", packets: "Iterable[Packet[Any]]", media: Recording, lost: Lost | None = None
) -> Iterator[Timed]:
    """Frames of a stream in the order in which they are shown, up to the last good one.

    Where nothing good follows damage, the stream ends there, and `Recording.ends` says when. The time is counted in the
    stream's own time base: frames that come out when the decoder is flushed carry none, and their `time` is no number.
    An empty packet repeats what is shown; a decoder would take it for the end. Where such packets are the last ones,
    the last frame comes once more.

    Args:
        stream: Which one.
        packets: Its packets.
        media: Whose it is.
        lost: Takes what was bridged; without it only what comes before the first good frame is, see
            `Recording.begins`, and damage with good frames behind it is an error.

    Raises:
        MediaError: Damage that is not bridged, and frames made of what follows it.
    """
    base, damage, clock = base_of(stream), _Damage(stream, media, lost), media.clock
    over, under = base.as_integer_ratio()
    time, frame, latest, repeated = None, None, None, -math.inf
    for packet in chain(packets, [None]):
        unusable = False
        if packet is not None:
            if packet.size == 0:
                repeated = max(repeated, media.at(packet.pts, base))  # type: ignore[arg-type]
                continue
            unusable = packet.is_corrupt and media.is_damaged(packet)
        for frame in damage.frames_of(packet, unusable=unusable):
            ticks = frame.pts
            time = None if ticks is None else ticks * over / under - clock  # as `Recording.at`, here for speed
            if time is not None and (latest is None or time >= latest[0]):
                latest = time, frame
            yield time, frame
    damage.end(any_good=frame is not None)
    if damage.begins is not None:
        media.ends[stream.index] = latest[0] + _frame_length(latest[1], stream) if latest else 0.0
    elif time is not None and repeated > time:
        yield repeated, frame


class _Damage:
    """Decodes packets until damage, and then only to see that nothing good follows.

    Where damage is bridged, this holds of the last damage alone: what a broadcast lost on its way, and what comes
    before the first good frame of a stream that begins within one, is left out, pictures up to the next key frame.
    """

    def __init__(self, stream: "Stream", media: Recording, lost: Lost | None) -> None:
        """Know no damage yet; `lost` as in `decoded`."""
        self.begins: float | None = None
        """When it does, in seconds from the start of the clock."""
        self._stream, self._media, self._lost = stream, media, lost
        self._good = False  # whether a good frame has come out
        self._open: float | None = None  # when bridged damage begins behind which nothing good has come yet
        self._waiting = False  # for the next key frame
        self._from = -math.inf  # earlier frames are left out, in ticks
        self._error: Exception | None = None
        self._behind = set[int | None]()
        self._damaged: int | None = None
        self._tag = 0  # bytes left of a tag among packets of MP3
        self._reached = 0.0  # when the last frame that came out ends
        self._base = base_of(stream)
        self._decode: Callable[..., list[Any]] = stream.codec_context.decode  # type: ignore[attr-defined]

    def frames_of(self, packet: "Packet[Any] | None", *, unusable: bool) -> Iterable[Any]:
        """The good frames that come out for a packet, None for the end of all packets.

        Pictures come out in another order than packets go in: one that was decoded before the damage is good, whenever
        it is shown, and what comes of the damaged packet itself is none.

        Raises:
            MediaError: A frame comes out that is made of what follows damage.
        """
        if self._waiting and self._is_left_out(packet):
            return ()
        frames = None if unusable else self._frames_of(packet)
        well = self._good and self.begins is None and self._open is None and not self._media.salvage
        if well and frames is not None and not any(frame.is_corrupt for frame in frames):
            return frames  # as nearly always; the rest would find the same
        return self._good_ones(packet, frames)

    def _good_ones(self, packet: "Packet[Any] | None", frames: "list[Any] | None") -> Iterator[Any]:
        """The good ones of the frames that came out for a packet, None where it is damaged."""
        pts = None if packet is None else packet.pts
        if self.begins is not None and packet is not None:
            self._behind.add(pts)
        if frames is None:
            self._note(pts)
        for frame in frames or ():
            if frame.is_corrupt:
                self._note(frame.pts)
            elif self.begins is None:
                yield from (frame,) if self._is_taken(frame) else ()
            elif packet is None and frame.pts is None:  # what the decoder still held of good packets
                yield frame
            elif self._is_behind(frame):
                when = f" at {self.begins:.2f} s" if self.begins < math.inf else ""
                said = f"damaged {self._stream.type}{when}; fetch it again or leave it out"
                raise MediaError(said, salvageable=self._is_timed)
            elif frame.pts is None or frame.pts != self._damaged:
                yield frame

    def _frames_of(self, packet: "Packet[Any] | None") -> "list[Any] | None":
        """What a packet decodes to, None where it is damaged."""
        if self._tag > 0 and packet is not None:
            self._tag -= packet.size
            return []
        try:
            return self._decode(packet)
        except Exception as error:  # of what is no sound decoders say many things
            from av.error import BlockingIOError, FFmpegError, MemoryError  # noqa: A004 - FFmpeg's own

            if not isinstance(error, FFmpegError) or isinstance(error, BlockingIOError | MemoryError):
                raise
            self._error = self._error or error
            if packet is None or self._stream.type == "video":
                return None
            if self._stream.codec_context.name.startswith("mp3") and (size := tag_bytes(bytes(packet))):
                self._tag = size - packet.size
                return []
            hole = self._media.holes.get(self._stream.index, -math.inf)
            return [] if self._at(packet.pts) - hole < _BESIDE_SECONDS else None

    def _is_behind(self, frame: Any) -> bool:  # noqa: ANN401 - of a picture or of sound
        """Whether a frame is made of what follows the damage."""
        if frame.pts is not None and frame.pts == self._damaged:
            return False
        late = self._stream.type == "audio" and self.begins is not None and self._at(frame.pts) >= self.begins
        return frame.pts in self._behind or late

    def _is_left_out(self, packet: "Packet[Any] | None") -> bool:
        """Whether a packet builds on bridged damage, as all do up to the next key frame of a video."""
        if self._waiting and packet is not None and packet.is_keyframe:
            self._waiting, self._from = False, -math.inf if packet.pts is None else packet.pts
        return self._waiting and packet is not None

    def _is_taken(self, frame: Any) -> bool:  # noqa: ANN401 - of a picture or of sound
        """Whether a frame is one that comes out: then what is open was a gap."""
        if self._from > -math.inf and (frame.pts is None or frame.pts < self._from):
            return False
        if self._media.salvage:
            if frame.pts is None and self._open is not None:
                return False  # nobody knows when it is
            self._leave_out(frame)
        self._from, self._good = -math.inf, True
        if self._open is not None:
            start, self._open = max(0.0, self._open), None
            seconds = max(0.0, self._at(frame.pts) - start) if frame.pts is not None and start < math.inf else 0.0
            if seconds > HOLE_SECONDS and self._stream.type == "audio":
                said = f"damaged audio at {start:.2f} s; fetch it again or leave it out"
                raise MediaError(said, salvageable=True)
            if self._lost is None:
                self._media.begins[self._stream.index] = max(0.0, start + seconds)
            else:
                self._lost.setdefault(self._stream.type, Tally()).add(start if start < math.inf else 0.0, seconds)
        return True

    def _leave_out(self, frame: Any) -> None:  # noqa: ANN401 - of a picture or of sound
        """Note from when to when nothing good came before a frame, where that was for damage."""
        start = math.inf if self._open is None else max(0.0, min(self._open, self._reached))
        if frame.pts is None:
            return
        if self._open is not None:
            self._media.gone.setdefault(self._stream.index, []).append((start, max(start, self._at(frame.pts))))
            self._open = None
        self._reached = self._at(frame.pts) + _frame_length(frame, self._stream)

    def end(self, *, any_good: bool) -> None:
        """No frame comes any more: what is open is the end.

        Raises:
            FFmpegError: Why there never was a frame.
        """
        import av

        if self.begins is None:
            self.begins = self._open
        if self._error and not any_good and not isinstance(self._error, av.error.InvalidDataError):
            raise self._error

    def _note(self, pts: int | None) -> None:
        bridged = self._media.is_broadcast or self._media.salvage
        if self._is_timed and (not self._good or (self._lost is not None and bridged)):
            self._open = self._at(pts) if self._open is None else self._open
            if self._stream.type == "video":
                self._waiting, self._from = True, math.inf
        elif self.begins is None:
            self.begins, self._damaged = self._at(pts), pts

    @property
    def _is_timed(self) -> bool:
        """Whether times are right behind damage; those of a FLAC that begins within are not."""
        return self._good or self._media.container.format.name != "flac"

    def _at(self, pts: int | None) -> float:
        return math.inf if pts is None else self._media.at(pts, self._base)


def bridged(packets: "Iterable[AnyPacket]", media: Recording) -> "Iterator[AnyPacket]":
    """Packets of a stream without the damaged ones, and without those that build on them, up to the next key frame.

    So the last good picture stays, and sound has a gap.
    """
    waiting = False
    for packet in packets:
        if media.is_damaged(packet):
            waiting = packet.stream.type == "video"
            if packet.pts is not None:
                media.holes[packet.stream_index] = media.at(packet.pts, base_of(packet.stream))
        elif packet.is_keyframe or not waiting:
            waiting = False
            yield packet


def _frame_length(frame: Any, stream: "Stream") -> float:  # noqa: ANN401 - of a picture or of sound
    """How long a decoded frame is shown or heard, in seconds."""
    if stream.type == "audio":
        return float(frame.samples / frame.sample_rate)
    return seconds_of(frame.duration, base_of(stream)) if frame.duration else frame_seconds(stream)


def shown_at(
    stream: "av.VideoStream",
    frames: Iterable[Timed],
    cutoffs: np.ndarray,
    *,
    seconds: float,
    grid: Grid,
    to_end: bool,
) -> "Iterator[av.VideoFrame]":
    """The frame shown at each of many times: the last one with a timestamp below the time, else the first frame.

    Args:
        stream: Whose frames they are.
        frames: From `decoded`.
        cutoffs: float [K] ascending, in seconds from the start of the clock.
        seconds: When the video ends, as its packets say.
        grid: Its tolerance says how much earlier the video may end than its packets say.
        to_end: Whether frames behind the last time are looked at too, for damage and for when the video ends.

    Raises:
        EndsError: The video ends early; the last frame has come for the first time behind its end, too.
        MediaError: The video has no frames, or no timestamps.
    """
    position, last, latest, shown = 0, 0.0, None, None
    until = [*cutoffs.tolist(), math.inf]
    for time, frame in frames:
        if time is None:
            raise MediaError("video frames without timestamps; convert the file")
        last = time
        if latest is None or last >= latest[0]:
            latest = last, frame
        while last >= until[position]:
            yield frame if shown is None else shown
            position += 1
        shown = frame
        if position == len(cutoffs) and not to_end:
            return
    if shown is None or latest is None:
        raise MediaError("no frame of its video decodes; fetch it again or leave it out")
    end = max(0.0, latest[0] + _frame_length(latest[1], stream))
    rest = cutoffs[position:]
    if seconds - end > grid.tolerance_seconds:
        yield from repeat(shown, min(len(rest), int(np.searchsorted(rest, end)) + 1))  # what is shown then began before
        said = f"video decodes to {end:.1f} s of the {seconds:.1f} s its packets promise; fetch it again"
        raise EndsError(said, end)
    yield from repeat(shown, len(rest))


class Pictures:
    """Decoded frames as upright RGB of one size; a frame that is asked for again is not converted again."""

    def __init__(self, most_pixels: float = math.inf) -> None:
        """Know no size yet; frames of more pixels will be scaled down."""
        from av.video.reformatter import VideoReformatter

        self._most_pixels = most_pixels
        self._source: Any = None
        self._image = np.zeros((0, 0, 3), np.uint8)
        self._how: dict[str, Any] = {}
        self._upright: Callable[[np.ndarray], np.ndarray] = np.asarray
        self._converter = VideoReformatter()

    def of(self, frame: "av.VideoFrame") -> np.ndarray:
        """uint8 [H, W, 3], as large as the first frame, turned and mirrored as that one asks for."""
        if not self._how:
            self._how, self._upright = self._size(frame.width, frame.height), uprighted(frame)
        if frame is not self._source:
            colours = self._converter.reformat(frame, format="rgb24", **self._how)
            self._image, self._source = self._upright(colours.to_ndarray()), frame
        return self._image

    def _size(self, width: int, height: int) -> dict[str, Any]:
        scale = math.sqrt(self._most_pixels / (width * height))
        if scale >= 1:
            return {"width": width, "height": height}
        from av.video.reformatter import Interpolation

        small = {name: max(2, round(size * scale)) for name, size in (("width", width), ("height", height))}
        return {**small, "interpolation": Interpolation.AREA}


class MediaReader(Protocol):
    """Whoever reads a recording, piece by piece: `DirectReader`, or `stream_reader.ProcessReader`."""

    @property
    def lost(self) -> Lost:
        """What could not be decoded so far of the file surveyed last, and was bridged."""

    def survey(self, path: Path, track: str | None = None, *, salvage: bool = False) -> "MediaSurvey":
        """See `survey_media`; to `salvage`, both streams are decoded to see what of them can be."""

    def frames(self, survey: "MediaSurvey", cutoffs: np.ndarray, grid: Grid) -> Iterator[np.ndarray]:
        """See `frames_at`."""

    def sound(self, survey: "MediaSurvey") -> Iterator[tuple[int, np.ndarray]]:
        """See `sound_of`."""


@dataclass(frozen=True)
class DirectReader:
    """Reads in this process, without limits."""

    tick: Callable[[], None] = ignore_tick
    """Called for every packet, to show that decoding gets on."""
    lost: Lost = field(default_factory=dict, compare=False)
    """What could not be decoded so far of the file surveyed last, and was bridged."""

    def survey(self, path: Path, track: str | None = None, *, salvage: bool = False) -> "MediaSurvey":
        """See `MediaReader.survey`."""
        from .salvage import kinds_of, salvaged  # which clips do without
        from .survey import survey_media

        self.lost.clear()
        survey = survey_media(path, tick=self.tick, track=track, salvage=salvage)
        if not salvage:
            return survey
        return salvaged(survey, {kind: _decodes(survey, kind, self.tick) for kind in kinds_of(survey)})

    def frames(self, survey: "MediaSurvey", cutoffs: np.ndarray, grid: Grid) -> Iterator[np.ndarray]:
        """See `frames_at`."""
        seconds = survey.video_seconds or 0.0
        return frames_at(survey.path, cutoffs, seconds, grid, tick=self.tick, survey=survey, lost=self.lost)

    def sound(self, survey: "MediaSurvey") -> Iterator[tuple[int, np.ndarray]]:
        """See `sound_of`."""
        return sound_of(survey.path, survey.seconds, tick=self.tick, survey=survey, lost=self.lost)


def _track_of(survey: "MediaSurvey | None") -> str | None:
    return None if survey is None or survey.audio_track is None else str(survey.audio_track)


def _decodes(survey: "MediaSurvey", kind: str, tick: Callable[[], None]) -> "Decoded":
    """What of a stream can be decoded."""
    from .salvage import Decoded

    with recording(survey.path, salvage=True) as media:
        video, audio = media.stream("video"), media.stream("audio", _track_of(survey))
        stream, other = (video, audio) if kind == "video" else (audio, video)
        assert stream is not None, "the survey says that it is there"
        stream.codec_context.thread_count = min(usable_cores(), _THREADS) if kind == "video" else 1
        packets = media.packets([stream], beside=[other] if survey.joined else [], damaged=True, tick=tick)
        count = sum(1 for _ in decoded(stream, bridged(packets, media), media, {}))
        return Decoded(count > 0, tuple(media.gone.get(stream.index, ())), media.container.format.name)


def frames_at(
    path: Path,
    cutoffs: np.ndarray,
    seconds: float,
    grid: Grid,
    *,
    tick: Callable[[], None] = ignore_tick,
    survey: "MediaSurvey | None" = None,
    lost: Lost | None = None,
) -> Iterator[np.ndarray]:
    """The pictures of a file at many times, see `shown_at`; what lies behind the last time is not decoded.

    Args:
        path: A file with a video stream.
        cutoffs: float [K] ascending, in seconds from the start of the container's clock.
        seconds: When the video ends, as its packets say.
        grid: Its tolerance says how much earlier the video may end than its packets say.
        tick: Called for every packet.
        survey: Of the file: which audio stream is heard with it, whether the clock starts again (it may without one),
            and whether what cannot be decoded is left out (it is an error without one).
        lost: Takes what was bridged.

    Yields:
        uint8 [H, W, 3] RGB upright, all of the size of the first; the same array where the frame is the same.

    Raises:
        EndsError: The video is damaged from some time on, and all pictures before are given.
        MediaError: The video is damaged in the middle, has no timestamps, or ends early for no known reason.
    """
    with recording(path, salvage=survey is not None and survey.salvage) as media:
        audio = media.stream("audio", _track_of(survey)) if survey is None or survey.joined else None
        stream, beside = media.stream("video"), [audio]
        assert stream is not None, "the survey says that there is a video"
        stream.codec_context.thread_count = min(usable_cores(), _THREADS)
        packets = media.packets([stream], beside=beside, damaged=True, tick=tick)
        frames = decoded(stream, bridged(packets, media), media, {} if lost is None else lost)
        pictures = Pictures(KEPT_PIXELS)
        try:
            for frame in shown_at(stream, frames, cutoffs, seconds=seconds, grid=grid, to_end=False):
                yield pictures.of(frame)
        except EndsError as error:
            if stream.index not in media.ends and stream.index not in media.holes:
                raise
            media.ends.setdefault(stream.index, error.end)  # no key frame comes behind what was left out
        end = media.ends.get(stream.index)
    if end is not None:
        raise EndsError(f"{path.name}: its video is damaged from {end:.1f} s on", end)


def sound_of(
    path: Path,
    seconds: float,
    *,
    tick: Callable[[], None] = ignore_tick,
    survey: "MediaSurvey | None" = None,
    lost: Lost | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The sound of a file from the start of the container's clock, as it lies there, up to its last good frame.

    Args:
        path: A file with an audio stream.
        seconds: When the media ends; neither sound nor silence for gaps in the timestamps reaches much further.
        tick: Called for every packet.
        survey: As in `frames_at`.
        lost: Takes what was bridged.

    Yields:
        (samples per second, which stay the same; float32 [n] mono).

    Raises:
        MediaError: The sound is damaged or changes its rate.
    """
    with recording(path, salvage=survey is not None and survey.salvage) as media:
        video = media.stream("video") if survey is None or survey.joined else None
        stream, beside = media.stream("audio", _track_of(survey)), [video]
        assert stream is not None, "the survey says that there is sound"
        packets = bridged(media.packets([stream], beside=beside, damaged=True, tick=tick), media)
        rate, pieces = heard(decoded(stream, packets, media, {} if lost is None else lost), seconds + 2)
        position = 0
        for piece in pieces:
            yield rate, piece
            position += len(piece)
            if position >= round((seconds + 2) * rate):
                return
