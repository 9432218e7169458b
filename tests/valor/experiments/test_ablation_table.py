"""An ablation on paper: what the table says, in every form, and what the figure draws."""

import csv
import io
import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tests.helpers.toy_ablation import toy_data, toy_options
from tests.helpers.typed import typed
from valor.eval.scores import Scores
from valor.experiments import ablation_table
from valor.experiments.ablate import Ablation, RowResult, open_world
from valor.experiments.ablation_table import (
    PANELS,
    SHOWN_COMBINATIONS,
    dot_rows,
    draw_ablation,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
    to_text,
    winner_line,
    write_ablation,
)
from valor.experiments.rows import GROUPS, ROWS, combined
from valor.scoring.over_seeds import difference

BY_NAME = {row.name: row for row in ROWS}


def result(name, val, values):
    """A row whose clips score values around those given, the same clips being hard for every row."""
    hard = np.random.default_rng(0).normal(0, 0.05, (40, 2, 4))
    scores = tuple(Scores.of_clips(np.clip(value / 100 + hard, 0, 1)) for value in values)
    return RowResult(row=BY_NAME[name], val=val, scores=scores)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    world = open_world(toy_data(folder, clips=40), folder, progress=False)
    results = (
        result("VALOR", (70.0, 71.0), (70.0, 72.0)),
        result("no labels: weak loss alone", (30.0, 31.0), (30.0, 31.0)),
        result("2 layers", (70.5, 71.5), (70.0, 72.2)),
        result("mix-up", (72.0, 73.0), (72.0, 74.1)),
    )
    return Ablation(
        world=world,
        options=toy_options("labels"),
        results=results,
        left_out={"CLIP": "no clip features"},
        failed={"4 layers": "seed 1000: loss nan"},
        differences={row.row.name: difference(row, results[0]) for row in results[1:]},
    )


def test_a_row_that_changed_nothing_is_named(found):
    said = "'2 layers' predicts to the byte what 'VALOR' does, in every seed: what it changes has changed nothing"
    assert said not in to_text(found) and said in to_text(replace(found, alike=("2 layers",)))


def test_one_seed_is_called_one_and_has_no_interval_over_seeds(found):
    rows = [replace(row, val=row.val[:1], scores=row.scores[:1]) for row in found.results]
    differences = {row.row.name: difference(row, rows[0]) for row in rows[1:]}
    one = replace(
        found, options=replace(found.options, seeds=1), results=tuple(rows), differences=differences, failed={}
    )
    text = to_text(one)
    assert text.splitlines()[0].endswith("; one seed") and "1 seeds" not in text and "paired t" not in text
    assert "one seed says nothing of others" in text and "* it leaves zero out" in text
    assert "1 seeds" not in to_markdown(one)


def test_the_text_has_a_line_a_row_under_the_title_of_its_group(found):
    lines = to_text(found).splitlines()
    assert [line for line in lines if line in ("Base", "Label source", "Layers", "Beyond the paper")] == [
        "Base", "Label source", "Layers", "Beyond the paper"]  # fmt: skip
    (base,) = [line for line in lines if line.startswith("VALOR ")]
    assert " 70.5 " in base and base.count("±") == 1 and "[" not in base
    (mixed,) = [line for line in lines if line.startswith("mix-up ")]
    assert " 72.5 " in mixed and "+2.1" in mixed and mixed.count("[") == mixed.count("(") == 1
    assert any("left out 'CLIP': no clip features" in line for line in lines)
    assert any("failed '4 layers': seed 1000: loss nan" in line for line in lines)


def test_a_star_needs_both_intervals(found):
    def starred(name):
        return "*" in next(line for line in to_text(found).splitlines() if line.startswith(name))

    assert starred("mix-up") and starred("no labels: weak loss alone")
    assert not starred("2 layers"), "no two seeds agree on it"


def test_the_winner_is_chosen_on_validation_among_what_may_be_combined(found):
    assert found.winner.row.name == "mix-up"
    assert [row.row.name for row in found.searched] == ["VALOR", "mix-up"]
    assert winner_line(found).startswith("'mix-up', +2.1 on test [")
    assert "chosen on validation among 2: 'mix-up'" in to_markdown(found)


def test_markdown_and_csv_hold_every_row(found):
    rows = [line for line in to_markdown(found).splitlines() if line.startswith("|")]
    assert "72.5 ± 0.7" in rows[-1] and rows[-1].count("±") == 8
    assert len(rows) == 2 + len(found.results) and len({row.count("|") for row in rows}) == 1
    table = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert [row["row"] for row in table] == [result.row.name for result in found.results]
    assert float(table[3]["segment.type_av.delta"]) == pytest.approx(2.05, abs=0.01)
    assert table[0]["segment.type_av.delta"] == "" and table[3]["changes"] == "methods.uwav.mixup_alpha=1.7"
    assert float(table[3]["event.audio.seeds.low"]) < 2.05 < float(table[3]["event.audio.seeds.high"])


