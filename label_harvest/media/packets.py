"""An opened recording as compressed packets: the streams that are played, one clock, and the one loop over packets.

Every time is in seconds from the start of the container's clock. Clips, recordings of any length, surveys and decoders
other than PyAV all read packets here, so they agree on what a file holds.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from .avi import Chain
from .clip import MediaError
from .clock import TimeLine
from .open import opened
from .tracks import chosen_track

if TYPE_CHECKING:
    import av
    from av.packet import Packet, PktSideDataT
    from av.stream import Stream

    AnyPacket = Packet[Stream]

_BROADCAST = ("mpegts", "mpeg")
"""Formats of which any packet may get lost."""
_LOSES = (*_BROADCAST, "ogg", "asf")
"""Formats in which sound has no gaps: what is damaged is not there at all."""
_SAYS_KEYS = (*_BROADCAST, "flv", "matroska,webm")
"""Formats that may begin within a group of pictures, of which none can be shown before the next key frame."""

HOLE_SECONDS = 2.0
"""A stream that has nothing for longer is not there, see holes.py."""
WHOLE_FRAMES = ("aac", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3")
"""Codecs whose packets decode to whole frames, however short the container says that they are."""
_SHORT_FRAMES = (*WHOLE_FRAMES, "opus", "vorbis")
"""Codecs whose packets are never as long as a hole: where a container says so, sound is missing behind them."""
_PLAIN = re.compile(r"pcm_[suf](8|16|24|32|64)")
"""Codecs that are the samples themselves, of so many bits."""
_LONGER_SECONDS = 0.05
"""A packet of plain samples that says it lasts for so much longer than they do fills up for others."""
_UNTIMED = (
    *("h264", "hevc", "vvc", "evc", "av1", "obu", "mjpeg", "mjpeg_2000", "mpjpeg"),
    *("dnxhd", "h261", "h263", "avs2", "avs3", "apv"),
)
"""Formats that are pictures behind one another, at a rate that nothing in them says; FFmpeg takes 25 a second."""
_BLOCKS = ("wav", "w64", "aiff", "au", "voc")
"""Formats from which FFmpeg takes as many bytes as it likes, where the last ones may be fewer."""
_CHECKSUMS = ("flac", "tta", "wavpack")
"""Codecs every frame of which carries a checksum that encoders get right."""


def ignore_tick() -> None:
    """What is called for every packet where nobody wants to know how reading gets on."""


@dataclass(frozen=True)
class Recording:
    """An opened media file."""

    container: "av.container.InputContainer"
    clock: float
    """What the clock of the container says at its start, in seconds."""
    ends: dict[int, float] = field(default_factory=dict)
    """By index of the stream, when its last good frame ends, in seconds from the start of the clock, where what follows
    is damaged."""
    holes: dict[int, float] = field(default_factory=dict)
    """By index of the stream, when its last packet was that was left out as damaged."""
    restarts: list[float] = field(default_factory=list)
    """When the clock started again, in seconds as it then goes on; see clock.py."""
    unread: list[str] = field(default_factory=list)
    """Why the rest of the file could not be read, where it could not."""
    _measures: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    """By index of the stream, seconds of a tick as a ratio and of a byte of plain samples, which take long to ask."""
    rubbish: int = 0
    """Bytes of something else at its start."""
    begins: dict[int, float] = field(default_factory=dict)
    """By index of the stream, when its first good frame begins, in seconds from the start of the clock, where what
    comes before cannot be decoded."""
    chain: Chain | None = None
    """Of an AVI."""
    salvage: bool = False
    """Whether what cannot be decoded is left out, with good frames behind it."""
    gone: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """By index of the stream, what was left out so, from when to when in seconds from the start of the clock."""

    @overload
    def stream(self, kind: Literal["video"]) -> "av.VideoStream | None": ...
    @overload
    def stream(self, kind: Literal["audio"], track: str | None = None) -> "av.AudioStream | None": ...
    def stream(
        self, kind: Literal["video", "audio"], track: str | None = None
    ) -> "av.VideoStream | av.AudioStream | None":
        """The stream of a kind that FFmpeg would play, ready to be decoded; a cover picture is no video.

        Args:
            kind: Whether it is to be seen or heard.
            track: Which of the audio streams is to be taken instead, see `tracks.chosen_track`.
        """
        from av.stream import Disposition

        best: av.VideoStream | av.AudioStream | None = self.container.streams.best(kind)  # type: ignore[assignment]
        stream = best if track is None else chosen_track(self.container, track)
        if stream is None or stream.disposition & Disposition.attached_pic:
            return None
        if stream.codec_context is None:
            raise MediaError(f"no decoder for its {kind} stream in this build of FFmpeg; convert the file")
        stream.codec_context.thread_count = 1
        checks = "crccheck+explode" if stream.codec_context.name in _CHECKSUMS else "explode"
        stream.codec_context.options = {"err_detect": checks}
        return stream

    def packets(
        self,
        streams: "Sequence[Stream]",
        *,
        beside: "Sequence[Stream | None]" = (),
        until: float = math.inf,
        damaged: bool = False,
        tick: Callable[[], None] = ignore_tick,
    ) -> "Iterator[AnyPacket]":
        """The packets of some streams in the order of the file, empty ones only where they repeat a picture.

        Args:
            streams: From `stream`.
            beside: Others that are played, whose packets do not come out; in them a clock that starts again may show.
            until: A stream is read so far, by the times at which its packets are to be decoded.
            damaged: Whether damaged packets come out too, see `is_damaged`.
            tick: Called for every packet, to show that reading gets on.

        Raises:
            MediaError: A packet is damaged, or encrypted, so no decoder can make the right frames of it, or a stream
                becomes one of another kind.
        """
        played = [*streams, *(stream for stream in beside if stream is not None)]
        kinds = {stream.index: stream.type for stream in played}
        over = {stream.index: base_of(stream).numerator for stream in streams}
        under = {stream.index: base_of(stream).denominator for stream in streams}
        for packet in self._on_time_line(played, tick):
            index = packet.stream_index
            if packet.stream.type != kinds[index]:
                _refuse_changed(played, kinds)
            if not damaged and self.is_damaged(packet):
                raise MediaError(f"damaged {packet.stream.type}{self._when(packet)}; fetch it again or leave it out")
            if carries(packet, "encryption_info"):
                raise MediaError(f"its {packet.stream.type} is encrypted (DRM); fetch a copy without, or leave it out")
            if index not in over:
                continue
            ticks = packet.dts  # as `at` has it, here for speed
            if ticks is not None and ticks * over[index] / under[index] - self.clock > until:
                del over[index]
                if not over:
                    return
            else:
                yield packet
        _refuse_changed(played, kinds)

    def _on_time_line(self, streams: "Sequence[Stream]", tick: Callable[[], None]) -> "Iterator[AnyPacket]":
        """All packets that hold or repeat something, with the times of one clock that never starts again."""
        line = TimeLine(self.restarts, broadcast=self.is_broadcast, clock=self.clock)
        goes_on = line.goes_on
        theora = {stream.index for stream in streams if stream.codec_context.name == "theora"}
        keyed = self.container.format.name in _SAYS_KEYS
        waiting, left_out = {stream.index for stream in streams if keyed and stream.type == "video"}, set[int]()
        wanted = tick is not ignore_tick
        for packet in self._readable(streams):
            if wanted:
                tick()
            if waiting and packet.stream_index in waiting:
                if not packet.is_keyframe:
                    left_out.add(packet.stream_index)
                    continue
                waiting.remove(packet.stream_index)
                if packet.stream_index in left_out and packet.pts is not None:
                    self.begins[packet.stream_index] = self.at(packet.pts, base_of(packet.stream))
            if theora and packet.stream_index in theora and _is_header(packet):
                continue
            if packet.size or (packet.pts is not None and packet.stream.type == "video"):
                if goes_on(packet):
                    yield packet
                else:
                    yield from line.take(packet)
        for index in waiting & left_out:
            self.begins[index] = math.inf
        yield from line.rest()

    def _readable(self, streams: "Sequence[Stream]") -> "Iterator[AnyPacket]":
        """All packets up to where the file can no longer be read: its end, or where it was cut or damaged."""
        import av

        begun = False
        try:
            packets = self.container.demux(*streams)
            for packet in packets:
                begun = begun or packet.size > 0
                if begun and self.chain is None:
                    yield packet
                    yield from packets  # which costs nothing a packet
                    return
                if self.chain and packet.pos is not None and not self.chain.reaches(packet.pos, packet.size):
                    said = f"damaged{self._when(packet)}, behind which it goes on; fetch it again or leave it out"
                    if not self.salvage:
                        raise MediaError(said, salvageable=True)
                    self.unread.append(said)
                    return
                yield packet
        except av.error.InvalidDataError as error:
            if not begun:
                raise
            self.unread.append(str(error))

    @property
    def is_broadcast(self) -> bool:
        """Whether any packet may have got lost on its way."""
        return self.container.format.name in _BROADCAST

    @property
    def loses(self) -> bool:
        """Whether a gap in its sound is what got lost or was damaged."""
        return self.container.format.name in _LOSES

    def is_damaged(self, packet: "AnyPacket") -> bool:
        """Whether FFmpeg marks a packet as damaged, and more is wrong with it than that the file ends in it.

        A last packet of plain samples is good as far as it reaches, and so is one of several blocks. In a program
        stream, where nothing else is marked, the last one may hold many frames, of which the decoder finds the good.
        """
        if not packet.is_corrupt or self.container.format.name == "mpeg":
            return False
        blocks = self.container.format.name in _BLOCKS or packet.stream.codec_context.name.startswith("pcm_")
        return self.is_broadcast or not blocks

    def _when(self, packet: "AnyPacket") -> str:
        ticks = packet.pts if packet.pts is not None else packet.dts
        return "" if ticks is None else f" at {self.at(ticks, base_of(packet.stream)):.2f} s"

    def at(self, ticks: int, base: Fraction) -> float:
        """When it is so many ticks, in seconds from the start of the clock."""
        return seconds_of(ticks, base) - self.clock

    def span(self, packet: "AnyPacket", stream: "Stream") -> tuple[float, float] | None:
        """When a packet is first and last shown or heard; None where it is not to be, or does not say when."""
        ticks = packet.pts
        if ticks is None and (ticks := packet.dts) is None or packet.is_discard:
            return None
        if (measure := self._measures.get(stream.index)) is None:
            measure = self._measures[stream.index] = (*base_of(stream).as_integer_ratio(), byte_seconds(stream))
        over, under, byte = measure
        time, duration = ticks * over / under, packet.duration
        length = duration * over / under if duration else frame_seconds(stream)
        if byte and length - packet.size * byte > _LONGER_SECONDS:
            length = packet.size * byte
        if length > HOLE_SECONDS and stream.type == "audio" and stream.codec_context.name in _SHORT_FRAMES:
            length = 0.0
        return time - self.clock, time + length - self.clock


def _refuse_changed(streams: "Sequence[Stream]", kinds: Mapping[int, str]) -> None:
    for stream in streams:
        if stream.type != (kind := kinds[stream.index]):
            raise MediaError(
                f"its {kind} stream turns into {stream.type}: another file was put behind; take them apart"
            )


def tag_bytes(start: bytes) -> int:
    """Length of the tag of an MP3 that begins so, 0 for none: ID3v2 before the first frame, ID3v1 behind the last."""
    if start.startswith(b"ID3") and len(start) >= 10:
        footer = 10 * bool(start[5] & 16)
        return 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(start[6:10]))) + footer
    return 128 * start.startswith(b"TAG")


def carries(packet: "AnyPacket", what: "PktSideDataT") -> bool:
    """Whether a packet comes with data of this kind beside it; that nearly all have none is seen faster than asked."""
    return next(packet.iter_sidedata(), None) is not None and packet.has_sidedata(what)


def _is_header(packet: "AnyPacket") -> bool:
    """Whether a packet of Theora is no picture, but a header of another file that was put behind this one.

    Raises:
        MediaError: Its pictures are made otherwise than those before, which the decoder cannot change to.
    """
    data = bytes(packet)
    if not data or not data[0] & 0x80:
        return False
    if data[0] != 0x81 and data not in (packet.stream.codec_context.extradata or b""):  # all but the comments
        raise MediaError("another Theora video follows in it, of other headers; take the files apart")
    return True


@contextmanager
def recording(path: Path, *, salvage: bool = False) -> Iterator[Recording]:
    """Open a media file; whatever goes wrong inside the block becomes a `MediaError` that names it, see `opened`.

    Args:
        path: The file.
        salvage: Whether what cannot be decoded is left out; broadcasts are bridged as they always are.
    """
    with opened(path) as (container, part):
        if container.format.name in _UNTIMED:
            raise MediaError(raw_video(path, container.format.name))
        salvage = salvage and container.format.name not in _BROADCAST
        media = Recording(container, (container.start_time or 0) / 1e6, rubbish=part.begin, salvage=salvage)
        if part.end:
            media.unread.append("what follows is cut")
        if container.format.name == "avi":
            media = replace(media, chain=Chain(path, part.begin))
        try:
            yield media
        finally:
            if media.chain:
                media.chain.close()


def raw_video(path: Path, format_name: str) -> str:
    """What is wrong with pictures without times."""
    into = f"ffmpeg -r 25 -i {path.name} -c copy {path.stem}.mp4"
    return f"is a raw {format_name} stream, which says no times; put it into a container at its rate: {into}"


def base_of(stream: "Stream") -> Fraction:
    """Seconds of a tick of a stream that is decoded."""
    assert stream.time_base is not None
    return stream.time_base


def seconds_of(ticks: int, base: Fraction) -> float:
    """So many ticks in seconds, rounded once."""
    return ticks * base.numerator / base.denominator


def byte_seconds(stream: "Stream") -> float:
    """How long a byte of plain samples lasts, 0 of all else."""
    if (plain := _PLAIN.match(stream.codec_context.name)) is None:
        return 0.0
    context: av.AudioCodecContext = stream.codec_context  # type: ignore[assignment]
    rate = context.channels * context.sample_rate
    return 8 / (int(plain[1]) * rate) if rate else 0.0


def frame_seconds(stream: "Stream") -> float:
    """Nominal time from one frame to the next; 0 of sound, and where no rate is known."""
    if stream.type != "video":
        return 0.0
    video: av.VideoStream = stream  # type: ignore[assignment]
    rate = video.average_rate or video.guessed_rate
    return 1.0 / float(rate) if rate else 0.0
