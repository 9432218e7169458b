"""OV-AVEBench: seen and unseen classes, its figures, what teachers say by the second, and what is refused."""

import json

import numpy as np
import pytest

from tests.helpers.toy_ovave import CLIPS, SEEN, UNSEEN, write_ovave, write_ovave_store, write_ovave_world
from tests.helpers.typed import typed
from valor.data.anchors import ZERO_SHOT_SECONDS, zero_shot_of, zero_shot_seconds
from valor.data.datasets.dataset import OVAVE, dataset_of
from valor.data.datasets.ovave import ANNOTATION, META, OVAVE_SIZES, OVAVE_UNSEEN
from valor.data.lint import lint_folder
from valor.data.predictions import Predictions, score_predictions
from valor.data.tables import write_weak_table
from valor.eval.metrics import Judged, figures_of
from valor.scoring.published import read_published

AT = {name: OVAVE.names.index(name) for name in (SEEN, UNSEEN)}


@pytest.fixture
def folder(tmp_path):
    return write_ovave(tmp_path / "ovave")


def test_classes_and_clips_are_seen_or_unseen(folder):
    assert dataset_of(folder) is OVAVE and sum(OVAVE_SIZES.values()) == 24_800
    assert len(OVAVE.names) == 67 and len(OVAVE_UNSEEN) == 21 and list(OVAVE.names) == sorted(OVAVE.names)
    split = OVAVE.read_split(folder, "test")
    assert split.clip_ids == ("test-a", "test-b", "test-c") and split.unseen == OVAVE_UNSEEN
    assert {name: of.tolist() for name, of in split.subsets.items()} == {
        "seen": [True, False, False],
        "unseen": [False, True, True],
    }
    assert split.weak_labels.any(axis=1).tolist() == [True, True, False]  # the last one is background
    assert np.flatnonzero(split.truth[0, :, 0, AT[SEEN]]).tolist() == [0, 1, 2]
    assert np.array_equal(split.truth[:, :, 0], split.truth[:, :, 1])


def test_figures_stand_apart_for_seen_and_unseen(folder):
    split = OVAVE.read_split(folder, "test")
    held = {"weak_labels": split.weak_labels, "subsets": split.subsets, "truth": split.truth}
    assert set(figures_of(Judged(predicted=split.truth, **held), OVAVE.metrics).values()) == {100.0}
    marks = np.zeros_like(split.truth)
    marks[..., AT[SEEN]] = True  # right in 3 of 10 seconds of the seen clip, nowhere in the others
    found = figures_of(Judged(predicted=marks, **held), OVAVE.metrics)
    assert found["total Acc"] == pytest.approx(10) and found["seen Acc"] == pytest.approx(30)
    assert found["unseen Acc"] == found["unseen Seg"] == 0
    seconds = 100 * (2 * 3 / (10 + 3)) / 2  # the class and background, which is nowhere found
    assert found["seen Seg"] == pytest.approx(seconds, rel=1e-6) and found["seen Eve"] == 0
    assert found["seen Avg"] == pytest.approx((30 + seconds + 0) / 3, rel=1e-6)
    part = {"weak_labels": split.weak_labels[1:], "subsets": {k: v[1:] for k, v in split.subsets.items()}}
    assert figures_of(Judged(predicted=marks[1:], truth=split.truth[1:], **part), OVAVE.metrics)["seen Acc"] is None


def test_what_the_teachers_say_of_each_second(folder):
    split = OVAVE.read_split(folder, "test")
    assert zero_shot_seconds(folder, split) == {}
    write_ovave_store(folder)
    found = zero_shot_seconds(folder, split)
    assert set(found) == set(split.clip_ids)
    for clip_id, marks in found.items():
        _, name, own = CLIPS[clip_id]
        assert np.flatnonzero(marks[:, AT[name]]).tolist() == list(own) and marks.sum() == len(own)
    probs = np.full(split.truth.shape, 0.1, np.float32)
    held = Predictions(
        clip_ids=split.clip_ids, class_names=split.class_names, segment_probs=probs, clip_probs=probs[:, 0, 0]
    )
    _, report = score_predictions(held, split, zero_shot=zero_shot_of(folder, split))
    assert set(report["anchors"][ZERO_SHOT_SECONDS]["figures"].values()) == {100.0}
    assert zero_shot_of(folder, type(split)(**vars(split) | {"unseen": ()})).seconds == {}


