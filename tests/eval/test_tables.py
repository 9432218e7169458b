"""Tables of scores: the numbers, and how each format shows them."""

import csv
import io
import re
from dataclasses import asdict, replace
from statistics import fmean, stdev

import pytest

from valor.eval.scores import LevelScores, TenScores
from valor.eval.tables import (
    RULE,
    Cell,
    Sheet,
    csv_text,
    latex_escaped,
    score_table,
    to_csv,
    to_latex,
    to_markdown,
    to_text,
)

ANCHORS = ("nothing predicted",)


def scores(type_av, clips=50):
    level = LevelScores(audio=70.04, visual=60.06, audio_visual=50, type_av=type_av, event_av=65)
    return TenScores(segment=level, event=replace(level, audio=10.0), clips=clips)


@pytest.fixture
def table():
    return score_table(
        [
            ("nothing predicted", scores(8.36)),
            ("tags-only", [scores(60.0), scores(61.0), scores(64.0)]),
            ("VALOR & more_50%", [scores(66.0), scores(66.0), scores(66.3)]),
        ]
    )


def test_the_frame_holds_means_and_sample_deviations_unrounded(table):
    seeds = (60.0, 61.0, 64.0)
    row = table.loc[("tags-only", 3)]
    assert row["segment", "type_av", "mean"] == fmean(seeds)
    assert row["segment", "type_av", "sd"] == stdev(seeds)
    assert row["event", "audio", "mean"] == 10 and row["segment", "audio", "mean"] == fmean([70.04] * 3)
    assert table.loc[("nothing predicted", 1)].isna().sum() == 10  # one seed has no deviation
    assert table.shape == (3, 20)


def test_text_lines_up_and_sets_the_anchors_apart(table):
    lines = to_text(table, anchors=ANCHORS).splitlines()
    assert lines[0].split() == ["Segment", "level", "A", "V", "AV", "Type@AV", "Event@AV"]
    assert lines[2].startswith("tags-only (3 seeds)") and "61.7 ± 2.1" in lines[2]
    assert lines[4] == lines[1] == "-" * len(lines[1])
    assert lines[5].split() == ["nothing", "predicted", "70.0", "60.1", "50.0", "8.4", "65.0"]
    assert lines[7].startswith("Event level") and max(map(len, lines)) <= 100
    points = [[index for index, mark in enumerate(line) if mark == "."][::2] for line in (lines[2], lines[3])]
    assert points[0] == points[1]  # the decimal points of the means stand in columns
    assert lines[5].index("8.4") + 1 == points[0][3]
    assert all(line == line.rstrip() for line in lines)


def test_a_table_of_single_runs_has_no_deviations():
    text = to_text(score_table([("one", scores(60.0)), ("two", scores(61.0))]))
    assert "±" not in text and "seeds" not in text


def test_markdown_marks_the_best_system_and_no_anchor(table):
    rows = to_markdown(table, anchors=ANCHORS).splitlines()
    assert len({row.count("|") for row in rows}) == 1 and rows[0].count("|") == 12
    assert "**66.1 ± 0.2**" in rows[3] and "**61.7" not in rows[2]
    assert "**70.0 ± 0.0**" in rows[2] and "**70.0 ± 0.0**" in rows[3]  # equal at this precision: both
    assert rows[4].startswith("| *nothing predicted* |") and "**" not in rows[4]


def test_a_single_system_is_not_marked_best():
    assert "**" not in to_markdown(score_table([("one", scores(60.0))]))


def test_a_bar_in_a_name_does_not_end_its_cell():
    assert r"| a\|b |" in to_markdown(score_table([("a|b", scores(60.0))]))
    lines = to_markdown(score_table([("a\nb <img src=x>", scores(60.0))])).splitlines()
    assert len(lines) == 3 and lines[-1].startswith("| a b &lt;img src=x> |")


def test_latex_is_escaped_and_ruled(table):
    latex = to_latex(table, anchors=ANCHORS)
    assert r"VALOR \& more\_50\% (3 seeds) & " in latex
    assert r"\textbf{66.1\,$\pm$\,0.2}" in latex
    assert latex.count(r"\midrule") == 2 and latex.index(r"\midrule", 300) < latex.index("nothing predicted")
    assert all(row.count(" & ") == 10 for row in latex.splitlines() if row.endswith(r"\\") and "multicolumn" not in row)


def test_csv_reads_back_unrounded(table):
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["system"] for row in rows] == ["nothing predicted", "tags-only", "VALOR & more_50%"]
    assert float(rows[1]["segment.type_av"]) == fmean([60.0, 61.0, 64.0])
    assert float(rows[1]["segment.type_av.sd"]) == stdev([60.0, 61.0, 64.0])
    assert rows[0]["segment.type_av.sd"] == "" and rows[0]["seeds"] == "1"
    assert {f"event.{figure}" for figure in asdict(scores(1.0).event)} <= set(rows[0])


def test_decimals_are_those_asked_for(table):
    assert "61.67 ± 2.08" in to_text(table, decimals=2)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("one", [])],
        [("one", scores(1.0)), ("one", scores(2.0))],
        [("one", scores(1.0)), ("two", scores(1.0, clips=49))],
    ],
)
def test_rows_that_make_no_table_are_refused(rows):
    with pytest.raises(ValueError, match="different names with at least one score each, all over the same number"):
        score_table(rows)


