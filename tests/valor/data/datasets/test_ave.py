"""AVE: its annotation and orders as published, what is refused of them, and what `valor lint` lists."""

import json

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_ave import ORDERS, ROWS, write_ave, write_hdf5, write_labels
from tests.helpers.toy_run import write_npy
from valor.data.datasets.ave import AVE_NAMES
from valor.data.datasets.dataset import AVE, LLP, dataset_of
from valor.data.datasets.to_harvest import vocabulary_of
from valor.data.features.feature_files import find_feature_files
from valor.data.features.hdf5 import read_hdf5
from valor.data.lint import lint_folder
from valor.data.predictions import Predictions, score_predictions
from valor.eval.accuracy import ONE_EVENT_METRICS
from valor.eval.metrics import Judged, figures_of
from valor.eval.scores import nothing_predicted, tags_copied

BACKGROUND = len(AVE_NAMES)


@pytest.fixture(scope="module")
def real(shared):
    if not (shared / "ave").is_dir() or not (shared / "golden_ave_unav").is_dir():
        pytest.skip(f"no annotation and golden vectors of AVE at {shared}")
    return shared / "ave"


def labels_of(split):
    both = split.truth.all(axis=2)
    return np.where(both.any(axis=-1), both.argmax(axis=-1), BACKGROUND)


@pytest.mark.parametrize(("name", "background"), [("train", 16.86), ("val", 18.21), ("test", 17.79)])
def test_the_published_splits_are_read(real, name, background):
    split = dataset_of(real).read_split(real, name)
    assert len(split.clip_ids) == AVE.sizes[name] and split.role == name
    labels = labels_of(split)
    assert round(100 * (labels == BACKGROUND).mean(), 2) == background
    order = read_hdf5(real / f"{name}_order.h5", "order")
    assert np.array_equal(split.weak_labels, read_hdf5(real / "mil_labels.h5", "avadataset")[order][:, :28] == 1)
    assert np.array_equal(labels != BACKGROUND, read_hdf5(real / "labels_closs.h5", "avadataset")[order] == 1)
    if name != "train":
        with np.load(real.parent / "golden_ave_unav" / f"ave_argmax_{name}.npz", allow_pickle=False) as golden:
            assert np.array_equal(labels, golden["truth"])


@pytest.mark.parametrize(("name", "nothing", "copied"), [("test", 17.79, 82.21), ("val", 18.21, 81.79)])
def test_the_true_class_of_a_clip_in_every_second_scores_as_known(real, name, nothing, copied):
    split = AVE.read_split(real, name)
    told = {}
    for what, marks in (("nothing", nothing_predicted(split.truth)), ("copied", tags_copied(split.weak_labels, 10))):
        judged = Judged(predicted=marks, truth=split.truth, weak_labels=split.weak_labels)
        told[what] = figures_of(judged, ONE_EVENT_METRICS)
    assert round(told["nothing"]["accuracy"], 2) == nothing and round(told["copied"]["accuracy"], 2) == copied
    assert told["copied"]["accuracy_partial"] < 52 and told["nothing"]["event_f"] == 0
    if name == "test":
        assert round(told["copied"]["boundary_f"], 1) == 64.9  # the share of clips that are full


def test_the_page_says_what_knowing_nothing_of_when_scores(real):
    split = AVE.read_split(real, "test")
    commonest = np.zeros_like(split.weak_labels)
    commonest[:, split.weak_labels.sum(axis=0).argmax()] = True
    rows = {
        "nothing": nothing_predicted(split.truth),
        "tags": tags_copied(split.weak_labels, 10),
        "commonest": tags_copied(commonest, 10),
    }
    page = (ROOT / "docs" / "datasets.md").read_text().partition("<!-- ave anchors -->")[2].splitlines()
    for name, marks in rows.items():
        told = figures_of(Judged(predicted=marks, truth=split.truth, weak_labels=split.weak_labels), ONE_EVENT_METRICS)
        (line,) = [line for line in page if line.startswith(f"| {name} ")]
        shown = ("accuracy", "accuracy_partial", "event_f", "boundary_f")
        assert line.split(" | ")[1:] == [f"{told[figure]:.1f}" for figure in shown[:-1]] + [f"{told[shown[-1]]:.1f} |"]


