"""Intervals over clips, of classes and over seeds: plain references, coverage on drawn data, properties."""

import tracemalloc
from dataclasses import astuple

import numpy as np
import pytest

from valor.eval.breakdown import breakdown
from valor.eval.intervals import (
    FEW_CLIPS,
    Interval,
    bootstrap,
    class_intervals,
    compare,
    difference_line,
    few_clips,
    seed_interval,
    student_quantile,
    student_share,
    unpaired_interval,
)
from valor.eval.scores import FIGURES, LEVELS, Scores, score


def scored(seed=0, clips=60, noise=0.05):
    """Scores of a noisy copy of a random truth; the truth depends on the number of clips alone."""
    truth = np.random.default_rng(clips).random((clips, 10, 2, 4)) < 0.2
    flips = np.random.default_rng(seed).random(truth.shape) < noise
    return score(truth ^ flips, truth)


def ten(scores):
    return np.array([astuple(scores.segment), astuple(scores.event)])


def test_ends_are_the_percentiles_of_rescored_resamples():
    scores = scored()
    found = bootstrap(scores, resamples=4000, seed=1)
    rng = np.random.default_rng(7)
    plain = [ten(Scores.of_clips(scores.per_clip[rng.integers(0, 60, 60)])) for _ in range(4000)]
    low, high = np.percentile(plain, [2.5, 97.5], axis=0)
    width = high - low
    assert found.value == pytest.approx(ten(scores), abs=1e-9)
    assert (np.abs(found.low - low) < 0.12 * width).all() and (np.abs(found.high - high) < 0.12 * width).all()


def test_type_av_is_averaged_within_each_resample():
    # audio is right where visual is wrong: their mean, and so Type@AV, hardly varies, while each alone does
    per_clip = np.zeros((100, 2, 4))
    per_clip[::2, :, 0] = per_clip[1::2, :, 1] = 1
    found = bootstrap(Scores.of_clips(per_clip), resamples=500)
    assert found.of("segment", "audio").high - found.of("segment", "audio").low > 10
    assert found.of("segment", "type_av").high == pytest.approx(found.of("segment", "type_av").low) == 100 / 3


def test_every_drawn_weight_adds_up_to_all_clips():
    same = Scores.of_clips(np.full((37, 2, 4), 0.25))
    found = bootstrap(same, resamples=200)
    assert found.low == pytest.approx(np.full((2, 5), 25)) and found.high == pytest.approx(np.full((2, 5), 25))


def test_every_clip_can_be_drawn():
    for clip in (0, 19):
        per_clip = np.zeros((20, 2, 4))
        per_clip[clip] = 1
        high = bootstrap(Scores.of_clips(per_clip), resamples=400).high
        assert (high >= 10).all()  # drawn at least twice in some of them


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        per_clip = np.repeat(rng.beta(2, 1, (80, 1, 1)), 8, axis=2).reshape(80, 2, 4)
        end = bootstrap(Scores.of_clips(per_clip), resamples=400, confidence=0.9, seed=seed).of("segment", "audio")
        inside += end.low <= 100 * 2 / 3 <= end.high
    assert 165 <= inside <= 195  # 180 expected, four standard deviations


def test_a_higher_confidence_is_wider_and_more_clips_are_narrower():
    narrow, wide = (bootstrap(scored(), resamples=1000, confidence=level) for level in (0.8, 0.99))
    assert (wide.low <= narrow.low).all() and (narrow.high <= wide.high).all()
    many = bootstrap(scored(clips=1200), resamples=1000).of("segment", "type_av")
    few = bootstrap(scored(clips=60), resamples=1000).of("segment", "type_av")
    assert 3 < (few.high - few.low) / (many.high - many.low) < 6.5  # the square root of 20, about


