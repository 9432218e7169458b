"""A comparison in every format: the same figures, marks and notes."""

import csv
import io
import json
import re

import pytest

from tests.test_table import write_run
from valor.published import read_published
from valor.table import compare
from valor.table_layout import FORMATS, to_csv, to_json, to_latex, to_markdown, to_text

KNOWN = read_published()


@pytest.fixture
def comparison(tmp_path):
    for seed, value in enumerate((70.0, 72.0)):
        write_run(tmp_path / "mine_1" / f"seed-{seed}", value)
    return compare([tmp_path / "mine_1"], KNOWN, mix=True, baseline="HAN")


def line_of(text, name):
    return next(line for line in text.splitlines() if line.startswith(name))


def test_text_marks_the_best_the_impossible_and_the_remembered(comparison):
    text = to_text(comparison)
    assert re.findall(r"\d+\.\d(?: ± \d\.\d)?\*?", line_of(text, "mine_1"))[:2] == ["71.0 ± 1.4*", "72.0 ± 1.4"]
    assert re.search(r"^MA \(CVPR 2021\) +60\.3 +60\.0 +55\.1 +58\.9! +57\.9 +not stated$", text, re.MULTILINE)
    assert line_of(text, "VALOR+ (NeurIPS 2023) ?").endswith("han")
    assert "\npublished, CLIP + CLAP\nVALOR++" in text and "\nno parser at all\nnothing predicted" in text
    for note in ("* best of its column", "! Type@AV as printed", "? from memory", "rule nrep: segments >= 0.25"):
        assert note in text
    assert "Segment level, minus HAN (ECCV 2020)" in text


def test_text_puts_means_below_each_other_and_leaves_out_rows_without_figures(comparison):
    segment, _, event = to_text(comparison).partition("\n\nEvent level ")
    event = event.partition("\n\nSegment level, minus")[0]
    columns = {line.index(" 71.0 ± ") for line in segment.splitlines() if " 71.0 ± " in line}
    columns |= {line.index(" 60.1 ") for line in segment.splitlines() if line.startswith("HAN")}
    assert len(columns) == 1
    assert "AV2A" in segment and "AV2A" not in event


def test_differences_have_a_sign_and_no_negative_zero(tmp_path):
    runs = [write_run(tmp_path / "a", 60.04), write_run(tmp_path / "b", 60.0)]
    text = to_text(compare(runs, baseline="a"))
    assert line_of(text.partition("minus a")[2], "b").split() == ["b", *["+0.0"] * 5]


def test_a_comparison_without_baseline_or_published_rows_is_plain(tmp_path):
    text = to_text(compare([write_run(tmp_path / "a", 50.0), write_run(tmp_path / "b")]))
    assert "minus" not in text and "scored here" not in text and "!" not in text
    assert "60.0*" in text and "50.0*" not in text


def test_markdown_is_one_table_with_the_best_in_bold(comparison):
    text = to_markdown(comparison)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {14}
    assert line_of(text, "| mine_1 (2 seeds)").startswith("| mine_1 (2 seeds) | **71.0 ± 1.4** (+10.9) | 72.0 ± 1.4 (+")
    assert "58.9!" in line_of(text, "| MA") and "UWAV T1; NREPimg" in line_of(text, "| MA")
    assert "none seen (recalled)" in line_of(text, "| VALOR+ ")
    assert "\n- rule jomold: segments >= 0.5, gate modality >= 0.5" in text


def test_latex_balances_and_escapes(comparison):
    text = to_latex(comparison)
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {11}
    assert text.count("{") == text.count("}")
    assert r"mine\_1 (2 seeds) & \textbf{71.0\,$\pm$\,1.4} (+10.9)" in text
    assert text.startswith("% ") and text.endswith(r"\end{tabular}")


def test_csv_holds_unrounded_figures_and_what_is_known(comparison):
    rows = {row["system"]: row for row in csv.DictReader(io.StringIO(to_csv(comparison)))}
    assert float(rows["mine_1"]["segment.audio.sd"]) == pytest.approx(2**0.5)
    assert float(rows["VALOR (NeurIPS 2023)"]["segment.type_av.delta"]) == pytest.approx(8.0)
    assert rows["MM-Pyramid (ACM MM 2022)"]["impossible"] == "segment.type_av; event.type_av"
    assert rows["AV2A (CVPR 2025)"]["segment.audio"] == ""
    assert rows["VALOR+ (NeurIPS 2023)"]["confidence"] == "recalled"
    assert rows["HAN (ECCV 2020)"]["truth_sha256"] == KNOWN.truths["v2020"]


def test_json_reads_back(comparison):
    table = json.loads(to_json(comparison))
    rows = {row["name"]: row for row in table["rows"]}
    assert table["baseline"] == "HAN (ECCV 2020)" and table["notes"] == list(comparison.notes)
    assert rows["mine_1"]["sd"]["segment"]["audio"] == pytest.approx(2**0.5)
    assert rows["VALOR (NeurIPS 2023)"]["segment"]["type_av"] == 62.0
    assert rows["VALOR (NeurIPS 2023)"]["delta"]["segment"]["type_av"] == pytest.approx(8.0)
    assert rows["PPL (CVPR 2024)"]["impossible"] == ["event.type_av"]


def test_every_format_has_a_layout():
    from valor.commands.command import FORMATS as TYPED

    assert tuple(FORMATS) == TYPED
