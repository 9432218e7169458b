"""What a row lacks, split by split, and what gets it."""

import re

import numpy as np
import pytest

import valor
from tests.helpers.typed import typed
from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.data.features.feature_options import FeatureOptions
from valor.data.label_file import FILE_NAME
from valor.data.tables import WEAK_TABLES, read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.experiments.simulated import SimulationOptions, simulate
from valor.label_harvest.store.manifest import media_id
from valor.training.missing import Missing, missing_parts, missing_table, needed_kinds, refuse_missing
from valor.training.recipes import RECIPES, override

NAMES = class_names(LLP_CLASSES)


def lacking(data, recipe=RECIPES["valor++"]):
    return {(part.what, part.split): (part.missing, part.clips) for part in missing_parts(data, recipe, NAMES)}


@pytest.fixture
def data(tmp_path):
    return simulate(tmp_path, ("clap", "clip", "r2plus1d"), SimulationOptions(clips=40), tmp_path, progress=False)


def test_an_empty_folder_lacks_everything_in_the_sizes_of_llp(tmp_path):
    found = lacking(tmp_path)
    kinds = {(kind, split) for kind in ("clap", "clip", "r2plus1d") for split in WEAK_TABLES}
    assert set(found) == kinds | {("annotations", split) for split in WEAK_TABLES} | {("labels", "train")}
    assert found["clap", "test"] == (1200, 1200) and found["annotations", "train"] == (10_000, 10_000)


def test_a_folder_that_has_all_lacks_nothing(data):
    assert lacking(data) == {}
    assert set(lacking(data, RECIPES["valor"])) == {
        (kind, split) for kind in ("vggish", "res152") for split in WEAK_TABLES
    }


def test_single_tables_features_and_labels_are_missed(data):
    (data / "AVVP_eval_visual.csv").unlink()
    (data / "packed" / "clip.val.json").unlink()
    (data / FILE_NAME).unlink()
    sizes = SimulationOptions(clips=40).split_sizes()
    assert lacking(data) == {
        ("annotations", "val"): (649, 649),
        ("annotations", "test"): (1200, 1200),
        ("clip", "val"): (sizes["val"], sizes["val"]),
        ("labels", "train"): (sizes["train"], sizes["train"]),
    }
    without_labels = override(RECIPES["valor++"], ["fit.pseudo_label_weight=0", "fit.guided_weight=1"])
    assert ("labels", "train") not in lacking(data, without_labels)


def test_files_count_by_either_name_of_a_clip_and_labels_need_both_modalities(data):
    (data / FILE_NAME).unlink()
    (data / "packed" / "clip.val.json").unlink()
    train, val = (read_split(data, split, NAMES).clip_ids for split in ("train", "val"))
    folder = data / FEATURE_FILES["clip"].folder
    folder.mkdir(parents=True)
    for name in (val[0], media_id(val[1])):
        np.save(folder / f"{name}.npy", np.zeros(1))
    for number, name in enumerate(LABEL_FOLDERS):
        (data / name).mkdir(parents=True)
        for clip_id in train[number:3]:
            np.save(data / name / f"{media_id(clip_id)}.npy", np.zeros(1))
    assert lacking(data) == {
        ("clip", "val"): (len(val) - 2, len(val)),
        ("labels", "train"): (len(train) - 2, len(train)),
    }


def test_the_table_says_what_gets_each_part_once(tmp_path):
    text = missing_table(missing_parts(tmp_path, RECIPES["valor++"], NAMES))
    lines = text.splitlines()
    assert lines[0].split() == ["missing", "split", "clips", "without"]
    assert lines[1].split() == ["annotations", "train", "10,000", "10,000"]
    assert text.count(f"annotations: `valor download annotations --out {tmp_path}`") == 1
    assert text.count(f"clap, clip: `valor download features --out {tmp_path}`") == 1
    assert "r2plus1d: the classic features" in text and f"labels: `valor download labels --out {tmp_path}`" in text
    one = missing_table([Missing(what="labels", split="train", clips=10, missing=3, remedy="ask")])
    assert one.splitlines()[1:] == ["labels   train        10        3", "labels: ask"]


def test_kinds_of_a_store_are_no_published_ones():
    assert needed_kinds(FeatureOptions()) == ("vggish", "res152", "r2plus1d")
    assert needed_kinds(FeatureOptions(audio="audio.map", visual="clip", motion=None)) == ("clip",)


def test_training_without_a_part_lists_all_that_is_missing_first(data, tmp_path):
    (data / "packed" / "clip.val.json").unlink()
    line = ("train", "valor++", "--data", data, "--out", tmp_path / "run")
    done = typed(*line)
    said = done.err
    assert "does not hold all that 'valor++' needs\nmissing  split" in said and "labels" not in said
    assert re.search(r"\nclip +val +4 +4\n", said) and f"clip: `valor download features --out {data}`" in said
    assert f"`valor reproduce valor++ --data {data} --simulated` runs it" in said
    assert (done.code, done.out) == (2, "") and not (tmp_path / "run").exists()
    with pytest.raises(FileNotFoundError, match=r"missing +split"):
        valor.train("valor++", data=data, out=tmp_path / "run")
    said = typed("train", "valor-clips", "--data", data).err
    assert f"`valor harvest {data / 'AVVP_test_pd.csv'} --videos DIR --store {data / 'store'}`" in said


def test_labels_elsewhere_and_a_missing_test_split_are_no_obstacle(data, tmp_path):
    (data / FILE_NAME).unlink()
    with pytest.raises(FileNotFoundError, match=r"labels +train"):
        refuse_missing(data, RECIPES["valor++"], NAMES)
    refuse_missing(data, RECIPES["valor++"], NAMES, labels=tmp_path)
    (beside := tmp_path / "labels" / "valor" / FILE_NAME).parent.mkdir(parents=True)
    beside.touch()
    with pytest.raises(FileNotFoundError, match=f"labels: give labels='{beside.parent}'"):
        refuse_missing(data, RECIPES["valor++"], NAMES)
    (data / "packed" / "clip.test.json").unlink()
    refuse_missing(data, RECIPES["valor++"], NAMES, labels=tmp_path)
