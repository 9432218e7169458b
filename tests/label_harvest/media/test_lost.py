"""What was lost on its way, lies around the frames, or comes up late: bridged with a note, or refused with a reason."""

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows

GRID = Grid(num_segments=5, sample_rate=8000)
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


@pytest.mark.parametrize(("suffix", "codec"), [(".ac3", "ac3"), (".eac3", "eac3"), (".aac", "aac")])
def test_raw_sound_ends_with_its_last_good_frame(tmp_path, suffix, codec):
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=ToySound(seconds=5, codec=codec))
    path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(300))
    window, notes = read(path, DirectReader())
    assert window.present[:, 0].all() and len(notes) == (suffix != ".aac")  # FFmpeg does not see it behind AAC
    assert read_clip(path, grid=GRID).waveform is not None


def test_sound_that_begins_within_a_frame_begins_with_its_first_good_one(tmp_path):
    path = write_toy_clip(tmp_path / "a.ac3", sound=ToySound(seconds=5, codec="ac3"))
    path.write_bytes(np.random.default_rng(0).bytes(300) + path.read_bytes())
    window, notes = read(path, DirectReader())
    assert window.present[:, 0].all()
    assert notes == ("its audio cannot be decoded: 0.03 s at 0.0 s; silence is heard there",)


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
    assert survey_media(path).notes == ("it has another audio stream that begins later, which is not read",)


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
