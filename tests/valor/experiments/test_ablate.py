"""The ablation runs: rows are trained once, compared in pairs, left out, listed as failed, and searched.

Where an ablation runs: LLP with what is there of it, or a demo world that is made or found.
"""

import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

import valor.experiments.ablate
import valor.experiments.jobs
from tests.helpers.forked import FORKS
from tests.helpers.toy_ablation import SMALL, toy_data, toy_options
from tests.helpers.toy_demo import cheapen
from tests.helpers.typed import typed
from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.options import DemoOptions
from valor.demo.run import run_demo
from valor.eval.scores import Scores
from valor.experiments.ablate import AblateOptions, RowResult, open_world, run_ablation
from valor.experiments.rows import ROWS, SOURCES, combined, slug
from valor.experiments.simulated import SimulationOptions, simulate
from valor.scoring.over_seeds import difference
from valor.training.methods.uwav import UwavOptions
from valor.training.options import TrainingError

BY_NAME = {row.name: row for row in ROWS}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return open_world(toy_data(folder), folder / "out", progress=False)


@pytest.fixture(scope="module")
def ablated(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run_ablation(world, out, toy_options("labels", "teacher"))


def results_of(values, name="VALOR"):
    """A row whose seeds score these values on every clip."""
    scores = tuple(Scores.of_clips(np.full((30, 2, 4), value / 100)) for value in values)
    return RowResult(row=replace(BY_NAME["VALOR"], name=name), val=tuple(values), scores=scores)


def test_each_row_is_trained_with_each_seed_in_a_folder_of_its_own(ablated):
    out, found = ablated
    names = [result.row.name for result in found.results]
    assert names[0] == "VALOR" and "tags copied to every segment" in names and "no labels: weak loss alone" in names
    for result in found.results:
        runs = sorted((out / "runs" / slug(result.row.name)).iterdir())
        assert [run.name for run in runs] == ["seed-1000", "seed-1001"]
        recipe = json.loads((runs[0] / "recipe.json").read_text(encoding="utf-8"))
        assert recipe["name"] == f"SIMULATED {result.row.name}"
        test = [json.loads((run / "scores.json").read_text(encoding="utf-8")) for run in runs]
        assert result.figures("event", "audio") == [scores["event"]["audio"] for scores in test]
        assert result.mean_scores.event.audio == pytest.approx(fmean(result.figures("event", "audio")))
    assert len({tuple(result.val) for result in found.results}) > len(found.results) / 2, "rows differ"
    assert found.failed == {} and found.left_out == {}


def test_what_is_done_is_not_done_again(ablated, world):
    out, found = ablated
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = run_ablation(world, out, toy_options("labels", "teacher", "layers"))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    kept = {result.row.name: result.val for result in again.results}
    assert all(kept[result.row.name] == result.val for result in found.results)
    assert "1 layer" not in kept, "the base has one layer already"
    assert {"2 layers", "4 layers"} <= set(kept)


def test_jobs_in_parallel_give_the_same_runs(ablated, world, tmp_path, monkeypatch):
    """In processes forked from one that has torch, which is loaded in seconds; they are given the same."""
    monkeypatch.setattr("valor.experiments.jobs.get_context", lambda _: FORKS)
    _, found = ablated
    parallel = run_ablation(world, tmp_path, replace(toy_options("labels", jobs=2), groups=()))
    assert parallel.base.val == found.base.val
    assert [s.to_dict() for s in parallel.base.scores] == [s.to_dict() for s in found.base.scores]


def test_differences_are_paired_over_seeds_and_over_clips():
    base, better = results_of([50.0, 60.0, 70.0]), results_of([51.0, 61.1, 70.9], "better")
    found = difference(better, base)
    over_seeds = found.seeds["segment", "type_av"]
    assert over_seeds.value == pytest.approx(1.0) and 0.7 < over_seeds.low < over_seeds.high < 1.3
    assert found.clips.of("segment", "type_av").low == pytest.approx(1.0), "alike on every clip"
    assert found.is_clear()
    assert not difference(results_of([51.0, 60.0, 69.5], "unclear"), base).is_clear()
    assert difference(results_of([51.0]), results_of([50.0])).seeds is None


def test_rows_the_world_does_not_allow_are_named_with_the_reason(world, tmp_path, monkeypatch):
    monkeypatch.setattr(valor.experiments.ablate, "trained", lambda jobs, _: ((job, "not now") for job in jobs))
    with pytest.raises(ValueError, match="the base could not be trained: seed 1000: not now"):
        run_ablation(world, tmp_path, toy_options("features"))


def test_features_and_teachers_that_are_not_there_leave_their_rows_out(world, ablated):
    out, _ = ablated
    found = run_ablation(world, out, toy_options("features", "beyond", seeds=1))
    assert found.left_out == {
        "CLAP": "no clap features",
        "CLIP": "no clip features",
        "CLAP and CLIP": "no clap, clip features",
        "soft labels": "no scores of the audio and visual teacher",
    }
    assert {"without motion", "mix-up", "denoising, VPLAN", "weight average"} <= {r.row.name for r in found.results}


def test_a_row_that_fails_does_not_stop_the_others(world, tmp_path, monkeypatch):
    real = valor.experiments.jobs.train_seeds

    def sometimes(recipe, *arguments):
        if recipe.name == "2 layers":
            raise TrainingError("epoch 1, step 2: loss nan")
        return real(recipe, *arguments)

    monkeypatch.setattr(valor.experiments.jobs, "train_seeds", sometimes)
    found = run_ablation(world, tmp_path, toy_options("layers", seeds=1))
    assert found.failed == {"2 layers": "seed 1000: epoch 1, step 2: loss nan"}
    assert [result.row.name for result in found.results] == ["VALOR", "4 layers"]


def test_the_search_adds_what_validation_likes_until_it_likes_no_more(world, tmp_path, monkeypatch):
    worth = {"class_balance": 3.0, "mixup": 2.0, "gates": -1.0, "average": 1.0, "jomold": -1.0, "vplan": -1.0}

    def stand_in(jobs, _):
        for job in jobs:
            yield job, 50.0 + sum(gain for name, gain in worth.items() if any(name in c for c in changes_of(job)))

    def changes_of(job):
        methods = job.recipe.methods
        uwav = methods.get("uwav", UwavOptions())
        on = {"class_balance": uwav.class_balance, "mixup": uwav.mixup_alpha}
        return [*methods, *(name for name, value in on.items() if value)]

    same = Scores.of_clips(np.full((6, 2, 4), 0.5))
    monkeypatch.setattr(valor.experiments.ablate, "trained", stand_in)
    monkeypatch.setattr(valor.experiments.ablate, "scores_on_test", lambda folders, *_: ((same,) * len(folders), ()))
    found = run_ablation(world, tmp_path, toy_options("beyond", search=True))
    assert found.winner.row.name == "class balance + mix-up + weight average"
    assert found.winner.val_mean == 56.0
    names = [result.row.name for result in found.searched]
    assert len(names) == len(set(names)) == 1 + 6 + 14 + 4 + 3, "base, singles, pairs, and what is added to the best"
    assert "mix-up + modality gates + weight average" not in names, "only the best pair is built upon"


def test_the_search_ends_with_the_pairs_where_none_is_better_than_its_parts(world, tmp_path, monkeypatch):
    def stand_in(jobs, _):
        for job in jobs:
            methods = job.recipe.methods
            mixed = methods.get("uwav", UwavOptions()).mixup_alpha > 0
            yield job, 50.0 - 2.0 * mixed - 3.0 * ("average" in methods)

    same = Scores.of_clips(np.full((6, 2, 4), 0.5))
    monkeypatch.setattr(valor.experiments.ablate, "trained", stand_in)
    monkeypatch.setattr(valor.experiments.ablate, "scores_on_test", lambda folders, *_: ((same,) * len(folders), ()))
    found = run_ablation(world, tmp_path, toy_options("beyond", search=True))
    assert (found.winner.row.name, len(found.searched)) == ("VALOR", 1 + 6 + 14)


def test_a_combination_that_was_trained_under_another_name_is_not_trained_again():
    three = combined(combined(BY_NAME["soft labels"], BY_NAME["class balance"]), BY_NAME["mix-up"])
    known = valor.experiments.ablate._Trainer.known
    trainer = type("T", (), {"results": {"U": replace_row(BY_NAME["UWAV: soft, balance, mix-up"])}})()
    assert known(trainer, three).name == "UWAV: soft, balance, mix-up"
    assert known(trainer, BY_NAME["mix-up"]).name == "mix-up"


def replace_row(row):
    return replace(results_of([1.0, 2.0]), row=row)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"groups": ("layer",)}, "no group of rows is called layer .did you mean layers.*; there are base, labels"),
    ],
)
def test_options_that_make_no_ablation_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AblateOptions(**options)


