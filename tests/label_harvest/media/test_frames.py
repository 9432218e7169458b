"""What is said of decoded frames, whichever library decoded them; leaving out frames nobody needs changes nothing."""

import os
import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.label_harvest.media import decode_pool
from valor.label_harvest.media import frames as frames_module
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.frames import (
    FrameAlbum,
    VideoFacts,
    decode_clip,
    make_picture,
    slot_image,
    slots_of,
)
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.read import read_clip

GRID = Grid(num_segments=4)
TEN_SECONDS = Grid()


@pytest.mark.parametrize(("seconds", "slots"), [(4.0, 32), (3.6, 29), (4.5, 36), (3.4, 32), (60.0, 32)])
def test_a_video_about_as_long_as_the_grid_has_slots_of_its_own(seconds, slots):
    assert slots_of(seconds, GRID) == slots


def test_segments_past_the_end_and_frames_that_never_change_are_said():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    places = np.array([0, 10, 21, 31])
    whole = make_picture(frames, None, places, VideoFacts(1, "h264", 4.0, 32), GRID)
    assert whole.troubles == () and whole.present.all() and whole.slots is None
    assert whole.provenance == {"stream": 1, "codec": "h264", "size": [8, 6], "seconds": 4.0, "slots": 32}
    short = make_picture(frames, None, places, VideoFacts(0, "h264", 2.0, 32), GRID)
    assert short.present.tolist() == [True, True, False, False]
    assert short.troubles == (("short", "2.0 s of video, the grid has 4.0 s"),)
    nearly = frames[:1].repeat(4, 0) // 2 + np.array([0, 1, 2, 0], np.uint8)[:, None, None, None]
    assert make_picture(nearly, None, places, VideoFacts(0, "h264", 4.0, 32), GRID).troubles == (
        ("still", "all frames equal"),
    )
    nearly[3] += 3
    assert make_picture(nearly, None, places, VideoFacts(0, "h264", 4.0, 32), GRID).troubles == ()


def test_slots_of_another_size_say_so():
    frames, slots = np.zeros((4, 6, 8, 3), np.uint8), np.zeros((32, 3, 4, 3), np.uint8)
    picture = make_picture(frames, slots, np.array([0, 10, 21, 31]), VideoFacts(0, "vp9", 4.0, 32), GRID)
    assert picture.provenance["slot_size"] == [4, 3]


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
    said, ask = [], frames_module.needed_packets

    def listen(extradata, packets, wanted):
        said.append((ask(extradata, packets, wanted), len(packets)))
        return said[-1][0]

    monkeypatch.setattr(frames_module, "needed_packets", listen)
    return said


