"""What a recipe, its methods and its labels say of extra data and of what was tuned on val."""

import json

import pytest

from valor.data.label_file import write_label_facts
from valor.training.facts import Facts, facts_beside, facts_from_json, facts_of
from valor.training.methods.methods import Methods
from valor.training.recipes import RECIPES, override


def said(recipe, labels=None):
    found = facts_of(recipe, Methods(recipe.methods), labels)
    return found.extra_data, found.tuned


def test_methods_and_labels_add_what_they_rest_on(tmp_path):
    assert said(RECIPES["jomold"]) == ((), ("epoch",))
    assert said(RECIPES["cmpae"]) == ((), ("epoch", "cuts ?"))
    assert said(RECIPES["valor"], tmp_path) == ((), ("epoch", "label cuts ?")), "nobody says how these were cut"
    assert said(RECIPES["nrep"], tmp_path) == ((), ("epoch", "cuts", "label cuts ?"))
    assert said(RECIPES["leap"], tmp_path)[0] == ("label vectors",)
    supervised = override(RECIPES["valor"], ["methods.supervised=on"])
    assert said(supervised)[0] == ("labels of every second",)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"thresholds_from": {"criterion": "segment-f", "split": "val"}}, ((), ("epoch", "label cuts"))),
        ({"thresholds_from": {"criterion": "tag-rate"}}, ((), ("epoch",))),
        ({"thresholds_from": {"default_for": ["clip", "clap"]}}, ((), ("epoch", "label cuts ?"))),
        ({"extra_data": ["events"], "tuned": ["label cuts"]}, (("events",), ("epoch", "label cuts"))),
        ({"extra_data": "6,000 clips"}, (("6,000 clips",), ("epoch", "label cuts ?"))),
        ({"extra_data": None, "tuned": ["label cuts"]}, (None, ("epoch", "label cuts"))),
        ({"simulated": True}, ((), ("epoch",))),
    ],
)  # fmt: skip
def test_labels_say_how_they_were_made(tmp_path, told, expected):
    write_label_facts(tmp_path, {"random_weights": False, "left_out": {}, **told})
    assert said(RECIPES["valor"], tmp_path) == expected


def test_a_run_folder_keeps_them_and_others_say_nothing(tmp_path):
    facts = Facts(extra_data=(), tuned=("epoch",))
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "a", "run": facts.to_json()}), encoding="utf-8")
    assert facts_beside(tmp_path) == facts_beside(tmp_path / "predictions.npz") == facts
    assert facts_beside(tmp_path / "other.npz") == facts_beside(tmp_path / "none" / "x.npz") == Facts()
    (tmp_path / "recipe.json").write_text('{"run": {"tuned": "epoch"}}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"recipe\.json: expected the recipe of the run, got .*tuned"):
        facts_beside(tmp_path)


def test_what_is_unknown_stays_unknown():
    assert Facts().and_tuned("cuts") == Facts()
    assert Facts(tuned=("epoch",)).and_tuned("cuts", "epoch").tuned == ("epoch", "cuts")
    decided = Facts(tuned=("epoch", "cuts ?", "gates", "label cuts"))
    assert decided.of_other_decision.tuned == ("epoch", "label cuts") and Facts().of_other_decision == Facts()
    assert facts_from_json(Facts(extra_data=("a",)).to_json()) == Facts(extra_data=("a",))
