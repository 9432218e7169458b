import re
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.survey import survey_media


def test_lengths_clock_and_shape(tmp_path):
    path = write_toy_clip(
        tmp_path / "late.ts", video=ToyVideo(seconds=3, start=5.0), sound=ToySound(seconds=4, start=5.0, codec="mp2")
    )
    survey = survey_media(path)
    assert survey.video_seconds == pytest.approx(3, abs=0.2) and survey.audio_seconds == pytest.approx(4, abs=0.2)
    assert survey.start_time > 4 and survey.seconds == max(survey.video_seconds, survey.audio_seconds)
    assert (survey.width, survey.height, survey.frame_rate) == (64, 48, 10)


def test_a_stream_that_is_not_there_has_no_length(tmp_path):
    sound = survey_media(write_toy_clip(tmp_path / "a.m4a", sound=ToySound(seconds=2)))
    assert sound.video_seconds is None and sound.width is None and sound.audio_seconds == pytest.approx(2, abs=0.1)
    assert survey_media(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=2))).audio_seconds is None


def test_a_stream_may_begin_late(tmp_path):
    sound = ToySound(seconds=2, start=4.0, rate=8000, codec="pcm_s16le")
    survey = survey_media(write_toy_clip(tmp_path / "late.mkv", video=ToyVideo(seconds=6), sound=sound))
    assert (survey.video_start, survey.audio_start) == pytest.approx((0, 4), abs=0.05)
    assert survey.audio_seconds == pytest.approx(6, abs=0.1)


def save_picture(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("note.txt", b"no film at all\n" * 200, "is text"),
        ("renamed.mp4", b"no film at all\n" * 200, "cannot be decoded"),
        ("empty.mp4", b"", "is empty"),
        ("words.srt", b"1\n00:00:00,000 --> 00:00:02,000\nhi\n\n", "neither a video nor an audio stream"),
        ("noise.mp4", np.random.default_rng(0).bytes(4000), "cannot be decoded"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n", "playlist|cannot be decoded"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "playlist|cannot be decoded"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=f"{name}.*({said})"):
        survey_media(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff"])
def test_pictures_are_refused(tmp_path, ending):
    save_picture(tmp_path / f"photo.{ending}")
    with pytest.raises(MediaError, match="is a picture"):
        survey_media(tmp_path / f"photo.{ending}")


def test_folders_and_missing_files_are_refused(tmp_path):
    with pytest.raises(MediaError, match="is a folder"):
        survey_media(tmp_path)
    with pytest.raises(MediaError, match="no such file") as caught:
        survey_media(tmp_path / "none.mp4")
    assert caught.value.status == "missing"


def test_a_truncated_file_is_refused_or_known_to_be_cut_off(tmp_path):
    whole = write_toy_clip(tmp_path / "whole.mp4", video=ToyVideo(seconds=6, noise=True))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(MediaError, match="cut.mp4: cannot be decoded"):
        survey_media(tmp_path / "cut.mp4")


def test_frames_beyond_all_measure_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("valor.label_harvest.media.survey.MOST_PIXELS", 1000)
    with pytest.raises(MediaError, match="64 x 48 pixels are more than can be held"):
        survey_media(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=1)))


def test_timestamps_beyond_all_measure_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("valor.label_harvest.media.survey.MOST_SECONDS", 1.0)
    with pytest.raises(MediaError, match="timestamps reach"):
        survey_media(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=2)))


def test_tags_in_another_encoding_do_not_matter(tmp_path):
    path = write_toy_clip(tmp_path / "a.wav", sound=ToySound(seconds=1, codec="pcm_s16le"))
    tag = b"INFOINAM" + struct.pack("<I", 6) + "Müll".encode("latin-1") + b"\0\0"
    body = b"WAVELIST" + struct.pack("<I", len(tag)) + tag + path.read_bytes()[12:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert survey_media(path).audio_seconds == pytest.approx(1)
    assert read_clip(path, grid=Grid(num_segments=1)).waveform is not None, "a harvest reads it as well"


def test_a_matroska_file_whose_clock_starts_late_is_not_cut_off(tmp_path):
    late = write_toy_clip(tmp_path / "late.mkv", video=ToyVideo(seconds=3, start=50.0))
    survey = survey_media(late)
    assert survey.start_time == pytest.approx(50, abs=0.2) and survey.missing_seconds < 0.5
    assert survey.promised_seconds == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize(("suffix", "codec"), [(".opus", "libopus"), (".nut", "pcm_s16le"), (".asf", "wmav2")])
def test_sound_whose_clock_starts_late_is_not_cut_off(tmp_path, suffix, codec):
    late = write_toy_clip(tmp_path / f"late{suffix}", sound=ToySound(seconds=3, start=50.0, codec=codec))
    survey = survey_media(late)
    assert survey.start_time == pytest.approx(50, abs=0.2) and survey.missing_seconds < 0.2
    assert survey.promised_seconds == pytest.approx(3, abs=0.2)


def test_the_frames_an_mp3_counts_are_its_own_and_no_guess_of_what_was_put_behind(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 20 * 48000))
    quiet = ToySound(seconds=20, codec="libmp3lame", level=0.0)
    loud = ToySound(codec="libmp3lame", channels=2, waveform=noise)
    parts = [write_toy_clip(tmp_path / f"{number}.mp3", sound=sound) for number, sound in enumerate((quiet, loud))]
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    survey = survey_media(joined)
    assert survey.audio_seconds == pytest.approx(40, abs=0.2) and survey.missing_seconds == 0
    assert survey.promised_seconds == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_an_mp3_that_was_cut_had_as_many_frames_as_it_counts(tmp_path, rate):
    path = write_toy_clip(tmp_path / "a.mp3", sound=ToySound(seconds=6, rate=rate, codec="libmp3lame"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert survey_media(path).promised_seconds == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize(("suffix", "codec", "name", "behind"), [
    (".avi", "mpeg4", b"strh", 40), (".ivf", "libvpx", b"DKIF", 24),
])  # fmt: skip
def test_a_count_of_frames_that_was_never_filled_in_is_no_length(tmp_path, suffix, codec, name, behind):
    path = write_toy_clip(tmp_path / f"piped{suffix}", video=ToyVideo(seconds=3, codec=codec))
    data = path.read_bytes()
    place = data.index(name) + behind
    for unknown in (0x40000000, 0xFFFFFFFF):
        path.write_bytes(data[:place] + unknown.to_bytes(4, "little") + data[place + 4 :])
        survey = survey_media(path)
        assert survey.promised_seconds is None and survey.video_seconds == pytest.approx(3, abs=0.11)


def test_times_that_lie_days_apart_have_no_rate(tmp_path):
    path = write_toy_clip(tmp_path / "v.ivf", video=ToyVideo(seconds=3, codec="libvpx"))
    data = bytearray(path.read_bytes())
    last = len(data)
    place = 32
    while place < len(data):
        last, place = place, place + 12 + int.from_bytes(data[place : place + 4], "little")
    data[last + 4 : last + 12] = (2**40).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(MediaError, match="its timestamps reach [0-9]+ hours; convert the file"):
        survey_media(path)


@pytest.mark.parametrize(("suffix", "promise"), [(".mp3", True), (".aac", False), (".mkv", True), (".ts", False)])
def test_a_length_is_promised_where_a_header_says_it(tmp_path, suffix, promise):
    codec = "libmp3lame" if suffix == ".mp3" else "aac"
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=3, codec=codec))
    promised = survey_media(path).promised_seconds
    assert promised == (pytest.approx(3, abs=0.2) if promise else None)