def test_the_defects_of_the_published_tables_are_listed(real):
    report = lint_folder(real, dataset=AVE)
    counts = {kind: sum(by_file.values()) for kind, by_file in report.counts().items()}
    assert counts == {"two-splits": 18, "second-row": 28, "no-length": 1}
    assert [str(found) for found in report.of("no-length")] == ["Annotations.txt:27: VWi2ENBuTbw: Church bell 0 to 0"]


def test_a_folder_is_known_by_its_files_and_by_its_description(tmp_path):
    folder = write_ave(tmp_path / "found")
    assert dataset_of(folder) is AVE and vocabulary_of(None, folder) is AVE.classes
    (folder / "AVVP_test_pd.csv").write_text("filename\tevent_labels\n")
    with pytest.raises(ValueError, match=r"found: holds files of ave and llp; say which with a file dataset\.json"):
        dataset_of(folder)
    (folder / "dataset.json").write_text('{"dataset": "llp"}')
    assert dataset_of(folder) is LLP
    (folder / "dataset.json").write_text(json.dumps({"dataset": "ave"}))
    assert dataset_of(folder) is AVE


def test_a_row_is_a_clip_and_the_second_of_a_video_has_a_name_of_its_own(tmp_path):
    folder = write_ave(tmp_path)
    train, val, test = (AVE.read_split(folder, split) for split in AVE.splits)
    assert train.clip_ids == ("bbbbbbbbbbb+2", "aaaaaaaaaaa", "bbbbbbbbbbb")
    assert labels_of(train).tolist()[0] == [28, 28, 5, 5, 5, 5, 28, 28, 28, 28]
    assert labels_of(train).tolist()[2] == [28, 28, 1, 1, 1, 1, 28, 28, 28, 28]
    assert not val.truth.any() and val.weak_labels[0, 2]  # an event without length is a tag
    assert test.clip_ids == ("eeeeeeeeeee", "ddddddddddd") and test.truth[0, 5:, :, 0].all()


def test_both_clips_of_a_video_have_its_features(tmp_path):
    split = AVE.read_split(write_ave(tmp_path), "train")
    for video in ("aaaaaaaaaaa", "bbbbbbbbbbb"):
        write_npy(tmp_path / "feats/vggish", video, np.ones((10, 128), np.float32))
    paths, missing = find_feature_files(tmp_path, "vggish", split)
    assert not missing and [paths[row].stem for row in range(3)] == ["bbbbbbbbbbb", "aaaaaaaaaaa", "bbbbbbbbbbb"]


def test_rows_may_stand_in_files_of_splits_under_a_header(tmp_path):
    write_ave(tmp_path, orders={})
    head = "Category&VideoID&Quality&StartTime&EndTime"
    (tmp_path / "testSet.txt").write_text("\r\n".join([head, *(ROWS[k] for k in ORDERS["test"]), "", ""]))
    other = write_ave(tmp_path / "other", rows=(head, *ROWS))
    found, plain = AVE.read_split(tmp_path, "test"), AVE.read_split(other, "test")
    assert found.clip_ids == plain.clip_ids and found.truth_sha256 == plain.truth_sha256


@pytest.mark.parametrize(("row", "message"), [
    ("Bark&ddddddddddd&good&0", r"Annotations\.txt:5: expected Category&VideoID&.*, got 'Bark&ddddddddddd&good&0'"),
    ("Barc&ddddddddddd&good&0&10", r"Annotations\.txt:5: unknown class 'Barc'; names are spelled as"),
    ("Helicoptr&ddddddddddd&good&0&10", r"Annotations\.txt:5: unknown class 'Helicoptr'.*Helicopter"),
    ("Bark&ddddddddddd&good&0&9.5", r"Annotations\.txt:5: expected whole seconds .*, got 0 and 9\.5"),
    ("Bark&ddddddddddd&good&-1&5", r"Annotations\.txt:5: expected whole seconds .*, got -1 and 5"),
    ("Bark&ddddddddddd&good&6&5", r"Annotations\.txt:5: expected an event within the 10 s .*, got 6 to 5"),
    ("Bark&ddddddddddd&good&6&11", r"Annotations\.txt:5: expected an event within the 10 s .*, got 6 to 11"),
    ("Bark&&good&6&10", r"Annotations\.txt:5: expected the name of a video"),
    ("", r"Annotations\.txt:5: expected Category&VideoID"),
])  # fmt: skip
def test_a_damaged_row_is_refused_with_its_line(tmp_path, row, message):
    folder = write_ave(tmp_path, rows=(*ROWS[:4], row, ROWS[5]))
    with pytest.raises(ValueError, match=message):
        AVE.read_split(folder, "test")
    findings = [str(found) for found in lint_folder(folder, dataset=AVE).findings]
    assert any(text.startswith("Annotations.txt:5: ") for text in findings)


