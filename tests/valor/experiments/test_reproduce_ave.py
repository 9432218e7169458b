"""Whole rows of AVE on a few dozen simulated clips, and what is said where something is missing."""

import json

import pytest

from tests.helpers.toy_ave import write_ave
from tests.helpers.typed import typed
from valor.data.datasets.dataset import AVE, dataset_of
from valor.data.label_file import read_pseudo_labels, write_pseudo_labels
from valor.data.read_clips import read_clip_set
from valor.experiments.options import AVE_ROWS, SimulationOptions
from valor.experiments.reproduce import published_row_of, reproduce, write_reproduction
from valor.experiments.simulated import simulate
from valor.scoring.published import RECALLED, read_published
from valor.training.missing import prepare_harvested, without_store
from valor.training.options import TrainOptions
from valor.training.recipes import RECIPES, override

SMALL = ("parser.hidden_width=16", "parser.num_layers=1", "fit.epochs=2", "fit.warmup_epochs=1", "fit.batch_size=8")
KINDS = ("clap", "clip", "r2plus1d")


def small(row):
    return override(without_store(RECIPES[row]), SMALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of AVE that is taken for a real one."""
    folder = tmp_path_factory.mktemp("data")
    made = simulate(folder, KINDS, SimulationOptions(clips=40), folder, dataset=AVE, progress=False)
    for mark in ("SIMULATED.json", "labels.json"):
        (made / mark).unlink()
    held = read_pseudo_labels(made, alone=True)
    write_pseudo_labels(made / "pseudo_labels.npz", held.clip_ids, held.class_names, held.labels)
    for card in (made / "packed").glob("*.json"):
        card.write_text(card.read_text(encoding="utf-8").replace("SIMULATED", "extracted"), encoding="utf-8")
    return made


def test_every_row_has_a_recipe_and_its_published_figure_where_there_is_one():
    accuracies = {row: entry and entry.figures[-1] for row in AVE_ROWS for entry in [published_row_of(row)]}
    assert accuracies == {"ave-weak": 75.3, "ave-valor": 80.4, "ave-uwav": 80.6, "ave-full": None}
    assert set(AVE_ROWS) <= set(RECIPES)


def test_both_choices_of_the_epoch_stand_above_all_published_rows_with_their_sources(data, tmp_path):
    options = TrainOptions(seeds=2, device="cpu", picture=False, progress=False)
    found = reproduce("ave-valor", small("ave-valor"), data, tmp_path, options, changes=SMALL)
    names = [row.name for row in found.table.rows]
    assert names[:6] == [
        "ave-valor, seed 87",
        "ave-valor, seed 87, epoch chosen on test",
        "ave-valor, seed 87, tuned",
        "ave-valor",
        "ave-valor, epoch chosen on test",
        "ave-valor, tuned",
    ]
    assert found.table.baseline.name == "VALOR (NeurIPS 2023)"
    held = {row.name: row for row in found.table.rows}
    known = {row.title for row in read_published(AVE).rows if row.confidence != RECALLED}
    assert known <= set(held) and "CMBS" not in held, "figures from memory are no rows"
    assert held["VALOR (NeurIPS 2023)"].sources == ("UWAV T2",)
    assert held["true clip class in every second"].figures[-6:][0] == 82.21
    assert {"nothing predicted", "tags copied", "commonest class copied"} <= set(names)
    assert any("zero-shot class copied: not known" in note for note in found.table.notes)
    files = write_reproduction(tmp_path, found)
    told = json.loads(next(file for file in files if file.suffix == ".json").read_text())
    assert told["published_as"] == "VALOR (NeurIPS 2023)" and told["seeds"] == [87, 88] and not told["simulated"]


@pytest.mark.parametrize("row", ["ave-weak", "ave-full"])
def test_a_simulated_row_says_so_everywhere_and_shows_no_published_figure(row, tmp_path, shared):
    where = shared / "ave" if row == "ave-weak" else tmp_path / "nothing"
    changes = [word for change in SMALL for word in ("--set", change)]
    more = ("--simulated", "--clips", "30", "--seeds", "1", "--out", tmp_path / "out", *changes)
    done = typed("reproduce", row, "--data", where, *more)
    assert done.code == 0, done.err
    assert f"SIMULATED {row}, seed 87, epoch chosen on test" in done.out and "UWAV" not in done.out
    assert (tmp_path / "out" / "SIMULATED-reproduction.json").is_file()
    made = tmp_path / "out" / "SIMULATED-30-clips"
    assert dataset_of(made) is AVE
    train = AVE.read_split(made, "train")
    if row == "ave-weak":
        (official,) = {AVE.read_split(where, "train").clip_ids[0]}
        assert train.clip_ids[0] == official
    clips = read_clip_set(made, train, small(row).features, labels=made)
    assert clips.widths() == {"audio_width": 768, "visual_width": 768, "motion_width": 512, "num_classes": 28}
    assert (train.truth.any(axis=(2, 3)).sum(axis=1) >= 0).all() and train.weak_labels.sum(axis=1).tolist() == [1] * 22


def test_what_is_missing_is_named_with_the_commands_that_make_it(tmp_path):
    data = write_ave(tmp_path / "ave")
    done = typed("reproduce", "ave-valor", "--data", data)
    assert done.code == 2
    assert f"`valor harvest {data} --videos DIR --store {data / 'store'} --features r2plus1d`" in done.err
    assert f"then `valor labels {data / 'store'} --thresholds thresholds.json --out {data}`" in done.err
    done = typed("reproduce", "ave-weak", "--data", tmp_path)
    assert done.code == 2 and "holds LLP, and ave-weak is a row of AVE" in done.err
    done = typed("reproduce", "ave-weak", "--data", data, "--download")
    assert done.code == 2 and "nothing of AVE can be fetched" in done.err
    with pytest.raises(FileNotFoundError, match="no such annotation"):
        (data / "Annotations.txt").unlink()
        (data / "dataset.json").write_text('{"dataset": "ave"}')
        prepare_harvested(data, RECIPES["ave-weak"], AVE)
