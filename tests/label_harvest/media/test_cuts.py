"""Where films are cut, and windows that hold nothing of what lies behind a cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.label_harvest.media.clip import LEAST_SHARE, Grid
from valor.label_harvest.media.cuts import Shot, cuts_in, find_cuts, own_begins, own_of_film, shots_of
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows, segments_of, stretches

GRID = Grid(num_segments=4, sample_rate=8000)
RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 30)


def shot(colour, frames, *, moves=0.0):
    """float -> uint8 [frames, 48, 64, 3]: a bright bar on a plain ground, which moves so many pixels a frame."""
    images = np.full((frames, 48, 64, 3), colour, np.uint8)
    for number, image in enumerate(images):
        left = int(4 + moves * number) % 56
        image[10:30, left : left + 8] = 240
    return images


@pytest.fixture
def film(tmp_path):
    """12.5 s at 10 frames a second: red up to 3.4 s, blue up to 9 s, then green; each with a tone of its own."""
    path = tmp_path / "film.mkv"
    pictures = np.concatenate([shot(RED, 34, moves=1), shot(BLUE, 56), shot(GREEN, 35, moves=2)])
    seconds = np.arange(round(12.5 * 8000)) / 8000
    sound = np.where(seconds < 3.4, 0.2, np.where(seconds < 9, 0.4, 0.6)) * np.sin(seconds * 900)
    tone = ToySound(rate=8000, codec="pcm_s16le", waveform=sound[None].astype(np.float32))
    return write_toy_clip(path, video=ToyVideo(seconds=12.5, images=pictures), sound=tone)


def colours(window):
    """What each segment of a window shows: red, blue or green, as the channel that is strongest."""
    return window.clip.frames[window.valid][:, 40, 30].argmax(axis=1).tolist()


def test_cuts_are_found_within_half_a_slot_and_windows_keep_to_their_shot(film):
    survey, reader = survey_media(film), DirectReader()
    cuts = find_cuts(survey, GRID, reader)
    assert len(cuts) == 2 and np.abs(np.subtract(cuts, (3.4, 9.0))).max() <= 0.5 / GRID.frame_rate + 1e-6
    shots = shots_of(cuts, 13, GRID)
    windows = list(read_windows(survey, GRID, hop=2, shots=shots, slots=True))
    assert [(window.start, int(window.valid.sum())) for window in windows] == [(0, 3), (3, 4), (5, 4), (9, 4)]
    assert [colours(window) for window in windows] == [[0] * 3, [2] * 4, [2] * 4, [1] * 4]
    for window in windows:
        shown = window.clip.slots[: int(window.valid.sum()) * GRID.frame_rate, 40, 30].argmax(axis=1)
        assert len(set(shown.tolist())) == 1
    loudness = [np.abs(window.clip.waveform).max() for window in windows]
    assert loudness == pytest.approx([0.2, 0.4, 0.4, 0.6], abs=0.01)
    assert not windows[0].clip.waveform[3 * 8000 :].any()
    blind = list(read_windows(survey, GRID, hop=2))
    assert any(len(set(colours(window))) > 1 for window in blind)


def test_without_cuts_windows_are_what_they_were(film):
    survey = survey_media(film)
    plain, one_shot = (list(read_windows(survey, GRID, hop=2, shots=shots)) for shots in ((), shots_of((), 13, GRID)))
    assert [window.start for window in plain] == [window.start for window in one_shot] == [0, 2, 4, 6, 8, 9]
    assert all(np.array_equal(a.clip.frames, b.clip.frames) for a, b in zip(plain, one_shot, strict=True))


@pytest.mark.parametrize("images", [
    shot(RED, 60, moves=3),
    np.concatenate([shot(RED, 30), shot(RED, 30, moves=2)]),
    (shot(RED, 60) * np.linspace(1, 0.2, 60)[:, None, None, None]).astype(np.uint8),
    shot(GREEN, 3),
])  # fmt: skip
def test_what_moves_or_fades_is_no_cut(images):
    assert not list(cuts_in(iter(images), 8))


def test_media_with_next_to_no_picture_have_no_cuts(tmp_path):
    sound = ToySound(seconds=12, rate=8000, codec="pcm_s16le")
    for number, video in enumerate((None, ToyVideo(seconds=0.1), ToyVideo(seconds=0.2, start=11.9))):
        path = write_toy_clip(tmp_path / f"{number}.mkv", sound=sound, video=video)
        assert find_cuts(survey_media(path), GRID, DirectReader()) == ()


@given(cuts=st.lists(st.floats(-5, 70, width=32), max_size=30), segments=st.integers(1, 60), hop=st.integers(1, 4))
def test_shots_follow_one_another_and_windows_cover_them(cuts, segments, hop):
    shots = shots_of(sorted(cuts), segments, GRID)
    assert [one.stop for one in shots[:-1]] == [one.start for one in shots[1:]]
    assert (shots[0].start, shots[-1].stop) == (0, segments) and all(one.start < one.stop for one in shots)
    for one in shots:
        assert one.begin <= one.stop and one.end >= one.start and one.end > one.begin
        over = one.begin + len(one.own) - min(one.end, segments)
        assert -0.5 <= over <= 0.5 or len(one.own) == 1 or (one.stop == segments and over <= 1 - LEAST_SHARE)
    windows = stretches(GRID, hop, shots)
    covered = np.zeros(shots[-1].own.stop, int)
    for window in windows:
        covered[window.start : window.stop] += 1
        assert window.stop - window.start <= GRID.num_segments
        assert any(one.own.start <= window.start and window.stop <= one.own.stop for one in shots)
    assert covered.min() >= 1
    rows, begins = own_of_film(shots, GRID), own_begins(shots, GRID)
    assert len(rows) == segments and (np.diff(rows) >= 0).all() and len(begins) == shots[-1].own.stop
    for one in shots:  # the nearest of the own segments of its shot
        middles = np.arange(one.start, one.stop) + 0.5
        far = np.abs(begins[one.own.start : one.own.stop] + 0.5 - middles[:, None])
        chosen = rows[one.start : one.stop] - one.own.start
        assert far[np.arange(len(middles)), chosen] == pytest.approx(far.min(axis=1), abs=1e-6)
    both_short = [a.stop - a.start < 2 > b.stop - b.start for a, b in zip(shots, shots[1:], strict=False)]
    fits = [b.stop - a.start <= GRID.num_segments for a, b in zip(shots, shots[1:], strict=False)]
    assert not any(short and whole for short, whole in zip(both_short, fits, strict=True))


def test_a_lone_short_shot_stays_alone():
    assert [(one.start, one.stop) for one in shots_of([6, 7], 20, GRID)] == [(0, 6), (6, 7), (7, 20)]
    assert shots_of([6.2], 20, GRID)[1] == Shot(6, 20, range(6, 20), 6.2)


def test_a_shot_is_judged_on_what_a_file_cut_there_would_hold(tmp_path):
    """Colours and tones change each second, and begin at a cut that lies within a second of the film."""
    rng, seconds, at = np.random.default_rng(0), 8, 3.625
    colours = rng.integers(0, 255, (seconds, 1, 1, 3), np.uint8)
    pictures = np.repeat(colours, 8, axis=0) + np.zeros((1, 48, 64, 1), np.uint8)
    sound = np.repeat(rng.uniform(0.1, 0.9, seconds), 8000) * np.sin(np.arange(seconds * 8000) * 0.9)
    before = round(at * 8)
    held = {"shot": (pictures, sound), "film": (np.concatenate([pictures[:before] // 2, pictures]), np.concatenate(
        [np.full(round(at * 8000), 0.95), sound]))}  # fmt: skip
    windows = {}
    for name, (images, wave) in held.items():
        path = write_toy_clip(
            tmp_path / f"{name}.mkv",
            video=ToyVideo(seconds=len(images) / 8, images=images, rate=8),
            sound=ToySound(rate=8000, codec="pcm_s16le", waveform=wave[None].astype(np.float32)),
        )
        survey = survey_media(path)
        shots = shots_of((at,) if name == "film" else (), segments_of(survey, GRID), GRID, survey.seconds - survey.lead)
        windows[name] = list(read_windows(survey, GRID, hop=4, shots=shots))[-2:]
    for own, cut in zip(windows["shot"], windows["film"], strict=True):
        assert cut.spans == pytest.approx(own.spans + at) and cut.times == pytest.approx(own.times + at)
        assert np.abs(own.clip.frames.astype(int) - cut.clip.frames).max() <= 8
        assert np.abs(own.clip.waveform - cut.clip.waveform).max() < 0.01


def test_the_cuts_of_a_real_film(shared):
    """Its shots, as one sees them, begin at 0, 5 (a dissolve of two frames) and 8 s."""
    survey = survey_media(shared / "clips" / "nasa_13013.mp4")
    assert find_cuts(survey, Grid(), DirectReader()) == pytest.approx((5.0, 8.0), abs=0.2)
