"""UnAV-100: the file as published, its truth on segments and in seconds, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.helpers.toy_unav import CAT, DOG, event, toy, written
from tests.helpers.typed import typed
from valor.data.datasets.dataset import DATASETS, UNAV, UNAV_FINER, dataset_of
from valor.data.datasets.unav import (
    UNAV_NAMES,
    UNAV_SIZES,
    ceilings,
    detections_of,
    tags_as_events,
    truth_on_segments,
    unav_defects,
)
from valor.data.predictions import Predictions, score_predictions, write_predictions
from valor.eval.detection import TrueEvents, detection_precision
from valor.eval.metrics import Judged, figures_of
from valor.eval.scores import score, tags_copied
from valor.scoring.published import read_published


@pytest.fixture
def folder(tmp_path) -> Path:
    return written(tmp_path / "unav", toy())


def test_events_mark_the_segments_they_touch_and_keep_their_seconds(folder):
    split = dataset_of(folder).read_split(folder, "test")
    dog, cat = UNAV_NAMES.index(DOG), UNAV_NAMES.index(CAT)
    assert split.clip_ids == ("aaaaaaaaaa2", "aaaaaaaaaa4") and split.truth.shape == (2, 11, 2, 100)
    assert split.valid.sum(axis=1).tolist() == [11, 4] and split.clip_seconds.tolist() == [10.4, 4.0]
    assert np.flatnonzero(split.truth[0, :, 0, dog]).tolist() == list(range(11))
    assert np.flatnonzero(split.truth[0, :, 1, cat]).tolist() == [2, 3]
    assert np.flatnonzero(split.truth[1, :, 0, cat]).tolist() == [1, 2]
    assert np.array_equal(split.truth[:, :, 0], split.truth[:, :, 1])
    assert split.weak_labels.sum(axis=1).tolist() == [2, 1]
    assert split.events.onset.tolist() == [0.2, 2.5, 3.3, 1.25] and split.events.clip.tolist() == [0, 0, 0, 1]
    assert UNAV.read_split(folder, UNAV.split_for("val")).clip_ids == ("aaaaaaaaaa3",)
    assert split.truth_version == "unav100" and split.truth_sha256


@pytest.mark.parametrize(("dataset", "length", "marks"), [(UNAV_FINER[0], 21, [2, 3, 4, 5]), (UNAV_FINER[1], 42, None)])
def test_segments_may_be_shorter(folder, dataset, length, marks):
    split = dataset.read_split(folder, "test")
    cat = UNAV_NAMES.index(CAT)
    assert split.truth.shape[1] == length and split.segment_seconds == dataset.seconds
    assert np.flatnonzero(split.truth[1, :, 0, cat]).tolist() == (marks or [5, 6, 7, 8, 9, 10])
    assert DATASETS[f"unav-{dataset.seconds:g}"] is dataset


def test_its_own_events_as_probabilities_score_full_marks_on_short_segments(folder):
    split = UNAV_FINER[1].read_split(folder, "test")
    held = Predictions(
        clip_ids=split.clip_ids,
        class_names=split.class_names,
        segment_probs=split.truth.astype(np.float32),
        clip_probs=split.weak_labels.astype(np.float32),
    )
    scores, report = score_predictions(held, split)
    assert scores.figures["mAP 0.5"] == scores.figures["mAP 0.8"] == 100 and report["dataset"] == "unav-0.25"
    assert list(scores.figures)[-1] == "mAP mean" and scores.segment.audio_visual == 100
    one, _ = score_predictions(Predictions(**{**vars(held), "clip_ids": split.clip_ids[::-1]} | {
        name: getattr(held, name)[::-1] for name in ("segment_probs", "clip_probs")
    }), split)  # fmt: skip
    assert one.figures == scores.figures
    part = Predictions(**{**vars(held), "clip_ids": split.clip_ids[1:]} | {
        name: getattr(held, name)[1:] for name in ("segment_probs", "clip_probs")
    })  # fmt: skip
    assert score_predictions(part, split, allow_subset=True)[0].figures["mAP 0.5"] == 100


def judged_of(split, **probs):
    return Judged(
        predicted=split.truth,
        truth=split.truth,
        weak_labels=split.weak_labels,
        valid=split.valid,
        segment_seconds=split.segment_seconds,
        **probs,
    )


def test_decisions_rank_nothing_and_without_seconds_the_segments_are_the_truth(folder):
    split = UNAV.read_split(folder, "test")
    assert set(figures_of(judged_of(split), UNAV.metrics).values()) == {None}
    on_segments = figures_of(judged_of(split, segment_probs=split.truth.astype(float)), UNAV.metrics)
    assert set(on_segments.values()) == {100.0}


def test_detections_end_with_their_clip_and_are_weighed_by_it(folder):
    split = UNAV.read_split(folder, "test")
    probs = {"segment_probs": split.truth.astype(float), "clip_probs": 0.5 * split.weak_labels}
    found = detections_of(Judged(**vars(judged_of(split, **probs)) | {"clip_seconds": split.clip_seconds}))
    assert found.offset.max() == 10.4 and found.score.max() == pytest.approx(0.5)
    assert detections_of(judged_of(split)) is None


rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 18), st.floats(0.3, 9)), min_size=1, max_size=12
)


@settings(max_examples=40)
@given(rows, st.sampled_from([1.0, 0.5, 0.25]))
def test_the_truth_on_segments_covers_the_truth(drawn, seconds):
    clip, name, onset, length = (np.array(column) for column in zip(*drawn, strict=True))
    lasts = np.full(3, 30.0)
    truth = TrueEvents(clip=clip, class_index=name, onset=onset, offset=onset + length)
    outer = truth_on_segments(truth, lasts, seconds, outer=True)
    for row in range(len(truth)):
        same = (outer.clip == clip[row]) & (outer.class_index == name[row])
        holds = same & (outer.onset <= onset[row] + 1e-6) & (outer.offset >= onset[row] + length[row] - 1e-6)
        assert holds.any()
    assert np.allclose(outer.onset / seconds, np.rint(outer.onset / seconds))
    nearest = truth_on_segments(truth, lasts, seconds, outer=False)
    assert (nearest.offset - nearest.onset >= seconds - 1e-9).all()
    whole = tags_as_events(truth, lasts)
    assert len(whole) == len(set(zip(clip.tolist(), name.tolist(), strict=True))) and set(whole.offset) == {30.0}


def changed(**video_changes):
    held = toy()
    held["aaaaaaaaaa2"] |= video_changes
    return held


@pytest.mark.parametrize(
    ("database", "says"),
    [
        (changed(annotations=[event(DOG, 3, 3)]), "aaaaaaaaaa2: event 0: an event lies within its clip of 10.4 s"),
        (changed(annotations=[event(DOG, 5, 3)]), "got 5 to 3 s"),
        (changed(annotations=[event(DOG, 5, 11)]), "got 5 to 11 s"),
        (changed(annotations=[event(DOG, -1, 3)]), "got -1 to 3 s"),
        (changed(annotations=[event(DOG, 1, 3) | {"label": "dog barkin"}]), "unknown class 'dog barkin'.*dog barking"),
        (changed(annotations=[event(DOG, 1, 3) | {"label_id": 3}]), "dog barking has the number 12, got label_id 3"),
        (changed(annotations=[event(DOG, 1, 3) | {"segment": [1]}]), "a segment has an onset and an offset, got 1"),
        (changed(annotations=[event(DOG, 1, 3) | {"segment": ["1", 3]}]), "event 0: segment: expected a number"),
        (changed(annotations={}), "aaaaaaaaaa2: annotations"),
        (changed(subset="dev"), "subset must be one of train, validation, test, got 'dev'"),
        (changed(duration=0), "aaaaaaaaaa2: duration: expected a number from"),
        (changed(duration=1e9), "aaaaaaaaaa2: duration: expected a number from"),
        ({"aaaaaaaaaa1": toy()["aaaaaaaaaa1"]}, "no video of the split test"),
        ([], "database"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_video(tmp_path, database, says):
    with pytest.raises(ValueError, match=says):
        UNAV.read_split(written(tmp_path / "unav", database), "test")


def test_a_folder_without_the_file_and_marks_beyond_memory_are_refused(tmp_path, folder, monkeypatch):
    with pytest.raises(FileNotFoundError, match="UnAV-100 is published as this one file"):
        UNAV.read_split(tmp_path, "test")
    monkeypatch.setattr("valor.data.tables.MOST_CELLS", 4000)
    with pytest.raises(ValueError, match="test has 4,400 marks on segments of 1 s, more than 4,000"):
        UNAV.read_split(folder, "test")


def test_what_is_unusual_is_listed(tmp_path):
    held = toy()
    held["aaaaaaaaaa1"]["annotations"] = [event(DOG, 1, 3.5), event(DOG, 1, 3.5), event(DOG, 3.4, 5), event(DOG, 9, 10)]
    held["aaaaaaaaaa4"]["annotations"] = []
    found = list(unav_defects(written(tmp_path / "unav", held), UNAV_NAMES))
    kinds = [row[0] for row in found if row[0] != "size"]
    assert kinds == ["duplicate", "overlap-seconds", "one-on-segments", "no-rows"]
    assert any("begins 0.10000 s before dog barking 1 to 3.5 s ends" in row[4] for row in found)
    assert [row[4] for row in found if row[0] == "size"][0] == "train has 1 videos, not 6,489"
    assert list(unav_defects(tmp_path, UNAV_NAMES)) == []
    done = typed("lint", tmp_path / "unav")
    assert done.code == 0 and "1 train, 1 validation, 2 test clips" in done.out, done
    assert "two events of mAP, one on segments" in done.out and "[one-on-segments]" in done.out


def test_the_file_itself_says_what_the_folder_holds(folder):
    (folder / "dataset.json").unlink()
    assert dataset_of(folder) is UNAV
    written(folder, changed(annotations=[event(DOG, 5, 11)]))
    done = typed("lint", folder)
    assert done.code == 3 and "aaaaaaaaaa2: event 0: an event lies within its clip" in done.out, done


def test_evaluate_prints_map_beside_what_the_truth_itself_scores(folder, tmp_path):
    split = UNAV.read_split(folder, "test")
    held = {"segment_probs": split.truth.astype(np.float16), "clip_probs": split.weak_labels.astype(np.float16)}
    write_predictions(
        tmp_path / "p.npz",
        Predictions(clip_ids=split.clip_ids, class_names=split.class_names, valid=split.valid, **held),
    )
    words = ("--annotations", folder, "--split", "test", "--anchors", "--json", tmp_path / "s.json")
    done = typed("evaluate", tmp_path / "p.npz", *words)
    assert done.code == 0, done
    for line in ("mAP 0.9", "mAP mean", "true tags, whole clips", "truth on 1 s, outer", "truth on 1 s, nearest"):
        assert line in done.out, done.out
    told = json.loads((tmp_path / "s.json").read_text())
    assert told["dataset"] == "unav" and set(told["figures"]) == set(UNAV.metrics) and len(told["ceilings"]) == 3
    table = typed("table", tmp_path / "s.json", "--published", "--mix")
    assert table.code == 0 and "truth on whole seconds, outer" in table.out and "28.9" in table.out, table


def test_published_rows_are_of_its_metrics():
    held = read_published(UNAV)
    assert held.dataset == "unav" and held.clips == UNAV_SIZES["test"]
    assert all(row.metrics == tuple(UNAV.metrics) for row in held.rows)
    assert {row.features for row in held.rows} == set(held.features)


@pytest.fixture(scope="module")
def official(shared):
    if not (shared / "unav").is_dir() or not (shared / "golden_ave_unav").is_dir():
        pytest.skip(f"no unav/ and golden_ave_unav/ among the reference material at {shared}")
    return UNAV.read_split(shared / "unav", "test")


def test_the_published_file_is_read_as_it_is_known(shared, official):
    assert list(UNAV_NAMES) == (shared / "unav" / "classes.txt").read_text().splitlines()
    assert len(official.clip_ids) == UNAV_SIZES["test"] and len(official.events) == 5_900
    assert official.truth.shape == (2_167, 60, 2, 100) and official.truth.any(axis=(0, 1, 2)).all()
    found = list(unav_defects(shared / "unav", UNAV_NAMES))
    assert [(row[0], row[3]) for row in found if row[0] != "one-on-segments"] == [("overlap-seconds", "1vrR6Im_RDo")]
    assert sum(row[0] == "one-on-segments" for row in found) == 30_059 - 29_889 - 1


def test_tags_alone_and_whole_seconds_score_what_is_known(official):
    found = ceilings(official.events, official.clip_seconds, 1.0, 100)
    known = {"true tags, whole clips": 28.9, "truth on 1 s, outer": 83.5, "truth on 1 s, nearest": 89.7}
    for name, average in known.items():
        assert 100 * found[name].average == pytest.approx(average, abs=0.3), name  # the order of equals is chance
    fewer = tags_as_events(official.events, official.clip_seconds, rarer_first=True)
    assert 100 * detection_precision(fewer, official.events, 100).average == pytest.approx(31.6, abs=0.3)
    finer = ceilings(official.events, official.clip_seconds, 0.25, 100)
    assert finer["truth on 0.25 s, outer"].average > 0.96
    copied = tags_copied(official.weak_labels, 60) & official.valid[:, :, None, None]
    scores = score(copied, official.truth, valid=official.valid)
    assert (round(scores.segment.audio_visual, 1), round(scores.event.audio_visual, 1)) == (75.8, 54.9)


@pytest.mark.parametrize("name", ["test", "validation"])
def test_f_on_whole_seconds_is_the_published_one(shared, official, name):
    split = official if name == "test" else UNAV.read_split(shared / "unav", "validation")
    told = json.loads((shared / "golden_ave_unav" / "uwav_unav_f.json").read_text())[name]
    with np.load(shared / "golden_ave_unav" / f"uwav_unav_f_{name}.npz") as held:
        clips = len(held["seconds"])
        lasts = split.valid[:clips]
        assert np.array_equal(lasts.sum(axis=1), held["seconds"])
        truth = split.truth[:clips]
        assert np.array_equal(truth[:, :, 0], drawn_of(held["truth"], truth.shape[:2]))
        for family in (key.removeprefix("pred__") for key in held if key.startswith("pred__")):
            marks = np.repeat(drawn_of(held[f"pred__{family}"], truth.shape[:2])[:, :, None], 2, axis=2)
            scores = score(marks, truth, valid=lasts)
            assert np.abs(scores.per_clip[:, :, 2] - held[f"pervideo__{family}"]).max() < 1e-12, family
            for level, prefix in ((scores.segment, "Seg"), (scores.event, "Event")):
                assert level.audio_visual == pytest.approx(told[family][f"{prefix}-av"], abs=1e-9), family


def drawn_of(rows, shape):
    marks = np.zeros((*shape, 100), dtype=bool)
    for clip, name, start, stop in rows.reshape(-1, 4):
        marks[clip, start:stop, name] = True
    return marks


def test_the_page_says_what_the_truth_itself_scores(official):
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8").split("<!-- ceilings -->")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| t")]
    assert len(rows) == 4
    found = {
        name: of for seconds in (1.0, 0.25) for name, of in
        ceilings(official.events, official.clip_seconds, seconds, 100).items()
    }  # fmt: skip
    for name, *cells in rows:
        of = found[name]
        assert cells == [f"{100 * value:.1f}" for value in (*of.mean[[4, 6, 8]], of.average)], name
