"""Average precision of segments and events, and proposals and their matching, against plain references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import probable, shuffled, track
from tests.helpers.plain_precision import plain_average_precision, plain_found, plain_proposals
from tests.helpers.plain_scores import runs
from valor.eval.average_precision import (
    MIN_IOUS,
    event_precision,
    found_events,
    precision_of_proposals,
    segment_precision,
)
from valor.eval.counts import with_audio_visual
from valor.eval.decide import probs_with_audio_visual
from valor.eval.proposals import THRESHOLDS, ProposalRule, Proposals, proposals_of


def lasting(truth, valid):
    return np.ones(truth.shape[:2], dtype=bool) if valid is None else valid


@given(probable())
def test_segment_precision_agrees_with_the_plain_reference(arrays):
    probs, truth, valid = arrays
    kept = lasting(truth, valid)
    table = segment_precision(probs, truth, valid=valid)
    for modality, name in np.ndindex(*truth.shape[2:]):
        chosen = probs[:, :, modality, name][kept].tolist(), truth[:, :, modality, name][kept].tolist()
        plain = plain_average_precision(list(zip(*chosen, strict=True)), sum(chosen[1]), envelope=False)
        assert table.per_class[modality, name] == pytest.approx(plain, abs=1e-12, nan_ok=True)


@given(probable(longest=8), st.sampled_from([(0.5,), (0.1, 0.4, 0.9)]))
def test_event_precision_agrees_with_the_plain_reference(arrays, min_ious):
    probs, truth, valid = arrays
    probs = np.round(probs.astype(np.float64) * 8) / 8  # sums are exact, so equal scores are equal in both
    kept = lasting(truth, valid)
    marks = truth & kept[:, :, None, None]
    table = event_precision(probs, truth, valid=valid, min_ious=min_ious)
    for modality, name in np.ndindex(*truth.shape[2:]):
        for kind, min_iou in enumerate(min_ious):
            entries, num_true = [], 0
            for clip in range(len(truth)):
                true = runs(marks[clip, :, modality, name].tolist())
                found = plain_proposals(probs[clip, :, modality, name].tolist(), kept[clip].tolist(), THRESHOLDS)
                found = [(start, stop, round(score, 9)) for start, stop, score in found]
                num_true += len(true)
                entries += zip([row[2] for row in found], plain_found(found, true, min_iou), strict=True)
            plain = plain_average_precision(entries, num_true, envelope=True)
            assert table.per_class[kind, modality, name] == pytest.approx(plain, abs=1e-9, nan_ok=True)


@given(probable(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter(arrays, random):
    mixed, classes = shuffled(random, arrays)
    for measure in (segment_precision, event_precision):
        whole, other = (measure(*each[:2], valid=each[2]).per_class for each in (arrays, mixed))
        assert whole[..., classes] == pytest.approx(other, abs=1e-12, nan_ok=True)


@given(probable())
def test_probabilities_that_rank_the_truth_first_score_one(arrays):
    _, truth, valid = arrays
    for measure in (segment_precision, event_precision):
        found = measure(truth.astype(float), truth, valid=valid).per_class
        assert np.isnan(found[~np.isclose(found, 1)]).all()


@given(probable())
def test_only_the_ranking_of_segments_counts(arrays):
    probs, truth, valid = arrays
    squeezed = np.float64(probs) ** 3 / 2
    whole, other = (segment_precision(each, truth, valid=valid).per_class for each in (np.float64(probs), squeezed))
    assert np.array_equal(whole, other, equal_nan=True)


def test_equal_scores_enter_together_whatever_their_order():
    truth = np.array([True, False, True, False]).reshape(1, 4, 1, 1)
    same = np.full(truth.shape, 0.5)
    assert (
        segment_precision(same, truth).mean.tolist() == segment_precision(same, truth[:, ::-1]).mean.tolist() == [0.5]
    )


def test_a_class_without_truth_has_no_precision_and_no_part_in_the_mean():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    truth[0, :, 0, 0] = True
    for table in (segment_precision(probs, truth), event_precision(probs, truth)):
        assert np.isnan(table.per_class[..., 1:]).all() and np.isnan(np.atleast_2d(table.mean)[0, 1])
        assert not np.isnan(np.atleast_2d(table.mean)[0, 0])


def test_event_precision_falls_with_the_overlap_and_averages_over_it():
    rng = np.random.default_rng(0)
    truth = rng.random((30, 10, 2, 4)) < 0.3
    probs = np.clip(0.5 * truth + 0.5 * rng.random(truth.shape), 0, 1)
    table = event_precision(probs_with_audio_visual(probs), with_audio_visual(truth))
    assert table.min_ious == MIN_IOUS and table.mean.shape == (9, 3)
    assert (np.diff(table.mean, axis=0) <= 1e-12).all()
    assert table.average == pytest.approx(table.mean.mean(axis=0))
    assert 0.3 < table.average.min() < 1


def test_a_false_alarm_that_ranks_above_costs_and_one_that_ranks_below_does_not():
    truth = np.zeros((2, 6, 1, 1), dtype=bool)
    truth[0, :3] = True
    probs = np.where(truth, 0.8, 0.0)
    probs[1, :2] = 0.3
    assert event_precision(probs, truth).mean.min() == 1
    probs[1, :2] = 0.95
    assert event_precision(probs, truth).mean.max() == 0.5


def test_proposals_from_elsewhere_can_be_scored():
    truth = np.zeros((2, 6, 1, 1), dtype=bool)
    truth[:, :3] = True
    proposals = proposals_of(np.where(truth, 0.7, 0.0))
    assert precision_of_proposals(proposals, truth, min_ious=(0.5,)).mean.tolist() == [[1.0]]


def test_nothing_predicted_and_no_clip():
    truth = np.ones((2, 6, 1, 1), dtype=bool)
    assert event_precision(np.zeros(truth.shape), truth).mean.tolist() == [[0.0]] * 9
    assert np.isnan(segment_precision(np.zeros((0, 6, 1, 1)), truth[:0]).mean).all()


def test_wrong_input_is_refused():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    for measure in (segment_precision, event_precision):
        with pytest.raises(ValueError, match="segment_probs and truth must both be"):
            measure(probs, truth[:1])
        with pytest.raises(ValueError, match="pass logits through a sigmoid"):
            measure(probs + 1, truth)
        with pytest.raises(ValueError, match="valid must be bool"):
            measure(probs, truth, valid=np.ones((2, 9), dtype=bool))


def by_track(proposals, columns):
    """{(clip, modality, class): sorted rows}."""
    rows = {}
    places = zip(proposals.clip.tolist(), proposals.modality.tolist(), proposals.class_index.tolist(), strict=True)
    for place, row in zip(places, zip(*columns, strict=True), strict=True):
        rows.setdefault(place, []).append(row)
    return {place: sorted(found) for place, found in rows.items()}


def one_track(line, proposals):
    """Truth bool [1, T, 1, 1] and proposals [(start, stop, score)] of it."""
    columns = [np.array(column) for column in zip(*proposals, strict=True)]
    zeros = np.zeros(len(proposals), dtype=np.int64)
    return track(line)[None, :, None, None], Proposals(zeros, zeros, zeros, *columns)


@given(probable())
def test_proposals_agree_with_the_plain_reference(arrays):
    probs, truth, valid = arrays
    proposals = proposals_of(probs, valid=valid)
    columns = [column.tolist() for column in (proposals.start, proposals.stop, proposals.score)]
    ours = by_track(proposals, columns)
    lasts = np.ones(truth.shape[:2], dtype=bool) if valid is None else valid
    for clip, modality, name in np.ndindex(truth.shape[0], *truth.shape[2:]):
        thresholds = [probs.dtype.type(threshold) for threshold in THRESHOLDS]
        plain = plain_proposals(list(probs[clip, :, modality, name]), lasts[clip].tolist(), thresholds)
        found = ours.get((clip, modality, name), [])
        assert [row[:2] for row in found] == [row[:2] for row in plain]
        assert [row[2] for row in found] == pytest.approx([row[2] for row in plain], abs=1e-6)


@given(probable(), st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0]))
def test_matching_agrees_with_the_plain_reference(arrays, min_iou):
    probs, truth, valid = arrays
    proposals = proposals_of(probs, valid=valid)
    found = found_events(proposals, truth, min_ious=(min_iou,), valid=valid)[:, 0]
    columns = [column.tolist() for column in (proposals.start, proposals.stop, proposals.score, found)]
    marks = truth if valid is None else truth & valid[:, :, None, None]
    for (clip, modality, name), rows in by_track(proposals, columns).items():
        plain = plain_found([row[:3] for row in rows], runs(marks[clip, :, modality, name].tolist()), min_iou)
        assert [row[3] for row in rows] == plain


@given(probable())
def test_no_event_is_found_twice_and_a_stricter_overlap_finds_no_more(arrays):
    probs, truth, valid = arrays
    marks = truth if valid is None else truth & valid[:, :, None, None]
    found = found_events(proposals_of(probs, valid=valid), truth, min_ious=(0.1, 0.5, 0.9), valid=valid)
    onsets = marks.copy()
    onsets[:, 1:] &= ~marks[:, :-1]
    assert found.sum(axis=0).max(initial=0) <= onsets.sum()
    assert found[:, 1].sum() >= found[:, 2].sum()


def test_the_surest_chooses_first_and_takes_what_it_overlaps_most():
    truth, proposals = one_track("##..####..", [(0, 8, 0.9), (4, 8, 0.8), (0, 2, 0.7), (0, 1, 0.1)])
    found = found_events(proposals, truth, min_ious=(0.1, 0.5, 0.6))
    assert found[:, 0].tolist() == [True, False, True, False]  # the widest takes the longer one
    assert found[:, 1].tolist() == [True, False, True, False]  # 4 of 8 is exactly half
    assert found[:, 2].tolist() == [False, True, True, False]


def test_a_second_choice_is_taken_when_the_first_is_gone():
    truth, proposals = one_track("###.##", [(0, 3, 0.9), (0, 6, 0.8)])
    assert found_events(proposals, truth, min_ious=(0.3,))[:, 0].tolist() == [True, True]


def test_of_equal_scores_the_earlier_one_and_then_the_longer_one_chooses_first():
    truth, proposals = one_track(".####.", [(2, 5, 0.5), (1, 4, 0.5), (1, 5, 0.5)])
    assert found_events(proposals, truth, min_ious=(0.5,))[:, 0].tolist() == [False, False, True]


def test_contrast_puts_the_run_with_clear_borders_first():
    probs = np.array([0.1, 0.1, 0.7, 0.95, 0.7, 0.1, 0.1]).reshape(1, 7, 1, 1)
    proposals = proposals_of(probs)
    first = np.argmax(proposals.score)
    assert (proposals.start[first], proposals.stop[first]) == (2, 5)


def test_blocks_join_without_a_seam(monkeypatch):
    probs = np.random.default_rng(0).random((25, 10, 2, 3))
    whole = proposals_of(probs)
    monkeypatch.setattr("valor.eval.proposals.BLOCK", 10)
    parts = proposals_of(probs)
    orders = [np.lexsort((p.stop, p.start, p.class_index, p.modality, p.clip)) for p in (whole, parts)]
    for name in ("clip", "modality", "class_index", "start", "stop", "score"):
        assert np.array_equal(getattr(whole, name)[orders[0]], getattr(parts, name)[orders[1]]), name


def test_no_clip_and_no_proposal_are_fine():
    assert proposals_of(np.zeros((0, 10, 2, 3))).score.shape == (0,)
    nothing = proposals_of(np.zeros((3, 10, 2, 3)))
    truth = np.ones((3, 10, 2, 3), dtype=bool)
    assert found_events(nothing, truth, min_ious=(0.5, 0.7)).shape == (0, 2)


def test_wrong_input_is_refused_proposals():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    for thresholds in ((), (0.0, 0.5), (1.5,)):
        with pytest.raises(ValueError, match="thresholds must be at least one probability above 0"):
            proposals_of(probs, ProposalRule(thresholds=thresholds))
    for min_ious in ((), (0.0,), (1.5,)):
        with pytest.raises(ValueError, match="min_ious must be at least one overlap above 0 and at most 1"):
            found_events(proposals_of(probs), truth, min_ious=min_ious)
    with pytest.raises(ValueError, match=r"valid must be bool \[clips, segments\] \(2, 10\)"):
        proposals_of(probs, valid=np.ones((2, 9), dtype=bool))
    with pytest.raises(ValueError, match="pass logits through a sigmoid"):
        proposals_of(probs * 4)
