import json
from dataclasses import replace

import pytest

from valor.experiments.options import ROWS
from valor.parsers.options import PARSERS
from valor.training.methods.methods import Methods
from valor.training.recipe import shortening
from valor.training.recipes import (
    RECIPES,
    find_recipe,
    for_classes,
    override,
    read_recipe,
    recipe_from_json,
    recipe_to_json,
    write_recipe,
)


@pytest.mark.parametrize(("name", "seed", "rate", "least", "audio", "visual"), [
    ("valor", 1000, 1e-4, 1e-6, "vggish", "res152"),
    ("valor+", 64, 3e-4, 3e-6, "vggish", "res152"),
    ("valor++", 87, 3e-4, 3e-6, "clap", "clip"),
])  # fmt: skip
def test_published_recipes(name, seed, rate, least, audio, visual):
    recipe = RECIPES[name]
    assert recipe.parser == PARSERS[name]
    assert (recipe.fit.seed, recipe.fit.learning_rate, recipe.fit.min_learning_rate) == (seed, rate, least)
    assert (recipe.fit.epochs, recipe.fit.warmup_epochs, recipe.fit.batch_size) == (60, 10, 64)
    assert (recipe.features.audio, recipe.features.visual, recipe.features.motion) == (audio, visual, "r2plus1d")


def test_weak_recipe_differs_from_valor_in_its_losses_alone():
    weak, valor = RECIPES["han-weak"], RECIPES["valor"]
    fit = replace(weak.fit, pseudo_label_weight=1.0, guided_weight=0.0)
    assert replace(weak, name="valor", note=valor.note, fit=fit) == valor


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name, tmp_path):
    assert RECIPES[name].name == name
    assert recipe_from_json(json.loads(json.dumps(recipe_to_json(RECIPES[name])))) == RECIPES[name]
    write_recipe(tmp_path / "recipe.json", RECIPES[name])
    assert read_recipe(tmp_path / "recipe.json") == find_recipe(str(tmp_path)) == RECIPES[name]


def test_recipe_of_a_run_is_a_recipe():
    values = recipe_to_json(RECIPES["valor"]) | {"run": {"class_names": ["Dog"]}}
    assert recipe_from_json(values) == RECIPES["valor"]


def test_overrides_apply_together_and_run_the_checks():
    changed = override(RECIPES["valor"], ["fit.epochs=5", "fit.warmup_epochs=2", "fit.learning_rate=3"])
    assert (changed.fit.epochs, changed.fit.warmup_epochs) == (5, 2)
    assert changed.fit.learning_rate == 3.0 and isinstance(changed.fit.learning_rate, float)
    silent = override(RECIPES["valor"], ["features.motion=none", "parser.motion_width=0", "name=my valor"])
    assert silent.features.motion is None and silent.name == "my valor"
    assert RECIPES["valor"].fit.epochs == 60


@pytest.mark.parametrize(("change", "message"), [
    ("fit.lr=1", r"unknown option 'fit\.lr'; known here: fit\.epochs, .*fit\.seed"),
    ("training.epochs=1", r"unknown option 'training'; known here: name, features, parser, fit"),
    (f"fit.seed={10**20}", r"fit\.seed must be at most 9,223,372,036,854,775,807, got 100000000000000000000"),
    (f"fit.learning_rate={10**400}", r"fit\.learning_rate must be at most 9,223,372"),
    ("parser.num_layers=1001", "parser: num_layers must be at most 1,000, got 1001"),
    (f"parser.hidden_width={2**30}", "parser: hidden_width must be at most 1,048,576"),
    ("fit.epochs=1.5", r"fit\.epochs must be int, got 1\.5"),
    ("fit.epochs=many", r"fit\.epochs must be int, got 'many'"),
    ("fit.learning_rate=fast", r"fit\.learning_rate must be float, got 'fast'"),
    ("fit=3", r"fit is a group; set one of its options, such as fit\.epochs"),
    ("fit.learning_rate", r"an override is written option=value, got 'fit\.learning_rate'"),
    ("fit.learning_rate=-1", r"fit: learning_rate must be positive, got -1\.0"),
    ("parser.pooling=mean", "unknown parser.pooling 'mean'; known are attentive, linear-softmax, max; for one"),
    ("parser.pooling=maxx", r"unknown parser\.pooling 'maxx' \(did you mean max\?\); known are attentive, "),
    ("fit.schedule=cosin", r"fit: schedule must be one of cosine, step, got 'cosin' \(did you mean cosine\?\)$"),
    ("features.motion=none", r"features\.motion is none exactly when parser\.motion_width is 0"),
    ("name.first=x", r"name is one option and takes a value, got name\.first"),
    ("fit.epochs.x=3", r"fit\.epochs is one option and takes a value, got fit\.epochs\.x; there is no option below"),
    ("name=../../x", r"name must be fit for a folder: .*got '\.\./\.\./x'"),
])  # fmt: skip
def test_wrong_overrides_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        override(RECIPES["valor"], [change])


