"""The parser against the golden vectors of the published implementation, at the tolerances stated with them."""

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.helpers import golden_recipe
from tests.helpers.golden_recipe import feature, labels, uniform
from valor.data.clips import Batch
from valor.parsers.build import build_parser
from valor.parsers.folding import clap_pool_matrix, fold_clap_map, fold_frames
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import LossTerms, loss_terms, total_loss
from valor.parsers.options import PARSERS
from valor.parsers.published import from_published, published_name, to_published
from valor.training.batches import epoch_order
from valor.training.options import FitOptions, learning_rate
from valor.training.step import build_optimiser, set_learning_rate, train_step
from valor.training.train import batch_order_generator

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGURATIONS = {"valor": "valor", "valorp": "valor+", "valorpp": "valor++", "prenorm": "valor++ pre-norm"}
SMALL = {
    "valor": {"hidden_width": 128, "feedforward_width": 256},
    "valorp": {"hidden_width": 64, "feedforward_width": 256},
    "valorpp": {"hidden_width": 64, "feedforward_width": 256},
    "prenorm": {"hidden_width": 64, "feedforward_width": 256},
}
MODELS = [f"{name}_{size}" for name in CONFIGURATIONS for size in ("small", "full_recipe")] + ["valorpp_full_init"]
NOISE = ("fc_frame_att.bias", "fc_av_att.bias")
"""Parameters whose true gradient is zero (softmax shift invariance); so is the key third of each in_proj_bias."""


@cache
def _json(path: Path) -> dict:
    return json.loads(path.read_text())


def _parser(model: str, golden: Path, dtype: torch.dtype = torch.float32) -> HybridParser:
    """The parser of a golden model, with its golden weights, dropout off but in training mode."""
    name, size = model.split("_", 1)
    options = replace(PARSERS[CONFIGURATIONS[name]], dropout=0.0, **(SMALL[name] if size == "small" else {}))
    parser = build_parser(options, seed=87 if size == "full_init" else 0)
    if size == "small":
        state = load_file(golden / f"model_{model}.safetensors")
        parser.load_state_dict(from_published(state, norm_order=options.norm_order))
    if size == "full_recipe":
        _fill(parser)
    return parser.to(dtype)


def _fill(parser: HybridParser) -> None:
    parser.load_state_dict(golden_recipe.weights({k: tuple(v.shape) for k, v in parser.state_dict().items()}))


