"""Overlapping windows: what lies in several of them is judged once, with the same probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import WindowTeacher, watched, write_run
from valor.label_harvest.media.clip import Grid, frame_indices
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.trained import load_system

SECONDS = 23.4


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return load_system(write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Whose picture and sound begin late, and not together."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (1, round((SECONDS - 0.3) * 32000))).astype(np.float32)
    return write_toy_clip(
        tmp_path_factory.mktemp("film") / "odd.mkv",
        video=ToyVideo(seconds=SECONDS - 0.7, start=0.7),
        sound=ToySound(rate=32000, codec="pcm_s16le", waveform=noise, start=0.3),
    )


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"cuts": "none"}, 23),
        ({"cuts": "none", "hop": 3}, 23),
        ({"cuts": (5.8, 17.1)}, 23),
        ({"cuts": "none", "frames": "window"}, 40),
    ],
)
def test_every_second_is_judged_once(system, film, changes, seen):
    options = ParseOptions(limits=None, hashed=False, windows_per_batch=2, **changes)
    counted, teachers = watched(system)
    once = parse_media(counted, film, options)
    windows = replace(system, teachers=tuple(WindowTeacher(teacher) for teacher in system.teachers))
    twice = parse_media(windows, film, options)
    assert {teacher.role: teacher.given for teacher in teachers} == {"audio": 23, "visual": seen}
    assert np.abs(once.segment_probs - twice.segment_probs).max() <= 4e-6
    assert np.abs(once.gate_probs - twice.gate_probs).max() <= 4e-6


def test_a_segment_has_one_picture_in_all_windows(film):
    """That of clips laid end to end; without sharing no two windows have one in common."""
    survey, grid = survey_media(film), Grid()
    shared, other = (list(read_windows(survey, grid, hop=5, shared=shared)) for shared in (True, False))
    laid = (frame_indices(80, 10) + 0.5) / 8
    assert [window.start for window in shared] == [0, 5, 10, 13]
    assert shared[0].times == pytest.approx(laid) and shared[2].times == pytest.approx(laid + 10)
    assert np.array_equal(shared[0].times[5:], shared[1].times[:5])
    assert np.array_equal(shared[0].clip.frames[5:], shared[1].clip.frames[:5])
    assert np.array_equal(shared[0].clip.frames, other[0].clip.frames)
    assert not set(other[0].times) & set(other[1].times)
    assert all(np.array_equal(a.clip.waveform, b.clip.waveform) for a, b in zip(shared, other, strict=True))
