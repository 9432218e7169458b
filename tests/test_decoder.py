"""Frames nobody needs are not decoded, and nothing else changes."""

import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from label_harvest import decode_pool, decoder
from label_harvest.clip_media import Grid, MediaError
from label_harvest.decode_pool import DecodeLimits, DecodePool
from label_harvest.decoder import decode_clip, mono_of
from label_harvest.frame_album import slot_image
from tests.toy import ToySound, ToyVideo, write_toy_clip

GRID = Grid()
SPARE_B = "bframes=3:b-pyramid=normal:b-adapt=0:keyint=250"
GROUPS = {
    "one group, frames between frames": (SPARE_B, ".mp4", True),
    "as a transport stream": (SPARE_B, ".ts", True),
    "in Matroska": (SPARE_B, ".mkv", True),
    "strict": ("bframes=5:b-pyramid=strict:b-adapt=0:keyint=60", ".mp4", True),
    "open groups": ("bframes=3:open-gop=1:keyint=30:min-keyint=30", ".mp4", True),
    "short groups": ("bframes=2:keyint=5", ".mp4", True),
    "short groups, a transport stream": ("bframes=2:keyint=5", ".ts", True),
    "keyframes alone": ("keyint=1", ".mp4", True),
    "in parts": ("slices=4:bframes=3", ".mp4", True),
    "each frame from the one before": ("bframes=0:weightp=0:keyint=250:ref=1", ".mp4", False),
    "fields": ("interlaced=1:bframes=3", ".mp4", False),
    "own scaling lists": ("cqm=jvt:keyint=5", ".mp4", None),
}
"""By name: parameters of x264, container, and whether anything can be left out (None: as the encoder writes it)."""


def write_clip(path: Path, parameters: str, *, frames: int = 250) -> Path:
    """Moving texture, 96 x 64 at 25 frames/s."""
    texture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30", "x264-params": f"{parameters}:threads=1"}
        stream.codec_context.time_base = Fraction(1, 25)
        for number in range(frames):
            top, left = number % 100, (3 * number) % 200
            image = np.ascontiguousarray(texture[top : top + 64, left : left + 96])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def answers(monkeypatch):
    """What `needed_packets` said, with the number of packets, in the order of the calls."""
    said, ask = [], decoder.needed_packets

    def listen(extradata, packets, wanted):
        said.append((ask(extradata, packets, wanted), len(packets)))
        return said[-1][0]

    monkeypatch.setattr(decoder, "needed_packets", listen)
    return said


def in_full(path, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "needed_packets", lambda *given: None)
        return decode_clip(path, grid=GRID, **options)


def assert_same_picture(one, other):
    for name in ("frames", "present", "slots"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.provenance, one.troubles) == (other.provenance, other.troubles)


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("name", GROUPS)
def test_the_same_frames_come_out_as_when_all_are_decoded(tmp_path, monkeypatch, answers, name, slots):
    parameters, suffix, spares = GROUPS[name]
    path = write_clip(tmp_path / f"a{suffix}", parameters)
    picture = decode_clip(path, grid=GRID, slots=slots).picture
    assert len(answers) == 1, "decoded once"
    if spares is not None:
        assert (answers[0][0] is not None) == spares
    assert_same_picture(picture, in_full(path, monkeypatch, slots=slots).picture)


@pytest.mark.parametrize("frames", [1, 75, 232, 260, 330])
def test_so_it_is_with_videos_of_other_lengths(tmp_path, monkeypatch, frames):
    path = write_clip(tmp_path / "a.mp4", "bframes=3:keyint=48", frames=frames)
    assert_same_picture(decode_clip(path, grid=GRID).picture, in_full(path, monkeypatch).picture)


def test_of_a_real_clip_a_third_is_left_out(shared, monkeypatch, answers):
    path = shared / "clips" / "BjCEufrlXm4.mp4"
    picture = decode_clip(path, grid=GRID).picture
    ((needed, total),) = answers
    assert (len(needed), total) == (194, 300)
    assert_same_picture(picture, in_full(path, monkeypatch).picture)


