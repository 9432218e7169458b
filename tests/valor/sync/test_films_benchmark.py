"""The benchmark of films: every training is judged by the same, and how much trainings differ is printed."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import sync_films
from benchmarks.sync import trained as trained_anew
from valor.label_harvest.media.streams import DirectReader
from valor.sync.fit import FitResult
from valor.sync.measure import read_run
from valor.sync.media import read_streams
from valor.sync.options import FitOptions


@pytest.fixture
def clips(films):
    def read(path: Path):
        _, (pictures,), (wave,) = read_streams(path, DirectReader(), seconds=60)
        return pictures, (np.clip(wave, -1, 1) * 32767).astype(np.int16)

    return [read(path) for path in films[:4]]


def test_trainings_of_several_seeds_are_judged_by_the_same_films(clips, trained, tmp_path, monkeypatch, capsys):
    run = read_run(trained[0])
    never = replace(run, card=replace(run.card, weights=(-30.0, 0.0, 0.0, 0.0)), checksum="never sure")
    seeds = []

    def trained_by(_out, _world, _clips, _test, options):
        seeds.append(options.seed)
        return None, (run, never)[options.seed]

    world = SimpleNamespace(folder=tmp_path / "world", plans=range(4))
    changes = {
        "trained": trained_by,
        "build_world": lambda *_, **__: world,
        "clips_in": lambda _: clips,
        "clips_of": lambda *_: [],
        "strokes_in": lambda *_: {},
        "report_told": lambda *_: None,
        **{"SIZES": (2,), "SET_SIZES": (2,), "DRAWN": 3},
    }
    for name, change in changes.items():
        monkeypatch.setattr(sync_films, name, change)
    typed = ["--out", tmp_path, "--seeds", 2, "--clips", 4, "--written", 0]
    monkeypatch.setattr(sys, "argv", ["sync_films", *map(str, typed)])
    sync_films.main()
    said = capsys.readouterr().out
    assert seeds == [0, 1] and said.count("training of seed") == 2
    rows = {line[:40].strip(): line[40:].split("  ") for line in said.partition("2 trainings: mean")[2].splitlines()}
    found, certain, wrong = (cell for cell in rows["single clips, the others, again"] if cell.strip())
    first, low, high = map(float, found.replace("(", "").replace(")", "").replace("to ", "").split())
    assert first == low == high >= 0.5, "what is likeliest is the same of both, sure or not"
    assert certain.strip() == f"{high / 2:.2f} (0.00 to {high:.2f})" and wrong.strip() == "0.00 (0.00 to 0.00)"
    assert {"films of 2, moved, faded", "sets of 2, foreign", "plain world, 2, again"} <= rows.keys()


def test_each_training_seed_has_a_run_of_its_own(monkeypatch, tmp_path):
    made = []

    def fitted(_paths, out, options, **_):
        made.append((out.name, options.seed))
        return FitResult(None, 0, (), ())  # type: ignore[arg-type]

    monkeypatch.setattr("benchmarks.sync.fit_sync", fitted)
    monkeypatch.setattr("benchmarks.sync.build_world", lambda *_, **__: SimpleNamespace(plans=()))
    for seed in (0, 2):
        trained_anew(tmp_path, "strokes", 1, 1, FitOptions(seed=seed))
    assert made == [("strokes-run", 0), ("strokes-run-2", 2)]