def test_a_first_agreement_on_other_makes_a_clip_background(folder):
    write_ovave_store(folder, other=True)
    found = zero_shot_seconds(folder, OVAVE.read_split(folder, "test"))
    assert found["test-a"].sum() == found["test-b"].sum() == 10  # what agrees later takes the first class
    assert not found["test-c"].any()
    assert not zero_shot_seconds(folder, OVAVE.read_split(folder, "train"))["learn-a"].any()  # other came first


NOTHING = '"label": "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"'


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (META, "arc welding,close,learn-b", "helicopter,open,learn-b", "learn-b of train is of helicopter, which is u"),
        (META, "open,test-c", "close,test-c", "helicopter is seen here and unseen in .*csv:5"),
        (META, "open,test-c", "new,test-c", "csv:8: cls_type must be close or open, got 'new'"),
        (META, "open,test-c", "open,val-b", "val-b stands in .*csv:5 already; splits must not overlap"),
        (META, "test,arc", "final,arc", "split must be one of train, val, test, got 'final'"),
        (META, "test,arc welding", "test,arc weldin", "test-a: unknown class 'arc weldin'.*arc welding"),
        (META, "vid_name", "video", "expected the columns split,cls_name,cls_type,vid_name"),
        (META, ",open,test-c", "", "csv:8: expected 4 cells"),
        (META, ",open,test-c", ",open,test-c,more", "csv:8: expected 4 cells"),
        (META, ",open,test-c", ",open,", "csv:8: clip id must be a plain name, got ''"),
        (META, ",open,test-c", ",open,../c", "csv:8: clip id must be a plain name without path separators"),
        (META, ",open,test-c", ",open,test\x1b[2J", "csv:8: clip id must be a plain name"),
        (
            ANNOTATION,
            'welding", "label": "[1, 1, 1, 0,',
            f'{"h" * 5000}", "label": "[1, 1, 1, 0,',
            "is 'arc h{195}, and",
        ),
        (ANNOTATION, '"test-c"', '"test-d"', "says nothing of 1 clips of .*, such as test-c"),
        (
            ANNOTATION,
            f'"helicopter", {NOTHING}',
            f'"motorboat", {NOTHING}',
            "test-c: category is 'motorboat'",
        ),
        (ANNOTATION, "[1, 1, 1, 0,", "[2, 1, 1, 0,", "test-a: label must be 10 numbers of 0 and 1"),
        (ANNOTATION, "[1, 1, 1, 0,", "[1, 1,", "test-a: label must be 10 numbers of 0 and 1"),
        (ANNOTATION, "[1, 1, 1, 0,", "1, 1, 1, 0,", "ovavel_dataset_anno.json: "),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(folder, file, old, new, says):
    path = folder / "meta_anno_files" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=says):
        OVAVE.read_split(folder, "test")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        OVAVE.read_split(folder, "test")


def test_accents_composed_or_apart_are_one_clip(folder):
    table, path = (folder / "meta_anno_files" / name for name in (META, ANNOTATION))
    text, held = table.read_text(), json.loads(path.read_text())
    table.write_text(text.replace("test-c", "caf\u00e9"))
    path.write_text(json.dumps(held | {"cafe\u0301": held["test-c"]}))
    assert OVAVE.read_split(folder, "test").clip_ids[2] == "caf\u00e9"
    path.write_text(json.dumps(held | {"cafe\u0301": held["test-c"], "caf\u00e9": held["test-b"]}))
    with pytest.raises(ValueError, match="json: caf\u00e9 stands here twice, its accents composed and apart"):
        OVAVE.read_split(folder, "test")
    table.write_text(text.replace("learn-a", "cafe\u0301").replace("test-c", "caf\u00e9"))
    with pytest.raises(ValueError, match="csv:8: caf\u00e9 stands in .*csv:2 already; splits must not overlap"):
        OVAVE.read_split(folder, "test")


