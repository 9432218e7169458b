"""Events with times in seconds -> marked segments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valor.data.segment_grid import ListedEvent, SegmentGrid, predictions_of
from valor.label_harvest.did_you_mean import did_you_mean

CLASSES = ("Dog", "Speech")


def event(onset, offset, name="Dog", clip="a", **more):
    return ListedEvent(clip_id=clip, modality="audio", class_name=name, onset=onset, offset=offset, **more)


def track(*events, **grid):
    marked = predictions_of(events, ["a"], CLASSES, SegmentGrid(**grid)).predicted[0, :, 0, 0]
    return "".join("#" if mark else "." for mark in marked)


def test_events_mark_the_segments_they_cover_and_merge():
    assert track(event(2, 4)) == "..##......"
    assert track(event(2, 4), event(3, 6), event(6, 7), event(2, 4)) == "..#####..."
    assert track(event(0.5, 1.5), segment_seconds=0.5, num_segments=4) == ".##."
    assert track(event(0.3, 0.7), segment_seconds=0.1) == "...####..."  # 0.7 / 0.1 is 6.999...


@pytest.mark.parametrize(
    ("times", "nearest", "cover"),
    [
        ((1.2, 3.4), ".##.......", ".###......"),
        ((1.5, 3.5), ".###......", ".###......"),  # half of a segment is enough
        ((1.6, 3.4), "..#.......", ".###......"),
        ((4.3, 4.7), "..........", "....#....."),  # less than half of any
        ((8.9, 10.4), ".........#", "........##"),  # cut at the end of the clip
        ((3.0, 5.0), "...##.....", "...##....."),
    ],
)
def test_times_between_borders_are_refused_or_rounded_as_asked(times, nearest, cover):
    assert track(event(*times), rounding="nearest") == nearest
    assert track(event(*times), rounding="cover") == cover
    if times != (3.0, 5.0):
        with pytest.raises(
            ValueError, match=r"1 events do not lie on the grid of 10 segments of 1 s: p.tsv:3: .*round"
        ):
            track(event(*times, where="p.tsv:3"))


@given(st.floats(0, 9.9), st.floats(0.05, 10))
def test_nearest_marks_what_is_covered_by_half_and_cover_what_is_touched(onset, length):
    offset = onset + length
    covered = np.clip(np.minimum(offset, np.arange(1, 11)) - np.maximum(onset, np.arange(10)), 0, 1)
    sure = np.abs(covered - 0.5) > 1e-5
    nearest = np.array(list(track(event(onset, offset), rounding="nearest"))) == "#"
    assert np.array_equal(nearest[sure], covered[sure] > 0.5)
    cover = np.array(list(track(event(onset, offset), rounding="cover"))) == "#"
    sure = (covered == 0) | (covered > 1e-5)
    assert np.array_equal(cover[sure], covered[sure] > 0)


def test_rounding_is_recorded_only_if_it_moved_something():
    for events, rounding, recorded in (
        ([event(1, 2)], "nearest", None),
        ([event(1, 2.2)], "nearest", "nearest"),
        ([event(1, 2.2)], "cover", "cover"),
        ([event(8, 11)], "cover", "cover"),
    ):
        assert predictions_of(events, ["a"], CLASSES, SegmentGrid(rounding=rounding)).rounding == recorded


def test_scores_become_the_highest_of_each_segment():
    events = [event(0, 3, score=0.25), event(2, 4, score=0.75), event(2, 3, "Speech", score=0.0)]
    probs = predictions_of(events, ["a"], CLASSES, SegmentGrid(num_segments=5), use_scores=True).segment_probs
    assert probs[0, :, 0, 0].tolist() == [0.25, 0.25, 0.75, 0.75, 0]
    assert not probs[0, :, 1].any() and not probs[0, :, 0, 1].any()
    with pytest.raises(ValueError, match=r"p.json: every event needs a score to be used as a probability"):
        predictions_of([event(0, 1, where="p.json")], ["a"], CLASSES, SegmentGrid(), use_scores=True)


def test_unknown_names_are_listed_with_their_place_and_what_was_meant():
    with pytest.raises(ValueError, match=r"class of an event must be one of Dog, Speech, got 1 unknown: p:7: 'Speach' "
                                         r"\(did you mean Speech\?\)"):  # fmt: skip
        predictions_of([event(0, 1, "Speach", where="p:7"), event(2, 3, "Speach")], ["a"], CLASSES, SegmentGrid())
    with pytest.raises(
        ValueError, match="clip of an event must be listed among the clips that were parsed, got 7 unknown"
    ):
        predictions_of([event(0, 1, clip=f"b{n}") for n in range(7)], ["a"], CLASSES, SegmentGrid())
    assert did_you_mean("Xylophone", CLASSES) == ""


@pytest.mark.parametrize("times", [(1, 1), (3, 2), (-1, 2), (0, float("inf")), (float("nan"), 1), (0, float("nan"))])
def test_events_that_last_no_time_are_refused(times):
    with pytest.raises(ValueError, match="p:1: an event needs 0 <= onset < offset in seconds"):
        event(*times, where="p:1")


@pytest.mark.parametrize("score", [1.01, -0.1, float("nan")])
def test_scores_outside_the_range_are_refused(score):
    with pytest.raises(ValueError, match="p:1: a score must lie in 0..1"):
        event(0, 1, score=score, where="p:1")


def test_grids_that_are_none_are_refused():
    for grid in ({"num_segments": 0}, {"segment_seconds": 0}, {"segment_seconds": float("inf")}):
        with pytest.raises(ValueError, match="a grid needs at least one segment and a positive length"):
            SegmentGrid(**grid)
    with pytest.raises(ValueError, match="rounding must be one of exact, nearest, cover, got 'floor'"):
        SegmentGrid(rounding="floor")
