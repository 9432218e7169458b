"""An evaluation in every format: the same figures, and what they were scored on.

A comparison in every format: the same figures, marks and notes.
"""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.toy_scores import NAMES, write_toy_scores
from tests.valor.scoring.test_compare import write_run
from valor.data.predictions import read_predictions
from valor.eval.scores import nothing_predicted, score
from valor.scoring.columns import chosen_columns
from valor.scoring.compare import compare
from valor.scoring.layout import (
    EVALUATION_FORMATS,
    FORMATS,
    Evaluation,
    evaluation_to_csv,
    evaluation_to_json,
    evaluation_to_latex,
    evaluation_to_markdown,
    evaluation_to_text,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
    to_text,
)
from valor.scoring.legend import CLOSES_NOTHING
from valor.scoring.published import read_published
from valor.scoring.system import Section, class_sections, score_system


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    toy = write_toy_scores(tmp_path_factory.mktemp("toy"))
    system = score_system("my_system", read_predictions(toy.good), toy.split)
    frame = pd.DataFrame({"level": ["segment", "event"], "true": [1234, 0], "f_low": [12.34, np.nan]})
    return Evaluation(
        system=system,
        split="test",
        truth_version="v2024",
        world="demo world",
        anchors=[("nothing", score(nothing_predicted(system.truth), system.truth))],
        sections=[Section("extra", "Something more", frame), *class_sections(system, NAMES)],
    )


def test_every_format_says_clips_truth_and_rule(evaluation):
    digest = evaluation.system.report["truth_sha256"]
    line = f"32 of 32 test clips, truth v2024 {digest[:12]}, segments >= 0.5, gate clip >= 0.5"
    line += f"; {CLOSES_NOTHING}"  # the clips of this toy are its highest segments
    assert evaluation_to_text(evaluation).endswith(f"\n\n{line}") and evaluation_to_markdown(evaluation).endswith(
        f"\n\n{line}"
    )
    assert evaluation_to_latex(evaluation).startswith(f"% {line}\n")
    (first, *_) = csv.DictReader(io.StringIO(evaluation_to_csv(evaluation)))
    assert (first["clips"], first["clips_expected"], first["truth_sha256"]) == ("32", "32", digest)
    assert first["world"] == "demo world"
    assert first["post_processing"] == "segments >= 0.5, gate clip >= 0.5"
    assert json.loads(evaluation_to_json(evaluation))["truth_sha256"] == digest


def test_sections_are_aligned_with_one_decimal_and_a_dash_for_what_is_undefined(evaluation):
    text = evaluation_to_text(evaluation).partition("Something more\n")[2].partition("\n\n")[0]
    assert text.splitlines() == [
        "level     true   low",
        "--------------------",
        "segment  1,234  12.3",
        "event        0     –",
    ]


def test_the_modalities_of_a_class_table_are_set_apart(evaluation):
    text = evaluation_to_text(evaluation)
    assert text.count("\n\nvisual        Speech") == 2 and "audio-visual  Frying_(food)" in text


def test_markdown_and_latex_hold_the_sections(evaluation):
    assert (
        "Something more\n\n| level | true | low |\n| --- | ---: | ---: |\n| segment | 1,234 | 12.3 |"
        in evaluation_to_markdown(evaluation)
    )
    latex = evaluation_to_latex(evaluation)
    assert r"segment & 1,234 & 12.3 \\" in latex and r"my\_system" in latex and r"Frying\_(food)" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4


def test_csv_is_unrounded_with_an_empty_line_between_tables(evaluation):
    first, extra, *_ = evaluation_to_csv(evaluation).split("\n\n")
    (row, anchor) = csv.DictReader(io.StringIO(first))
    assert float(row["segment.audio"]) == evaluation.system.scores.segment.audio
    assert (row["system"], anchor["system"]) == ("my_system", "nothing")
    assert extra.splitlines() == [
        "system,level,true,f_low,world",
        "my_system,segment,1234,12.34,demo world",
        "my_system,event,0,,demo world",
    ]


