"""VGGSounder: labels heard and seen, figures of clips and of subsets, what is refused and what lint lists."""

import json

import numpy as np
import pytest

from tests.helpers.toy_vggsounder import CLASSES, write_vggsounder, write_vggsounder_store, write_vggsounder_world
from tests.helpers.typed import typed
from valor.data.datasets.dataset import VGGSOUNDER, chosen_dataset, dataset_of
from valor.data.datasets.to_harvest import read_any_manifest
from valor.data.datasets.vggsounder import VGGSOUNDER_METRICS
from valor.data.lint import lint_folder
from valor.data.predictions import Predictions, score_predictions
from valor.eval.metrics import Judged, figures_of

WIND, SPEECH, CAT, CELLO = range(4)


@pytest.fixture
def folder(tmp_path):
    return write_vggsounder(tmp_path / "vgg")


def _test_of(folder):
    return dataset_of(folder).read_split(folder, "test")


def test_labels_are_heard_or_seen_and_clips_have_meta_labels(folder):
    dataset = dataset_of(folder)
    assert (dataset.name, dataset.names, dataset.splits) == ("vggsounder", CLASSES, ("test",))
    split = dataset.read_split(folder, "test")
    assert len(split.clip_ids) == 6 and split.clip_ids[0] == "aaaaaaaaaaa_000000"
    heard, seen = split.modality_tags.swapaxes(0, 1)
    assert heard[0].tolist() == [False, True, True, False] and np.flatnonzero(seen[0]).tolist() == [CAT]
    assert (heard[3, CELLO], seen[3, CELLO], heard[5, CAT], seen[5, CAT]) == (False, True, True, True)  # A and V
    assert np.array_equal(split.truth, np.repeat(split.modality_tags[:, None], 10, axis=1))
    assert {name: np.flatnonzero(of).tolist() for name, of in split.subsets.items()} == {
        "background music": [1],
        "static image": [3],
        "voice over": [0, 4],
    }
    assert VGGSOUNDER.read_split(folder, "test").class_names == CLASSES  # as from Python, without its folder


def test_classes_come_from_the_list_the_labels_or_a_description(tmp_path):
    folder = write_vggsounder(tmp_path / "vgg", listed=False, train=True)
    assert dataset_of(folder).names == tuple(sorted(CLASSES)) == chosen_dataset("vggsounder", folder).names
    (folder / "vggsound.csv").write_text("iiiiiiiiiii,3,yodelling,train\n")
    assert dataset_of(folder).names[-1] == "yodelling"
    told = {"dataset": "vggsounder", "name": "mine", "classes": [*CLASSES, "yodelling"]}
    (folder / "dataset.json").write_text(json.dumps(told))
    assert dataset_of(folder).names == (*CLASSES, "yodelling") and dataset_of(folder).splits == ("train", "test")


def test_train_has_the_tags_of_vgg_sound(tmp_path):
    folder = write_vggsounder(tmp_path / "vgg", train=True)
    train = dataset_of(folder).read_split(folder, "train")
    assert train.clip_ids == ("ggggggggggg_000030", "hhhhhhhhhhh_000000")
    assert train.weak_labels.argmax(axis=1).tolist() == [CAT, SPEECH] and train.modality_tags is train.truth is None
    table = folder / "vggsound.csv"
    table.write_text(f"video,start,label,split\n{table.read_text()}")
    assert dataset_of(folder).read_split(folder, "train").clip_ids == train.clip_ids
    assert read_any_manifest(table, CLASSES).clip_ids == train.clip_ids
    assert read_any_manifest(folder / "vggsounder.csv", CLASSES).modality_tags.shape == (6, 2, 4)
    with pytest.raises(ValueError, match="or in none: harvest one"):
        read_any_manifest(folder, CLASSES)


