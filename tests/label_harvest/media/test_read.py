"""Decoding onto the grid: which frame, which samples, and what is said of clips that are not whole."""

import struct

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, write_toy_clip
from valor.label_harvest.media.clip import FAILURES, STATUSES, ClipMedia, Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.resample import resample

GRID = Grid()


def numbers(media: ClipMedia) -> list[int]:
    """Which source frame each segment shows."""
    return [frame_number(image) for image in media.frames]


def expected_numbers(rate: int, num_slots: int, num_frames: int) -> list[int]:
    """Last frame whose time is below (k + 0.5) / 8 for the ten chosen slots, by exhaustive search."""
    slots = [round(i * (num_slots - 1) / 9) for i in range(10)]
    times = [frame / rate for frame in range(num_frames)]
    return [max(f for f, time in enumerate(times) if time < (k + 0.5) / 8) for k in slots]


@pytest.mark.parametrize("rate", [4, 10, 16, 25])  # at 16 some frames fall exactly on a middle
def test_frames_are_the_last_before_the_middle_of_their_slot(tmp_path, rate):
    video = ToyVideo(rate=rate)
    media = read_clip(write_toy_clip(tmp_path / "a.mp4", video=video, sound=ToySound()), grid=GRID)
    assert media.status == "ok" and media.frames.shape == (10, 48, 64, 3)
    assert media.provenance["video"]["slots"] == 80
    assert numbers(media) == expected_numbers(rate, 80, 10 * rate)


@pytest.mark.parametrize("rate", [16, 25])
def test_frames_that_leave_the_decoder_late_keep_their_place(tmp_path, rate):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(rate=rate, b_frames=2), sound=ToySound())
    assert numbers(read_clip(path, grid=GRID)) == expected_numbers(rate, 80, 10 * rate)


def test_the_real_clip_shows_the_frames_an_independent_search_finds(shared):
    import av

    path = shared / "clips" / "BjCEufrlXm4.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [
            (float(frame.pts * stream.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(stream)
        ]
    times = np.array([time for time, _ in frames])
    slots = np.round(np.arange(10) * 79 / 9).astype(int)
    wanted = np.searchsorted(times, (slots + 0.5) / 8, side="left") - 1
    assert (len(frames), wanted[-1]) == (300, 297)
    np.testing.assert_array_equal(read_clip(path, grid=GRID).frames, np.stack([frames[index][1] for index in wanted]))


def test_the_number_of_slots_follows_the_video_within_the_tolerance(tmp_path):
    video = ToyVideo(seconds=10.3)
    media = read_clip(write_toy_clip(tmp_path / "a.mp4", video=video, sound=ToySound(seconds=10.3)), grid=GRID)
    assert media.provenance["video"]["slots"] == 82
    assert numbers(media) == expected_numbers(10, 82, 103)


@pytest.mark.parametrize("seconds", [9.7, 10.0, 10.3, 12.0])
def test_all_slots_are_there_when_asked_for_and_change_nothing_else(tmp_path, seconds):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(seconds=seconds), sound=ToySound(seconds=seconds))
    plain, whole = read_clip(path, grid=GRID), read_clip(path, grid=GRID, slots=True)
    assert plain.slots is None and whole.slots.shape == (80, 48, 64, 3)
    assert (plain.frames == whole.frames).all() and plain.provenance == whole.provenance
    number = round(10 * seconds)
    wanted = [max(f for f in range(number) if f / 10 < (k + 0.5) / 8) for k in range(80)]
    assert [frame_number(image) for image in whole.slots] == wanted


def test_a_long_clip_is_cut_to_the_grid(tmp_path):
    video = ToyVideo(seconds=12.0)
    sound = ToySound(seconds=12.0, codec="pcm_s16le")
    media = read_clip(write_toy_clip(tmp_path / "a.mkv", video=video, sound=sound), grid=GRID)
    assert media.status == "ok" and len(media.waveform) == 480000
    assert media.provenance["video"]["slots"] == 80
    assert numbers(media) == expected_numbers(10, 80, 100)


def test_variable_frame_rate_shows_the_old_frame_through_a_gap(tmp_path):
    video = ToyVideo(skipped=tuple(range(31, 45)))  # no frame from 3.1 to 4.5 s
    media = read_clip(write_toy_clip(tmp_path / "a.mp4", video=video, sound=ToySound()), grid=GRID)
    kept = [f for f in range(100) if f not in video.skipped]
    wanted = [max(f for f in kept if f / 10 < (round(i * 79 / 9) + 0.5) / 8) for i in range(10)]
    assert numbers(media) == wanted
    assert 30 in wanted


def test_a_clock_that_starts_late_is_measured_from_its_start(tmp_path):
    plain = ToyVideo()
    early = read_clip(write_toy_clip(tmp_path / "a.mkv", video=plain, sound=ToySound(codec="pcm_s16le")), grid=GRID)
    moved = ToySound(codec="pcm_s16le", start=5.0)
    late = read_clip(write_toy_clip(tmp_path / "b.mkv", video=ToyVideo(start=5.0), sound=moved), grid=GRID)
    assert (early.frames == late.frames).all()
    assert (early.waveform == late.waveform).all()


