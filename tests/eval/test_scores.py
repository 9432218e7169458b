"""The ten F-scores: a plain reference, properties, the empty case, and the two predictions that need no parser."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.plain_scores import plain_score
from valor.eval.scores import (
    FIGURES,
    LevelScores,
    Scores,
    TenScores,
    clip_means,
    f_scores,
    nothing_predicted,
    score,
    tags_copied,
)


@st.composite
def pairs(draw):
    """Two arrays bool [N, T, M=2, C] of one shape, from nearly empty to nearly full."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 12), st.just(2), st.integers(1, 4)))
    seed, *densities = draw(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1)))
    rng = np.random.default_rng(seed)
    return tuple(rng.random(shape) < density**2 for density in densities)


def ten(scores):
    return np.array([*astuple(scores.segment), *astuple(scores.event)])


@given(pairs())
def test_the_ten_figures_agree_with_the_plain_reference(arrays):
    scores = score(*arrays)
    per_clip, figures = plain_score(*arrays)
    assert np.abs(scores.per_clip - per_clip).max() < 1e-12
    assert np.abs(ten(scores) - figures).max() < 1e-9


@given(pairs(), st.data())
def test_clips_of_unlike_length_agree_with_the_plain_reference(arrays, data):
    lengths = data.draw(hnp.arrays(np.int64, len(arrays[0]), elements=st.integers(1, arrays[0].shape[1])))
    valid = np.arange(arrays[0].shape[1]) < lengths[:, None]
    arrays = arrays[0], arrays[1] & valid[:, :, None, None]  # no event lies where there is no segment
    assert np.abs(ten(score(*arrays, valid=valid)) - plain_score(*arrays, valid=valid)[1]).max() < 1e-9


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter(arrays, random):
    predicted, truth = arrays
    clips, classes = list(range(truth.shape[0])), list(range(truth.shape[3]))
    random.shuffle(clips)
    random.shuffle(classes)
    shuffled = score(predicted[clips][..., classes], truth[clips][..., classes])
    assert ten(shuffled) == pytest.approx(ten(score(predicted, truth)), abs=1e-9)


@given(pairs())
def test_every_figure_is_symmetric_in_prediction_and_truth(arrays):
    predicted, truth = arrays
    assert ten(score(predicted, truth)) == pytest.approx(ten(score(truth, predicted)), abs=1e-9)


@given(pairs())
def test_a_perfect_prediction_scores_a_hundred_and_no_other_does(arrays):
    predicted, truth = arrays
    assert ten(score(truth, truth)).tolist() == [100.0] * 10
    assert (ten(score(predicted, truth)) <= 100 + 1e-12).all()
    if not np.array_equal(predicted, truth):
        assert score(predicted, truth).segment.event_av < 100


@given(pairs())
def test_classes_that_never_occur_change_nothing(arrays):
    predicted, truth = (np.pad(array, ((0, 0), (0, 0), (0, 0), (0, 3))) for array in arrays)
    assert ten(score(predicted, truth)) == pytest.approx(ten(score(*arrays)), abs=1e-9)


def test_a_clip_without_a_mark_scores_one_and_a_false_alarm_ends_that():
    nothing = np.zeros((2, 10, 2, 25), dtype=bool)
    assert ten(score(nothing, nothing)).tolist() == [100.0] * 10
    false_alarm = nothing.copy()
    false_alarm[0, 3, 0, 7] = True  # in the audio of the first clip
    scores = score(false_alarm, nothing)
    assert scores.segment == scores.event
    assert scores.segment == LevelScores(audio=50, visual=100, audio_visual=100, type_av=250 / 3, event_av=50)


def test_event_av_adds_the_counts_of_audio_and_visual_and_not_their_overlap():
    # audio   predicted ####......  true ####......   hit
    # visual  predicted ..........  true ######....   miss
    predicted, truth = np.zeros((2, 1, 10, 2, 1), dtype=bool)
    predicted[0, :4, 0] = truth[0, :4, 0] = truth[0, :6, 1] = True
    scores = score(predicted, truth)
    assert scores.segment.event_av == pytest.approx(100 * 2 * 4 / (2 * 4 + 6))
    assert scores.event.event_av == pytest.approx(100 * 2 / 3)
    assert (scores.event.audio, scores.event.visual, scores.event.audio_visual) == (100, 0, 0)
    assert scores.event.type_av == pytest.approx(100 / 3)


def test_per_clip_values_average_to_the_figures_and_can_be_resampled():
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((2, 20, 10, 2, 5)) < 0.2
    scores = score(predicted, truth)
    assert scores.per_clip.shape == (20, 2, 4) and scores.clips == 20
    rows = rng.integers(0, 20, 20)
    assert ten(Scores.of_clips(scores.per_clip[rows])) == pytest.approx(ten(score(predicted[rows], truth[rows])))


