"""Detections against the published script: small worlds, the test split of UnAV-100, and soft-NMS."""

import json
from dataclasses import replace

import numpy as np
import pytest

from valor.eval.detection import TIOUS, Detections, TrueEvents, detection_precision, merged
from valor.eval.soft_nms import Nms, soft_nms

REFUSED = ("zero_length_prediction", "reversed_prediction")
"""Worlds with detections that last for nothing, which some count as hits; refused here."""


@pytest.fixture(scope="module")
def golden(shared):
    if not (shared / "unav").is_dir() or not (shared / "golden_ave_unav").is_dir():
        pytest.skip(f"no unav/ and golden_ave_unav/ among the reference material at {shared}")
    return shared / "golden_ave_unav"


def events(rows, kind=TrueEvents, **more):
    clip, label, onset, offset = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {"clip": np.array(clip, int), "class_index": np.array(label, int)}
    return kind(**columns, onset=np.array(onset, float), offset=np.array(offset, float), **more)


def worlds(golden):
    return json.loads((golden / "unav_map_small.json").read_text())


def world(case):
    """Truth and detections of a world, numbered as the published script numbers them."""
    videos = [name for name, video in case["database"].items() if video["subset"].lower() == "test"]
    clip = {name: n for n, name in enumerate([*videos, *{p["video"] for p in case["predictions"]} - set(videos)])}
    place = {label: n for n, label in enumerate(case["class_order"])}
    true = [(name, a["label_id"], *a["segment"]) for name in videos for a in case["database"][name]["annotations"]]
    truth = events([(clip[name], place[label], *times) for name, label, *times in true])
    said = [(clip[p["video"]], place.get(p["label_id"], p["label_id"]), *p["segment"]) for p in case["predictions"]]
    known = [n for n, row in enumerate(said) if row[1] < len(place)]  # others land in no class
    scores = np.array([case["predictions"][n]["score"] for n in known])
    return truth, events([said[n] for n in known], Detections, score=scores), len(place)


def test_small_worlds_score_as_published(golden):
    held = worlds(golden)
    assert tuple(held["tiou"]) == TIOUS
    seen = 0
    for name, case in held["cases"].items():
        if "class_order" not in case or name in REFUSED:
            continue
        truth, found, classes = world(case)
        assert len(merged(truth)) == case["truths_counted"], name
        scores = [detection_precision(found, truth, classes, later_first=later) for later in (True, False)]
        gap = min(np.abs(one.per_class - np.array(case["ap"])).max() for one in scores)
        assert gap < 1e-12, (name, gap)
        seen += 1
    assert seen >= 40


def test_detections_that_last_for_nothing_are_refused(golden):
    for name in REFUSED:
        with pytest.raises(ValueError, match="events must last for something"):
            world(worlds(golden)["cases"][name])


@pytest.fixture(scope="module")
def official(golden, shared):
    held = json.loads((shared / "unav" / "unav100_annotations.json").read_text())["database"]
    videos = [video for video in held.values() if video["subset"] == "test"]
    rows = [(n, a["label_id"], *a["segment"]) for n, video in enumerate(videos) for a in video["annotations"]]
    return events(rows)


@pytest.mark.parametrize("file", ["a", "b", "c"])
def test_families_on_the_official_split_score_as_published(golden, official, file):
    told = json.loads((golden / "unav_map_test.json").read_text())
    with np.load(golden / f"unav_map_test_{file}.npz") as held, np.load(golden / "unav_map_test_ap.npz") as published:
        for family in told["files"][file]:
            columns = {name: held[f"{name}__{family}"] for name in ("video", "label", "start", "end", "score")}
            found = Detections(
                clip=columns["video"].astype(int),
                class_index=columns["label"].astype(int),
                onset=columns["start"].astype(float),
                offset=columns["end"].astype(float),
                score=columns["score"],
            )
            tied = {f"ap__{family}__ties_by_input_order": False, f"ap__{family}__ties_by_reversed_input_order": True}
            ties = tied if all(name in published for name in tied) else {f"ap__{family}": True}
            for name, later_first in ties.items():
                ours = detection_precision(found, official, 100, later_first=later_first)
                assert np.abs(ours.per_class - published[name]).max() < 1e-12, name


RULES = {
    "unav": Nms(),
    "unav_iou_0.1": Nms(),
    "code_defaults": Nms(min_score=0.01, most=1000, sigma=0.5),
    "top_20": Nms(most=20),
    "hard": Nms(hard_iou=0.5, min_score=0.05),
    "class_agnostic_soft": Nms(per_class=False),
    "class_agnostic_soft_voting": Nms(per_class=False, vote_iou=0.75),
}


@pytest.mark.parametrize("rule", RULES)
def test_soft_nms_is_the_published_one(golden, rule):
    families = json.loads((golden / "unav_nms.json").read_text())["families"]
    with np.load(golden / "unav_nms.npz") as held:
        for family in families:
            segments = held[f"segments__{family}"].astype(float)
            found = Detections(
                clip=np.zeros(len(segments), int),
                class_index=held[f"labels__{family}"].astype(int),
                onset=segments[:, 0],
                offset=segments[:, 1],
                score=held[f"scores__{family}"],
            )
            twice = replace(found, clip=found.clip + 1)  # clips leave each other alone
            both = [np.concatenate(pair) for pair in zip(columns(found), columns(twice), strict=True)]
            left = soft_nms(Detections(**dict(zip(NAMES, both, strict=True))), RULES[rule])
            for clip in (0, 1):
                ours = left.at(left.clip == clip)
                order = np.lexsort((ours.onset, ours.class_index, -ours.score.round(5)))
                theirs = [held[f"out_{part}__{family}__{rule}"] for part in ("segments", "labels", "scores")]
                other = np.lexsort((theirs[0][:, 0], theirs[1], -theirs[2].round(5)))
                assert len(ours) == len(theirs[2]), family
                if rule == "hard" and "ties" in family:  # which of two equals stays is chance in the published sort
                    continue
                most = 1e-5 if "voting" in rule else 0  # sums of float32, whose order is nobody's
                for ends, column in zip((ours.at(order).onset, ours.at(order).offset), theirs[0][other].T, strict=True):
                    assert np.abs(ends.astype(np.float32) - column).max(initial=0) <= most, family
                assert np.array_equal(ours.at(order).class_index, theirs[1][other]), family
                assert np.abs(ours.at(order).score - theirs[2][other]).max(initial=0) < 5e-7, family


NAMES = ("clip", "class_index", "onset", "offset", "score")


def columns(found):
    return [getattr(found, name) for name in NAMES]


def test_classes_that_leave_each_other_alone_do_not_vote():
    with pytest.raises(ValueError, match="vote_iou lets all classes vote"):
        Nms(vote_iou=0.75)
