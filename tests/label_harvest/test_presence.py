"""Presence before timing: what decides that a tag is there, what places it, and what is refused."""

import itertools

import numpy as np
import pytest

from valor.label_harvest.presence import (
    PresenceOptions,
    absent_seconds,
    clip_evidence,
    competed,
    estimated_shares,
    least_costly,
    matched_cuts,
    placed,
    presence,
    present,
)

CLIPS, SECONDS, CLASSES = 200, 10, 5
SHARES = (0.9, 0.6)


@pytest.fixture(scope="module")
def world():
    """Logits of teachers whose classes have levels of their own, tags, and what is there in truth."""
    rng = np.random.default_rng(0)
    tags = np.repeat((rng.random((CLIPS, CLASSES)) < 0.3)[:, None], 2, axis=1)
    there = tags & (rng.random(tags.shape) < np.array(SHARES)[:, None])
    start, stop = rng.integers(0, 4, there.shape), rng.integers(5, 11, there.shape)
    second = np.arange(SECONDS)[:, None, None]
    truth = there[:, None] & (second >= start[:, None]) & (second < stop[:, None])  # [N, T, M, C]
    level = np.array([[-6.0, -1, 0, 3, 9], [4, -2, -8, 1, 0]])
    logits = level + rng.standard_normal(truth.shape) + 5 * truth
    return logits.astype(np.float32), tags, truth


def test_no_level_of_a_class_matters_and_no_threshold_is_given(world):
    logits, tags, truth = world
    said = presence(logits, tags, PresenceOptions(shares=SHARES))
    found = said.marked.any(axis=1)
    assert (found == truth.any(axis=1))[tags].mean() > 0.97
    assert (said.marked == truth)[np.repeat(tags[:, None], SECONDS, axis=1)].mean() > 0.95
    assert not (said.marked & ~tags[:, None]).any()
    moved = presence(logits + np.arange(CLASSES, dtype=np.float32) * 8, tags, PresenceOptions(shares=SHARES))
    assert (moved.marked == said.marked).mean() > 0.999  # up to rounding


def test_shares_are_estimated_from_clips_without_the_tag(world):
    logits, tags, truth = world
    evidence = clip_evidence(logits, PresenceOptions())
    found, true = estimated_shares(evidence, tags), truth.any(axis=1)
    for m in range(2):
        assert found[m] == pytest.approx(true[:, m][tags[:, m]].mean(), abs=0.08)
    cuts = matched_cuts(evidence, tags, (0.95, 0.75))
    passed = present(evidence, tags, cuts, lose_tags=True)
    assert [passed[:, m][tags[:, m]].mean() for m in range(2)] == pytest.approx([0.95, 0.75], abs=0.03)
    beyond = present(evidence, tags, matched_cuts(evidence, tags, (0.1, 0.1)), lose_tags=True)
    for m, c in np.ndindex(2, CLASSES):  # what speaks more than any clip without the tag stays
        sure = tags[:, m, c] & (evidence[:, m, c] > evidence[~tags[:, m, c], m, c].max())
        assert beyond[sure, m, c].all()


def test_no_tag_is_lost_unless_asked(world):
    logits, tags, _ = world
    few = PresenceOptions(shares=(0.05, 0.05))
    kept = presence(logits, tags, few).marked.any(axis=1)
    assert (kept.any(axis=1) == tags.any(axis=1)).all()
    lost = presence(logits, tags, PresenceOptions(shares=(0.05, 0.05), lose_tags=True)).marked.any(axis=1)
    assert (lost <= kept).all() and lost.any(axis=1).sum() < tags.any(axis=1).sum()


def test_rivals_among_the_tags_share_their_evidence_and_no_other_class_takes_any():
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((80, SECONDS, 1, 3)).astype(np.float32)
    logits[..., 1] = logits[..., 0] + 0.1 * logits[..., 1]  # looks like class 0 whenever that is there
    tags = np.zeros((80, 1, 3), bool)
    tags[:40:2, :, 0], tags[:40:3, :, 1], tags[:40:5, :, 2] = True, True, True
    found = competed(logits, tags, PresenceOptions(competition=0.5))
    both = tags[:, 0, 0] & tags[:, 0, 1]
    above = logits[both][..., 0] > absent_seconds(logits[:, :, 0], tags[:, 0])[0][0]
    assert (found[both][..., 1] < logits[both][..., 1])[above].mean() > 0.95
    alone = (tags[:, 0].sum(axis=1) < 2)[:, None] & tags[:, 0]  # also against itself
    np.testing.assert_array_equal(found[:, :, 0].swapaxes(1, 2)[alone], logits[:, :, 0].swapaxes(1, 2)[alone])
    np.testing.assert_array_equal(competed(logits, tags, PresenceOptions(competition=0.0)), logits)
    less = competed(logits, tags, PresenceOptions(competition=0.0, decoys=0.5))
    assert (less <= logits).all() and (less < logits).any()


def test_on_and_off_cost_least_of_all_ways():
    gain = np.random.default_rng(2).standard_normal((1, 7, 4))
    found = least_costly(gain, 0.8)[0]
    for c in range(4):
        ways = np.array(list(itertools.product((False, True), repeat=7)))
        worth = ways @ gain[0, :, c] - 0.8 * (ways[:, 1:] != ways[:, :-1]).sum(axis=1)
        np.testing.assert_array_equal(found[:, c], ways[np.argmax(worth)])


def test_what_is_there_has_a_second_and_what_is_short_has_its_longest(world):
    logits, tags, truth = world
    there = np.repeat(tags.any(axis=1, keepdims=True), 2, axis=1)
    marked = placed(logits, tags, there, PresenceOptions(least_seconds=4))
    assert (marked.any(axis=1) == there).all()
    for n, m, c in np.argwhere(there)[:60]:
        steps = np.flatnonzero(np.diff(np.pad(marked[n, :, m, c].astype(int), 1)))
        lengths = np.diff(steps)[::2]
        assert (lengths >= 4).all() or len(lengths) >= 1 and len(set(lengths)) == 1
    assert truth.any()


def test_clips_of_any_length_have_nothing_behind_their_end_and_take_nothing_from_it(world):
    logits, tags, _ = world
    options = PresenceOptions(shares=SHARES)
    padded = np.concatenate([logits, np.full_like(logits[:, :5], np.nan)], axis=1)
    whole = presence(logits, tags, options).marked
    np.testing.assert_array_equal(presence(padded, tags, options).marked[:, :SECONDS], whole)
    short = logits.copy()
    short[3, 4:] = np.nan
    assert not presence(short, tags, options).marked[3, 4:].any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shares": (1.0, 0.5)}, "shares must be two above 0 and below 1"),
        ({"shares": (0.5,)}, "shares must be two"),
        ({"competition": 1.5}, r"competition must be in 0\.\.1, got 1\.5"),
        ({"change": -1.0}, r"change must not be negative, got -1\.0"),
        ({"least_seconds": 0}, "least_seconds must be at least 1, got 0"),
    ],
)
def test_what_is_no_rule_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        PresenceOptions(**options)


def test_a_tag_of_every_clip_leaves_nothing_to_compare_with(world):
    logits, tags, _ = world
    with pytest.raises(ValueError, match="class 1 is a tag of all 200 clips"):
        presence(logits, tags | (np.arange(CLASSES) == 1), PresenceOptions())
