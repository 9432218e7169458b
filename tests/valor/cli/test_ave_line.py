"""AVE from the command line: `evaluate`, `lint` and `table` on a small folder of it."""

import json

import pytest

from tests.helpers.toy_ave import ROWS, write_ave, write_guess
from tests.helpers.typed import typed
from valor.data.datasets import AVE
from valor.data.score_file import read_scores_json, write_scores_json
from valor.scoring.compare import ON_TEST, read_published


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
    assert "best on the test split itself, and so flattered: CMRAN; " in done.out
    write_scores_json(tmp_path / "ours.json", scores | {"selection": "figures.accuracy"})
    done = typed("table", tmp_path / "ours.json", "--published")
    assert "left out for another selection: CMRAN, PSP, CMBS, " in done.out


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
