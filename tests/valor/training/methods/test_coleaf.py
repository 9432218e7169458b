"""CoLeaF: a step of its three networks in each part of its training against the golden vectors, and a training."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.golden_coleaf import anchor, references, theirs
from tests.helpers.golden_methods import Golden, golden_batch
from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.parsers.published import METHOD_NAMES
from valor.training.methods import coleaf
from valor.training.methods.coleaf import Coleaf, ColeafOptions
from valor.training.methods.jomold import JomoldOptions, LosingTags
from valor.training.methods.method import Method, NoOptions
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.run import train_on
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit

from .test_nrep import sets, small, stop_after

pytestmark = pytest.mark.usefixtures("one_thread")

LOSS_TOLERANCE = {torch.float32: ("loss", 2e-6), torch.float64: ("loss64", 1e-12)}


@cache
def _golden(shared: Path) -> Golden:
    return Golden(shared, "coleaf_nets")


class _Published(nn.Module):
    def __init__(self, net: nn.Module, which: str) -> None:
        super().__init__()
        self.named = {theirs(name, which): held for name, held in net.named_parameters()}

    def named_parameters(self, *_, **__):
        return iter(self.named.items())


@pytest.mark.parametrize("dtype", LOSS_TOLERANCE)
@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_a_step_of_all_three(shared, dtype, epoch, monkeypatch):
    golden = _golden(shared)
    tags = golden.tensor("label", dtype)
    features = [golden.feature(kind, "cln", len(tags), dtype, how="laid") for kind in ("vggish", "res152", "r2plus1d")]
    batch = golden_batch(tags, features)
    parser, options, method = anchor(golden, dtype), RECIPES["coleaf"].fit, Coleaf(ColeafOptions())
    method.losing = LosingTags(torch.stack([golden.tensor("ratio_a"), golden.tensor("ratio_v")]), 0.9)
    method.losing.begin(epoch - 1, 1)
    method.take(tuple(references(golden, dtype)))
    method.epoch = epoch
    method.learning_rate(options.learning_rate, epoch)
    losses, plain = [], coleaf.reference_loss
    monkeypatch.setattr(coleaf, "reference_loss", lambda *given: losses.append(plain(*given)) or losses[-1])
    before = [{name: held.detach().clone() for name, held in net.named_parameters()} for net in (parser, *method.nets)]
    step = train_step(parser, batch, build_optimiser(parser, options), options, Methods(own=(method,)))
    loss, relative = LOSS_TOLERANCE[dtype]
    stem = f"{loss}__epoch{epoch}__"
    for found, which in zip(losses, "av", strict=True):
        assert found.item() == pytest.approx(float(golden[f"{stem}reference_{which}"]), rel=relative), which
    assert step.total.item() == pytest.approx(float(golden[f"{stem}anchor"]), rel=relative)
    kinds = {"bce": ["audio_tags", "visual_tags", "clip_tags"], "mutual": ["mutual"]}
    if epoch > 1:
        kinds |= {"nce": ["contrast", "alike_audio", "alike_visual"]}
        kinds |= {"cooccurrence": ["together_audio", "together_visual"]}
    for key, names in kinds.items():
        assert [step.terms[name].item() for name in names] == pytest.approx(
            golden[f"{stem}{key}"].tolist(), rel=relative
        )
    if dtype == torch.float64:
        nets = (parser, *(_Published(net, which) for net, which in zip(method.nets, "av", strict=True)))
        held = [
            before[0],
            *({theirs(n, w): t for n, t in old.items()} for old, w in zip(before[1:], "av", strict=True)),
        ]
        for net, old, names, kind in zip(
            nets, held, (METHOD_NAMES["cmpae"], None, None), ("anchor", "ref_a", "ref_v"), strict=True
        ):
            golden.compare_gradients(
                net, names, stem=f"epoch{epoch}__{kind}__", suffix="_64", key=f"{kind}__param_names"
            )
            golden.compare_step(net, old, names, stem=f"epoch{epoch}__{kind}__", key=f"{kind}__param_names")


@pytest.fixture(scope="module")
def ratios(tmp_path_factory):
    """A run of JoMoLD whose estimator has found ratios."""
    folder = tmp_path_factory.mktemp("jomold")
    options = JomoldOptions(estimator_epochs=1, audio=0.9, visual=1.2)
    train_on(small("jomold", {"jomold": options}, epochs=2), sets(), folder, device="cpu", progress=False)
    return folder


def test_a_stopped_run_goes_on_with_the_same_bytes_and_is_kept_by_exclusive_events(ratios, tmp_path):
    recipe = small("coleaf", {"coleaf": ColeafOptions(ratios=str(ratios))}, epochs=4, learning_rate=1e-2)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = train_on(recipe, sets(), whole, device="cpu", progress=False)
    assert result.selected_by == "figures.exclusive_mean"
    with pytest.raises(KeyboardInterrupt):
        train_on(recipe, sets(), stopped, device="cpu", progress=False, on_epoch=stop_after(2))
    train_on(recipe, sets(), stopped, device="cpu", progress=False)
    assert (stopped / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


@pytest.mark.parametrize(("changes", "message"), [
    (["parser.network=hybrid"], "methods.coleaf needs parser.network=presence"),
    (["fit.pseudo_label_weight=1"], "trains on clip tags alone, got pseudo_label_weight=1; set it to 0"),
    (["methods.cmpae=on"], "exclude one another; switch one of them off"),
    (["methods.coleaf.ratio_warmup=-1"], "ratio_warmup must not be negative, got -1"),
])  # fmt: skip
def test_what_cannot_work_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        override(RECIPES["coleaf"], changes)


class Share(Method[NoOptions]):
    """Brings a figure."""

    def metrics(self):
        return {"share": lambda judged: 100 * float(judged.predicted.mean())}


def test_a_figure_a_method_brings_is_of_validation_and_of_test(tmp_path):
    clips = toy_clip_set(4)
    options = FitOptions(epochs=1, warmup_epochs=0, select_by="figures.share")
    parser = build_parser(replace(TINY, **clips.widths()), seed=0)
    result = fit(parser, clips, clips, options, tmp_path, methods=Methods(own=(Share(NoOptions()),)), test=clips)
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert line["val"]["figures"]["share"] == line["also_on_test"]["figures"]["share"] == result.val_score
