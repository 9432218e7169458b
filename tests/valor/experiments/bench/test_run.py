"""The bench runs: rows are trained once, go on where they were stopped, and what fails or is refused is said."""

import json
from dataclasses import replace

import numpy as np
import pytest

import valor.experiments.bench.run
import valor.experiments.jobs
from tests.helpers.toy_bench import TINY
from tests.helpers.typed import typed
from valor.data.datasets.dataset import LLP
from valor.data.predictions import Predictions
from valor.experiments.bench import decisions, plan
from valor.experiments.bench.narrow import jobs_of, narrowed
from valor.experiments.bench.options import SIZES, BenchOptions
from valor.experiments.bench.plan import plan_line, time_line
from valor.experiments.bench.rows import ROWS, trained_as
from valor.experiments.bench.run import open_bench_world, run_bench
from valor.experiments.bench.table import to_text
from valor.experiments.bench.world import BenchWorld
from valor.training.methods.methods import Methods
from valor.training.options import TrainingError
from valor.training.train import VALOR_RULE

PAIR = ("rounds-mm-cse", "mm-cse in two rounds")
OPTIONS = BenchOptions(seeds=1, rows=("han", "valor", "nrep"), progress=False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "small", TINY)
        found = run_bench(open_bench_world(None, out, OPTIONS), out, OPTIONS)
    return out, found


def test_rows_and_their_anchors_are_trained_in_folders_that_say_simulated(bench):
    out, found = bench
    assert [line.name for line in found.lines] == ["han", "valor", "valor++", "nrep"]
    for line in found.lines:
        (run,) = (out / "runs" / "SIMULATED-llp-small" / line.name).iterdir()
        assert json.loads((run / "recipe.json").read_text(encoding="utf-8"))["name"] == f"SIMULATED {line.name}"
        assert json.loads((run / "scores.json").read_text(encoding="utf-8"))["simulated"] is True
        scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))["segment"]
        assert ROWS[line.name].chosen_on_val or scores["type_av"] == line.type_av
    assert "decided by numbers chosen on val, as those of their papers were: nrep\n" in to_text(found)
    assert "SIMULATED" in to_text(found) and found.failed == {} and found.minutes > 0


def test_a_plan_says_how_many_trainings_are_to_come(bench, tmp_path):
    options = BenchOptions(seeds=2, rows=("nrep",), jobs=2)
    said = "2 rows with 2 seeds each: 4 trainings"
    assert plan_line(tmp_path, options) == said
    assert plan_line(bench[0], options) == f"{said}, 2 of them done"
    assert plan_line(bench[0], OPTIONS) == "4 rows with 1 seed each: 4 trainings, 4 of them done"
    assert plan_line(tmp_path, BenchOptions(seeds=1, rows=("han",))) == "1 row with 1 seed each: 1 training"
    both = BenchOptions(seeds=1, rows=PAIR)
    assert plan_line(tmp_path, both) == "4 rows with 1 seed each: 3 trainings"


def test_how_long_it_takes_is_by_a_timed_step_and_by_what_each_row_costs(bench, tmp_path, monkeypatch):
    timed = []
    monkeypatch.setattr(plan, "seconds_an_epoch", lambda job: timed.append(job) or 600.0)
    monkeypatch.setitem(ROWS, "valor++", replace(ROWS["valor++"], cost=2.0))
    for name in ("mm-cse", *PAIR):
        monkeypatch.setitem(ROWS, name, replace(ROWS[name], cost=10.0))
    world, options = bench[1].world, BenchOptions(seeds=1, rows=PAIR)
    per_epoch = "an estimate by some steps of valor here and what the other rows cost beside it"
    deeper = replace(world, size=replace(TINY, layers=2))  # of which valor has one
    about = f"about {2 * (4 * 2 + 4 * 10 + 8 * 10) / 6:.1f} hours"
    assert time_line(deeper, tmp_path, options) == f"{about} with 1 at a time on free cores, {per_epoch}"
    assert time_line(world, bench[0], options).startswith(f"about {(4 * 10 + 8 * 10) / 6:.1f} hours")  # valor++ is done
    assert time_line(world, tmp_path, replace(options, rows=("valor",), jobs=9)).startswith("about 40 minutes with 9")
    assert time_line(world, bench[0], OPTIONS) == "" and len(timed) == 3
    assert {(job.row, job.recipe.parser.hidden_width) for job in timed} == {("valor", TINY.width)}


