"""The clip above its timeline: frames in their own second, no peak of the sound lost."""

import numpy as np
import pytest

from eval.canvas import Style, stacked_axes
from eval.film import FRAME_HEIGHT, Media, draw_media, envelope, strip_heights

SILENCE = np.zeros(100, dtype=np.float32)


def drawn(media, seconds=10.0, inches=6.0):
    """The axes of the media, laid out above others."""
    style = Style(width=inches + 1)
    figure, (*column, _) = stacked_axes([*strip_heights(media, inches), 0.5], style)
    draw_media(column, media, seconds, inches, style.colours)
    figure.draw_without_rendering()
    return column


def frames(count, height=96, width=128):
    """Frames of one grey level each, so that they can be told apart."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)).copy()


@pytest.mark.parametrize(("count", "seconds"), [(10, 10.0), (5, 10.0), (7, 3.5)])
def test_each_frame_is_drawn_in_its_own_part_of_the_clock(count, seconds):
    (axes,) = drawn(Media(frames=frames(count)), seconds)
    assert len(axes.images) == count and axes.get_xlim() == (0, seconds)
    for index, image in enumerate(axes.images):
        left, right, *_ = image.get_extent()
        assert image.get_array()[0, 0, 0] == index
        assert (left + right) / 2 == pytest.approx((index + 0.5) * seconds / count)
        assert right - left <= seconds / count + 1e-9
    if count == 10:
        assert axes.images[3].get_extent()[:2] == pytest.approx([3, 4])


@pytest.mark.parametrize("inches", [2.0, 6.0, 12.0])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (1, 4), (160, 90)])
def test_frames_keep_their_shape_at_any_width(height, width, inches):
    (axes,) = drawn(Media(frames=frames(4, height, width)), inches=inches)
    left, right, bottom, top = axes.images[0].get_extent()
    (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
    assert (x1 - x0) / (y1 - y0) == pytest.approx(width / height, rel=0.01)
    assert strip_heights(Media(frames=frames(4, height, width)), inches)[0] <= FRAME_HEIGHT


def test_the_envelope_holds_every_peak_of_every_column():
    rng = np.random.default_rng(1)
    waveform = rng.uniform(-0.1, 0.1, 32000).astype(np.float32)
    waveform[[12345, 20000]] = 0.9, -0.8
    low, high = envelope(waveform, 700)
    assert low.shape == high.shape == (700,)
    assert high[12345 * 700 // 32000] == waveform[12345] and low[20000 * 700 // 32000] == waveform[20000]
    assert (high > 0.5).sum() == (low < -0.5).sum() == 1
    short = rng.uniform(-1, 1, 9).astype(np.float32)
    np.testing.assert_array_equal(envelope(short, 700), [short, short])


def test_the_waveform_spans_the_clock_and_its_loudest_sample_is_inside():
    waveform = np.zeros(32000, dtype=np.float32)
    waveform[16000:19200] = 0.5  # seconds 5 to 6 of 10
    waveform[17000] = -0.7
    (axes,) = drawn(Media(waveform=waveform))
    ((path,),) = [collection.get_paths() for collection in axes.collections]
    loud = path.vertices[path.vertices[:, 1] > 0.4]
    assert loud[:, 0].min() == pytest.approx(5, abs=0.02) and loud[:, 0].max() == pytest.approx(6, abs=0.02)
    assert len(path.vertices) < 4000  # not a point for every sample
    low, high = axes.get_ylim()
    assert low == -high and 0.7 < high < 0.8 and axes.get_xlim() == (0, 10)


def test_near_silence_is_not_blown_up():
    (axes,) = drawn(Media(waveform=SILENCE + np.float32(1e-5)))
    assert axes.get_ylim()[1] > 1e-2


def test_what_is_not_there_takes_no_room():
    assert strip_heights(None, 6.0) == strip_heights(Media(), 6.0) == []
    assert len(strip_heights(Media(frames(3), SILENCE), 6.0)) == 2
    draw_media([], None, 10.0, 6.0, Style().colours)


@pytest.mark.parametrize(
    "wrong",
    [frames(3).astype(np.float32), frames(3)[0], frames(3)[..., :1], frames(0), frames(3)[:, :0]],
)
def test_frames_that_are_no_pictures_are_refused(wrong):
    with pytest.raises(ValueError, match=r"frames must be uint8 \[frames, height, width, 3\].* got .*8-bit RGB"):
        Media(frames=wrong)


@pytest.mark.parametrize("wrong", [SILENCE.astype(np.float64), SILENCE[None], SILENCE[:0], np.zeros(5, np.int16)])
def test_waveforms_that_are_no_sound_are_refused(wrong):
    with pytest.raises(ValueError, match=r"waveform must be float32 \[samples\].* got .*average its channels"):
        Media(waveform=wrong)


def test_samples_that_are_no_numbers_are_refused():
    waveform = SILENCE.copy()
    waveform[[7, 9]] = np.nan, np.inf
    with pytest.raises(ValueError, match="waveform must be finite, got 2 samples that are not, the first at 7"):
        Media(waveform=waveform)
