"""Rows of a comparison: what is read, what may stand beside what, and what is left out.

The published rows: what the data file holds, and which of its figures contradict each other.
"""

import hashlib
import json
import tomllib
from dataclasses import replace
from fnmatch import fnmatch

import pytest

from tests.conftest import ROOT
from valor.data.datasets.dataset import DATASETS, LLP
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.decide import PRESETS
from valor.eval.scores import FIGURES, LEVELS, nothing_predicted, score, tags_copied
from valor.scoring.compare import compare, published_row, read_run
from valor.scoring.published import Published, PublishedRow, read_published

PUBLISHED = read_published()
FILE = {"dataset": "llp", "clips": 9}
LEGEND = json.loads(LLP.published.read_text(encoding="utf-8"))
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


@pytest.mark.parametrize("dataset", [one for one in DATASETS.values() if one.published], ids=lambda one: one.name)
def test_what_third_parties_alone_say_is_second_hand_and_every_source_is_spelled_out(dataset):
    known = read_published(dataset)
    for row in known.rows:
        words = [known.in_words(source) for source in row.sources]
        assert all(words), row.method
        is_second_hand = bool(words) and all("third part" in said for said in words)
        assert row.confidence == "second-hand" or not is_second_hand, (row.method, words)


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


def test_the_files_travel_with_the_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = setuptools["package-data"]["valor.data.datasets"]
    published = {dataset.published.name for dataset in DATASETS.values() if dataset.published}
    assert len(published) >= 3 and all(any(fnmatch(name, held) for held in data) for name in published)


@pytest.mark.parametrize(("text", "message"), [
    ("[]", "expected published scores"),
    ('{"dataset": "llp", "clips": 9, "rows": [{"method": "A"}]}', "'sources' is missing"),
    ('{"dataset": "llp", "rows": []}', "'clips' is missing"),
    (json.dumps(FILE | {"rows": [{"method": "A", "segment": [1.0], "event": None, "sources": []}]}),
     r"A: expected 5 figures at segment level, got \[1.0\]"),
])  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_published(replace(LLP, published=tmp_path / "p.json"))


KNOWN = read_published()
HAN = PRESETS["han"].to_dict()


