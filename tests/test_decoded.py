"""What is said of decoded frames, whichever library decoded them."""

import numpy as np
import pytest

from label_harvest.clip_media import Grid
from label_harvest.decoded import VideoFacts, make_picture, slots_of

GRID = Grid(num_segments=4)


@pytest.mark.parametrize(("seconds", "slots"), [(4.0, 32), (3.6, 29), (4.5, 36), (3.4, 32), (60.0, 32)])
def test_a_video_about_as_long_as_the_grid_has_slots_of_its_own(seconds, slots):
    assert slots_of(seconds, GRID) == slots


def test_segments_past_the_end_and_frames_that_never_change_are_said():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    places = np.array([0, 10, 21, 31])
    whole = make_picture(frames, None, places, VideoFacts(1, "h264", 4.0, 32), GRID)
    assert whole.troubles == () and whole.present.all() and whole.slots is None
    assert whole.provenance == {"stream": 1, "codec": "h264", "size": [8, 6], "seconds": 4.0, "slots": 32}
    short = make_picture(frames, None, places, VideoFacts(0, "h264", 2.0, 32), GRID)
    assert short.present.tolist() == [True, True, False, False]
    assert short.troubles == (("short", "2.0 s of video, the grid has 4.0 s"),)
    nearly = frames[:1].repeat(4, 0) // 2 + np.array([0, 1, 2, 0], np.uint8)[:, None, None, None]
    assert make_picture(nearly, None, places, VideoFacts(0, "h264", 4.0, 32), GRID).troubles == (
        ("still", "all frames equal"),
    )
    nearly[3] += 3
    assert make_picture(nearly, None, places, VideoFacts(0, "h264", 4.0, 32), GRID).troubles == ()


def test_slots_of_another_size_say_so():
    frames, slots = np.zeros((4, 6, 8, 3), np.uint8), np.zeros((32, 3, 4, 3), np.uint8)
    picture = make_picture(frames, slots, np.array([0, 10, 21, 31]), VideoFacts(0, "vp9", 4.0, 32), GRID)
    assert picture.provenance["slot_size"] == [4, 3]
