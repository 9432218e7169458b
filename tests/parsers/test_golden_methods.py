"""The networks and losses of the later methods against their golden vectors, at the tolerances stated with them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.golden_methods import Golden, largest
from valor.parsers.build import build_parser
from valor.parsers.evidence import belief, doubt, expected_prob, mutual_loss, pair_loss
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import choice_loss, similarities
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
