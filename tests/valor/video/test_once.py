"""Overlapping windows: what lies in several of them is judged once, with the same probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_parse import WindowTeacher, toy_system, write_run, write_small_film
from valor.label_harvest.media.clip import Grid, frame_indices
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.trained import load_system


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Whose picture and sound begin late, and not together."""
    return write_small_film(tmp_path_factory.mktemp("film") / "odd.mkv", 23.4, video_start=0.7, sound_start=0.3)


def judged(system, film, **changes):
    """A film parsed with every second judged once, and with every window judged."""
    options = ParseOptions(limits=None, hashed=False, windows_per_batch=2, **changes)
    windows = replace(system, teachers=tuple(WindowTeacher(teacher) for teacher in system.teachers))
    return parse_media(system, film, options), parse_media(windows, film, options)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"cuts": "none"}, 23),
        ({"cuts": "none", "hop": 3}, 23),
        ({"cuts": (6.3, 17.3)}, 23),
        ({"cuts": "none", "frames": "window"}, 40),
    ],
)
def test_every_second_is_judged_once(film, changes, seen):
    system = toy_system()
    once = parse_media(system, film, ParseOptions(limits=None, hashed=False, windows_per_batch=2, **changes))
    assert {teacher.role: teacher.given for teacher in system.teachers} == {"audio": 23, "visual": seen}
    _, twice = judged(system, film, **changes)
    assert np.abs(once.segment_probs - twice.segment_probs).max() <= 4e-6


def test_with_the_teachers_and_the_parser_of_the_demo_too(film, tmp_path):
    once, twice = judged(load_system(write_run(tmp_path / "run")), film, cuts=(5.8, 17.1))
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
