"""Salvage: what decodes around damage is read at its own time, the rest is a hole that is named, and nothing else."""

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, remuxed, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.windows import read_windows

GRID = Grid(sample_rate=8000, num_segments=12)
SECONDS, RATE = 12, 5
TONES = np.repeat(np.linspace(0.05, 0.6, SECONDS), 48000)
"""By sample, the level of its second."""


def write_film(path, **of):
    """Twelve seconds whose pictures say their number, a key frame each second, and whose sound gets louder."""
    noise = np.random.default_rng(0).uniform(-1, 1, len(TONES)) * TONES
    pictures = {"seconds": SECONDS, "rate": RATE, "noise": True, "codec": "mjpeg", "pixels": "yuvj420p"}
    sound = ToySound(seconds=SECONDS, waveform=noise[np.newaxis])
    return write_toy_clip(path, video=ToyVideo(**{**pictures, **of}), sound=sound)


def damage(path, kind, start, end):
    """Other bytes for the packets of a kind between two times in seconds."""
    import av

    with av.open(str(path)) as container:
        packets = [(bytes(p), float(p.pts * p.time_base)) for p in container.demux(**{kind: 0}) if p.size]
    data = path.read_bytes()
    for held, time in packets:
        if start <= time < end:
            data = data.replace(held, bytes(byte ^ 0x5A for byte in held))
    path.write_bytes(data)
    return path


def salvage(path, reader=None):
    """The survey and the one window of a film of which what decodes is taken."""
    reader = reader or DirectReader()
    survey = reader.survey(path, salvage=True)
    (window,) = read_windows(survey, GRID, hop=6, reader=reader)
    return survey, window


def levels(window):
    """By segment, how loud it is beside how loud it was written."""
    return np.abs(window.clip.waveform.reshape(SECONDS, -1).astype(float)).mean(axis=1) / TONES[::48000]


@pytest.mark.parametrize("reader", [DirectReader, ProcessReader])
@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_pictures_around_damage_are_of_their_second_and_the_damage_is_a_hole(tmp_path, suffix, reader):
    path = damage(write_film(tmp_path / f"film{suffix}"), "video", 3.99, 6.99)
    reader = reader()
    with pytest.raises(MediaError, match=r"damaged video at 4\.00 s") as refused:
        list(read_windows(reader.survey(path), GRID, hop=6, reader=reader))
    assert refused.value.salvageable
    survey, window = salvage(path, reader)
    assert survey.video_holes == ((pytest.approx(4, abs=0.01), pytest.approx(7, abs=0.01)),)
    assert survey.notes == ("its video cannot be decoded from 4.00 to 7.00 s; 3.00 s of it are missing and left out",)
    assert window.present[:, 1].tolist() == [not 4 <= second < 7 for second in range(SECONDS)]
    assert window.present[:, 0].all() and reader.lost == {}
    numbers = [frame_number(window.clip.frames[second][:20]) for second in range(SECONDS)]
    for second in (0, 1, 2, 3, 7, 8, 9, 10, 11):
        assert second * RATE <= numbers[second] + 1 and numbers[second] <= second * RATE + RATE
    if isinstance(reader, ProcessReader):
        reader.__exit__()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".flv"])
def test_sound_around_damage_lies_at_its_time(tmp_path, suffix):
    path = damage(write_film(tmp_path / f"film{suffix}", codec="libx264", pixels="yuv420p"), "audio", 3.5, 8.5)
    reader = DirectReader()
    with pytest.raises(MediaError, match=r"damaged audio at 3\.\d\d s") as refused:
        list(read_windows(reader.survey(path), GRID, hop=6, reader=reader))
    assert refused.value.salvageable
    survey, window = salvage(path)
    ((start, end),) = survey.audio_holes
    assert start == pytest.approx(3.5, abs=0.1) and end == pytest.approx(8.5, abs=0.1)
    assert window.present[:, 0].tolist() == [not 4 <= second < 8 for second in range(SECONDS)]
    whole = [0, 1, 2, 9, 10, 11]
    np.testing.assert_allclose(levels(window)[whole], levels(window)[0], rtol=0.15)
    assert "its audio cannot be decoded from 3." in survey.notes[0] and window.present[:, 1].all()


