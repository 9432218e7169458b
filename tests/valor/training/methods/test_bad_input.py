"""A method without what it needs, two that exclude one another, a run of another method: a sentence that says which."""

from dataclasses import replace

import pytest

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.methods.methods import METHODS, Methods, in_order
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.train import fit

OFF = "fit.pseudo_label_weight=0"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("uwav", ["methods.uwav=on", OFF]),
        ("jomold", ["methods.jomold=on", OFF]),
        ("vplan", ["methods.vplan=on", OFF]),
        ("supervised", ["methods.supervised=on", OFF]),
        ("mug", ["methods.mug=on", OFF]),
        ("avel", ["methods.avel=on"]),
        ("nrep", ["methods.nrep=on"]),
        ("cmpae", ["methods.cmpae=on"]),
        ("coleaf", ["methods.coleaf=on"]),
        ("mm-cse", ["methods.mm-cse=on"]),
        ("leap", ["methods.leap=on"]),
        ("ppl", ["methods.ppl=on"]),
    ],
)
def test_a_recipe_that_lacks_what_a_method_needs_is_refused_by_its_name(name, changes):
    with pytest.raises(ValueError) as refused:  # noqa: PT011, the sentence is looked at
        override(RECIPES["valor"], changes)
    said = str(refused.value)
    assert f"methods.{name}" in said and "\n" not in said and len(said) < 300


def test_every_two_methods_that_exclude_one_another_are_named_both():
    pairs = [(name, other) for name, method in METHODS.items() for other in method.excludes]
    for name, other in pairs:
        with pytest.raises(ValueError, match=r"exclude one another; switch one of them off") as refused:
            in_order({name: METHODS[name].Options(), other: METHODS[other].Options()})
        assert f"methods.{name} " in str(refused.value) and f"methods.{other} " in str(refused.value)
    assert len(pairs) > 40


def test_data_without_what_a_method_needs_is_refused_before_an_epoch(tmp_path):
    options = FitOptions(epochs=2, warmup_epochs=0, batch_size=4)
    train = toy_clip_set(8)
    for name, lacking, words in (
        ("supervised", {"truth": None}, "methods.supervised needs the truth of every segment of the training split"),
        ("leap", {}, r"methods\.leap\.vectors must name a \.npy file"),
        ("cmpae", {}, r"methods\.cmpae\.ratios=nowhere: no run of methods\.jomold lies there"),
        ("coleaf", {}, r"methods\.coleaf\.ratios=nowhere: no run of methods\.jomold lies there"),
    ):
        given = METHODS[name].Options(**({"ratios": "nowhere"} if name in ("cmpae", "coleaf") else {}))
        network = {"leap": "label-queries", "cmpae": "presence", "coleaf": "presence"}.get(name, "hybrid")
        parser = build_parser(replace(TINY, network=network, num_heads=2), seed=0)
        with pytest.raises(ValueError, match=words):
            fit(
                parser,
                replace(train, **lacking),
                train,
                options,
                tmp_path / name,
                methods=Methods({name: given}),
                progress=False,
            )
        assert not (tmp_path / name / "log.jsonl").exists()


def test_a_run_of_another_method_is_not_gone_on_with_and_both_are_named(tmp_path):
    options = FitOptions(epochs=1, warmup_epochs=0, batch_size=4)

    def train(name):
        methods = Methods({name: METHODS[name].on()})
        fit(
            build_parser(TINY, seed=0),
            toy_clip_set(8),
            toy_clip_set(8),
            options,
            tmp_path,
            methods=methods,
            progress=False,
        )

    train("average")
    with pytest.raises(ValueError, match=r"belongs to a run with other methods \(average there, gates here\)"):
        train("gates")
