"""Named rules for proposals; runs scored by contrast are tried beside average precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.drawn import probable
from tests.helpers.plain_scores import runs
from valor.eval.proposals import CUTS, SCORES, ProposalRule, proposals_of


def listed(found):
    columns = (found.clip, found.modality, found.class_index, found.start, found.stop)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def plain_watershed(marks, shares):
    """(start, stop) of every run, grown over the next ones while enough of it is marked."""
    found, of_track = set(), runs(marks)
    for share in shares:
        for n, (start, stop) in enumerate(of_track):
            for _, end in of_track[n + 1 :]:
                if sum(marks[start:end]) < share * (end - start) - 1e-9:
                    break
                stop = end
            found.add((start, stop))
    return found


@settings(max_examples=50)
@given(probable(longest=12), st.sampled_from([(0.5,), (0.3, 0.6)]), st.sampled_from([(1.0,), (0.5, 0.8)]))
def test_watershed_agrees_with_the_plain_reference(arrays, thresholds, shares):
    probs, _, valid = arrays
    rule = ProposalRule(cut="watershed", thresholds=thresholds, shares=shares)
    found = listed(proposals_of(probs, rule, valid=valid))
    lasts = np.ones(probs.shape[:2], bool) if valid is None else valid
    plain = []
    for clip, modality, name in np.ndindex(probs.shape[0], *probs.shape[2:]):
        track, spans = np.where(lasts[clip], probs[clip, :, modality, name], 0), set()
        for threshold in thresholds:
            spans |= plain_watershed([bool(p >= threshold) for p in track], shares)
        plain += [(clip, modality, name, *span) for span in spans]
    assert sorted(found) == sorted(plain)


@settings(max_examples=30)
@given(probable(longest=8), st.sampled_from(sorted(CUTS)))
def test_scores_are_of_the_segments_they_cover(arrays, cut):
    probs, _, valid = arrays
    found = {score: proposals_of(probs, ProposalRule(cut=cut, score=score), valid=valid) for score in SCORES}
    lasts = np.ones(probs.shape[:2], bool) if valid is None else valid
    rows = listed(found["mean"])
    for n, (clip, modality, name, start, stop) in enumerate(rows):
        inside = np.where(lasts[clip], probs[clip, :, modality, name], 0)[start:stop].astype(float)
        assert found["mean"].score[n] == pytest.approx(inside.mean(), abs=1e-8)
        assert found["peak"].score[n] == pytest.approx(inside.max(), abs=1e-8)
        assert found["contrast"].score[n] <= found["mean"].score[n] + 1e-8
    assert all(listed(one) == rows for one in found.values())


def test_watershed_bridges_a_dip():
    probs = np.array([0.8, 0.8, 0.8, 0.1, 0.8, 0.0, 0.0, 0.0, 0.8]).reshape(1, 9, 1, 1)
    rule = ProposalRule(cut="watershed", thresholds=(0.5,), shares=(1.0, 0.8))
    assert {row[3:] for row in listed(proposals_of(probs, rule))} == {(0, 3), (0, 5), (4, 5), (8, 9)}
    assert (0, 5) not in {row[3:] for row in listed(proposals_of(probs, ProposalRule(thresholds=(0.5,))))}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cut": "lines"}, "cut must be one of runs, watershed, got 'lines'"),
        ({"score": "luck"}, "score must be one of contrast, mean, peak, got 'luck'"),
        ({"shares": (0.0,)}, "shares must be at least one probability above 0"),
    ],
)
def test_rules_nobody_knows_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        ProposalRule(**options)