def test_a_file_that_is_whole_is_read_as_without_salvage(tmp_path):
    path = write_film(tmp_path / "film.mkv")
    reader = DirectReader()
    survey, window = salvage(path)
    plain = reader.survey(path)
    (expected,) = read_windows(plain, GRID, hop=6, reader=reader)
    assert survey.notes == plain.notes == () and survey.video_holes == survey.audio_holes == ()
    np.testing.assert_array_equal(window.present, expected.present)
    np.testing.assert_array_equal(window.clip.frames, expected.clip.frames)
    np.testing.assert_array_equal(window.clip.waveform, expected.clip.waveform)


def test_of_pictures_that_build_on_damage_none_is_taken_before_the_next_key_frame(tmp_path):
    path = write_film(tmp_path / "film.mkv", codec="libx264", pixels="yuv420p")  # a key frame at its start alone
    damage(path, "video", 3.99, 4.3)
    survey, window = salvage(path)
    assert not window.present[5:, 1].any() and window.present[:4, 1].all() and window.present[:, 0].all()
    assert [note.partition(",")[2] for note in window.notes] == [
        " and no key frame that decodes comes behind: the last good picture ends at 4.0 s, and the rest, up to 12.0 s, "
        "builds on what is lost and is left out"
    ]
    assert survey.video_holes == ()


def test_a_stream_of_which_nothing_decodes_is_left_out(tmp_path):
    path = damage(write_film(tmp_path / "film.mkv"), "video", 0, SECONDS)
    survey, window = salvage(path)
    assert survey.video_seconds is None and window.clip.frames is None and window.present[:, 0].all()
    assert survey.notes == ("none of its video can be decoded, and it is left out",)
    damage(path, "audio", 0, SECONDS)
    with pytest.raises(MediaError, match=r"film.mkv: nothing of it can be decoded"):
        DirectReader().survey(path, salvage=True)


def test_an_avi_ends_where_its_chunks_do_not_follow_since_nobody_knows_what_time_comes_behind(tmp_path):
    path = write_film(tmp_path / "film.avi", pixels="yuvj420p")
    data = bytearray(path.read_bytes())
    place = data.index(b"00dc", len(data) // 2)
    data[place : place + 2000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="behind which it goes on") as refused:
        DirectReader().survey(path)
    assert refused.value.salvageable
    survey, window = salvage(path)
    assert 4 < survey.seconds < 8 and any("cannot be read beyond" in note for note in survey.notes)
    last = int(survey.seconds) - 1
    assert frame_number(window.clip.frames[last][:20]) == pytest.approx(last * RATE + RATE // 2, abs=3)
    assert not window.present[last + 2 :].any()


def test_what_follows_damage_in_a_format_without_times_is_said_to_come_early(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, len(TONES)) * TONES
    path = write_toy_clip(tmp_path / "a.aac", sound=ToySound(waveform=noise[np.newaxis]))
    damage(path, "audio", 4, 7)
    survey, _ = salvage(path)
    assert any("may come too early" in note for note in survey.notes)


def test_a_flac_that_begins_within_is_refused_as_its_times_are_wrong(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, len(TONES)) * TONES
    path = write_toy_clip(tmp_path / "a.flac", sound=ToySound(codec="flac", waveform=noise[np.newaxis]))
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 :])
    reader = DirectReader()
    with pytest.raises(MediaError) as refused:
        salvage(path, reader)
    assert not refused.value.salvageable


def test_a_broadcast_is_bridged_as_without_salvage(tmp_path):
    film = write_film(tmp_path / "film.mkv", codec="mpeg2video", pixels="yuv420p", rate=20)
    path = remuxed(film, tmp_path / "film.ts")
    damage(path, "video", 4, 4.3)
    with_it, window = salvage(path)
    reader = DirectReader()
    plain = reader.survey(path)
    (expected,) = read_windows(plain, GRID, hop=6, reader=reader)
    assert with_it.notes == plain.notes and window.notes == expected.notes
    np.testing.assert_array_equal(window.present, expected.present)
