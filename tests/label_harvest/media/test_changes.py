"""Where sound changes for good, and windows of media without a picture that keep to it."""

import numpy as np
import pytest

from tests.helpers.toy import ToySound, write_toy_clip
from valor.label_harvest.media import changes
from valor.label_harvest.media.changes import changes_in
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.cuts import find_cuts
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.survey import survey_media

RATE = 8000


def hiss(seconds, *, low, high, loud=0.1, seed=0):
    """float32 [n]: noise between two frequencies."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=n))
    spectrum[(np.fft.rfftfreq(n, 1 / RATE) < low) | (np.fft.rfftfreq(n, 1 / RATE) > high)] = 0
    sound = np.fft.irfft(spectrum, n)
    return (loud * sound / sound.std()).astype(np.float32)


def joined(*parts, bark=None):
    """Rooms, one after the other, and faint noise in all; with a second of something loud at `bark`."""
    sound = np.concatenate(parts) + hiss(sum(map(len, parts)) / RATE, low=0, high=RATE / 2, loud=0.002, seed=9)
    if bark is not None:
        sound[round(bark * RATE) : round((bark + 0.4) * RATE)] += hiss(0.4, low=300, high=900, loud=0.3, seed=8)
    return sound


def blocks(sound, size=3000):
    return [(RATE, sound[start : start + size]) for start in range(0, len(sound), size)]


ROOMS = (hiss(9.3, low=100, high=800, seed=1), hiss(8, low=900, high=3000, seed=2), hiss(7, low=200, high=3000, seed=3))


@pytest.mark.parametrize("size", [500, 3000, 10**6])
def test_changes_are_found_where_rooms_change_whatever_the_blocks(size):
    found = changes_in(blocks(joined(*ROOMS), size))
    assert found == pytest.approx((9.3, 17.3), abs=0.1)
    assert found == changes_in(blocks(joined(*ROOMS)))


def test_what_passes_is_no_change_nor_is_more_of_the_same():
    one_room = hiss(25, low=100, high=800, seed=1)
    assert changes_in(blocks(joined(one_room))) == ()
    assert changes_in(blocks(joined(one_room, bark=12))) == ()
    assert changes_in(blocks(np.zeros(25 * RATE, np.float32))) == ()
    assert changes_in([]) == () and changes_in(blocks(one_room[: RATE // 2])) == ()


def test_changes_keep_apart(monkeypatch):
    monkeypatch.setattr(changes, "LEAST_DISTANCE", 0.0)
    found = changes_in(blocks(joined(*ROOMS)))
    assert len(found) > 5 and np.diff(found).min() > changes.APART_SECONDS


def test_media_without_a_picture_are_cut_where_the_sound_changes(tmp_path):
    path = tmp_path / "rooms.mka"
    write_toy_clip(path, sound=ToySound(rate=RATE, codec="pcm_s16le", waveform=joined(*ROOMS)[None]))
    survey = survey_media(path)
    assert survey.video_seconds is None
    found = find_cuts(survey, Grid(sample_rate=RATE), DirectReader())
    assert found == pytest.approx((9.3, 17.3), abs=0.1)
