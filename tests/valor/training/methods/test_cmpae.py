"""CMPAE's training on the toy world: ratios of a run of JoMoLD, both directions of teaching, stopped runs, refusals."""

import json

import pytest

from valor.training.methods.cmpae import CmpaeOptions
from valor.training.methods.jomold import JomoldOptions
from valor.training.recipes import RECIPES, override
from valor.training.run import train_on

from .test_nrep import sets, small, stop_after


@pytest.fixture(scope="module")
def ratios(tmp_path_factory):
    """A run of JoMoLD whose estimator has found ratios."""
    folder = tmp_path_factory.mktemp("jomold")
    options = JomoldOptions(estimator_epochs=1, audio=0.9, visual=1.2)
    recipe = small("jomold", {"jomold": options}, epochs=2, learning_rate=1e-2)
    train_on(recipe, sets(), folder, device="cpu", progress=False)
    return folder


def test_it_trains_on_the_ratios_of_a_run_and_goes_on_with_the_same_bytes(ratios, tmp_path):
    recipe = small("cmpae", {"cmpae": CmpaeOptions(ratios=str(ratios))}, epochs=3, learning_rate=1e-2)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = train_on(recipe, sets(), whole, device="cpu", progress=False)
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert list(log[0]["loss"]) == ["audio_tags", "visual_tags", "clip_tags", "contrast", "mutual", "total"]
    assert result.selected_by == "mean" and log[-1]["loss"]["total"] < log[0]["loss"]["total"]
    ten = [figure for level in ("segment", "event") for name, figure in log[0]["val"][level].items()]
    assert log[0]["val_score"] == pytest.approx(sum(ten) / 10)
    with pytest.raises(KeyboardInterrupt):
        train_on(recipe, sets(), stopped, device="cpu", progress=False, on_epoch=stop_after(2))
    train_on(recipe, sets(), stopped, device="cpu", progress=False)
    assert (stopped / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


@pytest.mark.parametrize(("changes", "message"), [
    (["parser.network=hybrid"], "methods.cmpae needs parser.network=presence, got hybrid"),
    (["fit.pseudo_label_weight=1"], "trains on clip tags alone, got pseudo_label_weight=1; set it to 0"),
    (["methods.jomold=on", "fit.guided_weight=1"], "exclude one another; switch one of them off"),
    (["methods.cmpae.ratios=nowhere"], "ratios=nowhere: no run of methods.jomold lies there that has noise ratios"),
    (["methods.cmpae.ratio_warmup=-1"], "ratio_warmup must not be negative, got -1"),
    ([], "methods.cmpae.ratios=published are of LLP's 25 classes, got 3; name a run folder of methods.jomold"),
])  # fmt: skip
def test_what_cannot_work_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        recipe = override(RECIPES["cmpae"], changes)
        train_on(small("cmpae", recipe.methods), sets(), tmp_path, device="cpu", progress=False)