def test_what_is_unusual_is_listed(folder):
    path = folder / "meta_anno_files/ovavel_dataset_anno.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"nobody": held["test-a"]}))
    report = lint_folder(folder, dataset=OVAVE)
    assert {one.clip_id for one in report.of("background")} == {"learn-b", "test-c"}
    assert [one.clip_id for one in report.of("orphan")] == ["nobody"] and len(report.of("size")) == 3


def test_published_rows_are_those_of_the_notes(shared):
    published, said = read_published(OVAVE), (shared / "field.md").read_text(encoding="utf-8").replace("**", "")
    assert published.clips == 5_820 and len(published.rows) == 9
    for row in published.rows:
        known = dict(zip(row.metrics, row.figures[10:], strict=True))
        assert row.metrics == tuple(OVAVE.metrics)
        assert "/".join(f"{known[f'total {name}']:.1f}" for name in ("Acc", "Seg", "Eve", "Avg")) in said.replace(
            "**", ""
        )
        assert f"{known['seen Avg']:.1f} |" in said.replace("**", "")


def test_any_data_set_may_have_unseen_classes(tmp_path):
    tables = {"tags": {"train": "a.tsv", "test": "b.tsv"}, "events": {"v1": ["heard.tsv", "seen.tsv"]}}
    described = {"name": "birds", "classes": ["Wren", "Owl"], "unseen": ["Owl"], **tables, "annotated": []}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    write_weak_table(tmp_path / "a.tsv", ["a"], np.array([[True, False]]), ["Wren", "Owl"])
    write_weak_table(tmp_path / "b.tsv", ["b", "c"], np.eye(2, dtype=bool), ["Wren", "Owl"])
    birds = dataset_of(tmp_path)
    test = birds.read_split(tmp_path, "test")
    assert test.unseen == ("Owl",) and test.subsets["unseen"].tolist() == [False, True]
    write_weak_table(tmp_path / "a.tsv", ["a"], np.array([[True, True]]), ["Wren", "Owl"])
    with pytest.raises(ValueError, match="a of train is tagged with Owl, which is unseen in training, one of 1 such"):
        birds.read_split(tmp_path, "train")
    for nothing in (0, False, "", {}, None):
        (tmp_path / "dataset.json").write_text(json.dumps(described | {"unseen": nothing}))
        with pytest.raises(ValueError, match="dataset.json: unseen: expected a list"):
            dataset_of(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(described | {"unseen": ["Rook"]}))
    with pytest.raises(ValueError, match="unseen must be of its classes, got Rook"):
        dataset_of(tmp_path)


def test_the_whole_line_on_unseen_classes(tmp_path):
    write_ovave_world(tmp_path)
    folder, out = tmp_path / "ovave", tmp_path / "out"
    write_ovave_store(folder)
    assert typed("lint", folder).code == 0
    wanted = ("--annotations", folder, "--split", "test", "--json", out / "o.json")
    done = typed("evaluate", tmp_path / "guess.npz", *wanted)
    assert done.code == 0 and ZERO_SHOT_SECONDS in done.out and "unseen Avg" in done.out, done
    table = typed("table", out / "o.json", "--published", "--mix")
    assert table.code == 0 and "CueRator" in table.out, table
    small = ("parser.hidden_width=8", "parser.feedforward_width=8", "parser.num_heads=1", "fit.epochs=1")
    sets = [word for option in (*small, "fit.warmup_epochs=0") for word in ("--set", option)]
    run = typed("train", "ovave-weak", "--data", folder, "--out", out / "run", *sets, "--device", "cpu")
    assert run.code == 0 and "21 classes are unseen in training" in run.err, run
    planned = typed("harvest", folder, "--videos", tmp_path, "--store", tmp_path / "s", "--plan")
    assert "7 in the manifest" in planned.out, planned
