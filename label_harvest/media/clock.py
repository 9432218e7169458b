"""One time line for a recording whose clock starts again, as it does where files were put behind one another.

What follows goes on where what came before ends. Picture and sound of a part are moved alike, so they stay together: by
as much as the stream needs that reaches furthest. Packets are held back from where one stream begins anew until the
others do, since only then it is known by how much.
"""

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from .clip import MediaError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

    AnyPacket = Packet[Stream]

RESTART_SECONDS = 0.5
"""A stream whose packets go back by more than this begins anew; by less, its times are rough, or pieces overlap."""
_WAIT_SECONDS = 3.0
"""So much of a stream may still come in a file after another one has begun anew."""
LEAD_SECONDS = 0.15
"""Sound of a part may begin so much before the part before it ends: encoders put a lead before the first sample."""
_SUSPECTS = 2
"""A packet that is marked as damaged, and the next one, wait to see whether it is a clock that starts again."""
_WRAP_SECONDS = 2**33 / 90000
"""When clocks of broadcasts begin at zero again. FFmpeg takes a time far before the first one for one behind that."""

_LATEST_ZERO = 60.0
"""A recording that begins so soon after zero may have a stream that begins before it, by less than this."""


@dataclass
class _Place:
    """How far a stream has come, in seconds."""

    seconds: float
    """Seconds per tick of the time stamps."""
    part: int
    last: float = math.nan
    """When its last packet was to be decoded, on the clock of the container."""
    end_ticks: int | None = None
    """When what it holds so far ends, on the time line, in ticks."""
    moved: int = 0
    """By how many ticks its packets are moved."""
    start: float = math.inf
    """When the first packet of a part that waits is shown or heard, on the clock of the container."""
    limit: float = math.inf
    """How far it may go on, on the clock of the container, without beginning anew as another stream has."""

    @property
    def end(self) -> float:
        """When what it holds so far ends, on the time line."""
        return -math.inf if self.end_ticks is None else self.end_ticks * self.seconds


