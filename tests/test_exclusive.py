"""Audible-only and visible-only scores: drawn clips and the plain reference."""

import numpy as np
import pytest
from hypothesis import given

from eval.exclusive import exclusive_marks, exclusive_scores
from tests.drawn import clip_of, marked
from tests.plain_scores import count_events, count_segments, f_of_clip


def plain_exclusive(predicted, truth, valid):
    """Per-clip values [N][2 levels][2 figures]."""
    values = []
    for index in range(len(truth)):
        only = []
        for marks in (predicted[index], truth[index]):
            if valid is not None:
                marks = marks & valid[index][:, None, None]
            only.append((marks[:, 0] & ~marks[:, 1], marks[:, 1] & ~marks[:, 0]))
        values.append(
            [
                [
                    f_of_clip([count(p.tolist(), t.tolist()) for p, t in zip(only[0][k].T, only[1][k].T, strict=True)])
                    for k in (0, 1)
                ]
                for count in (count_segments, count_events)
            ]
        )
    return np.array(values)


@given(marked())
def test_per_clip_values_agree_with_the_plain_reference(arrays):
    predicted, truth, valid = arrays
    scores = exclusive_scores(predicted, truth, valid=valid)
    plain = plain_exclusive(predicted, truth, valid)
    assert np.abs(scores.per_clip - plain).max() < 1e-12
    figures = scores.to_dict()
    assert figures["segment"]["audible_only"] == pytest.approx(100 * plain[:, 0, 0].mean(), abs=1e-9)
    assert figures["event"]["visible_only"] == pytest.approx(100 * plain[:, 1, 1].mean(), abs=1e-9)
    assert figures["clips"] == len(truth)


@given(marked())
def test_swapping_the_modalities_swaps_the_figures(arrays):
    predicted, truth, valid = arrays
    scores = exclusive_scores(predicted, truth, valid=valid)
    swapped = exclusive_scores(predicted[:, :, ::-1], truth[:, :, ::-1], valid=valid)
    assert np.array_equal(scores.per_clip, swapped.per_clip[:, :, ::-1])


def test_an_event_seen_in_its_middle_is_audible_only_twice():
    marks = clip_of("######", "..##..")
    assert exclusive_marks(marks)[0, :, :, 0].T.astype(int).tolist() == [[1, 1, 0, 0, 1, 1], [0] * 6]
    scores = exclusive_scores(clip_of("##....", "......"), marks)  # finds the first of the two
    assert scores.event.audible_only == pytest.approx(200 / 3) and scores.event.visible_only == 100


def test_copying_sounds_to_the_picture_earns_nothing():
    truth = clip_of("####", "....")
    both = clip_of("####", "####")
    assert exclusive_scores(both, truth).segment.audible_only == 0
    assert exclusive_scores(truth, truth).segment.audible_only == 100


def test_blocks_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(4)
    predicted, truth = rng.random((2, 25, 10, 2, 5)) < 0.3
    whole = exclusive_scores(predicted, truth)
    monkeypatch.setattr("eval.exclusive.BLOCK", 10)
    assert np.array_equal(exclusive_scores(predicted, truth).per_clip, whole.per_clip)


def test_wrong_input_is_refused():
    marks = np.zeros((2, 10, 2, 5), dtype=bool)
    with pytest.raises(ValueError, match="at least one clip"):
        exclusive_scores(marks[:0], marks[:0])
    with pytest.raises(ValueError, match=r"2 modalities \('audio', 'visual'\)"):
        exclusive_scores(marks[:, :, :1], marks[:, :, :1])
    with pytest.raises(ValueError, match="every clip needs a valid segment"):
        exclusive_scores(marks, marks, valid=np.zeros((2, 10), dtype=bool))
