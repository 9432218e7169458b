"""A recipe with several seeds: run folders, test scores, and what they give together."""

import json
import shutil
from statistics import fmean, stdev

import numpy as np
import pytest
import torch

import valor.training.run
from tests.helpers.toy_run import FROM_STORE, NAMES, SPLITS, write_labels, write_toy_store
from tests.helpers.toy_run import write_tables as write_all_tables
from valor.data.predictions import read_predictions, score_predictions
from valor.data.score_file import read_scores_json, write_scores_json
from valor.data.tables import read_split
from valor.eval.decide import PostProcessing
from valor.eval.scores import FIGURES, LEVELS
from valor.scoring.compare import compare, read_run
from valor.training.checkpoint import read_checkpoint
from valor.training.log import training_figure
from valor.training.recipes import override
from valor.training.seeds import TrainOptions, summary, train_seeds

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = override(FROM_STORE, ["fit.seed=4"])
AFTERWARDS = ["recipe.json", "scores.json", "training.png", "tuned.json"]
QUIET = {"progress": False, "picture": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_all_tables(tmp_path_factory.mktemp("data"))
    write_toy_store(folder / "store")
    write_labels(folder)
    return folder


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "toy"
    results = list(train_seeds(RECIPE, data, out, TrainOptions(seeds=2, progress=False)))
    return out, results


def scores_of(path) -> dict:
    return read_scores_json(path)


def test_several_seeds_have_a_run_folder_each_with_test_scores_and_a_picture(two):
    out, results = two
    assert [(result.seed, result.folder) for result in results] == [(4, out / "seed-4"), (5, out / "seed-5")]
    assert sorted(path.name for path in out.iterdir()) == ["scores.json", "seed-4", "seed-5", "training.png"]
    for result in results:
        names = sorted(path.name for path in result.folder.iterdir())
        assert names == ["best.safetensors", "last.safetensors", "log.jsonl", "predictions.npz", *AFTERWARDS]


def test_the_other_decision_is_of_the_same_predictions_and_tuned_on_val(two, data):
    out, results = two
    split = read_split(data, "test", NAMES)
    for result in results:
        tuned = scores_of(result.folder / "tuned.json")
        rule = PostProcessing.from_dict(tuned["post_processing"])
        predictions = read_predictions(result.folder / "predictions.npz")
        assert tuned["segment"] == score_predictions(predictions, split, rule)[1]["segment"]
        assert tuned["tuned"] == ["epoch", "label cuts ?", "gates", "cuts"]
        assert result.decisions["tuned.json"].to_dict()["segment"] == tuned["segment"]
        assert not (result.folder / "at-half.json").exists(), "0.5 is what this method decides by"
    table = compare([out], decisions=True)
    assert [row.name for row in table.rows] == ["toy", "toy, tuned"]
    assert [row.rule for row in table.rows] == ["han", "tuned on val"]
    assert table.is_mixed(0) and any("tuned on val: gates and cuts" in note for note in table.notes)


def test_a_lost_or_damaged_decision_is_made_again(two, data, tmp_path):
    out = tmp_path / "toy"
    shutil.copytree(two[0], out)
    before = (out / "seed-4/tuned.json").read_bytes()
    (out / "seed-4/tuned.json").unlink()
    (out / "seed-5/tuned.json").write_text("{", encoding="utf-8")
    list(train_seeds(RECIPE, data, out, TrainOptions(seeds=2, progress=False, picture=False)))
    assert (out / "seed-4/tuned.json").read_bytes() == before
    assert scores_of(out / "seed-5/tuned.json") == scores_of(two[0] / "seed-5/tuned.json")


@pytest.mark.usefixtures("painted")
def test_seeds_of_an_earlier_call_are_not_drawn(two, data, tmp_path, monkeypatch):
    out, drawn = tmp_path / "toy", []
    shutil.copytree(two[0], out)
    shutil.copytree(out / "seed-5", out / "seed-6")  # what a call with --seeds 3 left there
    whole = training_figure

    def watched(systems, **how):
        drawn.append((how["title"], [len(logs) for _, logs in systems]))
        return whole(systems, **how)

    monkeypatch.setattr("valor.training.log.training_figure", watched)
    (out / "training.png").unlink()
    list(train_seeds(RECIPE, data, out, TrainOptions(seeds=2, progress=False)))
    assert [counts for _, counts in drawn] == [[1], [1], [2]] and drawn[-1][
        0
    ] == "Training of demo: 2 seeds (own tables)"
    assert (out / "training.png").stat().st_size > 10_000


def test_the_test_split_is_scored_with_the_kept_weights(two, data):
    _, results = two
    split = read_split(data, "test", NAMES)
    for result in results:
        predictions = read_predictions(result.folder / "predictions.npz")
        assert predictions.clip_ids == SPLITS["test"]
        facts = {"extra_data": [], "tuned": ["epoch", "label cuts ?"]}
        report = score_predictions(predictions, split)[1] | {"selection": "segment Type@AV"} | facts
        assert scores_of(result.folder / "scores.json") == result.report == report
        assert result.test.to_dict() == {key: report[key] for key in (*LEVELS, "clips")}
        kept = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
        assert result.val.to_dict() == kept[result.fit.best_epoch - 1]["val"]


def test_the_summary_is_a_row_of_mean_and_deviation(two, tmp_path):
    out, results = two
    found = scores_of(out / "scores.json")
    assert found["seeds"] == [4, 5] and found["truth_sha256"] == results[0].report["truth_sha256"]
    for level in LEVELS:
        for figure in FIGURES:
            values = [getattr(getattr(result.test, level), figure) for result in results]
            assert (found[level][figure], found["sd"][level][figure]) == (fmean(values), stdev(values))
            values = [getattr(getattr(result.val, level), figure) for result in results]
            assert found["validation"][level][figure] == fmean(values)
    alone = shutil.copy(out / "scores.json", tmp_path / "toy.json")
    row, of_file = read_run(out), read_run(alone)
    assert row.seeds == of_file.seeds == 2 and row.selection == "segment Type@AV"
    assert row.figures == pytest.approx(of_file.figures) and row.spread == pytest.approx(of_file.spread)


def test_the_seeds_of_a_folder_speak_before_their_summary(two, tmp_path):
    out = shutil.copytree(two[0], tmp_path / "toy")
    report = scores_of(out / "seed-4" / "scores.json")
    report["segment"]["audio"] += 10
    write_scores_json(out / "seed-4" / "scores.json", report)
    assert read_run(out).figures[0] == pytest.approx(scores_of(out / "scores.json")["segment"]["audio"] + 5)


def test_a_single_seed_is_the_run_folder_itself(data, tmp_path):
    (result,) = train_seeds(RECIPE, data, tmp_path / "run", TrainOptions(**QUIET))
    assert result.folder == tmp_path / "run" and result.test is not None
    assert read_run(tmp_path / "run").seeds == 1


def test_test_can_be_left_alone_and_added_later(data, tmp_path):
    out = tmp_path / "run"
    (without,) = train_seeds(RECIPE, data, out, TrainOptions(test=False, **QUIET))
    assert without.test is None and not {"scores.json", "predictions.npz"} & {path.name for path in out.iterdir()}
    (later,) = train_seeds(RECIPE, data, out, TrainOptions(**QUIET))
    assert later.fit.resumed_from == RECIPE.fit.epochs and scores_of(out / "scores.json") == later.report


def test_scores_by_another_rule_are_not_written_over_by_a_second_start(data, tmp_path):
    out = tmp_path / "run"
    list(train_seeds(RECIPE, data, out, TrainOptions(**QUIET)))
    (out / "scores.json").write_text('{"mine": 1}')
    list(train_seeds(RECIPE, data, out, TrainOptions(**QUIET)))
    assert scores_of(out / "scores.json") == {"mine": 1}


def test_a_data_folder_without_test_features_is_trained_on_and_says_so(data, tmp_path, caplog):
    other = shutil.copytree(data, tmp_path / "data")
    (other / "AVVP_test_pd.csv").unlink()
    with caplog.at_level("INFO"):
        (result,) = train_seeds(RECIPE, other, tmp_path / "run", TrainOptions(**QUIET))
    assert result.test is None and "the test split will not be scored" in caplog.text
    assert "AVVP_test_pd.csv: no such annotation table" in caplog.text


def test_the_gate_of_the_recipe_decides_on_test_as_on_val(data, tmp_path):
    recipe = override(RECIPE, ["methods.gates.gate=none"])
    (result,) = train_seeds(recipe, data, tmp_path / "run", TrainOptions(**QUIET))
    predictions = read_predictions(tmp_path / "run/predictions.npz")
    expected = score_predictions(predictions, read_split(data, "test", NAMES), PostProcessing(gate="none"))[1]
    assert {key: result.report[key] for key in expected} == expected


def test_a_folder_is_of_one_run_or_of_several_seeds(two, data, tmp_path):
    with pytest.raises(ValueError, match="toy holds the runs of several seeds; choose another `out` for a single one"):
        list(train_seeds(RECIPE, data, two[0], TrainOptions(**QUIET)))
    list(train_seeds(RECIPE, data, tmp_path / "run", TrainOptions(test=False, **QUIET)))
    with pytest.raises(ValueError, match="run holds a single run, which 2 seeds would be mixed up with; choose"):
        list(train_seeds(RECIPE, data, tmp_path / "run", TrainOptions(seeds=2, **QUIET)))


def test_the_run_says_what_it_was_made_from_and_computed_with(two, data):
    out, _ = two
    about = scores_of(out / "seed-4" / "recipe.json")["run"]
    assert about["runtime"]["threads"] == 1 and about["runtime"]["torch"] == torch.__version__
    assert about["runtime"]["deterministic"] is False and about["class_names"] == list(NAMES)
    assert about["sources"]["clips"] == {name: len(clips) for name, clips in SPLITS.items()}
    _, card = read_checkpoint(out / "seed-4")
    assert card.recipe["run"]["sources"] == about["sources"]
    assert about["sources"]["truth"]["test"]["sha256"] == read_split(data, "test", NAMES).truth_sha256


def test_deterministic_mode_gives_the_same_weights_and_is_recorded(two, data, tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        list(train_seeds(RECIPE, data, tmp_path / "run", TrainOptions(deterministic=True, test=False, **QUIET)))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert scores_of(tmp_path / "run/recipe.json")["run"]["runtime"]["deterministic"] is True
    weights = [read_checkpoint(folder)[0].state_dict() for folder in (tmp_path / "run", two[0] / "seed-4")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_that_goes_on_elsewhere_says_so(data, tmp_path, caplog, monkeypatch):
    out = tmp_path / "run"
    real = valor.training.run.runtime_facts
    monkeypatch.setattr(valor.training.run, "runtime_facts", lambda device: {**real(device), "threads": 64})
    list(train_seeds(RECIPE, data, out, TrainOptions(test=False, **QUIET)))
    monkeypatch.undo()
    with caplog.at_level("INFO"):
        list(train_seeds(RECIPE, data, out, TrainOptions(test=False, **QUIET)))
    assert "begun elsewhere (threads 64 then, 1 now): close, but not the same bits" in caplog.text


def test_trackers_follow_every_epoch_and_the_test_scores(data, tmp_path, monkeypatch):
    seen = []

    def remember(run, recipe):
        from contextlib import nullcontext

        return nullcontext(seen.append)

    monkeypatch.setattr("valor.training.log._OPENERS", {"wandb": remember})
    monkeypatch.setattr("valor.training.options._installed", lambda name: True)
    list(train_seeds(RECIPE, data, tmp_path / "run", TrainOptions(trackers=("wandb",), **QUIET)))
    assert [record["epoch"] for record in seen] == [1, 2, 2] and set(seen[-1]["test"]) == set(LEVELS)


@pytest.mark.parametrize(("options", "message"), [
    ({"seeds": 0}, "seeds must be at least 1, got 0"),
    ({"trackers": ("mlflow",)}, "trackers must be one of tensorboard, wandb, got 'mlflow'"),
])  # fmt: skip
def test_what_no_training_could_follow_is_refused_first(options, message):
    with pytest.raises(ValueError, match=message):
        TrainOptions(**options)


def test_a_summary_needs_scores_of_every_seed(two):
    with pytest.raises(ValueError, match="at least two seeds with test scores, got 1 of 1"):
        summary(two[1][:1])
    assert np.isfinite(summary(two[1])["sd"]["event"]["audio"])
