"""Every option of a recipe as it can be typed, shown without a training."""

import re

import pytest

from tests.helpers.typed import typed
from valor.cli.recipe_options import recipe_text
from valor.training.recipe import override, recipe_to_json
from valor.training.recipes import RECIPES

LINE = re.compile(r"^([* ]) ((?:features|parser|fit|methods)\.\S+) = (.*)$", re.MULTILINE)


def leaves(values: dict[str, object], prefix: str = "") -> set[str]:
    """Names of all options within options."""
    found: set[str] = set()
    for name, value in values.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"}
    return found


@pytest.mark.parametrize("name", ["valor", "nrep", "unav-localiser"])
def test_what_is_shown_is_what_can_be_set(name):
    recipe = RECIPES[name]
    lines = LINE.findall(recipe_text(recipe))
    values = {key: value for key, value in recipe_to_json(recipe).items() if key not in ("name", "note")}
    assert {option for _, option, _ in lines} == leaves(values)
    assert override(recipe, [f"{option}={value}" for _, option, value in lines]) == recipe
    assert len({mark for mark, *_ in lines}) == 2 or name == "valor"


def test_train_shows_a_recipe_with_its_changes_and_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = typed("train", "nrep", "--show", "--set", "fit.epochs=30", "--seed", "9")
    assert done.code == 0 and not list(tmp_path.iterdir())
    shown = {option: (mark, value) for mark, option, value in LINE.findall(done.out)}
    assert shown["fit.epochs"] == ("*", "30") and shown["fit.seed"] == ("*", "9")
    told = "Passes over the training clips; the parser is validated after each. (whole number; default 60)"
    assert f"      {told}" in done.out
    assert "--set methods.nrep=off leaves it out" in done.out and "methods.NAME=on adds: uwav" in done.out
    assert "the following arguments are required: --data" in typed("train", "nrep").err
    assert typed("train", "nrep", "--show", "--set", "fit.epoch=3").code == 2