def test_the_command_prints_the_table_and_writes_every_form(tmp_path):
    data = toy_data(tmp_path, clips=40)
    sets = [part for change in SMALL for part in ("--set", change)]
    line = ("ablate", "--data", data, "--out", tmp_path / "out", "--rows", "layers", "--seeds", "2", "--quiet", *sets)
    done = typed(*line)
    assert done.code == 0, done.err
    assert "2 layers" in done.out and "LLP, valor" in done.out and "over seeds" in done.out
    for ending in (".txt", ".md", ".csv", ".tex", ".json", ".pdf", ".png", "-dark.png"):
        assert (tmp_path / "out" / f"ablation{ending}").stat().st_size > 200
    assert "--search combines the rows of the group beyond" in typed(*line, "--search").complaint()
    assert "clips are for a demo world that is made here" in typed(*line, "--clips", "60").complaint()


NAMES = class_names(LLP_CLASSES)


def test_llp_takes_the_classic_features_where_they_are_and_its_label_file(tmp_path):
    data = toy_data(tmp_path, clips=40)
    world = open_world(data, tmp_path / "out", progress=False)
    assert (world.name, world.base.name) == ("llp", "valor")
    table = read_pseudo_labels(data)
    assert world.evidence.clip_ids == read_split(data, "train", NAMES).clip_ids
    np.testing.assert_array_equal(world.evidence.hard["visual"], table.labels[:, :, 1])
    assert world.evidence.soft == {}
    assert world.title == "SIMULATED features, LLP, valor, 4 test clips"


