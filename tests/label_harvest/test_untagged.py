"""Labels without tags: the rule, worked out by hand, and what it does not depend on."""

import numpy as np
import pytest

from valor.label_harvest.untagged import Level, cut_for, level_of, marks_of, untagged_evidence

LOGITS = np.array([[[4.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # [N=2, T=2, C=3]
PLAIN = Level(level=0, spread=1)


def test_the_rule_by_hand() -> None:
    found = untagged_evidence(LOGITS, PLAIN)
    own = [[[3.5, 0.5, -1.5], [-1.0, -1.0, 3.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    best = [[3.5, 0.5, 3.0], [1.0, 1.0, 0.0]]  # of each class in its clip
    assert found.tolist() == ((np.array(own) + np.array(best)[:, None]) / 2).tolist()
    assert cut_for(found, 2 / 12) == 1.25  # above it 3.5 and 3.0
    assert marks_of(found, 1.25).sum() == 2
    assert cut_for(found, 0) == 3.5 and cut_for(found, 1) == -np.inf
    soft = marks_of(found, 1.25, temperature=0.5)
    assert soft[0, 0, 0] == pytest.approx(1 / (1 + np.exp(-4.5)))
    assert ((soft > 1 / 2) == marks_of(found, 1.25)).all()


def test_scale_and_shift_of_a_teacher_change_nothing() -> None:
    other = 3 * LOGITS - 7
    one, same = (untagged_evidence(logits, level_of(logits)) for logits in (LOGITS, other))
    np.testing.assert_allclose(one, same)
    one_class = untagged_evidence(LOGITS[..., :1], PLAIN)
    assert one_class[0].tolist() == [[4.0], [2.0]]  # which has none to compete with


def test_what_lies_behind_the_end_of_a_clip_says_nothing() -> None:
    valid = np.array([[True, False], [True, True]])
    changed = LOGITS.copy()
    changed[0, 1] = 100
    one, same = (untagged_evidence(logits, level_of(logits, valid), valid) for logits in (LOGITS, changed))
    np.testing.assert_array_equal(one[valid], same[valid])
    assert np.isneginf(one[0, 1]).all()
    assert cut_for(one, 1 / 9, valid) == cut_for(same, 1 / 9, valid)


def test_a_teacher_that_says_the_same_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="a teacher must say different things of 4 segments without tags"):
        level_of(np.ones((2, 2, 3)))
