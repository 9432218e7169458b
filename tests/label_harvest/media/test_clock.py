"""Clocks that start again, times that overlap, holes: picture and sound of a second are those of one second."""

import re
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, remuxed, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.clock import TimeLine
from valor.label_harvest.media.decode_pool import pack, unpack
from valor.label_harvest.media.frames import decode_clip
from valor.label_harvest.media.process import shared_file
from valor.label_harvest.media.read import finish_clip, read_clip
from valor.label_harvest.media.streams import sound_of
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows

GRID = Grid(sample_rate=8000)
VIDEO, AUDIO = (
    SimpleNamespace(
        index=number, type=kind, time_base=Fraction(1, 10), codec_context=SimpleNamespace(name="some codec")
    )
    for number, kind in enumerate(("video", "audio"))
)


@dataclass
class Packet:
    """What a packet says of itself, in tenths of a second; one lasts for one."""

    stream: SimpleNamespace
    pts: int | None
    dts: int | None = None
    duration: int = 1
    is_corrupt: bool = False

    @property
    def stream_index(self):
        return self.stream.index


def taken(*packets, broadcast=True, clock=60.0):
    """Kind and time of the packets that come out, in tenths, in their order, and where clocks start again."""
    starts = []
    line = TimeLine(starts, broadcast=broadcast, clock=clock)
    for packet in packets:
        packet.dts = packet.pts if packet.dts is None else packet.dts
    out = [found for packet in packets for found in line.take(packet)] + line.rest()
    assert {id(packet) for packet in out} == {id(packet) for packet in packets}
    return [(packet.stream.type[0], packet.pts) for packet in out], starts


def test_sound_from_just_before_zero_is_not_taken_for_a_day_later():
    day = [954435, 954436, 0, 1]  # as FFmpeg gives the times of sound that it finds behind the pictures
    for before in ((), (Packet(VIDEO, 0), Packet(VIDEO, 1))):
        out, starts = taken(*before, *(Packet(AUDIO, time) for time in day), clock=0.0)
        assert [time for kind, time in out if kind == "a"] == [-2, -1, 0, 1] and starts == []


def run(stream, start, stop):
    return [Packet(stream, time) for time in range(start, stop)]


def test_times_that_go_on_are_left_as_they_are():
    packets = [*run(VIDEO, 3, 20), *run(AUDIO, 3, 20), *run(VIDEO, 900, 910), *run(AUDIO, 18, 20)]
    before = [(packet.stream.type[0], packet.pts) for packet in packets]
    assert taken(*packets, broadcast=False) == (before, [])


def test_a_part_goes_on_where_the_longest_stream_of_the_one_before_ends():
    first = [*run(VIDEO, 10, 30), *run(AUDIO, 10, 36)]
    out, starts = taken(*first, *run(VIDEO, 5, 8), *run(AUDIO, 4, 8))
    assert out[46:] == [("v", 37), ("v", 38), ("v", 39), ("a", 36), ("a", 37), ("a", 38), ("a", 39)]
    assert starts == [pytest.approx(3.6)]
    out, starts = taken(*run(VIDEO, 10, 30), *run(AUDIO, 9, 30), *run(VIDEO, 6, 8), *run(AUDIO, 5, 8))
    assert out[41:] == [("v", 30), ("v", 31), ("a", 29), ("a", 30), ("a", 31)]
    assert starts == [pytest.approx(2.9)], "the lead of the sound may lie over what was before"
    sound_alone, starts = taken(*run(AUDIO, 10, 36), *run(AUDIO, 4, 6), *run(AUDIO, 2, 3), broadcast=False)
    assert sound_alone[26:] == [("a", 36), ("a", 37), ("a", 34)], "a little back is no new start"
    assert starts == [pytest.approx(3.6)]


def test_the_last_packet_of_a_part_may_come_late():
    packets = [*run(VIDEO, 0, 20), *run(AUDIO, 0, 19), *run(VIDEO, 0, 3), *run(AUDIO, 19, 20), *run(AUDIO, 0, 3)]
    out, _ = taken(*packets)
    assert out[39:] == [("a", 19), *(("v", 20 + n) for n in range(3)), *(("a", 20 + n) for n in range(3))]


