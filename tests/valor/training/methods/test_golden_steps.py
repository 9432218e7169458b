"""Losses, gradients and one step of each later method, trained here, against the golden vectors of its code."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.golden_methods import UWAV_NAMES, Golden, golden_batch, largest
from valor.data.clips import Batch
from valor.eval.curves import lowest_best_cut
from valor.eval.decide import CMPAE_VISUAL_GATES
from valor.label_harvest.pseudo_labels import lowest_instead, pseudo_labels, pseudo_probs
from valor.parsers.build import build_parser
from valor.parsers.folding import fold_frames
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import pseudo_label_loss, similarities, smoothed_tags, weak_loss
from valor.parsers.options import ParserOptions
from valor.parsers.published import METHOD_NAMES, VALOR_NAMES, PublishedNames, from_published, published_name
from valor.training.methods import uwav
from valor.training.methods.cmpae import PUBLISHED_RATIOS, Cmpae, CmpaeOptions
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
from valor.training.methods.nrep import Nrep, NrepOptions, attention_agreement
from valor.training.methods.uwav import Uwav, blend_loss, weights_by_frequency
from valor.training.options import FitOptions, learning_rate
from valor.training.step import Step, build_optimiser, train_step

pytestmark = pytest.mark.usefixtures("one_thread")

PRECISIONS = [torch.float32, torch.float64]
LOSS_TOLERANCE = {torch.float32: ("loss", 2e-6), torch.float64: ("loss64", 1e-12)}
OUTPUT_TOLERANCE = {torch.float32: ("out", 1e-5), torch.float64: ("out64", 1e-11)}
ONE_LAYER = {"num_heads": 1, "feedforward_width": 512, "update_order": "together", "dropout": 0.0}
OF_CLAP = {"audio_width": 5376, "audio_map": True, "visual_width": 768}
OF_FRAMES = {"visual_width": 16384, "visual_frames": 8}
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
    return golden_batch(tags, features, labels.get("pseudo_labels"))


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


NREP_TERMS = {
    "nce": "contrast",
    "jsd_for": "attention_for",
    "jsd_against": "attention_against",
    "global": "joint_clip",
    "temporal": "joint_segments",
    "a_frame": "audio_segments",
    "v_frame": "visual_segments",
    "a_clip": "audio_clip",
    "v_clip": "visual_clip",
}
NREP_KINDS = {"run": "softmax", "uncertain": "belief", "log": "log"}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    ("name", "tag", "kinds", "widths"),
    [
        ("nrep_net", "nrep", ("clapmap", "clip", "r2plus1d"), OF_CLAP),
        ("nrep_net_classic", "nrepc", CLASSIC, OF_FRAMES),
    ],
)
def test_nrep_steps_of_both_networks(shared, name, tag, kinds, widths, dtype):
    golden = golden_of(shared, name)
    labels = golden.both("labels", dtype)
    batch = replace(batch_of(golden, kinds, tag, dtype, "laid"), pseudo_labels=labels)
    names, suffix = METHOD_NAMES["nrep"], "_64" if dtype == torch.float64 else ""
    fit = replace(TAGS, pseudo_label_weight=1.0)
    for setting, kind in NREP_KINDS.items():
        if f"{setting}_audio__grad_norm" not in golden:
            continue
        for which, net in enumerate(("audio", "video")):
            single = build_parser(ParserOptions(network="for-against", stem="elu", **ONE_LAYER, **widths), seed=0)
            golden.fill(single, names)
            method = Nrep(NrepOptions(pair_loss=kind))
            both = method.network(single.to(dtype), ())
            method.second = both.trained = bool(which)
            both.trained = which
            step = a_step(both, batch, fit, method)
            trained, other = both.parsers[which], both.parsers[1 - which]
            assert all(parameter.grad is None for parameter in other.parameters())
            stem = f"{setting}_{net}__"
            golden.compare_gradients(trained, names, stem=stem, suffix=suffix)
            before = {key.removeprefix(f"parsers.{which}."): held for key, held in step[1].items()}
            check_step(golden, trained, names, (step[0], before), NREP_TERMS, stem, stem)


def test_nrep_attention_term(shared):
    golden = golden_of(shared, "nrep_losses")
    for dtype, (loss, tolerance) in LOSS_TOLERANCE.items():
        given = [golden.tensor(f"attention_{name}", dtype) for name in ("frame", "temporal")]
        assert attention_agreement(*given).item() == pytest.approx(float(golden[f"{loss}__jsd"]), rel=tolerance)


CMPAE_TERMS = JOMOLD_TERMS | {"mutual": "mutual"}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("parity", ["even", "odd"])
def test_cmpae_step(shared, parity, dtype):
    golden = golden_of(shared, "cmpae_net")
    names, suffix = METHOD_NAMES["cmpae"], "_64" if dtype == torch.float64 else ""
    batch = batch_of(golden, CLASSIC, "cn", dtype, "laid")
    parser = build_parser(ParserOptions(network="presence", stem="elu", **ONE_LAYER, **OF_FRAMES), seed=0)
    golden.fill(parser, names)
    parser.to(dtype).between_dropout = 0.0
    method = Cmpae(CmpaeOptions())
    method.losing = LosingTags(torch.stack([golden.tensor("ratio_a"), golden.tensor("ratio_v")]), 0.9)
    method.losing.begin(1, 1)
    method.step = int(parity == "odd")
    seen = {}
    charge = method.charge

    def watched(given: Charge) -> Charge:
        seen["charge"] = charge(given)
        return seen["charge"]

    method.charge = watched
    step = a_step(parser, batch, replace(TAGS, guided_weight=1.0), method)
    golden.compare_gradients(parser, names, stem=f"{parity}__", suffix=suffix)
    check_step(golden, parser, names, step, CMPAE_TERMS, f"{parity}__", f"{parity}__")
    for modality, name in enumerate(("lost_a", "lost_v")):
        assert torch.equal(~seen["charge"].kept[:, modality], golden.tensor(name)), name


def test_published_constants(shared):
    golden = golden_of(shared, "published_constants")
    for ratios, name in zip(PUBLISHED_RATIOS, ("audio", "visual"), strict=True):
        assert list(ratios) == golden[f"jomold_ratio_{name}"].tolist()
    assert list(CMPAE_VISUAL_GATES) == golden["cmpae_visual_gates"].tolist()


UWAV = FitOptions(learning_rate=1e-4, weight_decay=1e-4, beta1=0.9, max_grad_norm=1.0)
UWAV_TERMS = {"video": "weak", "segment_a": "audio", "segment_v": "visual"}
UWAV_SIZE = {"num_layers": 5, "num_heads": 16, "feedforward_width": 2048, "stem": "perceptron", "dropout": 0.0}
UWAV_NETS = {
    "uwav_han_full": (ParserOptions(**UWAV_SIZE), CLASSIC, "uh"),
    "uwav_han_clipclap": (
        ParserOptions(audio_width=512, visual_width=768, motion_width=0, hidden_width=768, **UWAV_SIZE),
        ("clap", "clip"),
        "uc",
    ),
}


def _small_uwav(golden: Golden, dtype: torch.dtype) -> tuple[HybridParser, Batch]:
    """Everything stored; its sizes are those of the weights, but for the heads."""
    state = from_published({key[3:]: golden.tensor(key) for key in golden.arrays if key.startswith("w__")})
    options = ParserOptions(
        audio_width=golden["in__audio"].shape[-1],
        visual_width=golden["in__video_s"].shape[-1],
        motion_width=golden["in__video_st"].shape[-1],
        hidden_width=state["classifier.weight"].shape[1],
        num_layers=len({key.split(".")[2] for key in state if key.startswith("encoder.layers.")}),
        num_heads=4,
        feedforward_width=state["encoder.layers.0.widen.weight"].shape[0],
        stem="perceptron",
        dropout=0.0,
    )
    parser = build_parser(options, seed=0)
    parser.load_state_dict(state)
    tags = golden.tensor("weak", dtype)
    visual = fold_frames(golden.tensor("in__video_s", dtype), golden["in__audio"].shape[1])
    audio, motion = golden.tensor("in__audio", dtype), golden.tensor("in__video_st", dtype)
    return parser.to(dtype), Batch(tuple(map(str, range(len(tags)))), audio, visual, motion, None, tags, None)


def _uwav_labels(golden: Golden, dtype: torch.dtype) -> Tensor:
    """Soft labels of the stored generator logits, whose clips are the batch."""
    tags = golden.tensor("weak").numpy()
    kind = np.float64 if dtype == torch.float64 else np.float32
    tracks = []
    for modality in "av":
        logits = golden[f"logits_teacher_{modality}"]
        cuts = lowest_instead(logits, golden[f"theta_{modality}"])
        above = torch.from_numpy(logits.astype(kind) - cuts.astype(kind)) / 2
        tracks.append(above.sigmoid() * torch.from_numpy(tags)[:, None])
    return torch.stack(tracks, dim=2).to(dtype)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, dtype) for name in ("uwav_han_small", "uwav_han_full") for dtype in PRECISIONS),
     ("uwav_han_clipclap", torch.float64)],
)  # fmt: skip
def test_uwav_network_and_step(shared, name, dtype, monkeypatch):
    golden = golden_of(shared, name)
    if name in UWAV_NETS:
        options, kinds, tag = UWAV_NETS[name]
        parser = build_parser(options, seed=0)
        golden.fill(parser, UWAV_NAMES)
        parser, batch = parser.to(dtype), batch_of(golden, kinds, tag, dtype, "folded")
    else:
        parser, batch = _small_uwav(golden, dtype)
    labels = _uwav_labels(golden, dtype)
    prefix, tolerance = OUTPUT_TOLERANCE[dtype]
    output = parser(batch.audio, batch.visual, batch.motion)
    for modality, letter in enumerate("av"):
        assert largest(output.modality_probs[:, modality], golden[f"{prefix}__{letter}_prob"]) < tolerance
        assert largest(output.segment_logits[:, :, modality], golden[f"{prefix}__logits_{letter}"]) < tolerance
        assert largest(output.features[:, :, modality], golden[f"{prefix}__feat_{letter}"]) < tolerance
    assert largest(output.clip_probs, golden[f"{prefix}__global_prob"]) < tolerance
    method = Uwav(Uwav.on())
    found = torch.stack([golden.tensor("class_freq_a").sum(), golden.tensor("class_freq_v").sum()]).double()
    method.balance = weights_by_frequency(found, labels.shape[-1], 0.5)
    draws = iter([*zip(golden["lam"], (golden.tensor("permutation_a"), golden.tensor("permutation_v")), strict=True)])
    blended = {}

    def given_draws(features, labels, classifier, alpha, valid):
        for modality, (share, partner) in enumerate(draws):
            x, y = features[:, :, modality].flatten(0, 1), labels[:, :, modality].flatten(0, 1)
            blended["av"[modality]] = blend_loss(x, y, classifier, float(share), partner)
        return blended["a"] + blended["v"]

    monkeypatch.setattr(uwav, "mixup_loss", given_draws)
    step = a_step(parser, replace(batch, pseudo_labels=labels), UWAV, method)
    loss, rel = LOSS_TOLERANCE[dtype]
    for letter, value in blended.items():
        assert value.item() == pytest.approx(float(golden[f"{loss}__mixup_{letter}"]), rel=rel)
    assert step[0].grad_norm.item() == pytest.approx(
        float(golden["clip_norm_64" if dtype == torch.float64 else "clip_norm"]),
        rel=1e-12 if dtype == torch.float64 else 5e-4,
    )
    check_step(golden, parser, UWAV_NAMES, step, UWAV_TERMS)
    clipped = min(1.0, 1 / (step[0].grad_norm.item() + 1e-6))
    for parameter in parser.parameters():
        parameter.grad /= clipped
    golden.compare_gradients(parser, UWAV_NAMES, suffix="_64" if dtype == torch.float64 else "")
    if dtype == torch.float64 and name == "uwav_han_small":
        for ours, parameter in parser.named_parameters():
            assert largest(parameter.grad, golden[f"grad64__{published_name(ours, UWAV_NAMES)}"]) < 1e-12, ours


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_uwav_losses(shared, dtype):
    golden = golden_of(shared, "uwav_losses")
    weak, hard = golden.tensor("weak"), golden.tensor("hard", dtype)
    kind = np.float64 if dtype == torch.float64 else np.float32
    teacher = golden["logits_teacher"].astype(kind)
    above = torch.from_numpy(teacher - lowest_instead(teacher, golden["theta"]).astype(kind)) / 2
    labels = {"hard": hard, "soft": above.sigmoid() * weak[:, None]}
    balance = weights_by_frequency(golden.tensor("class_freq").double().sum()[None], weak.shape[1], float(golden["W"]))
    fixed = torch.tensor([[float(golden["pos_weight_fixed"]), float(golden["neg_weight_fixed"])]]).double()
    weights = {"": None, "_fixed": fixed, "_freq": balance}
    prefix, tolerance = LOSS_TOLERANCE[dtype]
    for name, wanted in labels.items():
        for setting, pair in weights.items():
            logits = golden.tensor("frame_logits", dtype).requires_grad_()
            counts = None if pair is None else torch.where(weak[:, None], *pair.to(dtype)[0])
            loss = pseudo_label_loss(logits, wanted.to(dtype), weights=counts)
            assert loss.item() == pytest.approx(float(golden[f"{prefix}__seg_{name}{setting}"]), rel=tolerance)
            loss.backward()
            if dtype == torch.float64 and f"grad64__seg_{name}{setting}" in golden:
                assert largest(logits.grad, golden[f"grad64__seg_{name}{setting}"]) < 1e-12
    partner = golden.tensor("permutation")
    for name, wanted in labels.items():
        for alpha, share in (("", float(golden["lam"])), ("_alpha0", 1.0)):
            if f"{prefix}__mix_{name}{alpha}" not in golden:
                continue
            x = golden.tensor("features", dtype).requires_grad_()
            classifier = torch.nn.Linear(x.shape[-1], weak.shape[1]).to(dtype)
            classifier.load_state_dict({key: golden.tensor(f"classifier_{key}", dtype) for key in ("weight", "bias")})
            loss = blend_loss(x.flatten(0, 1), wanted.flatten(0, 1).to(dtype), classifier, share, partner)
            assert loss.item() == pytest.approx(float(golden[f"{prefix}__mix_{name}{alpha}"]), rel=tolerance)
            loss.backward()
            if dtype == torch.float64 and (name, alpha) == ("soft", ""):
                assert largest(x.grad, golden["grad64__mix_features"]) < 1e-12
                assert largest(classifier.weight.grad, golden["grad64__mix_weight"]) < 1e-12
                assert largest(classifier.bias.grad, golden["grad64__mix_bias"]) < 1e-12


def test_uwav_cuts_and_labels(shared):
    golden = golden_of(shared, "uwav_labels")
    tagged, order_free = golden["fit_weak"] > 0, golden["order_free"] > 0
    for modality, letter in enumerate("av"):
        logits, truth = golden[f"fit_logits_{letter}"], golden[f"fit_truth_{letter}"] > 0
        allowed = np.where(tagged[:, None], logits, -np.inf)
        for index in np.flatnonzero(order_free[modality]):
            cut, f1 = lowest_best_cut(allowed[..., index].ravel(), truth[..., index].ravel())
            assert np.float32(cut) == golden[f"theta_{letter}"][index], (letter, index)
            assert f1 == pytest.approx(golden[f"best_f_{letter}"][index], abs=1e-12, nan_ok=True)
        assert np.float32(lowest_best_cut(allowed.ravel(), truth.ravel())[0]) == golden[f"theta_all_{letter}"]
        weak, cuts, logits = golden["weak"] > 0, golden[f"theta_{letter}"], golden[f"logits_{letter}"]
        hard = pseudo_labels(logits, weak, cuts)
        assert np.array_equal(hard, golden[f"hard_{letter}"] > 0)
        assert hard.mean(axis=(0, 1)) == pytest.approx(golden[f"freq_{letter}"], abs=1e-12)
        for rows, stored, tolerance in (
            (40, f"soft_{letter}_batch40", 1e-5),
            (20, f"soft_{letter}_batch20", 1e-5),
            (40, f"soft64_{letter}_batch40", 1e-7),  # ours are float32
        ):
            for start in range(0, len(weak), rows):
                part = slice(start, start + rows)
                soft = pseudo_probs(logits[part], weak[part], lowest_instead(logits[part], cuts), temperature=2.0)
                assert np.abs(soft - golden[stored][part]).max() < tolerance


def test_uwav_schedules(shared):
    golden = golden_of(shared, "uwav_schedule")
    for name, floor in (("han_rate", 5e-6), ("generator_rate", 1e-5)):
        options = FitOptions(epochs=80, learning_rate=1e-4, min_learning_rate=floor)
        assert [learning_rate(epoch, options) for epoch in range(1, 81)] == pytest.approx(
            golden[name].tolist(), rel=1e-12
        )
