"""Scores and tables in the hand: said in a line, drawn, saved, and read back by what reads such files."""

import json
from dataclasses import replace

import numpy as np
import pytest

import valor
from tests.helpers.toy_scores import write_toy_scores
from valor.data.predictions import read_predictions
from valor.data.provenance import Provenance
from valor.eval.figures.style import Style
from valor.eval.figures.values import ValueRow, values_figure
from valor.eval.scores import score
from valor.scoring.compare import read_run

RNG = np.random.default_rng(3)
TRUTH = RNG.random((20, 10, 2, 4)) < 0.3
PREDICTED = TRUTH ^ (RNG.random(TRUTH.shape) < 0.1)


@pytest.fixture(scope="module")
def scores():
    return valor.score(PREDICTED, TRUTH)


def test_scores_are_a_line_a_table_and_a_figure(scores, painted):
    plain = score(PREDICTED, TRUTH)
    assert repr(scores).startswith(f"Scores of 20 clips: segment Type@AV {plain.segment.type_av:.1f}, Event@AV ")
    assert scores._repr_html_().count("<td>") == 10 and f"{plain.event.audio:.1f}" in scores._repr_html_()
    (axes,) = scores.plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "V", "AV", "Type@AV", "Event@AV"] * 2
    assert f"{plain.event.event_av:.1f}" in [text.get_text() for text in axes.texts]
    (alone,) = valor.score(PREDICTED[:1], TRUTH[:1]).plot().axes  # without intervals
    assert len(alone.lines) == 10 < len(axes.lines)


def test_an_axis_ends_at_a_hundred_percent_and_spans_five_points():
    (axes,) = valor.score(TRUTH, TRUTH).plot().axes
    low, high = axes.get_xlim()
    assert low == 95 and 100 < high <= 101 and max(axes.get_xticks()) <= high + 10


def test_saved_scores_are_a_row_of_a_table(scores, tmp_path, painted):
    scores.save(tmp_path / "scores.json")
    row = read_run(f"ours={tmp_path / 'scores.json'}")
    assert row.figures[3] == scores.segment.type_av and row.clips == row.clips_expected == 20
    table = valor.table(f"ours={tmp_path / 'scores.json'}", published=True, mix=True)
    assert repr(table).splitlines()[3].startswith("ours") and table._repr_html_().count("<tr") == 2 + len(table.rows)
    for ending, holds in ((".md", "| ours |"), (".tex", "\\toprule"), (".csv", "system,group"), (".txt", "Type@AV")):
        table.save(tmp_path / f"table{ending}")
        assert holds in (tmp_path / f"table{ending}").read_text()
    table.save(tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text())["rows"][0]["name"] == "ours"
    (axes,) = table.plot("event.audio").axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    doubted = {row.name for row in table.rows if row.confidence == "recalled" or row.figures[5] is None}
    assert names[0] == "ours" and doubted and not doubted & set(names)


def test_what_cannot_be_drawn_or_saved_is_refused(scores, tmp_path):
    with pytest.raises(ValueError, match=r"scores are saved as \*.json"):
        scores.save(tmp_path / "scores.npz")
    scores.save(tmp_path / "s.json")
    table = valor.table(tmp_path / "s.json")
    with pytest.raises(ValueError, match=r"a table is saved as \*.txt"):
        table.save(tmp_path / "table.doc")
    with pytest.raises(ValueError, match="figure must be one of segment.audio"):
        table.plot("segment.f")
    with pytest.raises(ValueError, match="next to one another"):
        values_figure([ValueRow(name, group, 1.0) for name, group in ("aA", "bB", "cA")], measure="F")


def test_the_figure_of_a_table_says_what_it_shows_and_rests_on(scores, tmp_path, painted):
    for seed in (1, 2):
        (tmp_path / f"seed-{seed}").mkdir()
        report = {**scores.to_dict(), "clips_expected": 20, "truth_sha256": "63" * 32, "world": "demo world"}
        scores.save(tmp_path / f"seed-{seed}/scores.json")
        (tmp_path / f"seed-{seed}/scores.json").write_text(json.dumps(report))
    figure = valor.table(f"ours={tmp_path}", published=True, mix=True).plot()
    assert figure.axes[0].get_xlabel() == "segment Type@AV (%)"
    title = " ".join(figure.get_suptitle().split())
    assert title.startswith("segment Type@AV on demo world, LLP; rule ") and "2 seeds, whiskers ± 1 sd" in title
    assert "without intervals" not in title
    assert "MA (" in title.partition("contradict")[2] and "truth: demo world 636363636363" in title
    assert "DEMO WORLD ours" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_colours_are_of_systems_and_single_runs_say_that_they_have_no_intervals(scores, tmp_path, painted):
    scores.save(tmp_path / "one.json"), scores.save(tmp_path / "two.json")
    figure = valor.table(tmp_path / "one.json", tmp_path / "two.json", published=True, mix=True).plot()
    assert "single runs, without intervals" in " ".join(figure.get_suptitle().split())
    theme, (axes,) = Style().colours, figure.axes
    colours = [line.get_color() for line in axes.lines]
    assert colours[:2] == list(theme.systems[:2]) and set(colours[2:]) == {theme.ink}
    for alone in (scores.plot(), valor.compare(scores, scores).plot()):
        dots = [line.get_color() for line in alone.axes[0].lines if line.get_markersize() == 5.5]
        assert dots.count(theme.systems[0]) >= 10 and set(dots) <= {theme.systems[0], theme.ink}


