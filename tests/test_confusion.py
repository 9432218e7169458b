"""Confusion between classes against a count one segment at a time."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.confusion import confusion
from eval.counts import segment_counts
from tests.drawn import marked, shuffled


def plain_confusion(predicted, truth, valid):
    """Exact shares [M][C][C + 1]."""
    clips, segments, modalities, classes = truth.shape
    matrix = [[[Fraction(0)] * (classes + 1) for _ in range(classes)] for _ in range(modalities)]
    for clip, segment, modality in np.ndindex(clips, segments, modalities):
        if valid is not None and not valid[clip, segment]:
            continue
        ours, true = predicted[clip, segment, modality], truth[clip, segment, modality]
        false = [name for name in range(classes) if ours[name] and not true[name]]
        for name in range(classes):
            if true[name] and ours[name]:
                matrix[modality][name][name] += 1
            elif true[name]:
                for other in false or [classes]:
                    matrix[modality][name][other] += Fraction(1, max(len(false), 1))
    return np.array(matrix, dtype=float)


@given(st.integers(1, 3).flatmap(lambda modalities: marked(modalities)))
def test_every_cell_agrees_with_the_plain_reference(arrays):
    predicted, truth, valid = arrays
    matrix = confusion(predicted, truth, valid=valid)
    assert np.abs(matrix - plain_confusion(predicted, truth, valid)).max() < 1e-9
    counts = segment_counts(predicted, truth, valid=valid).sum(axis=0)
    assert matrix.sum(axis=2) == pytest.approx(counts[..., 0] + counts[..., 2])  # every true segment once


@given(marked(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter(arrays, random):
    mixed, classes = shuffled(random, arrays)
    matrix = confusion(*arrays[:2], valid=arrays[2])[:, classes][:, :, [*classes, len(classes)]]
    assert confusion(*mixed[:2], valid=mixed[2]) == pytest.approx(matrix)


def test_a_miss_is_shared_by_the_classes_falsely_marked_there():
    predicted, truth = np.zeros((2, 1, 2, 1, 4), dtype=bool)
    truth[0, :, 0, [0, 1]] = True
    predicted[0, 0, 0, [1, 2, 3]] = True  # class 0 missed, 2 and 3 false; in the second segment both missed, none false
    assert confusion(predicted, truth)[0].tolist() == [
        [0, 0, 0.5, 0.5, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_wrong_input_is_refused():
    marks = np.zeros((1, 2, 2, 3), dtype=bool)
    with pytest.raises(ValueError, match="of one shape"):
        confusion(marks, marks[..., :2])
    with pytest.raises(ValueError, match="valid must be bool"):
        confusion(marks, marks, valid=np.ones((2, 2), dtype=bool))