def test_json_is_the_score_file_with_anchors_and_sections(evaluation):
    report = json.loads(evaluation_to_json(evaluation))
    assert report["segment"] == evaluation.system.report["segment"]
    assert report["extra"][1] == {"level": "event", "true": 0, "f_low": None}
    assert set(report["anchors"]) == {"nothing"}
    assert len(report["per_class_event"]) == 3 * 26


def test_every_format_has_a_layout():
    from valor.cli.command import FORMATS as TYPED

    assert tuple(EVALUATION_FORMATS) == TYPED


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
    assert re.findall(r"\d+\.\d(?: ± \d\.\d)?~?", line_of(text, "mine_1"))[:2] == ["71.0 ± 1.4~", "72.0 ± 1.4"]
    assert re.search(
        r"^MA \(CVPR 2021\) +60\.3 +60\.0 +55\.1 +58\.9! +57\.9 +not stated +not stated +not stated$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"han +none +epoch, label cuts \?$", line_of(text, "VALOR (NeurIPS 2023)"))
    assert line_of(text, "UWAV (CVPR 2025)").endswith("uwav        events of UnAV-100               epoch, label cuts")
    assert line_of(text, "nothing predicted").split()[-2:] == ["–", "–"]
    assert "\npublished, CLIP + CLAP\nVALOR++" in text and "\nno parser at all\nnothing predicted" in text
    for note in (
        "~ best of its column",
        "! Type@AV as printed",
        "label cuts ?: perhaps chosen on the truth of validation",
        "rule nrep: segments >= 0.25",
    ):
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
    assert {line.count("|") for line in table} == {16}
    assert line_of(text, "| mine_1 (2 seeds)").startswith(
        "| mine_1 (2 seeds) | **71.0 ± 1.4**~ (+10.9) | 72.0 ± 1.4 (+"
    )
    assert "58.9!" in line_of(text, "| MA") and "UWAV T1; NREPimg" in line_of(text, "| MA")
    assert "VALOR+ (" not in text and "- left out, since no source of their figures was seen: VALOR+" in text
    assert "\n- rule jomold: segments >= 0.5, gate modality >= 0.5" in text


def test_latex_balances_and_escapes(comparison):
    text = to_latex(comparison)
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {13}
    assert text.count("{") == text.count("}")
    assert r"mine\_1 (2 seeds) & \textbf{71.0\,$\pm$\,1.4}\textasciitilde{} (+10.9)" in text
    below = text.partition(r"\bottomrule")[2]
    assert r"\footnotesize \textasciitilde{} bold, best of its column, of rows that differ in their data" in below
    assert r"\footnotesize ! Type@AV as printed" in below and "from memory" not in text
    assert r"% needs \usepackage{booktabs}" in text and "% 14 columns may be wider than a page: fewer: `valor" in text


def test_latex_explains_the_marks_that_are_in_it_and_no_others(tmp_path):
    text = to_latex(compare([write_run(tmp_path / "a", 50.0), write_run(tmp_path / "b")]))
    notes = text.partition(r"\bottomrule")[2]
    assert r"\footnotesize bold: best of its column}" in notes
    assert r"% truth: 3c748bbee0fa" in text and r"\footnotesize truth: 3c748bbee0fa}" in notes
    assert not any(said in notes for said in ("as printed", "from memory", "differ in their data"))


def test_csv_holds_unrounded_figures_and_what_is_known(comparison):
    rows = {row["system"]: row for row in csv.DictReader(io.StringIO(to_csv(comparison)))}
    assert float(rows["mine_1"]["segment.audio.sd"]) == pytest.approx(2**0.5)
    assert float(rows["VALOR (NeurIPS 2023)"]["segment.type_av.delta"]) == pytest.approx(8.0)
    assert rows["MM-Pyramid (ACM MM 2022)"]["impossible"] == "segment.type_av; event.type_av"
    assert rows["AV2A (CVPR 2025)"]["segment.audio"] == ""
    assert "recalled" not in {row["confidence"] for row in rows.values()}
    assert rows["HAN (ECCV 2020)"]["truth_sha256"] == KNOWN.truths["v2020"]
    told = [rows[name]["extra_data"] for name in ("HAN (ECCV 2020)", "UWAV (CVPR 2025)", "MA (CVPR 2021)")]
    assert told == ["none", "events of UnAV-100", ""]
    assert rows["NREP (TNNLS)"]["tuned"] == "epoch; cuts; label cuts ?"


def test_json_reads_back(comparison):
    table = json.loads(to_json(comparison))
    rows = {row["name"]: row for row in table["rows"]}
    assert table["baseline"] == "HAN (ECCV 2020)" and table["notes"] == list(comparison.notes)
    assert rows["mine_1"]["sd"]["segment"]["audio"] == pytest.approx(2**0.5)
    assert rows["VALOR (NeurIPS 2023)"]["segment"]["type_av"] == 62.0
    assert rows["VALOR (NeurIPS 2023)"]["delta"]["segment"]["type_av"] == pytest.approx(8.0)
    assert rows["PPL (CVPR 2024)"]["impossible"] == ["event.type_av"]
    assert rows["UWAV (CVPR 2025)"]["tuned"] == ["epoch", "label cuts"] and rows["mine_1"]["tuned"] is None
    assert rows["JoMoLD (ECCV 2022)"]["extra_data"] == [] and rows["PPL (CVPR 2024)"]["extra_data"] is None


def test_every_format_has_a_layout_table_layout():
    from valor.cli.command import FORMATS as TYPED

    assert tuple(FORMATS) == TYPED


def test_what_was_perhaps_chosen_on_validation_is_not_called_a_hint_from_memory(tmp_path):
    run = write_run(tmp_path / "mine", tuned=["epoch", "label cuts ?"])
    for lay_out in (to_text, to_markdown):
        said = lay_out(compare([run]))
        assert "label cuts ?: perhaps chosen on the truth of validation" in said and "from memory" not in said


@pytest.mark.parametrize("form", ["text", "markdown", "latex"])
def test_the_best_is_said_to_be_the_highest_and_no_test(tmp_path, form):
    runs = [write_run(tmp_path / "a", 60.0), write_run(tmp_path / "b", 62.0)]
    said = " ".join(re.sub(r"\} \\\\\n.*footnotesize", "", FORMATS[form](compare(runs))).split())
    first = {"text": "the best of a column is its highest figure"}.get(form, "bold is the highest figure")
    command = {"latex": r"\texttt{valor~evaluate~A~-{}-compare~B}"}.get(form, "`valor evaluate A --compare B`")
    assert f"{first}, which is no test; {command} says which differences are clear" in said
    assert "no test" not in FORMATS[form](compare(runs[:1]))
    alone = FORMATS[form](compare([], KNOWN))
    assert "which is no test" in alone and "compare" not in alone.partition("which is no test")[2].splitlines()[0]


def test_what_a_third_party_says_alone_is_marked_in_every_format(comparison):
    mark, means = {"latex": r" $\dagger$"}, "second-hand: read in a third party's account alone"
    for form in ("text", "markdown", "latex"):
        laid_out = FORMATS[form](comparison)
        told = [line for line in laid_out.splitlines() if "(ICCV 2025)" in line or "E-CMANet" in line]
        assert len(told) >= 2 and all(f"){mark.get(form, ' †')} " in line for line in told), told
        assert f"†{'' if form == 'latex' else ' ' + means}".strip() in laid_out.replace(r"$\dagger$", "†")
        assert means in laid_out and "UWAV (CVPR 2025) " in laid_out
    few = replace(comparison, columns=chosen_columns(["Type@AV"], None, ()))
    for table in (comparison, few):
        rows = {row["system"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}
        assert rows["MUG (ICCV 2025)"]["confidence"] == "second-hand"
    said = json.loads(to_json(comparison))
    assert any(means in note for note in said["notes"])


def test_the_column_of_sources_is_shown_where_it_is_asked_for_and_spelled_out(comparison):
    asked = replace(comparison, columns=chosen_columns(["Type@AV", "source"], "segment", ()))
    for form in ("text", "markdown", "latex"):
        laid_out = FORMATS[form](asked)
        assert "MGNtxt T1" in line_of(laid_out.replace("| MGN", "MGN"), "MGN (NeurIPS"), form
        assert "source MGNtxt T1: the MGN paper, NeurIPS 2022, table 1" in laid_out, form
        assert "source MUGnote: a third party's summary of MUG" in laid_out, form
    assert "UWAV T1" not in to_text(comparison) and "UWAV T1" not in to_latex(comparison)
    for table in (asked, comparison):
        rows = {row["system"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}
        assert rows["E-CMANet (arXiv 2025)"]["read_in"] == "a third party's review of arXiv 2509.14097"
    held = {row["name"]: row for row in json.loads(to_json(asked))["rows"]}
    assert held["AV2A (CVPR 2025)"]["read_in"] == ["the CueRator paper, table 3"]


def test_latex_typesets_the_world_and_how_many_clips_were_scored(tmp_path):
    rows = {"world": "demo world", "truth_sha256": "f" * 64, "clips": 1108}
    text = to_latex(compare([write_run(tmp_path / "a", **rows), write_run(tmp_path / "b", **rows)], mix=True))
    below = text.partition(r"\bottomrule")[2]
    assert r"\footnotesize truth: demo world ffffffffffff}" in below and "a: 1,108 of 1,200 clips" in below


@pytest.fixture
def two(tmp_path):
    runs = [write_run(tmp_path / "a", 60.0), write_run(tmp_path / "b", 62.0)]
    return compare(runs, baseline="a")


def test_chosen_columns_are_the_same_in_every_layout(two):
    few = replace(two, columns=chosen_columns(["Type@AV", "event.event_av", "rule"], None, ()))
    text = to_text(few)
    assert re.search(r"^Segment level +Type@AV +rule$", text, re.MULTILINE), text
    assert re.search(r"^Event level +Type@AV +Event@AV +rule$", text, re.MULTILINE), text
    assert text.count("minus a") == 2 and "extra or fewer data" not in text
    markdown = to_markdown(few).splitlines()[0]
    assert markdown == "| system | segment Type@AV | event Type@AV | event Event@AV | rule |"
    latex = to_latex(few)
    assert r"\multicolumn{1}{c}{Segment level} & \multicolumn{2}{c}{Event level}" in latex
    assert r"System & Type@AV & Type@AV & Event@AV & Rule \\" in latex and r"\cmidrule(lr){3-4}" in latex
    first = next(csv.DictReader(io.StringIO(to_csv(few))))
    figures = ["segment.type_av", "event.type_av", "event.event_av"]
    others = [f"{name}{part}" for part in (".sd", ".delta") for name in figures]
    assert [*first] == ["system", "group", "seeds", *figures, *others, "post_processing", "world"]
    assert json.loads(to_json(few))["rows"] == json.loads(to_json(two))["rows"]


def test_one_level_leaves_the_other_out_and_all_that_is_said(two):
    of_events = replace(two, columns=chosen_columns([], "event", ()))
    assert "Segment level" not in to_text(of_events) and "Event level" in to_text(of_events)
    assert to_latex(of_events).count(r"\multicolumn{5}") == 1
    names = next(csv.reader(io.StringIO(to_csv(of_events))))
    assert not [name for name in names if name.startswith("segment.")] and "truth_sha256" in names
    alone = to_markdown(of_events).splitlines()
    assert alone[0].count("event ") == 5 and alone[0].endswith(
        "| rule | extra or fewer data | tuned on validation | source |"
    )


@pytest.mark.parametrize(("names", "level", "message"), [
    (["type_va"], None, r"no column is called 'type_va' \(did you mean type_av\?\); there are audio, .*source"),
    (["rule"], None, "columns must hold a figure, got rule"),
    (["event.audio"], "segment", "columns must hold a figure, got event.audio at the level segment"),
])  # fmt: skip
def test_columns_that_are_none_are_refused(names, level, message):
    with pytest.raises(ValueError, match=message):
        chosen_columns(names, level, ("accuracy",))