def test_latex_holds_the_difference_from_the_base_with_both_intervals(found):
    text = to_latex(found)
    notes, _, table = text.partition(r"\begin{tabular}")
    assert table.startswith("{lrrrrrrrrrr}") and table.count("{") == table.count("}")
    (mixed,) = [line for line in table.splitlines() if line.startswith("mix-up &")]
    assert r"72.9\,$\pm$\,1.5 & " in mixed and "+2.1* & [+2.1, +2.1] & (+1.4, +2.7)" in mixed, mixed
    (weak,) = [line for line in table.splitlines() if line.startswith("no labels")]
    groups = dict.fromkeys(result.row.group for result in found.results)
    assert [line for line in table.splitlines() if r"\textit" in line] == [
        rf"\multicolumn{{11}}{{l}}{{\textit{{{GROUPS[group]}}}}} \\" for group in groups
    ]
    assert r"$-$4" in weak and " -" not in weak and "Type@AV" in table and r"$\Delta$" in table
    assert {line.count("&") for line in table.splitlines() if line.endswith(r"\\") and "multi" not in line} == {10}
    rows, _, below = table.partition(r"\bottomrule")
    typeset = " ".join(re.findall(r"footnotesize (.*)} ", below))
    assert found.world.title in typeset and f"means over {found.options.seeds} seeds" in typeset, typeset
    changed = to_latex(replace(found, options=replace(found.options, changes=("fit.epochs=10",)))).partition(
        "bottomrule"
    )
    assert "base changed: fit.epochs=10" in changed[2]
    assert "val" not in rows and "tuning" not in table and "% tuning" not in notes
    assert r"\bottomrule" + "\n" + r"\multicolumn{11}{l}{\footnotesize * both intervals leave zero out} \\" in table
    assert all(line.startswith("% ") for line in notes.splitlines())
    for said in (found.world.title, "paired bootstrap over 40 clips", r"\usepackage{booktabs}", "left out 'CLIP'"):
        assert said in notes, said


def test_json_holds_every_seed_and_how_the_winner_was_chosen(found):
    report = json.loads(to_json(found))
    assert report["chosen_on_validation"] == {"row": "mix-up", "among": 2}
    assert report["rows"][0]["val"] == [70.0, 71.0] and "over_clips" not in report["rows"][0]
    assert len(report["rows"][3]["segment"]["audio"]) == 2
    assert report["rows"][3]["clear"] is True
    assert set(report["rows"][3]["over_seeds"]["segment.type_av"]) == {"value", "low", "high", "p_value"}
    assert report["left_out"] == {"CLIP": "no clip features"} and report["base_recipe"]["name"] == "valor"


def test_the_figure_shows_parts_and_additions_on_scales_of_their_own(found):
    rows = dot_rows(found)
    assert [row.name for row in rows] == ["no labels: weak loss alone", "2 layers", "mix-up"]
    assert rows[2].points == pytest.approx((2.0, 2.1), abs=0.01)
    parts, additions = draw_ablation(found).axes
    assert parts.get_xlim()[0] < -40 < -5 < additions.get_xlim()[0]


def test_the_figure_has_room_for_the_best_combinations_only(found):
    singles = [row for row in ROWS if row.group == "beyond"]
    pairs = [row for one, other in combinations(singles, 2) if (row := combined(one, other)) is not None]
    added = tuple(replace(found.results[3], row=row, val=(60.0 + n, 60.0)) for n, row in enumerate(pairs))
    differences = found.differences | {row.name: found.differences["mix-up"] for row in pairs}
    many = replace(found, results=found.results + added, differences=differences)
    names = [row.name for row in dot_rows(many)]
    assert names[3:] == [row.name for row in pairs[-SHOWN_COMBINATIONS:]]
    assert all(row.name in to_text(many) for row in pairs)


def test_all_forms_are_written_whole(found, tmp_path):
    paths = write_ablation(tmp_path, found)
    assert [path.name for path in paths] == [
        f"ablation{ending}" for ending in (".txt", ".md", ".csv", ".tex", ".json", ".pdf", ".png", "-dark.png")
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert all(path.stat().st_size > 500 for path in paths)


def test_a_table_of_its_file_is_refused_by_what_it_is(found, tmp_path):
    write_ablation(tmp_path, found)
    said = typed("table", tmp_path / "ablation.json").complaint()
    assert "got the table of an ablation; it is a table already: ablation.tex, ablation.md, ablation.csv" in said
    assert "Name a run of it" in said and "need 'clips'" not in said


def test_every_group_has_its_place_in_the_figure_in_the_order_of_the_table():
    assert [name for panel in PANELS for name in panel] == [name for name in GROUPS if name != "base"]


def test_world_and_what_the_base_was_changed_by_stand_in_every_form(found):
    changed = "methods.entropy=on, fit.epochs=4; with entropy.py (sha256 0123456789ab)"
    options = replace(found.options, changes=("methods.entropy=on", "fit.epochs=4"))
    files = ("entropy.py (sha256 0123456789ab)",)
    own = replace(found, options=options, own=files, base_own=files)
    for form in (to_text, to_markdown):
        head = form(own).split("\n\n")[0].splitlines()
        assert head[0].startswith("SIMULATED features, LLP, valor, ") and head[1] == f"base changed: {changed}"
        of_rows = replace(found, options=replace(options, changes=()), own=files)  # of which the base takes nothing
        assert "base changed" not in form(of_rows) and f"own parts are of {files[0]}" in form(of_rows)
    (row, *_) = csv.DictReader(io.StringIO(to_csv(own)))
    assert row["world"] == found.world.title and row["base.changed"] == changed
    assert json.loads(to_json(own))["base_changed"] == list(options.changes)
    title = " ".join(draw_ablation(own).legends[0].get_title().get_text().split())
    assert title == f"What each part is worth: {found.world.title}; base changed: {changed}"


def test_a_base_alone_is_compared_with_nothing(found):
    assert "by chance" not in to_text(replace(found, results=found.results[:1]))


def test_two_seeds_are_said_to_be_too_few():
    said = {seeds: ablation_table._intervals_in_words(392, seeds) for seeds in (1, 2, 3)}
    assert said[2].endswith("paired t over 2 seeds, which are too few to publish")
    assert said[3].endswith("paired t over 3 seeds") and "too few" not in said[1]
