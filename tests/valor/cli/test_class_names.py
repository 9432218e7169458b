"""A class name with a comma is one name in every command; a harvest and a training are in test_own_classes."""

import json

import numpy as np
import pytest

from tests.helpers.typed import typed
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
