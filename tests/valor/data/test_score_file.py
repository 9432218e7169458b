"""Score files and run folders: what is changed, swapped or gone is seen by the command that reads it."""

import json
import shutil

import numpy as np
import pytest

from tests.helpers.toy_run import SMALL
from tests.helpers.typed import typed
from valor.data.score_file import read_scores_json, write_scores_json
from valor.data.seal import sealed_json

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


def test_every_flip_of_a_file_beside_it_is_seen(runs):
    unseen = []
    for path in (runs / "one" / name for name in FILES[1:]):
        payload = path.read_bytes()
        for bit in range(8 * len(payload)):
            changed = bytearray(payload)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            try:
                read_scores_json(runs / "one" / "scores.json")
            except ValueError:
                continue
            unseen.append((path.name, bit))
        path.write_bytes(payload)
    assert not unseen and read_scores_json(runs / "one" / "scores.json")["truth_sha256"] == "0"


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


def test_scores_by_hand_of_others_of_an_older_version_or_copied_alone_are_read(runs):
    older, other = runs / "older.json", runs / "two" / "scores.json"
    older.write_text(json.dumps(REPORT))
    shutil.copy(runs / "one" / "scores.json", runs / "copied.json")
    other.write_text(json.dumps(REPORT | {"format": "theirs 3"}))
    assert read_scores_json(older) == REPORT and read_scores_json(other)["format"] == "theirs 3"
    assert typed("table", older, runs / "copied.json", runs / "two", "--mix").code == 0


def test_a_change_of_ones_own_is_read_once_the_seal_is_taken_out(runs):
    path = runs / "copied.json"
    mine = json.loads((runs / "one" / "scores.json").read_text()) | {"note": "mine"}
    path.write_text(json.dumps(mine))
    assert "where the change is yours, take the keys format and checksum out" in typed("table", path).complaint()
    path.write_text(json.dumps({key: value for key, value in mine.items() if key not in ("format", "checksum")}))
    assert typed("table", path).code == 0
    write_scores_json(path, REPORT)
    path.write_bytes(sealed_json(REPORT, "valor scores 1.", indent=1).encode())
    assert "none of this version" in typed("table", path).complaint()


def test_scores_of_other_predictions_do_not_name_those_beside_them(runs):
    path = runs / "one" / "scores.json"
    write_scores_json(path, REPORT, scored=runs / "two" / "predictions.npz")
    assert "beside" not in json.loads(path.read_text())
    write_scores_json(path, REPORT, scored=runs / "one" / "predictions.npz")
    assert set(json.loads(path.read_text())["beside"]) == set(FILES[1:])


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
        ("scores.json", b"{"),
        ("predictions.npz", whole["predictions.npz"][:-9]),
        ("predictions.npz", strange.read_bytes()),
    ):
        (run / name).write_bytes(payload)
        refused = typed(*line, "--no-test", "--quiet")
        assert refused.code == 2 and f"{name}: " in refused.err
        done = typed(*line)
        assert done.code == 0 and f"{name}: " in done.err and "made anew" in done.err
        assert {name: (run / name).read_bytes() for name in FILES} == whole
    (run / "scores.json").write_text('{"mine": 1}')
    assert typed(*line).code == 0 and json.loads((run / "scores.json").read_text()) == {"mine": 1}
    (run / "recipe.json").unlink()
    assert typed(*line).code == 2