def spoil(path: Path, place: int) -> Path:
    """Change the last half of one video packet."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][place]
    data = bytearray(path.read_bytes())
    for position in range(packet.pos + packet.size // 2, packet.pos + packet.size):
        data[position] ^= 0x5A
    spoilt = path.with_stem("spoilt")
    spoilt.write_bytes(data)
    return spoilt


def test_damage_is_refused_where_a_picked_frame_rests_on_it_and_touches_nothing_elsewhere(
    tmp_path, monkeypatch, answers
):
    path = write_clip(tmp_path / "a.mp4", SPARE_B.replace("250", "48"))
    whole = decode_clip(path, grid=GRID).picture
    needed, total = answers[0]
    spare = [place for place in range(total) if place not in needed]
    for place in spare[:: len(spare) // 5]:
        assert_same_picture(decode_clip(spoil(path, place), grid=GRID).picture, whole)
    refused = 0
    for place in needed[:: len(needed) // 10]:
        spoilt = spoil(path, place)
        try:
            expected = in_full(spoilt, monkeypatch).picture  # some damage decodes to another picture
        except MediaError as error:
            with pytest.raises(MediaError, match=re.escape(str(error))):
                decode_clip(spoilt, grid=GRID)
            refused += 1
        else:
            assert_same_picture(decode_clip(spoilt, grid=GRID).picture, expected)
    assert refused > 5


@pytest.mark.parametrize("needs", [lambda wanted: sorted(wanted)[:-1], lambda wanted: []])
def test_when_other_frames_come_out_than_foreseen_all_are_decoded(tmp_path, monkeypatch, needs):
    path = write_clip(tmp_path / "a.mp4", SPARE_B)
    whole = in_full(path, monkeypatch).picture
    monkeypatch.setattr(decoder, "needed_packets", lambda extradata, packets, wanted: needs(wanted))
    assert_same_picture(decode_clip(path, grid=GRID).picture, whole)


def test_a_video_that_ends_before_its_packets_say_is_refused(tmp_path):
    whole = write_clip(tmp_path / "whole.mkv", SPARE_B)
    (tmp_path / "a.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    try:
        picture = decode_clip(tmp_path / "a.mkv", grid=GRID).picture
    except MediaError:
        return
    assert picture.troubles[0][0] == "short", "Matroska says of no packet that it is missing"


@pytest.mark.skipif(os.name != "posix", reason="processes have no memory limit elsewhere")
def test_frames_too_large_for_the_limit_are_a_row_and_large_slots_fit(tmp_path, monkeypatch):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(rate=2, width=1920, height=1080))
    monkeypatch.setattr(decode_pool, "TRIES", 1)
    with DecodePool(1, DecodeLimits(memory=60)) as pool, pytest.raises(MediaError) as caught:
        pool.submit(path, GRID).result()
    assert caught.value.status == "undecodable" and "ran out of its 60 MiB of memory" in str(caught.value)
    with DecodePool(1, DecodeLimits(memory=480), slots=True) as pool:
        clip = pool.submit(path, GRID).result()  # as large as they come, 80 slots would be 498 MB
    assert clip.frames.shape == (10, 1080, 1920, 3) and clip.slots.shape == (80, 720, 1280, 3)
    assert clip.provenance["video"]["slot_size"] == [1280, 720]
    np.testing.assert_array_equal(clip.slots[-1], slot_image(clip.frames[-1]))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_channels_are_averaged_alike_whole_and_in_pieces(channels, kind):
    samples = np.random.default_rng(0).uniform(-1, 1, (channels, 5000))
    samples = samples if kind is np.float32 else samples * (np.iinfo(kind).max // 2)
    samples = samples.astype(kind)
    pieces = [mono_of(samples[:, start : start + 700]) for start in range(0, 5000, 700)]
    np.testing.assert_array_equal(mono_of(samples), np.concatenate(pieces))


def test_samples_that_are_no_numbers_are_refused():
    with pytest.raises(MediaError, match="audio samples that are no numbers"):
        mono_of(np.array([[0.0, np.nan]], np.float32))


@pytest.mark.parametrize("start", [0.0, 0.7])
def test_silence_fills_a_gap_between_pieces_of_sound(tmp_path, start):
    sound = ToySound(codec="pcm_s16le", channels=2, start=start, seconds=3.0)
    samples = decode_clip(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(), sound=sound), grid=GRID).sound.samples
    assert len(samples) == round((start + 3.0) * 48000) and not samples[: round(start * 48000)].any()
