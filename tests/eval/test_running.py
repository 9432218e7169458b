"""Scores gathered batch by batch are those of all clips at once, to the bit, whoever gathered them."""

import pickle
import time
from threading import Thread

import numpy as np
import pytest

from valor.eval.decide import PostProcessing, decide, named_rule
from valor.eval.running import RunningScores
from valor.eval.scores import score

RNG = np.random.default_rng(7)
TRUTH = RNG.random((41, 10, 2, 5)) < 0.3
PREDICTED = TRUTH ^ (RNG.random(TRUTH.shape) < 0.15)
CLIPS = [f"clip{number}" for number in range(len(TRUTH))]
GATE = np.ones((41, 5))
BATCHES = [range(0, 7), range(7, 8), range(8, 30), range(30, 41)]


def gathered(batches, *, named=True, **options) -> RunningScores:
    running = RunningScores(**options)
    for rows in map(list, batches):
        running.update(PREDICTED[rows], TRUTH[rows], clip_ids=[CLIPS[row] for row in rows] if named else None)
    return running


def same(one, other) -> bool:
    return one == other and np.array_equal(one.per_clip, other.per_clip)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("min_iou", [0.5, 0.9])
def test_batches_are_the_whole(named, min_iou):
    whole = score(PREDICTED, TRUTH, min_iou=min_iou)
    assert same(gathered(BATCHES, named=named, min_iou=min_iou).compute(), whole)
    assert score(PREDICTED, TRUTH).event != score(PREDICTED, TRUTH, min_iou=0.9).event


def test_floats_of_zero_and_one_are_marks_and_others_need_a_threshold():
    whole = score(PREDICTED, TRUTH)
    running = RunningScores()
    running.update(PREDICTED.astype(np.float32), TRUTH.astype(float))
    assert same(running.compute(), whole)
    probs = np.where(PREDICTED, 0.4, 0.39)
    with pytest.raises(ValueError, match=r"give update clip_probs .*, or RunningScores threshold=0\.5"):
        running.update(probs, TRUTH)
    running = RunningScores(threshold=0.4)
    running.update(probs[:20], TRUTH[:20])
    other = RunningScores(threshold=0.4)
    other.update(PREDICTED[20:], TRUTH[20:])
    running.merge(other.state)
    assert same(running.compute(), whole) and repr(running) == "RunningScores of 41 clips, threshold 0.4"
    with pytest.raises(ValueError, match=r"threshold must be 0\.4 as here, got None"):
        running.merge(gathered(BATCHES, named=False))
    with pytest.raises(ValueError, match=r"predicted must be probabilities in 0\.\.1, got 3"):
        running.update(np.where(PREDICTED, 3.0, -3.0), TRUTH)
    with pytest.raises(ValueError, match=r"threshold must be in 0\.\.1, got 3"):
        RunningScores(threshold=3)


def test_processes_that_repeat_clips_give_the_whole():
    """Two processes that take turns, the shorter one padded with the first clip, as torch's sampler does."""
    first, second = gathered([range(0, 41, 2)]), gathered([[*range(1, 41, 2), 0]])
    first.merge(pickle.loads(pickle.dumps(second.state)))
    assert len(first) == 41
    assert same(first.compute(CLIPS), score(PREDICTED, TRUTH))


def test_what_another_thread_adds_during_a_merge_is_not_lost():
    clips = np.ones((2, 10, 2, 3), bool)
    running, other = RunningScores(), RunningScores()
    other.update(clips, clips, clip_ids=["c", "d"])
    beside = Thread(target=running.update, args=(clips, clips), kwargs={"clip_ids": ["a", "b"]})

    class Slow(dict):
        def __getitem__(self, name):
            if not beside.ident:
                beside.start()
                time.sleep(0.2)
            return super().__getitem__(name)

    running.merge(Slow(other.state))
    beside.join()
    assert running.compute("abcd").segment.type_av == 100.0


def test_merging_without_names_keeps_the_order():
    parts = [gathered([rows], named=False) for rows in BATCHES]
    whole = RunningScores()
    whole.merge(*parts, RunningScores())
    assert same(whole.compute(), score(PREDICTED, TRUTH)) and len(parts[0]) == 7
    whole.reset()
    assert not len(whole) and repr(whole) == "RunningScores of 0 clips"