def _inputs(name: str, seed: int, tag: str, batch: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Folded features of one batch, by argument name of the parser."""
    plus_plus = name in ("valorpp", "prenorm")
    audio = feature(seed, "clap" if plus_plus else "vggish", tag, batch).to(dtype)
    visual = feature(seed, "clip" if plus_plus else "res152", tag, batch).to(dtype)
    return {
        "audio": fold_clap_map(audio) if plus_plus else audio,
        "visual": visual if plus_plus else fold_frames(visual, 10),
        "motion": feature(seed, "r2plus1d", tag, batch).to(dtype),
    }


def _terms(parser: HybridParser, inputs: dict[str, Tensor], tag: str, seed: int, batch: int) -> LossTerms:
    dtype = inputs["audio"].dtype
    weak, pseudo = labels(seed, tag, batch)
    return loss_terms(parser(**inputs), weak.to(dtype), pseudo.to(dtype))


def _largest(got: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(got.detach().numpy() - expected).max())


def test_recipe_check_values():
    u = uniform(20240, "check", (4,))
    assert u.tolist() == [0.48249431821297173, 0.21201995952920105, 0.8177487463198901, 0.09135011617939315]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_recipe_equals_stored_inputs(shared, name):
    stored = np.load(shared / "golden" / f"model_{name}_small.npz")
    weak, pseudo = labels(golden_recipe.BATCH_SEED, name, 4)
    kind = "clap" if name in ("valorpp", "prenorm") else "vggish"
    assert np.array_equal(feature(golden_recipe.BATCH_SEED, kind, name, 4), stored["in__audio"])
    assert np.array_equal(feature(golden_recipe.BATCH_SEED, "r2plus1d", name, 4), stored["in__video_st"])
    assert np.array_equal(weak, stored["in__label"])
    assert np.array_equal(pseudo[:, :, 0], stored["in__audio_pl"])
    assert np.array_equal(pseudo[:, :, 1], stored["in__visual_pl"])


def test_clap_pool_matrix(shared):
    golden = np.load(shared / "golden" / "clap_pool_matrix.npz")
    assert _largest(clap_pool_matrix(), golden["P_float64"]) < 1e-15
    assert _largest(clap_pool_matrix(torch.float32), golden["P_float32"]) < 1e-7


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_outputs(shared, model, precision):
    golden = np.load(shared / "golden" / f"model_{model}.npz")
    name = model.split("_")[0]
    parser = _parser(model, shared / "golden", getattr(torch, precision)).eval()
    inputs = _inputs(name, golden_recipe.BATCH_SEED, name, 4, getattr(torch, precision))
    with torch.inference_mode():
        output = parser(**inputs)
    prefix, tolerance = ("out", 5e-6) if precision == "float32" else ("out64", 1e-11)
    for ours, theirs in (
        (output.clip_probs, "global_prob"),
        (output.modality_probs[:, 0], "a_prob"),
        (output.modality_probs[:, 1], "v_prob"),
        (output.segment_probs, "frame_prob"),
        (output.segment_logits, "frame_logits"),
    ):
        assert _largest(ours, golden[f"{prefix}__{theirs}"]) < tolerance, theirs


@pytest.mark.parametrize("model", MODELS)
def test_stem_and_encoder(shared, model):
    golden = np.load(shared / "golden" / f"model_{model}.npz")
    name = model.split("_")[0]
    parser = _parser(model, shared / "golden").eval()
    with torch.inference_mode():
        streams = parser.stem(**_inputs(name, golden_recipe.BATCH_SEED, name, 4, torch.float32))
        encoded = parser.encoder(*streams)
    for part, tensors in (("stem", streams), ("enc", encoded)):
        for modality, tensor in zip("av", tensors, strict=True):
            assert _largest(tensor, golden[f"mid__{part}_{modality}"]) < 2e-5, (part, modality)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_losses_and_gradient_norms(shared, model, precision):
    golden = _json(shared / "golden" / "model.json")[model]
    exact_total = golden["train64"]["total_grad_norm"]
    golden, loss_tolerance, norm_tolerance = (
        (golden, 1e-6, 2e-6) if precision == "float32" else (golden["train64"], 1e-12, 1e-11)
    )
    name = model.split("_")[0]
    parser = _parser(model, shared / "golden", getattr(torch, precision))
    inputs = _inputs(name, golden_recipe.BATCH_SEED, name, 4, getattr(torch, precision))
    terms = _terms(parser, inputs, name, golden_recipe.BATCH_SEED, 4)
    total = total_loss(terms)
    total.backward()
    got = dict(zip(("loss_video", "loss_valor_a", "loss_valor_v", "loss_all"), (*terms[:3], total), strict=True))
    for loss, value in got.items():
        assert abs(value.item() - golden[loss]) < loss_tolerance, loss
    norms = {published_name(k): p.grad.double().norm().item() for k, p in parser.named_parameters()}
    for parameter, expected in golden["grad_norm_per_parameter"].items():
        if expected is None:
            assert parameter not in norms  # the closing norms of a post-norm network, which we do not carry
        elif parameter in NOISE:
            assert norms[parameter] < 1e-7 and expected < 1e-7
        else:
            assert norms[parameter] == pytest.approx(expected, rel=norm_tolerance), parameter
    # The stored float32 total was summed in float32 and is up to 5e-6 off the stored norms per parameter.
    assert np.sqrt(sum(n**2 for n in norms.values())) == pytest.approx(exact_total, rel=norm_tolerance)
    assert exact_total == pytest.approx(golden["total_grad_norm"], rel=6e-6)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_full_gradients(shared, name):
    golden = np.load(shared / "golden" / f"model_{name}_small.npz")
    parser = _parser(f"{name}_small", shared / "golden")
    inputs = _inputs(name, golden_recipe.BATCH_SEED, name, 4, torch.float32)
    total_loss(_terms(parser, inputs, name, golden_recipe.BATCH_SEED, 4)).backward()
    expected = {key.removeprefix("grad__") for key in golden if key.startswith("grad__")}
    assert expected == {published_name(k) for k, _ in parser.named_parameters()}
    for key, parameter in parser.named_parameters():
        assert _largest(parameter.grad, golden[f"grad__{published_name(key)}"]) < 1e-6, key


@pytest.mark.parametrize(
    ("run", "name", "seed"), [("valor", "valor", 1000), ("valorp", "valor+", 64), ("valorpp", "valor++", 87)]
)
def test_initial_weights(shared, run, name, seed):
    golden = _json(shared / "golden" / "init.json")[f"{run}_seed{seed}"]
    state = to_published(build_parser(PARSERS[name], seed=seed).state_dict())
    assert state.keys() == golden.keys()
    for key, tensor in state.items():
        assert list(tensor.shape) == golden[key]["shape"], key
        assert hashlib.sha256(tensor.numpy().tobytes()).hexdigest() == golden[key]["sha256"], key


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("valor", FitOptions()),
        ("valorplus_and_plusplus", FitOptions(learning_rate=3e-4, min_learning_rate=3e-6)),
    ],
)
def test_schedule(shared, key, options):
    expected = _json(shared / "golden" / "schedule.json")[key]["lr"]
    got = [learning_rate(epoch, options) for epoch in range(1, len(expected) + 1)]
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("run", "name", "seed"), [("valor", "valor", 1000), ("valorp", "valor+", 64), ("valorpp", "valor++", 87)]
)
def test_batch_order(shared, run, name, seed):
    golden = _json(shared / "golden" / "batch_order.json")["runs"][f"{run}_seed{seed}"]
    generator = batch_order_generator(PARSERS[name], seed)
    for epoch in golden:
        order = epoch_order(10_000, generator).numpy()
        assert order[:64].tolist() == epoch["first_64_rows"]
        assert order[-16:].tolist() == epoch["last_16_rows"]
        assert hashlib.sha256(order.astype("<i4").tobytes()).hexdigest() == epoch["sha256_int32_le"]


@cache
def _trajectory_batches(dtype: torch.dtype) -> list[Batch]:
    """The five batches every golden trajectory runs through."""
    batches = []
    for tag in (f"traj{i}" for i in range(5)):
        inputs = _inputs("valorpp", golden_recipe.TRAJECTORY_SEED, tag, 16, dtype)
        weak, pseudo = labels(golden_recipe.TRAJECTORY_SEED, tag, 16)
        batches.append(
            Batch(
                clip_ids=(tag,) * 16, valid=None, weak_labels=weak.to(dtype), pseudo_labels=pseudo.to(dtype), **inputs
            )
        )
    return batches


def _run_trajectory(run: dict, golden: Path) -> tuple[HybridParser, dict[str, Tensor], list[dict[str, float]]]:
    """Trained parser, its initial published state, and the figures of each step."""
    dtype = getattr(torch, run["dtype"])
    model = "small" if run["size"] == "small" else "full_init" if "initialisation" in run["weights"] else "full_recipe"
    parser = _parser(f"valorpp_{model}", golden, dtype)
    initial = {key: tensor.clone() for key, tensor in to_published(parser.state_dict()).items()}
    options = FitOptions(learning_rate=3e-4, min_learning_rate=3e-6)
    optimiser = build_optimiser(parser, options)
    steps, batches = [], iter(_trajectory_batches(dtype))
    for epoch in run["epochs"]:
        set_learning_rate(optimiser, learning_rate(epoch, options))
        for _ in range(run["steps_per_epoch"]):
            step = train_step(parser, next(batches), optimiser, options)
            clipped = torch.stack([p.grad.double().norm() for p in parser.parameters()]).norm()
            names = ("loss_video", "loss_valor_a", "loss_valor_v", "loss_all", "grad_norm_before_clip")
            values = (*(step.terms[name] for name in ("weak", "audio", "visual")), step.total, step.grad_norm)
            steps.append({name: value.item() for name, value in zip(names, values, strict=True)})
            steps[-1] |= {"lr": optimiser.param_groups[0]["lr"], "grad_norm_after_clip": clipped.item()}
    return parser, initial, steps


def _moved_by_noise(name: str, tensor: Tensor) -> Tensor:
    """Mask of the elements whose true gradient is zero: Adam divides their rounding noise by itself."""
    mask = torch.zeros_like(tensor, dtype=torch.bool)
    if name in NOISE:
        mask[:] = True
    if name.endswith("in_proj_bias"):
        mask[len(mask) // 3 : 2 * len(mask) // 3] = True
    return mask


TRAJECTORIES = (
    *("small_epoch1", "small_epoch10", "small_epochs8to12", "full_init_epoch1", "full_init_epoch10"),
    *("full_recipe_epoch10", "small_epoch10_f64", "small_epochs8to12_f64", "full_recipe_epoch10_f64"),
)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_trajectory(shared, name):
    golden = shared / "golden"
    run = _json(golden / "traj.json")[name]
    double = run["dtype"] == "float64"
    parser, initial, steps = _run_trajectory(run, golden)
    for got, expected in zip(steps, run["steps"], strict=True):
        for key, value in expected.items():
            tolerance = 1e-12 if key == "lr" else 1e-11 if double else 3e-4 if "grad" in key else 5e-5
            assert got[key] == pytest.approx(value, rel=tolerance), key
    final = to_published(parser.state_dict())
    _check_final_figures(final, initial, run["final_parameters"], double=double)
    if run["size"] == "small":
        stored = np.load(golden / f"traj_{name}_final.npz")
        assert set(stored) == set(final)
        for key, tensor in final.items():
            if "final_norm" in key:
                continue  # exists in the published state dict alone; does not move
            keep = ~_moved_by_noise(key, tensor) if not double else torch.ones_like(tensor, dtype=torch.bool)
            difference = (tensor - torch.from_numpy(stored[key])).abs()[keep]
            assert difference.numel() == 0 or difference.max() < (1e-10 if double else 1e-4), key


def _check_final_figures(final: dict[str, Tensor], initial: dict[str, Tensor], golden: dict, *, double: bool) -> None:
    """Norms and projections of every final parameter and of its change."""
    assert final.keys() == golden.keys()
    for name, tensor in final.items():
        expected = golden[name]
        if "final_norm" in name:
            assert expected["change_l2"] == 0
            continue
        value, change = tensor.double(), tensor.double() - initial[name].double()
        probe = torch.from_numpy(uniform(golden_recipe.PROBE_SEED, f"probe:{name}", tuple(tensor.shape), -1, 1)).float()
        if name in NOISE or (not double and name.endswith("in_proj_bias")):
            if double:  # only the decay moves them
                assert change.norm().item() == pytest.approx(expected["change_l2"], rel=1e-6)
            continue
        assert change.norm().item() == pytest.approx(expected["change_l2"], rel=1e-9 if double else 5e-4), name
        spread = 1e-10 if double else 1e-4
        assert value.norm().item() == pytest.approx(expected["l2"], abs=spread), name
        root = value.numel() ** 0.5  # differences of one element add up like noise in a projection
        assert (value * probe).sum().item() == pytest.approx(expected["dot_probe"], abs=spread * root), name
        assert (change * probe).sum().item() == pytest.approx(expected["change_dot_probe"], abs=spread * root), name
