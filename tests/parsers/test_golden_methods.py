"""The networks and losses of the later methods against their golden vectors, at the tolerances stated with them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.golden_methods import Golden, largest, weight
from tests.helpers.golden_recipe import uniform
from valor.parsers.build import build_parser
from valor.parsers.evidence import belief, doubt, expected_prob, mutual_loss, pair_loss
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import choice_loss, similarities
from valor.parsers.networks.generator import (
    AUDIO_SCALE,
    VISUAL_SCALE,
    Generator,
    from_published_generator,
    generator_loss,
)
from valor.parsers.options import ParserOptions
from valor.parsers.published import METHOD_NAMES

pytestmark = pytest.mark.usefixtures("one_thread")

ONE_LAYER = {"num_heads": 1, "feedforward_width": 512, "update_order": "together", "dropout": 0.0}
OF_CLAP = {"audio_width": 5376, "audio_map": True, "visual_width": 768}
OF_FRAMES = {"visual_width": 16384, "visual_frames": 8}
OUTPUT_TOLERANCE = {torch.float32: ("out", 1e-5), torch.float64: ("out64", 1e-11)}
LOSS_TOLERANCE = {torch.float32: ("loss", 2e-6), torch.float64: ("loss64", 1e-12)}
PRECISIONS = [torch.float32, torch.float64]


@cache
def _golden(shared: Path, name: str) -> Golden:
    return Golden(shared, name)


def _network(golden: Golden, options: ParserOptions, method: str, dtype: torch.dtype) -> HybridParser:
    """A network with the weights of the recipe, in training mode without any dropout."""
    parser = build_parser(options, seed=0)
    golden.fill(parser, METHOD_NAMES[method])
    if method == "cmpae":
        parser.between_dropout = 0.0
    return parser.to(dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    ("name", "tag", "kinds", "widths"),
    [
        ("nrep_net", "nrep", ("clapmap", "clip", "r2plus1d"), OF_CLAP),
        ("nrep_net_classic", "nrepc", ("vggish", "res152", "r2plus1d"), OF_FRAMES),
    ],
)
def test_nrep_outputs(shared, name, tag, kinds, widths, dtype):
    golden = _golden(shared, name)
    parser = _network(golden, ParserOptions(network="for-against", stem="elu", **ONE_LAYER, **widths), "nrep", dtype)
    output = parser(*(golden.feature(kind, tag, len(golden["label"]), dtype, how="laid") for kind in kinds))
    prefix, tolerance = OUTPUT_TOLERANCE[dtype]
    found = {
        "global_logits": output.clip_pairs,
        "a_logits": output.modality_pairs[:, 0],
        "v_logits": output.modality_pairs[:, 1],
        "frame_logits": output.segment_pairs,
        "temporal_logits": output.joint_pairs,
        "frame_att": output.attention,
        "temporal_att": output.joint_attention,
        "sims": similarities(*output.blend.unbind(2)).flatten(0, 1),
    }
    for key, tensor in found.items():
        assert largest(tensor, golden[f"{prefix}__{key}"]) < tolerance, key
    assert largest(output.segment_probs, belief(output.segment_pairs)[..., 0].detach().numpy()) == 0
    assert largest(output.segment_logits.sigmoid(), output.segment_probs.detach().numpy()) < 1e-6


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_cmpae_outputs(shared, dtype):
    golden = _golden(shared, "cmpae_net")
    parser = _network(golden, ParserOptions(network="presence", stem="elu", **ONE_LAYER, **OF_FRAMES), "cmpae", dtype)
    kinds = ("vggish", "res152", "r2plus1d")
    features = [golden.feature(kind, "cn", len(golden["label"]), dtype, how="laid") for kind in kinds]
    prefix, tolerance = OUTPUT_TOLERANCE[dtype]
    passes = {"cross": parser(*features), "alone": parser.answer_alone(*features)}
    for name, output in passes.items():
        found = {
            "global_prob": output.clip_probs,
            "a_prob": output.modality_probs[:, 0],
            "v_prob": output.modality_probs[:, 1],
            "frame_prob": output.segment_probs,
            "global_uct": output.clip_doubt,
            "a_uct": output.modality_doubt[:, 0],
            "v_uct": output.modality_doubt[:, 1],
            "frame_uct": output.segment_doubt,
            "sims": similarities(*output.features.unbind(2)),
        }
        for key, tensor in found.items():
            expected = golden[f"{prefix}__{name}__{key}"]
            assert largest(tensor.reshape(expected.shape), expected) < tolerance, (name, key)
    asked = parser.eval()(*features)
    blended = 0.7 * passes["cross"].segment_probs + 0.3 * passes["alone"].segment_probs
    assert largest(asked.segment_probs, blended.detach().numpy()) < tolerance


def test_nrep_losses(shared):
    golden = _golden(shared, "nrep_losses")
    kinds = {"softmax_bce": "softmax", "uncertain_bce": "belief", "uncertain_log": "log"}
    for dtype in PRECISIONS:
        prefix, tolerance = LOSS_TOLERANCE[dtype]
        for name, kind in kinds.items():
            for what, sides in (("frame", 1), ("frame_both", 2), ("clip", 2)):
                pairs = golden.tensor("clip_logits" if what == "clip" else "frame_logits", dtype).requires_grad_()
                targets = golden.tensor("clip_labels" if what == "clip" else "labels", dtype)
                loss = pair_loss(pairs, targets, sides=sides, kind=kind)
                assert loss.item() == pytest.approx(float(golden[f"{prefix}__{name}_{what}"]), rel=tolerance), name
                loss.backward()
                if dtype == torch.float64 and f"grad64__{name}_{what}" in golden:
                    assert largest(pairs.grad, golden[f"grad64__{name}_{what}"]) < 1e-12
        out, tolerance = OUTPUT_TOLERANCE[dtype]
        frames = golden.tensor("frame_logits", dtype)
        assert largest(belief(frames), golden[f"{out}__belief"]) < tolerance
        assert largest(doubt(frames)[..., None], golden[f"{out}__uncertainty"]) < tolerance
        _check_choice(golden, dtype)


def _check_choice(golden: Golden, dtype: torch.dtype) -> None:
    prefix, tolerance = LOSS_TOLERANCE[dtype]
    for name, smoothing in (("nce_1", 0.1), ("nce_0", 0.0)):
        logits = golden.tensor("similarities", dtype).requires_grad_()
        loss = choice_loss(logits, golden.tensor("positives"), smoothing)
        assert loss.item() == pytest.approx(float(golden[f"{prefix}__{name}"]), rel=tolerance)
        loss.backward()
        if dtype == torch.float64 and f"grad64__{name}" in golden:
            assert largest(logits.grad, golden[f"grad64__{name}"]) < 1e-12


def test_a_wrong_pair_far_apart_is_charged_100_without_gradient():
    pairs = torch.tensor([[40.0, -40.0]], requires_grad=True)
    loss = pair_loss(pairs, torch.zeros(1))
    loss.backward()
    assert loss == 100 and pairs.grad.abs().max() < 1e-20
    assert pair_loss(torch.full((1, 2), torch.nan), torch.zeros(1)).isnan()


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_cmpae_evidence_and_mutual_loss(shared, dtype):
    golden = _golden(shared, "cmpae_mutual")
    out, tolerance = OUTPUT_TOLERANCE[dtype]
    logits = golden.tensor("logits", dtype)
    assert largest(expected_prob(logits, 0.8), golden[f"{out}__prob"]) < tolerance
    assert largest(doubt(logits, 0.8), golden[f"{out}__uncertainty"]) < tolerance
    prefix, tolerance = LOSS_TOLERANCE[dtype]
    names = {"global": "prob_global", "a": "prob_a", "v": "prob_v"} | {
        f"uct_{what}": f"uct_{what}" for what in ("a", "v", "global")
    }
    for parity in ("odd", "even"):
        given = {name: golden.tensor(key, dtype).requires_grad_() for name, key in names.items()}
        modality = tuple(torch.stack((given[f"{kind}a"], given[f"{kind}v"]), dim=1) for kind in ("", "uct_"))
        clip = (given["global"], given["uct_global"])
        loss = mutual_loss(clip, modality, golden.tensor("label", dtype), teaches_clip=parity == "odd")
        assert loss.item() == pytest.approx(float(golden[f"{prefix}__{parity}"]), rel=tolerance)
        loss.backward()
        if dtype == torch.float64:
            for name, tensor in given.items():
                grad = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
                assert largest(grad, golden[f"grad64__{parity}__{name}"]) < 1e-12, (parity, name)
    assert np.isfinite(loss.item())


GENERATOR_TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}


def _towers(state: dict[str, Tensor], num_heads: int, dtype: torch.dtype) -> list[Generator]:
    """Both generators of a published state dict, whose sizes they have, without dropout."""
    found = []
    for modality, scale in (("audio", AUDIO_SCALE), ("visual", VISUAL_SCALE)):
        own = from_published_generator(state)[modality]
        generator = Generator(
            own["stem.layers.0.weight"].shape[1],
            own["end.layers.1.weight"].shape[0],
            scale,
            width=own["stem.layers.1.weight"].shape[0],
            num_layers=len({name.split(".")[1] for name in own if name.startswith("layers.")}),
            num_heads=num_heads,
            feedforward_width=own["layers.0.widen.weight"].shape[0],
            dropout=0.0,
        )
        generator.load_state_dict(own)
        found.append(generator.to(dtype))
    return found


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_uwav_generator_with_padded_clips(shared, dtype):
    golden = _golden(shared, "uwav_generator_small")
    state = {name[3:]: golden.tensor(name) for name in golden.arrays if name.startswith("w__")}
    towers = _towers(state, 4, dtype)
    embeddings = [golden.tensor(f"in__{name}", dtype) for name in ("clap", "clip")]
    texts = [golden.tensor(f"in__event_{letter}", dtype) for letter in "av"]
    valid = torch.arange(embeddings[0].shape[1]) < golden.tensor("in__duration")[:, None]
    logits = [tower(x, text, valid) for tower, x, text in zip(towers, embeddings, texts, strict=True)]
    prefix, tolerance = OUTPUT_TOLERANCE[dtype]
    for letter, tower, x, text, found in zip("av", towers, embeddings, texts, logits, strict=True):
        assert largest(found[valid], golden[f"{prefix}__logits_{letter}"][valid.numpy()]) < tolerance
        whole = tower(x[:1], text)
        assert largest(whole, golden[f"{prefix}__logits_{letter}_clip0_unmasked"]) < tolerance
    loss = generator_loss(*logits, golden.tensor("in__truth", dtype), valid)
    name = "loss64__av" if dtype == torch.float64 else "loss__av"
    assert loss.item() == pytest.approx(float(golden[name]), rel=GENERATOR_TOLERANCE[dtype])
    loss.backward()
    _check_generator_gradients(golden, towers, state, double=dtype == torch.float64)
    if dtype == torch.float64:
        _check_generator_step(golden, towers, state)


def _published_gradients(towers: list[Generator], names: list[str]) -> dict[str, Tensor]:
    """Gradients by published name, found by asking where a marked tensor goes."""
    found = {}
    for name in names:
        mapped = from_published_generator({name: torch.zeros(())})
        (modality, ours), *_ = [(key, next(iter(held))) for key, held in mapped.items() if held]
        found[name] = dict(towers[modality == "visual"].named_parameters())[ours]
    return found


def _check_generator_gradients(golden: Golden, towers: list[Generator], state: dict, *, double: bool) -> None:
    suffix, parameters = "_64" if double else "", _published_gradients(towers, list(state))
    norms, dots = (golden.figures(f"grad_{kind}{suffix}") for kind in ("norm", "dot"))
    total = float(golden[f"grad_total{suffix}"])
    for name, parameter in parameters.items():
        grad = parameter.grad.double()
        assert abs(grad.norm().item() - norms[name]) < (1e-13 if double else 5e-5) * total, name
        assert abs((grad * golden.probe(name, grad)).sum().item() - dots[name]) < (1e-10 if double else 1e-2), name
        if double:
            assert largest(parameter.grad, golden[f"grad64__{name}"]) < 1e-12, name
    every = torch.stack([parameter.grad.double().norm() for parameter in parameters.values()]).norm().item()
    assert every == pytest.approx(total, rel=1e-12 if double else 5e-4)


def _check_generator_step(golden: Golden, towers: list[Generator], state: dict[str, Tensor]) -> None:
    """One step of its optimiser, behind the clipping of its gradients."""
    parameters = _published_gradients(towers, list(state))
    optimiser = torch.optim.AdamW(parameters.values(), lr=1e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 2.0)
    assert norm.item() == pytest.approx(float(golden["clip_norm_64"]), rel=1e-12)
    optimiser.step()
    lengths, dots = golden.figures("step_l2_64"), golden.figures("step_dot_64")
    for name, parameter in parameters.items():
        change = parameter.detach() - state[name].double()
        assert abs(change.norm().item() - lengths[name]) < 1e-9, name
        assert abs((change * golden.probe(name, change)).sum().item() - dots[name]) < 1e-9, name


def test_uwav_generator_of_published_size(shared):
    golden = _golden(shared, "uwav_generator_full")
    seeds = {name: int(golden[f"seed_{name}"]) for name in ("weights", "inputs")}
    shapes = [tuple(map(int, shape.decode().split("x"))) for shape in golden["param_shapes"]]
    names = [name.decode() for name in golden["param_names"]]
    state = {name: weight(name, shape, seeds["weights"]) for name, shape in zip(names, shapes, strict=True)}
    for dtype in PRECISIONS:
        prefix, tolerance = OUTPUT_TOLERANCE[dtype]
        for tower, letter, kind in zip(_towers(state, 16, dtype), "av", ("clap", "clip"), strict=True):
            x = golden.feature(kind, "gen", 2, dtype)
            drawn = uniform(seeds["inputs"], f"e{letter}:full", (25, x.shape[-1]), -1, 1).astype(np.float32)
            texts = torch.from_numpy(drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).to(dtype)
            assert largest(tower(x, texts), golden[f"{prefix}__logits_{letter}"]) < tolerance, letter
