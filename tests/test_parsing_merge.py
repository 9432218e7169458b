import numpy as np
import pytest

from valor.parsing_merge import Merger, window_weights


def filled(value, segments=10):
    return np.full((segments, 2, 3), value, np.float32)


def test_one_window_passes_to_the_bit():
    probs = np.random.default_rng(0).uniform(0, 1, (10, 2, 3)).astype(np.float32)
    merger = Merger(10, (2, 3))
    merger.add(0, probs)
    assert np.array_equal(merger.result(), probs)


def test_windows_fade_into_one_another_without_a_seam():
    merger = Merger(15, (2, 3))
    merger.add(0, filled(0.0))
    merger.add(5, filled(1.0))
    track = merger.result()[:, 0, 0]
    assert track[:5].tolist() == [0] * 5 and track[10:].tolist() == [1] * 5
    assert np.allclose(track[5:10], [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert np.diff(track).max() < 0.17


def test_equal_windows_give_what_they_say():
    merger = Merger(23, (2, 3))
    for start in (0, 5, 10, 13):
        merger.add(start, filled(0.3))
    assert np.abs(merger.result() - np.float32(0.3)).max() < 1e-7


def test_what_is_not_there_weighs_nothing():
    merger = Merger(15, (2, 3))
    gone = filled(0.9)
    gone[5:, 1] = np.nan
    merger.add(0, filled(0.2))
    merger.add(5, gone)
    assert np.isnan(merger.result()[10:, 1]).all()
    assert merger.result()[7, 1] == pytest.approx([(0.2 * 3 + 0.9 * 3) / 6] * 3)


def test_padding_beyond_the_end_is_left_out():
    merger = Merger(3, (2, 3))
    merger.add(0, filled(0.4))
    assert merger.result().shape == (3, 2, 3) and np.allclose(merger.result(), 0.4)


def test_weights_are_symmetric_and_never_zero():
    assert window_weights(1).tolist() == [1.0] and window_weights(5).tolist() == [1, 2, 3, 2, 1]
