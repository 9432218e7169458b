"""The bench of clips without tags: how long its arms are trained, a small one from end to end, and what it refuses."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from tests.helpers.toy_pool import NEW, write_pool_store
from tests.helpers.toy_run import CLIPS, FROM_STORE, SPLITS, write_labels, write_tables
from tests.helpers.typed import typed
from valor.eval.intervals import seed_interval
from valor.eval.scores import Scores
from valor.experiments.pretraining.alone import parsed_alone
from valor.experiments.pretraining.cells import Cell, cell_of, epochs_for, recipe_of, with_control
from valor.experiments.pretraining.choose import chosen
from valor.experiments.pretraining.kept import kept
from valor.experiments.pretraining.options import ALL_TAGS, FRESH, KNOWN, PretrainBenchOptions
from valor.experiments.pretraining.results import CellResult, with_differences
from valor.experiments.pretraining.run import PretrainBench, plan_line, run_pretrain_bench
from valor.experiments.pretraining.table import draw, to_csv, to_json, to_markdown, to_text, write_pretrain_bench
from valor.parsers.build import build_parser
from valor.training.recipes import RECIPES, override
from valor.training.run import BEGUN_WITH

pytestmark = pytest.mark.usefixtures("one_thread")


AVC = "avc:pool=seconds"
TEACHERS_KNOW = "weight, share, cuts, temperature"


def test_every_arm_takes_as_many_steps() -> None:
    demo, options = RECIPES["demo"], PretrainBenchOptions(rounds=2)
    found = {arm: recipe_of(arm, 0.1, demo, (42, 378), options) for arm in ("fresh", "teachers", "self-training")}
    assert {arm: recipe.fit.epochs for arm, recipe in found.items()} == {
        "fresh": 39,  # 7 passes of 2 steps each
        "teachers": 39,  # a pass of 14 steps each
        "self-training": 39 + 2 * 39,
    }
    assert {recipe.fit.steps_of_epoch(clips) for recipe in found.values() for clips in (42, 420)} == {14}
    assert {recipe.fit.label_share for recipe in found.values()} == {0.1}
    assert found["self-training"].methods["rounds"].first_epochs == 39
    assert (found["fresh"].fit.warmup_epochs, found["teachers"].fit.warmup_epochs) == (3, 3)
    fifth = recipe_of("fresh", 0.2, demo, (84, 336), options).fit
    assert (fifth.epochs, fifth.steps_of_epoch(84)) == (36, 15)  # 5 passes of 3 steps
    whole = recipe_of("self-training", 1, demo, (420, 0), options)  # nothing is without tags
    assert (whole.fit.epochs, [*whole.methods]) == (3 * 77, ["rounds"])
    assert epochs_for(1, 100, demo.fit) == 1


def test_an_arm_has_options_of_its_own_and_as_many_steps() -> None:
    demo = RECIPES["demo"]
    options = PretrainBenchOptions(arms=("teachers:share=0.5:weight=0.3", "both:soft=true", "avc", "teachers"))
    assert options.arms == (FRESH, "teachers:share=0.5:weight=0.3", "teachers", "both:soft=true", "correspondence")
    half = cell_of(options.arms[1], 0.1, demo, (42, 378), options)
    assert (half.others, half.recipe.methods["unlabelled"].weight) == (189, 0.3)
    assert half.recipe.fit.epochs == 34  # 2 passes of 8 steps each
    assert half.folder == "10-percent/teachers,share=0.5,weight=0.3"
    assert cell_of("both:soft=true", 0.1, demo, (42, 378), options).recipe.methods["rounds"].soft


def test_an_objective_that_needs_an_order_gets_time_codes_and_a_control_with_them() -> None:
    demo = RECIPES["demo"]
    options = with_control(PretrainBenchOptions(arms=("mavil", "avc")), demo)
    assert options.arms == (FRESH, "time-codes", "correspondence", "mavil")
    codes = {arm: cell_of(arm, 0.1, demo, (42, 378), options).recipe.parser.time_codes for arm in options.arms}
    assert codes == {FRESH: 0, "time-codes": 0.5, "correspondence": 0, "mavil": 0.5}
    rng, scored = np.random.default_rng(0), []
    for arm in options.arms:
        scores = tuple(Scores.of_clips(rng.random((5, 2, 4))) for _ in range(2))
        cell = cell_of(arm, 0.1, demo, (42, 378), options)
        scored.append(CellResult(cell=cell, val=(1.0, 2.0), scores=scores))
    found = {result.cell.arm: result for result in with_differences(scored)}
    over = found["mavil"].over_codes
    assert over is not None and found["correspondence"].over_codes is found["time-codes"].over_codes is None
    means = [fmean(found[arm].figures("segment", "type_av")) for arm in ("mavil", "time-codes")]
    assert over.clips.of("segment", "type_av").value == pytest.approx(means[0] - means[1])
    coded = override(demo, ["parser.time_codes=1"])
    assert with_control(PretrainBenchOptions(arms=("mavil",)), coded).arms == (FRESH, "mavil")
    with pytest.raises(ValueError, match=r"'objective.varient' .did you mean objective.variant"):
        with_control(PretrainBenchOptions(arms=("xdc:varient=single",)), demo)


def test_weight_and_share_are_those_that_are_best_on_validation() -> None:
    demo, options = RECIPES["demo"], PretrainBenchOptions(arms=("teachers", "self-training", "both:weight=2"))
    cells = [cell_of(arm, 0.1, demo, (42, 378), options) for arm in options.arms]
    trained: list[str] = []

    def train(asked: Sequence[Cell]) -> dict[str, float]:
        trained.extend(cell.arm for cell in asked)
        best = {"teachers:weight=0.3": 60.0, "teachers:share=0.5:weight=0.3": 61.0}
        return {cell.folder: best.get(cell.arm, 50.0) for cell in asked if cell.arm != "self-training:weight=3"}

    choices = chosen(cells, lambda cell, arm: cell_of(arm, cell.share, demo, (42, 378), options), train)
    assert [(of.cell.arm, of.best.arm) for of in choices] == [
        ("teachers", "teachers:share=0.5:weight=0.3"),
        ("self-training", "self-training"),  # none is better
    ]
    assert len(trained) == len({*trained}) == 8
    assert (
        choices[0]
        .text()
        .endswith(
            "(of teachers 50.0, teachers:weight=0.3 60.0, teachers:weight=3 50.0, teachers:share=0.5:weight=0.3 61.0)"
        )
    )


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
    first = run_pretrain_bench(FROM_STORE, data, tmp_path, replace(options, shares=(0.5,), arms=("teachers", AVC)))
    fresh, teachers, begun = first.results
    told = json.loads((tmp_path / "runs" / begun.cell.folder / "seed-1" / "recipe.json").read_text())
    assert told["run"][BEGUN_WITH]["objective"] == "correspondence"
    assert begun.cell.folder == "50-percent/correspondence,pool=seconds"
    card = json.loads((tmp_path / "pretrained" / "correspondence,pool=seconds" / "seed-1" / "recipe.json").read_text())
    assert card["options"]["pool"] == "seconds"
    assert (fresh.cell.tagged, fresh.cell.others, teachers.cell.others) == (4, 0, 3)
    assert teachers.over_fresh is not None
    gains = [a - b for a, b in zip(*(of.figures("segment", "type_av") for of in (teachers, fresh)), strict=True)]
    assert teachers.over_fresh.seeds is not None
    assert teachers.over_fresh.seeds["segment", "type_av"].value == pytest.approx(fmean(gains))
    _sections_hold(first, tmp_path)
    kept = [path for ending in ("last.safetensors", "seed-*.npz") for path in tmp_path.rglob(ending)]
    made = {path: path.stat().st_mtime_ns for path in kept}
    found = run_pretrain_bench(FROM_STORE, data, tmp_path, options)
    assert len(made) == 8 + 8 and all(path.stat().st_mtime_ns == then for path, then in made.items())
    assert found.before_tags is None and "Before any tag" not in to_text(found)
    arms = [(of.cell.share, of.cell.arm) for of in found.results]
    assert arms == [(0.5, FRESH), (0.5, "teachers"), (0.5, ALL_TAGS), (1, FRESH)]
    bound, whole = found.results[2:]
    assert bound.scores == whole.scores and bound.over_fresh is not None and whole.over_fresh is None
    assert found.left_out == {"100 %, teachers": "every clip of the stores is tagged or annotated"}
    text = to_text(found)
    assert "left out 100 %, teachers" in text and "paired t over 2 seeds" in text
    rows = list(csv.DictReader(to_csv(found).splitlines()))
    assert [row["untagged"] for row in rows] == ["0", "3", "0", "0"]
    assert {row["tuned"] for row in rows} == {"epoch, label cuts ?"}
    assert json.loads(to_json(found))["cells"][1]["over_seeds"].keys() >= {"segment.type_av", "event.event_av"}
    assert draw(found).axes
    with pytest.raises(ValueError, match=r"belongs to a bench with other steps; continue it with what it was begun"):
        run_pretrain_bench(FROM_STORE, data, tmp_path, replace(options, steps=5))
    _bound_from_elsewhere(data, tmp_path, replace(options, shares=(0.5,), arms=(FRESH,), steps=2), whole)


def _bound_from_elsewhere(data: Path, there: Path, options: PretrainBenchOptions, whole: CellResult) -> None:
    """A bench without the share 1 has the bound of the folder of another, and of none that was begun otherwise."""
    out, elsewhere = there / "other", replace(options, bound=there)
    found = run_pretrain_bench(FROM_STORE, data, out, elsewhere)
    assert [(of.cell.share, of.cell.arm) for of in found.results] == [(0.5, FRESH), (0.5, ALL_TAGS)]
    fresh, bound = found.results
    figures = [bound.figures("segment", "type_av"), whole.figures("segment", "type_av")]
    assert figures[0] == figures[1] and bound.val == pytest.approx(whole.val) and bound.tuned and bound.over_fresh
    assert bound.over_fresh.seeds is not None and f"{ALL_TAGS} (trained in {there})" in to_text(found)
    assert not (out / "runs" / "100-percent").exists()
    with pytest.raises(ValueError, match=r"has no fresh at the share 1 with seed-2; train it there with .*seeds=3"):
        run_pretrain_bench(FROM_STORE, data, out, replace(elsewhere, seeds=3))
    with pytest.raises(ValueError, match=r"is a bench with other whole_steps, whose share 1 is no bound of this one"):
        run_pretrain_bench(FROM_STORE, data, there / "third", replace(elsewhere, whole_steps=3))
    with pytest.raises(ValueError, match=r"expected the folder of a bench, which has a bench.json"):
        run_pretrain_bench(FROM_STORE, data, out, replace(elsewhere, bound=data))
    assert not (there / "third").exists()


def _sections_hold(found: PretrainBench, out: Path) -> None:
    """What stands below the table of an objective's bench."""
    assert found.before_tags is not None
    (probed,) = found.before_tags.arms
    gain = probed.gain("missing.audio")
    values = [
        row.figures["missing.audio"].value - of.figures["missing.audio"].value
        for row, of in zip(probed.rows, probed.controls, strict=True)
    ]
    assert gain.clips.value == pytest.approx(fmean(values)) and gain.seeds == seed_interval(values)
    assert gain.clips.low <= gain.clips.value <= gain.clips.high
    fresh, teachers, _ = found.results
    assert fresh.one_stream is not None and teachers.one_stream is not None
    alone = [scores.segment.audio for scores in teachers.one_stream.over.scores]
    both = teachers.figures("segment", "audio")
    lost = teachers.one_stream.lost(teachers)
    assert lost.clips.of("segment", "audio").value == pytest.approx(fmean(alone) - fmean(both))
    text = to_text(found)
    assert "Before any tag" in text and "One stream missing" in text and "## One stream missing" in to_markdown(found)
    told = json.loads(to_json(found))
    assert told["before_tags"]["arms"][0]["over_random"]["R@1"].keys() == {"value", "clips", "seeds"}
    assert told["cells"][1]["one_stream"]["over_fresh"]["over_clips"].keys() >= {"audio", "type_av"}
    paths = {path.name for path in write_pretrain_bench(out, found)}
    assert paths > {"pretraining-probe.csv", "pretraining-one-stream.csv"}
    lines = list(csv.DictReader((out / "pretraining-one-stream.csv").read_text().splitlines()))
    assert [line["arm"] for line in lines] == [FRESH, "teachers", "correspondence:pool=seconds"]


