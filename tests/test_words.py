"""Words of bits against the marks they hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.words import num_marked, packed, run_starts, unpacked

TRACKS = st.tuples(st.integers(0, 6), st.sampled_from([1, 7, 8, 9, 16, 17, 33, 63, 64, 65, 130, 200])).flatmap(
    lambda shape: hnp.arrays(np.bool_, shape)
)


@given(TRACKS)
def test_packing_undoes_unpacking(tracks):
    words = packed(tracks)
    assert np.array_equal(unpacked(words, tracks.shape[1]), tracks)
    assert np.array_equal(num_marked(words), tracks.sum(axis=1))


@given(TRACKS)
def test_runs_start_where_a_mark_follows_none_across_the_borders_of_words(tracks):
    starts = tracks.copy()
    starts[:, 1:] &= ~tracks[:, :-1]
    assert np.array_equal(unpacked(run_starts(packed(tracks)), tracks.shape[1]), starts)


@pytest.mark.parametrize(
    ("segments", "words", "bits"),
    [(1, 1, 8), (8, 1, 8), (9, 1, 16), (16, 1, 16), (17, 1, 32), (32, 1, 32), (64, 1, 64), (65, 2, 64)],
)
def test_the_narrowest_words_are_used(segments, words, bits):
    planes = packed(np.zeros((3, segments, 2, 5), dtype=bool))
    assert planes.shape == (words, 3, 2, 5) and planes.dtype.itemsize * 8 == bits
