"""Several audio tracks: which one is heard unless one is chosen, and how one is."""

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_harvest import GRID
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.tracks import check_track, listed_tracks

LEVELS = (0.05, 0.2, 0.4)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds of three tracks that differ in their level; the second is the default."""
    tracks = [
        ToySound(seconds=2, rate=8000, codec="pcm_s16le", level=level, language=language, default=number == 1)
        for number, (level, language) in enumerate(zip(LEVELS, ("eng", "deu", "eng"), strict=True))
    ]
    folder = tmp_path_factory.mktemp("tracks")
    return write_toy_clip(folder / "film.mkv", video=ToyVideo(seconds=2, rate=8), sound=tracks)


def level(samples) -> float:
    return float(np.abs(samples).max())


@pytest.mark.parametrize(("track", "heard"), [(None, 1), ("0", 0), ("1", 1), ("2", 2), ("deu", 1), ("DEU", 1)])
def test_the_default_of_the_container_is_heard_unless_another_is_chosen(film, track, heard):
    with ProcessReader() as process:
        for reader in (DirectReader(), process):
            survey = reader.survey(film, track)
            assert survey.audio_track == heard
            assert survey.audio_tracks[1] == "1 deu pcm_s16le 1 channel"
            assert level(np.concatenate([block for _, block in reader.sound(survey)])) == pytest.approx(
                LEVELS[heard], abs=0.01
            )
    assert level(read_clip(film, grid=GRID, track=track).waveform) == pytest.approx(LEVELS[heard], abs=0.05)


@pytest.mark.parametrize("workers", [0, 1])
def test_processes_hear_the_chosen_track_too(film, workers):
    with DecodePool(workers, track="2") as pool:
        clip = pool.submit(film, GRID).result()
    assert clip.provenance["audio"]["stream"] == 3
    assert level(clip.waveform) == pytest.approx(LEVELS[2], abs=0.05)


@pytest.mark.parametrize(
    ("track", "said"), [("3", "no audio track 3"), ("fra", "no audio track fra"), ("eng", "2 audio tracks are eng")]
)
def test_a_track_that_is_not_there_lists_those_that_are(film, track, said):
    tracks = "it has 0 eng pcm_s16le 1 channel, 1 deu pcm_s16le 1 channel, 2 eng pcm_s16le 1 channel"
    for read in (DirectReader().survey, lambda path, track: read_clip(path, grid=GRID, track=track)):
        with pytest.raises(MediaError, match=f"film.mkv: {said}.*; {tracks}"):
            read(film, track)


def test_of_many_tracks_some_are_listed():
    assert listed_tracks(tuple("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert listed_tracks(tuple("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"


def test_where_there_is_no_sound_there_is_none_to_choose(tmp_path):
    silent = write_toy_clip(tmp_path / "v.mkv", video=ToyVideo(seconds=2))
    assert DirectReader().survey(silent, "1").audio_track is None
    assert read_clip(silent, grid=GRID, track="1").status == "no_audio"


@pytest.mark.parametrize("track", ["-1", "1_0", "01", "٣", "", "0:a:1", "english language"])
def test_what_names_no_track_is_refused(track):
    with pytest.raises(ValueError, match="audio_track must be a position from 0 on or a language"):
        check_track(track)
