"""CoLeaF's reference networks, losses and filters against the golden vectors of its code."""

from functools import cache
from pathlib import Path

import pytest
import torch

from tests.helpers.golden_coleaf import anchor, references
from tests.helpers.golden_methods import Golden, largest
from valor.parsers.losses import choice_loss, contrast_loss, smoothed_tags
from valor.parsers.networks.coleaf import (
    asymmetric_loss,
    cooccurrence_loss,
    event_weights,
    teacher_probs,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PRECISIONS = {torch.float32: ("out", 1e-5, "loss", 2e-6, ""), torch.float64: ("out64", 1e-11, "loss64", 1e-12, "_64")}


@cache
def _golden(shared: Path, name: str) -> Golden:
    return Golden(shared, name)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_losses(shared, dtype):
    golden = _golden(shared, "coleaf_losses")
    _, _, loss, relative, _ = PRECISIONS[dtype]
    label, soft, teacher = (golden.tensor(name, dtype) for name in ("label", "label_smoothed", "prob_teacher"))
    cases = {
        "asymmetric": (5, lambda probs: asymmetric_loss(probs, label)),
        "asymmetric_soft": (5, lambda probs: asymmetric_loss(probs, soft)),
        "cooccurrence_b5": (5, lambda probs: cooccurrence_loss(probs, teacher)),
        "cooccurrence_b3": (3, lambda probs: cooccurrence_loss(probs, teacher[:3])),
    }
    for name, (clips, take) in cases.items():
        probs = golden.tensor("prob", dtype)[:clips].requires_grad_()
        found = take(probs)
        assert found.item() == pytest.approx(float(golden[f"{loss}__{name}"]), rel=relative), name
        found.backward()
        if dtype == torch.float64:
            assert largest(probs.grad, golden[f"grad64__{name}"]) < 1e-12, name
    for name, weights in (("nce_plain", None), ("nce_weighted", golden.tensor("weights", dtype))):
        units = [golden.tensor(f"unit_{which}", dtype).requires_grad_() for which in "av"]
        right = torch.arange(units[0].shape[1]).expand(units[0].shape[:2])
        found = choice_loss(units[0] @ units[1].transpose(1, 2) / 0.2, right, weights=weights)
        assert found.item() == pytest.approx(float(golden[f"{loss}__{name}"]), rel=relative), name
        found.backward()
        if dtype == torch.float64:
            for unit, which in zip(units, "av", strict=True):
                assert largest(unit.grad, golden[f"grad64__{name}_{which}"]) < 1e-12, name


def test_filters(shared):
    golden = _golden(shared, "coleaf_filters")
    tags = golden.tensor("label", torch.float32)
    targets = smoothed_tags(tags, (0.0, 0.1)).unbind(1)
    said, reference, tokens = (
        [golden.tensor(f"{kind}_{which}") for which in "av"] for kind in ("anchor", "reference", "class_token")
    )
    weights = event_weights((reference[0], reference[1]))
    for modality, which in enumerate("av"):
        taught = teacher_probs(said[modality], reference[modality], targets[modality], modality)
        assert largest(taught, golden[f"teacher_{which}"]) < 1e-6
        assert largest(weights[modality], golden[f"event_weight_{which}"]) < 1e-6
        terms = golden["epoch4__asymmetric_terms"][3 * modality :]
        found = [asymmetric_loss(held[modality], targets[modality]).item() for held in (reference, tokens)]
        assert found == pytest.approx(terms[:2].tolist(), rel=2e-6)
        together = cooccurrence_loss(said[modality], taught).item()
        assert together == pytest.approx(float(golden["epoch2__cooccurrence_terms"][modality]), rel=2e-6)
        same = torch.ones(len(tags), 10, 4)
        spread = contrast_loss(same, same, weights=weights[modality][:, None].expand(-1, 10)).item()
        assert spread == pytest.approx(float(golden["epoch2__nce_terms"][1 + modality]), rel=2e-6)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_networks(shared, dtype):
    golden = _golden(shared, "coleaf_nets")
    out, tolerance, *_ = PRECISIONS[dtype]
    batch = len(golden["label"])
    features = [golden.feature(kind, "cln", batch, dtype, how="laid") for kind in ("vggish", "res152", "r2plus1d")]
    for which, net, given in zip("av", references(golden, dtype), (features[:1], features[1:]), strict=True):
        found = net(*given)
        kinds = {"prob": found.probs, "frame_prob": found.segment_probs, "class_token": found.token_probs}
        for key, tensor in kinds.items():
            assert largest(tensor, golden[f"{out}__ref_{which}__{key}"]) < tolerance, (which, key)
    parser = anchor(golden, dtype)
    for name, answer in (("cross", parser(*features)), ("alone", parser.answer_alone(*features))):
        kinds = {"global_prob": answer.clip_probs, "frame_prob": answer.segment_probs, "global_uct": answer.clip_doubt}
        kinds |= {f"{which}_prob": answer.modality_probs[:, number] for number, which in enumerate("av")}
        for key, tensor in kinds.items():
            expected = golden[f"{out}__{name}__{key}"]
            assert largest(tensor.reshape(expected.shape), expected) < tolerance, (name, key)
