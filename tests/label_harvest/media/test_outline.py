"""A recording from afar: peaks and pictures against what a full decode says, of damaged files too, and its bounds."""

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, write_toy_clip
from valor.label_harvest.media import outline
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.outline import Outline, OutlineReader

RATE = 8000


def read(path, seconds, **more) -> Outline:
    with OutlineReader() as reader:
        return reader.read(path, seconds, **more)


def beeps(seconds):
    """float32 [1, n]: a tenth of a second of tone at each whole second, louder and louder."""
    time = np.arange(round(seconds * RATE)) / RATE
    return ((time % 1 < 0.1) * np.sin(2 * np.pi * 440 * time) * (time + 1) / seconds / 2).astype(np.float32)[None]


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mkv"
    sound = ToySound(rate=RATE, codec="pcm_s16le", waveform=beeps(40))
    write_toy_clip(path, video=ToyVideo(seconds=24.0), sound=sound)
    return path


def test_peaks_are_those_of_all_samples(film):
    peaks = read(film, 40.0).peaks
    wave = np.abs(beeps(40)[0]).reshape(-1, RATE // outline.PEAKS_PER_SECOND).max(axis=1)
    assert peaks.shape == wave.shape == (2000,) and peaks.max() == 255
    assert np.abs(peaks / 255 - wave / wave.max()).max() < 0.01


def test_more_peaks_than_are_kept_stand_for_longer(film, monkeypatch):
    making = outline._Making(film, 40.0, 0)
    monkeypatch.setattr(outline, "MOST_PEAKS", 90)
    few = outline._Making(film, 40.0, 0)
    for one in (making, few):
        list(one.steps(lambda: None))
    longer = making.peaks()[: len(making.peaks()) // 90 * 90]
    assert few.peaks().shape == (90,) and few.peaks().max() == 255
    assert few.peaks()[-3:].max() >= longer[-60:].max() - 1


@pytest.mark.parametrize("held", [outline._HELD_BYTES, 2000])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_pictures_are_those_shown_at_the_middles_of_their_parts(tmp_path, monkeypatch, b_frames, held):
    path = write_toy_clip(tmp_path / "film.mkv", video=ToyVideo(seconds=24.0, b_frames=b_frames))
    monkeypatch.setattr(outline, "_HELD_BYTES", held)
    making = outline._Making(path, 24.0, 8)
    list(making.steps(lambda: None))
    assert making.peaks() is None and making.images().shape == (8, 48, 64, 3)
    assert [frame_number(image) for image in making.images()] == [15 + 30 * k for k in range(8)]


def test_a_picture_that_ends_early_stays_and_one_is_told_how_far_it_is(film):
    told = []
    made = read(film, 60.0, pictures=6, goes_on=lambda reached: told.append(reached) or True)
    assert [frame_number(image) for image in made.pictures][-2:] == [239] * 2 and made.peaks[2100:].max() == 0
    assert all(0 <= reached <= 62 for reached in told)


def test_damage_costs_its_place_alone(film, tmp_path):
    data = bytearray(film.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    made = read(broken, 40.0, pictures=8)
    assert made.peaks[:600].max() > 0 and len(made.pictures) == 8


def test_what_is_no_film_is_refused_and_the_next_one_is_read(film, tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no film")
    with OutlineReader() as reader:
        with pytest.raises(MediaError, match="no.mp4"):
            reader.read(tmp_path / "no.mp4", 10.0)
        assert reader.read(film, 10.0).peaks.shape == (500,)


def test_it_is_bounded_in_time_and_can_be_given_up(film, monkeypatch):
    monkeypatch.setattr(outline, "MOST_SECONDS", -1.0)
    monkeypatch.setattr(OutlineReader, "_answer", lambda *_: {"outcome": "piece", "reached": 1.0})
    with pytest.raises(MediaError, match="takes longer"):
        read(film, 40.0)
    assert read(film, 40.0, goes_on=lambda _: False) is None
