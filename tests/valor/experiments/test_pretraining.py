"""The bench of clips without tags: how long its arms are trained, a small one from end to end, and what it refuses."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from tests.helpers.toy_pool import NEW, write_pool_store
from tests.helpers.toy_run import CLIPS, FROM_STORE, SPLITS, write_labels, write_tables
from tests.helpers.typed import typed
from valor.experiments.pretraining.options import FRESH, KNOWN, PretrainBenchOptions
from valor.experiments.pretraining.run import epochs_for, recipe_of, run_pretrain_bench
from valor.experiments.pretraining.table import draw, to_csv, to_json, to_text
from valor.training.recipes import RECIPES
from valor.training.run import BEGUN_WITH

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_arm_takes_as_many_steps() -> None:
    demo, options = RECIPES["demo"], PretrainBenchOptions(rounds=2)
    found = {arm: recipe_of(arm, 0.1, demo, (42, 378), options) for arm in ("fresh", "teachers", "self-training")}
    assert {arm: recipe.fit.epochs for arm, recipe in found.items()} == {
        "fresh": 270,  # 2 steps each
        "teachers": 39,  # 14 steps each
        "self-training": 270 + 2 * 39,
    }
    assert {recipe.fit.label_share for recipe in found.values()} == {0.1}
    assert found["self-training"].methods["rounds"].first_epochs == 270
    assert (found["fresh"].fit.warmup_epochs, found["teachers"].fit.warmup_epochs) == (20, 3)
    whole = recipe_of("self-training", 1, demo, (420, 0), options)  # nothing is without tags
    assert (whole.fit.epochs, [*whole.methods]) == (3 * 77, ["rounds"])
    assert epochs_for(1, 100, 10) == 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tables(tmp_path_factory.mktemp("world") / "data")
    write_pool_store(folder / "store", CLIPS)
    write_labels(folder)
    return folder


def test_a_bench_from_end_to_end_that_goes_on(data: Path, tmp_path: Path) -> None:
    options = PretrainBenchOptions(
        arms=("teachers",),
        shares=(1, 0.5),
        seeds=2,
        steps=4,
        whole_steps=2,
        pretrain_epochs=1,
        labels=data,
        progress=False,
    )
    first = run_pretrain_bench(FROM_STORE, data, tmp_path, replace(options, shares=(0.5,), arms=("teachers", "avc")))
    fresh, teachers, begun = first.results
    told = json.loads((tmp_path / "runs" / begun.cell.folder / "seed-1" / "recipe.json").read_text())
    assert told["run"][BEGUN_WITH]["objective"] == "correspondence"
    assert (fresh.cell.tagged, fresh.cell.others, teachers.cell.others) == (4, 0, 3)
    assert teachers.over_fresh is not None
    gains = [a - b for a, b in zip(*(of.figures("segment", "type_av") for of in (teachers, fresh)), strict=True)]
    assert teachers.over_fresh.seeds is not None
    assert teachers.over_fresh.seeds["segment", "type_av"].value == pytest.approx(fmean(gains))
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.safetensors")}
    found = run_pretrain_bench(FROM_STORE, data, tmp_path, options)
    assert len(made) == 8 and all(path.stat().st_mtime_ns == then for path, then in made.items())
    assert [(of.cell.share, of.cell.arm) for of in found.results] == [(0.5, FRESH), (0.5, "teachers"), (1, FRESH)]
    assert found.left_out == {"100 %, teachers": "every clip of the stores is tagged or annotated"}
    text = to_text(found)
    assert "left out 100 %, teachers" in text and "paired t over 2 seeds" in text
    rows = list(csv.DictReader(to_csv(found).splitlines()))
    assert [row["untagged"] for row in rows] == ["0", "3", "0"]
    assert json.loads(to_json(found))["cells"][1]["over_seeds"].keys() >= {"segment.type_av", "event.event_av"}
    assert draw(found).axes
    with pytest.raises(ValueError, match=r"belongs to a bench with other steps; continue it with what it was begun"):
        run_pretrain_bench(FROM_STORE, data, tmp_path, replace(options, steps=5))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--arms", "teachers,magic"], f"--arms must be of {', '.join(KNOWN)}, got magic"),
        (["--shares", "0", "0.1"], "--shares must be above 0 and at most 1, got 0.0, 0.1"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
    ],
)
def test_what_no_bench_is_is_refused(data: Path, tmp_path: Path, words: list[str], complaint: str) -> None:
    found = typed("pretrain", "bench", "--data", data, "--out", tmp_path, *words)
    assert found.complaint() == f"valor pretrain-bench: {complaint}"


def test_stores_of_no_tagged_clip_add_to_all_of_them(data: Path, tmp_path: Path) -> None:
    more = write_pool_store(tmp_path / "more", (*NEW, SPLITS["test"][0]))
    options = PretrainBenchOptions(arms=(FRESH,), unlabelled=(more,), shares=(1,), seeds=1, steps=2, whole_steps=2)
    found = run_pretrain_bench(FROM_STORE, data, tmp_path, replace(options, labels=data, progress=False))
    assert [(of.cell.tagged, of.cell.others) for of in found.results] == [(7, 0)]
    assert "one seed says nothing of others" in to_text(found)
