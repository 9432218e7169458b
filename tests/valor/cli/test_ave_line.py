"""AVE from the command line: `evaluate`, `lint` and `table` on a small folder of it."""

import json

import pytest

from tests.helpers.toy_ave import ROWS, write_ave, write_guess
from tests.helpers.typed import typed
from valor.data.datasets.dataset import AVE
from valor.data.score_file import read_scores_json, write_scores_json
from valor.eval.scores import FIGURES, LEVELS
from valor.scoring.compare import compare
from valor.scoring.published import read_published
from valor.training.recipes import RECIPES
from valor.training.run_folder import ON_TEST
from valor.training.seeds import best_on_test


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The small AVE and predictions of its test clips: right about the bark and wrong about the bell."""
    folder = write_ave(tmp_path_factory.mktemp("ave"))
    file = folder.parent / "guess.npz"
    write_guess(file, folder)
    return folder, file


def test_evaluate_prints_the_figures_of_ave_beside_what_knows_nothing(scored, tmp_path):
    folder, file = scored
    done = typed("evaluate", file, "--annotations", folder, "--split", "test", "--anchors", "--json", tmp_path / "s")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["accuracy", "50.0", "25.0", "75.0", "25.0", "50.0"] in lines  # nothing, tags, commonest (bell), its own
    assert ["accuracy_partial", "0.0", "50.0", "50.0", "50.0", "0.0"] in lines
    assert ["boundary_f", "50.0", "0.0", "50.0", "0.0", "50.0"] in lines
    report = json.loads((tmp_path / "s").read_text())
    assert report["dataset"] == "ave" and report["figures"]["accuracy_tracks"] == 50
    assert report["anchors"]["tags copied"]["figures"]["accuracy"] == 75
    assert list(report["anchors"])[2:] == ["commonest class copied", "its own class copied"]


def test_the_table_has_the_published_rows_with_their_sources(scored, tmp_path):
    folder, file = scored
    typed("evaluate", file, "--annotations", folder, "--split", "test", "--json", tmp_path / "ours.json")
    scores = read_scores_json(tmp_path / "ours.json") | {"clips": 402, "clips_expected": 402}
    write_scores_json(tmp_path / "ours.json", scores)
    done = typed("table", tmp_path / "ours.json", "--published", "--format", "markdown")
    assert done.code == 0, done.err
    for name, accuracy, source in (
        ("VALOR (NeurIPS 2023)", "80.4", "UWAV T2"),
        ("true clip class in every second", "82.2", "AVE tables (computed)"),
    ):
        (line,) = [line for line in done.out.splitlines() if line.startswith(f"| {name} |")]
        assert f"| {accuracy} |" in line and line.endswith(f"| {source} |")
    assert "best on the test split itself, and so flattered: CMRAN, supervised; " in done.out
    assert "no source of their figures was seen: AVEL, CMRAN, MM-Pyramid, PSP, CMBS, " in done.out
    write_scores_json(tmp_path / "ours.json", scores | {"selection": "figures.accuracy"})
    done = typed("table", tmp_path / "ours.json", "--published")
    assert "left out for another selection: CMRAN, supervised, CMBS, supervised, " in done.out


def test_every_published_row_says_where_it_was_read():
    held = json.loads(AVE.published.read_text())
    published = read_published(AVE)
    assert published.clips == 402 and len({row.title for row in published.rows}) == len(published.rows) > 25
    for row in published.rows:
        assert row.features in held["features"] and row.confidence in held["confidence"]
        assert bool(row.sources) == (row.confidence != "recalled")
        assert all(source.partition(" T")[0] in held["sources"] for source in row.sources), row
        assert row.selection in (None, ON_TEST) and row.metrics == ("accuracy",)


def test_lint_lists_what_is_wrong_and_refuses_what_no_rule_covers(tmp_path):
    done = typed("lint", write_ave(tmp_path / "as it is"))
    assert done.code == 0 and "Annotations.txt:4: ccccccccccc: Bark 0 to 0" in done.out
    assert "Annotations.txt:3: bbbbbbbbbbb: Female speech, woman speaking; line 2, Male speech" in done.out
    done = typed("lint", write_ave(tmp_path / "late", rows=(*ROWS[:5], "Church bell&eeeeeeeeeee&good&5&12")))
    assert done.code == 3 and "event that is reversed or ends beyond its clip: 1   [bad-times] refused" in done.out


def test_of_epochs_the_one_that_is_best_on_test_is_shown_below_and_never_the_best(scored, tmp_path):
    folder, file = scored
    typed("evaluate", file, "--annotations", folder, "--split", "test", "--json", tmp_path / "run" / "scores.json")
    report = read_scores_json(tmp_path / "run" / "scores.json")
    best = {**report, "selection": ON_TEST, "figures": {name: 100.0 for name in report["figures"]}}
    del best["anchors"]
    write_scores_json(tmp_path / "run" / "chosen-on-test.json", best)
    found = compare([tmp_path / "run", f"twin={tmp_path / 'run'}"])
    names = [row.name for row in found.rows]
    assert names[:4] == ["run", "run, epoch chosen on test", "twin", "twin, epoch chosen on test"]
    assert found.rows[1].figures[10] == 100 and found.best(10) == 50
    assert any("flattered: run, epoch chosen on test" in note for note in found.notes)
    assert any(note.startswith("zero-shot class copied: not known") for note in found.notes)


@pytest.mark.parametrize(("accuracies", "epoch"), [([20.0, 60.0, 40.0], 2), ([60.0, 20.0, 60.0], 1)])
def test_the_epoch_that_is_best_on_test_is_the_first_of_the_highest(accuracies, epoch, tmp_path):
    ten = {level: dict.fromkeys(FIGURES, 1.0) for level in LEVELS}
    lines = [{"also_on_test": {**ten, "clips": 2, "figures": {"accuracy": figure}}} for figure in accuracies]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = best_on_test(tmp_path, RECIPES["ave-weak"], {"clips_expected": 2, "figures": {"accuracy": 1.0}})
    assert (found["epoch"], found["figures"]["accuracy"], found["clips_expected"]) == (epoch, 60, 2)
    (tmp_path / "log.jsonl").write_text(json.dumps({"epoch": 1}) + "\n" + json.dumps(lines[0]) + "\n")
    assert best_on_test(tmp_path, RECIPES["ave-weak"], {}) is None
