"""Anamorphic video: pictures for people are in shape, whatever way frames are turned; teachers see what is stored."""

from fractions import Fraction

import numpy as np
import pytest

from tests.helpers.poisoned import turned
from tests.helpers.toy import ToyVideo, write_toy_clip
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.pixels import in_shape, pixel_shape
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.survey import survey_media

GRID = Grid(num_segments=2)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("shape", [Fraction(1), Fraction(16, 11), Fraction(3, 4)])
def test_the_shape_is_said_and_teachers_see_stored_frames(tmp_path, ending, shape):
    path = write_toy_clip(tmp_path / f"v.{ending}", video=ToyVideo(seconds=2, pixel_shape=shape))
    assert pixel_shape(path) == pytest.approx(float(shape), rel=1e-4)
    assert survey_media(path).pixel_shape == pixel_shape(path)
    assert read_clip(path, grid=GRID).frames.shape == (2, 48, 64, 3)


def test_frames_that_are_turned_have_turned_pixels(tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=2, pixel_shape=Fraction(2)))
    path.write_bytes(turned(bytearray(path.read_bytes())))
    assert pixel_shape(path) == pytest.approx(0.5) and survey_media(path).pixel_shape == pytest.approx(0.5)
    frames = read_clip(path, grid=GRID).frames
    assert frames.shape == (2, 64, 48, 3) and in_shape(frames, pixel_shape(path)).shape == (2, 128, 48, 3)


def test_a_matrix_of_zeros_turns_nothing(tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=2))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 36] = bytes(36)
    frames = read_clip(path, grid=GRID).frames
    path.write_bytes(data)
    np.testing.assert_array_equal(read_clip(path, grid=GRID).frames, frames)


def test_frames_in_shape_hold_the_same_picture():
    frames = np.zeros((1, 20, 30, 3), np.uint8)
    frames[:, :, 15:] = 200
    assert in_shape(frames, 1.0) is frames
    wide, high = in_shape(frames, 2.0), in_shape(frames, 0.5)
    assert wide.shape == (1, 20, 60, 3) and high.shape == (1, 40, 30, 3)
    for shown in (wide, high):
        left, right = np.split(shown, 2, axis=2)
        assert left[:, :, :-4].max() <= 8 and right[:, :, 4:].min() >= 192


@pytest.mark.parametrize("shape", [Fraction(1, 100), Fraction(100)])
def test_a_shape_beyond_belief_is_square(tmp_path, shape):
    assert pixel_shape(write_toy_clip(tmp_path / "v.mkv", video=ToyVideo(seconds=1, pixel_shape=shape))) == 1


def test_sound_alone_has_square_pixels(tmp_path):
    from tests.helpers.toy import ToySound

    assert pixel_shape(write_toy_clip(tmp_path / "a.mkv", sound=ToySound(seconds=1))) == 1
