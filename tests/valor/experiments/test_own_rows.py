"""Rows of one's own in an ablation: a row for each part of loaded files, rows that were typed, and what is refused."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

import valor.experiments.ablate
from tests.conftest import ROOT
from tests.helpers.toy_ablation import toy_data, toy_options
from tests.helpers.typed import typed
from valor.data.own_files import LOADED, OwnFile
from valor.eval.scores import Scores
from valor.experiments.ablate import open_world, plan_rows, run_ablation
from valor.experiments.ablation_table import dot_rows, to_text
from valor.experiments.bench.rows import ROWS as BENCH_ROWS
from valor.experiments.options import AblateOptions
from valor.experiments.rows import BASES, ROWS, combined, rows_of, slug, typed_row
from valor.parsers.options import ENCODERS
from valor.training.methods.method import Method
from valor.training.methods.methods import METHODS
from valor.training.run_folder import PREDICTIONS


@dataclass(frozen=True)
class Weight:
    weight: float = 0.1


class Entropy(Method[Weight]):
    Options = Weight


@pytest.fixture
def _loaded(monkeypatch):
    """As by `--with mine.py`, of a file that defines a method and an encoder."""
    monkeypatch.setitem(METHODS, "entropy", Entropy)
    monkeypatch.setitem(ENCODERS, "gru", ENCODERS["hybrid"])
    adds = {"METHODS": ("entropy",), "ENCODERS": ("gru",), "DATASETS": ("songs",)}
    file = OwnFile(ROOT / "mine.py", "0" * 64, adds)
    LOADED.append(file)
    yield
    LOADED.remove(file)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return open_world(toy_data(folder), folder / "out", progress=False)


@pytest.fixture
def trained(monkeypatch):
    """Jobs that stand in for trainings; the list of them."""
    jobs = []
    monkeypatch.setattr(
        valor.experiments.ablate, "trained", lambda todo, _: ((jobs.append(job) or job, 50.0) for job in todo)
    )
    same = Scores.of_clips(np.full((6, 2, 4), 0.5))
    monkeypatch.setattr(valor.experiments.ablate, "scores_on_test", lambda folders, *_: ((same,) * len(folders), ()))
    return jobs


@pytest.mark.usefixtures("_loaded")
def test_each_part_of_a_file_has_a_row_and_the_base_stays_plain(world, tmp_path, trained, caplog):
    options = replace(
        toy_options("own", seeds=1),
        own_rows=(
            "entropy 0.2=methods.entropy.weight=0.2",
            "as ever=parser.num_heads=2",
            "recurrent=parser.encoder=gru",
        ),
    )
    found = run_ablation(world, tmp_path, options)
    recipes = {job.row: job.recipe for job in trained}
    assert list(recipes) == ["VALOR", "method entropy", "recurrent", "entropy 0.2"]
    assert recipes["VALOR"].methods == {} and recipes["VALOR"].parser.encoder == "hybrid"
    weights = {name: recipe.methods["entropy"].weight for name, recipe in recipes.items() if recipe.methods}
    assert weights == {"method entropy": 0.1, "entropy 0.2": 0.2}
    assert recipes["recurrent"].parser.encoder == "gru"
    assert [result.row.group for result in found.results] == ["base", "own", "own", "own"]
    assert "mine.py" not in found.changed and found.own == ("mine.py (sha256 000000000000)",)
    assert found.left_out == {"as ever": "it trains the same as 'VALOR'"}
    lines = [line.strip() for line in to_text(found).splitlines()]
    assert lines.index("Own") < next(n for n, line in enumerate(lines) if line.startswith("method entropy"))
    assert "* it leaves zero out" in lines, "three rows are too few for a star by chance"
    assert "Beyond the paper" not in lines and {row.group for row in dot_rows(found)} == {"Own"}
    assert [row.name for row in dot_rows(found)] == list(recipes)[1:], "in the figure too"
    assert "not trained with" not in caplog.text


@pytest.mark.usefixtures("_loaded", "trained")
@pytest.mark.parametrize("change", ["methods.entropy=on", "parser.encoder=gru"])
def test_a_base_that_takes_a_part_of_a_file_says_so(world, tmp_path, change):
    options = replace(toy_options("base", seeds=1), changes=(*toy_options("base", seeds=1).changes, change))
    found = run_ablation(world, tmp_path, options)
    assert found.changed.endswith(f"{change}; with mine.py (sha256 000000000000)")


@pytest.mark.usefixtures("_loaded")
def test_a_file_nothing_of_which_is_trained_with_is_named(world, tmp_path, trained, caplog):
    run_ablation(world, tmp_path, toy_options("base", seeds=1))
    assert "mine.py defines the method entropy, which is not trained with here: add methods.entropy=on" in caplog.text
    assert "add parser.encoder=gru" in caplog.text and "songs" not in caplog.text and len(trained) == 1


@pytest.mark.usefixtures("_loaded")
def test_parts_of_ones_own_are_combined_with_ours_and_with_one_another():
    entropy, gru = rows_of(("own",), "demo")[1:]
    both = combined(gru, combined(entropy, next(row for row in ROWS if row.name == "mix-up")))
    assert both.name == "mix-up + encoder gru + method entropy" and len(both.changes) == 3


@pytest.mark.parametrize("text", ["two layers", "=fit.epochs=3", "fit.epochs=3", "x=", "x=fit.epochs=3,=4"])
def test_a_row_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(
        ValueError,
        match=r"a row is written NAME=a\.b=c\[,d\.e=f\], such as 'two layers=.*, got " + re.escape(repr(text)),
    ):
        typed_row(text)


def test_rows_of_ones_own_need_a_file_or_a_line_and_names_of_their_own(tmp_path):
    said = typed("ablate", "--out", tmp_path, "--rows", "own").complaint()
    assert "none does here; give --with or --row" in said
    said = typed("ablate", "--out", tmp_path, "--rows", "base", "--row", "2=fit.epoch=3").complaint()
    assert "row '2': unknown option 'fit.epoch' (did you mean fit.epochs?)" in said
    said = typed("ablate", "--out", tmp_path, "--rows", "layers", "--row", "2 Layers=fit.epochs=30").complaint()
    assert "each row needs a name of its own, got '2 Layers' twice" in said
    assert not any(tmp_path.iterdir()), "refused before a world is made"


def test_warm_ups_too_long_for_few_epochs_are_named_all_at_once_before_anything_is_made(tmp_path):
    line = ("ablate", "--out", tmp_path, "--rows", "layers,beyond", "--set", "fit.epochs=3")
    needed = ["fit.warmup_epochs=1", "methods.jomold.warmup_epochs=1", "methods.vplan.warmup_epochs=1"]
    said = " and ".join(f"--set {change}" for change in needed)
    assert f"with so few epochs say {said}" in typed(*line).complaint()
    assert not any(tmp_path.iterdir())
    options = AblateOptions(groups=("layers", "beyond"), changes=("fit.epochs=3", *needed))
    assert plan_rows(BASES["demo"], options, "demo")[0].fit.warmup_epochs == 1


@pytest.mark.usefixtures("_loaded")
def test_the_bench_has_a_row_over_valor_plus_plus_for_each_part(tmp_path, monkeypatch):
    def told(_, __, options):
        raise ValueError(f"told {options.rows[-2:]}")

    monkeypatch.setattr("valor.experiments.bench.run.open_bench_world", lambda *_: None)
    monkeypatch.setattr("valor.experiments.bench.plan.time_line", lambda *_: "")
    monkeypatch.setattr("valor.experiments.bench.run.run_bench", told)
    before = dict(BENCH_ROWS)
    try:
        said = typed("bench", "--out", tmp_path).err
        assert "told ('valor++ with method entropy', 'valor++ with encoder gru')" in said
        told_of = typed("bench", "--out", tmp_path, "--rows", "valor++,valor++ with encoder gru").err
        assert "note: 'valor++ with method entropy' is left out, since --rows names others" in told_of
        assert told_of.count("is left out") == 1 and "is left out" not in said
        row = BENCH_ROWS["valor++ with method entropy"]
        assert (row.over, row.changes) == ("valor++", ("methods.entropy=on",))
    finally:
        BENCH_ROWS.clear()
        BENCH_ROWS.update(before)


def test_a_row_that_predicts_what_the_base_does_is_found(world, tmp_path, trained):
    options = replace(toy_options("labels", seeds=2), own_rows=("wide=parser.num_heads=4", "late=fit.epochs=3"))
    for row, told in (("VALOR", "a"), ("wide", "a"), ("late", "b")):
        for seed in range(world.base.fit.seed, world.base.fit.seed + 2):
            folder = tmp_path / "runs" / slug(row) / f"seed-{seed}"
            folder.mkdir(parents=True)
            (folder / PREDICTIONS).write_text("a" if seed == world.base.fit.seed else told)
    assert run_ablation(world, tmp_path, options).alike == ("wide",)