def test_an_anchor_must_be_a_row(table):
    for layout in (to_text, to_markdown, to_latex):
        with pytest.raises(ValueError, match=r"anchors must be rows of the table .* got \['tags copied'\]"):
            layout(table, anchors=("tags copied",))


def test_html_says_what_is_best_and_where_groups_begin():
    rows = [["one", Cell("5.0", bold=True), Cell("4.0", after="*"), "3.0 ± 1.0"], ["<b>", "<i>", "1", "1"]]
    html = Sheet(columns=["", "A", "V", "A"], rows=rows, gaps={1: [RULE]}).to_html({"left": 2, "right": 1})
    assert re.findall(r'<th class="([^"]*)"[^>]*>([^<]+)', html) == [
        ("edge", "left"), ("edge", "right"), (" edge", "A"), ("", "V"), (" edge", "A"),
    ]  # fmt: skip
    assert re.findall(r'<td class="([^"]*)">([\d.]+)', html)[:3] == [
        ("bold edge", "5.0"),
        ("", "4.0"),
        (" edge", "3.0"),
    ]
    assert re.findall("<small>(.*?)</small>", html) == ["*", "±1.0"]
    assert re.findall(r'<tr class="([^"]*)"', html) == ["", "ruled"]
    assert ">&lt;b&gt;<" in html and ">&lt;i&gt;<" in html and "<b>" not in html


@pytest.fixture
def sheet():
    return Sheet(
        columns=["name|", "A & B", "rule"],
        rows=[
            ["one", Cell("7.0", bold=True, after=" (+1.0)"), "a|b"],
            ["two_", Cell("\u2013", latex="--"), ""],
            ["three", "12.5 \u00b1 0.3", "x"],
        ],
        left=(0, 2),
        gaps={0: ["first"], 1: ["", "second"], 3: [RULE]},
    )


def test_a_sheet_is_laid_out_for_the_terminal(sheet):
    assert sheet.to_text().splitlines() == [
        "name|       A & B  rule",
        "-----------------------",
        "first",
        "one    7.0 (+1.0)  a|b",
        "",
        "second",
        "two_            \u2013",
        "three  12.5 \u00b1 0.3  x",
        "-----------------------",
    ]
    assert sheet.to_text([6, 11, 4]).splitlines()[3] == "one      7.0 (+1.0)  a|b"


def test_a_sheet_in_markdown_escapes_bars_and_has_its_bold_cells(sheet):
    assert sheet.to_markdown().splitlines() == [
        r"| name\| | A & B | rule |",
        "| --- | ---: | --- |",
        "| **first** |  |  |",
        r"| one | **7.0** (+1.0) | a\|b |",
        "| **second** |  |  |",
        "| two_ | \u2013 |  |",
        "| three | 12.5 \u00b1 0.3 | x |",
    ]


def test_a_sheet_in_latex_is_escaped_ruled_and_spanned(sheet):
    assert sheet.to_latex({"Level": 1}).splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r" & \multicolumn{1}{c}{Level} & \\",
        r"\cmidrule(lr){2-2}",
        r"name| & A \& B & rule \\",
        r"\midrule",
        r"\multicolumn{3}{l}{\textit{first}} \\",
        r"one & \textbf{7.0} (+1.0) & a|b \\",
        r"\midrule",
        r"\multicolumn{3}{l}{\textit{second}} \\",
        r"two\_ & -- &  \\",
        r"three & 12.5\,$\pm$\,0.3 & x \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_comparisons_are_mathematics_in_latex():
    assert latex_escaped("gate clip >= 0.5, p <= 0.01 < a > b ≥ c") == (
        r"gate clip $\geq$ 0.5, p $\leq$ 0.01 $<$ a $>$ b $\geq$ c"
    )


def test_comma_separated_text_leaves_empty_what_is_not_known():
    assert csv_text(["a", "b,c"], [[1.5, None], [float("nan"), 'say "x"']]) == 'a,"b,c"\n1.5,\n,"say ""x"""'


def test_notes_below_a_latex_table_are_lines_no_wider_than_it(sheet):
    below = sheet.to_latex(notes=["! as printed", "~ " + "many words " * 12]).partition("\\bottomrule\n")[2]
    lines = below.splitlines()
    assert lines[0] == r"\multicolumn{3}{l}{\footnotesize ! as printed} \\" and len(lines) == 5
    assert lines[1].startswith(r"\multicolumn{3}{l}{\footnotesize \textasciitilde{} many") and len(lines[2]) < 100


def test_the_best_is_bold_only_where_it_is_said_to_be_clear(table):
    systems = table.index.get_level_values("system")[:2]
    pair = table.loc[table.index.get_level_values("system").isin(systems)]
    whole = to_latex(pair).count(r"\textbf")
    assert whole >= 10 and to_latex(pair, clear=[False] * 10).count(r"\textbf") == 0
    assert 1 <= to_markdown(pair, clear=[True] + [False] * 9).count("**") // 2 <= 2


def test_commands_in_notes_are_typeset_whole_and_with_both_hyphens():
    assert latex_escaped("say `valor a --b_c`, † 1") == r"say \texttt{valor a -{}-b\_c}, $\dagger$ 1"
    note = f"{'word ' * 11}`valor evaluate A --compare B` says it"
    below = Sheet(columns=["a"], rows=[["1"]]).to_latex(notes=[note]).partition(r"\bottomrule")[2]
    assert r"\texttt{valor~evaluate~A~-{}-compare~B} says it} \\" in below
