"""What the bench says of its rows: differences, intervals, misses and the order, and how it is laid out."""

import csv
import io
import json

import numpy as np
import pytest

from tests.helpers.toy_bench import TINY
from valor.eval.scores import FIGURES, Scores
from valor.experiments.bench.compare import compare_rows, published_figures
from valor.experiments.bench.options import BenchOptions
from valor.experiments.bench.rows import ANCHORS, PARTS, ROWS, with_anchors
from valor.experiments.bench.run import Bench
from valor.experiments.bench.table import FORMATS, draw_bench, to_csv, to_json, to_text, write_bench
from valor.experiments.bench.world import QUALITY, BenchWorld
from valor.experiments.jobs import OverSeeds

TYPE = FIGURES.index("type_av")


def scored(*values):
    """A row whose seeds score these values, on clips that are unlike and alike for every row."""
    clips = np.random.default_rng(0).normal(0, 0.1, (200, 1, 1))
    clips -= clips.mean()
    scores = tuple(Scores.of_clips(np.broadcast_to(clips + value / 100, (200, 2, 4))) for value in values)
    return OverSeeds(val=values, scores=scores)


def as_published(spread=0.2):
    """Every row as its paper has it."""
    figures = {name: published_figures(name)[TYPE] or 60.0 for name in ROWS}
    return {name: scored(value - spread, value + spread) for name, value in figures.items()}


def bench_of(found, tmp_path, world="llp"):
    lines, orders = compare_rows(found, resamples=200)
    place = BenchWorld(data=tmp_path / "SIMULATED-llp-small", title="SIMULATED: tables", quality=QUALITY, size=TINY)
    options = BenchOptions(world=world, rows=tuple(found))
    return Bench(world=place, options=options, lines=tuple(lines), orders=tuple(orders), failed={}, minutes=2.0)


def test_a_perfect_bench_misses_nothing_and_orders_all():
    lines, orders = compare_rows(as_published(), resamples=200)
    assert [line.name for line in lines] == list(ROWS)
    assert not any(line.misses for line in lines)
    for line in lines:
        if line.counts:
            assert line.delta.value == pytest.approx(line.published_delta)
    assert {order.of for order in orders} == {"figures", "differences"}
    assert all(order.spearman.value == pytest.approx(1) and order.kendall.value == pytest.approx(1) for order in orders)
    assert {order.rows for order in orders} == {sum(line.counts for line in lines)}


def test_anchors_and_rows_whose_figures_were_not_seen_do_not_count():
    by_name = {line.name: line for line in compare_rows(as_published(), resamples=20)[0]}
    assert not any(by_name[name].counts or by_name[name].delta for name in ANCHORS)
    assert by_name["mm-cse"].delta is not None and not by_name["mm-cse"].counts and not by_name["mm-cse"].misses


def test_a_row_that_is_far_off_misses_and_is_named_as_wrong(tmp_path):
    found = as_published() | {"uwav": scored(61.0, 61.4)}
    bench = bench_of(found, tmp_path)
    assert [line.name for line in bench.lines if line.misses] == ["uwav"]
    assert "wrong: uwav is 4.7 points too bad here, -0.8 [" in to_text(bench)
    assert "no published difference lies outside" in to_text(bench_of(as_published(), tmp_path))


def test_more_noise_between_seeds_makes_wider_intervals_also_of_other_rows():
    calm, wild = (
        compare_rows(rows, resamples=200)[0] for rows in (as_published(), as_published() | {"mug": scored(54.0, 73.8)})
    )
    width = [{line.name: line.delta.high - line.delta.low for line in lines if line.delta} for lines in (calm, wild)]
    assert width[1]["vplan"] > 2 * width[0]["vplan"]


def test_one_seed_and_few_rows_say_what_they_can(tmp_path):
    found = {name: scored(60.0) for name in with_anchors(("mug",))}
    bench = bench_of(found, tmp_path)
    assert [line.name for line in bench.lines] == ["valor", "mug"] and bench.orders == ()
    assert bench.lines[1].delta.low == bench.lines[1].delta.high == 0, "alike on every clip"


def test_every_form_says_simulated_and_holds_the_same(tmp_path):
    bench = bench_of(as_published(), tmp_path)
    paths = write_bench(tmp_path, bench)
    assert [path.suffix for path in paths] == [*FORMATS, ".pdf", ".png"]
    assert all(path.name.startswith("SIMULATED-bench-llp-small.") for path in paths)
    for ending in FORMATS:
        assert "simulated" in (tmp_path / f"{bench.name}{ending}").read_text(encoding="utf-8").lower()
    told = json.loads(to_json(bench))
    assert told["simulated"] is True and [row["name"] for row in told["rows"]] == list(ROWS)
    rows = list(csv.DictReader(io.StringIO(to_csv(bench))))
    assert {row["row"]: row["misses"] for row in rows}["mm-cse"] == "" and {row["simulated"] for row in rows} == {
        "true"
    }
    assert float(rows[0]["segment.type_av"]) == pytest.approx(told["rows"][0]["simulated"][TYPE])
    (axes,) = draw_bench(bench).axes
    assert "SIMULATED" in axes.get_ylabel() and len(axes.texts) == sum(line.counts for line in bench.lines)


def test_the_demo_world_claims_no_fit(tmp_path):
    assert "anchors: nothing is fitted here" in to_text(bench_of(as_published(), tmp_path, world="demo"))
    assert json.loads(to_json(bench_of(as_published(), tmp_path, world="demo")))["knobs"] is None


def test_every_row_has_its_anchor_features_and_published_method():
    for name, row in ROWS.items():
        assert row.over in (None, *ANCHORS) or (row.published is None and ROWS[row.over].over in ANCHORS)
        if row.over:
            assert ROWS[row.over].features == row.features, "compared on the same features"
        assert row.published is None or published_figures(name)[TYPE] is not None
    assert with_anchors(("nrep",)) == ("valor++", "nrep")


def test_what_ours_is_worth_part_by_part_is_compared_with_the_whole_and_asked_for_by_name(tmp_path):
    assert not set(PARTS) & set(BenchOptions().rows) and set(PARTS) | set(BenchOptions().rows) == set(ROWS)
    part = "rounds++ in three rounds"
    assert with_anchors((part,)) == ("valor++", "rounds++", part)
    found = {"valor++": scored(66.0), "rounds++": scored(68.0), part: scored(67.0)}
    bench = bench_of(found, tmp_path)
    assert bench.lines[2].delta.value == pytest.approx(-1.0) and not bench.lines[2].counts
    assert "Parts of rounds++\n" in to_text(bench) and "**Parts of rounds++**" in FORMATS[".md"](bench)
    longer = bench_of({"valor": scored(62.0), "leap": scored(57.0), "leap twice as long": scored(61.0)}, tmp_path)
    assert "Over leap\n" in to_text(longer) and not longer.lines[2].counts
