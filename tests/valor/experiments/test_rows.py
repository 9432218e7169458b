"""The table of rows: every one makes a recipe, and rows can be put together where they do not contradict.

The labels an ablation compares: what each source makes of one clip whose evidence is known.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.typed import typed
from valor.data.label_file import read_pseudo_labels
from valor.data.provenance import Provenance
from valor.experiments.rows import (
    BASE_LABELS,
    BASES,
    GROUPS,
    NO_LABELS,
    ROWS,
    SOURCES,
    LabelEvidence,
    combined,
    make_labels,
    rows_of,
    write_label_source,
)
from valor.parsers.options import ENCODERS
from valor.training.methods.uwav import Uwav

# One clip of three segments and three classes, tagged with the first two.
AUDIO = np.array([[[1, 0, 0], [1, 0, 0], [0, 0, 0]]], dtype=bool)
VISUAL = np.array([[[0, 1, 0], [0, 0, 0], [0, 1, 0]]], dtype=bool)
FUSED = AUDIO | VISUAL
TAGS = np.array([[1, 1, 0]], dtype=bool)
COPIED = np.array([[[1, 1, 0]] * 3], dtype=bool)
EVIDENCE = LabelEvidence(
    clip_ids=("clip",),
    class_names=("bell", "dog", "drum"),
    tags=TAGS,
    hard={"audio": AUDIO, "visual": VISUAL, "fused": FUSED},
    soft={"audio": AUDIO * 0.75, "visual": VISUAL * 0.625},
)
IN_THE_CLIP = np.array([[[1, 0, 0]] * 3], dtype=bool), np.array([[[0, 1, 0]] * 3], dtype=bool)
EXPECTED = {
    "segments": (AUDIO, VISUAL),
    "clips": IN_THE_CLIP,
    "tags": (COPIED, COPIED),
    "tags smoothed": (COPIED, 0.9 * COPIED + 0.05),
    "fused": (FUSED, FUSED),
    "audio alone": (AUDIO, COPIED),
    "visual alone": (COPIED, VISUAL),
    "audio for both": (AUDIO, AUDIO),
    "visual for both": (VISUAL, VISUAL),
    "soft": (AUDIO * 0.75, VISUAL * 0.625),
}


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_makes_what_its_name_says(name):
    labels = make_labels(name, EVIDENCE)
    assert labels.shape == (1, 3, 2, 3)
    for modality, expected in enumerate(EXPECTED[name]):
        np.testing.assert_allclose(labels[:, :, modality], expected, atol=1e-6)


def test_a_label_folder_is_read_back_and_says_where_it_came_from(tmp_path):
    for name in ("segments", "soft"):
        folder = write_label_source(tmp_path / name, name, EVIDENCE)
        table = read_pseudo_labels(folder)
        assert (table.clip_ids, table.class_names, table.soft) == (("clip",), EVIDENCE.class_names, name == "soft")
        np.testing.assert_allclose(table.labels, make_labels(name, EVIDENCE), atol=1e-3)
        assert json.loads((folder / "labels.json").read_text())["source"] == name


def test_labels_of_random_teachers_stay_marked(tmp_path):
    folder = write_label_source(tmp_path, "fused", replace(EVIDENCE, provenance=Provenance(random_teachers=True)))
    assert json.loads((folder / "labels.json").read_text())["random_weights"] is True


def test_sources_whose_teachers_are_not_there_are_refused_by_name():
    published = replace(EVIDENCE, hard={"audio": AUDIO, "visual": VISUAL}, soft={})
    assert SOURCES["fused"].lacks(published) == ("fused",)
    assert SOURCES["soft"].lacks(published) == ("audio", "visual")
    assert SOURCES["tags"].lacks(published) == ()
    with pytest.raises(ValueError, match="'fused' needs the labels of the teachers fused, not here"):
        make_labels("fused", published)
    with pytest.raises(ValueError, match="'soft' needs the scores of the teachers audio, visual"):
        make_labels("soft", published)
    with pytest.raises(ValueError, match="labels come from one of segments, clips.*got 'magic'"):
        make_labels("magic", EVIDENCE)


BY_NAME = {row.name: row for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_in_a_group_and_makes_a_recipe_of_its_name(row):
    assert row.group in GROUPS and (row.labels in SOURCES or row.labels == NO_LABELS)
    for world in row.worlds:
        for name, base in BASES.items():
            if (name == "demo") == (world == "demo"):
                recipe = row.recipe(base)
                assert recipe.name == row.name
                assert (recipe.fit.pseudo_label_weight == 0) == (row.labels == NO_LABELS)


def test_names_are_unique_and_the_base_comes_first():
    assert len(BY_NAME) == len(ROWS)
    assert (ROWS[0].name, ROWS[0].labels, ROWS[0].changes) == ("VALOR", BASE_LABELS, ())
    order = [list(GROUPS).index(row.group) for row in ROWS]
    assert order == sorted(order)


def test_the_help_names_the_groups():
    shown = typed("ablate", "--help").out
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in GROUPS if name != "base")


def test_groups_are_picked_with_the_base_and_by_world():
    rows = rows_of(("teacher",), "llp")
    assert [row.group for row in rows] == ["base", *["teacher"] * 4]
    assert "one fused teacher" in [row.name for row in rows_of(("teacher",), "demo")]
    assert {row.group for row in rows_of(tuple(GROUPS), "demo")} == {*GROUPS} - {"own"}, (
        "no file of one's own is loaded"
    )
    with pytest.raises(ValueError, match="no group of rows is called layer .did you mean layers.*; there are base"):
        rows_of(("layer",), "demo")


def test_there_is_a_row_for_every_encoder():
    bases = [base for name, base in BASES.items()]
    found = {row.recipe(base).parser.encoder for row in rows_of(("encoder",), "demo") for base in bases}
    assert found == set(ENCODERS)
    assert combined(BY_NAME["MTCN, one layer twice"], BY_NAME["4 layers"]) is None


def test_rows_are_combined_in_one_order_with_the_changes_of_both():
    soft, mix, base = BY_NAME["soft labels"], BY_NAME["mix-up"], BY_NAME["VALOR"]
    both = combined(mix, soft)
    assert both == combined(soft, mix)
    assert (both.name, both.group, both.labels) == ("soft labels + mix-up", "combined", "soft")
    assert both.changes == mix.changes
    three = combined(both, BY_NAME["class balance"])
    assert three == combined(combined(BY_NAME["class balance"], soft), mix)
    assert three.recipe(BASES["demo"]).methods["uwav"] == replace(Uwav.on(), strict=False)
    assert combined(base, soft).labels == "soft"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("denoising, JoMoLD", "denoising, VPLAN"),
        ("soft labels", "soft labels"),
        ("soft labels", "one fused teacher"),
        ("mix-up", "UWAV: soft, balance, mix-up"),
    ],
)
def test_rows_that_change_the_same_are_not_combined(one, other):
    assert combined(BY_NAME[one], BY_NAME[other]) is None
