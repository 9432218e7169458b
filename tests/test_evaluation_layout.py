"""An evaluation in every format: the same figures, and what they were scored on."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from eval.anchors import nothing_predicted
from eval.scores import score
from tests.toy_scores import NAMES, write_toy_scores
from valor.evaluation_layout import FORMATS, Evaluation, to_csv, to_json, to_latex, to_markdown, to_text
from valor.predictions import read_predictions
from valor.score_sections import Section, class_sections
from valor.scored import score_system


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    toy = write_toy_scores(tmp_path_factory.mktemp("toy"))
    system = score_system("my_system", read_predictions(toy.good), toy.split)
    frame = pd.DataFrame({"level": ["segment", "event"], "true": [1234, 0], "f_low": [12.34, np.nan]})
    return Evaluation(
        system=system,
        split="test",
        truth_version="v2024",
        anchors=[("nothing", score(nothing_predicted(system.truth), system.truth))],
        sections=[Section("extra", "Something more", frame), *class_sections(system, NAMES)],
    )


def test_every_format_says_clips_truth_and_rule(evaluation):
    digest = evaluation.system.report["truth_sha256"]
    line = f"24 of 24 test clips, truth v2024 {digest[:12]}, segments >= 0.5, gate clip >= 0.5"
    assert to_text(evaluation).endswith(f"\n\n{line}") and to_markdown(evaluation).endswith(f"\n\n{line}")
    assert to_latex(evaluation).startswith(f"% {line}\n")
    (first, *_) = csv.DictReader(io.StringIO(to_csv(evaluation)))
    assert (first["clips"], first["clips_expected"], first["truth_sha256"]) == ("24", "24", digest)
    assert first["post_processing"] == "segments >= 0.5, gate clip >= 0.5"
    assert json.loads(to_json(evaluation))["truth_sha256"] == digest


def test_sections_are_aligned_with_one_decimal_and_a_dash_for_what_is_undefined(evaluation):
    text = to_text(evaluation).partition("Something more\n")[2].partition("\n\n")[0]
    assert text.splitlines() == [
        "level     true   low",
        "--------------------",
        "segment  1,234  12.3",
        "event        0     –",
    ]


def test_the_modalities_of_a_class_table_are_set_apart(evaluation):
    text = to_text(evaluation)
    assert text.count("\n\nvisual        Speech") == 2 and "audio-visual  Frying_(food)" in text


def test_markdown_and_latex_hold_the_sections(evaluation):
    assert "Something more\n\n| level | true | low |\n| --- | ---: | ---: |\n| segment | 1,234 | 12.3 |" in to_markdown(
        evaluation
    )
    latex = to_latex(evaluation)
    assert r"segment & 1,234 & 12.3 \\" in latex and r"my\_system" in latex and r"Frying\_(food)" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4


def test_csv_is_unrounded_with_an_empty_line_between_tables(evaluation):
    first, extra, *_ = to_csv(evaluation).split("\n\n")
    (row, anchor) = csv.DictReader(io.StringIO(first))
    assert float(row["segment.audio"]) == evaluation.system.scores.segment.audio
    assert (row["system"], anchor["system"]) == ("my_system", "nothing")
    assert extra.splitlines() == ["level,true,f_low", "segment,1234,12.34", "event,0,"]


def test_json_is_the_score_file_with_anchors_and_sections(evaluation):
    report = json.loads(to_json(evaluation))
    assert report["segment"] == evaluation.system.report["segment"]
    assert report["extra"][1] == {"level": "event", "true": 0, "f_low": None}
    assert set(report["anchors"]) == {"nothing"}
    assert len(report["per_class_event"]) == 3 * 26


def test_every_format_has_a_layout():
    from valor.commands.command import FORMATS as TYPED

    assert tuple(FORMATS) == TYPED
