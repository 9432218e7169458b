"""Damage: what is good up to the last good frame is kept and where it ends is said; holes are bridged or refused."""

import re
from contextlib import nullcontext

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, remuxed, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows

GRID = Grid(sample_rate=8000)


def changed(path, change):
    path.write_bytes(change(path.read_bytes()))
    return path


def heard_in(path):
    """By segment, whether anything is heard in the first window."""
    window = next(read_windows(survey_media(path), GRID, hop=5))
    return (np.abs(window.clip.waveform.reshape(10, -1)).max(axis=1) > 0.1).tolist()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_a_wav_whose_sizes_were_never_filled_in_is_whole(tmp_path, size):
    path = write_toy_clip(tmp_path / "piped.wav", sound=ToySound(rate=8000, codec="pcm_s16le"))

    def unsized(data):
        place = data.index(b"data") + 4
        said = size.to_bytes(4, "little")
        return data[:4] + said + data[8:place] + said + data[place + 4 :]

    changed(path, unsized)
    survey = survey_media(path)
    assert survey.audio_seconds == pytest.approx(10, abs=0.01) and survey.notes == ()
    assert survey.missing_seconds < 0.1
    clip = read_clip(path, grid=GRID)
    assert clip.waveform is not None and "unread" not in str(clip.provenance)


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav", "libmp3lame"])
def test_a_wav_of_blocks_lasts_as_long_as_there_are_some(tmp_path, codec):
    path = write_toy_clip(tmp_path / "piped.wav", sound=ToySound(seconds=5.3, rate=44100, codec=codec))
    place = path.read_bytes().index(b"data") + 4
    size = int.from_bytes(path.read_bytes()[place : place + 4], "little")
    changed(path, lambda data: data[:place] + b"\xff" * 4 + data[place + 4 : place + 4 + size])
    survey = survey_media(path)
    assert survey.notes == () and survey.audio_seconds == pytest.approx(5.3, abs=0.08)
    assert heard_in(path)[:6] == [True] * 6
    changed(path, lambda data: data[: len(data) // 2])
    assert survey_media(path).audio_seconds == pytest.approx(2.65, abs=0.15)


def test_an_aiff_whose_sizes_were_never_filled_in_is_whole(tmp_path):
    path = write_toy_clip(tmp_path / "piped.aiff", sound=ToySound(seconds=5, rate=8000, codec="pcm_s16be"))

    def unsized(data):  # as SoX writes into a pipe
        for name, behind, size in ((b"COMM", 10, 0x7F000000 // 2), (b"SSND", 4, 0x7F000008), (b"FORM", 4, 0x7F000050)):
            place = data.index(name) + behind
            data = data[:place] + size.to_bytes(4) + data[place + 4 :]
        return data

    changed(path, unsized)
    survey = survey_media(path)
    assert survey.audio_seconds == pytest.approx(5, abs=0.01)
    assert survey.notes == () and survey.missing_seconds < 0.1


def test_rubbish_behind_the_last_frame_ends_the_sound_with_a_note(tmp_path):
    path = write_toy_clip(tmp_path / "a.mp3", sound=ToySound(codec="libmp3lame"))
    changed(path, lambda data: data + bytes(64))
    survey = survey_media(path)
    assert survey.audio_seconds == pytest.approx(10, abs=0.1)
    assert survey.notes == ("its audio is damaged from 10.0 s on, where it ends",)
    assert heard_in(path) == [True] * 10
    clip = read_clip(path, grid=GRID)
    assert clip.waveform is not None and clip.provenance["audio"]["damaged_from"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".aac", "aac"),
        (".ac3", "ac3"),
        (".eac3", "eac3"),
        (".flac", "flac"),
        (".mp3", "libmp3lame"),
        (".mkv", "aac"),
        (".wv", "wavpack"),
        (".tta", "tta"),
        (".caf", "pcm_s16le"),
        (".asf", "wmav2"),
    ],
)
def test_a_recording_that_ends_within_a_packet_is_kept_up_to_there(tmp_path, suffix, codec):
    sound = ToySound(codec=codec, waveform=np.random.default_rng(0).uniform(-0.5, 0.5, (1, 480000)))
    path = changed(write_toy_clip(tmp_path / f"cut{suffix}", sound=sound), lambda data: data[: len(data) * 6 // 10])
    survey = survey_media(path)
    assert survey.audio_seconds == pytest.approx(6, abs=0.3 if suffix != ".tta" else 1)
    heard = heard_in(path)
    assert heard[:5] == [True] * 5 and heard[7:] == [False] * 3
    clip = read_clip(path, grid=GRID)
    assert clip.waveform is None and "s of audio, the grid has 10.0 s" in clip.message


CUTS = {
    "ts": (".ts", "libx264", "aac", {}),
    "mkv": (".mkv", "libx264", "aac", {}),
    "flv": (".flv", "libx264", "aac", {}),
    "hevc": (".mkv", "libx265", "aac", {}),
    "program_stream": (".mpg", "mpeg1video", "mp2", {}),
    "vob": (".vob", "mpeg2video", "ac3", {}),
    "asf": (".asf", "msmpeg4", "libmp3lame", {}),
    "mxf": (".mxf", "mpeg2video", "pcm_s16le", {}),
    "moov_first": (".mp4", "libx264", "aac", {"movflags": "faststart"}),
    "fragments": (".mp4", "libx264", "aac", {"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_recording_that_was_cut_is_kept_up_to_its_last_good_frame(tmp_path, name):
    suffix, video, sound, options = CUTS[name]
    rate = 25 if video.startswith("mpeg") else 10
    heard = ToySound(seconds=5, codec=sound)
    path = tmp_path / f"cut{suffix}"
    write_toy_clip(path, video=ToyVideo(seconds=5, rate=rate, codec=video, noise=True, b_frames=2), sound=heard)
    if options:
        path = remuxed(path, tmp_path / f"again{suffix}", options=options)
    whole = path.read_bytes()
    for place in range(570, 620, 10):
        size = len(whole) * place // 1000
        if name == "fragments":  # FFmpeg opens none that ends in the head of one
            size = whole.index(b"mdat", size) + 100
        path.write_bytes(whole[:size])
        survey = survey_media(path)
        assert survey.video_seconds == pytest.approx(3, abs=0.8)
        (window,) = read_windows(survey, GRID, hop=5)
        clip = read_clip(path, grid=GRID)
        assert window.present[:2].all() and not window.present[4:].any()
        assert clip.status == "short" and clip.frames_present[:2].all() and not clip.frames_present[4:].any()
        assert abs(frame_number(clip.frames[1][:20]) - 1.2 * rate) < 0.4 * rate


def without_its_end(data, place=0.6):
    """An MP4 whose media were not fetched to their end, as zeros say."""
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    begin += round((end - begin) * place)
    return data[:begin] + bytes(end - begin) + data[end:]


@pytest.mark.parametrize("reader", [DirectReader, ProcessReader])
def test_a_video_whose_end_was_never_fetched_is_short_and_says_that_the_rest_is_damaged(tmp_path, reader):
    path = changed(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(noise=True)), without_its_end)
    clip = read_clip(path, grid=GRID)
    assert clip.status == "no_audio" and "s of video, the grid has 10.0 s; the rest is damaged" in clip.message
    assert clip.frames_present.tolist() == [True] * 6 + [False] * 4
    numbers = np.array([frame_number(image[:20]) for image in clip.frames[:5]])
    assert np.abs(numbers - [0, 11, 22, 33, 44]).max() <= 1  # noise below smears a little
    with reader() if reader is ProcessReader else nullcontext(reader()) as source:
        (window,) = read_windows(source.survey(path), GRID, hop=5, reader=source)
    assert window.present[:, 1].tolist() == clip.frames_present.tolist()
    steps = "segments last 1 s, and those from 6 s on count as without picture"
    assert window.notes == (f"its video is damaged from 5.9 s on, where it ends; {steps}",)
    np.testing.assert_array_equal(window.clip.frames, clip.frames)  # the last good picture, not that of segment 4


def test_of_a_long_recording_no_window_has_a_picture_behind_its_last_good_frame(tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=24, noise=True))
    windows = list(read_windows(survey_media(changed(path, without_its_end)), GRID, hop=5))
    assert [window.clip.frames is None for window in windows] == [False, False, False, False]
    present = {window.start + place for window in windows for place in np.flatnonzero(window.present[:, 1]).tolist()}
    assert present == set(range(15))
    assert [note for window in windows for note in window.notes] == [
        "its video is damaged from 14.3 s on, where it ends; segments last 1 s, and those from 15 s on count as "
        "without picture"
    ]


def test_sound_that_stops_decoding_ends_there_in_a_parse_as_in_a_harvest(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 480000))
    path = changed(write_toy_clip(tmp_path / "a.m4a", sound=ToySound(waveform=noise)), without_its_end)
    clip = read_clip(path, grid=GRID)
    assert clip.waveform is None and "s of audio, the grid has 10.0 s; the rest is damaged" in clip.message
    (window,) = read_windows(survey_media(path), GRID, hop=5)
    assert window.present[:, 0].tolist() == [True] * 6 + [False] * 4
    assert window.notes == ("its audio decodes to 6.0 s of the 10.0 s its packets promise, where it ends",)


@pytest.mark.parametrize("width", [1, 3000])
def test_damaged_bytes_of_raw_flac_are_bridged_in_a_parse_and_refused_in_a_harvest(tmp_path, width):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 480000))
    path = write_toy_clip(tmp_path / "a.flac", sound=ToySound(codec="flac", waveform=noise))
    middle = path.stat().st_size // 2
    changed(
        path, lambda data: data[:middle] + bytes(byte ^ 0x5A for byte in data[middle:][:width]) + data[middle + width :]
    )
    (note,) = survey_media(path).notes
    assert re.fullmatch(r"its audio is damaged at 4\.\d\d s; silence is heard there", note)
    (window,) = read_windows(survey_media(path), GRID, hop=5)
    quiet = np.abs(window.clip.waveform.reshape(100, -1)).max(axis=1) < 0.01
    assert window.present[:, 0].all() and 2 <= quiet.sum() <= 6 and quiet[45:52].sum() == quiet.sum()
    with pytest.raises(MediaError, match=r"a.flac: damaged audio at 4\.\d\d s"):
        read_clip(path, grid=GRID)


@pytest.mark.parametrize(("codec", "suffix"), [("wavpack", ".wv"), ("tta", ".tta"), ("flac", ".mkv")])
def test_checksums_of_lossless_sound_are_held_against_it(tmp_path, codec, suffix):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 480000))
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(codec=codec, waveform=noise))
    assert read_clip(path, grid=GRID).status == "no_video"
    middle = path.stat().st_size // 2
    changed(path, lambda data: data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :])
    with pytest.raises(MediaError, match=r"damaged audio at [45]\.\d\d s"):
        read_clip(path, grid=GRID)


