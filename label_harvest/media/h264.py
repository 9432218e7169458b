"""Which packets of an H.264 video need no decoding when only a few of its frames are looked at; nothing is decoded.

The standard lets a packet say so itself. A frame that no other frame refers to is marked, so it is needed only when it
is looked at. An IDR frame starts afresh, so of the frames before it none is needed behind the last one that is looked
at. Every other packet is needed, and so is each that holds more than pictures, such as parameter sets.

Whatever is not plainly understood (fields in place of frames, say) is answered with None: then all have to be decoded.

Source: ITU-T H.264, 7.3.1 to 7.4.1 (NAL units) and 7.3.2.1.1 (sequence parameter set).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

_SLICE, _IDR, _PARAMETERS = 1, 5, 7
"""Types of NAL units: part of a frame, part of an IDR frame, sequence parameter set."""
_REMARKS = frozenset((6, 9, 12))
"""Types that no decoding rests on: supplemental information, delimiters, filler."""
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
"""Profiles whose parameter sets also say how colours are held."""


@dataclass(frozen=True)
class _Content:
    """What one packet holds."""

    idr: bool
    """A frame nothing after which refers to anything before it."""
    reference: bool
    """A frame that others may refer to."""
    more: bool
    """Something besides one picture and remarks on it."""


def needed_packets(extradata: bytes, packets: Sequence[bytes], wanted: Collection[int]) -> list[int] | None:
    """Which packets have to be decoded so that some of the frames come out as they would if all were.

    Args:
        extradata: What the container holds for the decoder, empty if nothing.
        packets: Of the stream, from its start, in decoding order; each one frame.
        wanted: Places of the packets of the wanted frames.

    Returns:
        Places in ascending order; None when all are needed or it cannot be said.
    """
    try:
        prefix, parameters = _read_extradata(extradata)
        units = [list(_units(packet, prefix)) for packet in packets]
        parameters += [unit for held in units for unit in held if _type(unit) == _PARAMETERS]
        contents = [_content(held) for held in units]
        understood = bool(contents) and contents[0].idr and bool(parameters) and all(map(_has_frames_only, parameters))
    except (IndexError, ValueError):
        return None
    if not understood:
        return None
    asked = {place for place, content in enumerate(contents) if content.more or place in wanted}
    starts = [place for place, content in enumerate(contents) if content.idr]
    needed: list[int] = []
    for start, stop in zip(starts, [*starts[1:], len(contents)], strict=True):
        last = max((place for place in range(start, stop) if place in asked), default=start - 1)
        needed += [place for place in range(start, last + 1) if contents[place].reference or place in asked]
    return needed if len(needed) < len(packets) else None


def _content(units: Sequence[bytes]) -> _Content:
    """What the NAL units of one packet are."""
    types = {_type(unit) for unit in units}
    pictures = types & {_SLICE, _IDR}
    return _Content(
        idr=_IDR in types,
        reference=any(unit[0] & 0x60 for unit in units if _type(unit) in pictures),
        more=len(pictures) != 1 or bool(types - pictures - _REMARKS),
    )


def _type(unit: bytes) -> int:
    """Type of a NAL unit."""
    return unit[0] & 0x1F


def _read_extradata(extradata: bytes) -> tuple[int, list[bytes]]:
    """(bytes of the length before each NAL unit, 0 where start codes divide them; sequence parameter sets)."""
    if not extradata or extradata[0] != 1:
        return 0, [unit for unit in _units(extradata, 0) if _type(unit) == _PARAMETERS]
    sets, position = [], 6
    for _ in range(extradata[5] & 0x1F):
        length = int.from_bytes(extradata[position : position + 2], "big")
        sets.append(extradata[position + 2 : position + 2 + length])
        position += 2 + length
    return (extradata[4] & 3) + 1, sets


def _units(data: bytes, prefix: int) -> Iterator[bytes]:
    """The NAL units of a packet.

    Raises:
        ValueError: It is not made of them.
    """
    if not prefix:
        head, *units = data.split(b"\0\0\1")
        if head.strip(b"\0"):
            raise ValueError("no start code")
        yield from units
        return
    position = 0
    while position < len(data):
        start = position + prefix
        position = start + int.from_bytes(data[position:start], "big")
        if not start < position <= len(data):
            raise ValueError("a length that does not fit")
        yield data[start:position]


def _has_frames_only(parameters: bytes) -> bool:
    """Whether a sequence parameter set rules out fields; False for the rarer ones, which are not read to their end."""
    bits = _Bits(parameters[1:].replace(b"\0\0\3", b"\0\0"))
    profile = bits.take(8)
    bits.take(16)
    bits.number()
    if profile in _HIGH_PROFILES:
        if bits.number() == 3:
            bits.take(1)
        bits.number()
        bits.number()
        if bits.take(2) & 1:  # scaling lists follow
            return False
    bits.number()
    order = bits.number()
    if order == 1:
        return False
    if order == 0:
        bits.number()
    bits.number()
    bits.take(1)
    bits.number()
    bits.number()
    return bits.take(1) == 1


class _Bits:
    """Reads bits from the first to the last; IndexError behind it."""

    def __init__(self, data: bytes) -> None:
        """Start at the first bit."""
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._position = 0

    def take(self, count: int) -> int:
        """The next so many bits as a number."""
        start = self._position
        self._position += count
        if self._position > len(self._bits):
            raise IndexError("the parameter set ends early")
        return int(self._bits[start : self._position], 2)

    def number(self) -> int:
        """The next number in Exp-Golomb code."""
        zeros = self._bits.find("1", self._position) - self._position
        if zeros < 0:
            raise IndexError("the parameter set ends early")
        self._position += zeros
        return self.take(zeros + 1) - 1