def test_a_stricter_overlap_never_scores_higher():
    rng = np.random.default_rng(1)
    predicted, truth = rng.random((2, 30, 10, 2, 5)) < 0.6
    events = [ten(score(predicted, truth, min_iou=min_iou)) for min_iou in (0.5, 0.7, 0.9)]
    assert (np.diff(events, axis=0)[:, :5] == 0).all() and (np.diff(events, axis=0)[:, 5:] <= 1e-12).all()


def test_scores_go_to_a_dict_and_back():
    rng = np.random.default_rng(2)
    predicted, truth = rng.random((2, 3, 10, 2, 5)) < 0.3
    scores = score(predicted, truth)
    figures = scores.to_dict()
    assert list(figures) == ["segment", "event", "clips"]
    assert list(figures["segment"]) == list(figures["event"]) == list(FIGURES)
    back = TenScores.from_dict(figures | {"clips_expected": 3})
    assert (back.segment, back.event, back.clips) == (scores.segment, scores.event, 3)


@pytest.mark.parametrize("figures", [{}, {"segment": {}, "event": {}, "clips": 1}, {"segment": 1, "event": 2}])
def test_a_dict_that_is_no_score_is_refused(figures):
    with pytest.raises(ValueError, match="score the predictions again"):
        TenScores.from_dict(figures)


def test_f_is_undefined_where_nothing_is_marked():
    values, present = f_scores(np.array([[0, 0, 0], [1, 1, 1], [0, 2, 0]]))
    assert values.tolist() == [0.0, 0.5, 0.0] and present.tolist() == [False, True, True]
    unmarked = clip_means(np.zeros((10, 4, 3), dtype=np.int64), np.repeat([0, 1], 5), num_clips=2)
    assert unmarked.tolist() == [[1.0] * 4] * 2


def test_blocks_of_clips_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(4)
    predicted, truth = rng.random((2, 25, 10, 2, 5)) < 0.3
    valid = np.arange(10) < rng.integers(1, 11, 25)[:, None]
    truth &= valid[:, :, None, None]
    whole = score(predicted, truth, valid=valid)
    monkeypatch.setattr("valor.eval.scores.BLOCK", 10)
    assert np.array_equal(score(predicted, truth, valid=valid).per_clip, whole.per_clip)
    for pair in ((predicted[:20], truth), (predicted, truth[:20])):  # 20 clips are two whole blocks
        with pytest.raises(ValueError, match="of one shape"):
            score(*pair)
    with pytest.raises(ValueError, match=r"valid must be bool \[clips, segments\] \(25, 10\)"):
        score(predicted, truth, valid=valid[:20])


@pytest.mark.parametrize("shape", [(2, 10, 3, 25), (2, 10, 1, 25)])
def test_the_modality_axis_must_be_audio_and_visual(shape):
    with pytest.raises(ValueError, match=r"2 modalities \('audio', 'visual'\)"):
        score(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))


def test_probabilities_are_refused():
    marks = np.zeros((2, 10, 2, 25), dtype=bool)
    with pytest.raises(ValueError, match="the truth must be True and False, or numbers that are all 0 or 1$"):
        score(marks, np.full(marks.shape, 0.5))
    with pytest.raises(ValueError, match="turn probabilities into decisions"):
        score(np.full((2, 10, 2, 25), 0.5), np.zeros((2, 10, 2, 25), dtype=bool))


def test_no_clips_and_empty_clips_are_refused():
    nothing = np.zeros((0, 10, 2, 25), dtype=bool)
    with pytest.raises(ValueError, match="at least one clip"):
        score(nothing, nothing)
    some = np.zeros((3, 10, 2, 25), dtype=bool)
    valid = np.ones((3, 10), dtype=bool)
    valid[1] = False
    with pytest.raises(ValueError, match="clips without one: 1, first at row 1; leave them out"):
        score(some, some, valid=valid)


def test_tags_stand_in_every_segment_of_both_modalities():
    tags = np.array([[True, False, True], [False, False, False]])
    copied = tags_copied(tags, num_segments=4)
    assert copied.shape == (2, 4, 2, 3)
    assert (copied == tags[:, None, None]).all()


def test_nothing_scores_the_share_of_clips_with_nothing_to_find():
    truth = np.zeros((4, 10, 2, 3), dtype=bool)
    truth[0, 2:5] = truth[1, :, 0] = True  # one clip audible and visible, one only audible, two empty
    figures = score(nothing_predicted(truth), truth).segment
    assert (figures.audio, figures.visual, figures.audio_visual, figures.event_av) == (50, 75, 75, 50)


@pytest.mark.parametrize("tags", [np.zeros((2, 3)), np.zeros((2, 10, 3), dtype=bool)])
def test_tags_of_another_kind_are_refused(tags):
    with pytest.raises(ValueError, match=r"weak_labels must be bool \[clips, classes\]"):
        tags_copied(tags, 10)