def test_the_same_seed_gives_the_same_ends_and_blocks_do_not_show(monkeypatch):
    one, again, other = (bootstrap(scored(), resamples=300, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.low, again.low) and not np.array_equal(one.low, other.low)
    monkeypatch.setattr("valor.eval.intervals.BLOCK", 60 * 7)
    assert bootstrap(scored(), resamples=300, seed=3).low == pytest.approx(one.low, abs=1e-9)


def test_memory_stays_bounded():
    scores = Scores.of_clips(np.random.default_rng(0).random((1200, 2, 4)))
    tracemalloc.start()
    bootstrap(scores, resamples=5000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 * 2**20  # 5,000 x 1,200 weights alone are 48 MiB, and more than one such array is needed


def test_a_comparison_is_the_bootstrap_of_differences():
    one, other = scored(1, noise=0.03), scored(2, noise=0.06)
    found = compare(one, other, resamples=2000)
    rng = np.random.default_rng(7)
    rows = [rng.integers(0, 60, 60) for _ in range(2000)]
    plain = [ten(Scores.of_clips(one.per_clip[r])) - ten(Scores.of_clips(other.per_clip[r])) for r in rows]
    low, high = np.percentile(plain, [2.5, 97.5], axis=0)
    assert found.value == pytest.approx(ten(one) - ten(other), abs=1e-9)
    assert (np.abs(found.low - low) < 0.15 * (high - low)).all()
    assert (np.abs(found.high - high) < 0.15 * (high - low)).all()


def test_exchanging_the_systems_turns_the_difference_round():
    one, other = scored(1), scored(2)
    there, back = compare(one, other, resamples=500), compare(other, one, resamples=500)
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high, abs=1e-9) and np.array_equal(there.p_value, back.p_value)


def test_p_values_of_equal_and_of_unlike_systems():
    same = compare(scored(1), scored(1), resamples=200)
    assert (same.p_value == 1).all() and (same.value == 0).all() and (same.low == 0).all()
    unlike = compare(scored(1, noise=0.01), scored(2, noise=0.3), resamples=999)
    assert (unlike.p_value == 0.001).all() and (unlike.low > 0).all()


def test_p_values_are_those_of_all_swaps():
    rng = np.random.default_rng(5)
    one, other = rng.random((2, 10, 2, 4))
    found = compare(Scores.of_clips(one), Scores.of_clips(other), resamples=20_000)
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    swapped = np.abs(signs @ (one - other)[:, 0, 0]) / 10
    exact = (swapped >= abs((one - other)[:, 0, 0].mean()) - 1e-12).mean()
    assert found.of("segment", "audio").p_value == pytest.approx(exact, abs=0.02)


def test_systems_that_are_alike_are_rarely_called_unlike():
    rng = np.random.default_rng(1)
    small = 0
    for seed in range(200):
        values = rng.random((2, 40, 2, 4))
        found = compare(*map(Scores.of_clips, values), resamples=199, seed=seed).of("event", "type_av")
        small += found.p_value <= 0.1
    assert 8 <= small <= 36  # 20 expected


def test_lines_as_they_are_quoted():
    assert difference_line("VALOR", "HAN", Interval(8.04, 6.9, 9.06, 0.0001)) == "VALOR - HAN = +8.0 [+6.9, +9.1]"
    mixed = difference_line("A", "B", Interval(-0.2, -0.94, 0.51, 0.6))
    assert mixed == "A - B = -0.2 [-0.9, +0.5]"
    assert difference_line("A", "B", Interval(-2.0, -3.0, -1.0, 0.01), decimals=2) == "A - B = -2.00 [-3.00, -1.00]"
    assert Interval(62.04, 60.4, 63.5).text() == "62.0 [60.4, 63.5]"
    with pytest.raises(ValueError, match="a comparison needs the difference of two systems"):
        difference_line("A", "B", Interval(62.0, 60.4, 63.5))


def test_of_few_clips_it_is_said_what_others_could_score():
    of = Scores.of_clips(np.random.default_rng(0).random((FEW_CLIPS, 2, 4)))
    few = Scores.of_clips(of.per_clip[:-1])
    assert few_clips(of) is None and few_clips(Scores.of_clips(of.per_clip[:1])).startswith("one clip says nothing")
    found = bootstrap(few).of("segment", "type_av")
    ends = f"{found.low:.1f} to {found.high:.1f}"
    assert f"29 clips are few: segment Type@AV of other ones like them may be anything from {ends} " in few_clips(few)


def test_intervals_go_to_a_dict():
    single, pair = bootstrap(scored(), resamples=50), compare(scored(1), scored(2), resamples=50)
    figures = single.to_dict()
    assert list(figures) == [*LEVELS, "confidence", "resamples", "clips"]
    assert list(figures["segment"]) == list(FIGURES) and list(figures["event"]["audio"]) == ["value", "low", "high"]
    assert (figures["confidence"], figures["resamples"], figures["clips"]) == (0.95, 50, 60)
    assert list(pair.to_dict()["segment"]["type_av"]) == ["value", "low", "high", "p_value"]


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="got 60 and 40 clips; score both on the clips they share"):
        compare(scored(clips=60), scored(clips=40))
    for options in ({"resamples": 0}, {"confidence": 1.0}, {"confidence": 0.0}):
        with pytest.raises(ValueError, match="resamples must be at least 1 and confidence lie between 0 and 1"):
            bootstrap(scored(), **options)
    with pytest.raises(ValueError, match="finite per-clip values of at least two clips, got 1 clips"):
        bootstrap(scored(clips=1))
    broken = scored()
    broken.per_clip[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 values not finite"):
        bootstrap(broken)
    with pytest.raises(ValueError, match="level must be one of segment, event and figure one of audio"):
        bootstrap(scored(), resamples=10).of("clip", "audio")


RNG = np.random.default_rng(3)
TRUTH = RNG.random((60, 10, 2, 4)) > 0.6
PREDICTED = TRUTH ^ (RNG.random(TRUTH.shape) > 0.8)


@pytest.mark.parametrize("level", ["segment", "event"])
def test_the_interval_holds_the_figure_and_narrows_with_clips(level):
    low, high = class_intervals(PREDICTED, TRUTH, level=level)
    f_scores = breakdown(PREDICTED, TRUTH, level=level).f[:2]
    assert (low < f_scores).all() and (f_scores < high).all()
    many = class_intervals(*(np.tile(marks, (9, 1, 1, 1)) for marks in (PREDICTED, TRUTH)), level=level)
    assert np.allclose((many[1] - many[0]) / (high - low), 1 / 3, rtol=0.35)


def test_it_is_the_spread_of_resampled_clips():
    low, high = class_intervals(PREDICTED, TRUTH, resamples=4000)
    rng = np.random.default_rng(9)
    drawn = [rng.integers(0, 60, 60) for _ in range(800)]
    plain = np.quantile([breakdown(PREDICTED[rows], TRUTH[rows]).f[:2] for rows in drawn], [0.025, 0.975], axis=0)
    assert np.allclose([low, high], plain, atol=0.012)


def test_a_class_that_never_occurs_has_none_and_a_perfect_one_no_width():
    truth = TRUTH.copy()
    truth[:, :, 0, 1] = False
    low, high = class_intervals(truth, truth)
    assert np.isnan(low[0, 1]) and np.isnan(high[0, 1])
    assert low[1, 1] == high[1, 1] == 1


def test_segments_that_do_not_exist_do_not_count():
    valid = np.zeros((60, 10), dtype=bool)
    valid[:, :4] = True
    expected = class_intervals(PREDICTED[:, :4], TRUTH[:, :4])
    assert np.array_equal(class_intervals(PREDICTED, TRUTH, valid=valid), expected)


@pytest.mark.parametrize("options", [{"level": "clip"}, {"resamples": 0}, {"confidence": 1.0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="level must be one of segment, event, resamples at least 1 and confidence"):
        class_intervals(PREDICTED, TRUTH, **options)


@pytest.mark.parametrize(
    ("freedom", "at_95", "at_99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (9, 2.262, 3.250),
        (30, 2.042, 2.750),
    ],
)
def test_quantiles_are_those_of_students_table(freedom, at_95, at_99):
    assert student_quantile(0.95, freedom) == pytest.approx(at_95, abs=6e-4)
    assert student_quantile(0.99, freedom) == pytest.approx(at_99, abs=6e-4)
    assert student_share(student_quantile(0.95, freedom), freedom) == pytest.approx(0.95)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [seed_interval(rng.normal(1.0, 2.0, 5)) for _ in range(2000)]
    share = np.mean([interval.low < 1.0 < interval.high for interval in held])
    assert share == pytest.approx(0.95, abs=0.015)
    nothing = [seed_interval(rng.normal(0.0, 2.0, 5)).p_value for _ in range(2000)]
    assert np.mean(np.array(nothing) < 0.05) == pytest.approx(0.05, abs=0.015)


def test_equal_differences_leave_no_doubt():
    assert seed_interval([0.5, 0.5, 0.5]).text() == "+0.5 [+0.5, +0.5]"
    assert seed_interval([0.5, 0.5]).p_value == 0.0
    assert seed_interval([0.0, 0.0]).p_value == 1.0


@pytest.mark.parametrize(("differences", "confidence"), [([1.0], 0.95), ([], 0.95), ([1.0, 2.0], 1.0)])
def test_one_seed_makes_no_interval(differences, confidence):
    with pytest.raises(ValueError, match="needs at least two and a confidence between 0 and 1"):
        seed_interval(differences, confidence=confidence)


def test_means_of_unlike_seeds_are_compared_as_welch_does():
    ones, others = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9], [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0]
    found = unpaired_interval(ones, others)
    shares = np.var(ones, ddof=1) / len(ones), np.var(others, ddof=1) / len(others)
    freedom = int(sum(shares) ** 2 / (shares[0] ** 2 / 5 + shares[1] ** 2 / 7))
    reach = student_quantile(0.95, freedom) * np.sqrt(sum(shares))
    assert (found.low + found.high) / 2 == pytest.approx(found.value) == pytest.approx(np.mean(ones) - np.mean(others))
    assert found.high - found.low == pytest.approx(2 * reach) and freedom == 7 and 0.05 < found.p_value < 1
    assert unpaired_interval([2.0, 2.0], [1.0, 1.0]) == Interval(1.0, 1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="needs at least two of each .* got 1, 2"):
        unpaired_interval([1.0], [1.0, 2.0])
