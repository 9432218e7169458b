import av
import numpy as np
import pytest

from label_harvest import frame_album
from label_harvest.frame_album import FrameAlbum, slot_image


def frame_of(level: int, width: int = 32, height: int = 16) -> av.VideoFrame:
    image = np.full((height, width, 3), level, np.uint8)
    image[: height // 2] = 255 - level
    return av.VideoFrame.from_ndarray(image, format="rgb24")


def test_frames_go_to_the_segments_and_slots_they_were_picked_for():
    album = FrameAlbum(np.array([0, 2, 2]), np.arange(4), 3)
    first, second = frame_of(10), frame_of(20)
    for frame in (first, first, second, frame_of(30)):
        album.add(frame)
    assert album.frames[:, -1, 0, 0].tolist() == [10, 20, 20]
    assert album.slots is not None and album.slots[:, -1, 0, 0].tolist() == [10, 10, 20]


def test_without_slots_none_are_kept():
    album = FrameAlbum(np.array([0]), np.array([0]), 0)
    album.add(frame_of(10))
    assert album.slots is None and album.frames.shape == (1, 16, 32, 3)


def test_every_frame_is_as_large_as_the_first():
    album = FrameAlbum(np.array([0, 1]), np.array([0, 1]), 0)
    album.add(frame_of(10))
    album.add(frame_of(50, width=64, height=64))
    assert album.frames.shape == (2, 16, 32, 3) and album.frames[1, -1, 0, 0] == 50


def test_large_slots_are_averaged_down_and_their_frames_are_not(monkeypatch):
    monkeypatch.setattr(frame_album, "SLOT_PIXELS", 8 * 16)
    album = FrameAlbum(np.array([0]), np.array([0]), 1)
    album.add(frame_of(10))
    assert album.frames.shape == (1, 16, 32, 3) and album.slots is not None and album.slots.shape == (1, 8, 16, 3)
    assert album.slots[0, -1, 0, 0] == 10 and album.slots[0, 0, 0, 0] == 245


@pytest.mark.parametrize("shape", [(720, 1280), (1280, 720), (960, 960), (2, 2)])
def test_slots_of_ordinary_clips_are_left_alone(shape):
    image = np.zeros((*shape, 3), np.uint8)
    assert slot_image(image) is image


@pytest.mark.parametrize(("shape", "small"), [((1080, 1920), (720, 1280)), ((2160, 1080), (1358, 679))])
def test_larger_ones_keep_their_shape(shape, small):
    assert slot_image(np.zeros((*shape, 3), np.uint8)).shape == (*small, 3)