def write_run(folder, value=60.0, *, recipe=True, **changes):
    """A run folder whose ten figures count up from a value."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        level: {figure: value + 5 * number + place for place, figure in enumerate(FIGURES)}
        for number, level in enumerate(LEVELS)
    }
    report |= {"clips": 1200, "clips_expected": 1200, "truth_sha256": KNOWN.truths["v2020"], "post_processing": HAN}
    (folder / "scores.json").write_text(json.dumps(report | changes))
    if recipe:
        (folder / "recipe.json").write_text("{}")
    return folder


def test_a_run_is_read_from_its_folder_and_from_its_file(tmp_path):
    run = write_run(tmp_path / "valor")
    row = read_run(run)
    assert row.figures == (60, 61, 62, 63, 64, 65, 66, 67, 68, 69)
    assert (row.name, row.seeds, row.rule, row.selection) == ("valor", 1, "han", "segment Type@AV")
    assert read_run(f"VALOR={run}").name == "VALOR"
    file = read_run(write_run(tmp_path / "alone", recipe=False) / "scores.json")
    assert (file.name, file.selection, file.spread) == ("scores", None, (None,) * 10)


def test_seeds_become_mean_and_deviation(tmp_path):
    for seed, value in enumerate((60.0, 62.0, 64.0)):
        write_run(tmp_path / "runs" / f"seed-{seed}", value)
    row = read_run(tmp_path / "runs")
    assert (row.name, row.seeds, row.figures[0], row.spread[0]) == ("runs", 3, 62.0, 2.0)


@pytest.mark.parametrize(("record", "rule"), [
    (HAN, "han"),
    ({"segment_threshold": 0.5, "gate": "clip", "clip_threshold": 0.5}, "han"),
    (PRESETS["valor"].to_dict(), "valor"),
    (PRESETS["coleaf"].to_dict(), "coleaf"),
    ({"segment_threshold": 0.3, "gate": "none", "clip_threshold": 0.5}, "segments >= 0.3, gate none"),
    ({"segment_threshold": None, "gate": "as predicted", "clip_threshold": None}, "decisions as predicted"),
    (None, "not stated"),
])  # fmt: skip
def test_a_rule_goes_by_its_shortest_name(tmp_path, record, rule):
    assert read_run(write_run(tmp_path / "r", post_processing=record)).rule == rule


@pytest.mark.parametrize(("changes", "message"), [
    ({"post_processing": PRESETS["jomold"].to_dict()}, "post-processing han and jomold"),
    ({"truth_sha256": KNOWN.truths["v2024"]}, "truth 3c748bbee0fa.* and 68e26a669c76"),
    ({"selection": "event audio"}, "selection segment Type@AV and event audio"),
    ({"clips": 1143}, "coverage: 1,200 of 1,200 clips and 1,143 of 1,200 clips"),
])  # fmt: skip
def test_runs_that_were_not_scored_alike_are_refused_unless_mixing_is_meant(tmp_path, changes, message):
    runs = [write_run(tmp_path / "one"), write_run(tmp_path / "other", **changes)]
    with pytest.raises(ValueError, match=f"one and other were not scored alike: {message}.*pass mix=True"):
        compare(runs)
    assert len(compare(runs, mix=True).rows) == 2


def test_equal_rules_of_other_names_and_what_is_not_said_may_be_mixed(tmp_path):
    runs = [
        write_run(tmp_path / "one"),
        write_run(tmp_path / "two", post_processing=PRESETS["valor"].to_dict()),
        write_run(tmp_path / "three", recipe=False),
        write_run(tmp_path / "four", truth_sha256=None, post_processing=None),
    ]
    assert len(compare(runs).rows) == 4


def test_seeds_of_one_run_must_be_scored_alike(tmp_path):
    write_run(tmp_path / "r" / "seed-0")
    write_run(tmp_path / "r" / "seed-1", post_processing=PRESETS["coleaf"].to_dict())
    with pytest.raises(ValueError, match="seed-0.* and .*seed-1.* were not scored alike"):
        compare([tmp_path / "r"], mix=True)


def test_published_rows_of_another_rule_truth_or_selection_are_left_out_and_named(tmp_path):
    comparison = compare([write_run(tmp_path / "valor")], KNOWN)
    names = [row.name for row in comparison.rows]
    assert {"valor", "HAN (ECCV 2020)", "VALOR (NeurIPS 2023)", "PoiBin (ICCV 2023)"} <= set(names)
    assert not {"JoMoLD (ECCV 2022)", "CoLeaF (ECCV 2024)", "tags copied"} & set(names)
    notes = "\n".join(comparison.notes)
    assert "left out for another post-processing and another selection: JoMoLD, CMPAE, LSLD, CoLeaF" in notes
    assert "left out for another truth: nothing predicted, tags copied" in notes
    assert "--truth v2020" in notes and "mix=True shows" in notes
    everything = compare([write_run(tmp_path / "valor")], KNOWN, mix=True)
    assert len(everything.rows) == len(KNOWN.rows)  # one run more, and without the one from memory
    assert [note for note in everything.notes if "left out" in note] == [
        "left out, since no source of their figures was seen: VALOR+"
    ]


def test_published_rows_beside_runs_on_another_data_set_are_refused(tmp_path):
    run = write_run(tmp_path / "demo", clips=224, clips_expected=224, truth_sha256="cc" * 32)
    with pytest.raises(ValueError, match="no published row may stand beside demo: another .*mix=True"):
        compare([run], KNOWN)


def test_the_best_leaves_out_references_hints_parts_and_impossible_figures(tmp_path):
    comparison = compare([write_run(tmp_path / "low", 10.0)], KNOWN, mix=True)
    assert comparison.best(0) == 70.2  # NREP, not the 80.1 of copied tags
    assert comparison.best(8) == 63.9  # UWAV with CLIP and CLAP
    few = [
        published_row(PublishedRow(**vars(row)), KNOWN)
        for row in KNOWN.rows
        if row.method in ("MA", "HAN", "VALOR+", "Sparse CLIP and CLAP decomposition")
    ]
    kept = Published(tuple(row for row in KNOWN.rows if row.method in ("MA", "HAN", "VALOR+")), KNOWN.truths, {})
    assert compare([write_run(tmp_path / "low", 10.0)], kept).best(3) == 54.0  # not 58.9 of MA, nor 63.2 from memory
    assert [row.may_be_best for row in few] == [True, True, False, False]
    assert compare([write_run(tmp_path / "low")]).best(0) is None


def test_differences_are_from_the_baseline_and_never_from_impossible_figures(tmp_path):
    comparison = compare([write_run(tmp_path / "mine")], KNOWN, baseline="HAN")
    mine, han = comparison.rows[0], comparison.baseline
    assert comparison.delta(mine, 0) == pytest.approx(60 - 60.1)
    assert comparison.delta(han, 0) is None
    ma = next(row for row in comparison.rows if row.name.startswith("MA "))
    assert comparison.delta(ma, 3) is None and comparison.delta(ma, 4) == pytest.approx(57.9 - 55.4)
    with pytest.raises(ValueError, match="no row is called 'LSTM'; the baseline is one of mine, "):
        compare([write_run(tmp_path / "mine")], KNOWN, baseline="LSTM")


def test_the_notes_say_rule_truth_selection_and_coverage(tmp_path):
    runs = [write_run(tmp_path / "part", clips=1143), write_run(tmp_path / "other", truth_sha256="ab" * 32)]
    notes = compare(runs, mix=True, known=KNOWN).notes
    assert "rule han: segments >= 0.5, gate clip >= 0.5; HAN, VALOR and most others report by it" in notes
    assert f"truth: v2020 {KNOWN.truths['v2020'][:12]}, own tables {'ab' * 6}" in notes
    assert "epoch chosen on validation by: segment Type@AV" in notes
    assert "part: 1,143 of 1,200 clips" in notes


@pytest.mark.parametrize(("content", "message"), [
    (None, "expected a score file, a folder with scores.json or one with seed-"),
    ("{", "expected the scores of `valor evaluate`"),
    ("[1]", "expected the scores"),
    ('{"rows": []}', "got a table of several rows"),
    ('{"a": []}', "scores need 'clips'"),
    (b"\xff\xfe\x00", "expected the scores"),
])  # fmt: skip
def test_what_is_no_score_file_is_refused(tmp_path, content, message):
    run = tmp_path / "run"
    run.mkdir()
    if content is not None:
        (run / "scores.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        compare([run])


def test_rows_of_one_name_are_refused(tmp_path):
    runs = [write_run(tmp_path / "a" / "valor"), write_run(tmp_path / "b" / "valor")]
    with pytest.raises(ValueError, match=r"names of their own and at least one, got \['valor'\]; write NAME=RUN"):
        compare(runs)
    assert [row.name for row in compare([f"A={runs[0]}", runs[1]]).rows] == ["A", "valor"]
    with pytest.raises(ValueError, match="at least one, got none"):
        compare([])


def test_a_summary_of_seeds_is_a_row_like_its_seeds(tmp_path):
    summary = {level: dict.fromkeys(FIGURES, 2.0) for level in LEVELS}
    row = read_run(write_run(tmp_path / "valor", seeds=[1, 2, 3], sd=summary, selection="event Type@AV"))
    assert (row.seeds, row.spread, row.selection) == (3, (2.0,) * 10, "event Type@AV")
    write_run(tmp_path / "valor" / "seed-1", 50.0)
    write_run(tmp_path / "valor" / "seed-2", 51.0)
    assert read_run(tmp_path / "valor").figures[0] == 50.5  # the seeds themselves, where they are there
    with pytest.raises(ValueError, match="expected the scores of `valor evaluate`, got scores need"):
        read_run(write_run(tmp_path / "torn", sd={"segment": {}}))


def test_simulated_runs_say_so_and_stand_beside_nothing_published(tmp_path):
    one, real = write_run(tmp_path / "one", simulated=True), write_run(tmp_path / "real")
    for seed in (1, 2):
        write_run(tmp_path / "many" / f"seed-{seed}", 60 + seed, simulated=seed == 2)
    rows = compare([one, f"mine={tmp_path / 'many'}", real]).rows
    assert [row.name for row in rows] == ["SIMULATED one", "SIMULATED mine", "real"]
    assert read_run(f"SIMULATED two={one}").name == "SIMULATED two"
    for mix in (False, True):
        with pytest.raises(ValueError, match="SIMULATED one: scores on SIMULATED features mean nothing.*`published`"):
            compare([real, one], KNOWN, mix=mix)


@pytest.mark.parametrize(
    ("world", "mark", "truth"), [("demo world", "DEMO WORLD", "demo world"), (None, "OWN TRUTH", "own tables")]
)
def test_a_run_of_another_world_than_llp_is_marked_beside_published_rows(tmp_path, world, mark, truth):
    said = {} if world is None else {"world": world}
    run = write_run(tmp_path / "base", 99.0 - 9, truth_sha256="63" * 32, **said)
    alone = compare([run])
    assert alone.rows[0].name == "base" and f"truth: {truth} {'63' * 6}" in alone.notes
    mixed = compare([run], KNOWN, mix=True, baseline="base")
    assert mixed.rows[0].name == f"{mark} base" and mixed.baseline is mixed.rows[0]
    assert mixed.best(0) == 70.2, "of LLP's rows"
    assert not [row.name for row in mixed.rows if row.group == "reference"], "computed on LLP"
    assert any(note.startswith(f"{mark} base: scored on the truth of another world") for note in mixed.notes)
    assert "--truth v2020" not in "".join(mixed.notes)
    with pytest.raises(ValueError, match="world must be one of demo world, own tables, got 'Mars'"):
        compare([write_run(tmp_path / "odd", world="Mars")])


def test_a_data_frame_says_of_each_row_what_the_csv_says(tmp_path):
    frame = compare([write_run(tmp_path / "one", extra_data=["a set"], tuned=[])], KNOWN).to_frame()
    assert list(frame.columns[:12]) == [*(f"{level}.{name}" for level in LEVELS for name in FIGURES), "seeds", "group"]
    assert dict(frame.loc["one", ["post_processing", "extra_data", "tuned"]]) == {
        "post_processing": "han", "extra_data": "a set", "tuned": "none"}  # fmt: skip
    assert frame.loc["HAN (ECCV 2020)", "sources"] and frame["segment.type_av.sd"].isna().all()


def test_scores_that_do_not_say_what_they_rest_on_take_it_from_the_recipe_of_their_run(tmp_path):
    run = write_run(tmp_path / "old")
    (run / "recipe.json").write_text(json.dumps({"run": {"extra_data": [], "tuned": ["epoch"]}}))
    row = read_run(run)
    assert (row.extra_data, row.tuned) == ((), ("epoch",))
    assert read_run(write_run(run, extra_data=["a set"], tuned=[])).extra_data == ("a set",)


def test_why_no_published_row_may_stand_beside_a_run_is_said(tmp_path):
    part = write_run(tmp_path / "part", clips_expected=1300, truth_sha256="63" * 32)
    with pytest.raises(
        ValueError, match=r"stand beside part: another coverage \(\d+ rows\), another truth \(\d+ rows\)"
    ):
        compare([part], KNOWN)


def test_a_gate_that_thresholds_leave_open_is_not_blamed_on_the_clips(tmp_path):
    plain, tuned = {"gate_closes_nothing": True}, HAN | {"preset": "tuned on val", "clip_threshold": [0.1] * 25}
    runs = [write_run(tmp_path / "plain", **plain), write_run(tmp_path / "tuned", post_processing=tuned, **plain)]
    notes = compare(runs, mix=True).notes
    (of_tuned,) = [note for note in notes if note.endswith(": tuned")]
    assert of_tuned.startswith("the thresholds chosen for the gate are so low that it closes nothing")
    assert "maximum of the segments" not in of_tuned
    (of_plain,) = [note for note in notes if note.endswith(": plain")]
    assert "maximum of the segments do that" in of_plain
