"""What was lost on its way, lies around the frames, or comes up late: bridged with a note, or refused with a reason."""

import re

import av
import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, remuxed, write_toy_clip
from valor.label_harvest.media import open as media_open
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.cuts import find_cuts
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows

GRID = Grid(num_segments=5, sample_rate=8000)
NEAR = {"probesize": "20000"}
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 240000))
PACKET = 188


def without_packets(path, pid, count):
    """The broadcast without some packets of a stream, one after the other, each as a file of its own."""
    data = path.read_bytes()
    places = [place for place in range(0, len(data), PACKET) if data[place + 1 : place + 3] == bytes(pid)]
    for place in places[len(places) // 4 : -len(places) // 4][:count]:
        path.write_bytes(data[:place] + data[place + PACKET :])
        yield path


def read(path, reader):
    """The only window of a file with all that is noted of it."""
    survey = reader.survey(path)
    (window,) = read_windows(survey, GRID, hop=5, reader=reader)
    return window, (*survey.notes, *window.notes)


@pytest.mark.parametrize("codec", ["ac3", "aac"])
def test_of_a_broadcast_any_packet_of_its_sound_may_get_lost(tmp_path, codec):
    path = write_toy_clip(tmp_path / "a.ts", sound=ToySound(seconds=5, codec=codec, waveform=NOISE))
    with ProcessReader() as process:
        for number, _ in enumerate(without_packets(path, (1, 0), 5)):
            window, notes = read(path, DirectReader())
            assert window.present[:, 0].all() and any("its audio" in note for note in notes)
            if number < 2:
                assert read(path, process)[1] == notes
            with pytest.raises(MediaError, match=r"(damaged audio|lost sound) at \d\.\d\d s"):
                read_clip(path, grid=GRID)


def test_of_a_broadcast_any_packet_of_its_pictures_may_get_lost(tmp_path):
    path = write_toy_clip(tmp_path / "v.ts", video=ToyVideo(seconds=5, rate=25, codec="mpeg2video", noise=True))
    for _ in without_packets(path, (1, 0), 4):
        window, notes = read(path, DirectReader())
        assert window.present[:, 1].all() and any("its video" in note for note in notes)


def test_looking_for_cuts_counts_nothing_twice(tmp_path):
    path = write_toy_clip(tmp_path / "v.ts", video=ToyVideo(seconds=5, rate=25, codec="mpeg2video", noise=True))
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 3, len(data) // 2, 10):
        data[place] ^= 0xFF if place % PACKET > 20 else 0
    path.write_bytes(data)
    with ProcessReader() as process:
        for reader in (DirectReader(), process):
            survey, expected = survey_media(path), read(path, DirectReader())[1]
            find_cuts(reader.survey(path), GRID, reader)
            (window,) = read_windows(survey, GRID, hop=5, reader=reader)
            assert (*survey.notes, *window.notes) == expected and "its video cannot be decoded" in expected[-1]


@pytest.mark.parametrize(("suffix", "codec"), [(".opus", "libopus"), (".asf", "libmp3lame")])
def test_a_gap_in_sound_that_has_none_is_what_was_damaged(tmp_path, suffix, codec):
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=5, codec=codec, waveform=NOISE))
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + (4000 if suffix == ".asf" else 1)):
        data[place] ^= 0x55
    path.write_bytes(data)
    (note,) = read(path, DirectReader())[1]
    assert re.fullmatch(r"its audio has gaps: \d\.\d\d s at \d\.\d s; silence is heard there", note)
    with pytest.raises(MediaError, match=r"lost sound at \d\.\d\d s"):
        read_clip(path, grid=GRID)


@pytest.mark.parametrize(("suffix", "codec"), [(".ac3", "ac3"), (".eac3", "eac3"), (".aac", "aac")])
def test_raw_sound_ends_with_its_last_good_frame(tmp_path, suffix, codec):
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=5, codec=codec))
    path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(300))
    window, notes = read(path, DirectReader())
    assert window.present[:, 0].all() and len(notes) == (suffix != ".aac")  # FFmpeg does not see it behind AAC
    assert read_clip(path, grid=GRID).waveform is not None


