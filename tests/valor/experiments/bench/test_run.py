"""The bench runs: rows are trained once, go on where they were stopped, and what fails or is refused is said."""

import json

import numpy as np
import pytest

import valor.experiments.jobs
from tests.helpers.toy_bench import TINY
from tests.helpers.typed import typed
from valor.data.datasets.dataset import LLP
from valor.data.predictions import Predictions
from valor.experiments.bench import decisions
from valor.experiments.bench.narrow import narrowed
from valor.experiments.bench.options import SIZES, BenchOptions
from valor.experiments.bench.rows import ROWS
from valor.experiments.bench.run import open_bench_world, plan_line, run_bench
from valor.experiments.bench.table import to_text
from valor.experiments.bench.world import BenchWorld
from valor.training.methods.methods import Methods
from valor.training.options import TrainingError
from valor.training.train import VALOR_RULE

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


def test_a_plan_says_how_many_trainings_are_to_come_and_how_long_they_take(bench, tmp_path):
    options = BenchOptions(seeds=2, rows=("nrep",), jobs=2)
    said = "2 rows with 2 seeds each: 4 trainings"
    assert plan_line(tmp_path, options) == f"{said}, about 2 to 3 minutes with 2 at a time"
    assert plan_line(bench[0], options).startswith(f"{said}, 2 of them done, about 1 to 2 minutes")
    assert plan_line(bench[0], OPTIONS) == "4 rows with 1 seed each: 4 trainings, 4 of them done"
    assert plan_line(tmp_path, BenchOptions(rows=("nrep",), size="llp")) == said  # nobody measured these


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
