"""The index rules on cases small enough to count; the golden set has the large ones."""

import numpy as np
import pytest

from valor.label_harvest.media.clip import audio_segments, frame_indices, resample_by_index


def test_index_rules_of_small_cases():
    assert frame_indices(7, 10).tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6]
    assert frame_indices(5, 1).tolist() == [0]
    assert audio_segments(25, 10)[:3].tolist() == [[0, 2], [2, 4], [5, 7]]  # 2.5 rounds to the even 2
    assert resample_by_index(np.arange(3), 5).tolist() == [0, 0, 1, 2, 2]  # 0.5 -> 0, 1.5 -> 2


def test_empty_inputs_of_the_index_rules_are_refused():
    with pytest.raises(ValueError, match="num_slots must be at least 1, got 0"):
        frame_indices(0, 10)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        audio_segments(9, 10)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        resample_by_index(np.zeros(0), 5)