def test_an_mp3_that_counts_no_frames_promises_nothing(tmp_path):
    path = write_toy_clip(tmp_path / "a.mp3", sound=ToySound(seconds=3, codec="libmp3lame"))
    content = path.read_bytes()
    place = max(content.find(b"Xing"), content.find(b"Info"))
    frame = content.rindex(b"\xff\xfb", 0, place)
    following = content.index(b"\xff\xfb", place)
    path.write_bytes(content[:frame] + content[following:])
    assert survey_media(path).promised_seconds is None


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("h264", "libx264", "yuv420p"), ("hevc", "libx265", "yuv420p"), ("mjpeg", "mjpeg", "yuvj420p")],
)
def test_raw_video_is_called_so(tmp_path, name, codec, pixels):
    path = write_toy_clip(tmp_path / f"raw.{name}", video=ToyVideo(seconds=2, codec=codec, pixels=pixels))
    for read in (survey_media, lambda path: read_clip(path, grid=Grid())):
        with pytest.raises(MediaError, match=rf"raw {name} stream, .*: ffmpeg -r 25 -i raw.{name} -c copy raw.mp4"):
            read(path)


@pytest.mark.parametrize("place", [0.4, 0.7])
def test_a_gif_that_cannot_be_followed_to_its_end_says_so(tmp_path, place):
    path = write_toy_clip(tmp_path / "v.gif", video=ToyVideo(seconds=5, codec="gif", pixels="rgb8"))
    whole = path.read_bytes()
    assert survey_media(path).notes == ()
    at = round(place * len(whole))
    ends = [whole[:at], whole[:at] + bytes(300) + whole[at + 300 :]]
    for content in ends:
        path.write_bytes(content)
        (note,) = survey_media(path).notes
        assert re.fullmatch(r"cannot be read beyond \d\.\d s; it was cut off or is damaged there", note)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".wav", "pcm_s16le"),
        (".w64", "pcm_s16le"),
        (".aiff", "pcm_s16be"),
        (".caf", "pcm_s16le"),
        (".avi", "libmp3lame"),
        (".asf", "wmav2"),
        (".mka", "flac"),
    ],
)
def test_of_a_file_that_was_cut_the_header_says_how_long_it_was(tmp_path, suffix, codec):
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=5, codec=codec))
    assert survey_media(path).missing_seconds < 0.2
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    survey = survey_media(path)
    assert survey.promised_seconds == pytest.approx(5, abs=0.1) and survey.missing_seconds > 2


def test_an_ogg_without_its_last_page_says_so(tmp_path):
    path = write_toy_clip(tmp_path / "a.opus", sound=ToySound(seconds=5, codec="libopus"))
    assert survey_media(path).notes == ()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (note,) = survey_media(path).notes
    assert re.fullmatch(r"cannot be read beyond 2\.\d s; it was cut off or is damaged there", note)


def test_sizes_beyond_every_file_are_no_length(tmp_path):
    wave = write_toy_clip(tmp_path / "a.w64", sound=ToySound(seconds=1, codec="pcm_s16le"))
    data = bytearray(wave.read_bytes())
    place = data.index(b"data\xf3") + 16
    data[place : place + 8] = b"\xff" * 8
    wave.write_bytes(data)
    with pytest.raises(MediaError, match="cannot be decoded"):
        survey_media(wave)
    film = write_toy_clip(tmp_path / "a.mp4", sound=ToySound(seconds=1))
    film.write_bytes(film.read_bytes() + b"\0\0\0\1moof" + b"\xff" * 8)
    assert survey_media(film).seconds == pytest.approx(1, abs=0.1)