def test_figures_are_of_clips_and_of_what_is_asked_for(folder):
    split = _test_of(folder)
    held = {"truth": split.truth, "weak_labels": split.weak_labels, "subsets": split.subsets}
    once = split.truth & (np.arange(10) == 4)[:, None, None]
    probs = np.where(once, 0.9, 0.1)
    assert set(figures_of(Judged(predicted=once, segment_probs=probs, **held), VGGSOUNDER_METRICS).values()) == {100.0}
    heard = once.copy()
    heard[:, :, 1] = False  # as if nothing were seen
    found = figures_of(Judged(predicted=heard, **held), VGGSOUNDER_METRICS)
    assert (found["audible F1 clips"], found["visible F1 clips"], found["both jaccard"]) == (100, 0, 0)
    assert found["all F1 micro"] == pytest.approx(100 * 2 * 7 / (2 * 7 + 1))  # one of 8 labels is only seen
    assert found["static image jaccard"] == 50 and found["voice over F1 clips"] == 100
    assert found["all mAP"] is found["audible hit"] is None  # of decisions


def test_probabilities_are_those_of_the_clip_where_they_are_there(folder):
    split = _test_of(folder)
    held = {"predicted": split.truth, "truth": split.truth, "weak_labels": split.weak_labels}
    flat = np.full(split.truth.shape, 0.5)
    wrong = figures_of(Judged(segment_probs=flat, **held), VGGSOUNDER_METRICS)
    assert wrong["audible mAP"] < 60 and wrong["both hit"] < 50
    by = split.modality_tags.astype(float)
    told = figures_of(Judged(segment_probs=flat, modality_probs=by, **held), VGGSOUNDER_METRICS)
    assert {told[f"{view} {figure}"] for view in ("all", "audible", "both") for figure in ("mAP", "hit")} == {100.0}
    of_clip = figures_of(Judged(segment_probs=flat, clip_probs=1 - by.max(axis=1), **held), VGGSOUNDER_METRICS)
    assert of_clip["all hit"] == 0 and of_clip["audible mAP"] == wrong["audible mAP"]
    part = np.arange(10) > 0
    flat[:, 0] = split.modality_tags  # a second that is not there
    hidden = figures_of(Judged(segment_probs=flat, valid=np.tile(part, (6, 1)), **held), VGGSOUNDER_METRICS)
    assert hidden["audible mAP"] == wrong["audible mAP"]


def test_probabilities_of_modalities_reach_the_figures(folder):
    split = _test_of(folder)
    names = {"clip_ids": split.clip_ids, "class_names": split.class_names}
    flat = np.full(split.truth.shape, 0.5, np.float32)
    guess = Predictions(**names, segment_probs=flat, modality_probs=split.modality_tags.astype(np.float32))
    scores, report = score_predictions(guess, split)
    assert scores.figures["visible mAP"] == 100 and report["dataset"] == "vggsounder"
    assert report["anchors"]["tags copied"]["figures"]["all F1 clips"] == 100
    assert report["anchors"]["nothing predicted"]["figures"]["visible mAP"] is None


SPEECH_ROW = '"male speech, man speaking",A,False,False,True'


TABLE, LIST, TRAIN = "vggsounder.csv", "classes.txt", "vggsound.csv"


