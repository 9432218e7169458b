"""The table of rows: every one makes a recipe, and rows can be put together where they do not contradict."""

import pytest

from valor.ablate_labels import SOURCES
from valor.ablate_rows import BASE_LABELS, BASES, GROUPS, NO_LABELS, ROWS, combined, rows_of
from valor.commands.ablate import GROUP_NAMES

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
    assert ("base", *GROUP_NAMES) == tuple(GROUPS)


def test_groups_are_picked_with_the_base_and_by_world():
    rows = rows_of(("teacher",), "llp")
    assert [row.group for row in rows] == ["base", *["teacher"] * 4]
    assert "one fused teacher" in [row.name for row in rows_of(("teacher",), "demo")]
    assert {row.group for row in rows_of(tuple(GROUPS), "demo")} == set(GROUPS)
    with pytest.raises(ValueError, match="groups of rows are base, labels.*got layer"):
        rows_of(("layer",), "demo")


def test_rows_are_combined_in_one_order_with_the_changes_of_both():
    soft, mix, base = BY_NAME["soft labels"], BY_NAME["mix-up"], BY_NAME["VALOR"]
    both = combined(mix, soft)
    assert both == combined(soft, mix)
    assert (both.name, both.group, both.labels) == ("soft labels + mix-up", "combined", "soft")
    assert both.changes == mix.changes
    three = combined(both, BY_NAME["class balance"])
    assert three == combined(combined(BY_NAME["class balance"], soft), mix)
    assert three.recipe(BASES["demo"]).fit.class_balance == 0.5
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
