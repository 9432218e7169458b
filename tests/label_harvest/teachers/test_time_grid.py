"""Teachers that speak more often than once a segment: by which rule segments get their answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valor.label_harvest.media.clip import Grid
from valor.label_harvest.teachers.time_grid import TimeGrid


def test_the_mean_of_the_answers_in_a_segment():
    answers = np.arange(50, dtype=np.float32)[:, None]
    pooled = TimeGrid(0.04).pool(answers, Grid(num_segments=2))
    np.testing.assert_allclose(pooled[:, 0], [12.0, 37.0], rtol=1e-6)
    assert pooled.dtype == np.float32


def test_an_answer_across_an_edge_is_shared_in_proportion():
    answers = np.array([[0.0], [10.0], [20.0], [30.0], [40.0]])
    pooled = TimeGrid(0.04).pool(answers, Grid(num_segments=2, segment_seconds=0.1, tolerance_seconds=0.1))
    np.testing.assert_allclose(pooled[:, 0], [(0 + 10 + 20 / 2) / 2.5, (20 / 2 + 30 + 40) / 2.5], rtol=1e-6)


def test_the_largest_of_the_answers_whose_centre_lies_in_a_segment():
    grid = Grid(num_segments=2, segment_seconds=0.1, tolerance_seconds=0.1)
    answers = np.array(
        [[1.0], [0.0], [7.0], [2.0], [0.0]]
    )  # the centre of the third is the edge, of the second segment
    assert TimeGrid(0.04, "max").pool(answers, grid)[:, 0].tolist() == [1.0, 7.0]


@given(st.integers(1, 40), st.sampled_from([0.04, 0.05, 0.1, 0.32, 1.0]), st.sampled_from(["mean", "max"]))
def test_a_constant_stays_and_time_is_kept(segments, segment_seconds, pooling):
    grid = Grid(num_segments=segments, segment_seconds=segment_seconds, tolerance_seconds=0.0)
    count = int(np.ceil(grid.seconds / 0.04 - 1e-9))
    time_grid = TimeGrid(0.04, pooling)
    np.testing.assert_allclose(time_grid.pool(np.full((count, 2), 3.0), grid), 3.0, rtol=1e-5)
    chance = np.random.default_rng(segments).normal(size=(count, 1))
    pooled = time_grid.pool(chance, grid)
    assert pooled.shape == (segments, 1) and pooled.min() >= chance.min() - 1e-5 and pooled.max() <= chance.max() + 1e-5
    if pooling == "mean" and abs(count * 0.04 - grid.seconds) < 1e-9:
        np.testing.assert_allclose(pooled.mean(), chance.mean(), atol=1e-5)


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(ValueError, match=r"segments must last 0.04 s or longer, got 0.02 s"):
        TimeGrid(0.04).pool(np.zeros((5, 1)), Grid(segment_seconds=0.02, tolerance_seconds=0.1))
    with pytest.raises(ValueError, match=r"expected answers for 10 s, one every 0.04 s, got 200"):
        TimeGrid(0.04).pool(np.zeros((200, 1)), Grid())
    with pytest.raises(ValueError, match="pooling must be one of mean, max, got 'median'"):
        TimeGrid(0.04, "median")
    with pytest.raises(ValueError, match="must be positive"):
        TimeGrid(0)


def test_a_grid_is_cut_anew():
    fine = Grid().of_segments(0.04)
    assert (fine.num_segments, fine.segment_seconds, fine.seconds) == (250, 0.04, 10.0)
    assert Grid().of_segments(1.0) == Grid() and fine.of_segments(0.04) == fine
    for wrong in (0.3, 0.0, -1.0, 20.0):
        with pytest.raises(ValueError, match="segment_seconds must divide the 10 s of the grid"):
            Grid().of_segments(wrong)
