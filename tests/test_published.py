"""The published rows: what the data file holds, and which of its figures contradict each other."""

import hashlib
import json
import tomllib

import pytest

from eval.anchors import nothing_predicted, tags_copied
from eval.post_processing import PRESETS
from eval.scores import FIGURES, LEVELS, score
from tests.conftest import ROOT
from valor.annotations import read_split
from valor.published import DATA, read_published
from valor.vocabulary import LLP_CLASSES, class_names

PUBLISHED = read_published()
LEGEND = json.loads(DATA.read_text(encoding="utf-8"))
ROW = {row.method: row for row in PUBLISHED.rows}


def test_the_rows_the_project_measures_itself_against():
    assert ROW["VALOR"].figures == (61.8, 65.9, 58.4, 62.0, 61.5, 55.4, 62.6, 52.2, 56.7, 54.2)
    assert ROW["VALOR++"].figures == (68.1, 68.4, 61.9, 66.2, 66.8, 61.2, 64.7, 55.5, 60.4, 59.0)
    assert ROW["HAN"].figures == (60.1, 52.9, 48.9, 54.0, 55.4, 51.3, 48.9, 43.0, 47.7, 48.0)
    assert (ROW["VALOR"].title, ROW["CueRator"].title) == ("VALOR (NeurIPS 2023)", "CueRator")
    assert (ROW["VALOR"].post_processing, ROW["JoMoLD"].post_processing) == ("han", "jomold")
    assert ROW["AV2A"].figures == (None, None, None, 52.4, None, *[None] * 5)
    assert len(ROW) == len(PUBLISHED.rows) > 35


def test_what_was_never_seen_in_a_source_says_so():
    assert [row.method for row in PUBLISHED.rows if row.confidence == "recalled"] == ["VALOR+"]
    assert all(row.sources for row in PUBLISHED.rows if row.confidence != "recalled")


def test_impossible_figures_are_found_by_computing():
    places = [f"{level}.{figure}" for level in LEVELS for figure in FIGURES]
    found = {row.method: [places[place] for place in row.impossible] for row in PUBLISHED.rows if row.impossible}
    assert found == {
        "MA": ["segment.type_av"],
        "MM-Pyramid": ["segment.type_av", "event.type_av"],
        "PPL": ["event.type_av"],
        "CoLeaF": ["event.type_av"],
    }


def test_every_word_of_a_row_is_explained():
    for row in PUBLISHED.rows:
        assert row.confidence in LEGEND["confidence"] and row.features in LEGEND["features"], row.method
        assert row.post_processing in {None, *PRESETS, *PUBLISHED.rules}, row.method
        assert row.truth in {None, *PUBLISHED.truths}, row.method
        for source in row.sources:
            assert any(source.startswith(known) for known in LEGEND["sources"]), source
        assert all(figure is None or 0 <= figure <= 100 for figure in row.figures), row.method


def test_the_references_are_what_the_scorer_computes(shared):
    split = read_split(shared / "llp", "test", class_names(LLP_CLASSES))
    whole = split.truth.any(axis=1, keepdims=True) & (split.truth | True)
    marks = {
        "nothing predicted": nothing_predicted(split.truth),
        "tags copied": tags_copied(split.weak_labels, 10),
        "tags of each modality copied": whole,
    }
    assert set(marks) == {row.method for row in PUBLISHED.rows if row.features == "reference"}
    for name, predicted in marks.items():
        scores = score(predicted, split.truth)
        figures = [getattr(getattr(scores, level), figure) for level in LEVELS for figure in FIGURES]
        assert ROW[name].figures == pytest.approx(figures, abs=0.051), name


def test_the_truths_are_those_of_llp(shared):
    for version, table in (("v2020", "AVVP_eval_audio.v2020.csv"), ("v2024", "AVVP_eval_audio.csv")):
        tables = [shared / "llp" / name for name in (table, "AVVP_eval_visual.csv")]
        assert PUBLISHED.truths[version] == hashlib.sha256(b"".join(path.read_bytes() for path in tables)).hexdigest()


def test_the_file_travels_with_the_package():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["valor"]
    assert DATA.name in data


@pytest.mark.parametrize(("text", "message"), [
    ("[]", "expected published scores"),
    ('{"rows": [{"method": "A"}], "truths": {}, "rules": {}}', "KeyError"),
    (json.dumps({"rows": [{"method": "A", "segment": [1.0], "event": None, "sources": []}], "truths": {}, "rules": {}}),
     r"A: expected 5 figures at segment level, got \[1.0\]"),
])  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_published(tmp_path / "p.json")
