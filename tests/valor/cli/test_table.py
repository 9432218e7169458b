"""`valor table` as a user meets it."""

import json
import re

import pytest

from tests.helpers.typed import typed
from tests.valor.scoring.test_compare import write_run
from valor.eval.decide import PRESETS
from valor.scoring.compare import GROUPS
from valor.scoring.layout import GROUP_TITLES


def test_runs_beside_published_rows_with_deltas_as_markdown(tmp_path):
    write_run(tmp_path / "valor", 62.0)
    done = typed("table", f"mine={tmp_path / 'valor'}", "--published", "--baseline", "HAN", "--out", tmp_path / "t.md")
    assert (done.code, done.out, done.err) == (0, f"wrote {tmp_path / 't.md'}\n", "")
    text = (tmp_path / "t.md").read_text()
    assert "| mine | 62.0 (+1.9) |" in text and "| VALOR (NeurIPS 2023) | 61.8 (+1.7) |" in text
    assert "left out for another post-processing" in text


def test_a_mixture_is_refused_in_one_message_until_it_is_meant(tmp_path):
    runs = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", post_processing=PRESETS["coleaf"].to_dict()),
    ]
    assert "a and b were not scored alike: post-processing han and coleaf" in typed("table", *runs).complaint()
    done = typed("table", *runs, "--mix")
    assert done.code == 0 and "rule coleaf: segments >= 0.25, gate modality >= 0.52" in done.out


def test_published_rows_need_no_run_and_none_comes_from_memory():
    done = typed("table", "--published", "--baseline", "HAN", "--format", "json")
    table = json.loads(done.out)
    assert done.code == 0 and len(table["rows"]) > 30
    assert {row["group"] for row in table["rows"]} == {
        "classic",
        "clip+clap",
        "training-free",
        "reference",
        "not stated",
    }
    assert all(row["confidence"] != "recalled" for row in table["rows"])
    assert "left out, since no source of their figures was seen: VALOR+" in table["notes"]
    assert "--published for the published rows alone" in typed("table").complaint()
    assert "--decisions is of runs" in typed("table", "--published", "--decisions").complaint()


def test_json_for_programs(tmp_path):
    done = typed("table", write_run(tmp_path / "a"), "--published", "--mix", "--format", "json")
    names = [row["name"] for row in json.loads(done.out)["rows"]]
    assert names[0] == "a" and len(names) > 35


def test_columns_and_a_level_are_chosen(tmp_path):
    run = write_run(tmp_path / "a")
    done = typed("table", run, "--level", "event", "--columns", "type_av, tuned", "--format", "markdown")
    assert done.out.splitlines()[0] == "| system | event Type@AV | tuned on validation |"
    assert "--columns must hold a figure" in typed("table", run, "--columns", "rule").complaint()


@pytest.mark.parametrize(
    ("form", "groups"),
    [
        ("latex", r"\\multicolumn\{4\}\{l\}\{\\textit\{(.*)\}\} \\\\"),
        ("markdown", r"\| \*\*(published.*|no parser.*)\*\* \|  \|  \|  \|"),
        ("text", r"(published.*|no parser.*)"),
    ],
)
def test_groups_and_marks_are_explained_in_every_format_with_columns_chosen(form, groups):
    chosen = ("--level", "segment", "--columns", "Type@AV,Event@AV,rule")
    out = typed("table", "--published", *chosen, "--format", form).out
    found = [match[1] for line in out.splitlines() if (match := re.fullmatch(groups, line))]
    assert found == [GROUP_TITLES[group] for group in GROUPS if group != "run"]
    said = re.sub(r"\} \\\\\n\\multicolumn\{4\}\{l\}\{\\footnotesize", "", out).replace(r"\textasciitilde{}", "~")
    assert "~ NREP (TNNLS): extra or fewer data none; tuned on validation epoch, cuts, label cuts ?" in said
    whole = typed("table", "--published", "--columns", "Type@AV,extra_data,tuned", "--format", form).out
    whole = whole.replace(r"\textasciitilde{}", "~").replace("~ bold, best", "~ best")
    assert "~ best of its column" in whole and "~ NREP" not in whole, "the columns say it"


def test_wrong_use_is_one_message(tmp_path):
    assert "expected a score file" in typed("table", tmp_path / "none").complaint()
    run = write_run(tmp_path / "a")
    assert "no row is called 'b'; the baseline is one of a" in typed("table", run, "--baseline", "b").complaint()
    refused = typed("table", run, "--format", "csv", "--out", tmp_path / "t.tex").complaint()
    assert "contradict each other" in refused and not (tmp_path / "t.tex").exists()