def test_clips_of_unlike_length_come_in_batches_of_their_own():
    valid = np.arange(10) < np.where(np.arange(41) < 20, 6, 10)[:, None]
    running, truth = RunningScores(), TRUTH & valid[:, :, None, None]
    running.update(PREDICTED[:20, :6], truth[:20, :6])
    running.update(PREDICTED[20:], truth[20:], valid=valid[20:])
    assert same(running.compute(), score(PREDICTED, truth, valid=valid))


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda it: it.compute(CLIPS), "expected the 41 clips .* got 7 clips, 34 .* missing and 0 others, .* clip7"),
        (lambda it: it.compute(CLIPS[:6]), "1 others, among them clip6"),
        (lambda it: it.update(PREDICTED[:1], TRUTH[:1]), "for all clips or for none"),
        (lambda it: it.update(PREDICTED[:2], TRUTH[:2], clip_ids=["clip0"]), "name the 2 clips"),
        (lambda it: it.update(~TRUTH[:1], TRUTH[:1], clip_ids=["clip0"]), "clip0: came before with other values"),
        (lambda it: it.update(PREDICTED[:2], TRUTH[:2], clip_ids=["a", "a"]), "a: is twice in the batch"),
        (lambda it: it.update(PREDICTED[:1] * 0.7, TRUTH[:1], clip_ids=["a"]), "how they become marks"),
        (lambda it: it.merge(gathered([[9]], min_iou=0.7)), "min_iou must be 0.5 as here, got 0.7"),
        (lambda it: it.merge(gathered([[9]]), gathered([[10]], named=False)), "for all clips or for none"),
        (lambda it: it.merge({**it.state, "per_clip": np.ones((2, 3))}), "give the state of a RunningScores"),
    ],
)
def test_what_does_not_belong_is_refused_and_nothing_is_kept(use, said):
    running = gathered([range(7)])
    with pytest.raises(ValueError, match=said):
        use(running)
    assert same(running.compute(), score(PREDICTED[:7], TRUTH[:7]))


def test_nothing_gathered_is_no_score():
    with pytest.raises(ValueError, match="call update first"):
        RunningScores().compute()


@pytest.mark.parametrize("rule", [None, "jomold", PostProcessing(segment_threshold=0.3, clip_threshold=0.4)])
def test_gated_probabilities_are_decided_as_all_at_once(rule):
    probs, clip = RNG.random(TRUTH.shape), RNG.random((41, 5))
    by_modality = RNG.random((41, 2, 5))
    gates = {"modality_probs": by_modality} if rule == "jomold" else {"clip_probs": clip}
    running = RunningScores(rule=rule)
    for rows in map(list, BATCHES):
        of = {name: held[rows] for name, held in gates.items()}
        running.update(probs[rows], TRUTH[rows], clip_ids=[CLIPS[row] for row in rows], **of)
    marks = decide(probs, **gates, options=named_rule(rule) or PostProcessing())
    assert same(running.compute(CLIPS), score(marks, TRUTH)) and (marks != (probs >= 0.5)).any()
    again = RunningScores(rule=rule)
    again.merge(pickle.loads(pickle.dumps(running.state)))
    assert same(again.compute(CLIPS), running.compute(CLIPS))


@pytest.mark.parametrize(("use", "said"), [
    (lambda: RunningScores(rule="none", threshold=0.5), "give one of the two"),
    (lambda: RunningScores(rule="soft"), "rule must be a PostProcessing"),
    (lambda: RunningScores(threshold=0.5).update(PREDICTED * 0.7, TRUTH, clip_probs=GATE), "without a gate"),
    (lambda: RunningScores().update(PREDICTED, TRUTH, clip_probs=GATE), "beside probabilities .* got bool"),
    (lambda: RunningScores(rule="none").merge(RunningScores().state), "rule must be .*none.* as here, got None"),
    (lambda: RunningScores().update(PREDICTED, TRUTH.transpose(0, 2, 1, 3)), r"\(41, 2, 10, 5\); transpose, or take"),
])  # fmt: skip
def test_rules_that_do_not_fit_are_refused(use, said):
    with pytest.raises(ValueError, match=said):
        use()