def test_every_part_is_put_behind_the_one_before():
    parts = [packet for _ in range(40) for packet in (*run(VIDEO, 7, 17), *run(AUDIO, 7, 17))]
    out, starts = taken(*parts)
    assert [time for kind, time in out if kind == "v"] == list(range(7, 407)) == [t for k, t in out if k == "a"]
    assert np.allclose(starts, np.arange(1.7, 40.6))


def test_a_stream_that_is_in_one_part_alone_is_not_waited_for():
    out, _ = taken(*run(VIDEO, 0, 20), *run(AUDIO, 0, 9), *run(VIDEO, 0, 50))
    assert [time for kind, time in out if kind == "v"] == list(range(70))
    out, _ = taken(*run(VIDEO, 0, 20), *run(VIDEO, 0, 3), *run(AUDIO, 0, 3))
    assert out[20:] == [("v", 20), ("v", 21), ("v", 22), ("a", 20), ("a", 21), ("a", 22)]


def test_a_clock_that_jumps_ahead_by_half_its_range_was_set_back():
    back = 2**33 // 9000
    out, _ = taken(*run(AUDIO, 10000, 10010), *run(AUDIO, 14 + back, 16 + back))
    assert out[10:] == [("a", 10010), ("a", 10011)]


def test_a_clock_that_jumps_ahead_leaves_a_hole():
    packets = [*run(VIDEO, 0, 20), *run(AUDIO, 0, 20), *run(VIDEO, 900, 910), *run(AUDIO, 899, 910)]
    before = [(packet.stream.type[0], packet.pts) for packet in packets]
    assert taken(*packets) == (before, [])


def test_one_stream_that_goes_on_while_another_starts_again_is_refused():
    with pytest.raises(MediaError, match="the clock of its audio goes on where another one starts again; convert it"):
        taken(*run(VIDEO, 0, 60), *run(AUDIO, 0, 60), *run(VIDEO, 0, 9), *run(AUDIO, 60, 99))


def test_a_packet_before_a_new_start_is_not_damaged_whatever_its_counters_say():
    def damaged(again):
        packets = [*run(AUDIO, 0, 20), *run(AUDIO, again, again + 9)]
        packets[18].is_corrupt = True
        taken(*packets)
        return packets[18].is_corrupt

    assert not damaged(0) and damaged(20)


def write_part(path, number, *, video="libx264", sound="aac", seconds=4, rate=10, **how):
    """A clip the pictures of which say 100 * number + tenths and whose tone gets louder from second to second."""
    time = np.arange(seconds * 16000) / 16000
    tone = 0.05 * (1 + number * seconds + np.floor(time)) * np.sin(2 * np.pi * 440 * time)
    picture = ToyVideo(codec=video, seconds=seconds, rate=rate, first_number=100 * number, **how) if video else None
    heard = ToySound(codec=sound, rate=16000, waveform=tone[None]) if sound else None
    return write_toy_clip(path, video=picture, sound=heard).read_bytes()


