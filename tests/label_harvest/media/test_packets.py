"""The one loop over packets: which come out, which are refused, and when they are; on hand-made packets."""

from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace

import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.packets import Recording, frame_seconds, recording

STREAMS = [
    SimpleNamespace(
        index=number,
        type=kind,
        time_base=Fraction(1, 10),
        average_rate=Fraction(4),
        guessed_rate=None,
        codec_context=SimpleNamespace(name="some codec"),
    )
    for number, kind in enumerate(("video", "audio"))
]
VIDEO, AUDIO = STREAMS
MATROSKA = SimpleNamespace(name="matroska,webm")


@dataclass
class Packet:
    """What a packet says of itself, in tenths of a second."""

    stream: SimpleNamespace
    dts: int | None
    pts: int | None = None
    size: int = 9
    duration: int | None = None
    is_corrupt: bool = False
    is_discard: bool = False
    is_keyframe: bool = True
    sides: tuple[str, ...] = field(default=())

    @property
    def stream_index(self):
        return self.stream.index

    def iter_sidedata(self):
        return iter(self.sides)

    def has_sidedata(self, kind):
        return kind in self.sides


def packets_of(*packets, clock=0.0, **how):
    media = Recording(SimpleNamespace(demux=lambda *_: iter(packets), format=MATROSKA), clock)
    return list(media.packets(STREAMS, **how))


def test_empty_packets_are_left_out_and_are_not_the_end():
    first, empty, last = Packet(VIDEO, 0), Packet(VIDEO, 1, size=0), Packet(VIDEO, 2)
    ticks = []
    assert packets_of(first, empty, last, tick=lambda: ticks.append(1)) == [first, last]
    assert len(ticks) == 3


def test_each_stream_is_read_up_to_the_time_and_the_file_no_further():
    read = []

    def demux(*_):
        for packet in packets:
            read.append(packet)
            yield packet

    packets = [Packet(VIDEO, 50), Packet(VIDEO, 61), Packet(AUDIO, 60), Packet(VIDEO, 55), Packet(AUDIO, 61)]
    packets.append(Packet(AUDIO, 70))
    media = Recording(SimpleNamespace(demux=demux, format=MATROSKA), 5.0)
    assert list(media.packets(STREAMS, until=1.0)) == [packets[0], packets[2]]
    assert len(read) == 5


@pytest.mark.parametrize(("codec", "container", "good"), [("pcm_u8", "wav", True), ("pcm_bluray", "mpegts", False)])
def test_a_last_packet_of_plain_samples_is_good_as_far_as_it_reaches(codec, container, good):
    stream = SimpleNamespace(**{**vars(AUDIO), "codec_context": SimpleNamespace(name=codec)})
    media = Recording(SimpleNamespace(format=SimpleNamespace(name=container)), 0.0)
    assert media.is_damaged(Packet(stream, 0, is_corrupt=True)) != good


def test_packets_without_a_time_to_be_decoded_at_come_out():
    packet = Packet(VIDEO, None, pts=900)
    assert packets_of(packet, until=1.0) == [packet]


def test_damage_and_encryption_are_refused_and_a_survey_looks_past_damage():
    damaged = Packet(AUDIO, 0, is_corrupt=True)
    with pytest.raises(MediaError, match="damaged audio at 0.00 s; fetch it again or leave it out"):
        packets_of(damaged)
    assert packets_of(damaged, damaged=True) == [damaged]
    for damage in (False, True):
        with pytest.raises(MediaError, match=r"its video is encrypted \(DRM\)"):
            packets_of(Packet(VIDEO, 0, sides=("encryption_info",)), damaged=damage)


@pytest.mark.parametrize(
    ("packet", "span"),
    [
        (Packet(VIDEO, 60, pts=70, duration=5), (2.0, 2.5)),
        (Packet(VIDEO, 60, duration=5), (1.0, 1.5)),
        (Packet(VIDEO, 60, pts=70), (2.0, 2.25)),  # a frame lasts a quarter of a second
        (Packet(AUDIO, 60, pts=70), (2.0, 2.0)),
        (Packet(AUDIO, 40, duration=5), (-1.0, -0.5)),
        (Packet(VIDEO, 60, pts=70, is_discard=True), None),
        (Packet(VIDEO, None), None),
    ],
)
def test_when_a_packet_is_shown(packet, span):
    assert Recording(SimpleNamespace(), 5.0).span(packet, packet.stream) == span


def test_a_file_that_is_open_has_its_streams_and_its_clock(tmp_path):
    sound = ToySound(seconds=2, codec="pcm_s16le", start=3.0)
    with recording(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(seconds=2, start=3.0), sound=sound)) as media:
        video, audio = media.stream("video"), media.stream("audio")
        assert media.clock == pytest.approx(3.0) and frame_seconds(video) == pytest.approx(0.1)
        assert (video.thread_count, audio.codec_context.options) == (1, {"err_detect": "explode"})
        spans = [media.span(packet, video) for packet in media.packets([video])]
    assert len(spans) == 20 and spans[0][0] == 0 and spans[-1][1] == pytest.approx(2.0)
    with recording(write_toy_clip(tmp_path / "b.m4a", sound=ToySound(seconds=1))) as media:
        assert media.stream("video") is None
