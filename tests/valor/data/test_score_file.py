"""Score files and run folders: what is changed, swapped or gone is seen by the command that reads it."""

import json
import shutil

import numpy as np
import pytest

from tests.helpers.toy_run import SMALL
from tests.helpers.typed import typed
from valor.data.score_file import read_scores_json, write_scores_json

REPORT = {
    level: dict.fromkeys(("audio", "visual", "audio_visual", "type_av", "event_av"), 31.25)
    for level in ("segment", "event")
} | {"clips": 4}
FILES = ("scores.json", "recipe.json", "predictions.npz")


@pytest.fixture
def runs(tmp_path):
    """Two run folders as far as a table reads them."""
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        for file in FILES[1:]:
            (tmp_path / name / file).write_bytes(b"%d of " % number + file.encode())
        write_scores_json(tmp_path / name / "scores.json", REPORT | {"truth_sha256": str(number)})
    return tmp_path


def test_every_flip_of_a_score_file_is_seen(runs):
    path = runs / "one" / "scores.json"
    payload = path.read_bytes()
    assert read_scores_json(path)["segment"] == REPORT["segment"]
    unseen = []
    for at in range(len(payload)):
        path.write_bytes(payload[:at] + bytes([payload[at] ^ 1 << at % 8]) + payload[at + 1 :])
        try:
            read_scores_json(path)
        except ValueError:
            continue
        unseen.append(at)
    assert not unseen


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["lost", "swapped", "flipped"])
def test_a_table_sees_what_became_of_any_file_of_a_run(runs, name, harm):
    assert typed("table", runs / "one").code == 0
    path, other = runs / "one" / name, runs / "two" / name
    if harm == "lost":
        path.unlink()
    elif harm == "swapped":
        held = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(held)
    else:
        path.write_bytes(path.read_bytes().replace(b"o", b"p", 1))
    done = typed("table", runs / "one")
    assert done.code == 2 and name in done.err
    assert (typed("table", runs / "two").code == 0) == (harm != "swapped")


def test_scores_by_hand_of_an_older_version_or_copied_alone_are_read(runs):
    older = runs / "older.json"
    older.write_text(json.dumps(REPORT))
    shutil.copy(runs / "one" / "scores.json", runs / "copied.json")
    assert read_scores_json(older) == REPORT
    assert typed("table", older, runs / "copied.json", "--mix").code == 0


def test_a_finished_run_mends_its_predictions_and_scores(published, tmp_path):
    run = tmp_path / "run"
    sets = [f"--set={change}" for change in SMALL]
    line = ("train", "valor", "--data", published, "--out", run, "--device", "cpu", *sets)
    assert typed(*line, "--quiet").code == 0
    whole = {name: (run / name).read_bytes() for name in FILES}
    write_scores_json(tmp_path / "scores.json", REPORT)
    strange = tmp_path / "strange.npz"
    np.savez(strange, clip_ids=np.array(["a"]))
    for name, payload in (
        ("scores.json", whole["scores.json"].replace(b".", b"1.", 1)),
        ("scores.json", b"{}"),
        ("predictions.npz", whole["predictions.npz"][:-9]),
        ("predictions.npz", strange.read_bytes()),
    ):
        (run / name).write_bytes(payload)
        refused = typed(*line, "--no-test", "--quiet")
        assert refused.code == 2 and f"{name}: " in refused.err
        done = typed(*line)
        assert done.code == 0 and f"{name}: " in done.err and "made anew" in done.err
        assert {name: (run / name).read_bytes() for name in FILES} == whole
    (run / "recipe.json").unlink()
    assert typed(*line).code == 2