def test_what_was_measured_is_found_again_and_made_anew_where_it_is_of_something_else(tmp_path: Path) -> None:
    calls: list[int] = []

    def measured() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"a": np.array([1.0, np.nan])}

    path = tmp_path / "deep" / "one.npz"
    first, again = (kept(path, ["x", 1], measured) for _ in range(2))
    assert len(calls) == 1 and np.array_equal(first["a"], again["a"], equal_nan=True)
    kept(path, ["x", 2], measured)
    path.write_bytes(path.read_bytes()[:-20])  # as a full disk leaves it
    kept(path, ["x", 2], measured)
    assert len(calls) == 3


def test_a_missing_stream_has_no_part_in_what_the_other_says() -> None:
    parser, clips = build_parser(TINY, seed=0).eval(), toy_clip_set(3)
    for m, other in enumerate(("visual", "audio")):
        changed = replace(clips, **{other: torch.randn(getattr(clips, other).shape)})
        one, same = (parsed_alone(parser, held, m) for held in (clips, changed))
        assert one.segment_probs is not None and same.segment_probs is not None
        assert np.array_equal(one.segment_probs, same.segment_probs)
        assert one.segment_probs[:, :, m].all() and not one.segment_probs[:, :, 1 - m].any()


def test_what_is_to_come_is_said_before_it_begins() -> None:
    cells = [
        Cell(arm=FRESH, share=0.1, tagged=4, others=0, recipe=FROM_STORE),
        Cell(arm="correspondence:pool=seconds", share=1.0, tagged=8, others=0, recipe=FROM_STORE),
    ]
    assert plan_line(cells, PretrainBenchOptions(seeds=2, arms=(AVC,))) == (
        "4 trainings (2 rows, 2 seeds) of about 540 or 1080 steps, each round of one as many; before them 2 "
        "pre-trainings"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--arms", "teachers,magic"], f"--arms must be known, got magic; known are {', '.join(KNOWN)}"),
        (["--arms", "xdc:variant"], "--arms must be of NAME or NAME:OPTION=VALUE, got xdc:variant"),
        (
            ["--arms", "teachers:soft=true"],
            "--arms must be of known options, got teachers:soft=true; teachers has " + TEACHERS_KNOW,
        ),
        (["--shares", "0", "0.1"], "--shares must be above 0 and at most 1, got 0.0, 0.1"),
        (["--bound", "x"], "--bound is for a bench without the share 1, which is the bound itself; leave one out"),
        (
            ["--set", "fit.epochs=4"],
            "--set must be of what arms have in common, got --set fit.epochs=4; that is set by --steps, and "
            "--whole-steps at the share 1: all trainings take as many",
        ),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
    ],
)
def test_what_no_bench_is_is_refused(data: Path, tmp_path: Path, words: list[str], complaint: str) -> None:
    found = typed("pretrain", "bench", "--data", data, "--out", tmp_path, *words)
    assert found.complaint() == f"valor pretrain-bench: {complaint}"


