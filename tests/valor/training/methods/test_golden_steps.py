"""Losses, gradients and one step of each later method, trained here, against the golden vectors of its code."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers.golden_methods import Golden, largest
from valor.data.clips import Batch
from valor.parsers.build import build_parser
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import similarities, smoothed_tags, weak_loss
from valor.parsers.options import ParserOptions
from valor.parsers.published import VALOR_NAMES, PublishedNames
from valor.training.methods.jomold import (
    ESTIMATOR_WEIGHTS,
    Jomold,
    JomoldOptions,
    LosingTags,
    charge_tags,
    lost_tags,
    noise_ratios,
)
from valor.training.methods.method import Charge, Method, NoOptions
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions, learning_rate
from valor.training.step import Step, build_optimiser, train_step

pytestmark = pytest.mark.usefixtures("one_thread")

PRECISIONS = [torch.float32, torch.float64]
LOSS_TOLERANCE = {torch.float32: ("loss", 2e-6), torch.float64: ("loss64", 1e-12)}
OUTPUT_TOLERANCE = {torch.float32: ("out", 1e-5), torch.float64: ("out64", 1e-11)}
ONE_LAYER = {"num_heads": 1, "feedforward_width": 512, "update_order": "together", "dropout": 0.0}
TAGS = FitOptions(
    optimiser="adam", beta1=0.9, weight_decay=0.0, max_grad_norm=None, learning_rate=5e-4, pseudo_label_weight=0.0
)


@cache
def golden_of(shared: Path, name: str) -> Golden:
    return Golden(shared, name)


def a_step(parser: HybridParser, batch: Batch, fit: FitOptions, *methods: Method) -> tuple[Step, dict[str, Tensor]]:
    """One step, and the weights before it; the gradients stay at the parameters."""
    before = {name: tensor.detach().clone() for name, tensor in parser.named_parameters()}
    return train_step(parser, batch, build_optimiser(parser, fit), fit, Methods(own=methods)), before


def check_step(  # noqa: PLR0913, what a step is held against
    golden: Golden,
    parser: HybridParser,
    names: PublishedNames,
    step: tuple[Step, dict[str, Tensor]],
    terms: dict[str, str],
    prefix: str = "",
    stem: str = "",
) -> None:
    """Terms, total, gradients and, in float64, the change of every weight."""
    done, before = step
    dtype = next(iter(before.values())).dtype
    loss, tolerance = LOSS_TOLERANCE[dtype]
    for theirs, ours in terms.items():
        expected = float(golden[f"{loss}__{prefix}{theirs}"])
        assert done.terms[ours].item() == pytest.approx(expected, rel=tolerance), theirs
    assert done.total.item() == pytest.approx(float(golden[f"{loss}__{prefix}all"]), rel=tolerance)
    if dtype == torch.float64:
        golden.compare_step(parser, before, names, stem=stem)


def batch_of(golden: Golden, kinds: tuple[str, ...], tag: str, dtype: torch.dtype, how: str, **labels: Tensor) -> Batch:
    tags = golden.tensor("label" if "label" in golden else "weak", dtype)
    features = [golden.feature(kind, tag, len(tags), dtype, how=how) for kind in kinds]
    features += [None] * (3 - len(kinds))
    return Batch(
        clip_ids=tuple(map(str, range(len(tags)))),
        audio=features[0],
        visual=features[1],
        motion=features[2],
        valid=None,
        weak_labels=tags,
        pseudo_labels=labels.get("pseudo_labels"),
    )


CLASSIC = ("vggish", "res152", "r2plus1d")
JOMOLD_TERMS = {"audio": "audio_tags", "visual": "visual_tags", "video": "clip_tags", "nce": "contrast"}


class Estimating(Method[NoOptions]):
    """The estimator's part of JoMoLD alone."""

    def charge(self, charge: Charge) -> Charge:
        return charge_tags(charge, ESTIMATOR_WEIGHTS)


def _jomold(golden: Golden, dtype: torch.dtype) -> HybridParser:
    parser = build_parser(ParserOptions(**ONE_LAYER), seed=0)
    golden.fill(parser, VALOR_NAMES)
    return parser.to(dtype)