def loudness(path, seconds):
    """By second, how many times 0.05 the tone is loud in its middle."""
    pieces = list(sound_of(path, seconds))
    rate, waveform = pieces[0][0], np.concatenate([samples for _, samples in pieces])
    middles = waveform[: seconds * rate].reshape(seconds, rate)[:, rate // 5 : -rate // 5]
    return np.sqrt(2 * (middles.astype(float) ** 2).mean(axis=1)) / 0.05


@pytest.mark.parametrize(
    ("suffix", "video", "sound"),
    [
        (".ts", "libx264", "aac"),
        (".mpg", "mpeg1video", "mp2"),
        (".mkv", "libx264", "aac"),
        (".opus", None, "libopus"),
        (".oga", None, "flac"),
        (".flac", None, "flac"),
    ],
)
def test_recordings_behind_one_another_are_one(tmp_path, suffix, video, sound):
    path, rate = tmp_path / f"joined{suffix}", 25 if video == "mpeg1video" else 10
    parts = [write_part(tmp_path / f"{n}{suffix}", n, video=video, sound=sound, rate=rate) for n in range(2)]
    path.write_bytes(b"".join(parts))
    survey = survey_media(path)
    assert survey.seconds == pytest.approx(8, abs=0.15)
    (note,) = (note for note in survey.oddities if "starts again" in note)
    when = float(
        re.fullmatch(r"its clock starts again at (\d\.\d) s; what follows is taken to go on from there", note)[1]
    )
    assert when == pytest.approx(5.0 if suffix == ".oga" else 4.0, abs=0.11), "FLAC in Ogg says so behind a page alone"
    assert np.abs(loudness(path, 8) - np.arange(1, 9)).max() < 0.5
    (window,) = read_windows(survey, GRID, hop=5)
    clip = read_clip(path, grid=GRID)
    if video:
        assert window.present[:8].all() and not window.present[9].any()
        numbers = [frame_number(image) for image in window.clip.frames[:8]]
        wanted = [(second * rate + 5 * rate // 10) % (4 * rate) + 100 * (second // 4) for second in range(8)]
        assert max(abs(number - want) for number, want in zip(numbers, wanted, strict=True)) <= rate
        assert clip.provenance["video"]["clock_restarts"] == [pytest.approx(4.0, abs=0.1)]
    assert clip.status in ("short", "no_video")


@pytest.mark.parametrize("flags", [{}, {"mpegts_flags": "initial_discontinuity"}])
def test_a_part_whose_clock_is_ahead_is_behind_a_hole_marked_or_not(tmp_path, flags):
    def part(number, ahead):
        def later(packet):
            moved = round(ahead / packet.time_base)
            packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            return True

        write_part(tmp_path / "part.mkv", number)
        return remuxed(tmp_path / "part.mkv", tmp_path / "part.ts", change=later, options=flags).read_bytes()

    path = tmp_path / "joined.ts"
    path.write_bytes(part(0, 0) + part(1, 60))
    survey = survey_media(path)
    assert survey.seconds == pytest.approx(64, abs=0.2)
    for holes in (survey.audio_holes, survey.video_holes):
        ((start, end),) = holes
        assert start == pytest.approx(4, abs=0.3) and end == pytest.approx(60, abs=0.3)


def test_theora_behind_theora_is_one_video(tmp_path, shared):
    part = shared / "cases" / "theora-repeated-frames" / "theora-repeats.ogv"
    if not part.is_file():
        pytest.skip("no such case")
    (tmp_path / "joined.ogv").write_bytes(part.read_bytes() * 2)
    survey = survey_media(tmp_path / "joined.ogv")
    assert survey.seconds == pytest.approx(20, abs=0.1)
    windows = list(read_windows(survey, GRID, hop=10))
    levels = [image[8:-8, 16:-16].mean() for window in windows for image in window.clip.frames]
    assert np.abs(np.array(levels[10:]) - levels[:10]).max() < 3 and (np.diff(levels[:10]) > 10).all()


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".wav", "pcm_s16le")])
def test_a_file_behind_another_of_which_nothing_is_read_is_said(tmp_path, suffix, sound):
    part = write_part(tmp_path / f"a{suffix}", 0, video=None, sound=sound)
    (tmp_path / f"joined{suffix}").write_bytes(part * 2)
    assert survey_media(tmp_path / f"a{suffix}").notes == ()
    (note,) = survey_media(tmp_path / f"joined{suffix}").notes
    assert note == "another file was put behind it, which is not read; take them apart"


def test_tags_between_mp3s_behind_one_another_are_no_damage(tmp_path):
    first, second = (write_part(tmp_path / f"{n}.mp3", n, video=None, sound="libmp3lame") for n in range(2))
    picture = np.random.default_rng(0).bytes(5000)  # whose bytes look like frames now and then
    tag = b"ID3\x04\0\0" + bytes((0, 0, len(picture) >> 7, len(picture) & 127)) + picture
    path = tmp_path / "joined.mp3"
    path.write_bytes(first + b"TAG" + bytes(125) + tag + second)
    assert survey_media(path).seconds == pytest.approx(8, abs=1)
    heard = sum(len(samples) for _, samples in sound_of(path, 12.0)) / 16000
    assert heard == pytest.approx(8.2, abs=0.8)
    assert np.abs(loudness(path, 4) - np.arange(1, 5)).max() < 0.35


