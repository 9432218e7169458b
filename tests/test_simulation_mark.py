"""The mark of simulated features: it follows them from the folder to every score."""

import json

import pytest

from tests.test_runs import SMALL
from tests.typed import typed
from valor.predictions import read_predictions
from valor.simulated import SimulationOptions, simulate
from valor.simulation_mark import is_simulated, marked, pass_mark, write_mark

KINDS = ("vggish", "res152", "r2plus1d")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of `valor train` on a simulated folder, as a user would make it by mistake."""
    folder = tmp_path_factory.mktemp("simulated")
    data = simulate(folder, KINDS, SimulationOptions(clips=40), folder, progress=False)
    sets = [part for change in SMALL for part in ("--set", change)]
    line = ("train", "valor", "--data", data, "--labels", data, "--out", folder / "t1", "--device", "cpu", "--quiet")
    done = typed(*line, *sets)
    assert done.code == 0, done.err
    return data, folder / "t1"


def test_a_name_is_marked_once():
    assert marked("valor") == marked(marked("valor")) == "SIMULATED valor"


def test_a_mark_is_passed_on_and_one_that_is_there_stays(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    pass_mark(source, out, {"source": "a card"})
    assert json.loads((out / "SIMULATED.json").read_text()) == {"simulated": True, "source": "a card"}
    write_mark(source, {"simulated": True, "seed": 7})
    pass_mark(source, out, {})
    assert "a card" in (out / "SIMULATED.json").read_text()
    pass_mark(source, tmp_path / "new", {})
    assert is_simulated(tmp_path / "new")
    assert (tmp_path / "new/SIMULATED.json").read_bytes() == (source / "SIMULATED.json").read_bytes()


def test_a_run_is_marked_in_recipe_scores_and_predictions(trained):
    _, run = trained
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["name"] == "SIMULATED valor" and recipe["run"]["sources"]["simulated"] is True
    assert json.loads((run / "scores.json").read_text())["simulated"] is True
    assert read_predictions(run / "predictions.npz").simulated


def test_its_row_says_so_and_stands_beside_nothing_published(trained):
    assert "SIMULATED t1" in typed("table", trained[1]).out
    complaint = typed("table", trained[1], "--published", "--mix").complaint()
    assert "SIMULATED t1: scores on SIMULATED features mean nothing" in complaint


def test_packed_features_and_labels_say_so_without_the_mark_of_their_folder(trained, tmp_path):
    data, run = trained
    moved = tmp_path / "moved"
    for path in (path for path in data.rglob("*") if path.is_file() and path.name != "SIMULATED.json"):
        (moved / path.relative_to(data)).parent.mkdir(parents=True, exist_ok=True)
        (moved / path.relative_to(data)).write_bytes(path.read_bytes())
    on = ("--annotations", moved, "--split", "test")
    done = typed("evaluate", run, *on, "--json", tmp_path / "scores.json")
    assert done.code == 0 and "SIMULATED t1" in done.out
    assert json.loads((tmp_path / "scores.json").read_text())["simulated"] is True
    assert typed("predict", run, "--data", moved, "--out", tmp_path / "p.npz").code == 0
    assert "SIMULATED p" in typed("evaluate", tmp_path / "p.npz", *on).out
    (moved / "labels.json").unlink()
    sets = [part for change in SMALL for part in ("--set", change)]
    again = ("train", "valor", "--data", moved, "--labels", moved, "--out", tmp_path / "t2", "--no-test", "--quiet")
    assert typed(*again, "--device", "cpu", *sets).code == 0
    assert json.loads((tmp_path / "t2/recipe.json").read_text())["name"] == "SIMULATED valor"