@pytest.mark.parametrize(("suffix", "codec"), [(".ac3", "ac3"), (".eac3", "eac3")])
def test_sound_that_begins_within_a_frame_begins_with_its_first_good_one(tmp_path, suffix, codec):
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=5, codec=codec))
    path.write_bytes(np.random.default_rng(0).bytes(300) + path.read_bytes())
    window, notes = read(path, DirectReader())
    assert window.present[:, 0].all()
    (note,) = notes
    assert re.fullmatch(r"its audio cannot be decoded: 0\.0[2-6] s at 0\.0 s; silence is heard there", note)
    clip = read_clip(path, grid=GRID)
    assert clip.status == "no_video" and 0.02 <= clip.provenance["audio"]["damaged_until"] <= 0.06
    assert np.abs(clip.waveform - window.clip.waveform).max() < 1e-6


def without_key_frames(before):
    return lambda packet: not packet.is_keyframe or packet.stream.type == "audio" or packet.dts >= before


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_pictures_that_begin_within_a_group_begin_with_the_next_key_frame(tmp_path, suffix):
    picture, sound = ToyVideo(seconds=5, rate=25, codec="mpeg2video"), ToySound(seconds=5, codec="mp2")
    whole = write_toy_clip(tmp_path / f"a{suffix}", video=picture, sound=sound)
    ticks = 1000 if suffix == ".mkv" else 90000
    path = remuxed(whole, tmp_path / f"b{suffix}", change=without_key_frames(2 * ticks))
    window, notes = read(path, DirectReader())
    begin = survey_media(path).video_start
    assert 1 < begin < 3
    assert f"its video begins within a group of pictures, so none can be shown before {begin:.1f} s" in notes
    assert window.present[:, 1].tolist() == [second + 1 - begin >= 0.1 for second in range(5)]
    clip = read_clip(path, grid=GRID)
    assert clip.status == "short" and clip.message == f"no picture from 0.0 s to {begin:.1f} s"
    assert clip.frames_present.tolist() == [time > begin for time in (0.0625, 1.3125, 2.5625, 3.6875, 4.9375)]
    never = remuxed(whole, tmp_path / f"c{suffix}", change=without_key_frames(9 * ticks))
    assert "its video has no key frame, so none of its pictures can be shown" in survey_media(never).notes
    assert read_clip(never, grid=GRID).status == "no_video"


@pytest.mark.parametrize(
    ("suffix", "video", "sound"),
    [
        (".mp4", "mpeg4", "aac"),
        (".mov", "mpeg4", "pcm_s16le"),
        (".mkv", "mpeg4", "aac"),
        (".webm", None, "libopus"),
        (".avi", "mpeg4", "libmp3lame"),
        (".flv", None, "aac"),
        (".asf", None, "libmp3lame"),
        (".flac", None, "flac"),
        (".opus", None, "libopus"),
        (".wav", None, "pcm_s16le"),
        (".aiff", None, "pcm_s16be"),
        (".caf", None, "pcm_s16le"),
        (".tta", None, "tta"),
        (".wv", None, "wavpack"),
    ],
)
def test_a_recording_behind_rubbish_is_read_from_where_it_begins(tmp_path, suffix, video, sound):
    picture = ToyVideo(seconds=2, codec=video) if video else None
    path = write_toy_clip(tmp_path / f"a{suffix}", video=picture, sound=ToySound(seconds=2, codec=sound))
    whole, _ = read(path, DirectReader())
    path.write_bytes(np.random.default_rng(0).bytes(777) + path.read_bytes())
    window, notes = read(path, DirectReader())
    assert "777 bytes of something else lie before it, which are passed over" in notes
    assert (window.clip.waveform == whole.clip.waveform).all()
    assert not video or (window.clip.frames == whole.clip.frames).all()
    read_clip(path, grid=GRID)


@pytest.mark.parametrize("head", [b"PK\x03\x04", bytes(257) + b"ustar\x0000"])
def test_of_an_archive_no_member_is_read(tmp_path, head):
    path = write_toy_clip(tmp_path / "a.mp4", sound=ToySound(seconds=1))
    path.write_bytes(head + bytes(999) + path.read_bytes())
    with pytest.raises(MediaError, match="cannot be decoded"):
        survey_media(path)


def test_flac_behind_a_tag_begins_with_it(tmp_path):
    path = write_toy_clip(tmp_path / "a.flac", sound=ToySound(seconds=2, codec="flac"))
    path.write_bytes(b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + path.read_bytes())
    assert survey_media(path).notes == () and survey_media(path).seconds == pytest.approx(2)


