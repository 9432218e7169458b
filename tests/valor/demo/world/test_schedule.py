from collections import Counter

import numpy as np
import pytest

from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world.llp_facts import CLASS_SHARES, EVENT_HABITS, LLP_STATISTICS, TAG_SETS
from valor.demo.world.schedule import CLIP_SECONDS, SPLITS, sample_world, statistics, world_arrays

SIZES = {"train": 400, "val": 100, "test": 200}
NAMES = class_names(LLP_CLASSES)


@pytest.fixture(scope="module")
def plans():
    return sample_world(SIZES, seed=4)


def timeline(*rows: str) -> np.ndarray:
    """bool [10, 2, 1] from an audible and a visible row, '#' where the class is."""
    return np.array([[mark == "#" for mark in row] for row in rows]).T[:, :, None]


def test_facts_cover_the_vocabulary():
    assert tuple(CLASS_SHARES) == NAMES
    assert set(EVENT_HABITS) == set(NAMES)
    assert {name for tags in TAG_SETS for name in tags.split()} == set(NAMES)


def test_statistics_of_a_drawn_timeline():
    truth = np.stack(
        [
            timeline("####......", "######...."),  # both, overlap 4/6
            timeline("##.##.....", ".........."),  # only audible, two short events
            timeline("..........", "##########"),  # only visible, whole
            timeline("##########", "##########"),  # both, same time
        ]
    )
    weak_labels = np.array([[True], [True], [False], [True]])
    found = statistics(truth, weak_labels)
    assert found["pairs only audible"] == 0.25
    assert found["pairs only visible"] == 0.25
    assert found["pairs both"] == 0.5
    assert found["overlap of both"] == pytest.approx((4 / 6 + 1) / 2)
    assert found["both at exactly the same time"] == 0.5
    assert found["audible events whole"] == 0.25
    assert found["audible events short"] == 0.5
    assert found["visible events whole"] == pytest.approx(2 / 3)
    assert found["audible events per audible pair"] == pytest.approx(4 / 3)
    assert found["pairs without tag"] == 0.25
    assert found["tags without event"] == 0
    assert set(found) == set(LLP_STATISTICS)


def test_statistics_refuse_other_axes():
    with pytest.raises(
        ValueError, match=r"truth must be bool \[clips, segments, 2, classes\].*got int64 \(1, 10, 2, 25\)"
    ):
        statistics(np.zeros((1, 10, 2, 25), dtype=int), np.zeros((1, 25), dtype=bool))


def test_baked_numbers_are_those_of_llp(shared):
    splits = [read_split(shared / "llp", split, NAMES) for split in ("val", "test")]
    truth = np.concatenate([split.truth for split in splits])
    weak_labels = np.concatenate([split.weak_labels for split in splits])
    assert statistics(truth, weak_labels) == pytest.approx(LLP_STATISTICS, abs=1e-4)
    assert weak_labels.mean(axis=0) == pytest.approx(list(CLASS_SHARES.values()), abs=1e-4)
    sets = Counter(" ".join(sorted(np.array(NAMES)[row])) for row in weak_labels)
    assert {tags: count for tags, count in sets.items() if count > 1} == TAG_SETS


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_world_is_made_up_like_llp(seed):
    found = statistics(*world_arrays(sample_world(SIZES, seed)))
    for name, target in LLP_STATISTICS.items():
        assert found[name] == pytest.approx(target, abs=0.08 if "per" in name else 0.045), name


@pytest.mark.parametrize("size", [60, 100, 400])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_class_is_tagged_in_every_split(size, seed):
    plans = sample_world(dict.fromkeys(SPLITS, size), seed)
    for split in SPLITS:
        tagged = Counter(tag for plan in plans if plan.split == split for tag in plan.tags)
        assert set(tagged) == set(NAMES)
        assert tagged.most_common(1)[0][0] == "Speech"


def test_class_shares_follow_llp(plans):
    shares = world_arrays(plans)[1].mean(axis=0)
    assert np.abs(shares - np.array(list(CLASS_SHARES.values()))).max() < 0.03


def test_events_are_whole_seconds_within_the_clip_and_apart(plans):
    for plan in plans:
        last = {}
        for event in plan.events:
            assert 0 <= event.onset < event.offset <= CLIP_SECONDS
            key = event.class_name, event.modality
            assert event.onset > last.get(key, -1)
            last[key] = event.offset
        assert plan.events
        assert 1 <= len(set(plan.tags)) == len(plan.tags)


def test_clip_names_are_like_llps_and_unique_on_any_disk(plans):
    short = [plan.clip_id[:11].lower() for plan in plans]
    assert len(set(short)) == len(plans)
    for plan in plans:
        video, start, end = plan.clip_id[:11], *plan.clip_id[12:].split("_")
        assert int(end) - int(start) == CLIP_SECONDS
        assert video[0].isalnum()
        assert plan.clip_id[11] == "_"


def test_same_seed_same_world_other_seed_other_world(plans):
    assert sample_world(SIZES, seed=4) == plans
    assert sample_world(SIZES, seed=5) != plans
    assert Counter(plan.split for plan in plans) == SIZES


def test_small_and_single_splits_work():
    assert [plan.split for plan in sample_world({"test": 3}, 0)] == ["test"] * 3


@pytest.mark.parametrize("sizes", [{}, {"train": 0}, {"dev": 4}])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match="sizes must give a positive number of clips for any of train, val, test"):
        sample_world(sizes, 0)
