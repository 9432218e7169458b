"""A class name with a comma is one name in every command; a harvest and a training are in test_own_classes."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from tests.helpers.toy_ave import write_ave
from tests.helpers.typed import typed
from valor.data.datasets.dataset import dataset_of
from valor.data.predictions import Predictions, write_predictions
from valor.data.tables import EVENT_TABLES, WEAK_TABLES, write_event_table, write_weak_table

NAMES = ("Cry, baby", "Dog")
TYPED = '"Cry, baby",Dog'
CLIPS = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_0_10")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Tables and predictions of two clips, the first of a crying baby until 4 s and the second of a dog."""
    folder = tmp_path_factory.mktemp("names")
    for name in WEAK_TABLES.values():
        clips = [f"{clip[:10]}{name[5]}{clip[11:]}" if "test" not in name else clip for clip in CLIPS]
        write_weak_table(folder / "data" / name, clips, np.eye(2, dtype=bool), NAMES)
    for name in EVENT_TABLES["v2024"]:
        write_event_table(folder / "data" / name, [(CLIPS[0], 0, 4, NAMES[0]), (CLIPS[1], 2, 9, NAMES[1])])
    probs = np.full((2, 10, 2, 2), 0.1, np.float32)
    probs[0, :4, :, 0] = probs[1, 2:9, :, 1] = 0.9
    whole = {"clip_probs": probs.max(axis=(1, 2)), "modality_probs": probs.max(axis=1)}
    write_predictions(folder / "p.npz", Predictions(clip_ids=CLIPS, class_names=NAMES, segment_probs=probs, **whole))
    return folder


@pytest.mark.parametrize("how", ["typed", "names", "objects"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lint", "data"), "tagged but in no row: Cry, baby"),
        (("evaluate", "p.npz", "--annotations", "data", "--split", "test", "--per-class"), "Cry, baby"),
        (("calibrate", "p.npz", "--annotations", "data", "--split", "test", "--out", "t.json"), "Cry, baby"),
        (("plot", "classes", "p.npz", "--annotations", "data", "--split", "test", "--out", "c.png"), "wrote c.png"),
        (("view", "p.npz", "--data", "data", "--out", "v.html"), "wrote v.html"),
    ],
)
def test_it_is_one_name_typed_and_in_files(toy, tmp_path, monkeypatch, words, said, how):
    for name in ("data", "p.npz"):
        (tmp_path / name).symlink_to(toy / name)
    monkeypatch.chdir(tmp_path)
    held = [NAMES[0], {"name": NAMES[1], "visual_threshold": 3}] if how == "objects" else list(NAMES)
    (tmp_path / "own.json").write_text(json.dumps(held))
    done = typed(*words, "--classes", TYPED if how == "typed" else "own.json", "--quiet")
    assert done.code == 0 and said in done.out, done
    if words[0] == "evaluate":
        assert "100.0" in done.out


def test_names_beside_the_tables_are_found_by_all(toy, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for path in (toy / "data").iterdir():
        (tmp_path / "data" / path.name).symlink_to(path)
    (tmp_path / "data" / "classes.json").write_text(json.dumps(NAMES))
    monkeypatch.chdir(tmp_path)
    on = (toy / "p.npz", "--annotations", "data", "--split", "test")
    assert typed("lint", "data").code == typed("evaluate", *on).code == 0
    assert typed("calibrate", *on, "--out", "t.json").code == 0
    assert "Cry, baby" in typed("evaluate", *on, "--thresholds", "t.json", "--per-class").out
    wrong = typed("evaluate", *on, "--classes", "Cry, baby,Dog").complaint()
    assert "unknown class" in wrong or "Cry" in wrong


def test_tables_written_by_pandas_are_read_alike(toy, tmp_path):
    (tmp_path / "data").mkdir()
    for path in (toy / "data").iterdir():
        frame = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE)
        frame.to_csv(tmp_path / "data" / path.name, sep="\t", index=False)
    assert '"""Cry, baby"""' in (tmp_path / "data/AVVP_train.csv").read_text()
    for name in EVENT_TABLES["v2024"]:  # where the name stands alone, somebody may have put it in quotes
        table = tmp_path / "data" / name
        table.write_text(table.read_text().replace("Cry, baby", '"Cry, baby"'))
    done = typed("evaluate", toy / "p.npz", "--annotations", tmp_path / "data", "--split", "test", "--classes", TYPED)
    usual = typed("evaluate", toy / "p.npz", "--annotations", toy / "data", "--split", "test", "--classes", TYPED)
    figures = [one.out.partition("truth of")[0] for one in (done, usual)]  # what follows is the sha256 of the tables
    assert done.code == 0 and figures[0] == figures[1]
    found = [typed("lint", folder / "data", "--classes", TYPED).out.splitlines()[1:] for folder in (toy, tmp_path)]
    assert found[0] == found[1]


def test_predicted_events_may_be_in_quotes(toy, tmp_path):
    for name in ("audio", "visual"):
        rows = [f'{CLIPS[0]}\t0\t4\t"""Cry, baby"""', f"{CLIPS[1]}\t2\t9\tDog"]
        (tmp_path / f"p.{name}.tsv").write_text("\n".join(["filename\tonset\toffset\tevent_label", *rows, ""]))
    (tmp_path / "p.clips.txt").write_text("".join(f"{clip}\n" for clip in CLIPS))
    given = ("--annotations", toy / "data", "--split", "test", "--classes", TYPED)
    done = typed("evaluate", tmp_path / "p.audio.tsv", *given)
    assert done.code == 0 and "100.0" in done.out, done


def test_an_unknown_class_is_told_beside_names_whose_ends_are_seen(toy, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text('filename\tevent_labels\nx\t"Dog,""Cri, baby"""\n')
    said = typed(
        "harvest", table, "--videos", tmp_path, "--store", tmp_path / "s", "--classes", TYPED, "--plan"
    ).complaint()
    assert "unknown class 'Cri, baby' (did you mean Cry, baby?); known are \"Cry, baby\", Dog; " in said


@pytest.mark.parametrize("words", [
    "lint data", "evaluate p.npz --annotations data --split test",
    "plot classes p.npz --annotations data --split test --out c.png",
    "view p.npz --data data --out v.html", "calibrate p.npz --annotations data --split test --out t.json",
    "train demo --data data", "harvest m.csv --videos . --store store",
])  # fmt: skip
def test_a_class_with_a_typo_gets_a_guess(toy, tmp_path, monkeypatch, words):
    for name in ("data", "p.npz"):
        (tmp_path / name).symlink_to(toy / name)
    (tmp_path / "m.csv").write_text("filename\tevent_labels\naaaaaaaaaaa_0_10\tSpeech\n")
    monkeypatch.chdir(tmp_path)
    assert (
        "got 'Spech' (did you mean Speech?), which is no file; names"
        in typed(*words.split(), "--classes", "Spech").complaint()
    )


def test_the_guess_is_of_the_data_set_too(tmp_path):
    write_ave(tmp_path)
    with pytest.raises(ValueError, match=r"got 'Mandolim' \(did you mean Mandolin\?\)"):
        dataset_of(tmp_path).names_in(tmp_path, "Mandolim")