def test_damage_with_good_frames_behind_it_is_refused_with_its_second(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 480000))
    path = write_toy_clip(tmp_path / "a.m4a", sound=ToySound(waveform=noise))
    middle = path.stat().st_size // 2
    changed(
        path, lambda data: data[:middle] + bytes(byte ^ 0x5A for byte in data[middle:][:900]) + data[middle + 900 :]
    )
    with pytest.raises(MediaError, match=r"a.m4a: damaged audio at [45]\.\d\d s"):
        read_clip(path, grid=GRID)
    with pytest.raises(MediaError, match=r"a.m4a: damaged audio at [45]\.\d\d s"):
        list(read_windows(survey_media(path), GRID, hop=5))


def test_a_lost_packet_of_a_broadcast_is_bridged_in_a_parse_and_refused_in_a_harvest(shared):
    path = shared / "cases" / "one-packet-lost" / "one-packet-lost.ts"
    if not path.is_file():
        pytest.skip("no such case")
    (note,) = survey_media(path).notes
    assert note.startswith("its audio is damaged at 4.61 s") and note.endswith("silence is heard there")
    (window,) = read_windows(survey_media(path), GRID, hop=5)
    assert window.present.all() and np.abs(window.clip.waveform[round(4.65 * 8000) : round(4.85 * 8000)]).max() < 0.01
    loudness = np.abs(window.clip.waveform.reshape(10, -1)).max(axis=1)
    assert (np.diff(loudness[[0, 1, 2, 3, 5, 7, 8]]) > 0.03).all()
    with pytest.raises(MediaError, match=r"one-packet-lost.ts: damaged audio at 4\.61 s"):
        read_clip(path, grid=GRID)


def test_plain_samples_last_as_long_as_there_are_some(tmp_path):
    sound = ToySound(seconds=5, rate=8000, codec="pcm_s16le")
    path = write_toy_clip(tmp_path / "a.mov", video=ToyVideo(seconds=5, codec="mpeg4"), sound=sound)
    assert survey_media(path).audio_seconds == pytest.approx(5)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"udta") - 4 - 20])  # the places of the last pieces of sound are not there
    assert survey_media(path).audio_seconds < 4.9
    assert np.count_nonzero(next(read_windows(survey_media(path), GRID, hop=5)).clip.waveform) < 4.9 * 8000