@pytest.mark.parametrize(("order", "message"), [
    (np.array([5, 6]), r"test_order\.h5: expected rows 0 to 5 of Annotations\.txt, got 6 at position 1"),
    (np.array([-1, 4]), r"test_order\.h5: expected rows 0 to 5 .*, got -1 at position 0"),
    (np.array([5, 5]), r"test_order\.h5: 1 rows stand there twice, such as 5"),
    (np.array([5, 0]), r"test_order\.h5: 1 rows stand in train_order\.h5 as well, the first of them line 1"),
    (np.array([5.0, 4.0]), r"test_order\.h5: expected an order of whole numbers \[clips\], got float64 \(2,\)"),
])  # fmt: skip
def test_a_damaged_order_is_refused(tmp_path, order, message):
    folder = write_ave(tmp_path)
    write_hdf5(folder / "test_order.h5", "order", order)
    with pytest.raises(ValueError, match=message):
        AVE.read_split(folder, "test")
    assert lint_folder(folder, dataset=AVE).severities()["refused"]


def test_what_is_missing_is_said_with_where_it_is_published(tmp_path):
    folder = write_ave(tmp_path)
    (folder / "Annotations.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"Annotations\.txt: no such annotation; a folder of AVE holds"):
        AVE.read_split(folder, "test")
    write_ave(tmp_path)
    (folder / "val_order.h5").unlink()
    assert len(AVE.read_split(folder, "test").clip_ids) == 2
    with pytest.raises(FileNotFoundError, match=r"val_order\.h5: no such file"):
        AVE.read_split(folder, "val")


def test_published_labels_are_compared_with_the_annotation(tmp_path):
    folder = write_ave(tmp_path)
    write_labels(folder)
    assert not lint_folder(folder, dataset=AVE).of("labels-differ")
    write_labels(folder, num_columns=28)
    (found,) = lint_folder(folder, dataset=AVE).of("labels-differ")
    assert str(found) == "mil_labels.h5: expected [6, 29] (28 events and background), got [6, 28]"
    write_hdf5(folder / "mil_labels.h5", "avadataset", np.eye(29, dtype=np.float32)[[0, 1, 5, 2, 3, 0]])
    (found,) = lint_folder(folder, dataset=AVE).of("labels-differ")
    assert str(found) == "mil_labels.h5: ddddddddddd: row 4 has other labels than line 5 of Annotations.txt"


def test_lists_of_rows_that_overlap_are_refused(tmp_path):
    write_ave(tmp_path)
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}_order.h5").unlink()
    (tmp_path / "trainSet.txt").write_text("\n".join(ROWS[:4]))
    (tmp_path / "testSet.txt").write_text(ROWS[5] + "\n" + ROWS[1])
    with pytest.raises(ValueError, match=r"testSet.txt:2: 1 rows stand in trainSet.txt as well, such as Male "):
        AVE.read_split(tmp_path, "test")
    (tmp_path / "testSet.txt").write_text(ROWS[5])
    assert AVE.read_split(tmp_path, "test").clip_ids == ("eeeeeeeeeee",)


def test_predictions_with_a_class_of_background_are_refused_with_what_to_do(tmp_path):
    split = AVE.read_split(write_ave(tmp_path), "test")
    probs = np.full((2, 10, 2, 29), 0.1, np.float32)
    names = (*AVE_NAMES, "background")
    predictions = Predictions(
        clip_ids=split.clip_ids, class_names=names, segment_probs=probs, clip_probs=probs[:, 0, 0]
    )
    with pytest.raises(ValueError, match=r"1 extra \(background\); leave background out: where no class is marked"):
        score_predictions(predictions, split)
