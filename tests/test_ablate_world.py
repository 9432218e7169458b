"""Where an ablation runs: LLP with what is there of it, or a demo world that is made or found."""

import numpy as np
import pytest

from tests.toy_ablation import toy_data
from valor.ablate_labels import SOURCES
from valor.ablate_rows import ROWS
from valor.ablate_world import open_world
from valor.annotations import read_split
from valor.labels_file import FILE_NAME, read_pseudo_labels
from valor.simulated import SimulationOptions, simulate
from valor.vocabulary import LLP_CLASSES, class_names

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
        FileNotFoundError, match=r"labels  train(.|\n)*without --data the ablation runs on a demo world"
    ):
        open_world(data, tmp_path / "out", progress=False)


@pytest.mark.slow
def test_a_demo_world_is_made_once_and_found_again(tmp_path):
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