def test_llp_takes_clip_and_clap_where_there_is_nothing_else(tmp_path):
    data = simulate(tmp_path, ("clap", "clip", "r2plus1d"), SimulationOptions(clips=40), tmp_path, progress=False)
    assert open_world(data, tmp_path / "out", progress=False).base.name == "valor++"


def test_llp_without_labels_or_features_lists_what_is_missing(tmp_path):
    data = toy_data(tmp_path, clips=40)
    (data / FILE_NAME).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"labels +train(.|\n)*without `data` the ablation runs on a demo world"
    ):
        open_world(data, tmp_path / "out", progress=False)


@pytest.mark.slow
def test_a_demo_world_is_made_once_and_found_again(tmp_path, monkeypatch):
    cheapen(monkeypatch)
    made = open_world(None, tmp_path, clips=50, progress=False)
    assert made.name == "demo" and made.data == tmp_path / "data"
    assert "30 train, 6 val, 14 test clips" in made.title
    assert set(made.evidence.hard) == set(made.evidence.soft) == {"audio", "visual", "fused"}
    for role, soft in made.evidence.soft.items():
        np.testing.assert_array_equal(soft > 0.5, made.evidence.hard[role])
    for row in (row for row in ROWS if "demo" in row.worlds):
        lacks = () if row.labels == "none" else SOURCES[row.labels].lacks(made.evidence)
        assert made.obstacle(row, lacks) is None
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/videos/*.mp4")}
    found = open_world(tmp_path / "data", tmp_path / "elsewhere", progress=False)
    assert found.title == made.title and {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(ValueError, match="holds another world"):
        open_world(None, tmp_path, clips=60, progress=False)


@pytest.mark.slow
def test_edited_tables_of_a_demo_world_are_used_and_nothing_is_written_there(tmp_path, monkeypatch, caplog):
    cheapen(monkeypatch)
    data = open_world(None, tmp_path, clips=50, progress=False).data
    heard, tags = data / "AVVP_eval_audio.csv", data / "AVVP_train.csv"
    for table, edit in ((heard, lambda lines: lines[:1] + lines[2:]), (tags, lambda lines: [*lines[:-1]])):
        table.write_text("".join(edit(table.read_text().splitlines(keepends=True))))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*") if path.is_file()}
    folders = {path: path.stat().st_mtime_ns for path in (data, *data.rglob("*")) if path.is_dir()}
    options = replace(toy_options("layers", seeds=1), changes=("fit.epochs=2", "fit.warmup_epochs=1"))
    for clips in (None, 50):
        found = open_world(data, tmp_path / "out", clips=clips, progress=False)
        assert len(found.evidence.clip_ids) == 29
        assert caplog.text.count("used as edited, not as drawn for this world: AVVP_eval_audio.csv, AVVP_train.csv")
        caplog.clear()
    assert run_ablation(found, tmp_path / "out", options).results
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in folders} == folders
    with pytest.raises(ValueError, match=r"AVVP_eval_audio.csv and AVVP_train.csv differ from what was drawn "):
        run_demo(tmp_path, DemoOptions(clips=50), progress=False)
    assert {path: path.read_bytes() for path in before} == {path: held for path, (held, _) in before.items()}