def test_sound_that_overlaps_is_left_out(tmp_path):
    write_part(tmp_path / "piece.mkv", 0, video=None, seconds=1)
    path, last = tmp_path / "joined.mkv", -1
    with av.open(str(path), "w") as new:
        for number in range(16):
            with av.open(str(tmp_path / "piece.mkv")) as piece:
                packets = [packet for packet in piece.demux() if packet.size]
                if not number:
                    stream = new.add_stream_from_template(piece.streams.audio[0])
                for packet in packets[:10]:  # 0.64 s of each half second
                    packet.stream = stream
                    last = max(last + 1, packet.pts + 500 * number + 64)  # milliseconds
                    packet.pts = packet.dts = last
                    new.mux(packet)
    survey = survey_media(path)
    assert survey.seconds == pytest.approx(8.1, abs=0.1)
    assert survey.notes == ()
    (note,) = survey.oddities
    assert note.startswith("its audio overlaps itself: ") and note.endswith("what overlaps is left out")
    heard = sum(len(samples) for _, samples in sound_of(path, 8.0)) / 16000
    assert heard == pytest.approx(survey.audio_seconds, abs=0.1)


def with_a_hole(path, target, seconds):
    def later(packet):
        time = packet.pts * packet.time_base
        moved = round(seconds / packet.time_base) if time >= 2 else 0
        packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
        return True

    return remuxed(path, target, change=later)


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_a_hole_is_absence(tmp_path, suffix):
    write_part(tmp_path / "a.mkv", 0)
    path = with_a_hole(tmp_path / "a.mkv", tmp_path / f"hole{suffix}", 60)
    survey = survey_media(path)
    assert [note[:12] for note in survey.notes] == ["there is no "] * 2
    windows = {window.start: window for window in read_windows(survey, GRID, hop=10)}
    assert windows[0].present[:2].all() and not windows[0].present[3:].any()
    assert windows[20].clip.frames is None and windows[20].clip.waveform is None
    last = windows[max(windows)]
    assert last.present[-2:].all() and not last.present[:-3].any()
    clip = read_clip(path, grid=GRID)
    assert clip.status == "short" and clip.waveform is None


def test_a_picture_is_held_while_sound_goes_on_under_it_or_as_long_as_it_says(tmp_path):
    write_part(tmp_path / "a.mkv", 0, seconds=8)
    slides = remuxed(
        tmp_path / "a.mkv",
        tmp_path / "slides.mkv",
        change=lambda packet: packet.stream.type == "audio" or not 1 <= packet.pts * packet.time_base < 6,
    )
    survey = survey_media(slides)
    assert survey.video_holes == () == survey.notes
    assert next(read_windows(survey, GRID, hop=5)).present[:8].all()


def test_a_clip_with_a_hole_has_no_picture_there_and_no_sound(tmp_path):
    write_part(tmp_path / "a.mkv", 0)
    path = with_a_hole(tmp_path / "a.mkv", tmp_path / "hole.mkv", 5)
    decoded = decode_clip(path, grid=GRID)
    message, arrays = pack(decoded)
    clip = finish_clip(unpack({**message, "file": shared_file(arrays)}), grid=GRID, name="hole.mkv")
    assert clip.frames_present.tolist() == [True] * 2 + [False] * 5 + [True] * 2 + [False]
    assert clip.waveform is None and "no picture from 2.0 s to 7.0 s; no sound from 2.0 s to 7.0 s" in clip.message


def test_lost_frames_and_lost_sound_of_a_broadcast_are_said(tmp_path):
    write_part(tmp_path / "a.mkv", 0)
    lossy = remuxed(
        tmp_path / "a.mkv",
        tmp_path / "lossy.ts",
        change=lambda packet: not 2 <= packet.pts * packet.time_base < 2.25,
    )
    audio, video = survey_media(lossy).notes
    assert audio.startswith("its audio has gaps: 0.2") and audio.endswith("silence is heard there")
    assert video.startswith("its video lacks frames: 0.30 s at 2.1 s")
    with pytest.raises(MediaError, match=r"lossy.ts: lost sound at 2\.1\d s; fetch it again or leave it out"):
        read_clip(lossy, grid=GRID)
