"""An opened recording as compressed packets: the streams that are played, one clock, and the one loop over packets.

Every time is in seconds from the start of the container's clock. Clips, recordings of any length, surveys and decoders
other than PyAV all read packets here, so they agree on what a file holds.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from .clip import MediaError
from .open import opened

if TYPE_CHECKING:
    import av
    from av.packet import Packet
    from av.stream import Stream

    AnyPacket = Packet[Stream]


def no_tick() -> None:
    """What is called for every packet where nobody wants to know how reading gets on."""


@dataclass(frozen=True)
class Recording:
    """An opened media file."""

    container: "av.container.InputContainer"
    clock: float
    """What the clock of the container says at its start, in seconds."""

    @overload
    def stream(self, kind: Literal["video"]) -> "av.VideoStream | None": ...
    @overload
    def stream(self, kind: Literal["audio"]) -> "av.AudioStream | None": ...
    def stream(self, kind: Literal["video", "audio"]) -> "av.VideoStream | av.AudioStream | None":
        """The stream of a kind that FFmpeg would play, ready to be decoded; a cover picture is no video."""
        from av.stream import Disposition

        stream: av.VideoStream | av.AudioStream | None = self.container.streams.best(kind)  # type: ignore[assignment]
        if stream is None or stream.disposition & Disposition.attached_pic:
            return None
        if stream.codec_context is None:
            raise MediaError(f"no decoder for its {kind} stream in this build of FFmpeg; convert the file")
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        return stream

    def packets(
        self,
        streams: "Sequence[Stream]",
        *,
        until: float = math.inf,
        damaged: bool = False,
        tick: Callable[[], None] = no_tick,
    ) -> "Iterator[AnyPacket]":
        """The packets of some streams in the order of the file, empty ones only where they repeat a picture.

        Args:
            streams: From `stream`.
            until: A stream is read so far, by the times at which its packets are to be decoded.
            damaged: Whether packets marked as damaged come out too.
            tick: Called for every packet, to show that reading gets on.

        Raises:
            MediaError: A packet is marked as damaged, or encrypted, so no decoder can make the right frames of it.
        """
        bases = {stream.index: base_of(stream) for stream in streams}
        for packet in self.container.demux(*streams):
            tick()
            if packet.size == 0 and (packet.pts is None or packet.stream.type != "video"):
                continue
            if packet.is_corrupt and not damaged:
                raise MediaError(f"a damaged packet in its {packet.stream.type} stream; fetch it again or leave it out")
            if packet.has_sidedata("encryption_info"):
                raise MediaError(f"its {packet.stream.type} is encrypted (DRM); fetch a copy without, or leave it out")
            if (base := bases.get(packet.stream_index)) is None:
                continue
            if packet.dts is not None and self.at(packet.dts, base) > until:
                del bases[packet.stream_index]
                if not bases:
                    return
            else:
                yield packet

    def at(self, ticks: int, base: Fraction) -> float:
        """When it is so many ticks, in seconds from the start of the clock."""
        return seconds_of(ticks, base) - self.clock

    def span(self, packet: "AnyPacket", stream: "Stream") -> tuple[float, float] | None:
        """When a packet is first and last shown or heard; None where it is not to be, or does not say when."""
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None or packet.is_discard:
            return None
        base = base_of(stream)
        time = seconds_of(ticks, base)
        length = seconds_of(packet.duration, base) if packet.duration else frame_seconds(stream)
        return time - self.clock, time + length - self.clock


@contextmanager
def recording(path: Path) -> Iterator[Recording]:
    """Open a media file; whatever goes wrong inside the block becomes a `MediaError` that names it, see `opened`."""
    with opened(path) as container:
        yield Recording(container, (container.start_time or 0) / 1e6)


def base_of(stream: "Stream") -> Fraction:
    """Seconds of a tick of a stream that is decoded."""
    assert stream.time_base is not None
    return stream.time_base


def seconds_of(ticks: int, base: Fraction) -> float:
    """So many ticks in seconds, rounded once."""
    return ticks * base.numerator / base.denominator


def frame_seconds(stream: "Stream") -> float:
    """Nominal time from one frame to the next; 0 of sound, and where no rate is known."""
    if stream.type != "video":
        return 0.0
    video: av.VideoStream = stream  # type: ignore[assignment]
    rate = video.average_rate or video.guessed_rate
    return 1.0 / float(rate) if rate else 0.0
