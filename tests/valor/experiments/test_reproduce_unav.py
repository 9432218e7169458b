"""Whole rows of UnAV-100 on a few simulated clips of unlike length, and what is said where something is missing."""

import pytest

from tests.helpers.toy_unav import toy, written
from tests.helpers.typed import typed
from valor.data.datasets.dataset import UNAV_FINER, dataset_of
from valor.data.datasets.unav import ceilings
from valor.data.read_clips import read_clip_set
from valor.experiments.options import UNAV_ROWS, SimulationOptions
from valor.experiments.reproduce import reproduce
from valor.experiments.simulated import simulate
from valor.training.options import TrainOptions
from valor.training.recipes import RECIPES, override

SMALL = ("parser.hidden_width=16", "parser.num_layers=1", "fit.epochs=1", "fit.warmup_epochs=0", "fit.batch_size=8")
CEILINGS = ("true tags, whole clips", "truth on {} s, outer", "truth on {} s, nearest")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return simulate(folder, (), SimulationOptions(clips=16), folder, dataset=UNAV_FINER[0], progress=False)


def test_simulated_clips_are_of_unlike_length_with_labels_inside_their_tags(data, tmp_path):
    dataset = dataset_of(data)
    split = dataset.read_split(data, "train")
    clips = read_clip_set(data, split, RECIPES["unav-valor"].features, labels=data)
    assert dataset is UNAV_FINER[0] and len(set(clips.segments.tolist())) > 3
    assert clips.events is not None and clips.clip_seconds.tolist() == split.clip_seconds.tolist()
    assert not (clips.pseudo_labels & ~clips.weak_labels[:, None, None]).any()
    assert not (clips.pseudo_labels & ~clips.valid[..., None, None]).any()
    again = simulate(tmp_path, (), SimulationOptions(clips=16), data.parent, dataset=UNAV_FINER[0], progress=False)
    assert again == data  # what is there is used again


@pytest.mark.parametrize("row", ["unav-valor", "unav-windows"])
def test_a_row_stands_beside_the_true_tags_and_what_its_segments_can_say(row, data, tmp_path):
    options = TrainOptions(seeds=1, device="cpu", picture=False, progress=False)
    found = reproduce(row, override(RECIPES[row], SMALL), data, tmp_path, options)
    held = {row.name.removeprefix("SIMULATED "): row for row in found.table.rows}
    assert list(held) == [f"{row}, seed 87", *(name.format("0.5") for name in CEILINGS)]
    assert held["true tags, whole clips"].group == "reference"
    assert held["truth on 0.5 s, outer"].figures[2] == 100 and held["truth on 0.5 s, outer"].figures[-1] < 100
    assert held[f"{row}, seed 87"].selection == "mAP mean"


def test_shorter_segments_lift_the_cap_of_the_typed_row(tmp_path):
    folder = written(tmp_path / "unav", toy(), said="unav-0.25")
    more = ["--simulated", "--clips", "12", "--seeds", "1", "--out", tmp_path / "out"]
    done = typed("reproduce", "unav-weak", "--data", folder, *more, *(w for c in SMALL for w in ("--set", c)))
    assert done.code == 0, done.err
    assert "SIMULATED unav-weak, seed 87" in done.out and "AVicuna" not in done.out
    made = dataset_of(tmp_path / "out/SIMULATED-12-clips")
    split = made.read_split(tmp_path / "out/SIMULATED-12-clips", "test")
    assert made is UNAV_FINER[1] and set(split.clip_ids) == {"aaaaaaaaaa2", "aaaaaaaaaa4"}  # those of the file
    told = (tmp_path / "out/SIMULATED-reproduction.txt").read_text()
    (line,) = [row for row in told.splitlines() if "truth on 0.25 s, outer" in row and row.count(".") > 9]
    whole = ceilings(split.events, split.clip_seconds, 1.0, len(split.class_names))["truth on 1 s, outer"]
    cells = line.split()[:-3]  # before the rule, extra data and what was tuned
    assert float(cells[-1]) > 100 * whole.average + 5


def test_what_is_missing_is_named_with_the_commands_that_make_it(tmp_path):
    data = written(tmp_path / "unav", toy())
    assert set(UNAV_ROWS) <= set(RECIPES)
    done = typed("reproduce", "unav-valor", "--data", data)
    assert done.code == 2 and f"--videos DIR --store {data / 'store'} --length whole`" in done.err
    assert "--split validation --out thresholds.json" in done.err
    done = typed("reproduce", "ave-weak", "--data", data)
    assert done.code == 2 and "holds UnAV-100, and ave-weak is a row of AVE" in done.err
    done = typed("reproduce", "unav-weak", "--data", data, "--download")
    assert done.code == 2 and "nothing of UnAV-100 can be fetched" in done.err