def in_full(path, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setattr(frames_module, "needed_packets", lambda *given: None)
        return decode_clip(path, grid=TEN_SECONDS, **options)


def assert_same_picture(one, other):
    for name in ("frames", "present", "slots"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.provenance, one.troubles) == (other.provenance, other.troubles)


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("name", GROUPS)
def test_the_same_frames_come_out_as_when_all_are_decoded(tmp_path, monkeypatch, answers, name, slots):
    parameters, suffix, spares = GROUPS[name]
    path = write_clip(tmp_path / f"a{suffix}", parameters)
    picture = decode_clip(path, grid=TEN_SECONDS, slots=slots).picture
    assert len(answers) == 1, "decoded once"
    if spares is not None:
        assert (answers[0][0] is not None) == spares
    assert_same_picture(picture, in_full(path, monkeypatch, slots=slots).picture)


@pytest.mark.parametrize("frames", [1, 75, 232, 260, 330])
def test_so_it_is_with_videos_of_other_lengths(tmp_path, monkeypatch, frames):
    path = write_clip(tmp_path / "a.mp4", "bframes=3:keyint=48", frames=frames)
    assert_same_picture(decode_clip(path, grid=TEN_SECONDS).picture, in_full(path, monkeypatch).picture)


def test_of_a_real_clip_a_third_is_left_out(shared, monkeypatch, answers):
    path = shared / "clips" / "BjCEufrlXm4.mp4"
    picture = decode_clip(path, grid=TEN_SECONDS).picture
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
    whole = decode_clip(path, grid=TEN_SECONDS).picture
    needed, total = answers[0]
    spare = [place for place in range(total) if place not in needed]
    for place in spare[:: len(spare) // 5]:
        assert_same_picture(decode_clip(spoil(path, place), grid=TEN_SECONDS).picture, whole)
    refused = 0
    for place in needed[:: len(needed) // 10]:
        spoilt = spoil(path, place)
        try:
            expected = in_full(spoilt, monkeypatch).picture  # some damage decodes to another picture
        except MediaError as error:
            with pytest.raises(MediaError, match=re.escape(str(error))):
                decode_clip(spoilt, grid=TEN_SECONDS)
            refused += 1
        else:
            assert_same_picture(decode_clip(spoilt, grid=TEN_SECONDS).picture, expected)
    assert refused >= 5


@pytest.mark.parametrize("needs", [lambda wanted: sorted(wanted)[:-1], lambda wanted: []])
def test_when_other_frames_come_out_than_foreseen_all_are_decoded(tmp_path, monkeypatch, needs):
    path = write_clip(tmp_path / "a.mp4", SPARE_B)
    whole = in_full(path, monkeypatch).picture
    monkeypatch.setattr(frames_module, "needed_packets", lambda extradata, packets, wanted: needs(wanted))
    assert_same_picture(decode_clip(path, grid=TEN_SECONDS).picture, whole)


def test_a_video_that_ends_before_its_packets_say_is_refused(tmp_path):
    whole = write_clip(tmp_path / "whole.mkv", SPARE_B)
    (tmp_path / "a.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    try:
        picture = decode_clip(tmp_path / "a.mkv", grid=TEN_SECONDS).picture
    except MediaError:
        return
    assert picture.troubles[0][0] == "short", "Matroska says of no packet that it is missing"


@pytest.mark.skipif(os.name != "posix", reason="processes have no memory limit elsewhere")
def test_frames_too_large_for_the_limit_are_a_row_and_large_slots_fit(tmp_path, monkeypatch):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(rate=2, width=1920, height=1080))
    monkeypatch.setattr(decode_pool, "TRIES", 1)
    with DecodePool(1, DecodeLimits(memory=60)) as pool, pytest.raises(MediaError) as caught:
        pool.submit(path, TEN_SECONDS).result()
    assert caught.value.status == "undecodable" and "ran out of its 60 MiB of memory" in str(caught.value)
    with DecodePool(1, DecodeLimits(memory=480), slots=True) as pool:
        clip = pool.submit(path, TEN_SECONDS).result()  # as large as they come, 80 slots would be 498 MB
    assert clip.frames.shape == (10, 1080, 1920, 3) and clip.slots.shape == (80, 720, 1280, 3)
    assert clip.provenance["video"]["slot_size"] == [1280, 720]
    np.testing.assert_array_equal(clip.slots[-1], slot_image(clip.frames[-1]))


@pytest.mark.parametrize("start", [0.0, 0.7])
def test_silence_fills_a_gap_between_pieces_of_sound(tmp_path, start):
    sound = ToySound(codec="pcm_s16le", channels=2, start=start, seconds=3.0)
    samples = decode_clip(
        write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(), sound=sound), grid=TEN_SECONDS
    ).sound.samples
    assert len(samples) == round((start + 3.0) * 48000) and not samples[: round(start * 48000)].any()


def frame_of(level: int, width: int = 32, height: int = 16) -> av.VideoFrame:
    image = np.full((height, width, 3), level, np.uint8)
    image[: height // 2] = 255 - level
    return av.VideoFrame.from_ndarray(image, format="rgb24")


def test_frames_go_to_the_segments_and_slots_they_were_picked_for():
    album = FrameAlbum(np.array([0, 2, 2]), np.arange(4), 3)
    first, second = frame_of(10), frame_of(20)
    for frame in (first, first, second, frame_of(30)):
        album.add(frame)
    assert album.frames[:, -1, 0, 0].tolist() == [10, 20, 20]
    assert album.slots is not None and album.slots[:, -1, 0, 0].tolist() == [10, 10, 20]


def test_without_slots_none_are_kept():
    album = FrameAlbum(np.array([0]), np.array([0]), 0)
    album.add(frame_of(10))
    assert album.slots is None and album.frames.shape == (1, 16, 32, 3)


def test_every_frame_is_as_large_as_the_first():
    album = FrameAlbum(np.array([0, 1]), np.array([0, 1]), 0)
    album.add(frame_of(10))
    album.add(frame_of(50, width=64, height=64))
    assert album.frames.shape == (2, 16, 32, 3) and album.frames[1, -1, 0, 0] == 50


def test_large_slots_are_averaged_down_and_their_frames_are_not(monkeypatch):
    monkeypatch.setattr(frames_module, "SLOT_PIXELS", 8 * 16)
    album = FrameAlbum(np.array([0]), np.array([0]), 1)
    album.add(frame_of(10))
    assert album.frames.shape == (1, 16, 32, 3) and album.slots is not None and album.slots.shape == (1, 8, 16, 3)
    assert album.slots[0, -1, 0, 0] == 10 and album.slots[0, 0, 0, 0] == 245


@pytest.mark.parametrize("shape", [(720, 1280), (1280, 720), (960, 960), (2, 2)])
def test_slots_of_ordinary_clips_are_left_alone(shape):
    image = np.zeros((*shape, 3), np.uint8)
    assert slot_image(image) is image


@pytest.mark.parametrize(("shape", "small"), [((1080, 1920), (720, 1280)), ((2160, 1080), (1358, 679))])
def test_larger_ones_keep_their_shape(shape, small):
    assert slot_image(np.zeros((*shape, 3), np.uint8)).shape == (*small, 3)


CORNERS = {
    (1, 0, 0, 1): "RGB.",
    (0, 1, -1, 0): "BR.G",
    (-1, 0, 0, -1): ".BGR",
    (0, -1, 1, 0): "G.RB",
    (-1, 0, 0, 1): "GR.B",
    (1, 0, 0, -1): "B.RG",
    (0, 1, 1, 0): "RBG.",
    (0, -1, -1, 0): ".GBR",
}
"""By the first four numbers of the display matrix, the corners as they are shown, row by row."""


@pytest.mark.parametrize("matrix", CORNERS)
def test_frames_are_turned_and_mirrored_as_the_display_matrix_says(tmp_path, matrix):
    path = tmp_path / "v.mp4"
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32, 0], image[:24, 32:, 1], image[24:, :32, 2] = 255, 255, 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (number << 16 for number in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    frame = read_clip(path, grid=Grid()).frames[0]
    height, width = frame.shape[:2]
    assert (height, width) == ((48, 64) if matrix[0] else (64, 48))
    spots = [frame[y, x].astype(int) for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]
    assert "".join("RGB"[spot.argmax()] if spot.max() > 100 else "." for spot in spots) == CORNERS[matrix]