def test_a_fragmented_mp4_that_ends_in_the_head_of_a_fragment_is_kept_up_to_there(tmp_path):
    picture, sound = ToyVideo(seconds=5, noise=True), ToySound(seconds=5)
    path = tmp_path / "cut.mp4"
    write_toy_clip(tmp_path / "a.mp4", video=picture, sound=sound)
    remuxed(tmp_path / "a.mp4", path, options={"movflags": "frag_every_frame+empty_moov+default_base_moof"})
    whole = path.read_bytes()
    head = whole.index(b"moof", len(whole) * 3 // 5) - 4
    for kept in (3, 9, 20, 60, 110):
        path.write_bytes(whole[: head + kept])
        window, notes = read(path, DirectReader())
        assert window.present[:2].all() and not window.present[4:].any()
        assert any("cannot be read beyond" in note or "damaged from" in note for note in notes), kept
        assert read_clip(path, grid=GRID).status == "short"


def test_a_stream_that_becomes_another_is_refused_and_one_that_begins_later_is_noted(tmp_path):
    sound = write_toy_clip(tmp_path / "a.ts", sound=ToySound(seconds=3)).read_bytes()
    picture = write_toy_clip(tmp_path / "v.ts", video=ToyVideo(seconds=3)).read_bytes()
    both = write_toy_clip(tmp_path / "b.ts", video=ToyVideo(seconds=3), sound=ToySound(seconds=3)).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(both + sound)
    for refused in (survey_media, lambda path: read_clip(path, grid=Grid(sample_rate=8000))):
        with pytest.raises(MediaError, match=r"joined.ts: its video stream turns into audio: .*take them apart"):
            refused(path)
    path.write_bytes(picture + both)
    assert survey_media(path).notes == (UNREAD,)


def one_behind_the_other(source, target, kinds):
    """A copy with the packets of one kind far before those of the other."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        packets = sorted((one for one in old.demux() if one.size), key=lambda one: kinds.index(one.stream.type))
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            new.mux(packet)
    return target


@pytest.mark.parametrize("kinds", [("video", "audio"), ("audio", "video")])
@pytest.mark.parametrize(
    ("suffix", "picture", "sound"),
    [
        (".ts", "mpeg2video", "aac"),
        (".ts", "libx264", "ac3"),
        (".mp4", "mpeg4", "aac"),
        (".mkv", "mpeg4", "aac"),
        (".avi", "mpeg4", "mp3"),
    ],
)
def test_a_stream_that_comes_far_behind_the_other_in_the_file_is_read(tmp_path, kinds, suffix, picture, sound):
    tone = ToySound(seconds=20, codec=sound, waveform=np.tile(NOISE, 4))
    source = write_toy_clip(tmp_path / f"a{suffix}", video=ToyVideo(seconds=20, codec=picture), sound=tone)
    survey = survey_media(one_behind_the_other(source, tmp_path / f"b{suffix}", kinds))
    assert survey.notes == () and not survey.joined
    assert survey.video_seconds == pytest.approx(20, abs=0.2) and survey.audio_seconds == pytest.approx(20, abs=0.2)
    length = sum(len(piece) for _, piece in DirectReader().sound(survey))
    assert length / 48000 == pytest.approx(20, abs=0.2)


UNREAD = (
    "it names audio that is not read, as none was found where the file begins (its first 64 MiB at most); convert the "
    "file, so that its streams lie together"
)


def look_near(monkeypatch):
    """Let FFmpeg look at little of a file, as if what it holds was much."""
    whole = av.open
    monkeypatch.setattr(av, "open", lambda place, **more: whole(place, **more | {"options": NEAR | more["options"]}))
    monkeypatch.setattr(media_open, "_FAR", {}, raising=False)


def test_a_stream_too_far_behind_the_other_is_not_read_and_a_note_says_so(tmp_path, monkeypatch):
    source = write_toy_clip(tmp_path / "a.ts", video=ToyVideo(seconds=20), sound=ToySound(seconds=20))
    path = one_behind_the_other(source, tmp_path / "b.ts", ("video", "audio"))
    look_near(monkeypatch)
    survey = survey_media(path)
    assert survey.audio_seconds is None and UNREAD in survey.notes


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mkv", "aac"), (".flv", "aac"), (".tta", "tta"), (".aiff", "pcm_s16be"), (".caf", "pcm_s16le")],
)
def test_a_file_put_behind_another_is_read_or_noted(tmp_path, suffix, codec):
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=1, rate=44100, codec=codec))
    assert survey_media(path).notes == ()
    path.write_bytes(path.read_bytes() * 3)
    survey = survey_media(path)
    assert survey.audio_seconds > 2.9 or any("another file was put behind it" in note for note in survey.notes)