def test_sound_that_begins_after_the_picture_keeps_its_place(tmp_path):
    sound = ToySound(seconds=9.0, codec="pcm_s16le", start=1.0)
    media = read_clip(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(), sound=sound), grid=GRID)
    assert media.status == "ok"
    assert (media.waveform[:47900] == 0).all() and np.abs(media.waveform[48000:58000]).max() > 0.2


def test_equal_rates_return_the_samples_of_the_file(tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.9, 0.9, (1, 480000))
    sound = ToySound(codec="pcm_s16le", waveform=waveform)
    media = read_clip(write_toy_clip(tmp_path / "a.wav", sound=sound), grid=GRID)
    assert (media.waveform == np.round(waveform[0] * 32767).astype(np.float32) / 32768).all()
    assert media.status == "no_video" and media.frames is None


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged_not_mixed(tmp_path, channels):
    waveform = np.zeros((channels, 480000))
    waveform[0] = 0.5 * np.sin(np.arange(480000) / 20)
    sound = ToySound(codec="pcm_s16le", channels=channels, waveform=waveform)
    media = read_clip(write_toy_clip(tmp_path / "a.wav", sound=sound), grid=GRID)
    np.testing.assert_allclose(media.waveform, waveform[0] / channels, atol=1e-4)


def test_another_rate_is_resampled_to_the_same_tone(tmp_path):
    sound = ToySound(codec="pcm_s16le", rate=44100)
    media = read_clip(write_toy_clip(tmp_path / "a.wav", sound=sound), grid=GRID)
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(480000) / 48000)
    np.testing.assert_allclose(media.waveform[1000:-1000], tone[1000:-1000], atol=2e-4)


def test_a_rate_without_a_small_ratio_is_refused_instead_of_filling_the_memory():
    with pytest.raises(MediaError, match="44101 Hz audio has no small ratio to 48000 Hz"):
        resample(np.zeros(1000, np.float32), 44101, 48000)


@pytest.mark.parametrize(
    ("seconds", "status", "noted"), [(9.7, "ok", ("filled_samples", 14400)), (10.2, "ok", ("cut_samples", 9600))]
)
def test_sound_a_little_off_is_filled_or_cut_and_noted(tmp_path, seconds, status, noted):
    sound = ToySound(seconds=seconds, codec="pcm_s16le")
    media = read_clip(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(), sound=sound), grid=GRID)
    assert media.status == status and len(media.waveform) == 480000
    assert media.provenance["audio"][noted[0]] == noted[1]


def test_short_sound_is_refused_and_the_picture_kept(tmp_path):
    sound = ToySound(seconds=9.2, codec="pcm_s16le")
    media = read_clip(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(), sound=sound), grid=GRID)
    assert media.status == "short" and media.message == "9.2 s of audio, the grid has 10.0 s"
    assert media.waveform is None and media.frames is not None


def test_a_short_picture_has_frames_only_where_it_lasts(tmp_path):
    video = ToyVideo(seconds=5.0)
    media = read_clip(write_toy_clip(tmp_path / "a.mkv", video=video, sound=ToySound(codec="pcm_s16le")), grid=GRID)
    assert media.status == "short"
    assert media.frames_present.tolist() == [True] * 5 + [False] * 5
    assert numbers(media)[:5] == expected_numbers(10, 80, 50)[:5]


@pytest.mark.parametrize(
    ("video", "sound", "status"),
    [
        (ToyVideo(), ToySound(), "ok"),
        (ToyVideo(), None, "no_audio"),
        (None, ToySound(), "no_video"),
        (ToyVideo(), ToySound(level=0.0), "silent"),
        (ToyVideo(still=True), ToySound(), "still"),
        (ToyVideo(still=True), ToySound(level=0.0), "silent"),
        (ToyVideo(seconds=5.0), None, "no_audio"),
        (ToyVideo(seconds=0.1), ToySound(), "short"),
        (ToyVideo(width=66, height=34), ToySound(channels=2, rate=22050), "ok"),
        (ToyVideo(codec="mpeg4"), ToySound(), "ok"),
    ],
)
def test_statuses(tmp_path, video, sound, status):
    media = read_clip(write_toy_clip(tmp_path / "a.mp4", video=video, sound=sound), grid=GRID)
    assert media.status == status
    assert (media.message == "") == (status == "ok")
    assert (media.frames is None) == (video is None) and (media.waveform is None) == (sound is None)


def test_failures_are_all_statuses_but_ok_still_and_cut():
    assert set(STATUSES) - set(FAILURES) == {"ok", "still", "cut"}


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(MediaError, match="no such file") as caught:
        read_clip(tmp_path / "a.mp4", grid=GRID)
    assert caught.value.status == "missing"