@pytest.mark.parametrize(
    ("file", "old", "new", "says", "kind"),
    [
        (TABLE, "cello,V", "cello,B", "csv:6: ddd.*modality of .*cello must be A, V, AV, got 'B'", "modality"),
        (TABLE, "wind noise,A,", "wind nois,A,", "csv:5: ccc.*unknown class 'wind nois'.*wind noise", None),
        (TABLE, SPEECH_ROW, SPEECH_ROW.replace("True", "yes"), "csv:3: aaa.*voice_over must be True or", None),
        (TABLE, SPEECH_ROW, SPEECH_ROW.replace("True", "False"), "csv:3: aaa.*not in line 2", "meta-differs"),
        (TABLE, ",A,False,False,True\nbbb", ",A,False\nbbb", "csv:3: expected 6 cells", "columns"),
        (TABLE, "bbbbbbbbbbb_000030", " bbb", "csv:4: clip id must be a plain name, got ' bbb'", "columns"),
        (TABLE, "voice_over", "voice", "expected the columns .*: voice_over", None),
        (LIST, "cat purring\n", "cat purring\ncat purring\n", "txt:4: cat purring stands in line 3", None),
        (LIST, "cat purring", "cat purring ", "txt:3: expected a name, no white space", None),
        (TRAIN, ",30,", ",-1,", "vggsound.csv:1: ggg.*whole second it starts at, got '-1'", "time"),
        (TRAIN, "purring,train", "purring,dev", "vggsound.csv:1: .*split must be train or test", "split"),
        (TRAIN, "purring,test", "purring,train", "csv:3: aaaaaaaaaaa_000000: .*splits never", "shared-clip"),
        (TRAIN, "hhhhhhhhhhh,0", "ggggggggggg,30", "csv:2: .*stands in line 1 already", "repeated-clip"),
    ],
)
def test_what_cannot_be_read_is_said_with_file_and_line(tmp_path, file, old, new, says, kind):
    folder = write_vggsounder(tmp_path / "vgg", train=True)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=says):
        dataset_of(folder).read_split(folder, "train" if file == TRAIN else "test")
    if kind:
        assert len(lint_folder(folder, dataset=dataset_of(folder)).of(kind)) == 1


def test_a_row_that_lost_a_cell_of_a_wider_table_is_not_shifted(folder):
    wider = "video_id,label,note,modality,background_music,static_image,voice_over\n"
    (folder / "vggsounder.csv").write_text(
        f"{wider}aaa,wind noise,n,A,False,False,True\nb,wind noise,A,False,False,True\n"
    )
    with pytest.raises(ValueError, match="csv:3: expected 7 cells, got"):
        _test_of(folder)
    assert [one.line for one in lint_folder(folder, dataset=dataset_of(folder)).of("columns")] == [3]


def test_what_is_unusual_is_listed(folder):
    table = folder / "vggsounder.csv"
    report = lint_folder(folder, dataset=dataset_of(folder))
    assert [str(one) for one in report.findings] == [
        "vggsounder.csv:10: fffffffffff_000210: cat purring stands in line 9 with another modality"
    ]
    table.write_text(table.read_text() + "fffffffffff_000210,cat purring,A,False,False,False\n")
    (folder / "classes.txt").unlink()
    report = lint_folder(folder, dataset=dataset_of(folder))
    assert [one.line for one in report.of("repeated-tag")] == [11] and len(report.of("no-class-list")) == 1
    table.unlink()
    with pytest.raises(FileNotFoundError, match="a folder of VGGSounder holds vggsounder.csv"):
        chosen_dataset("vggsounder", folder)


def test_the_whole_line_on_clips_with_several_labels(tmp_path):
    write_vggsounder_world(tmp_path)
    folder, out = tmp_path / "vggsounder", tmp_path / "out"
    linted = typed("lint", folder)
    assert linted.code == 0 and "6 test clips" in linted.out, linted
    wanted = ("--annotations", folder, "--split", "test", "--json", out / "v.json")
    done = typed("evaluate", tmp_path / "guess.npz", *wanted)
    assert done.code == 0 and "voice over F1 clips" in done.out and "says nothing of when" in done.err, done
    held = json.loads((out / "v.json").read_text())
    assert set(held["figures"].values()) == {100.0} and tuple(held["figures"]) == tuple(VGGSOUNDER_METRICS)
    table = typed("table", out / "v.json")
    assert table.code == 0 and "Figures of vggsounder (4 of 4)" in table.out, table
    assert "voice over jaccard" in table.out and max(map(len, table.out.splitlines())) < 350  # not all 35 abreast
    planned = typed("harvest", folder, "--videos", tmp_path, "--store", tmp_path / "s", "--plan")
    assert "6 in the manifest" in planned.out, planned
    store = write_vggsounder_store(folder)
    made = typed("calibrate", store, "--criterion", "tag-rate", "--out", tmp_path / "t.json")
    assert made.code == 0, made
    labelled = typed("labels", store, "--thresholds", tmp_path / "t.json", "--out", tmp_path / "labels")
    assert labelled.code == 0, labelled
