"""Which packets of an H.264 video need no decoding when only a few of its frames are looked at; nothing is decoded.

The standard lets a packet say so itself. A frame that no other frame refers to is marked, so it is needed only when it
is looked at. An IDR frame starts afresh, so of the frames before it none is needed behind the last one that is looked
at. Every other packet is needed, and so is each that holds more than pictures, such as parameter sets.

Whatever is not plainly understood (fields in place of frames, say) is answered with None: then all have to be decoded.

Syntax elements have the names of the standards.

Source: ITU-T H.264, 7.3.1 to 7.4.1 (NAL units), 7.3.2.1.1 (sequence parameter set) and annex B (start codes);
ISO/IEC 14496-15, AVCDecoderConfigurationRecord (what MP4 and Matroska hold for the decoder).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

_SLICE, _IDR, _PARAMETERS = 1, 5, 7
"""nal_unit_type: part of a frame, part of an IDR frame, sequence parameter set."""
_REMARKS = frozenset((6, 9, 12))
"""nal_unit_type that no decoding rests on: supplemental enhancement information, access unit delimiter, filler data."""
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
"""profile_idc whose parameter sets also say how colours are held."""

Unit = bytes | memoryview
"""Bytes of a packet, or of a NAL unit."""


@dataclass(frozen=True)
class _Content:
    """What one packet holds."""

    idr: bool
    """A frame nothing after which refers to anything before it."""
    reference: bool
    """A frame that others may refer to."""
    more: bool
    """Something besides one picture and remarks on it."""


def needed_packets(extradata: bytes, packets: Sequence[Unit], wanted: Collection[int]) -> list[int] | None:
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
        contents = []
        for packet in packets:
            units = _units(packet, prefix)
            contents.append(_content(bytes([unit[0] for unit in units])))
            if contents[-1].more:
                parameters += [bytes(unit) for unit in units if _type(unit) == _PARAMETERS]
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


@lru_cache(maxsize=256)
def _content(heads: bytes) -> _Content:
    """What the NAL units of one packet are, by the first byte of each."""
    types = {head & 0x1F for head in heads}
    pictures = types & {_SLICE, _IDR}
    return _Content(
        idr=_IDR in types,
        reference=any(head & 0x60 for head in heads if head & 0x1F in pictures),  # nal_ref_idc
        more=len(pictures) != 1 or bool(types - pictures - _REMARKS),
    )


def _type(unit: Unit) -> int:
    return unit[0] & 0x1F  # nal_unit_type


def _read_extradata(extradata: bytes) -> tuple[int, list[bytes]]:
    """(bytes of the length before each NAL unit, 0 where start codes divide them; sequence parameter sets)."""
    if not extradata or extradata[0] != 1:  # configurationVersion of an AVCDecoderConfigurationRecord
        return 0, [bytes(unit) for unit in _units(extradata, 0) if _type(unit) == _PARAMETERS]
    sets, position = [], 6
    for _ in range(extradata[5] & 0x1F):  # numOfSequenceParameterSets
        length = int.from_bytes(extradata[position : position + 2], "big")  # sequenceParameterSetLength
        sets.append(extradata[position + 2 : position + 2 + length])
        position += 2 + length
    return (extradata[4] & 3) + 1, sets  # lengthSizeMinusOne


def _units(data: Unit, prefix: int) -> list[Unit]:
    """The NAL units of a packet.

    Raises:
        ValueError: It is not made of them.
    """
    if not prefix:
        head, *units = bytes(data).split(b"\0\0\1")  # start_code_prefix_one_3bytes
        if head.strip(b"\0"):
            raise ValueError("no start code")
        return list(units)
    position, length, found = 0, len(data), list[Unit]()
    while position < length:
        start = position + prefix
        position = start + int.from_bytes(data[position:start], "big")
        if not start < position <= length:
            raise ValueError("a length that does not fit")
        found.append(data[start:position])
    return found


def _has_frames_only(parameters: bytes) -> bool:
    """Whether a sequence parameter set rules out fields; False for the rarer ones, which are not read to their end."""
    bits = _Bits(parameters[1:].replace(b"\0\0\3", b"\0\0"))  # without emulation_prevention_three_byte
    profile_idc = bits.u(8)
    bits.u(8)  # constraint_set0_flag to constraint_set5_flag, reserved_zero_2bits
    bits.u(8)  # level_idc
    bits.ue()  # seq_parameter_set_id
    if profile_idc in _HIGH_PROFILES:
        chroma_format_idc = bits.ue()
        if chroma_format_idc == 3:
            bits.u(1)  # separate_colour_plane_flag
        bits.ue()  # bit_depth_luma_minus8
        bits.ue()  # bit_depth_chroma_minus8
        bits.u(1)  # qpprime_y_zero_transform_bypass_flag
        seq_scaling_matrix_present_flag = bits.u(1)
        if seq_scaling_matrix_present_flag:  # scaling lists follow
            return False
    bits.ue()  # log2_max_frame_num_minus4
    pic_order_cnt_type = bits.ue()
    if pic_order_cnt_type == 1:  # a list of offsets follows
        return False
    if pic_order_cnt_type == 0:
        bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    bits.ue()  # max_num_ref_frames
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    bits.ue()  # pic_width_in_mbs_minus1
    bits.ue()  # pic_height_in_map_units_minus1
    frame_mbs_only_flag = bits.u(1)
    return frame_mbs_only_flag == 1


class _Bits:
    """Reads bits from the first to the last, by the names of the standard (7.2); IndexError behind it."""

    def __init__(self, data: bytes) -> None:
        """Start at the first bit."""
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._position = 0

    def u(self, count: int) -> int:  # u(n)
        """The next n bits as a number."""
        start = self._position
        self._position += count
        if self._position > len(self._bits):
            raise IndexError("the parameter set ends early")
        return int(self._bits[start : self._position], 2)

    def ue(self) -> int:  # ue(v)
        """The next number in Exp-Golomb code: as many zeros as bits follow the first one (9.1)."""
        zeros = self._bits.find("1", self._position) - self._position
        if zeros < 0:
            raise IndexError("the parameter set ends early")
        self._position += zeros
        return self.u(zeros + 1) - 1