def test_the_steps_behind_the_first_are_timed_and_nothing_is_written(bench, tmp_path, monkeypatch):
    (job,) = jobs_of("valor", bench[1].world, tmp_path, 1)
    clock, took = [0.0], iter([50.0, 2.0, 2.0])
    monkeypatch.setattr(valor.experiments.jobs.time, "thread_time", lambda: clock[0])

    def step(parser, batch, *_):
        assert parser.training and len(batch.clip_ids) == TINY.batch
        clock[0] += next(took)

    monkeypatch.setattr(valor.experiments.jobs, "train_step", step)
    assert valor.experiments.jobs.seconds_an_epoch(job) == pytest.approx(TINY.clips["train"] / TINY.batch * 2.0)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["small", "llp"])
@pytest.mark.parametrize("one_kind", [False, True])
def test_rows_that_are_one_training_share_their_runs(size, one_kind, tmp_path):
    world = BenchWorld(data=tmp_path, title="SIMULATED", quality={}, size=SIZES[size], one_kind=one_kind)
    trainings = {name: (replace(narrowed(name, world), name=""), ROWS[name].labels) for name in ROWS}
    firsts = {name: next(n for n, one in trainings.items() if one == trainings[name]) for name in ROWS}
    assert firsts == {name: trained_as(name) for name in ROWS}
    assert {name for name, first in firsts.items() if first != name} == {"mm-cse in two rounds"}


def test_runs_that_two_rows_share_are_trained_once_and_read_twice(bench, monkeypatch):
    out, found = bench
    monkeypatch.setitem(SIZES, "small", TINY)
    monkeypatch.setitem(ROWS, "twin", replace(ROWS["valor"], over="han"))
    options = replace(OPTIONS, rows=(*OPTIONS.rows, "twin"))
    again = run_bench(open_bench_world(None, out, options), out, options)
    by_name = {line.name: line for line in again.lines}
    assert by_name["twin"].simulated == by_name["valor"].simulated and by_name["twin"].delta is not None
    assert again.minutes == found.minutes and not (out / "runs" / "SIMULATED-llp-small" / "twin").exists()
    assert "twin is the training of valor, read once more\n" in to_text(again)
    assert "4 trainings took" in to_text(again)


@pytest.mark.parametrize("name", ["nrep", "coleaf", "cmpae", "jomold"])
def test_what_a_paper_chose_on_val_is_chosen_on_the_val_of_the_bench(bench, monkeypatch, name):
    data = bench[0] / "SIMULATED-llp-small"
    val = LLP.read_split(data, "val")
    probs = 0.1 + 0.2 * val.truth.astype(np.float32)  # all that is true lies at .3, below the cuts of LLP
    probs[..., 1, :] += 0.1
    known = Predictions(
        clip_ids=val.clip_ids, class_names=val.class_names, segment_probs=probs, modality_probs=probs.max(axis=1)
    )
    monkeypatch.setattr(decisions, "predict_run", lambda *_, **__: known)
    methods = narrowed(name, bench[1].world).methods
    (rule,) = decisions.rules_of(name, methods, [data], data)
    own = Methods(methods).decision(VALOR_RULE)
    if name == "jomold":
        assert rule == own
    elif name == "cmpae":
        assert len(rule.clip_threshold[1]) == 25 and 0.4 in rule.clip_threshold[1]
        assert rule.segment_threshold == own.segment_threshold and set(rule.clip_threshold[0]) == {0.45}
    else:
        assert rule.segment_threshold == 0.3 and rule.clip_threshold <= 0.3 and rule.gate == own.gate


def test_the_anchors_come_out_in_their_order(bench):
    han, valor, plus_plus = (line.type_av for line in bench[1].lines[:3])
    assert han + 3 < valor < plus_plus - 3


def test_what_is_done_is_found_and_says_the_same_to_the_byte(bench, monkeypatch):
    out, found = bench
    monkeypatch.setitem(SIZES, "small", TINY)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = run_bench(open_bench_world(None, out, OPTIONS), out, OPTIONS)
    assert to_text(again) == to_text(found)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before


