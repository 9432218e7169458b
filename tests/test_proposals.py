"""Event proposals and their matching against a plain reference, one track at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.proposals import THRESHOLDS, Proposals, found_events, proposals_of
from tests.drawn import probable, track
from tests.plain_precision import plain_found, plain_proposals
from tests.plain_scores import runs


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
    monkeypatch.setattr("eval.proposals.BLOCK", 10)
    parts = proposals_of(probs)
    orders = [np.lexsort((p.stop, p.start, p.class_index, p.modality, p.clip)) for p in (whole, parts)]
    for name in ("clip", "modality", "class_index", "start", "stop", "score"):
        assert np.array_equal(getattr(whole, name)[orders[0]], getattr(parts, name)[orders[1]]), name


def test_no_clip_and_no_proposal_are_fine():
    assert proposals_of(np.zeros((0, 10, 2, 3))).score.shape == (0,)
    nothing = proposals_of(np.zeros((3, 10, 2, 3)))
    truth = np.ones((3, 10, 2, 3), dtype=bool)
    assert found_events(nothing, truth, min_ious=(0.5, 0.7)).shape == (0, 2)


def test_wrong_input_is_refused():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    for thresholds in ((), (0.0, 0.5), (1.5,)):
        with pytest.raises(ValueError, match="thresholds must be at least one probability above 0"):
            proposals_of(probs, thresholds=thresholds)
    for min_ious in ((), (0.0,), (1.5,)):
        with pytest.raises(ValueError, match="min_ious must be at least one overlap above 0 and at most 1"):
            found_events(proposals_of(probs), truth, min_ious=min_ious)
    with pytest.raises(ValueError, match=r"valid must be bool \[clips, segments\] \(2, 10\)"):
        proposals_of(probs, valid=np.ones((2, 9), dtype=bool))
    with pytest.raises(ValueError, match="pass logits through a sigmoid"):
        proposals_of(probs * 4)
