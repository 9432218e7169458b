"""Figures of clips with several labels: by hand on three clips, and what has none."""

import numpy as np
import pytest

from valor.eval.tagging import TAG_FIGURES, tag_figures

TRUTH = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
MARKED = np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0]], bool)
PROBS = np.array([[0.9, 0.2, 0.0], [0.8, 0.0, 0.8], [0.1, 0.7, 0.1]])


def test_figures_are_those_worked_out_by_hand():
    found = tag_figures(MARKED, TRUTH, PROBS)
    assert tuple(found) == TAG_FIGURES
    assert found["F1 clips"] == pytest.approx(100 * (2 / 3 + 2 / 3) / 2)  # the third has no label
    assert found["F1 micro"] == pytest.approx(100 * 2 * 2 / (2 * 2 + 2 + 1))  # its false alarm counts here
    assert found["jaccard"] == pytest.approx(50)
    assert found["hit"] == pytest.approx(50)  # of equal ones the first, which is none of the second clip
    assert found["mAP"] == pytest.approx(100 * (1 + 1 / 2 + 1) / 3)


def test_perfect_and_nothing_and_no_truth():
    assert set(tag_figures(TRUTH, TRUTH, TRUTH.astype(float)).values()) == {100.0}
    nothing = tag_figures(np.zeros_like(TRUTH), TRUTH)
    assert nothing == {"F1 clips": 0, "F1 micro": 0, "jaccard": 0}
    assert tag_figures(MARKED, np.zeros_like(TRUTH), PROBS) == {}
    with pytest.raises(ValueError, match="predicted"):
        tag_figures(MARKED[:2], TRUTH)