def test_a_row_that_fails_is_listed_with_those_compared_with_it(bench, monkeypatch):
    out, _ = bench
    monkeypatch.setitem(SIZES, "small", TINY)
    real = valor.experiments.jobs.train_seeds

    def sometimes(recipe, *arguments):
        if recipe.name == "valor++":
            raise TrainingError("epoch 1, step 2: loss nan")
        return real(recipe, *arguments)

    monkeypatch.setattr(valor.experiments.jobs, "train_seeds", sometimes)
    found = run_bench(open_bench_world(None, out, OPTIONS), out, OPTIONS)
    assert set(found.failed) == {"valor++", "nrep"} and found.failed["valor++"].endswith("step 2: loss nan")
    assert "failed nrep: it is compared with valor++, which failed" in to_text(found)


def test_what_fails_fails_for_each_row_that_reads_it_and_for_all_set_over_it(bench, monkeypatch):
    out, _ = bench
    monkeypatch.setitem(SIZES, "small", TINY)
    fails = {"valor++", "rounds-mm-cse"}
    real = valor.experiments.bench.run.trained

    def told(jobs, workers):
        yield from real([job for job in jobs if job.row == "valor"], workers)
        yield from ((job, "loss nan" if job.row in fails else 50.0) for job in jobs if job.row != "valor")

    monkeypatch.setattr(valor.experiments.bench.run, "trained", told)
    options = replace(OPTIONS, rows=("valor", "mm-cse twice as long", *PAIR))
    failed = run_bench(open_bench_world(None, out, options), out, options).failed
    assert failed["rounds-mm-cse"] == failed["mm-cse in two rounds"] == "seed-87: loss nan"
    assert failed["mm-cse"] == "it is compared with valor++, which failed"
    assert failed["mm-cse twice as long"] == "it is compared with mm-cse, which failed" and len(failed) == 5


@pytest.mark.parametrize("size", [TINY, SIZES["small"], SIZES["llp"]])
def test_every_recipe_can_be_narrowed_to_every_size(size, tmp_path):
    world = BenchWorld(data=tmp_path, title="SIMULATED", quality={}, size=size)
    for name in ROWS:
        recipe = narrowed(name, world)
        assert recipe.parser.hidden_width == size.width and recipe.parser.num_layers <= size.layers
        assert recipe.features.motion is None and not recipe.features.unfolded
        rounds = recipe.methods.get("rounds")
        networks = 2 if ROWS[name].recipe in ("jomold", "nrep") else rounds.rounds if rounds else 1
        networks *= 1 if rounds else ROWS[name].times
        assert recipe.fit.epochs == (networks * size.epochs if size.epochs else recipe.fit.epochs)
    assert narrowed("valor++ twice as long", world).fit.epochs == 2 * narrowed("valor++", world).fit.epochs
    assert narrowed("leap", world).methods["leap"].vectors == str(tmp_path / "label_vectors.npy")


def test_a_world_of_one_kind_of_features_gives_them_to_all_rows(tmp_path):
    world = BenchWorld(data=tmp_path, title="SIMULATED", quality={}, size=TINY, one_kind=True)
    assert {narrowed(name, world).features.audio for name in ROWS} == {"audio.embedding"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": "moon"}, "world must be one of llp, demo, got 'moon'"),
        ({"size": "huge"}, "size must be one of small, llp, got 'huge'"),
        ({"rows": ("valor", "nonsense")}, "rows must be of han, .*, got nonsense"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
    ],
)
def test_options_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BenchOptions(**options)


def test_a_folder_that_is_no_demo_and_a_fit_of_the_demo_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no data folder of a demo"):
        open_bench_world(tmp_path, tmp_path / "out", BenchOptions(world="demo"))
    assert not (tmp_path / "out").exists()
    said = typed("bench", "--world", "demo", "--fit", "1", "--out", tmp_path).complaint()
    assert "--fit takes a positive number of rounds, and is for --world llp alone" in said


def test_a_damaged_quality_of_labels_is_refused(bench, monkeypatch):
    out, _ = bench
    monkeypatch.setitem(SIZES, "small", TINY)
    path = out / "SIMULATED-llp-small" / "labels" / "label_quality.json"
    held = path.read_bytes()
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected the quality of labels, got .*; remove"):
        open_bench_world(None, out, OPTIONS)
    path.write_bytes(held)