@pytest.mark.parametrize("seeds", [1, 3])
def test_differences_are_a_figure_and_a_file_of_every_form(seeds, tmp_path, painted):
    ours = [valor.score(TRUTH ^ (RNG.random(TRUTH.shape) < 0.1), TRUTH) for _ in range(seeds)]
    theirs = [valor.score(TRUTH ^ (RNG.random(TRUTH.shape) < 0.3), TRUTH) for _ in range(seeds)]
    found = valor.compare(ours, theirs) if seeds > 1 else valor.compare(ours[0], theirs[0])
    frame = found.to_frame()
    for ending in (".txt", ".md", ".csv", ".tex", ".json", ".png", ".pdf", ".svg"):
        found.save(tmp_path / f"found{ending}")
    line, few = repr(found).split("\n  ")
    assert few.startswith("20 clips are few: over fewer than 30")
    text = (tmp_path / "found.txt").read_text()
    assert text.startswith(f"{line}; all ten differences:\n") and text.endswith(f"\n{few}\n")
    assert (tmp_path / "found.md").read_text().count("\n| ") == 12
    tex = (tmp_path / "found.tex").read_text()
    assert tex.startswith("% Segment Type@AV: system") and "Level & Figure & $\\Delta$" in tex
    assert ("over seeds" in tex) == (seeds > 1)
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert lines[0].startswith("system,baseline,level,figure,value,low,high,p") and len(lines) == 11
    assert float(lines[4].split(",")[4]) == frame["value"][3] and float(lines[4].split(",")[7]) == frame["p"][3]
    held = json.loads((tmp_path / "found.json").read_text())
    assert held["differences"] == frame.to_dict(orient="records") and held["clips"] == 20
    (axes,) = found.plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "V", "AV", "Type@AV", "Event@AV"] * 2
    assert f"{frame['value'][3]:+.1f}" in [text.get_text() for text in axes.texts]
    assert found.plot(title="").legends[0].get_title().get_text() == ""
    with pytest.raises(ValueError, match=r"differences are saved as \*\.txt"):
        found.save(tmp_path / "found.npz")


def test_gathered_scores_are_those_of_the_verb(scores):
    gathered = valor.RunningScores()
    for clips in (slice(8), slice(8, None)):
        gathered.update(PREDICTED[clips], TRUTH[clips])
    found = gathered.compute()
    assert type(found) is type(scores) is valor.Scores and found == scores and repr(found) == repr(scores)
    assert valor.Scores.of(found) == found  # as pages said to draw and save them
    merged = valor.RunningScores()
    merged.merge(gathered.state)
    assert merged.compute() == found


def test_the_ten_figures_come_with_intervals(scores):
    found = scores.intervals(resamples=200)
    frame = found.to_frame()
    assert list(frame.columns) == ["level", "figure", "value", "low", "high"] and len(frame) == 10
    row = frame[(frame["level"] == "event") & (frame["figure"] == "visual")].iloc[0]
    assert row["value"] == pytest.approx(scores.event.visual) and row["low"] < row["value"] < row["high"]


def test_the_figure_of_scores_says_what_was_scored_and_that_it_is_simulated(tmp_path, painted):
    toy = write_toy_scores(tmp_path)
    for simulated in (False, True):
        held = replace(read_predictions(toy.good), provenance=Provenance(simulated=simulated))
        scores = valor.score(held, toy.data, split="test")
        begins = (
            "SIMULATED " * simulated + f"F-scores of {scores.clips} clips (own tables, test), segments >= 0.5, gate "
        )
        title = " ".join(scores.plot().get_suptitle().split())
        assert title.startswith(begins) and title.endswith("with 95 % intervals over clips"), title
        assert scores.plot(title="").get_suptitle() == "SIMULATED" * simulated
        assert scores.plot(title="mine").get_suptitle() == "SIMULATED " * simulated + "mine"


def test_intervals_are_a_line(scores):
    found = scores.intervals(resamples=200)
    assert repr(found).startswith(
        f"95 % intervals over 20 clips: segment Type@AV {found.of('segment', 'type_av').text()}, "
    )
    assert "\n" not in repr(found) and "array(" not in repr(found)


def test_two_seeds_are_said_to_be_too_few():
    runs = [valor.score(TRUTH ^ (RNG.random(TRUTH.shape) < noise), TRUTH) for noise in (0.1, 0.1, 0.3, 0.3, 0.1, 0.3)]
    assert "paired over 2 seeds, which are too few to publish, " in repr(valor.compare(runs[:2], runs[2:4]))
    assert "too few" not in repr(valor.compare([*runs[:2], runs[4]], runs[2:4] + [runs[5]]))


def test_where_interval_and_p_do_not_agree_is_said():
    """Few clips differ, all of them one way: the interval leaves zero out, and swapping finds as much by chance."""
    other = TRUTH.copy()
    other[:4] = False
    rare = valor.compare(
        valor.score(np.tile(TRUTH, (2, 1, 1, 1)), np.tile(TRUTH, (2, 1, 1, 1))),
        valor.score(np.concatenate([other, TRUTH]), np.tile(TRUTH, (2, 1, 1, 1))),
    )
    assert rare.clips.of("segment", "audio").low > 0 and rare.to_frame()["p"][0] > 0.05
    (said,) = rare.notes
    assert said.startswith("interval and p over clips do not agree on segment A, segment V")