def _in_second_epoch(golden: Golden) -> Jomold:
    """JoMoLD in its second epoch after the estimator, with given ratios."""
    method = Jomold(JomoldOptions(estimator_epochs=1))
    method.losing = LosingTags(torch.stack([golden.tensor("ratio_a"), golden.tensor("ratio_v")]), 0.9)
    method.losing.begin(1, 1)
    return method


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_jomold_network_and_both_steps(shared, dtype):
    golden = golden_of(shared, "jomold_net")
    batch = batch_of(golden, CLASSIC, "jn", dtype, "folded")
    prefix, tolerance = OUTPUT_TOLERANCE[dtype]
    parser = _jomold(golden, dtype)
    given = (batch.audio, batch.visual, batch.motion)
    for name, output in (("cross", parser(*given)), ("alone", parser.answer_alone(*given))):
        assert largest(output.clip_probs, golden[f"{prefix}__{name}__global_prob"]) < tolerance
        assert largest(output.modality_probs[:, 0], golden[f"{prefix}__{name}__a_prob"]) < tolerance
        assert largest(output.modality_probs[:, 1], golden[f"{prefix}__{name}__v_prob"]) < tolerance
        assert largest(output.segment_probs, golden[f"{prefix}__{name}__frame_prob"]) < tolerance
        if f"{prefix}__{name}__sims" in golden:
            sims = similarities(*output.features.unbind(2)).flatten(0, 1)
            assert largest(sims, golden[f"{prefix}__{name}__sims"].reshape(sims.shape)) < tolerance
    suffix = "_64" if dtype == torch.float64 else ""
    for stage in ("estimator", "denoise"):
        parser = _jomold(golden, dtype)
        parser.crossed = stage == "denoise"
        method = _in_second_epoch(golden) if stage == "denoise" else Estimating(NoOptions())
        step = a_step(parser, batch, replace(TAGS, guided_weight=1.0), method)
        golden.compare_gradients(parser, VALOR_NAMES, stem=f"{stage}__", suffix=suffix)
        check_step(golden, parser, VALOR_NAMES, step, JOMOLD_TERMS, f"{stage}__", f"{stage}__")
    losing = _in_second_epoch(golden).losing
    charge = Charge(_jomold(golden, dtype), batch, output, TAGS, batch.weak_labels, None)
    kept = losing.charged(charge).kept
    for modality, name in enumerate(("lost_a", "lost_v")):
        assert torch.equal(~kept[:, modality], golden.tensor(name)), name


def test_jomold_ratios(shared):
    golden = golden_of(shared, "jomold_ratio")
    sizes = golden["batch_sizes"].tolist()
    assert len(set(sizes[:-1])) == 1 and sizes[-1] <= sizes[0], "batches of one size, the last perhaps smaller"
    probs = torch.stack([golden.tensor("prob_a"), golden.tensor("prob_v")], dim=1)
    ratios = noise_ratios(
        probs,
        golden.tensor("label"),
        (float(golden["factor_a"]), float(golden["factor_v"])),
        smoothing=(0.0, 1 - float(golden["visual_smooth"])),
        batch_size=sizes[0],
    )
    for modality, name in enumerate(("ratio_a", "ratio_v")):
        assert largest(ratios[modality], golden[name]) < 1e-12, name


@pytest.mark.parametrize(
    ("setting", "warmup", "epochs_done"),
    [("epoch1", 0.9, 0), ("epoch2", 0.9, 1), ("no_warm_up", 0.0, 0), ("slow_epoch2", 3.0, 1), ("slow_epoch3", 3.0, 2)],
)
def test_jomold_tags_that_are_lost(shared, setting, warmup, epochs_done):
    golden = golden_of(shared, "jomold_drop")
    probs = torch.stack([golden.tensor("prob_a"), golden.tensor("prob_v")], dim=2)  # [I, B, M, C]
    losing = LosingTags(torch.stack([golden.tensor("ratio_a"), golden.tensor("ratio_v")]), warmup)
    losing.begin(epochs_done, int(golden["iterations_per_epoch"]))
    for step, (batch, tags) in enumerate(zip(probs, golden.tensor("label", torch.float32), strict=True)):
        lost = lost_tags(batch, tags, losing.next_ratios(), (0.0, 0.1))
        for modality, name in enumerate(("lost_a", "lost_v")):
            assert torch.equal(lost[:, modality], golden.tensor(f"{setting}__{name}")[step]), (step, name)
        if setting == "epoch2":
            targets = smoothed_tags(tags, (0.0, 0.1)) * ~lost
            assert largest(targets[:, 1], golden["epoch2__target_v"][step]) < 1e-6
            wanted = (*zip(batch.unbind(1), targets.unbind(1), strict=True), (batch.mean(dim=1), tags))
            losses = [weak_loss(*given).item() for given in wanted]
            assert losses == pytest.approx(golden["epoch2__losses"][step].tolist(), rel=2e-6)


def test_step_schedule_of_jomold_nrep_and_cmpae(shared):
    golden = golden_of(shared, "steplr")
    options = FitOptions(
        epochs=30, learning_rate=5e-4, min_learning_rate=0, warmup_epochs=0, schedule="step", step_epochs=6,
        step_factor=0.25,
    )  # fmt: skip
    rates = [learning_rate(epoch, options) for epoch in range(1, 31)]
    assert rates == pytest.approx(golden["rate_step"].tolist(), rel=1e-12)
    assert rates == pytest.approx(golden["rate_step_epoch"].tolist(), rel=1e-12)
