"""Which packets of an H.264 video can be left out: hand-made packets, whose contents are known."""

import pytest

from valor.label_harvest.media.h264 import needed_packets

IDR, REFERENCE, SPARE = b"\x65idr", b"\x41ref", b"\x01spare"
REMARK, PICTURE_PARAMETERS = b"\x06sei", b"\x68pps"


def number(value: int) -> str:
    """Exp-Golomb code."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def parameter_set(*, profile: int = 66, frames_only: bool = True, order: int = 0, scaling: bool = False) -> bytes:
    bits = f"{profile:08b}" + f"{0:016b}" + number(0)
    if profile == 100:
        bits += number(1) + number(0) + number(0) + "0" + str(int(scaling))
    bits += number(0) + number(order) + (number(2) if order == 0 else "")
    bits += number(4) + "0" + number(19) + number(14) + str(int(frames_only)) + "1000"
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    return b"\x67" + data.replace(b"\0\0", b"\0\0\3")


def extradata(parameters: bytes) -> bytes:
    """As an MP4 file holds it, lengths of four bytes."""
    return b"\1\x42\0\x1e\xff\xe1" + len(parameters).to_bytes(2, "big") + parameters + b"\1\0\3" + b"\x68pp"


def packet(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def marked(*units: bytes) -> bytes:
    """Divided by start codes, as in a transport stream."""
    return b"\0" + b"".join(b"\0\0\1" + unit for unit in units)


PLAIN = extradata(parameter_set())
GROUPS = [packet(unit) for unit in (IDR, REFERENCE, SPARE, SPARE, REFERENCE, SPARE, IDR, REFERENCE, SPARE, REFERENCE)]


@pytest.mark.parametrize(
    ("wanted", "needed"),
    [
        ({0, 9}, [0, 6, 7, 9]),  # nothing behind the first frame of its group
        ({2, 9}, [0, 1, 2, 6, 7, 9]),
        ({3, 9}, [0, 1, 3, 6, 7, 9]),
        ({5, 6}, [0, 1, 4, 5, 6]),
        ({8}, [6, 7, 8]),  # a group nobody looks at
        (set(), []),
    ],
)
def test_what_wanted_frames_rest_on_is_needed_and_nothing_else(wanted, needed):
    assert needed_packets(PLAIN, GROUPS, wanted) == needed
    in_stream = [marked(parameter_set(), IDR), *(marked(p[4:]) for p in GROUPS[1:])]
    assert needed_packets(b"", in_stream, wanted) == sorted({0, *needed})


def test_none_says_that_all_are_needed():
    assert needed_packets(PLAIN, [packet(IDR), packet(REFERENCE)], {1}) is None


def test_packets_with_more_than_a_picture_are_kept_with_all_before_them():
    packets = [packet(IDR), packet(REFERENCE), packet(REMARK, SPARE), packet(PICTURE_PARAMETERS, SPARE), packet(SPARE)]
    assert needed_packets(PLAIN, packets, {0}) == [0, 1, 3]
    assert needed_packets(PLAIN, [packet(IDR), packet(SPARE), packet(REMARK), packet(SPARE)], {0}) == [0, 2]


def test_a_picture_in_several_parts_is_one():
    assert needed_packets(PLAIN, [packet(IDR, IDR), packet(SPARE, SPARE), packet(REFERENCE, REFERENCE)], {2}) == [0, 2]


@pytest.mark.parametrize(
    "parameters",
    [
        parameter_set(frames_only=False),
        parameter_set(profile=100, frames_only=False),
        parameter_set(profile=100, scaling=True),
        parameter_set(order=1),
        parameter_set()[:4],
    ],
)
def test_streams_that_may_have_fields_or_are_not_understood_are_left_alone(parameters):
    assert needed_packets(extradata(parameters), GROUPS, {0}) is None
    assert needed_packets(PLAIN, [*GROUPS, packet(parameters, IDR)], {0}) is None


def test_the_usual_profiles_are_understood():
    for parameters in (parameter_set(profile=77), parameter_set(profile=100), parameter_set(order=2)):
        assert needed_packets(extradata(parameters), GROUPS, {8}) == [6, 7, 8]


@pytest.mark.parametrize(
    ("held", "packets"),
    [
        (PLAIN, []),
        (b"", GROUPS),
        (b"\1", GROUPS),
        (PLAIN, GROUPS[1:]),  # begins in the middle of a group
        (PLAIN, [*GROUPS, packet(SPARE)[:-1]]),  # ends early
        (PLAIN, [*GROUPS, b"\0\0\0\0"]),
        (b"\0\0\1" + parameter_set(), [b"no start code", *GROUPS]),
    ],
)
def test_whatever_is_odd_is_decoded_in_full(held, packets):
    assert needed_packets(held, packets, {0}) is None