def test_stores_of_no_tagged_clip_add_to_all_of_them_with_a_weight_that_is_chosen(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valor.experiments.pretraining.choose.WEIGHTS", (0.3,))
    monkeypatch.setattr("valor.experiments.pretraining.choose.SHARES", (1.0,))
    more = write_pool_store(tmp_path / "more", (*NEW, SPLITS["test"][0]))
    options = PretrainBenchOptions(
        arms=("teachers",), unlabelled=(more,), shares=(1,), seeds=1, steps=2, whole_steps=2, choose=True
    )
    found = run_pretrain_bench(FROM_STORE, data, tmp_path, replace(options, labels=data, progress=False))
    assert [(of.cell.arm, of.cell.tagged, of.cell.others) for of in found.results] == [
        (FRESH, 7, 0),
        ("teachers", 7, 5),
        ("teachers:weight=0.3", 7, 5),
    ]
    assert [of.chosen_on_val and len(of.chosen_on_val) for of in found.results] == [2, 2, 4]
    _, teachers, better = found.results
    assert teachers.over_usual is None and better.over_usual is not None and better.usual == "teachers"
    values = [of.figures("segment", "type_av")[0] for of in (better, teachers)]
    assert better.over_usual.clips.of("segment", "type_av").value == pytest.approx(values[0] - values[1])
    rows = list(csv.DictReader(to_csv(found).splitlines()))
    assert [row["usual"] for row in rows] == ["", "", "teachers"] and rows[1]["segment.type_av.usual.delta"] == ""
    assert float(rows[2]["segment.type_av.usual.delta"]) == pytest.approx(values[0] - values[1])
    assert json.loads(to_json(found))["cells"][2]["over_usual"]["arm"] == "teachers"
    assert "| Δ usual | [over clips] |" in to_markdown(found)
    text = to_text(found)
    assert "one seed says nothing of others" in text and "tuned on validation" in text and "Δ usual: a row" in text
    assert "chosen on validation, first seed, for 100 %, teachers: teachers:weight=0.3 (of teachers:weight=0.3" in text