def test_wrong_json_is_refused(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('{"name": "x", "fit": {"epochs": true}}')
    with pytest.raises(ValueError, match=rf"{path}: fit\.epochs must be int, got True"):
        read_recipe(path)
    for unknown, known in (
        ("fit.lr", r"fit\.epochs, "),
        ("parser.depth", r"parser\.audio_width, "),
        ("teacher", "name, "),
    ):
        group, _, option = unknown.rpartition(".")
        path.write_text(json.dumps({"name": "x", **({group: {option: 1}} if group else {option: 1})}))
        with pytest.raises(ValueError, match=rf"{path}: unknown option '{unknown}'; known here: {known}"):
            read_recipe(path)
    for text, found in (
        ("[1]", "got list"),
        ('{"fit": {}, "note": ""}', "got the keys fit, note"),
        ('{"name": 3}', "got the name 3"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"{path}: a recipe must be a JSON object with .*'name'.*, {found}"):
            read_recipe(path)
    path.write_text("{")
    with pytest.raises(ValueError, match=f"{path}: "):
        read_recipe(path)


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", ".hidden", ".."])
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"name": name}))
    with pytest.raises(ValueError, match=f"{path}: recipe: name must be fit for a folder: without / .* got "):
        read_recipe(path)


@pytest.mark.parametrize("name", [*RECIPES, "SIMULATED valor", "my valor, v1.2"])
def test_names_of_tables_are_names_of_folders(name):
    assert replace(RECIPES["valor"], name=name).name == name


def test_unknown_recipe_lists_the_known_ones():
    told = r"unknown recipe 'volar' \(did you mean valor\?\); known are .*valor, valor\+, .* or a run folder"
    with pytest.raises(ValueError, match=told):
        find_recipe("volar")


def test_a_recipe_by_name_is_for_as_many_classes_as_there_are(tmp_path):
    assert for_classes(find_recipe("demo"), "demo", 5).parser.num_classes == 5
    write_recipe(tmp_path / "recipe.json", find_recipe("demo"))
    read = find_recipe(str(tmp_path))
    assert for_classes(read, str(tmp_path), 5) == read


@pytest.mark.parametrize("row", ROWS)
def test_every_row_can_be_tried_in_few_epochs(row):
    whole = find_recipe(row)
    short = override(whole, shortening(whole, 2))
    assert (short.fit.epochs, short.fit.warmup_epochs) == (2, 0)
    of_whole = {name: held for name, held in shortening_of(whole).items() if held}
    assert all(1 <= held < max(of_whole[name], 2) for name, held in shortening_of(short).items() if name in of_whole)
    assert override(whole, shortening(whole, whole.fit.epochs)) == whole, "in proportion"


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_one_part_can_be_tried_in_one_epoch(row):
    whole = find_recipe(row)
    if len(Methods(whole.methods).part(1, whole.fit.epochs)) == whole.fit.epochs:
        assert override(whole, shortening(whole, 1)).fit.epochs == 1


def shortening_of(recipe):
    """The epochs of parts and warm-ups of the methods, by name."""
    return {
        f"{name}.{option}": held
        for name, options in recipe.methods.items()
        for option, held in vars(options).items()
        if option.endswith("_epochs")
    }
