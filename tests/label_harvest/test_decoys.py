import numpy as np
import pytest

from valor.label_harvest.decoys import (
    DECOYS,
    LEAN,
    PEAK,
    SHIFT,
    WIDER,
    Standing,
    _largest_near,
    check_decoys,
    decoys_beside,
    evidence,
    leaned,
    pooled,
    probabilities,
    standing_of,
    summarised,
)
from valor.label_harvest.drawn import HEIGHT, WIDTH, drawn_clips
from valor.label_harvest.media.cuts import Shot

ONE = (Shot(0, 12, range(12)),)


def _said(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of 12 seconds: of three classes, the first of which is there from 4 to 8, and of decoys."""
    rng = np.random.default_rng(seed)
    classes, decoys = rng.normal(-0.2, 0.1, (12, 3)), rng.normal(-0.2, 0.1, (12, 20))
    classes[4:8, 0] += 0.5
    return classes.astype(np.float32), decoys.astype(np.float32)


def _found(classes: np.ndarray, decoys: np.ndarray, shots: tuple[Shot, ...] = ONE) -> np.ndarray:
    kept = summarised(decoys)
    return evidence(classes, kept[:, 0], standing_of(kept, 1.0), 1.0, shots)


@pytest.mark.parametrize(("scale", "shift"), [(0.05, 0.27), (20, -3), (0.01, 0)])
def test_scale_and_shift_of_the_cosines_change_nothing(scale, shift):
    classes, decoys = _said()
    found = probabilities(_found(classes, decoys))
    moved = probabilities(_found((scale * classes + shift), (scale * decoys + shift)))
    assert np.allclose(moved, found, atol=2e-4)
    assert found[4:8, 0].min() > 0.8 and found[8:, 1:-1].max() < 0.4


def test_standing_is_that_of_all_decoys_in_all_seconds_there_are():
    decoys = np.random.default_rng(1).normal(3, 2, (40, 9)).astype(np.float32)
    kept = summarised(decoys)
    whole = standing_of(np.concatenate([kept, np.full((5, 3), np.nan, np.float32)]), 2.0)
    assert (whole.level, whole.spread) == pytest.approx((decoys.mean(), decoys.std()), rel=1e-5)
    assert whole.seconds == 80
    halves = pooled([standing_of(kept[:10], 2.0), standing_of(kept[10:], 2.0)])
    assert (halves.level, halves.spread, halves.seconds) == pytest.approx((whole.level, whole.spread, 80), rel=1e-5)
    with pytest.raises(ValueError, match="at least one segment, got none"):
        standing_of(np.full((3, 3), np.nan, np.float32), 1.0)


def test_little_media_lean_on_what_is_drawn_and_much_does_not():
    drawn = Standing(level=0.0, spread=1.0, seconds=10)
    short, long = (leaned(Standing(level=5, spread=2, seconds=s), drawn, "audio") for s in (LEAN / 1000, LEAN * 1000))
    assert (short.level, short.spread) == pytest.approx((SHIFT["audio"], WIDER), abs=0.2)
    assert (long.level, long.spread) == pytest.approx((5, 2), abs=0.02) and long.seconds == LEAN * 1000


def test_others_and_decoys_of_a_second_compete_with_a_class():
    classes, decoys = _said()
    alone = _found(classes, decoys)[5, 0]
    rival = classes.copy()
    rival[:, 1] = classes[:, 0] + 0.1
    assert _found(rival, decoys)[5, 0] < alone - 0.2
    kept = summarised(decoys)
    of = standing_of(kept, 1.0)
    loud = evidence(classes, np.full(12, 0.6, np.float32), of, 1.0, ONE)
    assert loud[5, 0] < alone - 0.2 and loud[5, -1] > loud[5, 1]


def test_a_shot_lends_its_seconds_what_its_best_one_says_and_no_other_shot_does():
    classes, decoys = _said()
    joined, apart = _found(classes, decoys), _found(classes, decoys, (Shot(0, 8, range(8)), Shot(8, 12, range(8, 12))))
    assert np.array_equal(joined[4:8, 0], apart[4:8, 0]) and (joined[8:12, 0] > apart[8:12, 0] + 0.5).all()
    classes[5, 0] = 50
    assert _found(classes, decoys)[9, 0] < (1 + PEAK) / 2  # what is beyond doubt lends no more than PEAK


def test_absent_seconds_stay_absent_and_say_nothing_to_others():
    classes, decoys = _said()
    before = _found(classes[:9], decoys[:9], (Shot(0, 9, range(9)),))
    classes[9:], decoys[9:] = np.nan, np.nan
    found = _found(classes, decoys)
    assert np.isnan(found[9:]).all() and np.allclose(found[:9], before)
    assert np.isnan(probabilities(found)[9:]).all()


@pytest.mark.parametrize("reach", [0, 1, 4, 60])
def test_the_largest_near(reach):
    values = np.random.default_rng(reach).normal(size=(11, 2))
    values[3] = np.nan
    held = np.where(np.isnan(values), -np.inf, values)
    expected = [held[max(0, t - reach) : t + reach + 1].max(axis=0) for t in range(11)]
    assert np.array_equal(_largest_near(values, reach), expected)


def test_decoys_that_name_a_class_are_none():
    assert len(decoys_beside("audio", ["Dog"])) == len(DECOYS["audio"])
    left = decoys_beside("audio", ["Rain", "white noise"])
    assert len(left) == len(DECOYS["audio"]) - 2 and not any("rain" in text or "white" in text for text in left)
    begun = decoys_beside("audio", ["Sound", "This"])  # as all their captions begin
    assert set(DECOYS["audio"]) - set(begun) == {
        f"This is a sound of {kind} sound" for kind in ("a muffled", "an unclear")
    }
    asked = decoys_beside("visual", ["Brick"], ["a photo of a WALL"])
    assert set(DECOYS["visual"]) - set(asked) == {"A photo of a wall."}
    things = [text.removeprefix("This is a sound of ") for text in DECOYS["audio"]]
    with pytest.raises(ValueError, match="name all but 3 of our audio decoys, and 5 are the least"):
        decoys_beside("audio", things[3:])


@pytest.mark.parametrize(
    ("decoys", "said"),
    [
        ([], "expected at least 5 captions, none of them blank or twice, got 0"),
        (["a", "b", "c", "d", " "], "none of them blank or twice, got 5"),
        (["a", "b", "c", "d", "A."], "none of them blank or twice, got 5"),
        (["a", "b", "c", "d", "This is a sound of DOG!"], "'this is a sound of dog' is a class that is looked for"),
    ],
)
def test_decoys_that_cannot_be_are_refused(decoys, said):
    with pytest.raises(ValueError, match=f"list: .*{said}"):
        check_decoys(decoys, ["Dog", "This is a sound of dog"], "list")


def test_what_is_drawn_is_always_the_same():
    one, other, fine = drawn_clips(1.0, 2000), drawn_clips(1.0, 2000), drawn_clips(0.5, 2000)
    for first, again, finer in zip(one, other, fine, strict=True):
        assert first.frames.shape == (10, HEIGHT, WIDTH, 3) and first.waveform.shape == (20000,)
        assert np.array_equal(first.frames, again.frames) and np.array_equal(first.waveform, again.waveform)
        assert len(finer.frames) == 20 and np.array_equal(finer.waveform, first.waveform)
        assert np.abs(first.waveform).max() <= 1 and first.frames.std(axis=(1, 2)).min() > 5
    assert not np.array_equal(one[0].frames, one[1].frames)
