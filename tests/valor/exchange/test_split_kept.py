"""Corrections are filed under the split that their clips are of, wherever something says which."""

import json

import numpy as np
import pytest

from tests.helpers.toy_exchange import NAMES, typed
from valor.data.common_classes import read_val_truth
from valor.data.datasets.dataset import dataset_of
from valor.data.label_file import FILE_NAME, write_pseudo_labels

CLIPS = {"train": ("one", "two"), "val": ("three", "four"), "test": ("five",)}


@pytest.fixture
def yard(tmp_path, monkeypatch):
    """A data set of three splits with tags, and labels of all of its clips."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "yard"
    folder.mkdir()
    for split, clips in CLIPS.items():
        rows = "".join(f"{clip}\t{NAMES[0]}\n" for clip in clips)
        (folder / f"{split}.tsv").write_text(f"filename\tevent_labels\n{rows}")
    described = {"name": "yard", "classes": "classes.json", "tags": {split: f"{split}.tsv" for split in CLIPS}}
    events = {"v1": ["heard.tsv", "seen.tsv"]}
    (folder / "dataset.json").write_text(json.dumps({**described, "events": events, "annotated": []}))
    (folder / "classes.json").write_text(json.dumps(NAMES))
    clips = tuple(clip for own in CLIPS.values() for clip in own)
    marks = np.zeros((len(clips), 10, 2, 2), bool)
    marks[:, 2:5] = True
    write_pseudo_labels(folder / "labels" / FILE_NAME, clips, NAMES, marks)
    assert typed("export", "events", "yard/labels", "--csv", "all.csv") == 0
    rows = (tmp_path / "all.csv").read_text().splitlines(keepends=True)
    for split, own in CLIPS.items():
        (tmp_path / f"{split}.csv").write_text(rows[0] + "".join(row for row in rows if row.split(",")[0] in own))
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("--exported-from", "yard/labels"),
        ("--exported-from", "yard/labels", "--data", "yard"),
        ("--data", "yard", "--classes", ",".join(NAMES)),
    ],
    ids=["tables above the labels", "tables that are named", "no source"],
)
def test_clips_of_val_are_filed_as_val(yard, tmp_path, capsys, words):
    assert typed("import", "events", "val.csv", *words, "--out", "marked") == 0
    told = capsys.readouterr().out
    assert "wrote marked, as split val\n" in told and "stand as" not in told
    known = dataset_of(yard)
    found = read_val_truth(tmp_path / "marked", known.read_clips(yard, "val"), known)
    assert sorted(found.clip_ids) == sorted(CLIPS["val"])
    assert not (tmp_path / "marked" / "test.tsv").exists()


def test_corrections_go_out_and_back_under_their_split(yard, tmp_path, capsys):
    typed("import", "events", "val.csv", "--exported-from", "yard/labels", "--out", "yard.val")
    typed("export", "events", "yard.val", "--split", "val", "--data", "yard", "--csv", "again.csv")
    text = (tmp_path / "again.csv").read_text()
    assert "three,2,5" in text
    (tmp_path / "again.csv").write_text(text.replace("three,2,5", "three,2,7"))
    capsys.readouterr()
    assert typed("import", "events", "again.csv", "--exported-from", "yard.val") == 0
    assert "wrote yard.val, as split val\n" in capsys.readouterr().out
    assert "three\t2\t7" in (tmp_path / "yard.val" / "heard.tsv").read_text()
    assert typed("import", "events", "yard.val", "--undo", "three") == 0
    assert "three\t2\t5" in (tmp_path / "yard.val" / "heard.tsv").read_text()
    assert not (tmp_path / "yard.val" / "test.tsv").exists()


def test_clips_of_several_splits_say_so(yard, capsys):
    assert typed("import", "events", "all.csv", "--exported-from", "yard/labels", "--data", "yard", "--out", "o") == 0
    told = capsys.readouterr().out
    assert "wrote o, as split test" in told
    assert "of 5 clips yard knows 2 of train, 2 of val, 1 of test, so they stand as test; --split NAME" in told


def test_without_tables_the_split_that_was_written_is_said(parses, capsys, tmp_path):
    typed("export", "events", "parses", "--csv", "all.csv")
    assert typed("import", "events", "all.csv", "--exported-from", "parses") == 0
    told = capsys.readouterr().out
    assert "wrote" in told and ", as split test\n" in told
    assert "nothing says of which split these clips are, so they stand as test; --split NAME says another" in told
    assert typed("import", "events", "all.csv", "--exported-from", "parses", "--split", "dev") == 2
    told = capsys.readouterr().err
    assert "--split must be one of train, val, test unless --data DIR says otherwise, got 'dev'" in told


def test_a_training_names_the_import_that_files_them_as_val(yard, tmp_path):
    typed("import", "events", "val.csv", "--exported-from", "yard/labels", "--split", "test", "--out", "marked")
    known = dataset_of(yard)
    said = r"or import files of its clips into another folder with the split val \(`valor import events`\)"
    with pytest.raises(ValueError, match=said):
        read_val_truth(tmp_path / "marked", known.read_clips(yard, "val"), known)