def damaged(data: bytes, kind: str) -> bytes:
    """One way of spoiling a file."""
    middle = len(data) // 2
    if kind == "flipped":
        flipped = bytearray(data)
        for position in np.random.default_rng(0).integers(middle // 2, middle, 200):
            flipped[position] ^= 0x5A
        return bytes(flipped)
    return {"empty": b"", "page": b"<html>video unavailable</html>", "truncated": data[:middle]}[kind]


@pytest.mark.parametrize("kind", ["empty", "page", "truncated", "flipped"])
def test_damage_is_an_error_never_a_repaired_frame(tmp_path, kind):
    video = ToyVideo(width=320, height=240)
    whole = write_toy_clip(tmp_path / "whole.mp4", video=video, sound=ToySound())
    path = tmp_path / "a.mp4"
    path.write_bytes(damaged(whole.read_bytes(), kind))
    with pytest.raises(MediaError, match="a.mp4: .*(fetch it again|leave it out)") as caught:
        read_clip(path, grid=GRID)
    assert caught.value.status == "undecodable"


def test_a_rotated_picture_is_set_upright(tmp_path):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(first_number=15, still=True), sound=ToySound())
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30
    )  # quarter turn clockwise
    path.write_bytes(data)
    frames = read_clip(path, grid=GRID).frames
    assert frames.shape == (10, 64, 48, 3)
    assert frames[0, :32].mean() < 20 and frames[0, 32:].mean() > 220  # the dark left half is on top


def test_one_wrong_byte_is_an_error_or_harmless(tmp_path):
    """H.264 hides most damage by repeating what it has; none of that may come through."""
    whole = write_toy_clip(tmp_path / "whole.mp4", video=ToyVideo(width=320, height=240, noise=True))
    data, frames = whole.read_bytes(), read_clip(whole, grid=GRID).frames
    first, last = data.index(b"mdat") + 1000, data.index(b"moov") - 100
    errors = 0
    for position in np.random.default_rng(0).integers(first, last, 15):
        (tmp_path / "a.mp4").write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        try:
            difference = np.abs(read_clip(tmp_path / "a.mp4", grid=GRID).frames.astype(int) - frames)
            assert difference.mean() < 1
        except MediaError:
            errors += 1
    assert errors > 5


def test_damage_the_decoder_would_paint_over_is_found(shared, tmp_path):
    data = bytearray((shared / "clips" / "BjCEufrlXm4.mp4").read_bytes())
    data[130522] ^= 0x10  # decodes without an error, from 1.7 s on to a wrong picture that only a flag gives away
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(MediaError, match=r"a.mp4: damaged video at 1\.67"):
        read_clip(tmp_path / "a.mp4", grid=GRID)


def test_another_grid(tmp_path):
    grid = Grid(num_segments=4, segment_seconds=0.5, sample_rate=16000, tolerance_seconds=0.1)
    path = write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(seconds=2.0), sound=ToySound(seconds=2.0))
    media = read_clip(path, grid=grid)
    assert media.status == "ok" and len(media.frames) == 4 and media.waveform.shape == (32000,)


def test_real_files(shared):
    statuses = {}
    for path in sorted((shared / "clips").iterdir()):
        try:
            statuses[path.name] = read_clip(path, grid=GRID).status
        except MediaError as error:
            statuses[path.name] = error.status
    assert statuses == {
        "BjCEufrlXm4.mp4": "ok",
        "av1_video.mkv": "no_audio",
        "corrupted.mp4": "undecodable",
        "nasa_13013.mp4": "ok",
    }


def test_grids_and_clips_check_themselves():
    with pytest.raises(ValueError, match="frame_rate must be positive, got 0"):
        Grid(frame_rate=0)
    with pytest.raises(ValueError, match=r"tolerance_seconds must be in \[0, 10.0\), got 10"):
        Grid(tolerance_seconds=10)
    with pytest.raises(ValueError, match=r"frames must be uint8 \[10, height, width, 3\], got uint8 \[9, 2, 2, 3\]"):
        ClipMedia(np.zeros((9, 2, 2, 3), np.uint8), None, GRID)
    with pytest.raises(ValueError, match=r"waveform must be float32 \[480000\], got float64 \[480000\]"):
        ClipMedia(None, np.zeros(480000), GRID)


@pytest.mark.parametrize(("start", "status"), [(1.5, "ok"), (3.0, "short")])
def test_a_stream_that_begins_much_later_is_not_there_before(tmp_path, start, status):
    late = {"start": start, "seconds": 10 - start}
    clip = read_clip(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(**late), sound=ToySound()), grid=GRID)
    assert clip.status == status and clip.frames_present.tolist() == [status == "ok" or n >= 3 for n in range(10)]
    assert clip.message == ("" if status == "ok" else "no picture from 0.0 s to 3.0 s")
    clip = read_clip(
        write_toy_clip(tmp_path / "b.mkv", video=ToyVideo(), sound=ToySound(codec="flac", **late)), grid=GRID
    )
    assert clip.status == status and clip.message == ("" if status == "ok" else "no sound from 0.0 s to 3.0 s")