class TimeLine:
    """Moves packets whose clock starts again behind what came before."""

    def __init__(self, starts: list[float], *, broadcast: bool, clock: float = math.inf) -> None:
        """Begin with nothing.

        Args:
            starts: Takes when the clock starts again, in seconds on the time line.
            broadcast: Whether the format has the clocks of broadcasts, and packets may get lost.
            clock: What the clock of the container says at its start, in seconds.
        """
        self._starts = starts
        self._clock = clock
        self._broadcast = broadcast
        self._shifts = [0.0]
        self._places: dict[int, _Place] = {}
        self._waiting: list[AnyPacket] = []
        self._suspects: dict[int, list[AnyPacket]] = {}

    def goes_on(self, packet: "AnyPacket") -> bool:
        """Whether a packet is simply the next one of its stream, as nearly all are; if so, it can go out."""
        place, dts = self._places.get(packet.stream_index), packet.dts
        if place is None or dts is None or self._waiting:
            return False
        time = dts * place.seconds
        step = time - place.last
        if not step >= -RESTART_SECONDS or time > place.limit:
            return False
        if self._broadcast and (step > _WRAP_SECONDS / 2 or self._suspects or packet.is_corrupt):
            return False
        place.last = time
        if place.moved:
            self._move(packet, place)
            return True
        pts = packet.pts  # as in `_move`, which is left out here for speed
        end = (dts if pts is None else pts) + (packet.duration or 0)
        if place.end_ticks is None or end > place.end_ticks:
            place.end_ticks = end
        return True

    def take(self, packet: "AnyPacket") -> "list[AnyPacket]":
        """The packets that can go out now that this one has come.

        Raises:
            MediaError: The clock of one stream starts again and that of another does not.
        """
        index = packet.stream_index
        place = self._place_of(packet)
        ticks = packet.pts if packet.dts is None and packet.stream.type == "audio" else packet.dts
        if ticks is None and packet.stream.codec_context.name == "flac":
            ticks = _timed(packet, place)
        time = place.last if ticks is None else ticks * place.seconds
        if self._is_before_all(time, place):
            time -= _WRAP_SECONDS
            _shift(packet, -round(_WRAP_SECONDS / place.seconds))
        anew = self._is_behind(time, place.last)
        out = self._begin_anew(place) if anew else []
        if self._suspects:
            out += self._cleared(index, anew=anew)
        place.last = time
        if place.part == len(self._shifts):
            place.start = min(place.start, self._heard_at(packet, place))
            self._waiting.append(packet)
            behind = any(other.part < place.part for other in self._places.values())
            return out if behind and time - place.start < _WAIT_SECONDS else out + self._place_waiting()
        if time > place.limit:
            kind = packet.stream.type
            raise MediaError(f"the clock of its {kind} goes on where another one starts again; convert it")
        self._move(packet, place)
        if index in self._suspects or (packet.is_corrupt and self._broadcast):
            self._suspects.setdefault(index, []).append(packet)
            return out
        return [*out, packet]

    def rest(self) -> "list[AnyPacket]":
        """What is held back when no packet is left."""
        suspects, self._suspects = list(chain(*self._suspects.values())), {}
        return suspects + self._place_waiting()

    def _place_of(self, packet: "AnyPacket") -> _Place:
        """How far its stream has come; where others wait, a new one is of their part."""
        if packet.stream_index not in self._places:
            base = packet.stream.time_base
            assert base is not None
            self._places[packet.stream_index] = _Place(float(base), len(self._shifts) - (not self._waiting))
        return self._places[packet.stream_index]

    def _cleared(self, index: int, *, anew: bool) -> "list[AnyPacket]":
        """The packets of a stream that were held back for a mark of damage, once it is known what it means."""
        suspects = self._suspects.get(index, [])
        if not (anew or len(suspects) == _SUSPECTS):
            return []
        for suspect in suspects if anew else ():
            suspect.is_corrupt = False  # the counter of its pieces began anew as well
        return self._suspects.pop(index, [])

    def _is_behind(self, time: float, last: float) -> bool:
        return last - time > RESTART_SECONDS or (self._broadcast and time - last > _WRAP_SECONDS / 2)

    def _is_before_all(self, time: float, place: _Place) -> bool:
        """Whether what begins a stream was taken for a day later: sound from just before 0, found behind pictures."""
        begins = self._broadcast and self._clock < _LATEST_ZERO and not place.last >= 0
        return begins and time > _WRAP_SECONDS - _LATEST_ZERO

    def _begin_anew(self, place: _Place) -> "list[AnyPacket]":
        """Let a stream be of the next part; what waited goes out where that is one more."""
        out: list[AnyPacket] = []
        if place.part == len(self._shifts):
            out = self._place_waiting()
        if place.part == len(self._shifts) - 1 and not self._waiting:  # the first of all
            for other in self._places.values():
                other.limit = min(other.limit, other.last + _WAIT_SECONDS)
        place.part, place.limit = place.part + 1, math.inf
        return out

    def _heard_at(self, packet: "AnyPacket", place: _Place) -> float:
        ticks = packet.dts if packet.pts is None else packet.pts
        return math.inf if ticks is None else ticks * place.seconds

    def _place_waiting(self) -> "list[AnyPacket]":
        """Let the packets that wait go out, moved behind the end of what there was."""
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, []
        kinds = {packet.stream_index: packet.stream.type for packet in waiting}
        first = min(self._places[index].start for index in kinds)
        needed, wanted = -math.inf, -math.inf
        for index, place in self._places.items():
            shift = place.end - (place.start if place.start < math.inf else first)
            wanted = max(wanted, shift)
            if kinds.get(index) == "video":
                needed = shift
        self._shifts.append(needed if wanted - needed <= LEAD_SECONDS else wanted)
        self._starts.append(first + self._shifts[-1])
        for packet in waiting:
            self._move(packet, self._places[packet.stream_index])
        for place in self._places.values():
            place.start = math.inf
        return waiting

    def _move(self, packet: "AnyPacket", place: _Place) -> None:
        """Give a packet its times on the time line, and note when it ends."""
        if place.part:
            place.moved = round(self._shifts[place.part] / place.seconds)
            _shift(packet, place.moved)
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is not None:
            end = ticks + (packet.duration or 0)
            place.end_ticks = end if place.end_ticks is None else max(place.end_ticks, end)


def _shift(packet: "AnyPacket", ticks: int) -> None:
    """Move a packet in time."""
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


def _timed(packet: "AnyPacket", place: _Place) -> int | None:
    """Give a packet of FLAC its time, which says none where frames are damaged, or a file begins behind another's last.

    Either way it holds several frames; where it is no beginning, it is marked as damaged.
    """
    import av

    if math.isnan(place.last):
        return None
    scratch: av.AudioCodecContext = av.CodecContext.create("flac", "r")
    scratch.extradata = packet.stream.codec_context.extradata
    packet.is_corrupt = b"fLaC" not in bytes(packet)
    packet.pts = packet.dts = (place.end_ticks or 0) - place.moved
    try:
        seconds = sum(frame.samples / frame.sample_rate for frame in scratch.decode(packet))
        packet.duration = round(seconds / place.seconds)
    except av.error.InvalidDataError:
        packet.duration = 0
    return packet.pts
